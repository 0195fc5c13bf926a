# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Models whose blocks are counted from the first token, or that do not see what is behind the active block."""

import copy
import itertools

import hypothesis
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.generate_calls import EOS, MASK, NO_EDITS, PAD, calls, check_rows_alone, letters, tiny_model
from support.golden_families import golden_of
from support.synchronizations import count_synchronizations
from transformers import CompileConfig

from modeling_llada.models.blocks_llada import BlockGeometry
from modeling_llada.models.canvas_llada import Canvas
from modeling_llada.models.engine_llada import RecordedDenoiser
from modeling_llada.models.remasking_llada import steps_until_complete
from modeling_llada.streaming import CanvasStreamer, TokenState


ABSOLUTE, UNSEEN = BlockGeometry("absolute", sees_suffix=False), BlockGeometry(sees_suffix=False)
BLOCK_CAUSAL = BlockGeometry("absolute", sees_suffix=False, attention="block_causal")
GEOMETRIES = [UNSEEN, BlockGeometry("absolute"), ABSOLUTE, BLOCK_CAUSAL]
few = hypothesis.settings(max_examples=12)
geometries = st.sampled_from(GEOMETRIES)


def random_prompt(length, seed=0):
    return torch.randint(0, 19, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def padded(prompts):
    """Prompts as a batch with padding on the left."""
    length = max(map(len, prompts))
    rows = [[PAD] * (length - len(prompt)) + prompt for prompt in prompts]
    attended = [[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(attended)}


def reference(model, geometry, prompt, answer_length, block_length, threshold=None, steps=None):
    """
    The published sampler for one prompt, without batches, padding and caches: LLaDA2.0's with absolute blocks, iLLaDA's with
    blocks that are appended to the prompt. `steps` are those of a block. Returns the answer, which ends with its first EOS,
    and the number of forward passes.
    """
    length, steps = len(prompt), steps or block_length
    mask_token, end_token = model.config.mask_token_id, model.config.eos_token_id
    end, first = length + answer_length, length
    if geometry.block_alignment == "absolute":
        end += -end % block_length  # whole blocks
        first -= first % block_length  # the block that the prompt ends in
    canvas, num_passes = prompt + [mask_token] * (end - length), 0
    for start in range(first, end, block_length):
        stop = min(start + block_length, end)
        for step in range(steps):
            if mask_token not in canvas[start:stop]:
                break
            window = canvas if geometry.sees_suffix else canvas[:stop]
            block = torch.arange(len(window)) // block_length
            mask = (block <= block[:, None])[None, None] if geometry.is_block_causal else None
            logits = model(torch.tensor([window]), attention_mask=mask).logits[0].float()
            probabilities = logits.softmax(-1)
            probabilities[:, mask_token] = 0
            confidence, token = (values.tolist() for values in probabilities.max(-1))
            masks = [position for position in range(start, stop) if canvas[position] == mask_token]
            masks.sort(key=lambda position: -confidence[position])
            quota = block_length // steps + (step < block_length % steps)
            sure = [position for position in masks if threshold is not None and confidence[position] >= threshold]
            for position in sure if len(sure) >= quota else masks[:quota]:
                canvas[position] = token[position]
            num_passes += 1
        if end_token in canvas[length:stop]:
            break
    answer = canvas[length : length + answer_length]
    return answer[: answer.index(end_token) + 1] if end_token in answer else answer, num_passes


class TestAgainstThePublishedSampler:
    @pytest.mark.parametrize(
        "geometry, block_cache", [*((one, None) for one in GEOMETRIES), (BLOCK_CAUSAL, "prefix")], ids=str
    )
    @pytest.mark.parametrize("threshold", [0.3, 1.0])
    @torch.no_grad()
    def test_all_small_cases(self, geometry, block_cache, threshold):
        """Prompts of 1 to 5 tokens in one padded batch, against each of them alone."""
        prompts = [random_prompt(length, seed=length) for length in range(1, 6)]
        model = tiny_model(0, geometry)
        for block_length, answer_length in itertools.product((2, 3, 4), (1, 7)):
            options = {"block_length": block_length, "max_new_tokens": answer_length, "block_cache": block_cache}
            output = model.generate(
                **padded(prompts), **options, confidence_threshold=threshold, return_dict_in_generate=True
            )
            for row, prompt in enumerate(prompts):
                answer, num_passes = reference(model, geometry, prompt, answer_length, block_length, threshold)
                got = output.sequences[row, 5:].tolist()
                assert got == answer + [PAD] * (answer_length - len(answer)), (prompt, options)
                assert output.num_forward_passes[row] == num_passes

    @pytest.mark.parametrize("geometry, block_cache", [(ABSOLUTE, None), (BLOCK_CAUSAL, "dual")], ids=str)
    @torch.no_grad()
    def test_steps_are_those_of_each_block(self, geometry, block_cache):
        """Also in the first block, which holds fewer masks, and beside a threshold."""
        model = tiny_model(0, geometry)
        prompts = [random_prompt(length, seed=length) for length in range(1, 6)]
        for block_length, steps, threshold in itertools.product((5,), (1, 2, 9), (None, 0.3)):
            options = {"block_length": block_length, "steps": steps, "confidence_threshold": threshold}
            output = model.generate(
                **padded(prompts), **options, max_new_tokens=7, block_cache=block_cache, return_dict_in_generate=True
            )
            for row, prompt in enumerate(prompts):
                steps = min(steps, block_length)
                answer, num_passes = reference(model, geometry, prompt, 7, block_length, threshold, steps)
                assert output.sequences[row, 5:].tolist() == answer + [PAD] * (7 - len(answer))
                assert output.num_forward_passes[row] == num_passes

    @torch.no_grad()
    def test_illada(self):
        """Its paper appends blocks, and its repository uses the sampler of LLaDA. Both are options of the same call."""
        model = golden_of("illada").model
        prompt = golden_of("illada").tensors["case0.prompt"]
        for block_length, threshold in ((8, None), (5, 0.1)):
            options = {"block_length": block_length, "confidence_threshold": threshold, "stop_at_eos": False}
            output = model.generate(prompt, max_new_tokens=16, suffix_window=0, **options)
            answer, _ = reference(model, UNSEEN, prompt[0].tolist(), 16, block_length, threshold)
            assert output[0, prompt.shape[1] :].tolist() == answer

    def test_the_steps_of_a_block_with_fewer_masks(self):
        for block_length, steps in ((8, 3), (7, 7), (5, 1), (6, 4)):
            budgets = [block_length // steps + (step < block_length % steps) for step in range(steps)]
            done = list(itertools.accumulate(budgets, initial=0))
            needed = [next(step for step, num in enumerate(done) if num >= masks) for masks in range(block_length + 1)]
            assert steps_until_complete(torch.arange(block_length + 1), block_length, steps).tolist() == needed


class TestProperties:
    """As in test_generation_properties.py, under random valid combinations of all options."""

    @few
    @given(calls(), geometries)
    def test_the_canvas_is_finished(self, call, geometry):
        call = call.with_geometry(geometry)
        output, inputs = call(), call.inputs()["input_ids"].repeat_interleave(call.repeats, dim=0)
        length = inputs.shape[1]
        step, confidence = output.trajectory
        assert output.sequences.shape == (len(inputs), length + call.max_new_tokens)
        is_padding = call.inputs()["attention_mask"].repeat_interleave(call.repeats, dim=0) == 0
        is_given = (inputs != MASK) | is_padding
        assert torch.equal(output.sequences[:, :length][is_given], inputs[is_given])
        assert not (output.sequences[:, :length][~is_given] == MASK).any()
        assert not (output.sequences[:, length:] == MASK).any()
        assert torch.equal(step >= 0, ~confidence.isnan())
        assert (step < output.num_forward_passes[:, None]).all()

    @few
    @given(calls(), geometries)
    def test_a_row_does_not_depend_on_its_batch(self, call, geometry):
        check_rows_alone(call.with_geometry(geometry))

    @few
    @given(calls(), geometries, st.sampled_from(["prefix", "dual", "vicinity"]))
    def test_a_cache_that_is_refreshed_in_each_step_is_no_cache(self, call, geometry, kind):
        """With block-causal attention it needs no refresh."""
        call = call.with_geometry(geometry)
        plain = dict.fromkeys(["block_cache", "cache_refresh_interval", "draft_steps", "reopen_threshold"])
        exact = call.with_options(**plain)()
        interval = None if geometry == BLOCK_CAUSAL else 1
        refreshed = call.with_options(**plain | {"block_cache": kind, "cache_refresh_interval": interval})()
        assert torch.equal(exact.sequences, refreshed.sequences)
        assert torch.equal(exact.num_forward_passes, refreshed.num_forward_passes)

    @few
    @given(calls(), geometries)
    def test_drafts_change_no_token(self, call, geometry):
        greedy = {"temperature": 0.0, "cache_refresh_interval": None, "draft_steps": None, "stopping_criteria": None}
        greedy |= NO_EDITS
        if call.options.get("remasking") == "random":
            greedy["remasking"] = "low_confidence"
        call = call.with_geometry(geometry).with_options(**greedy)
        assert torch.equal(call().sequences, call.with_options(draft_steps=3)().sequences)

    @few
    @given(calls(), geometries)
    def test_the_recorded_step_makes_the_same_choices(self, call, geometry):
        """On a CPU the static step is run as it stands, in the place of a replay."""
        call = call.with_geometry(geometry)
        eager = call.with_options(disable_compile=True)()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "compile", lambda function, **kwargs: function)
            recorded = call.with_options(compile_config=CompileConfig())()
        assert torch.equal(recorded.sequences, eager.sequences)
        assert torch.equal(recorded.num_forward_passes, eager.num_forward_passes)


class TestAbsoluteBlocks:
    def test_the_end_of_the_prompt_shares_the_first_one(self):
        """A padded row of 3 tokens, and one of 6: blocks of 4 count from the first token of each."""
        prompt = padded([[1, 2, 3], [1, 2, 3, 4, 5, 6]])
        num_surplus = ABSOLUTE.num_surplus(prompt["attention_mask"], max_new_tokens=4, block_length=4, limit=32)
        canvas = Canvas.create(*prompt.values(), MASK, max_new_tokens=4, num_surplus=num_surplus)
        assert canvas.tokens.shape == (2, 12)
        assert canvas.masked().sum(-1).tolist() == [5, 6], "whole blocks"
        boundaries = ABSOLUTE.boundaries(canvas.masked(), canvas.attention_mask, prompt_length=6, block_length=4)
        assert boundaries == [[3, 7, 11], [4, 8, 12]]

    def test_a_row_with_fewer_blocks_goes_on_with_empty_ones(self):
        masked = torch.tensor([[False, True, True, True], [False, False, False, True]])
        boundaries = ABSOLUTE.boundaries(masked, torch.ones(2, 4).long(), prompt_length=1, block_length=2)
        assert boundaries == [[0, 2, 4], [2, 4, 4]]

    def test_a_last_block_that_does_not_fit_is_refused(self):
        with pytest.raises(ValueError, match="`block_length` must allow whole blocks in `max_position_embeddings=32`"):
            tiny_model(0, ABSOLUTE).generate(torch.tensor([[1, 2]]), max_new_tokens=8, block_length=10**30)

    @pytest.mark.parametrize("geometry", [ABSOLUTE, BLOCK_CAUSAL], ids=str)
    def test_masks_of_the_prompt_alone_need_no_whole_block(self, geometry):
        prompt, filled = random_prompt(6), []
        prompt[1] = prompt[5] = MASK
        for block_length in (6, 10**30):
            options = {"block_length": block_length, "steps": 10**30, "return_dict_in_generate": True}
            output = tiny_model(0, geometry).generate(torch.tensor([prompt]), max_new_tokens=0, **options)
            assert output.num_forward_passes.tolist() == [2]
            filled.append(output.sequences)
        assert torch.equal(*filled) and not (filled[0] == MASK).any()

    @pytest.mark.parametrize("length", [3, 4])
    def test_a_complete_row_costs_nothing(self, length):
        ids = torch.tensor([random_prompt(length)])
        output = tiny_model(0, ABSOLUTE).generate(ids, max_new_tokens=0, block_length=2, return_dict_in_generate=True)
        assert torch.equal(output.sequences, ids) and output.num_forward_passes.tolist() == [0]

    @pytest.mark.parametrize("sees_suffix", [True, False])
    def test_where_the_prompt_fills_its_blocks_both_alignments_agree(self, sees_suffix):
        ids = torch.tensor([random_prompt(6), random_prompt(6, seed=1)])
        options = {"max_new_tokens": 9, "block_length": 3, "confidence_threshold": 0.3}
        absolute, prompt = (
            tiny_model(0, BlockGeometry(alignment, sees_suffix)).generate(ids, **options)
            for alignment in ("absolute", "prompt")
        )
        assert torch.equal(absolute, prompt)


class TestUnseenSuffix:
    @pytest.mark.parametrize("block_cache", [None, "dual", "prefix"])
    @pytest.mark.parametrize("geometry", [ABSOLUTE, UNSEEN, BLOCK_CAUSAL], ids=str)
    def test_a_longer_answer_begins_alike(self, geometry, block_cache):
        """The model cannot know how long it may become. Without whole blocks the shorter one must end with a block."""
        inputs = padded([random_prompt(length, seed=length) for length in (2, 5, 6)])
        options = {"block_length": 4, "stop_at_eos": False, "block_cache": block_cache}
        longest = tiny_model(0, geometry).generate(**inputs, max_new_tokens=16, **options)
        for max_new_tokens in (4, 8, 12) if geometry == UNSEEN else (1, 3, 8, 11):
            output = tiny_model(0, geometry).generate(**inputs, max_new_tokens=max_new_tokens, **options)
            assert torch.equal(output, longest[:, : output.shape[1]])

    @pytest.mark.parametrize("geometry, ends", [(ABSOLUTE, [8] * 3 + [12] * 4), (UNSEEN, [9] * 4 + [12] * 3)], ids=str)
    def test_a_forward_pass_ends_with_the_active_block(self, geometry, ends):
        model, lengths = tiny_model(0, geometry), []
        hook = model.register_forward_pre_hook(
            lambda module, args, inputs: lengths.append(inputs["input_ids"].shape[1]), with_kwargs=True
        )
        model.generate(
            torch.tensor([random_prompt(5)]), max_new_tokens=7, block_length=4, stop_at_eos=False, cfg_scale=0.0
        )
        hook.remove()
        assert lengths == ends

    @pytest.mark.parametrize("geometry", [ABSOLUTE, UNSEEN], ids=str)
    def test_a_suffix_window_is_refused(self, geometry):
        with pytest.raises(ValueError, match="`suffix_window` must be 0 or unset for this model"):
            tiny_model(0, geometry).generate(torch.tensor([[1, 2]]), max_new_tokens=4, suffix_window=2)


class TestBlockCausal:
    def test_what_a_step_computes(self):
        """The prompt once, each finished block once more beside the next one, and else the active block alone."""
        model, lengths = tiny_model(0, BLOCK_CAUSAL), []
        hook = model.register_forward_pre_hook(
            lambda module, args, inputs: lengths.append(inputs["input_ids"].shape[1]), with_kwargs=True
        )
        ids = torch.tensor([random_prompt(9)])
        model.generate(ids, max_new_tokens=10, block_length=4, steps=2, stop_at_eos=False, block_cache="prefix")
        hook.remove()
        assert lengths == [12, 4, 8, 4, 8, 4]

    def test_eager_attention(self):
        """It adds its mask, so that a boolean one would hide nothing."""
        inputs = padded([random_prompt(length, seed=length) for length in (2, 5, 6)])
        options = {"max_new_tokens": 9, "block_length": 4, "stop_at_eos": False}
        model = copy.deepcopy(tiny_model(0, BLOCK_CAUSAL))
        expected = model.generate(**inputs, **options)
        model.set_attn_implementation("eager")
        for block_cache in (None, "prefix"):
            assert torch.equal(model.generate(**inputs, **options, block_cache=block_cache), expected)

    def test_an_attention_without_such_a_mask_is_refused(self):
        model = copy.deepcopy(tiny_model(0, BLOCK_CAUSAL))
        model.set_attn_implementation("flex_attention")
        with pytest.raises(ValueError, match="`attn_implementation` must be sdpa or eager for this model"):
            model.generate(torch.tensor([[1, 2]]), max_new_tokens=4, block_length=4)

    def test_an_unknown_block_length_is_refused(self):
        with pytest.raises(ValueError, match="`block_length` must be set for this model"):
            tiny_model(0, BLOCK_CAUSAL).generate(torch.tensor([[1, 2]]), max_new_tokens=4)

    def test_a_refresh_is_refused(self):
        options = {"block_cache": "prefix", "cache_refresh_interval": 2, "block_length": 4}
        with pytest.raises(ValueError, match="`cache_refresh_interval` must be unset for this model"):
            tiny_model(0, BLOCK_CAUSAL).generate(torch.tensor([[1, 2]]), max_new_tokens=4, **options)

    def test_the_prompt_is_not_recorded(self, monkeypatch):
        """Its length differs from call to call, and it comes once. All other steps have two shapes, of this geometry alone."""
        record, recorded = RecordedDenoiser._record, []
        monkeypatch.setattr(torch, "compile", lambda function, **kwargs: function)
        monkeypatch.setattr(
            RecordedDenoiser, "_record", lambda self, *shape: (recorded.append(shape), record(self, *shape))[1]
        )
        model = copy.deepcopy(tiny_model(0, BlockGeometry()))
        options = {"max_new_tokens": 7, "block_length": 2, "stop_at_eos": False, "block_cache": "prefix"}
        model.generate(torch.tensor([random_prompt(5)]), **options, compile_config=CompileConfig())
        recorded.clear()
        model.block_geometry = BLOCK_CAUSAL
        for length in (5, 9, 13):
            ids = torch.tensor([random_prompt(length)])
            expected = model.generate(ids, **options)
            assert torch.equal(model.generate(ids, **options, compile_config=CompileConfig()), expected)
        assert recorded == [(2, 4), (2, 2)]


@pytest.mark.gpu
class TestOnGPU:
    """The graphs themselves, in float32."""

    @pytest.mark.parametrize("block_cache", [None, "prefix"])
    @pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
    def test_equals_eager(self, geometry, block_cache):
        model = copy.deepcopy(tiny_model(0, geometry)).float().cuda()
        options = {"max_new_tokens": 11, "block_length": 4, "stop_at_eos": False, "block_cache": block_cache}
        inputs = padded([random_prompt(length, seed=length) for length in (9, 2, 6)])
        expected = model.generate(**inputs, **options, disable_compile=True)
        for _ in range(2):
            assert torch.equal(model.generate(**inputs, **options), expected)

    @pytest.mark.parametrize("block_cache", [None, "prefix"])
    def test_no_synchronization_in_a_step(self, block_cache):
        """The same blocks with two and with four steps each."""
        model, inputs = copy.deepcopy(tiny_model(0, BLOCK_CAUSAL)).float().cuda(), padded([random_prompt(9)] * 2)
        options = {"max_new_tokens": 11, "block_length": 4, "stop_at_eos": False, "block_cache": block_cache}
        counts = []
        for steps in (2, 4):
            call = lambda steps=steps: model.generate(**inputs, **options, steps=steps)  # noqa: E731
            call()
            counts.append(count_synchronizations(call))
        assert counts[0] == counts[1]


class TestStreaming:
    @pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
    @pytest.mark.parametrize("gap", [False, True], ids=["", "masks in the prompt"])
    @pytest.mark.parametrize("num_rows", [1, 3])
    def test_the_frames_end_with_the_output(self, geometry, gap, num_rows):
        prompts = [random_prompt(length, seed=length) for length in (7, 3, 6)[:num_rows]]
        if gap:
            prompts[0][2] = prompts[0][6] = MASK
        frames, inputs = [], padded(prompts)
        streamer = CanvasStreamer(
            letters(),
            MASK,
            frames.append,
            attention_mask=inputs["attention_mask"],
            eos_token_id=EOS,
            pad_token_id=PAD,
        )
        output = tiny_model(0, geometry).generate(
            **inputs, max_new_tokens=7, block_length=4, confidence_threshold=0.3, streamer=streamer
        )
        assert torch.equal(frames[-1].tokens, output) and frames[-1].is_final
        # With masks in the prompt, nothing is told of the answer's part in the block that the prompt ends in.
        for frame in [] if gap else frames[1:-1]:
            is_new = frame.states == TokenState.NEW
            assert is_new.any() and torch.equal(frame.top_tokens[..., 0][is_new], frame.tokens[is_new])

    @pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
    def test_each_position_is_put_once(self, geometry):
        class Puts:
            def __init__(self):
                self.values = []

            def put(self, value):
                self.values.append(value)

            def end(self):
                pass

        streamer, prompts = Puts(), padded([random_prompt(5), random_prompt(2), random_prompt(4)])
        output = tiny_model(0, geometry).generate(
            **prompts, max_new_tokens=7, block_length=4, streamer=streamer, stop_at_eos=False
        )
        assert torch.equal(streamer.values[0], prompts["input_ids"])
        assert torch.equal(torch.cat(streamer.values, dim=1), output)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"block_alignment": "left"}, "`block_alignment` must be one of prompt, absolute, but got 'left'"),
        ({"attention": "causal"}, "`attention` must be one of full, block_causal, but got 'causal'"),
        ({"attention": "block_causal"}, "`attention='block_causal'` needs `block_alignment='absolute'`"),
    ],
)
def test_a_geometry_that_does_not_exist(fields, message):
    with pytest.raises(ValueError, match=message):
        BlockGeometry(**fields)
