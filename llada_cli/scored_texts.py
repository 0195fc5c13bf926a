# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The texts of `llada score`, and which of their tokens are scored."""

import re
from dataclasses import dataclass
from pathlib import Path

from .errors import CommandError
from .terminal import open_stdin


OPEN, CLOSE = "[[", "]]"  # the marks around a span that `--infill` scores


@dataclass
class ScoredText:
    """A text in which some characters are scored, given the others."""

    shown: str  # as it was typed
    text: str  # with the prompt and without the marks
    spans: list[tuple[int, int]]  # the parts of `text` that are scored

    @property
    def scored(self) -> str:
        """The characters that are scored."""
        return "".join(self.text[start:end] for start, end in self.spans)

    def encode(self, tokenizer, config, eos: bool) -> tuple[list[int], list[int]]:
        """
        Tokenizes the whole text. Returns the token ids, and the labels, which are -100 for given tokens. A token is
        scored if one of its characters is. With `eos`, EOS follows the text, and it is scored if the last character
        is.
        """
        encoded = tokenizer(self.text, return_offsets_mapping=True)
        input_ids = list(encoded["input_ids"])
        scored = [
            any(start < span_end and end > span_start for span_start, span_end in self.spans)
            for start, end in encoded["offset_mapping"]
        ]
        if eos and config.eos_token_id is None:
            raise CommandError(
                "`--eos` needs an `eos_token_id`, and the config of this checkpoint has none: leave `--eos` out."
            )
        if eos:
            ends = config.eos_token_id
            input_ids.append(ends[0] if isinstance(ends, list) else ends)
            scored.append(self.spans[-1][1] == len(self.text))
        labels = [token if kept else -100 for token, kept in zip(input_ids, scored, strict=True)]
        if config.mask_token_id in labels:
            raise CommandError(
                f"{self.shown!r} has a mask token in the part that is scored. Replace it by a text to score, or fill it with "
                "`llada generate --infill`."
            )
        if not any(scored):
            raise CommandError(f"{self.shown!r} has no token to score.")
        return input_ids, labels


def scored_texts(texts: list[str], prompt: str | None, infill: bool) -> list[ScoredText]:
    """
    Finds the characters of each text that are scored: all of them, or with `infill` those between the marks. The
    prompt comes before them.
    """
    if "" in texts:
        raise CommandError("TEXT is empty: give a text to score.")
    if infill:
        return [marked_text(text) for text in texts]
    prompt = prompt or ""
    return [ScoredText(text, prompt + text, [(len(prompt), len(prompt + text))]) for text in texts]


def marked_text(shown: str) -> ScoredText:
    """Removes the marks from a text."""
    text, spans = "", []
    for index, part in enumerate(re.split(f"({re.escape(OPEN)}.+?{re.escape(CLOSE)})", shown, flags=re.S)):
        if index % 2:
            part = part[len(OPEN) : -len(CLOSE)]
            spans.append((len(text), len(text) + len(part)))
        text += part
    if not spans or OPEN in text or CLOSE in text:
        raise CommandError(
            f"`--infill` needs {OPEN} and {CLOSE} around each span to score, as in 床前{OPEN}明月{CLOSE}光, but got {shown!r}."
        )
    return ScoredText(shown, text, spans)


def read_lines(name: str) -> list[str]:
    """Reads the lines of a file, or of stdin for `-`, that are not blank."""
    try:
        data = open_stdin().read() if name == "-" else Path(name).expanduser().read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CommandError(f"`--file` {name!r} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"`--file` {name!r} is not UTF-8 text: convert it first.") from error
    lines = [line for line in data.split("\n") if line.strip()]
    if not lines:
        raise CommandError(f"`--file` {name!r} has no text: write one text in each line.")
    return lines
