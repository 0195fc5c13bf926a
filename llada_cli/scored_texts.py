# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""From the arguments of `llada score` to tokens, and which of them are scored."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from .errors import CommandError


OPEN, CLOSE = "[[", "]]"  # what `--infill` scores stands between them


@dataclass
class ScoredText:
    """
    A text of which some characters are scored, given the others.

    Args:
        shown (`str`):
            The text as it was typed.
        text (`str`):
            The whole text: with the prompt, without the marks of a span.
        spans (`list[tuple[int, int]]`):
            The characters of `text` that are scored, as starts and ends.
    """

    shown: str
    text: str
    spans: list[tuple[int, int]]

    @property
    def scored(self) -> str:
        """The characters that are scored."""
        return "".join(self.text[start:end] for start, end in self.spans)

    def encode(self, tokenizer, config, eos: bool) -> tuple[list[int], list[int]]:
        """Tokenizes the text in one piece; a token with a character that is scored is scored.

        Args:
            tokenizer (`PreTrainedTokenizerBase`):
                The tokenizer.
            config ([`LLaDAConfig`]):
                The config, for its special tokens.
            eos (`bool`):
                Whether EOS follows the text. It is scored if the last character is.

        Returns:
            `tuple[list[int], list[int]]`: The token ids, and the labels: -100 at the given tokens.

        Raises:
            `CommandError`: if a mask token is to be scored, or nothing.
        """
        encoded = tokenizer(self.text, return_offsets_mapping=True)
        input_ids = list(encoded["input_ids"])
        scored = [
            any(start < span_end and end > span_start for span_start, span_end in self.spans)
            for start, end in encoded["offset_mapping"]
        ]
        if eos and config.eos_token_id is None:
            raise CommandError(
                "`--eos` needs an EOS token, and the config of this checkpoint names none: leave it out."
            )
        if eos:
            input_ids.append(config.eos_token_id)
            scored.append(self.spans[-1][1] == len(self.text))
        labels = [token if kept else -100 for token, kept in zip(input_ids, scored, strict=True)]
        if config.mask_token_id in labels:
            raise CommandError(
                f"{self.shown!r} has a mask token where it is scored. To score what could stand there, write it; to "
                "fill it, use `llada generate --infill`."
            )
        if not any(scored):
            raise CommandError(f"{self.shown!r} has no token to score.")
        return input_ids, labels


def scored_texts(texts: list[str], prompt: str | None, infill: bool) -> list[ScoredText]:
    """Says which characters of each text are scored.

    Args:
        texts (`list[str]`):
            What was typed.
        prompt (`str`, *optional*):
            The value of `--prompt`: the texts are completions of it.
        infill (`bool`):
            Whether the texts have marks around what is scored.

    Raises:
        `CommandError`: if a text is empty, or its marks do not match.

    Example:

    ```python
    >>> scored_texts(["床前[[明月]]光"], None, infill=True)[0].spans
    [(2, 4)]
    ```
    """
    if "" in texts:
        raise CommandError("TEXT is empty: there is nothing to score.")
    if infill:
        return [marked_text(text) for text in texts]
    prompt = prompt or ""
    return [ScoredText(text, prompt + text, [(len(prompt), len(prompt + text))]) for text in texts]


def marked_text(shown: str) -> ScoredText:
    """Takes the marks out of a text."""
    text, spans = "", []
    for index, part in enumerate(re.split(f"({re.escape(OPEN)}.+?{re.escape(CLOSE)})", shown, flags=re.S)):
        if index % 2:
            part = part[len(OPEN) : -len(CLOSE)]
            spans.append((len(text), len(text) + len(part)))
        text += part
    if not spans or OPEN in text or CLOSE in text:
        raise CommandError(
            f"`--infill` needs {OPEN} and {CLOSE} around what is scored, as in 床前{OPEN}明月{CLOSE}光, but got {shown!r}."
        )
    return ScoredText(shown, text, spans)


def read_lines(name: str) -> list[str]:
    """Reads the lines of a file, or of the standard input for `-`, that are not blank.

    Raises:
        `CommandError`: if it cannot be read as UTF-8, or has no text.
    """
    try:
        data = sys.stdin.read() if name == "-" else Path(name).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"`--file` {name!r} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"`--file` {name!r} is no UTF-8 text: convert it first.") from error
    lines = [line for line in data.split("\n") if line.strip()]
    if not lines:
        raise CommandError(f"`--file` {name!r} has no text: it needs one text a line.")
    return lines
