# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The true distribution of the texts after a prompt, and what `generate` samples."""

import torch

from evidence.exact.model import HiddenMarkovModel
from modeling_llada.seeds import indexed_generator


PROMPT = [0]
BATCH = 10_000


def true_distribution(model: HiddenMarkovModel, length: int) -> torch.DoubleTensor:
    """The probability of each text after the prompt."""
    texts = model.texts(length)
    joint = model.log_probability(torch.cat([torch.tensor(PROMPT).expand(len(texts), -1), texts], 1))
    return joint.softmax(0)


def given_constraint(
    model: HiddenMarkovModel, truth: torch.DoubleTensor, length: int, constraint
) -> torch.DoubleTensor:
    """The truth given that the text is in the language of a constraint."""
    automaton = constraint.automaton
    states = torch.zeros(len(truth), dtype=torch.long)
    for tokens in model.texts(length).T:
        states = automaton.table[states, automaton.token_class[tokens]]
    allowed = truth * automaton.accepting[states]
    return allowed / allowed.sum()


def sample(
    model: HiddenMarkovModel, length: int, samples: int, seed: int, **options
) -> tuple[torch.LongTensor, float]:
    """The numbers of texts that `generate` samples, `(samples,)`, and the mean number of forward passes."""
    numbers, passes = [], 0
    for index, rows in enumerate(torch.tensor(PROMPT).expand(samples, -1).split(BATCH)):
        generator = indexed_generator(seed, index)
        output = model.generate(
            rows,
            max_new_tokens=length,
            stop_at_eos=False,
            generator=generator,
            return_dict_in_generate=True,
            **options,
        )
        numbers.append(model.number(output.sequences[:, len(PROMPT) :]))
        passes += output.num_forward_passes.sum().item()
    return torch.cat(numbers), passes / samples
