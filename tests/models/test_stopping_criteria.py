# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Stopping criteria run after every denoising step, so that a Stop works inside a block."""

import pytest
import torch
from support.mock_model import EOS, MASK, PAD, PROMPT, MockModel, context_script, details, scripted, steps_of
from transformers import (
    EosTokenCriteria,
    MaxLengthCriteria,
    MaxTimeCriteria,
    MinLengthLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
)


class StopAfter(StoppingCriteria):
    """Stops all rows after a number of steps, and writes down what it is called with."""

    def __init__(self, steps):
        self.steps, self.calls = steps, []

    def __call__(self, input_ids, scores, **kwargs):
        self.calls.append((input_ids.clone(), scores.clone()))
        return torch.full((len(input_ids),), len(self.calls) >= self.steps)


class StopAtToken(StoppingCriteria):
    """Stops the rows whose answer holds a token."""

    def __init__(self, token):
        self.token = token

    def __call__(self, input_ids, scores, **kwargs):
        return (input_ids[:, 3:] == self.token).any(-1)


def test_a_stop_inside_a_block_pads_the_masks_that_are_left():
    stop = StopAfter(2)
    output = details(scripted([0.5, 0.9, 0.3, 0.8]), max_new_tokens=4, stopping_criteria=[stop])
    assert output.sequences[0, 3:].tolist() == [PAD, 11, PAD, 13]
    assert steps_of(output) == [-1, 0, -1, 1]
    assert output.trajectory[1][0, 3:].isnan().tolist() == [True, False, True, False]
    assert output.num_forward_passes.tolist() == [2] and output.tokens_per_forward.tolist() == [1.0]
    assert output.stopped.tolist() == [True]


def test_arguments_of_a_criterion():
    """The canvas after the step, masks among its tokens, and the scores of what was masked before the step."""
    stop = StopAfter(99)
    scripted([0.5, 0.9, 0.3]).generate(PROMPT, max_new_tokens=3, stopping_criteria=StoppingCriteriaList([stop]))
    assert [ids.tolist() for ids, _ in stop.calls] == [
        [[2, 3, 4, MASK, 11, MASK]],
        [[2, 3, 4, 10, 11, MASK]],
        [[2, 3, 4, 10, 11, 12]],
    ]
    assert [tuple(scores.shape) for _, scores in stop.calls] == [(3, 32), (2, 32), (1, 32)]


def test_later_blocks_are_padded_too():
    model = scripted([0.9] * 6)
    output = details(model, max_new_tokens=6, block_length=2, stopping_criteria=[StopAfter(3)])
    assert output.sequences[0, 3:].tolist() == [10, 11, 12, PAD, PAD, PAD]
    assert len(model.calls) == 3


def test_tokens_behind_a_gap_stay():
    """The gap is often padded with the EOS token; that is no end of the text."""
    model = scripted([0.5, 0.9, 0.3, 0.8], pad_token_id=EOS)
    output = details(model, max_new_tokens=4, stopping_criteria=[StopAfter(2)])
    assert output.sequences[0, 3:].tolist() == [EOS, 11, EOS, 13]
    assert steps_of(output) == [-1, 0, -1, 1]


def test_masks_of_the_prompt_are_padded_as_well():
    prompt = torch.tensor([[2, MASK, 4, MASK]])
    output = details(MockModel(context_script()), prompt, max_new_tokens=2, stopping_criteria=[StopAfter(1)])
    assert (output.sequences != MASK).all()
    assert (output.sequences == PAD).sum() == 3


def test_a_row_stops_by_itself():
    """The rows that are not stopped go on as they would alone."""
    prompt = torch.tensor([[2, 3, 4], [5, 6, 7], [8, 9, 10]])
    alone = [details(MockModel(context_script()), row[None], max_new_tokens=6, stop_at_eos=False) for row in prompt]
    token = alone[1].sequences[0, 3:][alone[1].trajectory[0][0, 3:] == 1].item()
    expected = [
        details(
            MockModel(context_script()),
            row[None],
            max_new_tokens=6,
            stop_at_eos=False,
            stopping_criteria=[StopAtToken(token)],
        )
        for row in prompt
    ]
    together = details(
        MockModel(context_script()),
        prompt,
        max_new_tokens=6,
        stop_at_eos=False,
        stopping_criteria=[StopAtToken(token)],
    )
    assert expected[1].stopped.item() and not all(output.stopped for output in expected)
    assert together.stopped.tolist() == [output.stopped.item() for output in expected]
    for row, output in enumerate(expected):
        assert torch.equal(together.sequences[row], output.sequences[0])
        assert together.num_forward_passes[row] == output.num_forward_passes[0]


