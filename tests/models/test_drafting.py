# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Drafts verify several denoising steps in one forward pass, and give the tokens that single steps give."""

import pytest
import torch
from support.mock_model import EOS, MASK, PAD, PROMPT, MockModel, context_script, details, scripted, steps_of
from support.parallel_rules import PARALLEL_RULES
from transformers import StoppingCriteria, TopKLogitsWarper

from modeling_llada import LLaDAGenerationConfig
from modeling_llada.models.drafting_llada import pick


SMALL = {"max_new_tokens": 14, "block_length": 6}  # the last block is shorter
POLICIES = [
    {},
    {"steps": 8},
    {"remasking": "margin"},
    {"remasking": "entropy", "steps": 9},
    *PARALLEL_RULES.values(),
    {"cfg_scale": 1.5},
    {"suffix_window": 3},
    {"logits_eos_inf": True, "confidence_eos_eot_inf": True, "eos_token_id": list(range(2, 30))},
    {"eos_token_id": list(range(2, 12))},
]
CACHES = pytest.mark.parametrize("block_cache", [None, "dual", "prefix", "vicinity"])


def assert_lossless(drafted, single):
    """The same tokens in an order that passes preserve, and never more of them."""
    assert torch.equal(drafted.sequences, single.sequences)
    assert (drafted.num_forward_passes <= single.num_forward_passes).all()
    torch.testing.assert_close(drafted.trajectory[1], single.trajectory[1], rtol=1e-4, atol=1e-6, equal_nan=True)
    for steps, passes in zip(single.trajectory[0], drafted.trajectory[0], strict=True):
        in_order = passes[steps.argsort(stable=True)]
        assert (in_order.diff() >= 0).all() and in_order.max() < single.num_forward_passes.max()


class TestLossless:
    @CACHES
    @pytest.mark.parametrize("policy", POLICIES, ids=str)
    def test_tokens_and_confidences(self, tiny_model, prompt, policy, block_cache):
        """On padded prompts with masks inside, whose rows end at different steps."""
        options = {**SMALL, **policy, "block_cache": block_cache}
        single, two, five = (
            details(tiny_model(), **prompt, **options, **more) for more in ({}, {"draft_steps": 2}, {"draft_steps": 5})
        )
        assert_lossless(two, single)
        assert_lossless(five, single)

    @pytest.mark.parametrize("seed", range(8))
    def test_some_drafts_are_right_and_some_are_wrong(self, seed):
        """Predictions that move with every token: fewer passes than steps, but more than if nothing moved."""
        prompts = torch.randint(2, 27, (6, 5), generator=torch.Generator().manual_seed(seed))
        single = details(MockModel(context_script(seed=seed)), prompts, max_new_tokens=16)
        drafted = details(MockModel(context_script(seed=seed)), prompts, max_new_tokens=16, draft_steps=4)
        assert_lossless(drafted, single)
        assert single.num_forward_passes.tolist() == [16] * 6
        assert 5 * 6 < drafted.num_forward_passes.sum() < 16 * 6

    def test_a_row_of_a_batch_equals_the_row_by_itself(self, tiny_model, prompt):
        """Its forward passes as well: a row does not wait for the drafts of another one."""
        model, options = tiny_model(), {**SMALL, "draft_steps": 3, "block_cache": "dual"}
        output = model.generate(**prompt, return_dict_in_generate=True, **options)
        for row, attention_mask in enumerate(prompt["attention_mask"].bool()):
            padding = int((~attention_mask).sum())
            alone = prompt["input_ids"][row : row + 1, padding:]
            alone = model.generate(alone, return_dict_in_generate=True, **options)
            assert torch.equal(alone.sequences[0], output.sequences[row, padding:])
            assert alone.num_forward_passes[0] == output.num_forward_passes[row]

    @pytest.mark.parametrize("strategy", ["leftmost", "all", "nothing"])
    def test_a_remasking_of_the_user(self, tiny_model, prompt, strategy):
        """Row by row, as the documentation asks for."""
        remasking = {
            "leftmost": lambda confidence, mask, budget: mask & (mask.cumsum(-1) == 1),
            "all": lambda confidence, mask, budget: mask,
            "nothing": lambda confidence, mask, budget: torch.zeros_like(mask),
        }[strategy]
        single, drafted = (
            tiny_model().generate(
                **prompt, remasking=remasking, return_dict_in_generate=True, output_trajectory=True, **SMALL, **more
            )
            for more in ({}, {"draft_steps": 3})
        )
        assert_lossless(drafted, single)

    def test_logits_processors_see_the_canvas_of_each_draft(self):
        seen = []

        def forbid_neighbours(input_ids, scores):
            """No token beside itself: depends on the canvas, so a processor that saw another one would change tokens."""
            seen.append(input_ids)
            ids = torch.where(input_ids == MASK, 0, input_ids)
            return scores.scatter(1, ids, -5.0, reduce="add")

        options = {"max_new_tokens": 10, "logits_processor": [forbid_neighbours, TopKLogitsWarper(8)]}
        single = details(MockModel(context_script()), PROMPT, **options)
        drafted = details(MockModel(context_script()), PROMPT, draft_steps=3, **options)
        assert_lossless(drafted, single)
        plain = details(MockModel(context_script()), PROMPT, max_new_tokens=10)
        assert not torch.equal(plain.sequences, single.sequences)


