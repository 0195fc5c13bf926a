# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Random combinations of the arguments of `generate`: each gives a finished canvas, or an error that names an argument."""

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.mock_model import BOS, EOS, EOT, MASK, PAD, VOCAB_SIZE, MockModel, context_script
from transformers import GenerationConfig, MaxTimeCriteria, TopKLogitsWarper

from modeling_llada import LLaDAConfig, LLaDAForMaskedLM, LLaDAGenerationOutput
from modeling_llada.models.options_llada import EXCLUSIONS, OPTIONS, PARALLEL_RULES


SCRIPT = context_script()
MAX_LENGTH = 24
TABLE = {option.name: option for option in OPTIONS}


def good_values(option):
    """Values that an option accepts; `None` unsets it."""
    if option.kind == "int":
        return st.none() | st.integers(option.minimum, option.minimum + 20)
    if option.kind == "float":
        return st.none() | st.floats(option.minimum, 10 if option.maximum is None else option.maximum)
    return st.none() | (st.booleans() if option.kind == "bool" else st.sampled_from(option.choices))


def bad_values(option):
    """Values that an option must refuse."""
    if option.kind == "int":
        return st.integers(max_value=option.minimum - 1) | st.floats() | st.booleans() | st.text()
    if option.kind == "float":
        outside = st.floats(max_value=option.minimum - 0.01)
        outside |= st.nothing() if option.maximum is None else st.floats(min_value=option.maximum + 0.01)
        return outside | st.sampled_from([float("nan"), float("inf"), 10**400, True, "1", [1.0], {}])
    return st.text() | st.integers(2) | (st.nothing() if option.kind == "bool" else st.booleans())


SIMPLE = [option for option in OPTIONS if option.kind in ("int", "float", "bool", "choice")]
GOOD = {option.name: good_values(option) for option in SIMPLE} | {
    "max_new_tokens": st.integers(0, 12),
    "temperature": st.none() | st.sampled_from([0.0, 0, 1e-3, 1.0, 50.0]),
    "cfg_scale": st.sampled_from([0.0, 0.5, 4]),
    "remasking": st.sampled_from(TABLE["remasking"].choices)
    | st.sampled_from([lambda confidence, mask, budget: mask, lambda confidence, mask, budget: ~mask]),
    "draft_steps": st.none() | st.integers(2, 5),
    "num_return_sequences": st.integers(1, 3),
    "eos_token_id": st.none() | st.integers(0, MASK - 1) | st.lists(st.integers(0, MASK - 1), min_size=1, max_size=3),
    "pad_token_id": st.none() | st.integers(0, MASK - 1),
    "logits_processor": st.sampled_from([None, [], [TopKLogitsWarper(2)]]),
    "stopping_criteria": st.sampled_from([None, [], [MaxTimeCriteria(0.0)], [lambda ids, scores: ids[:, -1] < MASK]]),
    "generation_config": st.sampled_from([None, GenerationConfig(), GenerationConfig(max_new_tokens=3, steps=2)]),
    # What other libraries pass along.
    "use_cache": st.just(False),
    "tokenizer": st.none() | st.just("tokenizer"),
}
BAD = {option.name: bad_values(option) for option in SIMPLE} | {
    "max_new_tokens": bad_values(TABLE["max_new_tokens"]) | st.integers(MAX_LENGTH + 1, 10**6),
    "eos_token_id": st.sampled_from([[], [1, -1], -5, "</s>", 1.5, MASK]),
    "generator": st.sampled_from([42, "seed", [], [1]]),
    "logits_processor": st.sampled_from([5, ["top_k"]]),
    "stopping_criteria": st.sampled_from([5, ["stop"]]),
    "streamer": st.sampled_from([5, "stdout"]),
    "generation_config": st.sampled_from(
        [{"steps": 2}, GenerationConfig(num_beams=4), GenerationConfig(typical_p=0.5)]
    ),
    "attention_mask": st.sampled_from([torch.ones(9, 9), torch.zeros(1, 1), [[1]]]),
    "num_beams": st.integers(2, 8),
    "gen_length": st.integers(1, 128),
    "stepz": st.integers(1, 128),
}
UNKNOWN = {"num_beams", "gen_length", "stepz"}
# Options that are good by themselves, but may contradict each other.
CONFLICTS = [
    set(PARALLEL_RULES),
    *({option.name, option.refines} for option in OPTIONS if option.refines),
    *({first, second} for first, second, _ in EXCLUSIONS),
    {"do_sample", "temperature"},
    {"draft_steps", "do_sample", "temperature", "remasking"},
    {"logits_eos_inf", "confidence_eos_eot_inf", "eos_token_id"},
    {"stopping_criteria", "pad_token_id", "eos_token_id"},
]


