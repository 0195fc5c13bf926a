# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The characters that the poem tokenizer knows, in the order of their ids (after the special tokens)."""

import json
from pathlib import Path


ASCII = "".join(chr(code) for code in range(0x20, 0x7F))
LINE_ENDS = "，。？！；："  # a line of a poem ends at one of these
PAUSE = "、"  # a rest inside a line of 词
PUNCTUATION = LINE_ENDS + PAUSE + "《》·“”‘’…—（）"

_HAN_PATH = Path(__file__).with_name("vocab_han.json")


def load_han(path: Path = _HAN_PATH) -> list[str]:
    """Reads the Han characters of the vocabulary, the most frequent first."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def load_alphabet(path: Path = _HAN_PATH) -> list[str]:
    """Lists every character of the vocabulary: newline, ASCII, Chinese punctuation, Han."""
    return ["\n", *ASCII, *PUNCTUATION, *load_han(path)]


def is_han(character: str) -> bool:
    """Whether a character is a Chinese character, rare extensions included."""
    return "\u3400" <= character <= "\u9fff" or character == "〇" or "\U00020000" <= character <= "\U0003ffff"
