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
    in_steps,
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
CORNERS = 1  # the grid whose things are large enough for one tile
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


Several = tuple[Image.Image, list[int], int, tuple[int, ...]]


def several(draw: Draw, count: int) -> Several:
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
    return ask_description(draw, several(draw, draw.rng.randint(2, 4)))


def ask_description(draw: Draw, picture: Several) -> Asked:
    canvas, numbers, colour, layout = picture
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


def placed(draw: Draw, grid: int | None = None) -> tuple[PlacedScene, tuple[int, int]]:
    """A scene, and the cell to ask about, which is each one of nine equally often where the grid is drawn."""
    grid = draw.rng.choices(range(len(GRIDS)), GRID_WEIGHTS)[0] if grid is None else grid
    every = [(row, column) for row in GRIDS[grid][0] for column in GRIDS[grid][1]]
    target = draw.rng.choice(every)
    rest = [cell for cell in every if cell != target]
    return PlacedScene(draw, grid, target, draw.rng.sample(rest, draw.rng.randint(1, len(rest)))), target


def ask_where(draw: Draw, scene: PlacedScene, cell: tuple[int, int]) -> Asked:
    slots = {"name": draw.name(scene.numbers[cell])}
    return Asked("position", "where", [scene.canvas], draw.place(*cell), slots, layout=scene.layout)


def ask_what(draw: Draw, scene: PlacedScene, cell: tuple[int, int]) -> Asked:
    answer = draw.name(scene.numbers[cell])
    return Asked("finding", "what", [scene.canvas], answer, draw.at(*cell), layout=scene.layout)


def where(draw: Draw) -> Asked:
    return ask_where(draw, *placed(draw))


def what(draw: Draw) -> Asked:
    return ask_what(draw, *placed(draw))


def where_in_corners(draw: Draw) -> Asked:
    return ask_where(draw, *placed(draw, CORNERS))


def what_in_corners(draw: Draw) -> Asked:
    return ask_what(draw, *placed(draw, CORNERS))


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


def ask_presence(draw: Draw, picture: Several, number: int) -> Asked:
    """Asks whether an emoji is in a picture."""
    canvas, numbers, _, layout = picture
    answer = draw.say("yes", "有") if number in numbers else draw.say("no", "没有")
    return Asked("presence", "present", [canvas], answer, {"name": draw.name(number)}, layout=layout)


def presence(draw: Draw) -> Asked:
    """As often about what is there as about what is not."""
    picture = several(draw, draw.rng.randint(1, 4))
    numbers = picture[1]
    if draw.rng.random() < 0.5:
        return ask_presence(draw, picture, draw.rng.choice(numbers))
    return ask_presence(draw, picture, next(one for one in different_numbers(draw, 5) if one not in numbers))


def count_all(draw: Draw) -> Asked:
    total = draw.rng.randint(1, 9)
    kinds = draw.rng.choice((1, 1, 2, total))
    canvas, _, layout = counted(draw, split_number(draw, total, min(kinds, total)))
    return ask_total(canvas, total, layout)


def ask_total(canvas: Image.Image, total: int, layout: tuple[int, ...]) -> Asked:
    return Asked("count", "count-all", [canvas], str(total), layout=layout)


def count_kind(draw: Draw) -> Asked:
    target = draw.rng.randint(1, 6)
    others = draw.rng.randint(1, 9 - target)
    canvas, numbers, layout = counted(draw, [target, *split_number(draw, others, draw.rng.randint(1, min(2, others)))])
    return ask_count(draw, canvas, numbers[0], target, layout)


def ask_count(draw: Draw, canvas: Image.Image, number: int, count: int, layout: tuple[int, ...]) -> Asked:
    return Asked("count", "count-kind", [canvas], str(count), {"name": draw.name(number)}, layout=layout)


def split_number(draw: Draw, total: int, parts: int) -> list[int]:
    """Positive numbers with a sum."""
    cuts = [0, *sorted(draw.rng.sample(range(1, total), parts - 1)), total]
    return [after - before for before, after in zip(cuts, cuts[1:], strict=False)]


