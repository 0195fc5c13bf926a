# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Text becomes shards of tokens, also after interruptions, and never silently wrong. `test_sources.py` has where it comes from."""

import json
import os

import numpy as np
import pytest
from support.tokenized_texts import TEXTS, documents, files_of, save_words
from transformers import AutoTokenizer

from modeling_llada import writing
from modeling_llada.training import TokenShards, tokenize_corpus
from modeling_llada.training.tokenizing import corpus


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


def test_a_tokenizer_with_several_chat_templates(tokenize, jsonl, tokenizer, tmp_path):
    """They are files in a folder of their own."""
    chatty = AutoTokenizer.from_pretrained(tokenizer)
    chatty.chat_template = {"default": "{{ messages }}", "tool_use": "{{ tools }}"}
    chatty.save_pretrained(tmp_path / "chatty")
    shards = tokenize(jsonl, tokenizer=tmp_path / "chatty")
    shards.check_hashes()
    assert AutoTokenizer.from_pretrained(shards.tokenizer).chat_template == chatty.chat_template


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

    def test_a_run_that_was_killed_at_its_first_file(self, tokenize, jsonl, tmp_path):
        (tmp_path / "tokens").mkdir()
        writing.hidden_sibling(tmp_path / "tokens" / "progress.json", "part").touch()
        assert documents(tokenize(jsonl)) == TEXTS
        assert not list((tmp_path / "tokens").glob(".*"))

    def test_what_a_killed_run_was_just_writing(self, tokenize, jsonl, tmp_path):
        def interrupt(progress):
            raise KeyboardInterrupt

        tokenize(jsonl, output="whole")
        with pytest.raises(KeyboardInterrupt):
            tokenize(jsonl, on_progress=interrupt)
        for _ in range(2):  # it goes on, and it is finished
            (tmp_path / "tokens" / "progress.json").touch()
            writing.hidden_sibling(tmp_path / "tokens" / "progress.json", "part").touch()
            tokenize(jsonl)
            assert files_of(tmp_path / "tokens") == files_of(tmp_path / "whole")

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

    @pytest.mark.parametrize("names", ["books", []])
    def test_no_list_of_sources(self, tmp_path, names):
        with pytest.raises(ValueError, match="`sources` must be a list of at least one .*, but got "):
            tokenize_corpus(names, tmp_path / "tokens", train_tokenizer=300)

    def test_paths(self, jsonl, tokenizer, tmp_path):
        assert documents(tokenize_corpus([jsonl], tmp_path / "tokens", tokenizer, validation=0)) == TEXTS
        with pytest.raises(ValueError, match="a source must be a file or folder, or a dataset that can be loaded"):
            tokenize_corpus([tmp_path.relative_to("/") / "nothing"], tmp_path / "b", tokenizer)

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
