# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A mask predictor without a network: its logits are scripted, so a test knows what each step has to do."""

import math
from collections.abc import Callable
from types import SimpleNamespace

import torch

from modeling_llada import LLaDAConfig, LLaDAGenerationConfig, LLaDAGenerationMixin


MASK, EOS, EOT, PAD, BOS = 31, 30, 29, 28, 27
VOCAB_SIZE = 32
PROMPT = torch.tensor([[2, 3, 4]])


class MockModel(LLaDAGenerationMixin):
    """
    The generation mixin on scripted logits, `(length, vocab_size)` whatever the input, or a function of `input_ids` that returns
    `(batch, length, vocab_size)`. Each forward pass is recorded in `calls`. Keyword arguments are fields of the config.
    """

    device = torch.device("cpu")

    def __init__(self, script: torch.Tensor | Callable, **config):
        self.script = script
        sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
        sizes |= {"vocab_size": VOCAB_SIZE, "max_position_embeddings": 256}
        tokens = {"mask": MASK, "eos": EOS, "eot": EOT, "pad": PAD, "bos": BOS}
        ids = {f"{name}_token_id": token for name, token in tokens.items()}
        self.config = LLaDAConfig(**sizes | ids | config)
        self.generation_config = LLaDAGenerationConfig.from_model_config(self.config)
        self.calls = []

    def __call__(self, input_ids, attention_mask, position_ids, logits_to_keep):
        self.calls.append(
            SimpleNamespace(
                input_ids=input_ids.clone(),
                attention_mask=attention_mask,
                position_ids=position_ids,
                logits_to_keep=logits_to_keep,
            )
        )
        if callable(self.script):
            logits = self.script(input_ids)
        else:
            logits = self.script[: input_ids.shape[1]].expand(*input_ids.shape, -1)
        return SimpleNamespace(logits=logits[logits_to_keep])


def peaked(tokens: list[int], probabilities: list[float], vocab_size: int = VOCAB_SIZE) -> torch.Tensor:
    """Logits `(length, vocab_size)` that give `tokens[i]` the probability `probabilities[i]`, and the rest evenly."""
    logits = torch.empty(len(tokens), vocab_size)
    for position, (token, probability) in enumerate(zip(tokens, probabilities, strict=True)):
        logits[position] = math.log((1 - probability) / (vocab_size - 1))
        logits[position, token] = math.log(probability)
    return logits


def context_script(vocab_size: int = VOCAB_SIZE, seed: int = 0, scale: float = 3.0) -> Callable:
    """Pseudo-random logits that depend on the position and on every token of the canvas, as a network's do."""
    generator = torch.Generator().manual_seed(seed)
    token_table = torch.randn(vocab_size, 16, generator=generator, dtype=torch.float64)
    position_table = torch.randn(256, 16, generator=generator, dtype=torch.float64)
    head = torch.randn(16, vocab_size, generator=generator, dtype=torch.float64)

    def script(input_ids: torch.LongTensor) -> torch.Tensor:
        length = input_ids.shape[1]
        placed = token_table[input_ids] * position_table[:length]
        context = placed.sum(1, keepdim=True) / length**0.5
        return (scale * torch.tanh(context + position_table[:length]) @ head / 4).float()

    return script


def scripted(probabilities, tokens=None, prompt_length=3, **config):
    """A model that proposes `tokens` (10, 11, 12...) for the positions after a prompt, with given probabilities."""
    tokens = list(range(10, 10 + len(probabilities))) if tokens is None else tokens
    return MockModel(peaked([0] * prompt_length + tokens, [0.5] * prompt_length + probabilities), **config)


def of_canvas(answers, probability=0.9, **config):
    """A model whose proposals for the answer depend on its tokens: `answers(tokens)`, for one row."""

    def script(input_ids):
        proposals = answers(input_ids[0, 3:].tolist())
        return peaked([0] * 3 + proposals, [0.5] * 3 + [probability] * len(proposals))[None]

    return MockModel(script, **config)


def details(model, input_ids=PROMPT, **options):
    """Sequences and trajectory."""
    return model.generate(input_ids, return_dict_in_generate=True, output_trajectory=True, **options)


def steps_of(output, row=0, prompt_length=3):
    """The step that committed each token of the answer."""
    return output.trajectory[0][row, prompt_length:].tolist()
