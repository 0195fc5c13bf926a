# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Documents come from every kind of source, in order, and nothing is left out in silence."""

import os

import numpy as np
import pytest
from support.tokenized_texts import TEXTS, documents

from modeling_llada.training.tokenizing import encoding, sources


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
            for start in (1, 59, 60, 999, 1000, 1001, 2399, 2400):
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
