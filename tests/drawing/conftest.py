# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tiny poet and the record of one of its calls."""

import pytest

from modeling_llada.streaming import RecordingStreamer


@pytest.fixture(scope="session")
def poet(tiny_poet):
    return tiny_poet


@pytest.fixture(scope="session")
def record(poet):
    """The record of a call that writes six tokens in two blocks."""
    model, tokenizer = poet
    streamer = RecordingStreamer(tokenizer, model.config.mask_token_id)
    inputs = tokenizer("床前", return_tensors="pt")
    model.generate(**inputs, max_new_tokens=6, block_length=3, stop_at_eos=False, streamer=streamer)
    return streamer.record
