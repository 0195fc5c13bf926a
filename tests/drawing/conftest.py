# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A tiny random model and the record of one of its calls."""

import pytest
from transformers import AutoTokenizer

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.streaming import RecordingStreamer


@pytest.fixture(scope="session")
def poet(poet_folder):
    """A tiny random model and the tokenizer of the shipped checkpoint. Shared by the tests: do not change them."""
    return LLaDAForMaskedLM.from_pretrained(poet_folder).eval(), AutoTokenizer.from_pretrained(poet_folder)


@pytest.fixture(scope="session")
def record(poet):
    """The record of a call that writes six tokens in two blocks."""
    model, tokenizer = poet
    streamer = RecordingStreamer(tokenizer, model.config.mask_token_id)
    inputs = tokenizer("床前", return_tensors="pt")
    model.generate(**inputs, max_new_tokens=6, block_length=3, stop_at_eos=False, streamer=streamer)
    return streamer.record
