# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Pictures: one row of each frame as cells."""

import json

import pytest
import torch

from modeling_llada.drawing import Picture, pictures_of, recording_to_dict
from modeling_llada.drawing.cells import Cell, find_word
from modeling_llada.drawing.layout import CELL_HEIGHT, GAP, UNIT, lay_out
from modeling_llada.streaming import RecordingStreamer


def test_a_token_remembers_its_step_and_rivals(record):
    pictures = pictures_of(record.frames)
    assert [cell.state for cell in pictures[0].cells] == ["given"] * 2 + ["mask"] * 6
    last = pictures[-1].cells
    assert sorted(cell.step for cell in last[2:]) == list(range(6))
    assert all(cell.step < 3 for cell in last[2:5])
    for cell in last[2:]:
        assert len(cell.best) == len(cell.probabilities) == 3 and cell.text in cell.best
        assert 0 <= cell.confidence <= 1
        assert cell.probabilities[cell.best.index(cell.text)] == pytest.approx(cell.confidence, abs=1e-4)
        assert sorted(cell.probabilities, reverse=True) == list(cell.probabilities)


def test_pads_behind_the_end_remember_their_step(poet):
    model, tokenizer = poet
    streamer = RecordingStreamer(tokenizer, model.config.mask_token_id)
    is_end = lambda input_ids, scores: scores.index_fill(1, torch.tensor(tokenizer.eos_token_id), 1e4)  # noqa: E731
    inputs = tokenizer("床前", return_tensors="pt")
    model.generate(**inputs, max_new_tokens=4, logits_processor=[is_end], streamer=streamer)
    last = pictures_of(streamer.record.frames)[-1].cells[2:]
    assert [cell.state for cell in last] == ["committed", "pad", "pad", "pad"]
    assert sorted(cell.step for cell in last) == [0, 1, 2, 3]


def test_the_active_block(record):
    pictures = pictures_of(record.frames)
    blocks = [[index for index, cell in enumerate(picture.cells) if cell.is_active] for picture in pictures[1:-1]]
    assert blocks == [[2, 3, 4]] * 3 + [[5, 6, 7]] * 3


def test_recording_holds_what_changes(record):
    pictures = pictures_of(record.frames)
    recording = json.loads(json.dumps(recording_to_dict(pictures)))
    cells = recording["cells"]
    for frame, picture in zip(recording["frames"], pictures[1:], strict=True):
        for position, cell in frame["changes"]:
            cells[position] = cell
        assert cells == json.loads(json.dumps(picture.to_dict()["cells"]))


def spell(*texts):
    """A picture of committed tokens. `None` is a mask."""
    cells = []
    for position, text in enumerate(texts):
        word = None if text is None else find_word(position, text, cells[-1] if cells else None)
        cells.append(Cell(text or "", "mask" if text is None else "committed", word=word))
    return Picture(0, True, tuple(cells))


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (("The", " w", "arranty", ".", " A", "S", " IS"), [0, 1, 1, 1, 4, 4, 6]),
        (("w", "h", "o", " ", "a", "r", "e"), [0, 0, 0, None, 4, 4, 4]),
        ((" don", "'", "t", " stop"), [0, 0, 0, 3]),
        (("GPT", "-", "4", "1"), [0, 0, 0, 0]),
        (("床", "前", "，", "a"), [None, None, None, 3]),
        (("9x9", "\n", "1", "2", "\n"), [0, None, None, None, None]),
        (("in", None, "ing"), [0, None, 2]),
        (("caf", "é", "", "s"), [0, 0, 0, 0]),
    ],
)
def test_the_tokens_of_a_word(texts, words):
    """A token that spells a letter with others has an empty text."""
    assert [cell.word for cell in spell(*texts).cells] == words


def test_the_tokens_of_a_word_touch_and_lines_break_between_words():
    layout = lay_out(spell("The", " w", "arranty", " as", "sures", "月", "光"), max_width=14)
    assert [place.label for place in layout.places] == ["The", "w", "arranty", "as", "sures", "月", "光"]
    the, w, arranty, first, second, moon, light = layout.places
    assert w.x == the.x + the.width + GAP and arranty.x == w.x + w.width
    assert (first.x, first.y) == (0, CELL_HEIGHT + GAP) and second.y == first.y and second.x == first.width
    assert (moon.width, light.x - moon.x) == (2 * UNIT, 2 * UNIT + GAP)


def test_a_word_longer_than_a_line_breaks_inside():
    places = lay_out(spell("counter", "revolution", "aries"), max_width=14).places
    assert [place.y // (CELL_HEIGHT + GAP) for place in places] == [0, 1, 1]
