# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The denoising in motion: GIF, WebP, animated SVG and the web page."""

import io
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from PIL import Image

from modeling_llada.drawing import (
    animated_svg,
    denoising_page,
    fonts,
    pictures_of,
)
from modeling_llada.drawing.animation import denoising_animation


@pytest.fixture
def pictures(record):
    return pictures_of(record.frames)


@pytest.fixture
def no_system_fonts(monkeypatch):
    """A machine without fonts: only the font of Pillow is there."""
    monkeypatch.setattr(fonts, "HAN_FONTS", ())
    monkeypatch.setattr(fonts, "LATIN_FONTS", ())
    monkeypatch.delenv("LLADA_FONT", raising=False)
    fonts.find_file.cache_clear()
    yield
    fonts.find_file.cache_clear()


@pytest.fixture
def any_font(no_system_fonts, monkeypatch):
    """The font of Pillow for all characters."""
    monkeypatch.setattr(fonts, "is_wide", lambda character: False)


@pytest.mark.parametrize("name", ["GIF", "WEBP"])
def test_images(pictures, any_font, name):
    """The start, six steps and the result, which shows no token as new."""
    with Image.open(io.BytesIO(denoising_animation(pictures, name, columns=12))) as image:
        assert image.format == name and image.n_frames == 8


def test_long_calls_are_thinned_out(pictures, any_font):
    with Image.open(io.BytesIO(denoising_animation(pictures, max_frames=3))) as image:
        assert image.n_frames == 3


def test_a_letter_of_several_tokens_inside_a_word(pictures, any_font):
    """All but the first of them have no text, and so a box without a width."""
    start = pictures[0]
    pieces = [replace(start.cells[0], text=text, state="committed", confidence=0.9, word=0) for text in ("é", "", "s")]
    assert denoising_animation([replace(start, cells=tuple(pieces))])


@pytest.mark.parametrize("text", ["\n \n", " \r\n"])
def test_tokens_of_spaces_around_a_line_break(pictures, any_font, text):
    start = pictures[0]
    assert denoising_animation([replace(start, cells=(replace(start.cells[0], text=text), *start.cells[1:]))])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "PNG"}, "`format` must be one of GIF, WEBP"),
        ({"max_frames": 1}, "`max_frames` must be at least 2"),
        ({"pictures": []}, "`pictures` is empty"),
    ],
)
def test_bad_arguments(pictures, options, message):
    with pytest.raises(ValueError, match=message):
        denoising_animation(**{"pictures": pictures, **options})


def test_svg_and_page_escape_their_text(pictures):
    svg = ElementTree.fromstring(animated_svg(pictures, title="<script>"))
    assert sum(element.get("class") == "go" for element in svg.iter()) == 1
    page = denoising_page(pictures, title="</script><script>alert(1)</script>")
    assert page.count("<script>") == 1 and page.count("</script>") == 1


def test_the_animated_svg_has_a_group_for_each_committed_token(pictures):
    svg = ElementTree.fromstring(animated_svg(pictures))
    styles = [element.get("style") for element in svg.iter() if element.get("class") == "on"]
    assert sorted(styles) == [f"animation-name: k{step}" for step in range(6)]


def test_fonts(no_system_fonts, monkeypatch):
    with pytest.raises(ValueError, match="no font with Han characters"):
        fonts.find_font("月", 20)
    assert fonts.find_font("moon", 20) is not None
    fonts.find_file.cache_clear()
    monkeypatch.setenv("LLADA_FONT", "no.ttf")
    with pytest.raises(ValueError, match="LLADA_FONT must name a font file, but there is no 'no.ttf'"):
        fonts.find_font("moon", 20)
