# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""How random draws follow from a seed. Every generator of training, evaluation, recipes and commands is made here.

A draw depends on the seed and on what it is for, and on nothing that was drawn before. So neither the batch, nor the
number of processes, nor a restart changes it. All torch generators are on the CPU unless a device is given: the same noise
everywhere. What a function derives may never change, as results and caches that are kept depend on it.
"""

import hashlib
import json
import random

import torch


def named_random(*names: str | int) -> random.Random:
    """For draws of a training run, by what they are for: `named_random("mask", seed, epoch, row)`."""
    return random.Random(" ".join(map(str, names)))


def named_generator(*names: str | int) -> torch.Generator:
    """A torch generator that is seeded by [`named_random`]."""
    return torch.Generator().manual_seed(named_random(*names).getrandbits(63))


def indexed_generator(seed: int, index: int, device: torch.device | str = "cpu") -> torch.Generator:
    """For the questions or noise samples of an evaluation, by their index."""
    return torch.Generator(device).manual_seed(seed * 1_000_003 + index)


def content_generator(seed: int, *content) -> torch.Generator:
    """For requests that have no index: by their content, which JSON can hold."""
    digest = hashlib.sha256(json.dumps([seed, *content]).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def row_generators(seed: int, num_rows: int, device: torch.device | str) -> list[torch.Generator]:
    """For the rows of a command: row `i` has the seed `seed + i`, with which the command writes the same text again."""
    return [torch.Generator(device).manual_seed(seed + row) for row in range(num_rows)]