def ground_colour(draw: Draw) -> Asked:
    return ask_ground(draw, several(draw, draw.rng.randint(1, 4)))


def ask_ground(draw: Draw, picture: Several) -> Asked:
    canvas, _, colour, layout = picture
    return Asked("colour", "ground", [canvas], colour_name(draw, colour), layout=layout)


def shapes(draw: Draw) -> tuple[Image.Image, list[tuple[str, str]], tuple[int, ...]]:
    """A picture of different shapes in different colours: shape and colour of each in words, and the layout, of the first."""
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
    words = [(draw.say(*SHAPES[kind]), colour_name(draw, one)) for kind, one in zip(kinds, fills, strict=True)]
    return canvas, words, layout


def ask_colour(canvas: Image.Image, shape: str, colour: str, layout: tuple[int, ...]) -> Asked:
    return Asked("colour", "shape-colour", [canvas], colour, {"shape": shape}, layout=layout)


def ask_shape(canvas: Image.Image, shape: str, colour: str, layout: tuple[int, ...]) -> Asked:
    return Asked("colour", "colour-shape", [canvas], shape, {"colour": colour}, layout=layout)


def shape_colour(draw: Draw) -> Asked:
    canvas, words, layout = shapes(draw)
    return ask_colour(canvas, *words[0], layout)


def colour_shape(draw: Draw) -> Asked:
    canvas, words, layout = shapes(draw)
    return ask_shape(canvas, *words[0], layout)


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


def long_sign(draw: Draw) -> tuple[Image.Image, list[str], tuple[int, ...]]:
    """A sign with more than one line."""
    while True:
        canvas, lines, layout = sign(draw)
        if len(lines) > 1:
            return canvas, lines, layout


def read_line(draw: Draw) -> Asked:
    canvas, lines, layout = long_sign(draw)
    return ask_line(draw, canvas, lines, draw.rng.randrange(len(lines)), layout)


def ask_line(draw: Draw, canvas: Image.Image, lines: list[str], line: int, layout: tuple[int, ...]) -> Asked:
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


class Table:
    """A table of different numbers: its picture, the names of its rows and columns, the numbers and the layout."""

    def __init__(self, draw: Draw, high: int = 99):
        self.layout = draw.layout(3, 3, NUM_FONTS)
        rows, columns = 2 + self.layout[0], 1 + self.layout[1]
        self.columns = [draw.say(*pair) for pair in draw.rng.sample(COLUMNS, columns)]
        self.rows = short_names(draw, rows)
        drawn = draw.rng.sample(range(1, high + 1), rows * columns)
        self.numbers = [drawn[row * columns : (row + 1) * columns] for row in range(rows)]
        texts = [["", *self.columns]]
        texts += [[one, *map(str, line)] for one, line in zip(self.rows, self.numbers, strict=True)]
        self.canvas = draw_table(draw, texts, self.layout[2])

    def places(self) -> list[tuple[int, int]]:
        """The row and column of each number."""
        return [(row, column) for row in range(len(self.rows)) for column in range(len(self.columns))]


def ask_cell(table: Table, row: int, column: int) -> Asked:
    slots = {"row": table.rows[row], "column": table.columns[column]}
    return Asked("table", "cell", [table.canvas], str(table.numbers[row][column]), slots, layout=table.layout)


def ask_row(table: Table, row: int, column: int) -> Asked:
    slots = {"column": table.columns[column], "value": str(table.numbers[row][column])}
    return Asked("table", "row", [table.canvas], table.rows[row], slots, layout=table.layout)


def read_cell(draw: Draw) -> Asked:
    table = Table(draw)
    return ask_cell(table, *draw.rng.choice(table.places()))


def find_row(draw: Draw) -> Asked:
    table = Table(draw)
    return ask_row(table, *draw.rng.choice(table.places()))


