# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Editing: committed tokens that change, and the end of it."""

import pytest
import torch
from support.generate_calls import letters, tiny_model
from support.golden_edits import cases_of, check_alone, check_in_batch
from support.mock_model import (
    EOS,
    MASK,
    PAD,
    PROMPT,
    VOCAB_SIZE,
    MockModel,
    context_script,
    details,
    of_canvas,
    scripted,
    steps_of,
)
from transformers import CompileConfig

from modeling_llada.drawing import animated_svg, denoising_svg, pictures_of
from modeling_llada.streaming import DenoisingRecord, RecordingStreamer, TokenState


EDITING = {"edit_threshold": 0.5, "stop_at_eos": False}
CASES = cases_of("2.1", "sglang JointThreshold", "sglang JointThresholdInDel")


def second_thought(tokens):
    """10, 11, 12...; once all of them are there, 20 instead of 10."""
    proposals = list(range(10, 10 + len(tokens)))
    return proposals if MASK in tokens else [20, *proposals[1:]]


class TestGolden:
    """
    The samplers of LLaDA2.1 and of SGLang, on the golden checkpoint. `JointThresholdInDel` has cases with the block routing of
    LLaDA2.2, and without.
    """

    @pytest.mark.parametrize("case", CASES)
    def test_in_a_batch(self, case):
        check_in_batch(case)

    @pytest.mark.slow
    @pytest.mark.parametrize("case", CASES)
    def test_alone_and_without_a_cache(self, case):
        check_alone(case)
        check_in_batch(case, block_cache=None)


