# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Finds poems that repeat another poem, and chooses the held-out poems."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from hashlib import blake2b


class NearDuplicates:
    """Remembers poems by their lines; a poem that shares half of its lines with an earlier one is a duplicate.

    Editions differ in single characters, so whole poems rarely match, but most of their lines do.
    """

    def __init__(self):
        self._poems_with: dict[str, list[int]] = defaultdict(list)
        self._count = 0

    def add(self, lines: list[str]) -> bool:
        """Adds a poem and returns `True`; a duplicate is not added and returns `False`."""
        distinct = sorted(set(lines))
        hits = Counter(poem for line in distinct for poem in self._poems_with.get(line, ()))
        if hits and 2 * max(hits.values()) >= len(distinct):
            return False
        for line in distinct:
            self._poems_with[line].append(self._count)
        self._count += 1
        return True


def find_repeated(poems: list[list[str]], others: Iterable[list[str]]) -> set[int]:
    """
    Finds the positions of the poems that share half of their lines with one of the others.

    [`NearDuplicates`] keeps a long poem that quotes a short poem. This function finds the short poem.
    """
    sizes = [len(set(poem)) for poem in poems]
    poems_with = defaultdict(list)
    for i, poem in enumerate(poems):
        for line in set(poem):
            poems_with[line].append(i)
    repeated = set()
    for other in others:
        hits = Counter(i for line in set(other) for i in poems_with.get(line, ()))
        repeated.update(i for i, count in hits.items() if 2 * count >= sizes[i])
    return repeated


def is_held_out(text: str, percent: int = 1) -> bool:
    """Chooses about `percent` of all poems by a hash of their text, so that the choice does not depend on their order."""
    return int.from_bytes(blake2b(text.encode("utf-8"), digest_size=8).digest(), "big") % 100 < percent
