# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Lists of all that is in a picture, in any order. Where a name is masked and its place is not, or the other way round, each pair
teaches both directions: the name at a place, and the place of a name."""

from recipes.vision import tasks
from recipes.vision.draw import Asked, Draw


def list_pairs(draw: Draw, kind: str, pairs: list[tuple[str, str]], picture) -> Asked:
    """The pairs in any order as the answer. `picture` has a `canvas` and a `layout`."""
    answer = draw.say_pairs(draw.rng.sample(pairs, len(pairs)))
    return Asked("list", kind, [picture.canvas], answer, layout=picture.layout)


def list_places(draw: Draw, scene: tasks.PlacedScene | None = None) -> Asked:
    """Each thing with its place, or each place with its thing."""
    scene = scene or tasks.placed(draw)[0]
    pairs = [(draw.name(number), draw.place(*cell)) for cell, number in scene.numbers.items()]
    if draw.rng.random() < 0.5:
        return list_pairs(draw, "list-where", pairs, scene)
    return list_pairs(draw, "list-what", [pair[::-1] for pair in pairs], scene)


def caption_places(draw: Draw) -> Asked:
    """The same for things in the corners."""
    return list_places(draw, tasks.placed(draw, tasks.CORNERS)[0])


def list_table(draw: Draw) -> Asked:
    table = tasks.Table(draw)
    pairs = [
        (
            draw.say(f"{table.columns[column]} of {table.rows[row]}", f"{table.rows[row]}的{table.columns[column]}"),
            str(table.numbers[row][column]),
        )
        for row, column in table.places()
    ]
    return list_pairs(draw, "list-table", pairs, table)


def list_bars(draw: Draw) -> Asked:
    chart = tasks.Chart(draw, show_values=True)
    pairs = list(zip(chart.labels, map(str, chart.values), strict=True))
    return list_pairs(draw, "list-bars", pairs, chart)