def tiny_model():
    """A network, since scripted logits know no cache. Its forward passes are recorded in `calls` as well."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    tokens = {
        "mask_token_id": MASK,
        "eos_token_id": EOS,
        "eot_token_id": EOT,
        "pad_token_id": PAD,
        "bos_token_id": BOS,
    }
    lengths = {"vocab_size": VOCAB_SIZE, "max_position_embeddings": MAX_LENGTH}
    model = LLaDAForMaskedLM(LLaDAConfig(**sizes, **tokens, **lengths, initializer_range=0.5)).eval()
    model.calls = []
    model.register_forward_pre_hook(lambda module, args: model.calls.append(args))
    return model


TINY_MODEL = tiny_model()


@st.composite
def prompts(draw):
    """Prompts with masks here and there, and their attention mask with padding on the left."""
    batch_size, length = draw(st.integers(1, 3)), draw(st.integers(1, 8))
    row = st.lists(st.integers(0, VOCAB_SIZE - 1), min_size=length, max_size=length)
    input_ids = torch.tensor(draw(st.lists(row, min_size=batch_size, max_size=batch_size)))
    padding = torch.tensor(draw(st.lists(st.integers(0, length - 1), min_size=batch_size, max_size=batch_size)))
    return input_ids, (torch.arange(length) >= padding[:, None]).long()


@st.composite
def calls(draw):
    """A prompt, some good options, and sometimes a bad one, whose name is returned as well."""
    input_ids, attention_mask = draw(prompts())
    names = draw(st.sets(st.sampled_from(sorted(GOOD)), max_size=8))
    options = {name: draw(GOOD[name]) for name in sorted(names)}
    if draw(st.booleans()):
        options["attention_mask"] = attention_mask
    options.setdefault("max_new_tokens", 6)
    bad = draw(st.none() | st.sampled_from(sorted(BAD)))
    if bad is not None:
        options[bad] = draw(BAD[bad])
    return input_ids, options, bad


def quoted(name):
    return ("`model_kwargs`", name) if name in UNKNOWN else (f"`{name}",)


def check_result(result, input_ids, options):
    """No mask is left, given tokens are untouched, and the numbers of the output fit each other."""
    sequences = result.sequences if isinstance(result, LLaDAGenerationOutput) else result
    repeats = options.get("num_return_sequences") or 1
    prompt = input_ids.repeat_interleave(repeats, dim=0)
    attended = options.get("attention_mask", torch.ones_like(input_ids)).repeat_interleave(repeats, dim=0).bool()
    config = options.get("generation_config")
    expected = options["max_new_tokens"] if config is None or "max_new_tokens" in options else config.max_new_tokens
    assert sequences.shape == (len(prompt), prompt.shape[1] + expected)

    given = (prompt != MASK) | ~attended
    length = prompt.shape[1]
    assert torch.equal(sequences[:, :length][given], prompt[given])
    assert not (sequences[:, :length][attended] == MASK).any() and not (sequences[:, length:] == MASK).any()
    if not isinstance(result, LLaDAGenerationOutput):
        return
    num_masks = (~given).sum(-1) + expected
    assert (result.num_forward_passes <= num_masks).all()
    if options.get("output_trajectory"):
        steps, confidence = result.trajectory
        assert (steps[:, :length][given] == -1).all()
        assert (steps < result.num_forward_passes[:, None]).all()
        assert torch.equal(steps >= 0, ~confidence.isnan())


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(calls())
@example((torch.tensor([[2, 3]]), {"max_new_tokens": 4, "temperature": 10**400}, "temperature"))
@example((torch.full((1, 1), MASK), {"max_new_tokens": 0, "steps": 1}, None))
@example(
    (
        torch.tensor([[2, 3]]),
        {"max_new_tokens": 4, "block_cache": "dual", "cache_refresh_interval": 0},
        "cache_refresh_interval",
    )
)
def test_a_finished_canvas_or_an_error_that_names_the_argument(call):
    input_ids, options, bad = call
    model = MockModel(SCRIPT, max_position_embeddings=MAX_LENGTH)
    if options.get("block_cache"):
        model = TINY_MODEL
        model.calls.clear()
    possible = {bad} if bad else set()
    for conflict in CONFLICTS:
        if conflict & set(options):
            possible |= conflict & (set(options) | {"eos_token_id", "pad_token_id"})
    try:
        result = model.generate(input_ids, **options)
    except ValueError as error:
        message = str(error)
        assert any(part in message for name in possible for part in quoted(name)), (message, possible)
        assert not model.calls, "the error came after a forward pass"
        return
    assert bad is None, f"`{bad}={options[bad]!r}` was accepted"
    check_result(result, input_ids, options)


def test_the_check_would_notice_a_mask_and_a_changed_token():
    """So that the test above can fail."""
    prompt = torch.tensor([[2, 3]])
    good = torch.tensor([[2, 3, EOS, PAD]])
    options = {"max_new_tokens": 2}
    check_result(good, prompt, options)
    for position, token in ((3, MASK), (0, 4)):
        wrong = good.clone()
        wrong[0, position] = token
        with pytest.raises(AssertionError):
            check_result(wrong, prompt, options)