@pytest.mark.parametrize("options", [{}, {"block_length": 2}, {"draft_steps": 2}], ids=str)
def test_a_row_waits_for_a_step_of_its_own(options):
    """While the masks of another prompt are filled, a criterion that is true at once does not stop it."""
    prompt = torch.tensor([[2, 3, 4], [MASK, 6, MASK], [8, MASK, 10]])
    options |= {"max_new_tokens": 4, "stop_at_eos": False, "stopping_criteria": [lambda ids, scores: True]}
    together = details(MockModel(context_script()), prompt, **options)
    assert together.stopped.tolist() == [True] * 3
    for row in range(3):
        alone = details(MockModel(context_script()), prompt[row : row + 1], **options)
        assert torch.equal(together.sequences[row], alone.sequences[0])
        assert together.num_forward_passes[row] == alone.num_forward_passes[0] == 1


def test_a_complete_row_is_not_stopped():
    output = details(scripted([0.9, 0.8]), max_new_tokens=2, stopping_criteria=[StopAfter(2)])
    assert output.stopped.tolist() == [False]


def test_without_criteria_the_output_does_not_speak_of_them():
    assert details(scripted([0.9]), max_new_tokens=1).stopped is None


@pytest.mark.parametrize(
    "criterion",
    [MaxTimeCriteria(0.0), lambda input_ids, scores: True, lambda input_ids, scores: torch.tensor(True)],
    ids=["of transformers", "bool", "scalar"],
)
def test_forms(criterion):
    model = scripted([0.9] * 4)
    output = details(model, max_new_tokens=4, stopping_criteria=[criterion])
    assert output.stopped.tolist() == [True] and len(model.calls) == 1
    model = scripted([0.9] * 4)
    assert details(model, max_new_tokens=4, stopping_criteria=criterion).stopped.tolist() == [True]


def test_a_streamer_gets_the_block_with_its_pads_and_the_end():
    events = []

    class Streamer:
        def put(self, value):
            events.append(value.tolist())

        def end(self):
            events.append("end")

    scripted([0.9] * 6).generate(
        PROMPT, max_new_tokens=6, block_length=3, streamer=Streamer(), stopping_criteria=[StopAfter(2)]
    )
    assert events == [[[2, 3, 4]], [10, 11, PAD], "end"]


def test_no_pad_token():
    model = scripted([0.9], pad_token_id=None, eos_token_id=None)
    with pytest.raises(ValueError, match="`stopping_criteria` need a `pad_token_id`"):
        model.generate(PROMPT, max_new_tokens=1, stopping_criteria=[StopAfter(1)])
    assert not model.calls
    output = model.generate(PROMPT, max_new_tokens=1, stopping_criteria=[StopAfter(9)], pad_token_id=PAD)
    assert output.tolist() == [[2, 3, 4, 10]]


@pytest.mark.parametrize("criteria", [[], StoppingCriteriaList()], ids=["list", "of transformers"])
def test_an_empty_list_is_none(criteria):
    """It needs no pad token."""
    model = scripted([0.9], pad_token_id=None, eos_token_id=None)
    assert details(model, max_new_tokens=1, stopping_criteria=criteria).stopped is None


@pytest.mark.parametrize("form", [lambda criterion: criterion, lambda criterion: [lambda *_: False, criterion]])
@pytest.mark.parametrize(
    "result",
    [torch.tensor([1]), torch.tensor([True, False]), torch.tensor([[True]]), None, [True], "yes", 1],
    ids=str,
)
def test_something_else_than_a_boolean_for_each_row(result, form):
    with pytest.raises(ValueError, match="`stopping_criteria` must return"):
        scripted([0.9]).generate(PROMPT, max_new_tokens=1, stopping_criteria=form(lambda input_ids, scores: result))


@pytest.mark.parametrize(
    ("name", "one"),
    [
        ("stopping_criteria", MaxLengthCriteria(5)),
        ("stopping_criteria", EosTokenCriteria(EOS)),
        ("logits_processor", MinLengthLogitsProcessor(9, EOS)),
        ("logits_processor", NoRepeatNGramLogitsProcessor(2)),
    ],
)
def test_what_expects_a_text_that_grows_at_its_end_is_refused(name, one):
    """A limit of the length would stop each row after its first step, wherever that commits a token."""
    model = scripted([0.9])
    with pytest.raises(ValueError, match=f"`{name}` must work on a canvas.*{type(one).__name__}"):
        model.generate(PROMPT, max_new_tokens=1, **{name: [one]})
    assert not model.calls
