# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Tokens in shards that are mapped into memory: what a writer writes, and what the reader finds wrong."""

import json
import pickle

import numpy as np
import pytest

from modeling_llada.training import TokenShards
from modeling_llada.training.pretraining.token_shard_writing import SplitWriter, write_manifest


LENGTHS = np.random.default_rng(0).integers(1, 40, 100).astype(np.uint32)
TOKENS = np.arange(LENGTHS.sum()).astype(np.uint16)
SHARD_BYTES = 400


def add(writer, first, last):
    """Writes some of the documents, in two calls."""
    ends = np.cumsum([0, *LENGTHS])
    for start, stop in ((first, (first + last) // 2), ((first + last) // 2, last)):
        writer.add(TOKENS[ends[start] : ends[stop]], LENGTHS[start:stop])


def write_folder(folder):
    """Writes a folder with the documents as its training split."""
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")
    writer = SplitWriter(folder, "train", np.dtype(np.uint16), SHARD_BYTES)
    add(writer, 0, 100)
    ids = {"bos_token_id": 1, "eos_token_id": 2, "mask_token_id": 3}
    write_manifest(folder, dtype="uint16", vocab_size=5000, **ids, splits={"train": writer.finish()})
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("shards") / "tokens")


class TestReading:
    def test_is_one_array_over_all_shards(self, folder):
        train = TokenShards(folder).splits["train"]
        assert (train.num_tokens, train.num_documents) == (len(TOKENS), 100)
        assert len(list(folder.glob("train-*.tokens.npy"))) > 5
        np.testing.assert_array_equal(train.tokens(), TOKENS)
        np.testing.assert_array_equal(train.lengths(), LENGTHS)
        rng = np.random.default_rng(1)
        for start, stop in np.sort(rng.integers(0, len(TOKENS) + 1, (200, 2))):
            np.testing.assert_array_equal(train.tokens(start, stop), TOKENS[start:stop])
        np.testing.assert_array_equal(train.document_starts, np.cumsum([0, *LENGTHS])[:-1])

    def test_maps_the_files_instead_of_reading_them(self, folder):
        window = TokenShards(folder).splits["train"].tokens(3, 20)
        assert window.dtype == np.uint16
        assert isinstance(window, np.memmap)

    def test_a_shard_is_a_file_of_numpy_with_whole_documents(self, folder):
        tokens = np.load(folder / "train-00000.tokens.npy", mmap_mode="r")
        lengths = np.load(folder / "train-00000.lengths.npy")
        assert tokens.nbytes >= SHARD_BYTES > tokens.nbytes - 2 * lengths[-1]
        assert lengths.sum() == len(tokens)

    def test_travels_to_another_process_without_its_tokens(self, folder):
        train = TokenShards(folder).splits["train"]
        train.tokens(0, 10)
        copy = pickle.loads(pickle.dumps(train))
        np.testing.assert_array_equal(copy.tokens(), TOKENS)
        assert len(pickle.dumps(train)) < 10_000

    def test_a_part_that_is_not_there_is_an_error(self, folder):
        train = TokenShards(folder).splits["train"]
        with pytest.raises(IndexError, match="but got start 0 and stop 100000"):
            train.tokens(0, 100_000)
        with pytest.raises(IndexError, match="but got start -1 and stop 2"):
            train.tokens(-1, 2)
        with pytest.raises(IndexError, match="0 <= starts is needed, but got -1"):
            train.token_rows(np.array([3, -1]), 5)
        assert train.tokens(5, 5).shape == (0,)


class TestWhatIsWrong:
    def test_no_folder(self, tmp_path):
        with pytest.raises(ValueError, match="`folder` must hold a tokenised corpus, but .*nothing has no manifest"):
            TokenShards(tmp_path / "nothing")

    def test_a_folder_that_is_not_finished(self, tmp_path):
        (tmp_path / "progress.json").write_text("{}")
        with pytest.raises(ValueError, match="must be finished.* Run its `llada tokenize` command again"):
            TokenShards(tmp_path)

    @pytest.mark.parametrize("values, message", [({"format": "x"}, "something else"), ({"version": 7}, "version 7")])
    def test_another_format(self, tmp_path, values, message):
        manifest = write_folder(tmp_path / "tokens") / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | values))
        with pytest.raises(ValueError, match=message):
            TokenShards(manifest.parent)

    def test_a_tokenizer_that_is_missing(self, tmp_path):
        folder = write_folder(tmp_path / "tokens")
        (folder / "tokenizer" / "tokenizer.json").unlink()
        with pytest.raises(ValueError, match="tokenizer.json is missing. Copy it, or write the folder again"):
            TokenShards(folder)

    @pytest.mark.parametrize("name", ["vocab_size", "splits", "dtype", "tokenizer"])
    def test_a_manifest_that_lacks_something(self, tmp_path, name):
        manifest = write_folder(tmp_path / "tokens") / "manifest.json"
        values = json.loads(manifest.read_text())
        del values[name]
        manifest.write_text(json.dumps(values))
        with pytest.raises(ValueError, match=f"manifest.json is damaged: KeyError\\('{name}'\\). Copy it again"):
            TokenShards(manifest.parent)

    def test_a_manifest_of_other_files(self, tmp_path):
        """Else the tokens behind a shard of another length would be those of other documents."""
        manifest = write_folder(tmp_path / "tokens") / "manifest.json"
        text = manifest.read_text()
        manifest.write_text(text.replace("uint16", "uint32"))
        with pytest.raises(ValueError, match=r"tokens.npy must have \d+ numbers of uint32, .* but has \d+ of uint16"):
            TokenShards(manifest.parent).splits["train"].tokens(0, 5)
        values = json.loads(text)
        values["splits"]["train"][0]["tokens"] -= 1
        manifest.write_text(json.dumps(values))
        with pytest.raises(
            ValueError, match=r"train-00000.tokens.npy must have \d+ numbers of uint16, as manifest.json"
        ):
            TokenShards(manifest.parent).splits["train"].tokens(0, 5)

    def test_a_shard_with_a_damaged_header(self, tmp_path):
        shard = write_folder(tmp_path / "tokens") / "train-00001.tokens.npy"
        shard.write_bytes(bytes(16) + shard.read_bytes()[16:])
        with pytest.raises(ValueError, match="train-00001.tokens.npy is damaged: .*magic string"):
            TokenShards(shard.parent).splits["train"].tokens()

    def test_a_shard_that_is_missing_or_cut(self, tmp_path):
        shard = write_folder(tmp_path / "tokens") / "train-00001.tokens.npy"
        data = shard.read_bytes()
        shard.write_bytes(data[:-2])
        with pytest.raises(ValueError, match=r"train-00001.tokens.npy has \d+ bytes instead of \d+"):
            TokenShards(shard.parent)
        shard.unlink()
        with pytest.raises(ValueError, match="train-00001.tokens.npy is missing"):
            TokenShards(shard.parent)
        shard.write_bytes(data[:-2] + b"xx")
        with pytest.raises(
            ValueError, match="train-00001.tokens.npy is damaged: its hash is not that of manifest.json"
        ):
            TokenShards(shard.parent).check_hashes()


