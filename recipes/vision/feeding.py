# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""From drawn dialogues to what the trainer and `generate` take. Rows are drawn in the workers of a `DataLoader`, never stored."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from PIL import Image, ImageEnhance, ImageFilter

from modeling_llada import LLaDAVProcessor
from modeling_llada.training.masking.noise import RowNoise
from modeling_llada.training.masking.row_order import NumberedRow, NumberedRows, RowKey
from recipes.vision.rows import VisionRows, dialogue


GREY = (128, 128, 128)
MARK = "?"  # in the place of a question
MAX_IMAGES = 2
IMAGE_INPUTS = ("pixel_values", "image_sizes", "num_tiles")
# The canvas of an answer: so many blocks as hold it, or more, up to MAX_BLOCKS, so that its length says little of the answer.
BLOCK = 16
MAX_BLOCKS = 4
SHORTEST = 0.75
# How far each picture is changed in training. A colour still has its name.
LIGHT = {ImageEnhance.Color: 0.3, ImageEnhance.Contrast: 0.15, ImageEnhance.Brightness: 0.12}


@dataclass
class RowReader:
    """
    Tokenizes dialogues, and makes their pictures into tiles.

    Args:
        processor ([`LLaDAVProcessor`]):
            The processor of the model.
        is_blind (`bool`, *optional*, defaults to `False`):
            Whether each picture is replaced by a grey one of its size.
    """

    processor: LLaDAVProcessor
    is_blind: bool = False

    def prompt(self, row: dict) -> dict[str, torch.Tensor]:
        """The inputs of the first question: one row, as the processor returns it."""
        text = self.processor.apply_chat_template(row["messages"][:1], tokenize=False, add_generation_prompt=True)
        return self.processor(text=text, images=[self._shown(row["images"])], return_tensors="pt")

    def example(self, row: dict, rng: random.Random) -> tuple[list[int], list[int], dict[str, torch.Tensor]]:
        """
        The tokens of a dialogue, its labels and its images: those of the processor, in half the time, since it reads its options
        and the chat template anew for each row. The last answer is filled with EOS up to the end of its canvas.
        """
        tokenizer = self.processor.tokenizer
        pictures = [in_other_light(one, rng) for one in self._shown(row["images"])]
        images = self.processor.image_processor([pictures], return_tensors="pt")
        texts = [message["content"][-1]["text"] for message in row["messages"]]
        questions = [texts[0].join(self._around_first[len(pictures)])]
        questions += [text.join(self._around_others) for text in texts[2::2]]
        answers = [text + "<|eot_id|>" for text in texts[1::2]]
        parts = tokenizer([*questions, *answers], add_special_tokens=False).input_ids
        questions, answers = parts[: len(questions)], parts[len(questions) :]
        sizes, counts = images["image_sizes"].tolist(), images["num_tiles"].tolist()
        [questions[0]] = self.processor.repeat_image_tokens([questions[0]], sizes, counts)
        tokens, labels = [], []
        for question, answer in zip(questions, answers, strict=True):
            tokens, labels = tokens + question + answer, labels + [-100] * len(question) + answer
        least = -(-(len(answer) + 1) // BLOCK)
        # Mostly the shortest: in a long one nine of ten tokens are EOS, which the model knows without the picture.
        length = BLOCK * (least if rng.random() < SHORTEST else rng.randint(least, max(least, MAX_BLOCKS)))
        filling = [tokenizer.eos_token_id] * (length - len(answer))
        return tokens + filling, labels + filling, {name: images[name] for name in IMAGE_INPUTS}

    def _shown(self, pictures: list[Image.Image]) -> list[Image.Image]:
        return [Image.new("RGB", one.size, GREY) for one in pictures] if self.is_blind else pictures

    @cached_property
    def _around_first(self) -> list[list[str]]:
        """What the chat template writes before and after the first question, by the number of images."""
        return [self._write(dialogue(number, [(MARK, "")])[:1]).split(MARK) for number in range(MAX_IMAGES + 1)]

    @cached_property
    def _around_others(self) -> list[str]:
        """The same for the other questions, behind the end of an answer."""
        before = self._write(dialogue(0, [("", "")])[:1]) + "<|eot_id|>"
        return self._write(dialogue(0, [("", ""), (MARK, "")])[:3]).removeprefix(before).split(MARK)

    def _write(self, messages: list[dict]) -> str:
        return self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def in_other_light(picture: Image.Image, rng: random.Random) -> Image.Image:
    """A picture a little lighter or darker, stronger or paler, now and then out of focus: styles differ in these."""
    if rng.random() < 0.3:
        return picture
    for change, spread in LIGHT.items():
        picture = change(picture).enhance(rng.uniform(1 - spread, 1 + spread))
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.7))) if rng.random() < 0.2 else picture


class DrawnRows(NumberedRows):
    """[`NumberedRows`] that are drawn when they are taken: all follow from the seed of `rows` and the index."""

    def __init__(self, rows: VisionRows, reader: RowReader, noise: RowNoise, filler: int):
        self.rows, self.reader, self.noise, self.filler, self.sampler = rows, reader, noise, filler, None

    @property
    def documents(self) -> None:
        return None  # a row is one document

    def lengths(self) -> Sequence[int]:
        raise NotImplementedError("The lengths of drawn rows are not known before.")

    def __getitem__(self, key: RowKey) -> NumberedRow:
        if key.index is None:
            return super().__getitem__(key)
        rng = random.Random(f"canvas {self.rows.seed} {key.index}")
        tokens, labels, images = self.reader.example(self.rows[key.index], rng)
        rate, generator = self.noise.rate(key.epoch, key.position), self.noise.generator(key.epoch, key.index)
        return NumberedRow(tokens, labels, rate, generator, images, [0] * len(tokens))
