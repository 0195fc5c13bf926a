# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The questions of stage 3: each needs two findings, which the reasoning writes out before the answer."""

from recipes.vision.draw import Asked, Draw
from recipes.vision.papers import draw_sign
from recipes.vision.scenes import NUM_ASPECTS, picture_size
from recipes.vision.tasks import (
    NUM_COLOURS,
    NUM_FONTS,
    Chart,
    PlacedScene,
    Table,
    counted,
    different_numbers,
    pictures,
    split_number,
)


TASK = "two-step"
SIGN, LARGEST = ("sign", "牌子"), ("is the largest", "最大")


def facts(draw: Draw, found: list[tuple[str, str]], last: str) -> str:
    """The reasoning: what was found, and what follows."""
    return draw.say_pairs(found) + draw.say(f" {last}.", f"{last}。")


def sum_count(draw: Draw) -> Asked:
    total = draw.rng.randint(2, 9)
    first, second = split_number(draw, total, 2)
    others = [draw.rng.randint(1, 2)] if total < 8 else []
    canvas, numbers, layout = counted(draw, [first, second, *others])
    names = [draw.name(number) for number in numbers[:2]]
    found = [(names[0], str(first)), (names[1], str(second))]
    reasoning = facts(draw, found, f"{first} + {second} = {total}")
    slots = {"name": names[0], "other": names[1]}
    return Asked(TASK, "sum-count", [canvas], str(total), slots, reasoning, layout)


def sum_table(draw: Draw) -> Asked:
    table = Table(draw, high=20)
    column = draw.rng.randrange(len(table.columns))
    pair = draw.rng.sample(range(len(table.rows)), 2)
    rows, values = [table.rows[row] for row in pair], [table.numbers[row][column] for row in pair]
    reasoning = facts(
        draw, list(zip(rows, map(str, values), strict=True)), f"{values[0]} + {values[1]} = {sum(values)}"
    )
    slots = {"column": table.columns[column], "row": rows[0], "other": rows[1]}
    return Asked(TASK, "sum-table", [table.canvas], str(sum(values)), slots, reasoning, table.layout)


def best_row(draw: Draw) -> Asked:
    table = Table(draw)
    column = draw.rng.randrange(len(table.columns))
    values = [line[column] for line in table.numbers]
    answer = table.rows[values.index(max(values))]
    last = f"{max(values)}{draw.say(' ', '')}{draw.say(*LARGEST)}"
    reasoning = facts(draw, list(zip(table.rows, map(str, values), strict=True)), last)
    slots = {"column": table.columns[column]}
    return Asked(TASK, "best-row", [table.canvas], answer, slots, reasoning, table.layout)


def difference(draw: Draw) -> Asked:
    chart = Chart(draw, show_values=True)
    high, low = max(chart.values), min(chart.values)
    found = [(chart.labels[chart.values.index(value)], str(value)) for value in (high, low)]
    reasoning = facts(draw, found, f"{high} - {low} = {high - low}")
    slots = chart.extremes(draw)
    return Asked(TASK, "difference", [chart.canvas], str(high - low), slots, reasoning, chart.layout)


SIDES = (
    ("left of", "左边", 0, -1),
    ("right of", "右边", 0, 1),
    ("above", "上边", -1, 0),
    ("below", "下边", 1, 0),
)


def neighbour(draw: Draw) -> Asked:
    """The emoji beside that of a place: the reasoning names the one there, the place beside it, and the emoji there."""
    english, chinese, down, across = draw.rng.choice(SIDES)
    starts = [(r, c) for r in range(3) for c in range(3) if 0 <= r + down <= 2 and 0 <= c + across <= 2]
    start = draw.rng.choice(starts)
    target = (start[0] + down, start[1] + across)
    every = [(row, column) for row in range(3) for column in range(3) if (row, column) not in (start, target)]
    scene = PlacedScene(draw, 0, target, [start, *draw.rng.sample(every, draw.rng.randint(1, 4))])
    here, there = draw.name(scene.numbers[start]), draw.name(scene.numbers[target])
    found = [(draw.place(*start), here), (draw.say(english, chinese), draw.place(*target))]
    reasoning = facts(draw, found, f"{draw.place(*target)}{draw.say(': ', '：')}{there}")
    slots = {"side": draw.say(english, chinese), **draw.at(*start)}
    return Asked(TASK, "neighbour", [scene.canvas], there, slots, reasoning, scene.layout)


def arithmetic(draw: Draw) -> Asked:
    """A sign with a sum or a difference, below or beside each other."""
    result, sign = draw.rng.randint(1, 20), draw.rng.choice("+-")
    second = draw.rng.randint(1, 15)
    first = result + second if sign == "-" else result
    if sign == "+":
        first, second = draw.rng.choice([(part, result + 1 - part) for part in range(1, result + 1)])
        result = first + second
    layout = draw.layout(NUM_FONTS, NUM_COLOURS, NUM_ASPECTS - 1)
    text = f"{first} {sign} {second}"
    size = picture_size(draw, layout[2])
    canvas = draw_sign(draw, size, [text], layout[0], layout[1], upright=False)
    reasoning = facts(draw, [(draw.say(*SIGN), text)], f"{text} = {result}")
    return Asked(TASK, "arithmetic", [canvas], str(result), {}, reasoning, layout)


def sum_pictures(draw: Draw) -> Asked:
    total = draw.rng.randint(2, 10)
    first = draw.rng.randint(max(1, total - 6), min(6, total - 1))
    counts = (first, total - first)
    groups = [[draw.rng.choice(different_numbers(draw, 1))] * count for count in counts]
    images, layout = pictures(draw, groups)
    ordinals = (draw.say("first", "第一张"), draw.say("second", "第二张"))
    found = list(zip(ordinals, map(str, counts), strict=True))
    reasoning = facts(draw, found, f"{counts[0]} + {counts[1]} = {total}")
    return Asked(TASK, "sum-pictures", images, str(total), {}, reasoning, layout)
