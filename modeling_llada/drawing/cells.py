# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Pictures: one row of a frame as cells, ready to be drawn in a terminal, an image or a web page."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from rich.cells import cell_len

from ..streaming.frames import WITHOUT_TEXT, CanvasFrame, TokenState


END_LABEL = "EOS"


@dataclass(frozen=True)
class Cell:
    """
    One position of the canvas.

    Args:
        text (`str`):
            The text of the token; `""` for masks and pads, and for all tokens of an image but the first.
        state (`str`):
            The name of the [`TokenState`], in lower case.
        is_special (`bool`):
            Whether it holds a special token.
        is_end (`bool`):
            Whether it holds EOS.
        is_active (`bool`):
            Whether it belongs to the active block.
        confidence (`float`, *optional*):
            The confidence of a committed token.
        step (`int`, *optional*):
            The denoising step that committed the token, from 0. A pad behind the end keeps the step of the token that
            it replaced.
        best (`tuple[str, ...]`):
            The most probable tokens, as the last step with a prediction for this position gave them.
        probabilities (`tuple[float, ...]`, *optional*):
            The probabilities of `best` at the step that committed the token, where they are known.
        word (`int`, *optional*):
            The position of the first token of its word, in an alphabet. The tokens of one word are drawn without a gap.
    """

    text: str
    state: str
    is_special: bool = False
    is_end: bool = False
    is_active: bool = False
    confidence: float | None = None
    step: int | None = None
    best: tuple[str, ...] = ()
    probabilities: tuple[float, ...] | None = None  # not empty: Gradio fails to make a list shorter
    word: int | None = None

    @property
    def label(self) -> str:
        """The text that a picture shows."""
        return END_LABEL if self.is_end else self.text


IMAGE_CELL = Cell("", "image")  # of each token of an image but the first


@dataclass(frozen=True)
class Picture:
    """
    One row of a frame, ready to be drawn.

    Args:
        step (`int`):
            The denoising step that led here, from 0; -1 at the start.
        is_final (`bool`):
            Whether this is the result.
        cells (`tuple[Cell, ...]`):
            A cell for each position.
    """

    step: int
    is_final: bool
    cells: tuple[Cell, ...]

    def to_dict(self) -> dict:
        """The picture for `json.dumps`."""
        return {"step": self.step, "is_final": self.is_final, "cells": [asdict(cell) for cell in self.cells]}


def picture_of(frame: CanvasFrame, before: Picture | None = None, row: int = 0) -> Picture:
    """
    Describes one row of a frame.

    Args:
        frame ([`CanvasFrame`]):
            The frame.
        before ([`Picture`], *optional*):
            The picture of the frame before it. It knows the steps and the rivals of tokens that were committed earlier.
        row (`int`, *optional*, defaults to 0):
            The row.

    Returns:
        [`Picture`]: The picture of the row.

    Example:

    ```python
    >>> picture = picture_of(frame)
    >>> "".join(cell.text or "_" for cell in picture.cells)
    '床前明月光，______'
    ```
    """
    end = frame.reader.tokenizer.eos_token_id
    active = find_active(frame, before, row)
    tensors = (frame.tokens, frame.states, frame.confidence, frame.top_tokens, frame.top_probabilities)
    columns = (frame.texts(row), *(tensor[row].tolist() for tensor in tensors))
    cells = []
    for position, (text, token, state, confidence, top, probabilities) in enumerate(zip(*columns, strict=True)):
        if state == TokenState.IMAGE:  # thousands of them: without this, a picture would take several times as long
            cells.append(IMAGE_CELL)
            continue
        old = before.cells[position] if before else None
        is_hidden = state in WITHOUT_TEXT
        is_special = not is_hidden and token in frame.reader.special_ids
        stands_alone = is_hidden or is_special or token in frame.reader.placeholders
        best = tuple(frame.reader.text_of(rival) for rival in top if rival >= 0)
        cells.append(
            Cell(
                text=text,
                state=TokenState(state).name.lower(),
                is_special=is_special,
                is_end=not is_hidden and token == end,
                is_active=position in active,
                confidence=None if confidence != confidence else round(confidence, 4),
                step=committing_step(frame, state, old),
                best=best or (old.best if old else ()),
                probabilities=known_probabilities(state, top, probabilities, old),
                word=None if stands_alone else find_word(position, text, cells[-1] if cells else None),
            )
        )
    return Picture(frame.step, frame.is_final, tuple(cells))


def pictures_of(frames: Iterable[CanvasFrame], row: int = 0) -> list[Picture]:
    """The pictures of all frames of a call, such as the frames of a [`DenoisingRecord`]."""
    pictures = []
    for frame in frames:
        pictures.append(picture_of(frame, pictures[-1] if pictures else None, row))
    return pictures


def find_word(position: int, text: str, before: Cell | None) -> int | None:
    """
    The position of the first token of the word that a token belongs to. `None` for tokens that stand alone: Han characters,
    spaces, and digits and marks that follow no letter.
    """
    if any(character.isspace() for character in text.lstrip(" ")) or cell_len(text) > len(text):
        return None
    if before and before.word is not None and not text.startswith(" "):
        return before.word
    return position if any(character.isalpha() for character in text) else None


def find_active(frame: CanvasFrame, before: Picture | None, row: int) -> range:
    """The active block: from the first to the last mask of its first step, while later steps stay inside it."""
    predicted = (frame.top_tokens[row, :, 0] >= 0).nonzero().flatten().tolist()
    if not predicted:
        return range(0)
    active = range(predicted[0], predicted[-1] + 1)
    known = [position for position, cell in enumerate(before.cells) if cell.is_active] if before else []
    if known and known[0] <= active[0] and active[-1] <= known[-1]:
        return range(known[0], known[-1] + 1)
    return active


def committing_step(frame: CanvasFrame, state: int, old: Cell | None) -> int | None:
    """The step that committed a token, or the token that a pad replaced; `None` for masks and given tokens."""
    if state == TokenState.NEW:
        return frame.step
    return old.step if old and state in (TokenState.COMMITTED, TokenState.PAD) else None


def known_probabilities(state: int, top: list[int], values: list[float], old: Cell | None) -> tuple[float, ...] | None:
    """The probabilities of the best tokens at the step that committed one of them."""
    if state == TokenState.COMMITTED:
        return old.probabilities if old else None
    if state != TokenState.NEW or values[0] != values[0]:
        return None
    return tuple(round(value, 4) for rival, value in zip(top, values, strict=True) if rival >= 0)


def recording_to_dict(pictures: list[Picture]) -> dict:
    """
    All pictures of a call for `json.dumps`: the cells of the first picture, and the changes of each other one.

    Returns:
        `dict`: `cells`, and `frames` with `step`, `is_final` and `changes`, which are pairs of a position and a cell.
    """
    frames = []
    for before, picture in zip(pictures, pictures[1:], strict=False):
        pairs = zip(before.cells, picture.cells, strict=True)
        changes = [[position, asdict(cell)] for position, (old, cell) in enumerate(pairs) if cell != old]
        frames.append({"step": picture.step, "is_final": picture.is_final, "changes": changes})
    return {"cells": pictures[0].to_dict()["cells"] if pictures else [], "frames": frames}