class TestForwardPasses:
    @pytest.mark.parametrize(
        ("length", "draft_steps", "passes"), [(1, 4, 1), (2, 4, 2), (9, 2, 5), (9, 4, 3), (9, 8, 2)]
    )
    def test_where_predictions_do_not_move_every_draft_is_right(self, length, draft_steps, passes):
        """One pass without drafts, then one for every `draft_steps` steps."""
        model = scripted([0.5 + 0.04 * index for index in range(length)])
        output = details(model, max_new_tokens=length, draft_steps=draft_steps)
        assert output.num_forward_passes.tolist() == [passes] and len(model.calls) == passes
        assert output.sequences[0, 3:].tolist() == list(range(10, 10 + length))
        # Most confident first, which is from the right to the left.
        expected = [0] + [1 + step // draft_steps for step in range(length - 1)]
        assert steps_of(output) == expected[::-1]

    def test_the_canvases_of_a_pass(self):
        """The canvas itself, then one guessed token more in each; a complete canvas is never predicted."""
        model = scripted([0.5, 0.9, 0.7, 0.8])
        model.generate(PROMPT, max_new_tokens=4, draft_steps=3)
        first, second = [call.input_ids[:, 3:].tolist() for call in model.calls]
        assert first == [[MASK] * 4]
        assert second == [[MASK, 11, MASK, MASK], [MASK, 11, MASK, 13], [MASK, 11, 12, 13]]

    def test_a_wrong_draft_costs_nothing_but_its_part_of_the_pass(self):
        """Each token raises the confidence of the one to its left, which nothing before it has announced."""

        def script(input_ids):
            known = (input_ids != MASK).float()
            is_next = torch.cat([known[:, 1:], torch.ones(len(input_ids), 1)], dim=1)
            logits = torch.zeros(*input_ids.shape, 32)
            logits[..., 10] = 1.0 + 0.1 * torch.arange(input_ids.shape[1], 0, -1) + 5 * is_next
            return logits

        single = details(MockModel(script), max_new_tokens=6)
        drafted = details(MockModel(script), max_new_tokens=6, draft_steps=3)
        assert_lossless(drafted, single)
        assert steps_of(single) == [5, 4, 3, 2, 1, 0]
        assert drafted.num_forward_passes.tolist() == [6]

    @CACHES
    def test_a_refresh_predicts_the_canvas_alone(self, tiny_model, random_ids, block_cache):
        shapes, model = [], tiny_model()
        model.model.embed_tokens.register_forward_hook(
            lambda module, args, output: shapes.append(tuple(args[0].shape))
        )
        model.generate(random_ids(2, 8), max_new_tokens=8, block_length=4, block_cache=block_cache, draft_steps=3)
        window = {None: 16, "dual": 4, "prefix": (8, 4), "vicinity": 16}[block_cache]
        assert {shape for shape in shapes if shape[0] == 2} == {(2, 16)}
        others = {shape for shape in shapes if shape[0] != 2}
        windows = set(window) if isinstance(window, tuple) else {window}
        assert {length for _, length in others} == windows and {rows for rows, _ in others} <= {3, 6}

    def test_rows_that_are_done_leave_the_batch(self):
        model = scripted([0.9, 0.8, 0.7, 0.6])
        prompts = torch.tensor([[2, 3, 4], [2, MASK, 4]])
        model.generate(prompts, max_new_tokens=4, block_length=2, draft_steps=2)
        assert [len(call.input_ids) for call in model.calls] == [1, 2, 4, 2, 4]


class TestWatchers:
    def test_a_streamer_gets_what_each_pass_leaves(self):
        class Streamer:
            takes_steps = True
            drafts, confirmed = [], []

            def put(self, value):
                self.confirmed.append(value.tolist())

            def put_draft(self, value, step, confidence, top_tokens):
                self.drafts.append((step, value[0].tolist(), top_tokens[0, :, 0].tolist()))

            def end(self):
                pass

        streamer = Streamer()
        scripted([0.5, 0.9, 0.7, 0.8, 0.6]).generate(PROMPT, max_new_tokens=5, draft_steps=2, streamer=streamer)
        # The best tokens are those of the masks before the last step of the pass.
        assert streamer.drafts == [
            (0, [MASK, 11, MASK, MASK, MASK], [10, 11, 12, 13, 14]),
            (1, [MASK, 11, 12, 13, MASK], [10, -1, 12, -1, 14]),
            (2, [10, 11, 12, 13, 14], [10, -1, -1, -1, -1]),
        ]
        assert streamer.confirmed[-1] == [10, 11, 12, 13, 14]

    def test_criteria_are_asked_once_a_pass_and_a_stopped_row_stays_as_it_is(self):
        class StopFirstRow(StoppingCriteria):
            calls = []

            def __call__(self, input_ids, scores, **kwargs):
                self.calls.append(((input_ids == MASK).sum(-1).tolist(), len(scores)))
                return torch.tensor([len(self.calls) >= 2, False])

        stop = StopFirstRow()
        model = scripted([0.5, 0.9, 0.7, 0.8, 0.6])
        output = details(model, PROMPT.expand(2, -1), max_new_tokens=5, draft_steps=2, stopping_criteria=[stop])
        assert stop.calls == [([4, 4], 10), ([2, 2], 6), ([0, 0], 1)]
        assert output.sequences[:, 3:].tolist() == [[PAD, 11, 12, 13, PAD], [10, 11, 12, 13, 14]]
        assert output.stopped.tolist() == [True, False] and output.num_forward_passes.tolist() == [2, 3]

    def test_eos(self):
        """A row ends with the block that holds its EOS, as it does without drafts."""
        for more in ({}, {"draft_steps": 3}):
            model = scripted([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [10, EOS, 12, 13, 14, 15])
            output = details(model, max_new_tokens=6, block_length=3, **more)
            assert output.sequences[0, 3:].tolist() == [10, EOS, PAD, PAD, PAD, PAD]


class TestOptions:
    @pytest.mark.parametrize("value", [0, 1, -2, 2.5, "4", True])
    def test_at_least_two(self, value):
        with pytest.raises(ValueError, match="`draft_steps`"):
            LLaDAGenerationConfig(draft_steps=value)

    @pytest.mark.parametrize("options", [{"temperature": 0.5}, {"do_sample": True}, {"remasking": "random"}], ids=str)
    def test_random_steps_cannot_be_guessed(self, options):
        model = scripted([0.5] * 4)
        with pytest.raises(ValueError, match="`draft_steps` guesses .* random"):
            model.generate(PROMPT, max_new_tokens=4, draft_steps=2, **options)
        assert not model.calls

    def test_a_callable_takes_the_place_of_random_remasking(self):
        """That of the model's own options, which nobody asks then."""
        model = scripted([0.5] * 4)
        model.generation_config.remasking = "random"
        model.generate(PROMPT, max_new_tokens=4, draft_steps=2, remasking=lambda confidence, mask, budget: mask)
        assert len(model.calls) == 1

    def test_a_temperature_that_is_switched_off(self):
        model = scripted([0.5] * 4)
        model.generate(PROMPT, max_new_tokens=4, draft_steps=2, temperature=0.5, do_sample=False)
        assert len(model.calls) == 3

    def test_a_refresh_inside_a_block(self):
        options = {"block_cache": "dual", "cache_refresh_interval": 2, "draft_steps": 2}
        LLaDAGenerationConfig(**options).validate()  # another layer of options may reset one of them
        with pytest.raises(ValueError, match="`draft_steps` and `cache_refresh_interval`"):
            scripted([0.5] * 4).generate(PROMPT, max_new_tokens=4, **options)


@pytest.mark.parametrize("options", [{}, {"block_length": 3}, {"max_new_tokens": 0}], ids=str)
def test_more_drafts_than_the_largest_block_has_masks_are_not_made(options):
    """They would cost memory and time without limit."""
    prompt = torch.tensor([[2, MASK, MASK, MASK, 3]])
    options = {"max_new_tokens": 6} | options
    model = MockModel(context_script())
    assert torch.equal(
        model.generate(prompt, draft_steps=10**18, **options), MockModel(context_script()).generate(prompt, **options)
    )
    largest = 3 if len(options) == 2 or not options["max_new_tokens"] else 6
    assert max(len(call.input_ids) for call in model.calls) == largest


def test_pick():
    values = torch.arange(12).view(2, 3, 2)
    assert pick(values, torch.tensor([2, 0])).tolist() == [[4, 5], [6, 7]]
