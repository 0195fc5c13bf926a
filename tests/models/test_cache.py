# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The block cache and the suffix window: when they are exact, what they recompute, and what else may go with them.

The tokens of Fast-dLLM's prefix and dual cache are in test_golden.py.
"""

import peft
import pytest
import torch
from support.parallel_rules import PARALLEL_RULES
from transformers import StoppingCriteria

from modeling_llada.models import cache_llada
from modeling_llada.models.blocks_llada import Block
from modeling_llada.models.cache_llada import VICINITY, LLaDACache, LLaDACacheLayer, window_of
from modeling_llada.models.guidance_llada import guided_logits


MASK, EOS, PAD = 98, 1, 1
CACHES = pytest.mark.parametrize("block_cache", ["dual", "prefix", "vicinity"])
SIZES = {"max_new_tokens": 20, "block_length": 8}  # the last block is shorter
SMALL = {"max_new_tokens": 12, "block_length": 5}
OPTIONS = [
    SMALL,
    {"max_new_tokens": 12},  # one block
    {**SMALL, "steps": 7, "remasking": "margin"},
    {**SMALL, "cfg_scale": 1.5},
    *(SMALL | rule for rule in PARALLEL_RULES.values()),
    {**SMALL, "suffix_window": 3},
    {**SMALL, "cfg_scale": 0.5, "confidence_threshold": 0.2, "suffix_window": 0},
    {**SMALL, "logits_eos_inf": True, "confidence_eos_eot_inf": True, "eos_token_id": list(range(2, 30))},
    {**SMALL, "eos_token_id": list(range(2, 12)), "confidence_threshold": 0.2},
    {"max_new_tokens": 0, "confidence_threshold": 0.2},
]
WITH_OPTIONS = pytest.mark.parametrize("options", OPTIONS, ids=str)


@pytest.fixture
def model(tiny_model):
    return tiny_model()


@pytest.fixture
def recomputed(model):
    """The shapes of what the model was called with, (rows, positions)."""
    shapes = []
    model.model.embed_tokens.register_forward_hook(lambda module, args, output: shapes.append(tuple(args[0].shape)))
    return shapes


def details(model, prompt, **options):
    return model.generate(**prompt, return_dict_in_generate=True, output_trajectory=True, **options)


def assert_same(first, second):
    """The same tokens at the same steps, with as many forward passes; the same confidences but for rounding."""
    assert torch.equal(first.sequences, second.sequences)
    assert torch.equal(first.num_forward_passes, second.num_forward_passes)
    assert torch.equal(first.trajectory[0], second.trajectory[0])
    torch.testing.assert_close(first.trajectory[1], second.trajectory[1], rtol=1e-4, atol=1e-6, equal_nan=True)


def row_of(prompt, row):
    """A row of a padded batch by itself, and its padding."""
    zeros = int((prompt["attention_mask"][row] == 0).sum())
    return {"input_ids": prompt["input_ids"][row : row + 1, zeros:]}, zeros


class TestLayer:
    def states(self, length, seed=0, batch=2):
        return torch.randn(2, batch, 3, length, 4, generator=torch.Generator().manual_seed(seed)).unbind()

    def test_a_refresh_stores_everything(self):
        layer, (keys, values) = LLaDACacheLayer(), self.states(10)
        for stored, given in zip(layer.update(keys, values), (keys, values), strict=True):
            assert torch.equal(stored, given) and stored.data_ptr() != given.data_ptr()

    def test_a_window_is_written_in_place_and_the_rest_stays(self):
        layer, (keys, values) = LLaDACacheLayer(), self.states(10)
        layer.update(keys, values)
        memory = layer.keys.data_ptr(), layer.values.data_ptr()
        new_keys, new_values = self.states(3, seed=1)
        stored = layer.update(new_keys, new_values, torch.tensor([4, 5, 6, 14, 15, 16]))
        for whole, old, new in zip(stored, (keys, values), (new_keys, new_values), strict=True):
            assert torch.equal(whole, torch.cat([old[:, :, :4], new, old[:, :, 7:]], dim=2))
        assert (layer.keys.data_ptr(), layer.values.data_ptr()) == memory

    def test_a_refresh_of_the_same_shape_moves_no_memory(self):
        """A CUDA graph reads where it read before."""
        layer = LLaDACacheLayer()
        layer.update(*self.states(10))
        memory = layer.keys.data_ptr(), layer.values.data_ptr()
        keys, values = self.states(10, seed=1)
        layer.update(keys, values)
        assert torch.equal(layer.keys, keys) and torch.equal(layer.values, values)
        assert (layer.keys.data_ptr(), layer.values.data_ptr()) == memory

    @pytest.mark.parametrize("length, batch", [(12, 2), (10, 1), (7, 3)])
    def test_a_refresh_of_another_shape(self, length, batch):
        layer = LLaDACacheLayer()
        layer.update(*self.states(10))
        keys, values = self.states(length, batch=batch)
        layer.update(keys, values)
        assert torch.equal(layer.keys, keys) and torch.equal(layer.values, values)

    def test_select_rows(self):
        layer, (keys, values) = LLaDACacheLayer(), self.states(10, batch=4)
        layer.update(keys, values)
        layer.select_rows(torch.tensor([0, 3]))
        assert torch.equal(layer.keys, keys[[0, 3]]) and torch.equal(layer.values, values[[0, 3]])

    def test_rows_have_windows_of_their_own(self):
        layer, (keys, values) = LLaDACacheLayer(), self.states(10)
        layer.update(keys, values)
        new_keys, new_values = self.states(2, seed=1)
        stored, _ = layer.update(new_keys, new_values, torch.tensor([1, 2, 17, 18]))
        assert torch.equal(stored[0, :, 1:3], new_keys[0]) and torch.equal(stored[1, :, 7:9], new_keys[1])
        assert torch.equal(stored[0, :, 3:], keys[0, :, 3:]) and torch.equal(stored[1, :, :7], keys[1, :, :7])


class TestCache:
    def test_mask_sizes(self):
        """Queries of a window attend to the whole canvas; a refresh attends to itself, whatever was stored."""
        cache = LLaDACache(2)
        assert cache.get_mask_sizes(12, 0) == (12, 0)
        for layer in range(2):
            cache.update(torch.zeros(1, 2, 12, 4), torch.zeros(1, 2, 12, 4), layer)
        cache.window = torch.arange(4, 8)[None]
        assert cache.get_mask_sizes(4, 1) == (12, 0)
        cache.window = None
        assert cache.get_mask_sizes(20, 1) == (20, 0)

    def test_no_position_is_past(self):
        cache = LLaDACache(1)
        cache.update(torch.zeros(1, 2, 12, 4), torch.zeros(1, 2, 12, 4), 0)
        assert cache.get_seq_length() == 0

    @staticmethod
    def windows(kind, length, *spans):
        """The windows of rows whose blocks are at these spans: for each the distinct positions, first and last."""
        counts = [torch.tensor([stop - start]) for start, stop in spans]
        blocks = [Block.at(slice(*span), count, count, max_steps=1) for span, count in zip(spans, counts, strict=True)]
        window = window_of(Block.join(blocks), kind, torch.full((len(spans),), length), length)
        rows = [row.unique() for row in window.positions]
        assert all(torch.equal(row, torch.arange(row[0], row[-1] + 1)) for row in rows)
        return [(row[0].item(), row[-1].item() + 1) for row in rows]

    def test_windows(self):
        assert self.windows("dual", 100, (40, 48)) == [(40, 48)]
        assert self.windows("prefix", 100, (40, 48)) == [(40, 100)]
        assert self.windows("vicinity", 100, (40, 48)) == [(40 - VICINITY, 48 + VICINITY)] == [(24, 64)]

    def test_the_vicinity_ends_where_the_canvas_does(self):
        assert self.windows("vicinity", 100, (4, 12)) == [(0, 28)]
        assert self.windows("vicinity", 100, (80, 96)) == [(64, 100)]
        assert self.windows("vicinity", 10, (0, 8)) == [(0, 10)]

    @pytest.mark.parametrize("kind", ["dual", "prefix", "vicinity"])
    def test_rows_at_different_blocks_have_the_windows_that_they_have_alone(self, kind):
        spans = [(4, 12), (40, 46), (93, 99)]
        assert self.windows(kind, 100, *spans) == [self.windows(kind, 100, span)[0] for span in spans]


class TestForward:
    @pytest.mark.parametrize("attn_implementation", ["sdpa", "eager"])
    @pytest.mark.parametrize("is_padded", [False, True])
    def test_a_window_of_an_unchanged_canvas_has_the_logits_of_the_whole(
        self, model, random_ids, attn_implementation, is_padded
    ):
        model.set_attn_implementation(attn_implementation)
        canvas, cache = random_ids(2, 24), LLaDACache(2)
        attention_mask = torch.ones(2, 24).long()
        attention_mask[0, :5] = 0
        position_ids = (attention_mask.cumsum(-1) - 1).clamp(min=0) if is_padded else torch.arange(24).expand(2, -1)
        options = {"cache": cache, "attention_mask": attention_mask if is_padded else None}
        with torch.no_grad():
            whole = model(canvas, position_ids=position_ids, **options).logits
            cache.window = torch.arange(9, 17).expand(2, -1)
            part = model(canvas[:, 9:17], position_ids=position_ids[:, 9:17], **options).logits
        torch.testing.assert_close(part, whole[:, 9:17])

    def test_positions_outside_the_window_are_as_old_as_the_last_refresh(self, model, random_ids):
        canvas, cache, window = random_ids(1, 24), LLaDACache(2), torch.arange(8, 16)[None]

        def logits():
            return model(canvas[:, 8:16], position_ids=window, cache=cache).logits

        with torch.no_grad():
            model(canvas, cache=cache)
            cache.window = window
            before = logits()
            canvas[0, 20] = 5
            assert torch.equal(logits(), before)
            canvas[0, 12] = 5
            assert not torch.allclose(logits(), before)
            cache.window = None
            refreshed = model(canvas, cache=cache).logits[:, 8:16]
            torch.testing.assert_close(refreshed, model(canvas).logits[:, 8:16])

    def test_both_halves_of_a_guided_pass_have_a_cache_of_their_own(self, model, random_ids):
        canvas, given, window = random_ids(2, 24), torch.arange(24).expand(2, -1) < 10, torch.arange(8, 16)
        unconditional = canvas.masked_fill(given, MASK)
        caches, options = [LLaDACache(2) for _ in range(3)], {"cfg_scale": 1.5, "mask_token_id": MASK}
        with torch.no_grad():
            for positions in (torch.arange(24), window):
                for cache in caches:
                    cache.window = None if len(positions) == 24 else window.expand(4 if cache is caches[0] else 2, -1)
                position_ids = positions.expand(2, -1)
                guided = guided_logits(
                    model,
                    canvas[:, positions],
                    given=given[:, positions],
                    attention_mask=None,
                    position_ids=position_ids,
                    logits_to_keep=torch.ones(2, len(positions), dtype=torch.bool),
                    cache=caches[0],
                    **options,
                )
                first, second = (
                    model(ids[:, positions], position_ids=position_ids, cache=cache).logits.flatten(0, 1)
                    for ids, cache in zip((canvas, unconditional), caches[1:], strict=True)
                )
                torch.testing.assert_close(guided, 2.5 * first - 1.5 * second, rtol=1e-4, atol=1e-4)
                # So that the second pass sees other tokens than the refresh.
                canvas[:, 10:16] = unconditional[:, 10:16] = 7


class TestExact:
    """A refresh at every step is no cache at all."""

    @WITH_OPTIONS
    def test_a_refresh_at_every_step(self, model, prompt, recomputed, options):
        exact = details(model, prompt, **options)
        shapes = recomputed.copy()
        for block_cache in ("dual", "prefix", "vicinity"):
            recomputed.clear()
            assert_same(details(model, prompt, block_cache=block_cache, cache_refresh_interval=1, **options), exact)
            assert recomputed == shapes

    @CACHES
    def test_a_refresh_at_every_step_when_tokens_are_drawn(self, model, prompt, block_cache):
        def draw(**options):
            generators = [torch.Generator().manual_seed(seed) for seed in range(4)]
            return details(
                model, prompt, temperature=1.0, remasking="random", generator=generators, **SMALL, **options
            )

        assert_same(draw(block_cache=block_cache, cache_refresh_interval=1), draw())

    @WITH_OPTIONS
    def test_a_vicinity_of_the_whole_canvas(self, model, prompt, options, monkeypatch):
        monkeypatch.setattr(cache_llada, "VICINITY", 100)
        assert_same(details(model, prompt, block_cache="vicinity", **options), details(model, prompt, **options))

    @CACHES
    def test_one_step_a_block(self, model, prompt, block_cache):
        """Nothing is left to be taken from the cache."""
        options = {**SIZES, "steps": 1}
        assert_same(details(model, prompt, block_cache=block_cache, **options), details(model, prompt, **options))

    def test_a_cache_is_an_approximation(self, model, prompt):
        """Otherwise the tests above would show nothing."""
        exact = details(model, prompt, **SIZES)
        for block_cache in ("dual", "prefix"):
            assert not torch.equal(details(model, prompt, block_cache=block_cache, **SIZES).sequences, exact.sequences)


class TestWindows:
    @WITH_OPTIONS
    def test_a_vicinity_of_nothing_is_the_dual_cache(self, model, prompt, options, monkeypatch):
        monkeypatch.setattr(cache_llada, "VICINITY", 0)
        vicinity = details(model, prompt, block_cache="vicinity", **options)
        assert_same(vicinity, details(model, prompt, block_cache="dual", **options))

    @pytest.mark.parametrize("interval", [None, 3])
    def test_in_the_last_block_the_prefix_cache_is_the_dual_cache(self, model, random_ids, interval):
        """With one block nothing follows it."""
        prompt = {"input_ids": random_ids(2, 12)}
        options = {"max_new_tokens": 20, "cache_refresh_interval": interval}
        dual = details(model, prompt, block_cache="dual", **options)
        assert_same(details(model, prompt, block_cache="prefix", **options), dual)


class TestRowsAreIndependent:
    @pytest.mark.parametrize("block_cache, interval", [("dual", None), ("prefix", 3), ("vicinity", 2)])
    @WITH_OPTIONS
    def test_a_padded_batch_equals_single_rows(self, model, prompt, block_cache, options, interval, monkeypatch):
        monkeypatch.setattr(cache_llada, "VICINITY", 3)
        options = {**options, "block_cache": block_cache, "cache_refresh_interval": interval}
        batch = details(model, prompt, **options)
        for row in range(4):
            single, zeros = row_of(prompt, row)
            alone = details(model, single, **options)
            assert torch.equal(batch.sequences[row, zeros:], alone.sequences[0])
            assert batch.num_forward_passes[row] == alone.num_forward_passes[0]
            assert torch.equal(batch.trajectory[0][row, zeros:], alone.trajectory[0][0])

    @CACHES
    @pytest.mark.parametrize("cfg_scale", [0.0, 1.0])
    def test_rows_that_are_done_with_a_block_leave_the_batch(self, model, prompt, recomputed, block_cache, cfg_scale):
        """And come back, refreshed, with the next block."""
        options = {"confidence_threshold": 0.2, "block_cache": block_cache, "cfg_scale": cfg_scale}
        output = details(model, prompt, stop_at_eos=False, **SIZES, **options)
        rows = [shape[0] // (2 if cfg_scale else 1) for shape in recomputed]
        assert sum(rows) == output.num_forward_passes.sum()
        # The prompt of row 1 holds no mask; there, and in the blocks of the answer, rows leave one after another.
        starts = [i for i in range(1, len(rows)) if rows[i] > rows[i - 1]]
        assert rows[0] == 3 and len(starts) == 3 and all(rows[i] == 4 for i in starts)
        assert len(set(rows)) == 4

    @CACHES
    def test_rows_that_ended_cost_nothing(self, model, prompt, recomputed, block_cache):
        """EOS stops each row by itself."""
        options = {**SIZES, "block_cache": block_cache, "eos_token_id": list(range(2, 12)), "pad_token_id": PAD}
        output = details(model, prompt, **options)
        assert len(set(output.num_forward_passes.tolist())) > 1
        assert sum(rows for rows, _ in recomputed) == output.num_forward_passes.sum()


class TestRecomputedPositions:
    """A prompt of 12 without masks, an answer of 20 in blocks of 8, 8 and 4, one token a step."""

    WINDOWS = {
        None: [[32] * 8, [32] * 8, [32] * 4],
        "dual": [[32] + [8] * 7, [32] + [8] * 7, [32] + [4] * 3],
        "prefix": [[32] + [20] * 7, [32] + [12] * 7, [32] + [4] * 3],
        # 16 positions on both sides, inside the canvas: 0 to 32, 4 to 32, 12 to 32.
        "vicinity": [[32] + [32] * 7, [32] + [28] * 7, [32] + [20] * 3],
    }

    @pytest.mark.parametrize("block_cache", WINDOWS)
    def test_positions_of_each_step(self, model, random_ids, recomputed, block_cache):
        model.generate(random_ids(1, 12), stop_at_eos=False, block_cache=block_cache, **SIZES)
        assert [length for _, length in recomputed] == sum(self.WINDOWS[block_cache], [])

    @pytest.mark.parametrize(
        "interval, refreshes", [(1, range(8)), (3, (0, 3, 6)), (7, (0, 7)), (8, (0,)), (100, (0,))]
    )
    def test_refresh_interval(self, model, random_ids, recomputed, interval, refreshes):
        """Counted from the start of each block."""
        options = {"block_cache": "vicinity", "cache_refresh_interval": interval, "stop_at_eos": False}
        model.generate(random_ids(1, 40), max_new_tokens=16, block_length=8, **options)
        expected = [[56 if step in refreshes else width for step in range(8)] for width in (8 + 32 - 8, 8 + 16)]
        assert [length for _, length in recomputed] == sum(expected, [])

    @pytest.mark.parametrize("block_cache", ["dual", "prefix", "vicinity", None])
    def test_suffix_window(self, model, random_ids, recomputed, block_cache):
        """Blocks 12-20, 20-28 and 28-32 see up to 22, 30 and 32."""
        model.generate(random_ids(1, 12), stop_at_eos=False, block_cache=block_cache, suffix_window=2, **SIZES)
        ends, starts, widths = (22, 30, 32), (12, 20, 28), (8, 8, 4)
        windows = {
            "dual": widths,
            "prefix": [end - start for start, end in zip(starts, ends, strict=True)],
            "vicinity": [end - max(0, start - 16) for start, end in zip(starts, ends, strict=True)],
            None: ends,
        }[block_cache]
        expected = [[end] + [window] * (width - 1) for end, window, width in zip(ends, windows, widths, strict=True)]
        assert [length for _, length in recomputed] == sum(expected, [])

    @CACHES
    def test_nothing_to_fill_costs_nothing(self, model, random_ids, recomputed, block_cache):
        ids = random_ids(2, 12)
        assert torch.equal(model.generate(ids, max_new_tokens=0, block_cache=block_cache), ids)
        assert not recomputed

    def test_only_the_masks_of_the_block_have_logits(self, model, random_ids):
        rows = []
        model.lm_head.register_forward_hook(lambda module, args, output: rows.append(len(output)))
        model.generate(random_ids(1, 12), stop_at_eos=False, block_cache="prefix", **SIZES)
        assert rows == [*range(8, 0, -1), *range(8, 0, -1), *range(4, 0, -1)]


class TestSuffixWindow:
    KINDS = pytest.mark.parametrize("block_cache", [None, "dual", "prefix", "vicinity"])

    @KINDS
    @pytest.mark.parametrize("suffix_window", [20, 10**9])
    def test_a_large_one_is_none(self, model, prompt, block_cache, suffix_window):
        options = {**SIZES, "block_cache": block_cache}
        assert_same(details(model, prompt, suffix_window=suffix_window, **options), details(model, prompt, **options))

    @KINDS
    @pytest.mark.parametrize("rule", [{}, {"confidence_threshold": 0.2}], ids=str)
    def test_without_a_suffix_each_block_is_a_call_of_its_own(self, model, prompt, block_cache, rule):
        """The canvas then ends with the active block."""
        options = {"block_cache": block_cache, "stop_at_eos": False, **rule}
        whole = model.generate(**prompt, suffix_window=0, **SIZES, **options)
        ids, attention_mask = prompt["input_ids"], prompt["attention_mask"]
        for length in (0, 8, 8, 4):
            ids = model.generate(ids, attention_mask=attention_mask, max_new_tokens=length, **options)
            attention_mask = torch.cat([attention_mask, attention_mask.new_ones(4, length)], dim=1)
        assert torch.equal(whole, ids)

    @KINDS
    def test_the_first_block_sees_as_many_masks_as_the_window_holds(self, model, random_ids, block_cache):
        ids = random_ids(2, 12)
        options = {"block_length": 8, "block_cache": block_cache, "stop_at_eos": False}
        narrow = model.generate(ids, max_new_tokens=20, suffix_window=5, **options)
        short = model.generate(ids, max_new_tokens=13, **options)
        assert torch.equal(narrow[:, :20], short[:, :20])
        assert not torch.equal(narrow[:, :20], model.generate(ids, max_new_tokens=20, **options)[:, :20])


class Watcher:
    """A streamer of drafts and confirmed text."""

    takes_steps = True

    def __init__(self):
        self.drafts, self.confirmed = [], []

    def put(self, value):
        self.confirmed.append(value.flatten())

    def put_draft(self, value, step, confidence, top_tokens):
        assert step == len(self.drafts)
        self.drafts.append(value)

    def end(self):
        self.drafts.append(None)


class TestWithTheOtherArguments:
    @CACHES
    def test_streamer(self, model, random_ids, block_cache):
        ids, streamer = random_ids(1, 12), Watcher()
        options = {**SIZES, "block_cache": block_cache, "stop_at_eos": False}
        sequences = model.generate(ids, streamer=streamer, **options)
        assert torch.equal(sequences, model.generate(ids, **options))
        assert torch.equal(torch.cat(streamer.confirmed), sequences[0])
        assert [draft.shape[1] for draft in streamer.drafts[:-1]] == [20] * 8 + [12] * 8 + [4] * 4
        assert streamer.drafts[-1] is None

    @CACHES
    def test_logits_processor(self, model, prompt, block_cache):
        """It sees the whole canvas of each mask, not the window."""
        shapes = set()

        def even_tokens_only(canvas, scores):
            shapes.add(canvas.shape[1])
            assert len(canvas) == len(scores)
            return scores.index_fill(-1, torch.arange(1, 99, 2), -torch.inf)

        options = {**SIZES, "block_cache": block_cache, "stop_at_eos": False}
        sequences = model.generate(**prompt, logits_processor=[even_tokens_only], **options)
        assert shapes == {32} and (sequences[:, 12:] % 2 == 0).all()

    @CACHES
    def test_stopping_criteria(self, model, prompt, recomputed, block_cache):
        """A row that is stopped inside a block leaves the batch at once; the others do not notice."""

        class StopRowTwo(StoppingCriteria):
            def __call__(self, canvas, scores):
                assert canvas.shape == (4, 32)
                filled = (canvas[:, 12:] != MASK).sum(-1)
                return (filled >= 3) & (torch.arange(4) == 2)

        options = {**SIZES, "block_cache": block_cache, "stop_at_eos": False}
        stopped = details(model, prompt, stopping_criteria=[StopRowTwo()], **options)
        passes, whole = sum(rows for rows, _ in recomputed), details(model, prompt, **options)
        assert passes == stopped.num_forward_passes.sum()
        assert stopped.stopped.tolist() == [False, False, True, False]
        assert (stopped.sequences[2, 12:] == PAD).sum() >= 17
        others = [0, 1, 3]
        assert torch.equal(stopped.sequences[others], whole.sequences[others])

    @CACHES
    def test_a_callable_that_picks_the_commits(self, model, prompt, block_cache):
        def leftmost(confidence, mask, budget):
            return mask & (mask.cumsum(-1) == 1)

        output = details(model, prompt, remasking=leftmost, block_cache=block_cache, stop_at_eos=False, **SIZES)
        assert not (output.sequences[prompt["attention_mask"].sum(-1) == 12] == MASK).any()
        assert (output.trajectory[0][:, 12:].diff(dim=-1) == 1).all()

    def test_adapters(self, model, prompt):
        """They change keys and values as if they were merged into the weights."""
        config = peft.LoraConfig(target_modules=["q_proj", "v_proj", "up_proj"], init_lora_weights=False)
        options = {**SMALL, "block_cache": "dual", "cache_refresh_interval": 3}
        plain = model.generate(**prompt, **options)
        adapted = peft.get_peft_model(model, config).eval()
        sequences = adapted.generate(**prompt, **options)
        assert not torch.equal(sequences, plain)
        assert torch.equal(adapted.merge_and_unload().generate(**prompt, **options), sequences)

    @CACHES
    def test_bfloat16(self, model, prompt, block_cache):
        sequences = model.to(torch.bfloat16).generate(**prompt, block_cache=block_cache, stop_at_eos=False, **SIZES)
        assert not (sequences[:, 12:] == MASK).any()
