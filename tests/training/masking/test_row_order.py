# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Noise that belongs to a row, and the order in which rows come."""

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader


pytest.importorskip("datasets", reason="datasets is not part of this environment")

from accelerate.data_loader import prepare_data_loader, skip_first_batches
from datasets import Dataset

from modeling_llada.training.masking.noise import RowNoise
from modeling_llada.training.masking.row_order import EpochSampler, EvaluationSampler, NumberedRows, RowKey


def keys_of(loader):
    return [key for batch in loader for key in batch]


class TestRates:
    def test_are_above_eps_and_at_most_one(self):
        noise = RowNoise(0, "train", eps=0.1)
        rates = [noise.rate(epoch, position) for epoch in range(20) for position in range(50)]
        assert all(0.1 < rate <= 1.0 for rate in rates)

    @pytest.mark.parametrize("size", [4, 8, 16, 64])
    def test_any_run_of_rows_covers_them_evenly(self, size):
        """Independent rates would leave a quarter empty in one run of eight out of four."""
        noise = RowNoise(0, "train", eps=0.0)
        for epoch in range(3):
            rates = torch.tensor([noise.rate(epoch, position) for position in range(300)])
            for first in range(300 - size):
                counts = torch.histc(rates[first : first + size], bins=4, min=0, max=1)
                assert (counts - size / 4).abs().max() <= 2

    def test_are_uniform_for_each_row(self):
        noise = RowNoise(1, "train", eps=0.0)
        for position in (0, 5):
            rates = torch.tensor([noise.rate(epoch, position) for epoch in range(2000)])
            assert (torch.histc(rates, bins=10, min=0, max=1) / 2000 - 0.1).abs().max() < 0.025

    def test_keep_their_digits_at_large_positions(self):
        noise = RowNoise(0, "train")
        assert len({noise.rate(0, 10**15 + position) for position in range(1000)}) == 1000

    def test_seed_epoch_and_stream_change_them(self):
        assert RowNoise(0, "train").rate(0, 0) == RowNoise(0, "train").rate(0, 0)
        others = [RowNoise(1, "train").rate(0, 0), RowNoise(0, "train").rate(1, 0), RowNoise(0, "eval").rate(0, 0)]
        assert len({RowNoise(0, "train").rate(0, 0), *others}) == 4


class TestMasks:
    def test_are_functions_of_seed_epoch_and_example(self):
        def draw(seed=0, epoch=0, index=0, length=20):
            return torch.rand(length, generator=RowNoise(seed, "train").generator(epoch, index)).tolist()

        assert draw() == draw()
        assert draw(length=30)[:20] == draw(), "filling a row with EOS leaves the noise of its response alone"
        assert len({tuple(draw()), tuple(draw(seed=1)), tuple(draw(epoch=1)), tuple(draw(index=1))}) == 4


