# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Rows from a folder of token shards: which they are, their order in epochs, and what is refused."""

import itertools
import pickle
import random

import numpy as np
import pytest
from support.made_up_corpus import BOS, COMMA, EOS
from support.token_folder import made_up_documents, write_token_folder

from modeling_llada.training import RowEntry, ShardRows, TokenShards
from modeling_llada.training.pretraining.document_blocks import DocumentBlocks
from modeling_llada.training.pretraining.permutation import permuted
from modeling_llada.training.pretraining.sources import held_out_rows


DOCUMENTS = made_up_documents(300)
RUN = [token for document in DOCUMENTS for token in [BOS, *document, EOS]]
WINDOWS = RowEntry("windows", 32, 1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_token_folder(tmp_path_factory.mktemp("corpus") / "tokens", train=DOCUMENTS, validation=DOCUMENTS[:40])


def rows_of(folder, *entries, **options):
    return ShardRows(folder, [{"fraction": 1.0, "entries": list(entries)}], **options)


def epoch_of(rows, number=0):
    """All rows of an epoch, read in steps of one row each."""
    entry = rows.entries[0]
    size = rows.num_rows(entry)
    return rows.read(entry, number, size, slice(0, size))


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1000])
def test_a_permutation_of_any_size(size):
    orders = [permuted(np.arange(size), size, random.Random(seed)).tolist() for seed in range(2)]
    assert all(sorted(order) == list(range(size)) for order in orders)
    assert size < 10 or orders[0] != orders[1]


def test_a_permutation_looks_random():
    order = permuted(np.arange(100_000), 100_000, random.Random(0))
    assert abs(np.corrcoef(order, np.arange(100_000))[0, 1]) < 0.01
    assert abs(np.corrcoef(np.diff(order)[:-1], np.diff(order)[1:])[0, 1] + 0.5) < 0.02  # as of independent draws
    assert (np.diff(order) == 1).sum() < 10


