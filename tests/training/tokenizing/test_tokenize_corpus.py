# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Text becomes shards of tokens: from every kind of source, in order, also after interruptions, and never silently wrong."""

import json
import os

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from modeling_llada import writing
from modeling_llada.training import TokenShards, tokenize_corpus
from modeling_llada.training.tokenizing import corpus, encoding, sources
from modeling_llada.training.tokenizing.tokenizer import train_tokenizer


TEXTS = [f"Day {day}. The sailor wrote {day % 7} letters, and nobody answered.\n\nHe slept — 床." for day in range(60)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """The folder of a tokenizer."""
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(TEXTS, 300).save_pretrained(folder)
    return folder


def save_words(folder, number, **specials):
    """Writes a tokenizer of words, some of which are its special tokens."""
    specials = {"bos_token": "<s>", "eos_token": "</s>", "mask_token": "[MASK]", "unk_token": "<unk>"} | specials
    vocabulary = [*dict.fromkeys(specials.values()), *(f"w{index}" for index in range(number))]
    words = {word: id for id, word in enumerate(vocabulary)}
    backend = Tokenizer(models.WordLevel(words, unk_token=specials["unk_token"]))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=backend, **specials).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def tokenize(tokenizer, tmp_path):
    """Tokenises sources with it. Nothing is held out, unless a test asks for it."""

    def run(*sources, output="tokens", **options):
        options = {"tokenizer": str(tokenizer), "validation": 0} | options
        return tokenize_corpus(list(map(str, sources)), tmp_path / output, **options)

    return run


@pytest.fixture
def small_batches(monkeypatch):
    """Lets a few documents be a batch, and saves the progress after each."""
    monkeypatch.setattr(sources, "CHUNK_SIZE", 300)
    monkeypatch.setattr(corpus, "SECONDS_BETWEEN_SAVES", -1)


@pytest.fixture
def jsonl(tmp_path):
    """A file with a text in each line."""
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path


def documents(shards, split="train"):
    """The texts of a split, as its tokenizer decodes them."""
    part, tokenizer = shards.splits[split], AutoTokenizer.from_pretrained(shards.tokenizer)
    return [
        tokenizer.decode(part.tokens(start, start + length))
        for start, length in zip(part.document_starts, part.lengths().astype(int), strict=True)
    ]


