# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Draws what is read: signs, tables and bar charts, with print that one tile is too small for and four tiles show."""

from functools import partial

from PIL import Image, ImageDraw

from recipes.vision.draw import Draw
from recipes.vision.scenes import COLOURS, clear_text_colours, ground, in_steps, pale, tint


MIN_PRINT = 11 / 64  # of a tile: the least height of print; Chinese needs more
MIN_HAN_PRINT = 15 / 64
BARS = (0, 1, 2, 3, 4, 5, 6, 7)  # the colours that bars have


def smallest(draw: Draw, text: str) -> int:
    """The least size of print in pixels at which a text can be read."""
    least = MIN_PRINT if text.isascii() else MIN_HAN_PRINT
    return round(least * draw.tile)


def largest_font(draw: Draw, name: str, lines: list[str], width: float, height: float, largest: float):
    """The largest font in which lines fit into a box, at most `largest` pixels high."""
    least = max(smallest(draw, line) for line in lines)
    probe = draw.archive.font(name, 32)
    widest = max(max(probe.getlength(line) for line in lines), 1)
    size = min(width * 32 / widest, height / (1.25 * len(lines)), largest)
    return draw.archive.font(name, max(least, int(size)))


def font_for(draw: Draw, text: str, number: int) -> str:
    """One of the fonts that have the characters of a text."""
    fonts = draw.archive.fonts_of("en" if text.isascii() else "zh")
    return fonts[number % len(fonts)]


def draw_sign(
    draw: Draw, size: tuple[int, int], lines: list[str], font: int, colour: int, upright: bool
) -> Image.Image:
    """
    A plate with lines of text on a ground. `upright` writes the characters of each line below each other, as Chinese signs do.
    """
    plate, ink = clear_text_colours(draw, colour)
    canvas = ground(draw, size, draw.rng.randrange(len(COLOURS)))
    brush = ImageDraw.Draw(canvas)
    width, height = size
    margin = round(draw.rng.uniform(0.02, 0.07) * min(size))
    box = (margin, margin, width - margin - 1, height - margin - 1)
    brush.rounded_rectangle(box, draw.rng.choice((0, 0.1, 0.25)) * min(size), fill=plate)
    if draw.rng.random() < 0.3:
        brush.rounded_rectangle((box[0] + 2, box[1] + 2, box[2] - 2, box[3] - 2), 3, outline=ink, width=1)
    rows = list(lines[0]) if upright else lines
    share = draw.rng.uniform(0.75, 0.95)
    name = font_for(draw, "".join(lines), font)
    room = (share * (width - 2 * margin - 4), share * (height - 2 * margin))
    face = largest_font(draw, name, rows, *room, largest=draw.rng.uniform(0.3, 0.9) * draw.tile)
    step = room[1] / len(rows) if upright else min(room[1] / len(rows), 1.6 * face.size)
    slack = max(0.0, room[1] - step * len(rows)) / 2
    y = height / 2 + draw.rng.uniform(-slack, slack)
    for index, row in enumerate(rows):
        brush.text((width / 2, y + (index - (len(rows) - 1) / 2) * step), row, ink, face, anchor="mm")
    return canvas


def draw_table(draw: Draw, texts: list[list[str]], font: int) -> Image.Image:
    """A table, its first row and first column headers. Columns are as wide as their texts need, and wider if there is room."""
    columns, rows = len(texts[0]), len(texts)
    needs = [max(map(partial(least_width, draw, font=font), column)) for column in zip(*texts, strict=True)]
    usual = draw.rng.uniform(1.9, 2.1) * (1.0 if columns < 4 else 1.5)
    width = in_steps(draw, max(sum(needs) / draw.tile + 1 / 16, usual))  # half a step more, since steps are rounded
    height = in_steps(draw, rows * draw.rng.uniform(0.32, 0.38))
    step = height / rows
    edges = [sum(needs[:column]) * width / sum(needs) for column in range(columns + 1)]
    paper = Image.new("RGB", (width, height), pale(draw))
    brush = ImageDraw.Draw(paper)
    ink = tint(draw.rng, draw.rng.choice((10, 10, 4)), 5)
    if draw.rng.random() < 0.5:
        brush.rectangle((0, 0, width, step), fill=tint(draw.rng, draw.rng.choice((9, 2, 6))))
    growth = min(width / sum(needs), 0.75 * step / (MIN_HAN_PRINT * draw.tile))
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            face = draw.archive.font(font_for(draw, text, font), int(growth * smallest(draw, text)))
            middle = (edges[column] + edges[column + 1]) / 2
            brush.text((middle, (row + 0.5) * step), text, ink, face, anchor="mm")
        brush.line((0, (row + 1) * step, width, (row + 1) * step), fill=ink)
    for edge in edges[1:-1]:
        brush.line((edge, 0, edge, rows * step), fill=ink)
    return paper


def least_width(draw: Draw, text: str, font: int) -> float:
    """The width of a cell whose text is in the smallest print."""
    return draw.archive.font(font_for(draw, text, font), smallest(draw, text)).getlength(text) + 0.12 * draw.tile


def draw_chart(
    draw: Draw, labels: list[str], values: list[int], colours: list[int], font: int, lying: bool, show_values: bool
) -> Image.Image:
    """A chart with a bar for each label, standing or lying, with its value written at its end or left out."""
    count, tile = len(labels), draw.tile
    paper = pale(draw)
    ink = (30, 30, 30)
    # The lower side is as long as there are bars; a lying chart is drawn with its axis on the left.
    along = max(1.6, 0.5 * count) * draw.rng.uniform(1.0, 1.1)
    if lying:
        along = 0.36 * count * draw.rng.uniform(1.0, 1.2)
    along, across = in_steps(draw, along), in_steps(draw, draw.rng.uniform(1.5, 2.0))
    canvas = Image.new("RGB", (across, along) if lying else (along, across), paper)
    brush = ImageDraw.Draw(canvas)
    step = along / count
    name = font_for(draw, labels[0], font)
    room = 0.36 * across if lying else step - 2
    face = largest_font(draw, name, labels, room - 3, 2 * len(labels) * tile, 0.24 * tile)
    digits = draw.archive.font(font_for(draw, "0", font), round(0.19 * tile))
    head = 0.22 * tile
    foot = max(map(face.getlength, labels)) + 6 if lying else 0.28 * tile
    scale = (across - foot - head) / max(9, *values)
    for index, (label, value, colour) in enumerate(zip(labels, values, colours, strict=True)):
        middle, length = (index + 0.5) * step, max(1.0, value * scale)
        half = 0.36 * step
        fill = tint(draw.rng, colour)
        if lying:
            brush.rectangle((foot, middle - half, foot + length, middle + half), fill=fill)
            brush.text((foot / 2, middle), label, ink, face, anchor="mm")
            end, anchor = (foot + length + 2, middle), "lm"
        else:
            bottom = across - foot
            brush.rectangle((middle - half, bottom - length, middle + half, bottom), fill=fill)
            brush.text((middle, across - foot / 2), label, ink, face, anchor="mm")
            end, anchor = (middle, bottom - length - 1), "mb"
        if show_values:
            brush.text(end, str(value), ink, digits, anchor=anchor)
    axis = (foot, 0, foot, along) if lying else (0, across - foot, along, across - foot)
    brush.line(axis, fill=ink)
    return canvas
