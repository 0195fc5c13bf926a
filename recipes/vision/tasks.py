# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The questions of stages 1 and 2, each with the pictures that it asks about. Answers are drawn first, so that none is frequent."""

from PIL import Image

from recipes.vision.draw import Asked, Draw
from recipes.vision.papers import BARS, draw_chart, draw_sign, draw_table
from recipes.vision.scenes import (
    ARRANGEMENTS,
    COLOURS,
    LARGE,
    NUM_ASPECTS,
    SHAPES,
    arrange,
    cells,
    clear_emoji,
    clear_ground,
    colour_name,
    draw_items,
    draw_shape,
    ground,
    paste,
    picture_size,
    tint,
)


NUM_COLOURS = len(COLOURS)
NUM_FONTS = 6  # the number of a font counts on from the first where a language has fewer
# The grids for places: which rows and columns of nine places they have, and the aspects of their pictures.
GRIDS = (
    ((0, 1, 2), (0, 1, 2), (5, 6, 7)),
    ((0, 2), (0, 2), (0, 1, 2)),
    ((1,), (0, 1, 2), (1, 3)),
    ((0, 1, 2), (1,), (2, 4)),
)
GRID_WEIGHTS = (7, 1, 1, 1)
COLUMNS = (("price", "价格"), ("count", "数量"), ("size", "大小"), ("age", "年龄"), ("width", "宽度"))
LETTERS = "ABCDEFGHKMPRTX"
LINES = (("one", "一"), ("two", "二"), ("three", "三"))
ORDINALS = (("first", "第一张"), ("second", "第二张"))
EQUAL, BOTH = ("equal", "一样多"), ("both", "两张")
EXTREMES = {
    "longest": ("longest", "长"),
    "short": ("shortest", "短"),
    "tallest": ("tallest", "高"),
    "low": ("shortest", "低"),
}


# Naming


def name(draw: Draw, kind: str = "name") -> Asked:
    """A picture of one emoji. In tests it is in the style that training never shows."""
    item = draw.held_out_emoji() if draw.is_test else draw.emoji()[0]
    layout = draw.layout(5, NUM_ASPECTS, fixed=(clear_ground(draw, item),))
    size = picture_size(draw, layout[2])
    canvas = ground(draw, size, layout[0])
    side = (0.6 + 0.08 * layout[1]) * min(size)
    x, y = (draw.rng.uniform(side / 2, length - side / 2) for length in size)
    angle = draw.rng.uniform(-12, 12) if draw.rng.random() < 0.4 else 0.0
    paste(canvas, draw.archive.picture(*item), x, y, 0.97 * side, angle)
    return Asked("naming", kind, [canvas], draw.name(item[0]), layout=layout, style=item[1])


def caption_one(draw: Draw) -> Asked:
    return name(draw, "caption")


def several(draw: Draw, count: int) -> tuple[Image.Image, list[int], int, tuple[int, ...]]:
    """A picture of different emoji in reading order: their numbers, the colour of the ground, and the layout."""
    layout = draw.layout(NUM_COLOURS, NUM_ASPECTS, 2, fixed=(count,))
    size = picture_size(draw, layout[2])
    canvas = ground(draw, size, layout[1])
    items = clear_emoji(draw, count, layout[1])
    draw_items(draw, canvas, items, arrange(draw, size, count, ("grid", "scatter")[layout[3]]))
    return canvas, [number for number, _ in items], layout[1], layout


def caption_several(draw: Draw) -> Asked:
    canvas, numbers, _, layout = several(draw, draw.rng.randint(2, 4))
    return Asked("describe", "caption", [canvas], draw.join([draw.name(number) for number in numbers]), layout=layout)


def describe(draw: Draw) -> Asked:
    canvas, numbers, colour, layout = several(draw, draw.rng.randint(2, 4))
    names, on = draw.join([draw.name(number) for number in numbers]), colour_name(draw, colour)
    return Asked("describe", "describe", [canvas], draw.say(f"{names} on {on}", f"{on}背景上有{names}"), layout=layout)


