# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Draws emoji and shapes on coloured grounds."""

import math
import random
from collections.abc import Callable
from functools import lru_cache

from PIL import Image, ImageDraw

from recipes.vision.archive import Archive
from recipes.vision.draw import Draw


# The names of the colours in both languages, and their red, green and blue.
COLOURS = (
    ("red", "红色", (215, 45, 45)),
    ("orange", "橙色", (245, 145, 35)),
    ("yellow", "黄色", (250, 220, 60)),
    ("green", "绿色", (60, 165, 75)),
    ("blue", "蓝色", (50, 110, 220)),
    ("purple", "紫色", (135, 70, 185)),
    ("pink", "粉色", (250, 165, 205)),
    ("brown", "棕色", (130, 85, 50)),
    ("grey", "灰色", (150, 150, 150)),
    ("white", "白色", (248, 248, 248)),
    ("black", "黑色", (22, 22, 22)),
)
SHAPES = (
    ("circle", "圆形"),
    ("square", "方形"),
    ("triangle", "三角形"),
    ("star", "星形"),
    ("cross", "十字形"),
    ("ring", "环形"),
)
# Widths and heights in tiles: one tile of print that a squashed picture loses is up to four tiles here.
ASPECTS = {
    "square": ((1.0, 2.0), (1.0, 2.0)),
    "wide": ((1.6, 2.0), (0.9, 1.2)),
    "tall": ((0.9, 1.2), (1.6, 2.0)),
    "strip": ((3.0, 4.0), (0.8, 1.0)),
    "column": ((0.8, 1.0), (3.0, 4.0)),
    # For pictures with many things.
    "large": ((1.6, 2.0), (1.6, 2.0)),
    "broad": ((1.8, 2.1), (1.4, 1.6)),
    "high": ((1.4, 1.6), (1.8, 2.1)),
}
NUM_ASPECTS, LARGE = 5, 5
MIN_DISTANCE = 70  # of a ground to the mean colour of what stands on it
ARRANGEMENTS = ("grid", "row", "column", "ring", "scatter")


def picture_size(draw: Draw, aspect: int) -> tuple[int, int]:
    """The width and height of a picture in pixels, drawn from the range of an aspect."""
    width, height = (draw.rng.uniform(*bounds) for bounds in list(ASPECTS.values())[aspect])
    if aspect in (0, LARGE):
        height = width * draw.rng.uniform(0.9, 1.1)
    return in_steps(draw, width), in_steps(draw, height)


def in_steps(draw: Draw, length: float) -> int:
    """A length in tiles as pixels, in steps of an eighth of a tile. The model keeps how it packs an image of each size."""
    return max(1, round(8 * length)) * draw.tile // 8


def colour_name(draw: Draw, colour: int) -> str:
    return draw.say(*COLOURS[colour][:2])


def tint(rng: random.Random, colour: int, spread: int = 10) -> tuple[int, ...]:
    """A shade of a colour that still has its name."""
    return tuple(min(255, max(0, part + rng.randint(-spread, spread))) for part in COLOURS[colour][2])


def ground(draw: Draw, size: tuple[int, int], colour: int) -> Image.Image:
    """A picture of one colour, or of two shades of it that run into each other."""
    first = Image.new("RGB", size, tint(draw.rng, colour))
    if draw.rng.random() < 0.5:
        return first
    shades = Image.new("RGB", (2, 2))
    shades.putdata([tint(draw.rng, colour) for _ in range(4)])
    return shades.resize(size, Image.Resampling.BILINEAR)


def clear_ground(draw: Draw, item: tuple[int, str]) -> int:
    """A colour that this emoji does not vanish in."""
    colours = draw.rng.sample(range(len(COLOURS)), len(COLOURS))
    return next((colour for colour in colours if is_clear(draw, item, colour)), colours[0])


def clear_emoji(draw: Draw, count: int, colour: int) -> list[tuple[int, str]]:
    """Different emoji that do not vanish in a ground, in styles in which training sees them."""
    found: dict[int, str] = {}
    while len(found) < count:
        [(number, style)] = draw.emoji()
        if is_clear(draw, (number, style), colour):
            found[number] = style
    return list(found.items())


def is_clear(draw: Draw, item: tuple[int, str], colour: int) -> bool:
    return math.dist(COLOURS[colour][2], mean_colour(draw.archive, *item)) >= MIN_DISTANCE


