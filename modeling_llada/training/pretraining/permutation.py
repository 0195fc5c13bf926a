# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Epochs: a random order of any number of rows, without a table of them.

A Feistel network permutes the numbers of 2n bits: it splits a number into two halves, and adds a hash of one half to the other,
again and again. Numbers that leave the range are permuted until they are back in it, which makes a permutation of the range.
A table would take 8 bytes for each row in each process: 6 GB for 100 billion tokens in rows of 128.
"""

import random

import numpy as np

from ...seeds import named_random


ROUNDS = 6


def shuffled(first: int, own: slice, num_rows: int, *names: str | int) -> tuple[np.ndarray, np.ndarray]:
    """
    Which rows a process reads. In each epoch, all rows are in another random order.

    Args:
        first (`int`):
            The rows that all processes have read before.
        own (`slice`):
            The rows after these that this process reads.
        num_rows (`int`):
            The rows of an epoch.
        names (`str` or `int`):
            What the order depends on, beside the epoch; see [`named_random`].

    Returns:
        `tuple(np.ndarray, np.ndarray)`: the epoch of each row, and the row.
    """
    epochs, rows = np.divmod(first + np.arange(own.start, own.stop), num_rows)
    for epoch in range(epochs[0], epochs[-1] + 1):
        rows[epochs == epoch] = permuted(rows[epochs == epoch], num_rows, named_random(*names, epoch))
    return epochs, rows


def permuted(indices: np.ndarray, size: int, rng: random.Random) -> np.ndarray:
    """
    Where a random permutation of `0 .. size - 1` takes indices.

    Args:
        indices (`np.ndarray` of shape `(count,)`):
            Numbers below `size`.
        size (`int`):
            The length of the permutation, at most 2^62.
        rng (`random.Random`):
            Fixes the permutation.

    Returns:
        `np.ndarray` of shape `(count,)`.
    """
    half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
    keys = [np.uint64(rng.getrandbits(64)) for _ in range(ROUNDS)]
    result = indices.astype(np.uint64)
    outside = np.ones(len(result), bool)
    while outside.any():
        result[outside] = _network(result[outside], half_bits, keys)
        outside = result >= size
    return result.astype(np.int64)


def _network(numbers: np.ndarray, half_bits: int, keys: list[np.uint64]) -> np.ndarray:
    bits, mask = np.uint64(half_bits), np.uint64(2**half_bits - 1)
    left, right = numbers >> bits, numbers & mask
    for key in keys:
        left, right = right, left ^ (_hashed(right ^ key) & mask)
    return left << bits | right


def _hashed(numbers: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64, which spreads each bit over all."""
    numbers = (numbers ^ numbers >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ numbers >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return numbers ^ numbers >> np.uint64(31)
