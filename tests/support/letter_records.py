# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Records of calls of the mock model, whose tokens are letters."""

from modeling_llada.streaming import RecordingStreamer, TokenState
from support.mock_model import EOS, MASK, PAD, PROMPT, details


DISTINCT_PADS = {"eos_token_id": EOS, "pad_token_id": PAD}
EOS_PADS = {"eos_token_id": EOS, "pad_token_id": EOS}


class LetterTokenizer:
    """Decodes the tokens of the mock model: letters, and names in brackets."""

    def __init__(self, eos_token_id=EOS, pad_token_id=PAD):
        self.eos_token_id = eos_token_id
        self.pad_token_id = pad_token_id
        self.all_special_ids = [EOS, PAD]

    def decode(self, tokens, skip_special_tokens=False):
        names = {MASK: "[MASK]", EOS: "<eos>", PAD: "<pad>"}
        tokens = [int(token) for token in tokens]
        if skip_special_tokens:
            tokens = [token for token in tokens if token not in (EOS, PAD)]
        return "".join(names.get(token, chr(ord("a") + token)) for token in tokens)


def record_of(model, input_ids=PROMPT, tokenizer=None, streamer_options=(), **options):
    """The record of a call, and its output."""
    streamer = RecordingStreamer(tokenizer or LetterTokenizer(), MASK, **dict(streamer_options))
    output = details(model, input_ids, streamer=streamer, **options)
    return streamer.record, output


def states_of(frame, row=0):
    """A letter for each position: Given, Mask, New, Committed, Pad, Image (a further token of one)."""
    return "".join(TokenState(state).name[0] for state in frame.states[row].tolist())
