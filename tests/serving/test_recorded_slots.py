# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Slots whose steps have static shapes, as they are recorded on a GPU. On a CPU `compile_config` asks for them."""

from random import Random

import pytest
from support.generate_calls import tiny_model
from support.random_prompts import check_equal, generate_alone, random_prompt
from transformers import CompileConfig

from modeling_llada.models import engine_llada
from modeling_llada.serving import BatchedDecoder
from modeling_llada.serving.recorded_slots import RecordedSlotDenoiser


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch):
    """The functions as they are: compiling takes long, and is tested with the engine."""
    monkeypatch.setattr(engine_llada.Kernels, "compile", lambda config: engine_llada.Kernels())
    monkeypatch.setattr(engine_llada, "compile_one", lambda function, config: function)


@pytest.mark.parametrize(
    "shared",
    [
        {"block_cache": "dual", "confidence_threshold": 0.5},
        {"block_cache": "vicinity", "cfg_scale": 0.5},
        {"block_cache": "dual", "temperature": 1.0, "remasking": "random"},
    ],
    ids=lambda shared: "-".join(shared),
)
def test_rows_get_what_generate_gives_them_alone(shared):
    chance, model = Random(str(shared)), tiny_model(0)
    prompts = [random_prompt(chance, shared) for _ in range(8)]
    recorded = [prompt | {"compile_config": CompileConfig()} for prompt in prompts]
    with BatchedDecoder(model, batch_size=3, output_trajectory=True) as decoder:
        answers = list(decoder.generate(recorded))
        [batch] = decoder.scheduler.batches.values()
        assert isinstance(batch.denoiser, RecordedSlotDenoiser), "it is kept, with its recordings"
        assert decoder.scheduler.is_idle
    assert not decoder.scheduler.batches
    for answer, prompt in zip(answers, prompts, strict=True):
        check_equal(answer, generate_alone(model, prompt))


def test_a_call_that_finds_nobody_at_work_gets_the_recorded_steps_of_generate():
    options = {"block_cache": "dual", "block_length": 3, "max_new_tokens": 6, "compile_config": CompileConfig()}
    with BatchedDecoder(tiny_model(0), batch_size=1, **options) as decoder:
        assert all(answer.error is None for answer in decoder.generate([[1], [2]]))
        assert decoder.scheduler.counts.passes == 0, "no slot was used"