def files_of(folder):
    """The content of all files, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class TestTokens:
    def test_are_those_of_the_tokenizer_without_special_tokens(self, tokenize, tokenizer, jsonl):
        shards = tokenize(jsonl)
        rows = AutoTokenizer.from_pretrained(tokenizer)(TEXTS, add_special_tokens=False)["input_ids"]
        np.testing.assert_array_equal(shards.splits["train"].tokens(), np.concatenate(rows))
        np.testing.assert_array_equal(shards.splits["train"].lengths(), [len(row) for row in rows])
        assert (shards.vocab_size, shards.mask_token_id) == (300, 5)
        assert shards.manifest["bytes"] == sum(len(text.encode()) for text in TEXTS)
        shards.check_hashes()

    def test_large_vocabularies_take_four_bytes(self, tokenize, tmp_path):
        (tmp_path / "a.txt").write_text("w69999 w0")
        tokens = (
            tokenize(tmp_path / "a.txt", tokenizer=save_words(tmp_path / "words", 70_000)).splits["train"].tokens()
        )
        assert (tokens.dtype, tokens.tolist()) == (np.uint32, [70_003, 4])


class TestSources:
    def test_a_text_file_is_a_document(self, tokenize, tmp_path):
        (tmp_path / "books" / "old").mkdir(parents=True)
        (tmp_path / "books" / "b.TXT").write_bytes(b"\xef\xbb\xbfIt was\r\na dark night.\r\n")
        (tmp_path / "books" / "old" / "a.txt").write_text("\n\nCall me\n\nIshmael.\n")
        (tmp_path / "books" / ".hidden.txt").write_text("secret")
        (tmp_path / "books" / "cover.png").write_text("no text")
        shards = tokenize(tmp_path / "books")
        assert documents(shards) == ["It was\na dark night.", "Call me\n\nIshmael."]
        assert [one["files"] for one in shards.manifest["settings"]["sources"]] == [2]

    def test_a_folder_with_links(self, tokenize, tmp_path):
        """What is behind them is read, but nothing twice."""
        for name, text in (("books/a.txt", "One."), ("elsewhere/b.txt", "Two.")):
            (tmp_path / name).parent.mkdir()
            (tmp_path / name).write_text(text)
        (tmp_path / "books" / "more").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "books" / "again").symlink_to(tmp_path / "books")
        assert documents(tokenize(tmp_path / "books")) == ["One.", "Two."]

    def test_files_that_are_left_out_are_named(self, tokenize, tmp_path):
        folder = tmp_path / "books"
        folder.mkdir()
        (folder / "a.txt").write_text("One.")
        (folder / "more.jsonl.gz").write_bytes(b"")
        (folder / "gone.txt").symlink_to(tmp_path / "nothing")
        left_out = tokenize(folder, output=folder / "tokens").manifest["left_out"]
        names = [f"{folder}/gone.txt", f"{folder}/more.jsonl.gz"]
        assert left_out == {"another kind of file": {"documents": 2, "first": names}}

    def test_a_folder_that_cannot_be_read(self, tokenize, tmp_path, monkeypatch):
        (tmp_path / "books" / "private").mkdir(parents=True)
        (tmp_path / "books" / "a.txt").write_text("One.")
        scan = os.scandir

        def scandir(path):
            if str(path).endswith("private"):
                raise PermissionError(13, "Permission denied", str(path))
            return scan(path)

        monkeypatch.setattr(os, "scandir", scandir)
        with pytest.raises(PermissionError, match="private"):
            tokenize(tmp_path / "books")

    def test_names_of_another_encoding(self, tokenize, tmp_path):
        name = os.fsencode(tmp_path) + b"/caf\xe9.txt"
        try:
            open(name, "wb").close()
        except OSError:
            pytest.skip("this file system takes no such names")
        (tmp_path / "a.txt").write_text("One.")
        assert tokenize(tmp_path).manifest["left_out"]["empty"]["first"] == [os.fsdecode(name)]

    @pytest.mark.parametrize("separator", ["\r\n", "\n\n", "<|endoftext|>"])
    def test_a_separator_divides_it(self, tokenize, tmp_path, monkeypatch, separator):
        monkeypatch.setattr(sources, "CHUNK_SIZE", 7)
        texts = [f"A line {line}" for line in range(20)]
        (tmp_path / "lines.txt").write_text(separator.join([*texts, "", ""]), newline="\r\n")
        shards = tokenize(tmp_path / "lines.txt", separator=separator)
        assert documents(shards) == texts

    def test_tables(self, tokenize, tmp_path):
        """A Parquet file, a folder of `save_to_disk`, and a dataset with splits have the same tokens."""
        datasets = pytest.importorskip("datasets", reason="datasets is not part of this environment")
        table = datasets.Dataset.from_dict({"number": range(60), "content": TEXTS})
        table.to_parquet(tmp_path / "texts.parquet")
        table.save_to_disk(tmp_path / "saved")
        datasets.DatasetDict(train=table, test=table.select([3])).save_to_disk(tmp_path / "splits")
        for name in ("texts.parquet", "saved", "splits"):
            assert documents(tokenize(tmp_path / name, text_field="content", output=f"tokens-{name}")) == TEXTS
        assert documents(tokenize(tmp_path / "splits", text_field="content", split="test")) == TEXTS[3:4]
        with pytest.raises(ValueError, match="texts.parquet has number, content, and no 'text'"):
            tokenize(tmp_path / "texts.parquet", output="b")
        with pytest.raises(ValueError, match="texts.parquet has several of the name 'number'"):
            sources.check_field("number", ["number", "number"], "texts.parquet")
        with pytest.raises(ValueError, match="`split` must be one of train, test, as .*splits has, but got 'dev'"):
            tokenize(tmp_path / "splits", text_field="content", split="dev", output="b")

    def test_a_document_that_was_read_is_not_read_again(self, jsonl, tmp_path):
        """Reading goes on at any document, in files and in tables."""
        datasets = pytest.importorskip("datasets", reason="datasets is not part of this environment")
        table = datasets.Dataset.from_dict({"text": TEXTS * 40})
        table.to_parquet(tmp_path / "texts.parquet")
        table.save_to_disk(tmp_path / "saved")
        for name in ("texts.jsonl", "texts.parquet", "saved"):
            [source] = sources.find_sources(str(tmp_path / name), sources.SourceOptions(), tmp_path / "tokens")
            everything = list(source.read(0))
            for start in (1, 59, 60, 999, 1000, 1001):
                assert list(source.read(start)) == everything[start:]

    def test_a_damaged_table(self, tokenize, tmp_path):
        """A text that is not UTF-8 is a row that may be left out; what cannot be decoded is an error with the name."""
        pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not part of this environment")
        parquet = pytest.importorskip("pyarrow.parquet")
        array = pyarrow.array([b"Good.", b"caf\xe9", None], pyarrow.binary()).view(pyarrow.string())
        parquet.write_table(pyarrow.table({"text": array}), tmp_path / "a.parquet")
        with pytest.raises(ValueError, match="row 1 of .*a.parquet is not UTF-8 at character 4"):
            tokenize(tmp_path / "a.parquet")
        shards = tokenize(tmp_path / "a.parquet", skip_bad=True)
        assert documents(shards) == ["Good."]
        assert {reason: one["documents"] for reason, one in shards.manifest["left_out"].items()} == {
            "not UTF-8": 1,
            "no text": 1,
        }
        parquet.write_table(pyarrow.table({"text": TEXTS}), tmp_path / "b.parquet", compression="zstd")
        data = (tmp_path / "b.parquet").read_bytes()
        (tmp_path / "b.parquet").write_bytes(data[:100] + bytes(200) + data[300:])
        with pytest.raises(OSError, match="b.parquet cannot be read any further: "):
            tokenize(tmp_path / "b.parquet", output="b")

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("nothing.txt", "nothing.txt does not exist"),
            ("notes.md", "notes.md is another file"),
            ("folder", "the folder .*folder has none"),
            ("broken.parquet", "broken.parquet cannot be read as Parquet"),
        ],
    )
    def test_what_is_no_source(self, tokenize, tmp_path, name, message):
        (tmp_path / "folder").mkdir()
        (tmp_path / "notes.md").write_text("notes")
        (tmp_path / "broken.parquet").write_text("PAR")
        with pytest.raises(ValueError, match=message):
            tokenize(tmp_path / name)
        assert not (tmp_path / "tokens").exists()

    def test_a_dataset_of_the_hub_is_streamed(self, tokenize, monkeypatch, small_batches):
        datasets = pytest.importorskip("datasets", reason="datasets is not part of this environment")
        stream, calls = datasets.Dataset.from_dict({"text": TEXTS}).to_iterable_dataset(), []
        monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: calls.append((args, options)) or stream)
        shards = tokenize("someone/letters", config_name="old")
        assert documents(shards) == TEXTS
        assert calls[0] == (("someone/letters", "old"), {"split": "train", "streaming": True})

    def test_a_stream_that_breaks_off(self, tokenize, monkeypatch, small_batches):
        datasets = pytest.importorskip("datasets", reason="datasets is not part of this environment")
        broken = [True]

        def rows():
            for number, text in enumerate(TEXTS):
                if broken and number == 30:
                    raise RuntimeError("the network is gone")
                yield {"text": text}

        stream = datasets.IterableDataset.from_generator(
            rows, features=datasets.Features({"text": datasets.Value("string")})
        )
        monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: stream)
        with pytest.raises(
            OSError, match="someone/letters cannot be read any further: the network is gone. The same comm"
        ):
            tokenize("someone/letters")
        broken.clear()
        assert documents(tokenize("someone/letters")) == TEXTS

    def test_a_file_that_is_named_twice(self, tokenize, jsonl):
        with pytest.raises(
            ValueError, match="`sources` must name a file once, but .*texts.jsonl is in several of them"
        ):
            tokenize(jsonl, jsonl.parent)
        with pytest.raises(ValueError, match="`sources` must name a file once"):
            tokenize(jsonl, jsonl)

    @pytest.mark.parametrize("separator", [None, "\n\n"])
    def test_a_document_that_is_too_long(self, tokenize, tmp_path, monkeypatch, separator):
        """It would take a hundred times its size in memory, and is not even read to its end."""
        for module in (sources, encoding):
            monkeypatch.setattr(module, "MAX_DOCUMENT_SIZE", 1000)
        monkeypatch.setattr(sources, "CHUNK_SIZE", 301)
        (tmp_path / "a.txt").write_text("All in one. " * 500 + "\n\nThe end.")
        (tmp_path / "b.txt").write_text("Short.")
        with pytest.raises(
            ValueError, match="a.txt has more than 1,000 characters, which .* Say what stands between the"
        ):
            tokenize(tmp_path, separator=separator)
        shards = tokenize(tmp_path, separator=separator, skip_bad=True)
        assert documents(shards) == (["Short."] if separator is None else ["The end.", "Short."])

    def test_the_parts_of_a_document_that_is_too_long_make_no_separator(self, tokenize, tmp_path, monkeypatch):
        for module in (sources, encoding):
            monkeypatch.setattr(module, "MAX_DOCUMENT_SIZE", 1000)
        monkeypatch.setattr(sources, "CHUNK_SIZE", 301)
        long = "a" * 999 + "\n" + "b" * 202 + "\n" + "c" * 300
        (tmp_path / "a.txt").write_text(long + "\n\nThe end.")
        assert documents(tokenize(tmp_path, separator="\n\n", skip_bad=True)) == ["The end."]

    def test_the_share_that_is_done_is_of_bytes(self, tokenize, tmp_path, small_batches):
        """Also for text with several bytes a character. The disk must have room for the rest by this share."""
        datasets = pytest.importorskip("datasets", reason="datasets is not part of this environment")
        (tmp_path / "a.txt").write_text("床前明月光\n" * 400)
        datasets.Dataset.from_dict({"text": TEXTS * 9}).to_parquet(tmp_path / "b.parquet")
        for name, separator in (("a.txt", "\n"), ("b.parquet", None)):
            seen = []
            tokenize(tmp_path / name, separator=separator, output=f"of-{name}", on_progress=seen.append)
            shares = np.array([one.share for one in seen])
            np.testing.assert_allclose(shares, np.linspace(shares[0], 1, len(shares)), atol=0.05)


class TestHeldOut:
    def test_a_share_by_the_hash_of_the_text(self, tokenize, tmp_path, jsonl):
        (tmp_path / "again.jsonl").write_text("".join(reversed(jsonl.read_text().splitlines(keepends=True))))
        shards = tokenize(jsonl, tmp_path / "again.jsonl", validation=0.2)
        held_out = documents(shards, "validation")
        assert 4 <= len(set(held_out)) <= 20 and len(held_out) == 2 * len(set(held_out))
        assert set(held_out) | set(documents(shards)) == set(TEXTS)
        assert set(held_out).isdisjoint(documents(shards))

    def test_a_number(self, tokenize, jsonl, small_batches):
        shards = tokenize(jsonl, validation=7)
        assert len(documents(shards, "validation")) == 7
        assert sorted(documents(shards, "validation") + documents(shards)) == sorted(TEXTS)

    def test_a_number_that_leaves_nothing(self, tokenize, jsonl):
        """Equal texts are held out together."""
        jsonl.write_text(jsonl.read_text() * 2)
        with pytest.raises(
            ValueError,
            match="`validation` must leave documents to train on, but got 60, and .* have 60 different ones",
        ):
            tokenize(jsonl, validation=60)


class TestProcesses:
    def test_their_number_changes_nothing(self, tokenize, jsonl, small_batches, tmp_path):
        options = {"validation": 5, "shard_size": 400}
        tokenize(jsonl, output="one", num_processes=1, **options)
        tokenize(jsonl, output="two", num_processes=2, **options)
        assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
        assert len(files_of(tmp_path / "one")) > 20

    def test_one_that_is_killed(self, tokenize, jsonl, monkeypatch):
        monkeypatch.setattr("modeling_llada.training.tokenizing.workers._call", kill)
        with pytest.raises(ChildProcessError, match="a worker process was killed, perhaps because memory ran out"):
            tokenize(jsonl, num_processes=2)


def kill(*args):
    os._exit(9)


class TestGoingOn:
    @pytest.mark.parametrize("batches", [1, 4, 11])
    def test_the_files_are_those_of_a_run_without_interruption(
        self, tokenize, jsonl, small_batches, tmp_path, batches
    ):
        options = {"validation": 5, "shard_size": 400}
        tokenize(jsonl, output="whole", **options)
        seen = []

        def interrupt(progress):
            seen.append(progress)
            if progress.tokens and len([one for one in seen if one.tokens]) == batches:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            tokenize(jsonl, on_progress=interrupt, **options)
        with pytest.raises(
            ValueError, match="must be finished, but .*tokens is not. Run its `llada tokenize` command"
        ):
            TokenShards(tmp_path / "tokens")
        tokens = seen[-1].tokens
        seen.clear()
        tokenize(jsonl, on_progress=seen.append, **options)
        assert seen[0].tokens > tokens, "it begins behind what was done"
        assert files_of(tmp_path / "tokens") == files_of(tmp_path / "whole")

    def test_a_finished_folder(self, tokenize, jsonl, tmp_path):
        tokenize(jsonl)
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "tokens").rglob("*")}
        assert documents(tokenize(jsonl)) == TEXTS
        assert {path: path.stat().st_mtime_ns for path in (tmp_path / "tokens").rglob("*")} == before
        with pytest.raises(ValueError, match="begun with other options: `validation` was 0 and is 3. Give the same"):
            tokenize(jsonl, validation=3)

    def test_other_sources(self, tokenize, jsonl, tmp_path):
        tokenize(jsonl)
        jsonl.write_text('{"text": "Another text."}\n')
        with pytest.raises(
            ValueError, match=r"`sources` was .*texts.jsonl \(1 files, 5,\d+ bytes, .* and is .* 26 bytes"
        ):
            tokenize(jsonl)

    def test_a_source_of_the_same_size(self, tokenize, tmp_path):
        """Other text, or another table of the same name."""
        (tmp_path / "a.txt").write_text("Old words.")
        tokenize(tmp_path / "a.txt")
        (tmp_path / "a.txt").write_text("New words.")
        with pytest.raises(ValueError, match="`sources` was .* 10 bytes, sha256 .* and is .* 10 bytes, sha256"):
            tokenize(tmp_path / "a.txt")
        datasets = pytest.importorskip("datasets", reason="datasets is not part of this environment")
        for texts in (TEXTS, TEXTS[::-1]):
            datasets.Dataset.from_dict({"text": texts}).save_to_disk(tmp_path / str(len(os.listdir(tmp_path))))
        old, new = sorted(path for path in tmp_path.iterdir() if path.name.isdigit())
        tokenize(old, output="saved")
        assert documents(tokenize(old, output="saved")) == TEXTS
        corpus.shutil.rmtree(old)
        new.rename(old)
        with pytest.raises(ValueError, match="`sources` was"):
            tokenize(old, output="saved")

    def test_another_tokenizer_of_the_same_name(self, tokenize, jsonl, tmp_path):
        tokenize(jsonl, tokenizer=save_words(tmp_path / "words", 9))
        with pytest.raises(ValueError, match=r"`tokenizer` was '.*words \(sha256 .*\)' and is '.*words \(sha256"):
            tokenize(jsonl, tokenizer=save_words(tmp_path / "words", 10))

    def test_another_spelling_of_the_sources(self, tokenize, jsonl, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path.parent)
        tokenize(tmp_path.name)
        assert documents(tokenize(f"./{tmp_path.name}/")) == TEXTS

    def test_shards_of_another_run_without_progress(self, tokenize, jsonl, tokenizer, tmp_path):
        """A run that was killed before it saved its progress leaves shards, which must not become those of the next one."""
        tokenize(jsonl, shard_size=400)
        folder = tmp_path / "tokens"
        (folder / "manifest.json").unlink()
        (folder / "progress.json").write_text(json.dumps(vars(corpus.State({"validation": 3}))))
        tokenize(jsonl)
        assert sorted(path.name for path in folder.glob("*train*")) == [
            "train-00000.lengths.npy",
            "train-00000.tokens.npy",
        ]

    def test_damaged_progress(self, tokenize, jsonl, tmp_path):
        (tmp_path / "tokens").mkdir()
        (tmp_path / "tokens" / "progress.json").write_text("{}")
        with pytest.raises(
            ValueError, match="progress.json is damaged: .*Remove the folder .*tokens, and start again"
        ):
            tokenize(jsonl)

    def test_a_folder_of_something_else(self, tokenize, jsonl, tmp_path):
        (tmp_path / "tokens").mkdir()
        (tmp_path / "tokens" / "thesis.doc").write_text("years of work")
        with pytest.raises(ValueError, match="`output` must be new or empty, .* but .*tokens is something else"):
            tokenize(jsonl)

    def test_two_at_once(self, tokenize, jsonl, tmp_path):
        (tmp_path / "tokens").mkdir()
        if writing.fcntl is None:
            pytest.skip("there are no locks")
        with corpus.only_writer(tmp_path / "tokens"), pytest.raises(ValueError, match="another process writes into"):
            tokenize(jsonl)

    def test_a_full_disk(self, tokenize, jsonl, small_batches, monkeypatch):
        monkeypatch.setattr(corpus.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
        with pytest.raises(ValueError, match="`output` needs about 0.0 GB more, but its disk has 0.0 GB"):
            tokenize(jsonl)
        monkeypatch.undo()
        assert documents(tokenize(jsonl)) == TEXTS


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("line", "reason", "message"),
        [
            (b'{"text": "cut', "not JSON", "is not JSON: Unterminated string"),
            (b'["text"]', "not JSON", "is not a JSON object, but "),
            (b'{"body": "a", "title": "b"}', "no text", "has no field `text`, but body, title. Name the field with"),
            (b'{"text": null}', "no text", "has no text in `text`, but null"),
            (b'{"text": "caf\xe9"}', "not UTF-8", "is not UTF-8 at character 14. Save the file as UTF-8"),
            (b'{"text": "\\ud83d"}', "half a character", "has half of a character at character 1"),
        ],
    )
    def test_a_line(self, tokenize, tmp_path, line, reason, message):
        """The error names the file and the line. It may be left out, also after the error."""
        (tmp_path / "a.jsonl").write_bytes(b'{"text": "Good."}\n\n' + line + b'\n{"text": "  "}\n{"text": "Fine."}')
        with pytest.raises(ValueError) as error:
            tokenize(tmp_path / "a.jsonl")
        assert f"line 3 of {tmp_path}/a.jsonl {message}" in str(error.value) and "`--skip-bad`" in str(error.value)
        shards = tokenize(tmp_path / "a.jsonl", skip_bad=True)
        assert documents(shards) == ["Good.", "Fine."]
        place = f"of {tmp_path}/a.jsonl"
        left_out = {reason: {"documents": 1, "first": [f"line 3 {place}"]}}
        assert shards.manifest["left_out"] == left_out | {"empty": {"documents": 1, "first": [f"line 4 {place}"]}}

    def test_only_empty_texts(self, tokenize, tmp_path):
        (tmp_path / "a.txt").write_text(" \n")
        with pytest.raises(ValueError, match=r"`sources` must have documents .*, but have none: 1 left out \(empty\)"):
            tokenize(tmp_path / "a.txt")

    def test_the_text_of_a_special_token_is_other_text(self, tokenize, tmp_path):
        text = "He wrote <|mdm_mask|> and <|endoftext|>."
        (tmp_path / "a.txt").write_text(text)
        shards = tokenize(tmp_path / "a.txt")
        assert not np.isin(shards.splits["train"].tokens(), range(6)).any()
        assert documents(shards) == [text]
        assert shards.manifest["special_text"] == 1

    def test_a_special_token_that_the_tokenizer_does_not_encode_as_text(self, tokenize, tmp_path):
        (tmp_path / "a.txt").write_text("w7 [MASK] w8")
        with pytest.raises(
            ValueError, match="a.txt holds a special token. This tokenizer encodes the text of a special"
        ):
            tokenize(tmp_path / "a.txt", tokenizer=save_words(tmp_path / "words", 9))

    def test_unknown_words_that_would_be_the_end_of_a_document(self, tokenize, tmp_path):
        (tmp_path / "a.txt").write_text("w7 moon w8")
        with pytest.raises(
            ValueError, match="a.txt holds a special token. This tokenizer .* or what it does not know"
        ):
            tokenize(tmp_path / "a.txt", tokenizer=save_words(tmp_path / "words", 9, unk_token="</s>"))

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
    def test_utf_16(self, tokenize, tmp_path, encoding):
        (tmp_path / "a.txt").write_bytes("One.\nTwo.\n".encode(encoding))
        (tmp_path / "b.txt").write_text("Three.")
        shards = tokenize(tmp_path, separator="\n", skip_bad=True)
        assert documents(shards) == ["Three."]
        with pytest.raises(
            ValueError, match="document 1 of .*a.txt (is not UTF-8|has a NUL character, as UTF-16 has)"
        ):
            tokenize(tmp_path, separator="\n", output="b")

    def test_unknown_words_are_counted(self, tokenize, tmp_path):
        (tmp_path / "a.txt").write_text("w7 moon w8 stars")
        assert tokenize(tmp_path / "a.txt", tokenizer=save_words(tmp_path / "words", 9)).manifest["unknown"] == 2

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"tokenizer": None}, "give either `tokenizer`, .* or `train_tokenizer`"),
            ({"train_tokenizer": 500}, "give either `tokenizer`, .* or `train_tokenizer`"),
            ({"tokenizer": None, "train_tokenizer": 100}, "`train_tokenizer` must be at least 262, .* but got 100"),
            (
                {"tokenizer": "nowhere"},
                "`tokenizer` must be a folder or a Hub id with a tokenizer, but 'nowhere' cannot",
            ),
            ({"validation": float("nan")}, "`validation` must be a share .*, but got nan"),
            ({"validation": float("inf")}, "`validation` must be a share .*, but got inf"),
            ({"validation": 1.5}, "`validation` must be a share in .* or a whole number of documents, but got 1.5"),
            ({"separator": ""}, "`separator` must not be empty"),
            ({"num_processes": 0}, "`num_processes` must be at least 1, but got 0"),
        ],
    )
    def test_options(self, tokenize, jsonl, tmp_path, options, message):
        with pytest.raises(ValueError, match=message):
            tokenize(jsonl, **options)
        assert not (tmp_path / "tokens").exists()

    def test_a_tokenizer_without_mask_token(self, tokenize, jsonl, tokenizer, tmp_path):
        bare = AutoTokenizer.from_pretrained(tokenizer)
        bare.mask_token = None
        bare.save_pretrained(tmp_path / "bare")
        with pytest.raises(
            ValueError, match=r"but has no mask_token. Call `tokenizer.add_special_tokens\({\S+ \S+}\)`"
        ):
            tokenize(jsonl, tokenizer=str(tmp_path / "bare"))

    def test_a_mask_token_with_another_task(self, tokenize, jsonl, tmp_path):
        for name in ("</s>", "<s>", "<unk>"):
            with pytest.raises(
                ValueError, match=f"must have a mask token of its own, but '{name}' is also its `.*_token`"
            ):
                tokenize(jsonl, tokenizer=save_words(tmp_path / "words", 9, mask_token=name))

    def test_a_home_folder(self, tokenize, jsonl, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        save_words(tmp_path / "words", 9)
        tokenize(f"~/{jsonl.name}", tokenizer="~/words", output="tokens")
        assert TokenShards("~/tokens").vocab_size == 13