class TestGoingOn:
    @pytest.mark.parametrize("first, later", [(0, 50), (13, 13), (20, 55), (50, 100), (99, 100)])
    def test_the_files_are_those_of_a_writer_without_interruption(self, tmp_path, folder, first, later):
        """A killed writer may have written more than its last state says."""
        options = (tmp_path, "train", np.dtype(np.uint16), SHARD_BYTES)
        writer = SplitWriter(*options)
        add(writer, 0, first)
        state = json.loads(json.dumps(writer.state()))
        add(writer, first, later)
        writer.abandon()

        writer = SplitWriter(*options, state)
        add(writer, first, 100)
        assert writer.finish() == TokenShards(folder).manifest["splits"]["train"]
        files = sorted(path.name for path in folder.glob("train*"))
        assert sorted(path.name for path in tmp_path.iterdir()) == files
        assert all((tmp_path / name).read_bytes() == (folder / name).read_bytes() for name in files)

    @pytest.mark.parametrize("cut", [2, None])
    def test_a_file_that_has_lost_tokens(self, tmp_path, cut):
        """As after a power failure. They must not become zeros."""
        options = (tmp_path, "train", np.dtype(np.uint16), SHARD_BYTES)
        writer = SplitWriter(*options)
        add(writer, 0, 3)
        state = writer.state()
        writer.abandon()
        file = tmp_path / ".train-00000.tokens.npy.part"
        file.write_bytes(file.read_bytes()[:-cut]) if cut else file.unlink()
        for _ in range(2):
            with pytest.raises(
                ValueError, match="train-00000.tokens.npy lacks tokens that were written. Remove the folder"
            ):
                SplitWriter(*options, state)

    def test_a_shard_smaller_than_a_token(self, tmp_path):
        writer = SplitWriter(tmp_path, "train", np.dtype(np.uint32), 1)
        writer.add(np.arange(6), np.array([1, 2, 3]))
        assert [shard["tokens"] for shard in writer.finish()] == [1, 2, 3]

    def test_without_documents_there_are_no_files(self, tmp_path):
        assert SplitWriter(tmp_path, "validation", np.dtype(np.uint16), SHARD_BYTES).finish() == []
        assert list(tmp_path.iterdir()) == []
