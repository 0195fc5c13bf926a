# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Finds places in a corpus that is not in memory: a running total for every 32nd document, and the lengths of those near a place.

A table of all documents would grow to gigabytes in each process. This one takes half a byte for each document.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np


BLOCK = 32


class DocumentArrays(Protocol):
    """The lengths of the documents of a split, as [`TokenSplit`] reads them."""

    num_documents: int

    def lengths(self, start: int, stop: int) -> np.ndarray: ...

    def length_rows(self, starts: np.ndarray, width: int) -> np.ndarray: ...


class DocumentBlocks:
    """
    Finds the documents at places that are counted in items, such as the tokens of a run with BOS and EOS, or rows.

    Args:
        documents ([`DocumentArrays`]):
            The documents.
        items_of (`Callable`):
            The number of items of documents, from their numbers of tokens.
        chunk (`int`, *optional*, defaults to 1048576):
            Documents whose lengths are read at a time at the start.
    """

    def __init__(self, documents: DocumentArrays, items_of: Callable[[np.ndarray], np.ndarray], chunk: int = 2**20):
        self.documents, self.items_of = documents, items_of
        items, tokens = [], []
        for start in range(0, documents.num_documents, chunk):
            lengths = documents.lengths(start, min(start + chunk, documents.num_documents)).astype(np.int64)
            blocks = np.arange(0, len(lengths), BLOCK)
            items.append(np.add.reduceat(items_of(lengths), blocks))
            tokens.append(np.add.reduceat(lengths, blocks))
        self.item_starts, self.token_starts = starts_of(items), starts_of(tokens)

    def __len__(self) -> int:
        """The items of all documents."""
        return int(self.item_starts[-1])

    def around(self, items: np.ndarray, reach: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """
        Reads the lengths of the documents that have items, or the next `reach` items after each of these.

        Args:
            items (`np.ndarray` of shape `(count,)`):
                Items below the number of all.
            reach (`int`, *optional*, defaults to 1):
                How many items from each one on are of interest.

        Returns:
            `tuple`: the block in which each item lies, `(count,)`; the lengths of the documents from the first one of this
            block on, 0 behind the last document; and the item with which each of them begins. Both are `(count, number)`.
        """
        blocks = np.searchsorted(self.item_starts, items, side="right") - 1
        number = BLOCK + 2 * reach * self.documents.num_documents // len(self) + 1
        while True:
            lengths = self.documents.length_rows(blocks * BLOCK, number).astype(np.int64)
            counts = self.items_of(lengths)
            begins = self.item_starts[blocks, None] + counts.cumsum(1) - counts
            if (begins[:, -1] >= np.minimum(items + reach, len(self))).all():
                return blocks, lengths, begins
            number *= 2


def starts_of(parts: list[np.ndarray]) -> np.ndarray:
    """The running totals of numbers before each of them, and of all."""
    return np.concatenate([np.zeros(1, np.int64), np.concatenate([np.zeros(0, np.int64), *parts]).cumsum()])