class TestEpochSampler:
    def test_an_order_for_each_epoch(self):
        sampler = EpochSampler(50, seed=4)
        orders = []
        for epoch in (0, 1, 0):
            sampler.set_epoch(epoch)
            keys = list(sampler)
            assert [key.epoch for key in keys] == [epoch] * 50
            assert [key.position for key in keys] == list(range(50))
            orders.append([key.index for key in keys])
        assert sorted(orders[0]) == list(range(50)) and orders[0] != list(range(50))
        assert orders[0] == orders[2] != orders[1]
        assert orders[0] != [key.index for key in EpochSampler(50, seed=5)]

    def test_no_shuffling(self):
        assert [key.index for key in EpochSampler(5, shuffle=False)] == [0, 1, 2, 3, 4]

    def test_neighbours_of_similar_length(self):
        lengths = torch.randint(1, 1000, (640,), generator=torch.Generator().manual_seed(0)).tolist()
        keys = list(EpochSampler(640, lengths=lengths, group_size=8))
        assert sorted(key.index for key in keys) == list(range(640))
        spreads = []
        for first in range(0, 640, 8):
            group = [lengths[key.index] for key in keys[first : first + 8]]
            spreads.append(max(group) - min(group))
        assert sorted(spreads)[len(spreads) // 2] < 100

    def test_what_fills_up_the_last_batch_is_no_example(self):
        sampler = EpochSampler(5, multiple=4)
        keys = list(sampler)
        assert len(sampler) == len(keys) == 8
        assert [key.index is None for key in keys] == [False] * 5 + [True] * 3

    @pytest.mark.parametrize("skipped", [0, 2])
    @pytest.mark.parametrize("num_processes", [1, 2])
    def test_a_run_that_resumes_knows_its_epoch(self, num_processes, skipped):
        """After `skip_first_batches` on several processes, accelerate reaches the dataset alone."""
        rows = NumberedRows(Dataset.from_dict({"input_ids": [[i] for i in range(12)]}), RowNoise(0, "train"), filler=0)
        rows.sampler = EpochSampler(12, seed=1, multiple=2 * num_processes)
        expected = EpochSampler(12, seed=1, multiple=2 * num_processes)
        expected.set_epoch(3)

        batches = list(BatchSampler(expected, 2, drop_last=False))
        for process in range(num_processes):
            loader = DataLoader(rows, batch_size=2, sampler=rows.sampler, collate_fn=list)
            loader = prepare_data_loader(loader, num_processes=num_processes, process_index=process)
            loader = skip_first_batches(loader, skipped) if skipped else loader
            loader.set_epoch(3)
            got = [[row.input_ids[0] for row in batch] for batch in loader]
            assert got == [[key.index for key in batch] for batch in batches[process::num_processes]][skipped:]

    def test_documents_of_packed_rows_have_places_of_their_own(self):
        """The rates of a run of rows are then as even as those of as many rows of one document."""
        documents = [3, 1, 2, 5]
        sampler = EpochSampler(4, seed=1, multiple=3, documents=documents)
        keys = list(sampler)
        order = sampler.order(0)
        before = [sum(documents[index] for index in order[:place]) for place in range(4)]
        assert [key.position for key in keys] == [*before, 11, 12]
        assert [key.index for key in keys] == [*order, None, None]


class TestEvaluationSampler:
    def test_all_rows_for_each_noise_sample(self):
        sampler = EvaluationSampler(3, num_samples=2, multiple=4)
        keys = list(sampler)
        assert len(sampler) == len(keys) == 8
        assert [(key.epoch, key.index) for key in keys[:6]] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
        assert [key.position for key in keys] == list(range(8)) and keys[6].index is keys[7].index is None

    def test_documents_of_packed_rows(self):
        keys = list(EvaluationSampler(2, num_samples=2, multiple=5, documents=[3, 2]))
        assert [key.position for key in keys] == [0, 3, 5, 8, 10]
        assert [(key.epoch, key.index) for key in keys] == [(0, 0), (0, 1), (1, 0), (1, 1), (0, None)]


class TestNumberedRows:
    def test_without_labels_every_token_is_trained_on(self):
        rows = NumberedRows(Dataset.from_dict({"input_ids": [[4, 5]], "name": ["x"]}), RowNoise(0, "train"), filler=0)
        row = rows[next(iter(EpochSampler(1)))]
        assert row.input_ids == row.labels == [4, 5]
        assert row.rate == RowNoise(0, "train").rate(0, 0)

    def test_a_packed_row_is_a_list_of_documents(self):
        dataset = Dataset.from_dict(
            {"input_ids": [[4, 5, 6], [7]], "labels": [[-100, 5, 6], [7]], "seq_lengths": [[2, 1], [1]]}
        )
        rows, noise = NumberedRows(dataset, RowNoise(0, "train"), filler=0), RowNoise(0, "train")
        assert rows.documents == [2, 1]
        first, second = rows[RowKey(3, 10, 0)]
        assert (first.input_ids, first.labels, first.rate) == ([4, 5], [-100, 5], noise.rate(3, 10))
        assert (second.input_ids, second.labels, second.rate) == ([6], [6], noise.rate(3, 11))
        assert first.generator is second.generator
        assert torch.equal(torch.rand(9, generator=first.generator), torch.rand(9, generator=noise.generator(3, 0)))
        assert len(rows[RowKey(0, 0, 1)]) == 1
        assert rows[RowKey(0, 0, None)].labels == [-100]
