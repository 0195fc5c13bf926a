# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The schedule of the length of blocks. Runs with it are in sft/test_sft_blocks.py."""

from types import SimpleNamespace

import pytest

from modeling_llada.training import BlockLengthCallback


class TestSchedule:
    def test_of_the_report(self):
        """1, 4, 32 and 64 in the warm-up, 4096, and then halves of it down to 32."""
        lengths = BlockLengthCallback.warmup_stable_decay(4096).lengths
        assert list(lengths.values()) == [1, 4, 32, 64, 4096, 2048, 1024, 512, 256, 128, 64, 32]
        assert list(lengths)[:5] == pytest.approx([0, 0.025, 0.05, 0.075, 0.1])
        assert list(lengths)[5:] == pytest.approx([0.8 + 0.2 * number / 7 for number in range(7)])

    def test_steps(self):
        callback = BlockLengthCallback.warmup_stable_decay(16, shortest=4, warmup=0.2, decay=0.4)
        assert [callback.length_at(step, 10) for step in range(10)] == [1, 4, 16, 16, 16, 16, 8, 8, 4, 4]

    def test_without_warm_up_or_decay(self):
        assert BlockLengthCallback.warmup_stable_decay(32, warmup=0, decay=0).lengths == {0: 32}
        callback = BlockLengthCallback.warmup_stable_decay(8, shortest=4, warmup=0, decay=1)
        assert [callback.length_at(step, 4) for step in range(4)] == [4, 4, 4, 4]

    def test_a_run_that_stops_early_leaves_the_last_length(self):
        """Else another trainer with the same arguments would generate in blocks of the length in between."""
        callback, args = BlockLengthCallback({0: 1, 0.5: 4}), SimpleNamespace(block_length=4)
        callback.on_step_begin(args, SimpleNamespace(global_step=2, max_steps=10), None)
        assert args.block_length == 1
        callback.on_train_end(args, None, None)
        assert args.block_length == 4


class TestBadInput:
    @pytest.mark.parametrize("lengths", [{}, {0.5: 4}, {0: 4, 1: 8}])
    def test_shares(self, lengths):
        with pytest.raises(ValueError, match="`lengths` must map shares of the steps to lengths, from 0 on"):
            BlockLengthCallback(lengths)

    @pytest.mark.parametrize("length", [0, 2.5])
    def test_lengths(self, length):
        with pytest.raises(ValueError, match="`lengths` must be positive integers"):
            BlockLengthCallback({0: length})

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"longest": 48}, "`longest` must be `shortest` times a power of 2"),
            ({"longest": 16}, "`longest` must be `shortest` times a power of 2"),
            ({"longest": 64, "warmup": 0.6, "decay": 0.6}, "`warmup` and `decay` must be shares"),
            ({"longest": 64, "decay": 0}, "`decay` must be above 0, so that `longest`, 64, comes down to `shortest`"),
        ],
        ids=str,
    )
    def test_of_the_report(self, options, message):
        with pytest.raises(ValueError, match=message):
            BlockLengthCallback.warmup_stable_decay(**options)