# Places


class PlacedScene:
    """Emoji in some cells of a grid. `numbers` are those of the emoji by cell; a cell is a pair, row and column of nine places."""

    def __init__(self, draw: Draw, grid: int, target: tuple[int, int], others: list[tuple[int, int]]):
        rows, columns, aspects = GRIDS[grid]
        every = [(row, column) for row in rows for column in columns]
        filled = [cell for cell in every if cell == target or cell in others]
        mask = sum(1 << every.index(cell) for cell in filled)
        self.layout = draw.layout(len(aspects), NUM_COLOURS, fixed=(grid, mask))
        size = picture_size(draw, aspects[self.layout[2]])
        self.canvas = ground(draw, size, self.layout[3])
        items = clear_emoji(draw, len(filled), self.layout[3])
        places = cells(size, len(rows), len(columns))
        draw_items(draw, self.canvas, items, [places[every.index(cell)] for cell in filled])
        self.numbers = {cell: number for cell, (number, _) in zip(filled, items, strict=True)}


def placed(draw: Draw) -> tuple[PlacedScene, tuple[int, int]]:
    """A scene, and the cell to ask about, which is each one of nine equally often."""
    grid = draw.rng.choices(range(len(GRIDS)), GRID_WEIGHTS)[0]
    every = [(row, column) for row in GRIDS[grid][0] for column in GRIDS[grid][1]]
    target = draw.rng.choice(every)
    rest = [cell for cell in every if cell != target]
    return PlacedScene(draw, grid, target, draw.rng.sample(rest, draw.rng.randint(1, len(rest)))), target


def where(draw: Draw) -> Asked:
    scene, target = placed(draw)
    slots = {"name": draw.name(scene.numbers[target])}
    return Asked("position", "where", [scene.canvas], draw.place(*target), slots, layout=scene.layout)


def what(draw: Draw) -> Asked:
    scene, target = placed(draw)
    answer = draw.name(scene.numbers[target])
    return Asked("finding", "what", [scene.canvas], answer, draw.at(*target), layout=scene.layout)


SIDES = (("left", "左边", 0, -1), ("right", "右边", 0, 1), ("above", "上边", -1, 0), ("below", "下边", 1, 0))


def relation(draw: Draw) -> Asked:
    """Two emoji beside or above each other, among three at most."""
    english, chinese, down, across = draw.rng.choice(SIDES)
    grid = 2 if across else 3
    positions = draw.rng.choice([(0, 1), (1, 2), (0, 2)])
    first, second = positions if across + down < 0 else positions[::-1]
    target, other = ((1, first), (1, second)) if across else ((first, 1), (second, 1))
    rest = [(1, place) if across else (place, 1) for place in range(3) if place not in positions]
    scene = PlacedScene(draw, grid, target, [other, *rest[: draw.rng.randint(0, 1)]])
    slots = {"name": draw.name(scene.numbers[target]), "other": draw.name(scene.numbers[other])}
    return Asked("position", "relation", [scene.canvas], draw.say(english, chinese), slots, layout=scene.layout)


# Counts and colours


def counted(draw: Draw, counts: list[int]) -> tuple[Image.Image, list[int], tuple[int, ...]]:
    """A picture with so many of each of several emoji, in any order: their numbers and the layout."""
    total = sum(counts)
    layout = draw.layout(len(ARRANGEMENTS), NUM_ASPECTS, NUM_COLOURS, fixed=(total,))
    # More than five in a row are too small in a picture that is not a strip.
    arrangement = "grid" if total > 5 and layout[1] in (1, 2) else ARRANGEMENTS[layout[1]]
    size = picture_size(draw, LARGE if total > 4 and layout[2] == 0 else layout[2])
    canvas = ground(draw, size, layout[3])
    kinds = clear_emoji(draw, len(counts), layout[3])
    items = [(number, style) for (number, style), times in zip(kinds, counts, strict=True) for _ in range(times)]
    draw.rng.shuffle(items)
    draw_items(draw, canvas, items, arrange(draw, size, total, arrangement))
    return canvas, [number for number, _ in kinds], layout