class TestWindows:
    def test_are_the_whole_run_in_each_epoch(self, folder):
        assert len(list(folder.glob("train-*.tokens.npy"))) > 3
        rows = rows_of(folder, WINDOWS)
        number = len(RUN) // 32
        assert rows.num_rows(WINDOWS) == number
        epochs = [epoch_of(rows, epoch).tolist() for epoch in range(3)]
        for epoch in epochs:
            tilings = [[RUN[start + 32 * i :][:32] for i in range(number)] for start in range(len(RUN) % 32 + 1)]
            assert sorted(epoch) in map(sorted, tilings)
        assert epochs[0] != epochs[1] != epochs[2]

    @pytest.mark.parametrize("width", [2, 7, 200, 3000])
    def test_of_any_width(self, folder, width):
        rows = rows_of(folder, RowEntry("windows", width, 1.0))
        starts = np.arange(0, len(RUN) - width + 1)
        expected = np.lib.stride_tricks.sliding_window_view(np.array(RUN), width)
        np.testing.assert_array_equal(rows.windows(starts, width), expected)

    def test_steps_run_through_epochs(self, folder):
        rows = rows_of(folder, WINDOWS)
        number = rows.num_rows(WINDOWS)
        steps = [rows.read(WINDOWS, step, 7, slice(0, 7)) for step in range(2 * number // 7 + 1)]
        joined = np.concatenate(steps)[: 2 * number]
        np.testing.assert_array_equal(joined, np.concatenate([epoch_of(rows, 0), epoch_of(rows, 1)]))

    @pytest.mark.parametrize("kind", ["windows", "documents", "spans"])
    def test_processes_read_parts_of_the_same_rows(self, folder, kind):
        entry = RowEntry(kind, 16, 1.0)
        rows = rows_of(folder, entry, line_ends=[COMMA])
        whole = rows.read(entry, 5, 12, slice(0, 12))
        parts = [rows.read(entry, 5, 12, slice(start, start + 3)) for start in range(0, 12, 3)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
        in_another = pickle.loads(pickle.dumps(rows))
        np.testing.assert_array_equal(in_another.read(entry, 5, 12, slice(0, 12)), whole)

    def test_follow_the_seed(self, folder):
        first, again, other = (epoch_of(rows_of(folder, WINDOWS, seed=seed)).tolist() for seed in (1, 1, 2))
        assert first == again != other

    def test_many_documents_take_little_memory(self):
        class Many:
            num_documents = 10_000_000

            lengths = staticmethod(lambda start, stop: np.ones(stop - start, np.uint32))

        blocks = DocumentBlocks(Many(), lambda lengths: lengths + 2)
        assert len(blocks) == 30_000_000
        assert blocks.item_starts.nbytes + blocks.token_starts.nbytes < Many.num_documents * 0.51


def test_documents_do_not_share_rows(folder):
    rows = rows_of(folder, RowEntry("documents", 16, 1.0))
    whole = [[*document, EOS] for document in DOCUMENTS]
    pieces = [document[start : start + 16] for document in whole for start in range(0, len(document), 16)]
    expected = [piece + [EOS] * (16 - len(piece)) for piece in pieces]
    assert sorted(epoch_of(rows).tolist()) == sorted(expected)


def test_spans_are_whole_lines_of_one_document(folder):
    rows = epoch_of(rows_of(folder, RowEntry("spans", 24, 1.0), line_ends=[COMMA])).tolist()
    assert len(rows) == len(DOCUMENTS)
    lines = [[list(line) for line in split_after(document, COMMA)] for document in DOCUMENTS]
    spans = {
        tuple(itertools.chain(*document[first : first + count]))
        for document in lines for count in (2, 3, 4) for first in range(len(document) - count + 1)
    }  # fmt: skip
    assert all(tuple(row[: row.index(EOS)] if EOS in row else row) in spans for row in rows)


def split_after(document, end):
    line = []
    for token in document:
        line.append(token)
        if token == end:
            yield line
            line = []
    if line:
        yield line


def test_held_out_windows(folder):
    rows = held_out_rows(folder, "validation", 32)
    run = [token for document in DOCUMENTS[:40] for token in [BOS, *document, EOS]]
    assert rows.tolist() == [run[start : start + 32] for start in range(0, len(run) - 31, 32)]
    fewer = held_out_rows(folder, "validation", 32, most=5)
    assert len(fewer) == 5 and fewer[0].tolist() == rows[0].tolist() and fewer[-1].tolist() == rows[-1].tolist()


class TestErrors:
    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ({"kind": "exact", "width": 12}, "`kind` must be one of windows, documents, spans"),
            ({"kind": "windows", "width": 12, "famous": 0.5}, "`famous` must be 0"),
            ({"kind": "spans", "width": 12}, "`line_ends` must name the tokens"),
            ({"kind": "windows", "width": 100_000}, r"`width` must be at most .* of .*tokens has .* in 300 documents"),
        ],
        ids=["exact", "famous", "no line ends", "short"],
    )
    def test_rows_that_a_folder_has_not(self, folder, entry, message):
        with pytest.raises(ValueError, match=message):
            rows_of(folder, entry | {"share": 1.0})

    def test_a_split_that_is_not_there(self, folder):
        with pytest.raises(ValueError, match="`split` must be .* train, validation, but got 'test'"):
            rows_of(TokenShards(folder), WINDOWS, split="test")

    def test_a_shard_that_is_missing(self, tmp_path):
        folder = write_token_folder(tmp_path / "tokens", train=DOCUMENTS)
        (folder / "train-00001.tokens.npy").unlink()
        with pytest.raises(ValueError, match="train-00001.tokens.npy is missing"):
            rows_of(folder, WINDOWS)

    def test_no_lines_at_all(self, folder):
        entry = RowEntry("spans", 24, 1.0)
        with pytest.raises(ValueError, match="but 300 documents in a row have none. Make the `width` larger"):
            rows_of(folder, entry, line_ends=[97 + 500])