def clear_text_colours(draw: Draw, colour: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shades of a plate of a colour and of ink on it that stands out."""
    plate = tint(draw.rng, colour)
    light = 0.3 * plate[0] + 0.59 * plate[1] + 0.11 * plate[2]
    inks = (9, 9, 2) if light < 135 else (10, 10, 4) if light > 185 else (10,)
    return plate, tint(draw.rng, draw.rng.choice(inks))


def pale(draw: Draw) -> tuple[int, ...]:
    """A colour of paper: white, or nearly."""
    return tuple(round(0.82 * 250 + 0.18 * part) for part in draw.rng.choice(COLOURS)[2])


@lru_cache(maxsize=2**14)
def mean_colour(archive: Archive, number: int, style: str) -> tuple[int, ...]:
    """The mean colour of what is opaque in a picture."""
    picture = archive.picture(number, style).convert("RGBa")
    red, green, blue, alpha = picture.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    return tuple(round(part * 255 / max(alpha, 1)) for part in (red, green, blue))


def paste(canvas: Image.Image, picture: Image.Image, x: float, y: float, side: float, angle: float = 0.0) -> None:
    """Puts a picture with transparency on the canvas, its middle at a point."""
    size = max(8, round(side))
    if picture.width != size:
        picture = picture.resize((size, size), Image.Resampling.BICUBIC)
    if angle:
        picture = picture.rotate(angle, Image.Resampling.BILINEAR, expand=True)
    canvas.paste(picture, (round(x - picture.width / 2), round(y - picture.height / 2)), picture)


Cell = tuple[float, float, float]  # the middle of a thing in pixels, and the room for its side


def cells(size: tuple[int, int], rows: int, columns: int) -> list[Cell]:
    """The cells of a grid over the picture, row by row."""
    width, height = size[0] / columns, size[1] / rows
    side = min(width, height)
    return [((column + 0.5) * width, (row + 0.5) * height, side) for row in range(rows) for column in range(columns)]


def draw_items(draw: Draw, canvas: Image.Image, items: list[tuple[int, str]], places: list[Cell]) -> None:
    """Puts emoji into cells, each a little aside, turned, larger or smaller."""
    for item, (x, y, side) in zip(items, places, strict=True):
        scale, room = draw.rng.uniform(0.72, 0.9), 0.05 * side
        x, y = x + draw.rng.uniform(-room, room), y + draw.rng.uniform(-room, room)
        angle = draw.rng.uniform(-12, 12) if draw.rng.random() < 0.4 else 0.0
        paste(canvas, draw.archive.picture(*item), x, y, scale * side, angle)


def arrange(draw: Draw, size: tuple[int, int], count: int, name: str) -> list[Cell]:
    """Cells for so many things that do not overlap."""
    if name == "row":
        return cells(size, 1, count)
    if name == "column":
        return cells(size, count, 1)
    if name == "ring" and count > 2:
        return ring(draw, size, count)
    rows, columns = best_grid(size, count)
    found = cells(size, rows, columns)
    if name == "grid":
        return found[:count]
    return sorted(draw.rng.sample(found, count), key=found.index)


def best_grid(size: tuple[int, int], count: int) -> tuple[int, int]:
    """The rows and columns with the largest cells."""
    shapes = [(rows, math.ceil(count / rows)) for rows in range(1, count + 1)]
    return max(shapes, key=lambda shape: min(size[1] / shape[0], size[0] / shape[1]))


def ring(draw: Draw, size: tuple[int, int], count: int) -> list[Cell]:
    half_width, half_height = size[0] / 2, size[1] / 2
    side = min(0.9 * min(size) / 2, 2.4 * min(size) / (count + 2))
    start, points = draw.rng.random(), []
    for index in range(count):
        turn = 2 * math.pi * (index / count + start)
        x = half_width + math.cos(turn) * (half_width - side / 2)
        points.append((x, half_height + math.sin(turn) * (half_height - side / 2), side))
    return points


def draw_shape(canvas: Image.Image, shape: int, cell: Cell, fill: tuple[int, ...]) -> None:
    """Draws a shape in a cell."""
    x, y, side = cell
    SHAPE_DRAWERS[SHAPES[shape][0]](ImageDraw.Draw(canvas), x, y, 0.38 * side, fill)


def _circle(brush, x, y, radius, fill):
    brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _square(brush, x, y, radius, fill):
    radius *= 0.9
    brush.rectangle((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _triangle(brush, x, y, radius, fill):
    brush.polygon([(x, y - radius), (x + radius, y + 0.8 * radius), (x - radius, y + 0.8 * radius)], fill=fill)


def _star(brush, x, y, radius, fill):
    spokes = [(radius if index % 2 == 0 else 0.42 * radius, math.pi * (index / 5 - 0.5)) for index in range(10)]
    brush.polygon([(x + length * math.cos(turn), y + length * math.sin(turn)) for length, turn in spokes], fill=fill)


def _cross(brush, x, y, radius, fill):
    thin = 0.34 * radius
    brush.rectangle((x - radius, y - thin, x + radius, y + thin), fill=fill)
    brush.rectangle((x - thin, y - radius, x + thin, y + radius), fill=fill)


def _ring(brush, x, y, radius, fill):
    brush.ellipse((x - radius, y - radius, x + radius, y + radius), outline=fill, width=max(2, round(0.4 * radius)))


SHAPE_DRAWERS: dict[str, Callable] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
}