def count_all(draw: Draw) -> Asked:
    total = draw.rng.randint(1, 9)
    kinds = draw.rng.choice((1, 1, 2, total))
    counts = split_number(draw, total, min(kinds, total))
    canvas, _, layout = counted(draw, counts)
    return Asked("count", "count-all", [canvas], str(total), layout=layout)


def count_kind(draw: Draw) -> Asked:
    target = draw.rng.randint(1, 6)
    others = draw.rng.randint(1, 9 - target)
    canvas, numbers, layout = counted(draw, [target, *split_number(draw, others, draw.rng.randint(1, min(2, others)))])
    return Asked("count", "count-kind", [canvas], str(target), {"name": draw.name(numbers[0])}, layout=layout)


def split_number(draw: Draw, total: int, parts: int) -> list[int]:
    """Positive numbers with a sum."""
    cuts = [0, *sorted(draw.rng.sample(range(1, total), parts - 1)), total]
    return [after - before for before, after in zip(cuts, cuts[1:], strict=False)]


def ground_colour(draw: Draw) -> Asked:
    canvas, _, colour, layout = several(draw, draw.rng.randint(1, 4))
    return Asked("colour", "ground", [canvas], colour_name(draw, colour), layout=layout)


def shapes(draw: Draw) -> tuple[Image.Image, str, str, tuple[int, ...]]:
    """A picture of different shapes in different colours: shape and colour of the first, and the layout."""
    layout = draw.layout(NUM_COLOURS, NUM_COLOURS, len(SHAPES), NUM_ASPECTS)
    fill, paper, shape, aspect = layout
    while fill == paper:
        layout = fill, paper, shape, aspect = draw.layout(NUM_COLOURS, NUM_COLOURS, len(SHAPES), NUM_ASPECTS)
    count = draw.rng.randint(2, 5)
    kinds = [shape, *draw.rng.sample([one for one in range(len(SHAPES)) if one != shape], count - 1)]
    fills = [fill, *draw.rng.sample([one for one in range(NUM_COLOURS) if one not in (fill, paper)], count - 1)]
    size = picture_size(draw, aspect)
    canvas = ground(draw, size, paper)
    order = draw.rng.sample(range(count), count)
    for index, cell in zip(order, arrange(draw, size, count, draw.rng.choice(("grid", "scatter"))), strict=True):
        draw_shape(canvas, kinds[index], cell, tint(draw.rng, fills[index]))
    return canvas, draw.say(*SHAPES[shape]), colour_name(draw, fill), layout


def shape_colour(draw: Draw) -> Asked:
    canvas, shape, colour, layout = shapes(draw)
    return Asked("colour", "shape-colour", [canvas], colour, {"shape": shape}, layout=layout)


def colour_shape(draw: Draw) -> Asked:
    canvas, shape, colour, layout = shapes(draw)
    return Asked("colour", "colour-shape", [canvas], shape, {"colour": colour}, layout=layout)


# Reading


def sign_line(draw: Draw) -> str:
    """What a line of a sign says: a word, a number, a code, a time or a price."""
    kind = draw.rng.choices(("word", "number", "code", "time", "price"), (6, 2, 1, 1, 1))[0]
    if kind == "word":
        other = "zh" if draw.language == "en" else "en"
        return draw.word(draw.language if draw.rng.random() < 0.8 else other).upper()
    if kind == "number":
        return str(draw.number(10, 9999))
    if kind == "code":
        return f"{draw.rng.choice(LETTERS)}{draw.number(10, 999)}"
    if kind == "time":
        return f"{draw.number(1, 23)}:{draw.rng.randrange(0, 60, 5):02}"
    return f"{draw.number(1, 99)}.{draw.rng.randrange(0, 100, 5):02}"


