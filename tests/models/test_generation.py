# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The reverse process on scripted logits: which step commits what, and when a row ends."""

import numpy as np
import pytest
import torch
from support.mock_model import (
    EOS,
    EOT,
    MASK,
    PAD,
    PROMPT,
    MockModel,
    context_script,
    details,
    peaked,
    scripted,
    steps_of,
)
from support.parallel_rules import PARALLEL_RULES

from modeling_llada import LLaDAGenerationOutput


PARALLEL = list(PARALLEL_RULES.values())
STRATEGIES = [
    {},
    {"steps": 5},
    {"steps": 7, "block_length": 4},
    {"remasking": "margin", "block_length": 3},
    {"remasking": "entropy", "steps": 6},
    {"cfg_scale": 1.5, "block_length": 8},
    *PARALLEL,
    {"confidence_threshold": 0.4, "steps": 4, "block_length": 6},
    {"confidence_eos_eot_inf": True, "block_length": 6},
]


class TestSchedule:
    def test_one_token_a_step_most_confident_first(self):
        model = scripted([0.5, 0.9, 0.3, 0.7])
        output = details(model, max_new_tokens=4)
        assert output.sequences.tolist() == [[2, 3, 4, 10, 11, 12, 13]]
        assert steps_of(output) == [2, 0, 3, 1]
        assert len(model.calls) == 4

    def test_uneven_steps_commit_more_at_first(self):
        """Five masks in three steps: 2, 2, 1."""
        output = details(scripted([0.5, 0.9, 0.3, 0.7, 0.6]), max_new_tokens=5, steps=3)
        assert steps_of(output) == [1, 0, 2, 0, 1]

    def test_blocks_from_left_to_right(self):
        """The last block is shorter: `block_length` need not divide `max_new_tokens`."""
        output = details(scripted([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]), max_new_tokens=7, block_length=3)
        assert steps_of(output) == [2, 1, 0, 5, 4, 3, 6]

    def test_steps_are_split_over_the_blocks(self):
        """Seven masks in blocks of 3, 3, 1 and five steps: 2, 2, 1."""
        model = scripted([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
        output = details(model, max_new_tokens=7, block_length=3, steps=5)
        assert steps_of(output) == [1, 0, 0, 3, 2, 2, 4]
        assert len(model.calls) == 5

    @pytest.mark.parametrize("steps", [1, 2, 3, 5, 8, 13])
    @pytest.mark.parametrize("max_new_tokens, block_length", [(8, None), (8, 8), (8, 3), (7, 2), (1, None), (5, 100)])
    def test_as_many_forward_passes_as_steps(self, max_new_tokens, block_length, steps):
        model = MockModel(context_script())
        blocks = -(-max_new_tokens // (block_length or max_new_tokens))
        sequences = model.generate(
            PROMPT, max_new_tokens=max_new_tokens, block_length=block_length, steps=steps, stop_at_eos=False
        )
        assert sequences.shape == (1, 3 + max_new_tokens)
        assert not (sequences == MASK).any()
        # At least one for each block, and never more than there are masks.
        assert len(model.calls) == min(max(steps, blocks), max_new_tokens)

    def test_the_prompt_is_a_block_of_its_own(self):
        """Masks in the prompt are filled before the answer is begun, with their share of the steps."""
        model = MockModel(peaked([9, 8, 7, 6, 5, 4], [0.2, 0.3, 0.4, 0.9, 0.8, 0.7]))
        output = details(model, torch.tensor([[MASK, 2, MASK]]), max_new_tokens=3)
        assert output.sequences.tolist() == [[9, 2, 7, 6, 5, 4]]
        assert output.trajectory[0].tolist() == [[1, -1, 0, 2, 3, 4]]

    def test_logits_of_the_masks_of_the_block_only(self):
        model = scripted([0.2, 0.3, 0.4, 0.5])
        model.generate(PROMPT, max_new_tokens=4, block_length=2)
        kept = [call.logits_to_keep[0].nonzero().flatten().tolist() for call in model.calls]
        assert kept == [[3, 4], [3], [5, 6], [5]]

    def test_the_canvas_is_shown_with_what_is_committed(self):
        model = scripted([0.2, 0.3])
        model.generate(PROMPT, max_new_tokens=2)
        assert [call.input_ids.tolist() for call in model.calls] == [[[2, 3, 4, MASK, MASK]], [[2, 3, 4, MASK, 11]]]

    def test_equal_confidences_are_committed_from_the_left(self):
        assert steps_of(details(scripted([0.5] * 4, [10] * 4), max_new_tokens=4)) == [0, 1, 2, 3]


class TestInfilling:
    def test_masks_anywhere_and_no_answer(self):
        model = MockModel(peaked([10, 11, 12, 13, 14], [0.5, 0.6, 0.7, 0.8, 0.9]))
        sequences = model.generate(torch.tensor([[MASK, 3, MASK, MASK, 4]]), max_new_tokens=0)
        assert sequences.tolist() == [[10, 3, 12, 13, 4]]
        assert len(model.calls) == 3

    def test_nothing_to_fill_costs_nothing(self):
        model = MockModel(context_script())
        output = model.generate(PROMPT, max_new_tokens=0, return_dict_in_generate=True)
        assert torch.equal(output.sequences, PROMPT)
        assert not model.calls and output.num_forward_passes.tolist() == [0]
        assert output.tokens_per_forward.tolist() == [0.0]

    @pytest.mark.parametrize("options", STRATEGIES, ids=str)
    def test_given_tokens_never_change_and_no_mask_is_left(self, options):
        generator = torch.Generator().manual_seed(1)
        prompt = torch.randint(0, 31, (4, 10), generator=generator)
        prompt[torch.rand(4, 10, generator=generator) < 0.4] = MASK
        sequences = MockModel(context_script()).generate(prompt, max_new_tokens=9, **options)
        given = prompt != MASK
        assert 0 < given.sum() < 40
        assert torch.equal(sequences[:, :10][given], prompt[given])
        assert not (sequences == MASK).any()

    def test_the_mask_token_is_never_proposed(self):
        """Not even where the model finds it the most probable."""
        logits = peaked([MASK] * 6, [0.99] * 6)
        logits[:, 9] += 0.5
        model = MockModel(logits)
        for temperature in (0.0, 1.0):
            sequences = model.generate(PROMPT, max_new_tokens=3, temperature=temperature)
            assert not (sequences == MASK).any()
        output = details(model, max_new_tokens=3)
        assert output.sequences[0, 3:].tolist() == [9, 9, 9]
        # Confidences are normalised over the whole vocabulary, the mask token among it, as in the reference.
        probability = logits.softmax(-1)[0, 9].item()
        assert output.trajectory[1][0, 3:].tolist() == pytest.approx([probability] * 3)

    def test_a_pad_with_the_id_of_the_mask_is_not_filled(self):
        model = MockModel(context_script())
        prompt = torch.tensor([[MASK, MASK, 4, 5], [2, MASK, 4, 5]])
        mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
        sequences = model.generate(prompt, attention_mask=mask, max_new_tokens=3, stop_at_eos=False)
        assert sequences[0, :4].tolist() == [MASK, MASK, 4, 5]
        assert not (sequences[0, 4:] == MASK).any() and not (sequences[1] == MASK).any()


class TestStopAtEos:
    """A row ends at the end of the block that holds its first EOS; everything after that EOS becomes pad."""

    def test_at_the_end_of_the_block(self):
        model = scripted([0.9] * 9, [10, EOS, 12, 13, 14, 15, 16, 17, 18])
        sequences = model.generate(PROMPT, max_new_tokens=9, block_length=3)
        assert sequences.tolist() == [[2, 3, 4, 10, EOS] + [PAD] * 7]
        assert len(model.calls) == 3

    def test_switched_off(self):
        model = scripted([0.9] * 9, [10, EOS, 12, 13, 14, 15, 16, 17, 18])
        sequences = model.generate(PROMPT, max_new_tokens=9, block_length=3, stop_at_eos=False)
        assert sequences.tolist() == [[2, 3, 4, 10, EOS, 12, 13, 14, 15, 16, 17, 18]]
        assert len(model.calls) == 9

    def test_the_visible_text_is_the_same_as_without_stopping(self):
        """Later blocks cannot change what an earlier one committed."""
        for seed in range(10):
            stopped, whole = (
                MockModel(context_script(seed=seed)).generate(
                    PROMPT, max_new_tokens=16, block_length=4, stop_at_eos=stop, eos_token_id=[5, 6, 7]
                )[0]
                for stop in (True, False)
            )
            ends = [i for i in range(3, 19) if whole[i] in (5, 6, 7)]
            end = ends[0] + 1 if ends else 19
            assert stopped[:end].tolist() == whole[:end].tolist()
            assert (stopped[end:] == PAD).all()

    def test_an_eos_in_the_prompt_does_not_stop(self):
        model = scripted([0.9] * 4)
        sequences = model.generate(torch.tensor([[EOS, 3, EOS]]), max_new_tokens=4, block_length=2)
        assert sequences.tolist() == [[EOS, 3, EOS, 10, 11, 12, 13]]

    def test_an_infilled_eos_in_the_prompt_does_not_stop(self):
        model = MockModel(peaked([EOS, 3, EOS, 10, 11, 12, 13], [0.9] * 7))
        sequences = model.generate(torch.tensor([[MASK, 3, MASK]]), max_new_tokens=4, block_length=2)
        assert sequences.tolist() == [[EOS, 3, EOS, 10, 11, 12, 13]]

    def test_a_later_eos_waits_for_the_masks_before_it(self):
        """EOS is committed first here, but the block is finished before the row ends."""
        output = details(scripted([0.3, 0.4, 0.9], [10, 11, EOS]), max_new_tokens=3)
        assert output.sequences.tolist() == [[2, 3, 4, 10, 11, EOS]]
        assert steps_of(output) == [2, 1, 0]

    @pytest.mark.parametrize("eos_token_id", [[EOS, 12], (12, EOS), [12], np.int64(12)])
    def test_several_eos_ids(self, eos_token_id):
        model = scripted([0.9] * 6)
        sequences = model.generate(PROMPT, max_new_tokens=6, block_length=3, eos_token_id=eos_token_id)
        assert sequences.tolist() == [[2, 3, 4, 10, 11, 12, PAD, PAD, PAD]]

    def test_rows_end_by_themselves(self):
        """A row that ended leaves the batch; the other goes on."""

        def script(input_ids):
            table = peaked([0] * 3 + [10, 11, 12, 13], [0.9] * 7).repeat(len(input_ids), 1, 1)
            table[input_ids[:, 0] == 5, 4, EOS] = 20.0
            return table

        model = MockModel(script)
        output = details(model, torch.tensor([[5, 3, 4], [6, 3, 4]]), max_new_tokens=4, block_length=2)
        assert output.sequences[:, 3:].tolist() == [[10, EOS, PAD, PAD], [10, 11, 12, 13]]
        assert output.num_forward_passes.tolist() == [2, 4]
        assert [len(call.input_ids) for call in model.calls] == [2, 2, 1, 1]

    def test_pad_falls_back_to_eos(self):
        model = scripted([0.9] * 4, [EOS, 11, 12, 13], pad_token_id=None)
        assert model.generate(PROMPT, max_new_tokens=4)[0, 3:].tolist() == [EOS] * 4

    def test_without_an_eos_id_nothing_stops(self):
        model = scripted([0.9] * 4, [EOS, 11, 12, 13], eos_token_id=None)
        assert model.generate(PROMPT, max_new_tokens=4)[0, 3:].tolist() == [EOS, 11, 12, 13]

    def test_trimmed_tokens_are_not_in_the_trajectory(self):
        steps, confidence = details(scripted([0.9] * 4, [10, EOS, 12, 13]), max_new_tokens=4).trajectory
        assert steps[0, 5:].tolist() == [-1, -1]
        assert confidence[0, 5:].isnan().all() and not confidence[0, 3:5].isnan().any()


class TestEosOptions:
    """Appendix B.4 of the paper; `temperature` must not switch them off (it does in the reference)."""

    @pytest.mark.parametrize("temperature", [0.0, 0.3])
    def test_logits_eos_inf_never_proposes_eos(self, temperature):
        logits = peaked([EOS] * 9, [0.9] * 9)
        model = MockModel(logits)
        sequences = model.generate(PROMPT, max_new_tokens=6, logits_eos_inf=True, temperature=temperature)
        assert not (sequences == EOS).any()

    def test_logits_eos_inf_rules_all_eos_ids_out(self):
        logits = peaked([EOS] * 9, [0.9] * 9)
        logits[:, 7] += 1
        options = {"eos_token_id": [EOS, 7], "logits_eos_inf": True}
        sequences = MockModel(logits).generate(PROMPT, max_new_tokens=6, **options)
        assert not torch.isin(sequences, torch.tensor([EOS, 7])).any()

    @pytest.mark.parametrize("temperature", [0.0, 0.01])
    def test_confidence_eos_eot_inf_commits_them_last(self, temperature):
        tokens = [EOS, 11, EOT, 13]
        model = scripted([0.99, 0.5, 0.98, 0.6], tokens)
        options = {"max_new_tokens": 4, "stop_at_eos": False, "temperature": temperature}
        assert steps_of(details(model, **options)) == [0, 3, 1, 2]
        output = details(model, confidence_eos_eot_inf=True, **options)
        assert output.sequences[0, 3:].tolist() == tokens
        assert steps_of(output) == [2, 1, 3, 0]

    @pytest.mark.parametrize("remasking", ["low_confidence", "margin", "entropy"])
    def test_with_every_confidence(self, remasking):
        model = scripted([0.99, 0.5, 0.98, 0.6], [EOS, 11, EOT, 13])
        output = details(model, max_new_tokens=4, stop_at_eos=False, confidence_eos_eot_inf=True, remasking=remasking)
        assert steps_of(output) == [2, 1, 3, 0]

    @pytest.mark.parametrize("rule", PARALLEL + [{"confidence_threshold": 0.0}], ids=str)
    def test_parallel_rules_defer_them_too(self, rule):
        """They are no sure thing, however probable: the quota commits them at last."""
        model = scripted([0.999, 0.998, 0.999, 0.997], [EOS, 11, EOT, 13])
        output = details(model, max_new_tokens=4, stop_at_eos=False, confidence_eos_eot_inf=True, **rule)
        assert steps_of(output) == [1, 0, 2, 0]

    def test_without_an_eot_id(self):
        model = scripted([0.99, 0.5, 0.98, 0.6], [EOS, 11, EOT, 13], eot_token_id=None)
        output = details(model, max_new_tokens=4, stop_at_eos=False, confidence_eos_eot_inf=True)
        assert steps_of(output) == [3, 2, 0, 1]

    def test_the_other_tokens_are_normalised_without_them(self):
        logits = peaked([EOS, 11], [0.6, 0.5])
        model = MockModel(torch.cat([peaked([0] * 3, [0.5] * 3), logits]))
        output = details(model, max_new_tokens=2, stop_at_eos=False, confidence_eos_eot_inf=True)
        rest = logits[1].softmax(-1).clone()
        rest[[EOS, EOT]] = 0
        assert output.trajectory[1][0, 4].item() == pytest.approx((rest[11] / rest.sum()).item())
        # A deferred proposal has no confidence.
        assert output.trajectory[1][0, 3].item() == 0


class TestParallelRules:
    def test_confidence_threshold(self):
        model = scripted([0.95, 0.5, 0.92, 0.6])
        assert steps_of(details(model, max_new_tokens=4, confidence_threshold=0.9)) == [0, 2, 0, 1]

    def test_confidence_factor(self):
        # Thresholds of the ranks: -, 1 - 1/3, 1 - 1/4, 1 - 1/5: three at first, then the last.
        model = scripted([0.9, 0.76, 0.7, 0.8])
        assert steps_of(details(model, max_new_tokens=4, confidence_factor=1.0)) == [0, 0, 1, 0]

    def test_entropy_bound(self):
        """Certain predictions (next to no entropy) go at once, uncertain ones one by one."""
        model = scripted([0.9999, 0.5, 0.9998, 0.4])
        assert steps_of(details(model, max_new_tokens=4, entropy_bound=0.1)) == [0, 0, 0, 1]

    @pytest.mark.parametrize("rule", PARALLEL, ids=str)
    def test_at_least_one_token_a_step(self, rule):
        model = scripted([0.1] * 6)
        output = details(model, max_new_tokens=6, **rule)
        assert not (output.sequences == MASK).any()
        assert len(model.calls) <= 6

    @pytest.mark.parametrize("rule", PARALLEL, ids=str)
    def test_with_steps_the_quota_is_the_least(self, rule):
        """A step commits the larger of the rule's set and the quota."""
        model = scripted([0.1] * 8)
        model.generate(PROMPT, max_new_tokens=8, steps=3, **rule)
        assert len(model.calls) <= 3

    def test_an_early_finish_costs_no_forward_pass(self):
        model = scripted([0.95] * 8)
        model.generate(PROMPT, max_new_tokens=8, block_length=4, confidence_threshold=0.9)
        assert len(model.calls) == 2

    def test_temperature_moves_the_proposal_not_the_measure(self):
        """The confidence of a sampled token is its own probability, without the noise."""
        model = MockModel(context_script())
        output = details(
            model,
            max_new_tokens=1,
            temperature=3.0,
            confidence_threshold=0.9,
            generator=torch.Generator().manual_seed(1),
        )
        token = output.sequences[0, 3]
        logits = context_script()(model.calls[0].input_ids)[0, 3]
        assert output.trajectory[1][0, 3].item() == pytest.approx(logits.softmax(-1)[token].item(), rel=1e-4)


class TestRemasking:
    def test_margin(self):
        """The best token of position 0 is more probable, but its rival is close."""
        logits = peaked([0] * 3 + [10, 11], [0.5] * 3 + [0.45, 0.25])
        logits[3, 20] = logits[3, 10] - 0.1
        assert steps_of(details(MockModel(logits), max_new_tokens=2)) == [0, 1]
        assert steps_of(details(MockModel(logits), max_new_tokens=2, remasking="margin")) == [1, 0]

    def test_entropy(self):
        """Position 1 is less probable than position 0, but all the rest is on one other token."""
        logits = peaked([0] * 3 + [10, 11], [0.5] * 3 + [0.6, 0.5])
        logits[4] = -20.0
        logits[4, 11], logits[4, 12] = 0.1, 0.0
        assert steps_of(details(MockModel(logits), max_new_tokens=2)) == [0, 1]
        assert steps_of(details(MockModel(logits), max_new_tokens=2, remasking="entropy")) == [1, 0]

    def test_random(self):
        model = scripted([0.9 - 0.1 * i for i in range(6)])
        orders = set()
        for seed in range(20):
            generator = torch.Generator().manual_seed(seed)
            output = details(model, max_new_tokens=6, remasking="random", generator=generator)
            assert output.sequences[0, 3:].tolist() == [10, 11, 12, 13, 14, 15]
            assert sorted(steps_of(output)) == list(range(6))
            orders.add(tuple(steps_of(output)))
        assert len(orders) > 15

    def test_a_callable_picks_the_commits(self):
        calls = []

        def from_the_right(confidence, mask, budget):
            calls.append((confidence, mask, budget))
            last = mask.shape[1] - 1 - mask.flip(1).int().argmax(1)
            return torch.nn.functional.one_hot(last, mask.shape[1]).bool()

        output = details(scripted([0.9, 0.8, 0.7]), max_new_tokens=3, remasking=from_the_right)
        assert steps_of(output) == [2, 1, 0]
        confidence, mask, budget = calls[1]
        assert confidence.shape == mask.shape == (1, 3) and mask.tolist() == [[True, True, False]]
        assert confidence[0, :2].tolist() == pytest.approx([0.9, 0.8]) and confidence.dtype == torch.float32
        assert budget.tolist() == [1]

    def test_a_callable_that_commits_nothing_falls_back_to_the_quota(self):
        model = scripted([0.7, 0.9, 0.8, 0.6])
        output = details(model, max_new_tokens=4, steps=2, remasking=lambda c, mask, b: torch.zeros_like(mask))
        assert steps_of(output) == [1, 0, 0, 1]

    def test_a_callable_cannot_commit_outside_the_mask(self):
        prompt = torch.tensor([[2, MASK, 4]])
        model = scripted([0.9] * 4)
        output = details(model, prompt, max_new_tokens=4, remasking=lambda c, mask, b: torch.ones_like(mask))
        assert output.sequences[0, [0, 2]].tolist() == [2, 4]
        assert output.trajectory[0].tolist() == [[-1, 0, -1, 1, 1, 1, 1]]

    def test_a_callable_and_a_parallel_rule(self):
        """The callable takes the place of the quota: the larger set of the two is committed."""
        leftmost = lambda c, mask, b: mask & (mask.cumsum(-1) == 1)  # noqa: E731
        model = scripted([0.5, 0.95, 0.5, 0.95])
        output = details(model, max_new_tokens=4, remasking=leftmost, confidence_threshold=0.9)
        assert steps_of(output) == [1, 0, 2, 0]

    def test_a_callable_is_not_saved(self):
        model = MockModel(context_script())
        model.generate(PROMPT, max_new_tokens=1, remasking=lambda c, mask, b: mask)
        assert model.generation_config.remasking is None


class TestGuidance:
    def test_equation_16(self):
        """`(1 + w) conditional - w unconditional`; the unconditional canvas masks all given tokens."""
        conditional, unconditional = peaked([0, 0, 0, 10], [0.5] * 4), peaked([0, 0, 0, 11], [0.5] * 4)
        unconditional[3, 10] = 0.7

        def script(input_ids):
            is_unconditional = (input_ids[:, :3] == MASK).all(-1)
            return torch.where(is_unconditional[:, None, None], unconditional, conditional)

        model = MockModel(script)
        output = details(model, max_new_tokens=1, cfg_scale=1.5)
        assert model.calls[0].input_ids.tolist() == [[2, 3, 4, MASK], [MASK] * 4]
        logits = 2.5 * conditional[3] - 1.5 * unconditional[3]
        token = output.sequences[0, 3].item()
        assert token == logits.argmax().item()
        assert output.trajectory[1][0, 3].item() == pytest.approx(logits.softmax(-1)[token].item(), rel=1e-5)

    def test_generated_tokens_stay_visible(self):
        model = scripted([0.9, 0.8])
        model.generate(PROMPT, max_new_tokens=2, cfg_scale=1.0)
        assert model.calls[1].input_ids.tolist() == [[2, 3, 4, 10, MASK], [MASK] * 3 + [10, MASK]]

    def test_a_pair_counts_once(self):
        model = scripted([0.9, 0.8])
        output = details(model, max_new_tokens=2, cfg_scale=1.0)
        assert output.num_forward_passes.tolist() == [2] and len(model.calls) == 2

    def test_padding_is_hidden_in_both_halves(self):
        model = MockModel(context_script())
        mask = torch.tensor([[0, 1, 1], [1, 1, 1]])
        model.generate(PROMPT.repeat(2, 1), attention_mask=mask, max_new_tokens=2, cfg_scale=1.0)
        expected = torch.cat([mask, torch.ones(2, 2).long()], dim=1).repeat(2, 1)
        assert torch.equal(model.calls[0].attention_mask, expected)
        assert torch.equal(model.calls[0].position_ids[0], model.calls[0].position_ids[2])


class TestOutput:
    def test_a_tensor_by_default(self):
        sequences = scripted([0.9] * 4).generate(PROMPT, max_new_tokens=4)
        assert isinstance(sequences, torch.Tensor) and sequences.dtype == torch.long

    def test_a_dict_holds_the_same_sequences(self):
        output = scripted([0.9] * 4).generate(PROMPT, max_new_tokens=4, return_dict_in_generate=True)
        assert isinstance(output, LLaDAGenerationOutput)
        assert torch.equal(output.sequences, scripted([0.9] * 4).generate(PROMPT, max_new_tokens=4))
        assert output.trajectory is None
        assert list(output) == ["sequences", "num_forward_passes", "tokens_per_forward"]

    def test_num_forward_passes_and_tokens_per_forward(self):
        model = scripted([0.95, 0.5, 0.92, 0.6])
        output = details(model, max_new_tokens=4, confidence_threshold=0.9)
        assert output.num_forward_passes.tolist() == [3] == [len(model.calls)]
        assert output.tokens_per_forward.tolist() == pytest.approx([4 / 3])

    def test_a_row_counts_its_own_passes_only(self):
        """Row 0 has two masks in its prompt, row 1 none."""
        prompt = torch.tensor([[MASK, MASK, 4], [2, 3, 4]])
        output = details(MockModel(context_script()), prompt, max_new_tokens=3, stop_at_eos=False)
        assert output.num_forward_passes.tolist() == [5, 3]
        assert output.tokens_per_forward.tolist() == [1.0, 1.0]

    def test_trajectory(self):
        steps, confidence = details(scripted([0.5, 0.9, 0.3]), max_new_tokens=3).trajectory
        assert steps.tolist() == [[-1, -1, -1, 1, 0, 2]] and steps.dtype == torch.int32
        assert confidence[0, :3].isnan().all()
        assert confidence[0, 3:].tolist() == pytest.approx([0.5, 0.9, 0.3])

    def test_num_return_sequences(self):
        model = MockModel(context_script())
        prompts = torch.tensor([[2, 3, 4], [5, 6, 7]])
        mask = torch.tensor([[0, 1, 1], [1, 1, 1]])
        options = {"attention_mask": mask, "max_new_tokens": 4}
        sequences = model.generate(prompts, num_return_sequences=3, **options)
        assert torch.equal(sequences, model.generate(prompts, **options).repeat_interleave(3, dim=0))
        sampled = model.generate(
            prompts, num_return_sequences=3, temperature=2.0, generator=torch.Generator().manual_seed(0), **options
        )
        assert torch.equal(sampled[:, :3], prompts.repeat_interleave(3, dim=0))
        assert len({tuple(row) for row in sampled[:3].tolist()}) == 3

    def test_the_input_is_not_changed(self):
        prompt = torch.tensor([[2, MASK, 4]])
        MockModel(context_script()).generate(prompt, max_new_tokens=3)
        assert prompt.tolist() == [[2, MASK, 4]]


class TestRowsAreIndependent:
    """At temperature 0, and with one generator for each row, the batch mates of a row do not matter."""

    @staticmethod
    def prompts(seed, rows=5, length=8):
        """Left-padded prompts of random lengths, with masks inside some of them."""
        generator = torch.Generator().manual_seed(seed)
        prompt = torch.randint(2, 27, (rows, length), generator=generator)
        prompt[torch.rand(rows, length, generator=generator) < 0.15] = MASK
        padding = torch.randint(0, length - 1, (rows,), generator=generator)
        mask = (torch.arange(length) >= padding[:, None]).long()
        return prompt.masked_fill(mask == 0, PAD), mask, padding.tolist()

    @pytest.mark.parametrize("options", STRATEGIES, ids=str)
    def test_with_a_network(self, golden_model, options):
        """Left-padded batches equal single rows, token by token; here on the golden checkpoint."""
        options = options | {"max_new_tokens": 12, "eot_token_id": 302}
        generator = torch.Generator().manual_seed(0)
        prompt = torch.randint(0, 300, (4, 9), generator=generator)
        prompt[1, 5] = prompt[2, 8] = prompt[2, 4] = 319
        padding = [0, 3, 1, 6]
        mask = torch.stack([(torch.arange(9) >= zeros).long() for zeros in padding])
        batch = golden_model.generate(
            prompt, attention_mask=mask, return_dict_in_generate=True, output_trajectory=True, **options
        )
        for row, zeros in enumerate(padding):
            alone = golden_model.generate(
                prompt[row : row + 1, zeros:], return_dict_in_generate=True, output_trajectory=True, **options
            )
            assert torch.equal(batch.sequences[row, zeros:], alone.sequences[0])
            assert batch.num_forward_passes[row] == alone.num_forward_passes[0]
            assert torch.equal(batch.trajectory[0][row, zeros:], alone.trajectory[0][0])

    @pytest.mark.parametrize("options", STRATEGIES + [{"temperature": 1.0, "remasking": "random"}], ids=str)
    @pytest.mark.parametrize("temperature", [0.0, 0.8])
    def test_without_padding_bit_for_bit(self, options, temperature):
        options = {"temperature": temperature} | options | {"max_new_tokens": 10, "eos_token_id": [5, 6]}
        model, rows = MockModel(context_script(scale=5.0)), 6
        prompt, _, _ = self.prompts(0, rows)

        def generators(seeds):
            return [torch.Generator().manual_seed(seed) for seed in seeds]

        whole = details(model, prompt, generator=generators(range(rows)), **options)
        for row in range(rows):
            alone = details(model, prompt[row : row + 1], generator=generators([row]), **options)
            assert torch.equal(whole.sequences[row], alone.sequences[0])
            assert torch.equal(whole.trajectory[0][row], alone.trajectory[0][0])
            assert torch.equal(whole.num_forward_passes[row], alone.num_forward_passes[0])

    def test_positions_of_a_padded_row_are_its_own(self):
        model = MockModel(context_script())
        prompt, mask, padding = self.prompts(1)
        model.generate(prompt, attention_mask=mask, max_new_tokens=2)
        call = model.calls[0]
        # Rows without a mask in the active block have left the batch.
        rows = [row for row in range(5) if (prompt[row][mask[row].bool()] == MASK).any()] or list(range(5))
        for row, zeros in enumerate(padding[i] for i in rows):
            assert call.position_ids[row, zeros:].tolist() == list(range(10 - zeros))

    def test_no_mask_is_handed_over_where_nothing_is_padded(self):
        """Then attention needs none, and takes its fastest path."""
        model = MockModel(context_script())
        model.generate(PROMPT, attention_mask=torch.ones_like(PROMPT), max_new_tokens=1)
        assert model.calls[0].attention_mask is None and model.calls[0].position_ids is None
