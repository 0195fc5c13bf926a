# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The texts of a regular expression, without a tokenizer: which it matches, and random ones."""

import random

import numpy as np

from modeling_llada.compilers.automata import Expression, byte_automaton


class ByteTexts:
    """The texts that an expression of the compilers matches as a whole."""

    def __init__(self, pattern: str):
        automaton = byte_automaton(Expression(pattern))
        self.table, self.accepting = automaton.table, automaton.accepting
        self.distance = np.where(self.accepting, 0, len(self.table))
        while True:  # the least number of bytes to an accepting state
            after = np.append(self.distance, len(self.table))[self.table].min(-1) + 1
            if (after >= self.distance).all():
                break
            self.distance = np.minimum(self.distance, after)

    def __contains__(self, text: str) -> bool:
        state = 0
        for byte in text.encode():
            state = self.table[state, byte]
            if state < 0:
                return False
        return bool(self.accepting[state])

    def sample(self, seed: int, length: int = 40) -> str:
        """A random text that ends soon after some bytes. Bytes to different states are equally likely."""
        numbers, state, text = random.Random(seed), 0, bytearray()
        while not (self.accepting[state] and (self.distance[self.table[state]].min() > 0 or numbers.random() < 0.2)):
            targets = self.table[state]
            if len(text) > length:
                targets = np.where(
                    np.append(self.distance, len(self.table))[targets] < self.distance[state], targets, -1
                )
            target = numbers.choice(sorted(set(targets[targets >= 0].tolist())) or [-1])
            if target < 0:
                break
            text.append(numbers.choice(np.flatnonzero(targets == target).tolist()))
            state = target
        return text.decode()
