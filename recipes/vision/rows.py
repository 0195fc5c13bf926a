# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Rows of dialogue about pictures, made on the fly: a row is a function of split, stage, seed and index.

| stage | rows |
|---|---|
| 1 | captions; what is in a corner, in which corner something is, whether something is there |
| 2 | instructions: what, where, how many, which colour, read, cells, bars, describe, compare, list; half of the rows ask one question, half several |
| 3 | questions of two steps, answered with `/think` by the reasoning and the answer, with `/no_think` by the answer; and rows of stage 2 with `/no_think` |
"""

import random
from collections.abc import Callable, Mapping
from pathlib import Path

from torch.utils.data import Dataset

from recipes.vision import lists, tasks, two_step
from recipes.vision.archive import Archive, load_archive
from recipes.vision.dialogues import DIALOGUES, about_corners, about_presence
from recipes.vision.draw import LANGUAGES, SPLITS, Asked, Draw


# A question alone has to be among them beside captions: else each single question is answered by a caption.
STAGE_1 = {
    tasks.caption_one: 4,
    tasks.what_in_corners: 4,
    tasks.where_in_corners: 4,
    tasks.presence: 3,
    about_corners: 4,
    about_presence: 2,
    lists.caption_places: 1,
    tasks.caption_several: 1,
    tasks.caption_sign: 1,
}
# Half of the rows need reading or comparison of what is small.
STAGE_2 = {
    tasks.name: 6,
    tasks.what: 4,
    tasks.where: 4,
    tasks.relation: 1,
    tasks.count_all: 3,
    tasks.count_kind: 3,
    tasks.ground_colour: 1,
    tasks.shape_colour: 1,
    tasks.colour_shape: 1,
    tasks.read_sign: 6,
    tasks.read_line: 3,
    tasks.read_cell: 4,
    tasks.find_row: 2,
    tasks.extreme_bar: 3,
    tasks.read_bar: 2,
    tasks.describe: 2,
    tasks.more: 1,
    tasks.common: 1,
    tasks.only_one: 1,
    tasks.which_picture: 1,
    lists.list_places: 6,
    lists.list_table: 6,
    lists.list_bars: 4,
}
TWO_STEP = {
    two_step.sum_count: 2,
    two_step.sum_table: 2,
    two_step.best_row: 1,
    two_step.difference: 2,
    two_step.neighbour: 2,
    two_step.arithmetic: 2,
    two_step.sum_pictures: 1,
}
DIALOGUE_SHARE = 0.5  # of the rows of stage 2
TWO_STEP_SHARE = 0.7  # of the rows of stage 3
THINK, NO_THINK = " /think", " /no_think"
ANSWER = {"en": " Answer: ", "zh": "答案："}
Maker = Callable[[Draw], Asked | list[Asked]]


class VisionRows(Dataset):
    """
    A dataset of dialogues about pictures.

    Each row is a dictionary with `messages` (content parts, the images first), `images` (PIL, RGB), and what an evaluation needs:
    `task`, `kind`, `language`, `answer` (the one accepted answer), `layout`, and the `style` of an emoji to name. Where there are
    several questions, these are of the first.

    Args:
        archive (`Archive`, `str` or `Path`): the file of `prepare`.
        split (`str`): "train", or "test" for rows whose style, layout, wording and words on signs training never has.
        stage (`int`): 1, 2 or 3.
        size (`int`): the number of rows. Rows with an index beyond it raise an `IndexError`.
        seed (`int`): another seed gives other rows.
        tile (`int`): pixels of a side of a tile of the model.
        think (`bool`, *optional*): with or without reasoning in stage 3. Left out: half of the rows each.
        makers (`dict`, *optional*): the share of each kind of question, in the place of the stage's own.
    """

    def __init__(
        self,
        archive: Archive | str | Path,
        split: str,
        stage: int,
        size: int,
        seed: int = 0,
        tile: int = 64,
        think: bool | None = None,
        makers: Mapping[Maker, float] | None = None,
    ):
        if split not in SPLITS:
            raise ValueError(f"`split` must be one of {', '.join(SPLITS)}, but got {split!r}.")
        if stage not in (1, 2, 3):
            raise ValueError(f"`stage` must be 1, 2 or 3, but got {stage}.")
        self.archive = archive if isinstance(archive, Archive) else load_archive(archive)
        self.split, self.stage, self.size, self.seed, self.tile = split, stage, size, seed, tile
        self.think, self.makers = think, makers

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < self.size:
            raise IndexError(f"`index` must be in [0, {self.size}), but got {index}.")
        rng = random.Random(f"{self.split} {self.stage} {self.seed} {index}")
        draw = Draw(self.archive, self.split, rng.choice(LANGUAGES), rng, self.tile)
        makers = self.makers or self._makers(rng)
        asked = rng.choices(list(makers), list(makers.values()))[0](draw)
        asked = asked if isinstance(asked, list) else [asked]
        first = asked[0]
        return {
            "messages": dialogue(len(first.images), [self._in_words(draw, one) for one in asked]),
            "images": first.images,
            "task": first.task,
            "kind": first.kind,
            "language": draw.language,
            "answer": first.answer,
            "layout": first.layout,
            "style": first.style,
        }

    def _in_words(self, draw: Draw, asked: Asked) -> tuple[str, str]:
        """A question and its answer."""
        question, answer = draw.wording(asked.kind, asked.slots), asked.answer
        if self.stage < 3:
            return question, answer
        if not asked.reasoning or not (draw.rng.random() < 0.5 if self.think is None else self.think):
            return question + NO_THINK, answer
        return question + THINK, asked.reasoning + ANSWER[draw.language] + answer

    def _makers(self, rng: random.Random) -> Mapping[Maker, float]:
        if self.stage == 1:
            return STAGE_1
        if self.stage == 3 and rng.random() < TWO_STEP_SHARE:
            return TWO_STEP
        return DIALOGUES if rng.random() < DIALOGUE_SHARE else STAGE_2


def dialogue(num_images: int, turns: list[tuple[str, str]]) -> list[dict]:
    """Questions and answers about so many images, as messages with content parts."""
    messages, images = [], [{"type": "image"} for _ in range(num_images)]
    for question, answer in turns:
        messages.append({"role": "user", "content": [*images, {"type": "text", "text": question}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        images = []
    return messages