class TestEdits:
    def test_a_committed_token_changes_when_another_is_probable_enough(self):
        output = details(of_canvas(second_thought), max_new_tokens=3, **EDITING)
        assert output.sequences[0, 3:].tolist() == [20, 11, 12]
        assert steps_of(output) == [3, 1, 2], "the step and the confidence are those of the last change"
        assert output.num_forward_passes.item() == 5, "the last one changes nothing"
        assert output.tokens_per_forward.item() == pytest.approx(3 / 5)
        kept = details(of_canvas(second_thought), max_new_tokens=3, **EDITING | {"edit_threshold": 0.95})
        assert kept.sequences[0, 3:].tolist() == [10, 11, 12] and kept.num_forward_passes.item() == 4

    def test_threshold_zero_follows_every_proposal(self):
        model = of_canvas(second_thought, probability=0.04)
        output = details(model, max_new_tokens=3, **EDITING | {"edit_threshold": 0.0})
        assert output.sequences[0, 3:].tolist() == [20, 11, 12]

    def test_while_there_are_masks(self):
        """The second token is the first one plus one, also after the first one was edited."""

        def answers(tokens):
            return [20 if tokens[1] != MASK else 10, tokens[0] + 1 if tokens[0] != MASK else 15, 13]

        output = details(of_canvas(answers), max_new_tokens=3, **EDITING)
        assert output.sequences[0, 3:].tolist() == [20, 21, 13]
        assert steps_of(output) == [2, 3, 2]

    def test_given_tokens_and_finished_blocks_stay(self):
        """Everything is 20 at last, but what was given, and the block before."""
        prompt = torch.tensor([[2, 3, 4, MASK, 5, MASK]])
        output = details(
            of_canvas(lambda tokens: [10] * 7 if MASK in tokens else [20] * 7),
            prompt,
            max_new_tokens=4,
            block_length=2,
            **EDITING,
        )
        assert output.sequences[0].tolist() == [2, 3, 4, 10, 5, 10, 10, 10, 20, 20]

    def test_the_mask_token_opens_a_position_again(self):
        def answers(tokens):
            """12, which makes the first position a mask; then it is 20."""
            return [MASK, 11, 12] if tokens == [10, 11, 12] else [20 if 12 in tokens else 10, 11, 12]

        output = details(of_canvas(answers), max_new_tokens=3, **EDITING | {"confidence_threshold": 0.95})
        assert output.sequences[0, 3:].tolist() == [20, 11, 12]
        assert steps_of(output) == [4, 1, 2] and output.num_forward_passes.item() == 6

    def test_stutter_penalty(self):
        """Each position proposes the token to its left, with a logit 1 above that of another."""
        logits = torch.zeros(6, VOCAB_SIZE)
        logits[3:, 9], logits[3:, 8] = 5.0, 4.0
        options = {"max_new_tokens": 3, **EDITING, "edit_threshold": 0.0}
        for penalty, expected in ((0.0, [9, 9, 9]), (0.9, [9, 9, 9]), (1.1, [9, 8, 9])):
            output = MockModel(logits).generate(PROMPT, stutter_penalty=penalty, **options)
            assert output[0, 3:].tolist() == expected

    def test_stutter_penalty_behind_an_image(self):
        """The placeholder of an image is no token of the vocabulary."""
        model = MockModel(context_script(vocab_size=VOCAB_SIZE + 1))
        script = model.script
        model.script, model.config.num_input_ids = lambda ids: script(ids)[..., :VOCAB_SIZE], VOCAB_SIZE + 1
        prompt, options = torch.tensor([[2, VOCAB_SIZE, MASK]]), {"max_new_tokens": 0, **EDITING}
        penalized = model.generate(prompt, stutter_penalty=9.0, **options)
        assert torch.equal(penalized, model.generate(prompt, **options))

    def test_commit_and_score_as_without_edits(self):
        """Where no other token is probable enough, the same tokens come at the same steps, and one pass a block confirms."""
        options = {"max_new_tokens": 12, "block_length": 4, "confidence_threshold": 0.3, "stop_at_eos": False}
        plain = details(MockModel(context_script()), **options)
        edited = details(MockModel(context_script()), **options, edit_threshold=1.0)
        assert torch.equal(edited.sequences, plain.sequences)
        torch.testing.assert_close(edited.trajectory[1], plain.trajectory[1], rtol=0, atol=0, equal_nan=True)
        assert edited.num_forward_passes.item() == plain.num_forward_passes.item() + 3
        none_after = details(MockModel(context_script()), **options, edit_threshold=1.0, max_post_edit_steps=0)
        assert torch.equal(none_after.trajectory[0], plain.trajectory[0])

    def test_a_function_gets_the_confidences_of_masks(self):
        """The two best positions are masks, also when committed tokens have a higher probability."""

        def best_two(confidence, mask, budget):
            return confidence >= confidence.topk(2, dim=-1).values[:, 1:]

        options = {"max_new_tokens": 6, "remasking": best_two, **EDITING, "max_post_edit_steps": 0}
        model = scripted([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
        assert steps_of(details(model, **options)) == [0, 0, 1, 1, 2, 2]

    @pytest.mark.parametrize("options", [{"remasking": "random"}, {"temperature": 1.0}, {"cfg_scale": 0.5}], ids=str)
    def test_random_steps_and_guidance(self, options):
        generator = torch.Generator().manual_seed(0)
        model = MockModel(context_script())
        output = model.generate(PROMPT, max_new_tokens=8, block_length=4, generator=generator, **EDITING | options)
        assert not (output == MASK).any()


class TestTheEnd:
    """The public samplers have loops without an end, of which each is one of these."""

    @pytest.mark.parametrize("threshold", [None, 0.5])
    def test_a_model_that_only_proposes_the_mask_token(self, threshold):
        output = details(
            of_canvas(lambda tokens: [MASK] * 4), max_new_tokens=4, confidence_threshold=threshold, **EDITING
        )
        assert not (output.sequences == MASK).any()
        assert output.num_forward_passes.item() <= 2 * (4 + 16)

    def test_positions_that_open_each_other_again(self):
        """There is a mask in every step, so that no step counts as one after the last mask."""

        def answers(tokens):
            return [10, MASK] if tokens[0] == MASK else [MASK, 11]

        output = details(of_canvas(answers), max_new_tokens=2, **EDITING)
        assert not (output.sequences == MASK).any()
        assert output.num_forward_passes.item() <= 2 * (2 + 16)

    @pytest.mark.parametrize("max_post_edit_steps", [0, 1, 5])
    def test_tokens_that_change_in_every_step(self, max_post_edit_steps):
        model = of_canvas(lambda tokens: [10 if token == 11 else 11 for token in tokens])
        options = EDITING | {"confidence_threshold": 0.5, "max_post_edit_steps": max_post_edit_steps}
        output = details(model, max_new_tokens=4, **options)
        assert output.num_forward_passes.item() == 1 + max_post_edit_steps
        assert steps_of(output) == [max_post_edit_steps] * 4

    def test_a_model_whose_logits_are_no_numbers(self):
        """With the mask token as the first of the vocabulary, it is what is proposed then."""
        model = MockModel(torch.full((7, VOCAB_SIZE), -torch.inf), mask_token_id=0)
        with pytest.raises(ValueError, match="logits were NaN or infinite"):
            model.generate(PROMPT, max_new_tokens=4, **EDITING)


class TestMinCommits:
    @pytest.mark.parametrize("number, passes", [(1, 8), (2, 4), (3, 3), (100, 1)])
    def test_forward_passes(self, number, passes):
        model = MockModel(context_script())
        output = details(model, max_new_tokens=8, min_commits=number, stop_at_eos=False)
        assert output.num_forward_passes.item() == passes

    def test_recorded(self, monkeypatch):
        """The recorded steps end where the others do."""
        monkeypatch.setattr(torch, "compile", lambda function, **kwargs: function)
        model = tiny_model(0)
        options = {"max_new_tokens": 8, "block_length": 4, "min_commits": 3, "stop_at_eos": False}
        recorded = details(model, **options, compile_config=CompileConfig())
        assert torch.equal(recorded.sequences, details(model, **options).sequences)
        assert recorded.num_forward_passes.item() == 4


class TestWatching:
    def record(self):
        streamer = RecordingStreamer(letters(), MASK, eos_token_id=[])
        output = details(of_canvas(second_thought), max_new_tokens=3, streamer=streamer, **EDITING)
        return streamer.record, output

    def test_frames_show_a_change_as_new(self):
        record, output = self.record()
        assert torch.equal(record.frames[-1].tokens, output.sequences)
        assert [frame.tokens[0, 3].item() for frame in record.frames[1:-1]] == [10, 10, 10, 20, 20]
        states = [TokenState(frame.states[0, 3].item()).name for frame in record.frames[1:-1]]
        assert states == ["NEW", "COMMITTED", "COMMITTED", "NEW", "COMMITTED"]
        edit, confirmation = record.frames[4], record.frames[5]
        assert edit.top_tokens[0, 3:, 0].tolist() == [20, 11, 12]
        assert edit.top_probabilities[0, 3, 0].item() == pytest.approx(0.9)
        assert edit.top_probabilities[0, 4:, 0].isnan().all() and confirmation.top_probabilities.isnan().all()

    def test_records_are_saved_and_drawn(self, tmp_path):
        record, output = self.record()
        record.save(tmp_path / "record.json")
        loaded = DenoisingRecord.load(tmp_path / "record.json", letters())
        assert all(torch.equal(one.tokens, two.tokens) for one, two in zip(record.frames, loaded.frames, strict=True))
        assert animated_svg(pictures_of(loaded.frames)).count(">u<") == 2, "it shows the last tokens"
        from_output = DenoisingRecord.from_output(output, PROMPT, letters(), MASK)
        assert torch.equal(from_output.frames[-1].tokens, output.sequences)

    def test_a_drawing_has_each_token_that_was_there(self):
        record, _ = self.record()
        picture = denoising_svg(record)
        assert ">k<" in picture and ">u<" in picture

    def test_stop_strings_are_looked_for_in_finished_blocks(self):
        """The word that was there for some steps ends nothing."""
        options = {"block_length": 3, "max_new_tokens": 6, "tokenizer": letters(), "pad_token_id": PAD} | EDITING
        model = of_canvas(lambda tokens: second_thought(tokens[:3]) + [13, 14, 15])
        for string, expected in (("k", [20, 11, 12, 13, 14, 15]), ("u", [20, PAD, PAD, PAD, PAD, PAD])):
            output = model.generate(PROMPT, stop_strings=[string], **options)
            assert output[0, 3:].tolist() == expected

    def test_criteria_see_tokens_that_may_change(self):
        seen = []
        details(
            of_canvas(second_thought),
            max_new_tokens=3,
            stopping_criteria=lambda ids, _: seen.append(ids[0, 3].item()) or False,
            **EDITING,
        )
        assert seen == [10, 10, 10, 20, 20]

    @pytest.mark.parametrize("skip_after_eos", [False, True])
    def test_an_end_that_is_edited_away(self, skip_after_eos):
        """Where an EOS ends its row at once, it is final."""

        def answers(tokens):
            return [10, EOS, 12] if MASK in tokens[:2] else [10, 11, 12]

        options = EDITING | {"stop_at_eos": True, "skip_after_eos": skip_after_eos}
        output = details(of_canvas(answers), max_new_tokens=3, **options)
        assert output.sequences[0, 3:].tolist() == ([10, EOS, PAD] if skip_after_eos else [10, 11, 12])
