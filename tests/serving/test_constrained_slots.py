# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Rows with constraints of their own share forward passes, and each gets what `generate` gives it alone."""

from random import Random

import pytest
import torch


pytest.importorskip("outlines_core", reason="needs the extra `constraints`")

from modeling_llada import Constraint  # noqa: E402
from modeling_llada.serving import BatchedDecoder  # noqa: E402


PATTERNS = ["[^，。]{5}。", "(春|夏|秋|冬){2,5}", "[0-9]{1,8}", "床前明月光"]
PROMPTS = ["床前明月光，", "白日", "春眠不觉晓，", "月", "红豆生", "床"]


@pytest.mark.parametrize(
    "options",
    [
        {"block_length": 4},
        {"block_length": 3, "block_cache": "dual", "confidence_threshold": 0.5},
        {"steps": 4, "temperature": 0.8},
        {"remasking": "random", "block_length": 5, "cfg_scale": 0.5},
    ],
    ids=str,
)
def test_rows_that_come_and_go(poet, passes, options):
    """Each third one has no constraint, and lengths differ, so that slots are filled again while others are at work."""
    model, tokenizer = poet
    draw = Random(0)
    requests = []
    for number, prompt in enumerate(PROMPTS):
        constraint = None if number % 3 == 2 else Constraint.from_regex(draw.choice(PATTERNS), tokenizer)
        request = {"prompt": prompt, "constraint": constraint, "seed": number, "max_new_tokens": draw.randint(8, 12)}
        requests.append(request)
    with BatchedDecoder(model, tokenizer, batch_size=3, **options) as decoder:
        answers = list(decoder.generate(requests))
    assert max(passes) > 1
    for answer, request in zip(answers, requests, strict=True):
        assert answer.error is None
        alone = model.generate(
            **tokenizer(request["prompt"], return_tensors="pt"),
            **options,
            constraint=request["constraint"],
            max_new_tokens=request["max_new_tokens"],
            generator=torch.Generator().manual_seed(request["seed"]),
            return_dict_in_generate=True,
        )
        assert torch.equal(answer.output.sequences, alone.sequences)
        assert torch.equal(answer.output.num_forward_passes, alone.num_forward_passes)


def test_gaps(poet, passes):
    model, tokenizer = poet
    constraint = Constraint.from_regex("光，疑是地上[霜雪]", tokenizer)
    prompt = "床前明月[MASK]，疑是地上[MASK]。"
    with BatchedDecoder(model, tokenizer, max_new_tokens=0) as decoder:
        answers = list(decoder.generate([{"prompt": prompt, "constraint": constraint}] * 2))
    assert max(passes) == 2
    for answer in answers:
        assert tokenizer.decode(answer.output.sequences[0]) in ("床前明月光，疑是地上霜。", "床前明月光，疑是地上雪。")


def test_an_empty_slot_forgets_its_constraint(poet):
    """The last row joins one with few states, while the slot beside it was left in a state beyond them."""
    model, tokenizer = poet
    wide, narrow = (Constraint.from_regex(pattern, tokenizer) for pattern in ("[0-9]{8}", "月*"))
    requests = [{"prompt": "床", "constraint": wide, "max_new_tokens": 8}] * 2
    requests += [{"prompt": "床", "constraint": narrow, "max_new_tokens": length} for length in (20, 4)]
    with BatchedDecoder(model, tokenizer, batch_size=3, block_length=2, stop_at_eos=False) as decoder:
        texts = [answer.text for answer in decoder.generate(requests)]
    assert len(texts[0]) == 8 and set(texts[2] + texts[3]) <= {"月"}
