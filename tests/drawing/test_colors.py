# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The colours of confidences."""

import math

import pytest

from modeling_llada.drawing import confidence_color
from modeling_llada.drawing.colors import mix_confidence


def test_scale():
    assert [confidence_color(value) for value in (0.0, 0.5, 1.0)] == ["#c45612", "#9e617e", "#186ec8"]
    assert confidence_color(0.25) not in (confidence_color(0.0), confidence_color(0.5))


def test_out_of_range():
    assert confidence_color(-1.0) == confidence_color(0.0)
    assert confidence_color(2.0) == confidence_color(math.nan) == confidence_color(1.0)


# Viénot, Brettel and Mollon 1999, on linear red, green and blue: what is left of a colour without one kind of cones.
BLINDNESS = {
    "protanopia": ((0.11238, 0.88762, 0.0), (0.11238, 0.88762, 0.0), (0.00401, -0.00401, 1.0)),
    "deuteranopia": ((0.29275, 0.70725, 0.0), (0.29275, 0.70725, 0.0), (-0.02234, 0.02234, 1.0)),
}


def lab_of(linear):
    """CIELAB of linear red, green and blue (D65)."""
    x, y, z = (
        sum(weight * part for weight, part in zip(row, linear, strict=True)) / white
        for row, white in (
            ((0.4124, 0.3576, 0.1805), 0.9505),
            ((0.2126, 0.7152, 0.0722), 1.0),
            ((0.0193, 0.1192, 0.9505), 1.089),
        )
    )
    x, y, z = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in (x, y, z))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def linear_of(color):
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (c / 255 for c in color)]


@pytest.mark.parametrize("blindness", [None, *BLINDNESS])
def test_colors_of_confidences_differ_for_the_colour_blind(blindness):
    """Anchors and the shades between them differ by several times what an eye just notices (2.3)."""
    places = []
    for confidence in (0.0, 0.25, 0.5, 0.75, 1.0):
        linear = linear_of(mix_confidence(confidence))
        if blindness:
            rows = BLINDNESS[blindness]
            linear = [max(sum(w * part for w, part in zip(row, linear, strict=True)), 0.0) for row in rows]
        places.append(lab_of(linear))
    assert min(math.dist(*pair) for pair in zip(places, places[1:], strict=False)) > 18
    assert min(math.dist(*pair) for pair in zip(places[::2], places[2::2], strict=False)) > 40
    assert math.dist(places[0], places[-1]) > 90