def sign(draw: Draw, count: int | None = None) -> tuple[Image.Image, list[str], tuple[int, ...]]:
    """A sign, its lines and the layout."""
    layout = draw.layout(NUM_FONTS, NUM_COLOURS, NUM_ASPECTS)
    font, colour, aspect = layout
    most = (3, 2, 3, 1, 1)[aspect]
    lines = [sign_line(draw) for _ in range(count or draw.rng.randint(1, most))]
    if aspect == 3 and draw.rng.random() < 0.5:
        lines = [f"{lines[0]} {sign_line(draw)}"]
    if aspect == 4:
        lines = [draw.word("zh") if draw.language == "zh" else str(draw.number(100, 9999))]
    size = picture_size(draw, aspect)
    return draw_sign(draw, size, lines, font, colour, upright=aspect == 4), lines, layout


def read_sign(draw: Draw, kind: str = "sign") -> Asked:
    canvas, lines, layout = sign(draw)
    return Asked("reading", kind, [canvas], " ".join(lines), layout=layout)


def caption_sign(draw: Draw) -> Asked:
    return read_sign(draw, "caption")


def read_line(draw: Draw) -> Asked:
    while True:
        canvas, lines, layout = sign(draw)
        if len(lines) > 1:
            break
    line = draw.rng.randrange(len(lines))
    return Asked("reading", "line", [canvas], lines[line], {"line": draw.say(*LINES[line])}, layout=layout)


# Tables and charts


def short_names(draw: Draw, count: int, english: int = 7, chinese: int = 3) -> list[str]:
    """Different names of emoji, of one word and so many characters at most."""
    longest = english if draw.language == "en" else chinese
    names: dict[str, None] = {}
    while len(names) < count:
        name = draw.rng.choice(draw.archive.emoji).name(draw.language)
        if len(name) <= longest and " " not in name and name.isalpha():
            names[name] = None
    return list(names)


def table(draw: Draw, high: int = 99) -> tuple[Image.Image, list[str], list[str], list[list[int]], tuple[int, ...]]:
    """A table of different numbers: its picture, the names of its rows and columns, the numbers and the layout."""
    layout = draw.layout(3, 3, NUM_FONTS)
    rows, columns = 2 + layout[0], 1 + layout[1]
    heads = [draw.say(*pair) for pair in draw.rng.sample(COLUMNS, columns)]
    names = short_names(draw, rows)
    drawn = draw.rng.sample(range(1, high + 1), rows * columns)
    numbers = [drawn[row * columns : (row + 1) * columns] for row in range(rows)]
    texts = [["", *heads], *([one, *map(str, line)] for one, line in zip(names, numbers, strict=True))]
    return draw_table(draw, texts, layout[2]), names, heads, numbers, layout


def read_cell(draw: Draw) -> Asked:
    canvas, rows, columns, numbers, layout = table(draw)
    row, column = draw.rng.randrange(len(rows)), draw.rng.randrange(len(columns))
    slots = {"row": rows[row], "column": columns[column]}
    return Asked("table", "cell", [canvas], str(numbers[row][column]), slots, layout=layout)


def find_row(draw: Draw) -> Asked:
    canvas, rows, columns, numbers, layout = table(draw)
    row, column = draw.rng.randrange(len(rows)), draw.rng.randrange(len(columns))
    slots = {"column": columns[column], "value": str(numbers[row][column])}
    return Asked("table", "row", [canvas], rows[row], slots, layout=layout)


def chart(draw: Draw, show_values: bool) -> tuple[Image.Image, list[str], list[int], bool, tuple[int, ...]]:
    """A chart: its picture, labels and values, all different, whether its bars lie, and the layout."""
    layout = draw.layout(3, 2, 2, NUM_FONTS)
    count, lying = 3 + layout[0], bool(layout[1])
    if lying:
        labels = short_names(draw, count)
    else:
        labels = draw.rng.sample(LETTERS, count) if layout[2] else short_names(draw, count, english=4, chinese=2)
    span = draw.rng.randint(count - 1, 8)
    low = draw.rng.randint(1, 9 - span)
    values = [low, low + span, *draw.rng.sample(range(low + 1, low + span), count - 2)]
    draw.rng.shuffle(values)
    colours = draw.rng.sample(BARS, count) if draw.rng.random() < 0.6 else [draw.rng.choice(BARS)] * count
    return draw_chart(draw, labels, values, colours, layout[3], lying, show_values), labels, values, lying, layout


