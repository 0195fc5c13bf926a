# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The famous poems in this repository, and their couplets, which are the questions of the recall benchmark."""

import json
import lzma
import re
from pathlib import Path

from recipes.poems.alphabet import LINE_ENDS


FAMOUS_PATH = Path(__file__).with_name("famous.jsonl.xz")

_ENDED_LINE = re.compile(f"([^{LINE_ENDS}]+)([{LINE_ENDS}])")


def famous_poems() -> list[dict[str, str]]:
    """Reads the famous poems: dictionaries with `text`, `title`, `author`, `form` and `source`."""
    lines = lzma.decompress(FAMOUS_PATH.read_bytes()).decode("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def ended_lines(text: str) -> list[tuple[str, str]]:
    """Splits a poem into its lines, each with its end mark."""
    return _ENDED_LINE.findall(text)


def strict_couplets(text: str) -> list[tuple[str, str]]:
    """Lists the couplets `LINE，LINE。` of a poem: an odd line and the next, both of 5 or both of 7 characters."""
    lines = ended_lines(text)
    return [
        (first, second)
        for (first, first_end), (second, second_end) in zip(lines[::2], lines[1::2], strict=False)
        if (first_end, second_end) == ("，", "。") and len(first) == len(second) and len(first) in (5, 7)
    ]


def famous_couplets() -> list[tuple[str, str]]:
    """Lists the distinct strict couplets of the famous poems, always in the same order."""
    # A dictionary keeps the order of the file, and the first of equal couplets.
    return list(dict.fromkeys(couplet for poem in famous_poems() for couplet in strict_couplets(poem["text"])))