class Chart:
    """A bar chart: its picture, the labels and values of its bars, all different, whether they lie, and the layout."""

    def __init__(self, draw: Draw, show_values: bool):
        self.layout = draw.layout(3, 2, 2, NUM_FONTS)
        count, self.lies = 3 + self.layout[0], bool(self.layout[1])
        if self.lies:
            self.labels = short_names(draw, count)
        elif self.layout[2]:
            self.labels = draw.rng.sample(LETTERS, count)
        else:
            self.labels = short_names(draw, count, english=4, chinese=2)
        span = draw.rng.randint(count - 1, 8)
        low = draw.rng.randint(1, 9 - span)
        self.values = [low, low + span, *draw.rng.sample(range(low + 1, low + span), count - 2)]
        draw.rng.shuffle(self.values)
        colours = draw.rng.sample(BARS, count) if draw.rng.random() < 0.6 else [draw.rng.choice(BARS)] * count
        self.canvas = draw_chart(draw, self.labels, self.values, colours, self.layout[3], self.lies, show_values)

    def extremes(self, draw: Draw) -> dict[str, str]:
        """The words for the bar with the largest and the smallest value."""
        most, least = ("longest", "short") if self.lies else ("tallest", "low")
        return {"most": draw.say(*EXTREMES[most]), "least": draw.say(*EXTREMES[least])}


def ask_extreme(draw: Draw, chart: Chart, which: str) -> Asked:
    """Asks for the bar with the largest ("most") or the smallest ("least") value."""
    answer = chart.labels[chart.values.index(max(chart.values) if which == "most" else min(chart.values))]
    slots = {"most": chart.extremes(draw)[which]}
    return Asked("chart", "extreme", [chart.canvas], answer, slots, layout=chart.layout)


def ask_bar(chart: Chart, index: int) -> Asked:
    slots = {"row": chart.labels[index]}
    return Asked("chart", "bar", [chart.canvas], str(chart.values[index]), slots, layout=chart.layout)


def extreme_bar(draw: Draw) -> Asked:
    chart = Chart(draw, show_values=draw.rng.random() < 0.5)
    return ask_extreme(draw, chart, draw.rng.choice(("most", "most", "least")))


def read_bar(draw: Draw) -> Asked:
    chart = Chart(draw, show_values=True)
    return ask_bar(chart, draw.rng.randrange(len(chart.labels)))


# Two pictures


def pictures(draw: Draw, numbers: list[list[int]]) -> tuple[list[Image.Image], tuple[int, ...]]:
    """A picture for each list of emoji, each of a size that one tile shows, and the layout."""
    layout = draw.layout(NUM_COLOURS, NUM_COLOURS, fixed=tuple(map(len, numbers)))
    canvases = []
    for colour, group in zip(layout[-2:], numbers, strict=True):
        size = tuple(in_steps(draw, draw.rng.uniform(1.0, 1.4)) for _ in range(2))
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


class Pair:
    """Two pictures that share one emoji and have another each."""

    def __init__(self, draw: Draw):
        self.shared, *self.own = different_numbers(draw, 3)
        groups = [draw.rng.sample([self.shared, one], 2) for one in self.own]
        self.images, self.layout = pictures(draw, groups)


def ask_common(draw: Draw, pair: Pair) -> Asked:
    return Asked("compare", "common", pair.images, draw.name(pair.shared), layout=pair.layout)


def ask_only(draw: Draw, pair: Pair, which: int) -> Asked:
    slots = {"ordinal": draw.say(*ORDINALS[which])}
    return Asked("compare", "new", pair.images, draw.name(pair.own[which]), slots, layout=pair.layout)


def ask_which(draw: Draw, pair: Pair, which: int) -> Asked:
    """Asks where an emoji is: 0 and 1 are those of one picture, 2 is the shared one."""
    answer = draw.say(*(*ORDINALS, BOTH)[which])
    slots = {"name": draw.name((*pair.own, pair.shared)[which])}
    return Asked("compare", "which", pair.images, answer, slots, layout=pair.layout)


def common(draw: Draw) -> Asked:
    return ask_common(draw, Pair(draw))


def only_one(draw: Draw) -> Asked:
    return ask_only(draw, Pair(draw), draw.rng.randrange(2))


def which_picture(draw: Draw) -> Asked:
    return ask_which(draw, Pair(draw), draw.rng.randrange(3))
