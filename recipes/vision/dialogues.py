# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Dialogues of several questions about one picture, so that a picture that was drawn and read teaches several answers."""

from recipes.vision import tasks
from recipes.vision.draw import Asked, Draw


MOST = 6  # questions of a dialogue


def shuffled(draw: Draw, asked: list[Asked]) -> list[Asked]:
    """At most so many of them as a dialogue has, in any order."""
    return draw.rng.sample(asked, min(MOST, len(asked)))


def about_places(draw: Draw, grid: int | None = None) -> list[Asked]:
    """Each thing is asked about once: by its name or by its place."""
    scene, _ = tasks.placed(draw, grid)
    asked = [draw.rng.choice((tasks.ask_what, tasks.ask_where))(draw, scene, cell) for cell in scene.numbers]
    return shuffled(draw, asked)


def about_corners(draw: Draw) -> list[Asked]:
    """The same for things in the corners."""
    return about_places(draw, tasks.CORNERS)


def about_presence(draw: Draw) -> list[Asked]:
    """As many questions about what is there as about what is not."""
    picture = tasks.several(draw, draw.rng.randint(1, 4))
    there = draw.rng.sample(picture[1], min(MOST // 2, len(picture[1])))
    others = [number for number in tasks.different_numbers(draw, MOST) if number not in picture[1]]
    return shuffled(draw, [tasks.ask_presence(draw, picture, number) for number in (*there, *others[: len(there)])])


def about_counts(draw: Draw) -> list[Asked]:
    kinds = draw.rng.randint(2, 4)
    counts = tasks.split_number(draw, draw.rng.randint(kinds, 9), kinds)
    canvas, numbers, layout = tasks.counted(draw, counts)
    pairs = zip(numbers, counts, strict=True)
    asked = [tasks.ask_count(draw, canvas, number, count, layout) for number, count in pairs]
    return shuffled(draw, [*asked, tasks.ask_total(canvas, sum(counts), layout)])


def about_things(draw: Draw) -> list[Asked]:
    picture = canvas, numbers, _, layout = tasks.several(draw, draw.rng.randint(2, 4))
    total = tasks.ask_total(canvas, len(numbers), layout)
    return shuffled(draw, [tasks.ask_description(draw, picture), tasks.ask_ground(draw, picture), total])


def about_shapes(draw: Draw) -> list[Asked]:
    canvas, words, layout = tasks.shapes(draw)
    return shuffled(
        draw, [draw.rng.choice((tasks.ask_colour, tasks.ask_shape))(canvas, *pair, layout) for pair in words]
    )


def about_lines(draw: Draw) -> list[Asked]:
    canvas, lines, layout = tasks.long_sign(draw)
    return shuffled(draw, [tasks.ask_line(draw, canvas, lines, line, layout) for line in range(len(lines))])


def about_table(draw: Draw) -> list[Asked]:
    table = tasks.Table(draw)
    places = table.places()
    asked = [(tasks.ask_row if draw.rng.random() < 0.3 else tasks.ask_cell)(table, *place) for place in places]
    return shuffled(draw, asked)


def about_chart(draw: Draw) -> list[Asked]:
    chart = tasks.Chart(draw, show_values=True)
    bars = [tasks.ask_bar(chart, index) for index in range(len(chart.labels))]
    return shuffled(draw, [*bars, *(tasks.ask_extreme(draw, chart, which) for which in ("most", "least"))])


def about_pair(draw: Draw) -> list[Asked]:
    pair = tasks.Pair(draw)
    asked = [tasks.ask_common(draw, pair), *(tasks.ask_only(draw, pair, which) for which in range(2))]
    return shuffled(draw, [*asked, *(tasks.ask_which(draw, pair, which) for which in range(3))])


DIALOGUES = {
    about_places: 12,
    about_presence: 5,
    about_counts: 6,
    about_things: 3,
    about_shapes: 3,
    about_lines: 5,
    about_table: 6,
    about_chart: 5,
    about_pair: 3,
}