def extremes(draw: Draw, lying: bool) -> dict[str, str]:
    """The words for the bar with the largest and the smallest value."""
    most, least = ("longest", "short") if lying else ("tallest", "low")
    return {"most": draw.say(*EXTREMES[most]), "least": draw.say(*EXTREMES[least])}


def extreme_bar(draw: Draw) -> Asked:
    canvas, labels, values, lying, layout = chart(draw, show_values=draw.rng.random() < 0.5)
    which = draw.rng.choice(("most", "most", "least"))
    answer = labels[values.index(max(values) if which == "most" else min(values))]
    slots = {"most": extremes(draw, lying)[which]}
    return Asked("chart", "extreme", [canvas], answer, slots, layout=layout)


def read_bar(draw: Draw) -> Asked:
    canvas, labels, values, _, layout = chart(draw, show_values=True)
    index = draw.rng.randrange(len(labels))
    return Asked("chart", "bar", [canvas], str(values[index]), {"row": labels[index]}, layout=layout)


# Two pictures


def pictures(draw: Draw, numbers: list[list[int]]) -> tuple[list[Image.Image], tuple[int, ...]]:
    """A picture for each list of emoji, each of a size that one tile shows, and the layout."""
    layout = draw.layout(NUM_COLOURS, NUM_COLOURS, fixed=tuple(map(len, numbers)))
    canvases = []
    for colour, group in zip(layout[-2:], numbers, strict=True):
        size = tuple(round(draw.rng.uniform(1.0, 1.4) * draw.tile) for _ in range(2))
        canvas = ground(draw, size, colour)
        items = [(number, draw.seen_style(number)) for number in group]
        draw_items(draw, canvas, items, arrange(draw, size, len(items), draw.rng.choice(("grid", "scatter"))))
        canvases.append(canvas)
    return canvases, layout


def different_numbers(draw: Draw, count: int) -> list[int]:
    return draw.rng.sample(range(len(draw.archive.emoji)), count)


def more(draw: Draw) -> Asked:
    answer = draw.rng.randrange(3)
    low = draw.rng.randint(1, 4)
    high = low if answer == 2 else draw.rng.randint(low + 1, 6)
    counts = (high, low) if answer == 0 else (low, high)
    images, layout = pictures(draw, [[different_numbers(draw, 1)[0]] * count for count in counts])
    words = [draw.say(*ORDINALS[0]), draw.say(*ORDINALS[1]), draw.say(*EQUAL)]
    return Asked("compare", "more", images, words[answer], layout=layout)


def pair(draw: Draw) -> tuple[list[Image.Image], list[int], tuple[int, ...]]:
    """Two pictures that share their first emoji; the numbers are the shared one, that of the first and that of the second only."""
    shared, first, second = numbers = different_numbers(draw, 3)
    groups = [draw.rng.sample(group, 2) for group in ([shared, first], [shared, second])]
    images, layout = pictures(draw, groups)
    return images, numbers, layout


def common(draw: Draw) -> Asked:
    images, numbers, layout = pair(draw)
    return Asked("compare", "common", images, draw.name(numbers[0]), layout=layout)


def only_one(draw: Draw) -> Asked:
    images, numbers, layout = pair(draw)
    which = draw.rng.randrange(2)
    slots = {"ordinal": draw.say(*ORDINALS[which])}
    return Asked("compare", "new", images, draw.name(numbers[1 + which]), slots, layout=layout)


def which_picture(draw: Draw) -> Asked:
    images, numbers, layout = pair(draw)
    which = draw.rng.randrange(3)
    answer = draw.say(*(BOTH, *ORDINALS)[which])
    return Asked("compare", "which", images, answer, {"name": draw.name(numbers[which])}, layout=layout)
