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
from recipes.vision.rows import VisionRows


GREY = (128, 128, 128)
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
        pictures (`str`, *optional*, defaults to `"seen"`):
            `"seen"`, or `"grey"`: each picture is replaced by a grey one of its size, or `"words"`: pictures are left out, and a
            caption is asked for behind its own words.
    """

    processor: LLaDAVProcessor
    pictures: str = "seen"

    def prompt(self, row: dict) -> dict[str, torch.Tensor]:
        """The inputs of the first question: one row, as the processor returns it."""
        text, images = self._first_question(row)
        return self.processor(text=text, images=[images] if images else None, return_tensors="pt")

    def _first_question(self, row: dict) -> tuple[str, list[Image.Image]]:
        """The prompt and the pictures that are shown."""
        messages, images = row["messages"][:1], row["images"]
        if self.pictures == "words":
            words = row["answer"] + "\n" if row["kind"] == "caption" else ""
            messages, images = [{"role": "user", "content": words + messages[0]["content"][-1]["text"]}], []
        elif self.pictures == "grey":
            images = [Image.new("RGB", one.size, GREY) for one in images]
        return self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True), images

    def example(self, row: dict, rng: random.Random) -> tuple[list[int], list[int], dict[str, torch.Tensor] | None]:
        """The tokens of a dialogue, its labels and its images. The last answer is filled with EOS up to the end of its canvas."""
        texts = [message["content"][-1]["text"] for message in row["messages"]]
        prompt, pictures = self._first_question(row)
        tokens, images = self._tokens(prompt), None
        if pictures:
            # The same as the processor, in a fourth less time: it reads options, pads and converts for a whole batch.
            pictures = [in_other_light(one, rng) for one in pictures]
            images = self.processor.image_processor([pictures], return_tensors="pt")
            sizes, counts = images["image_sizes"].tolist(), images["num_tiles"].tolist()
            [tokens] = self.processor.repeat_image_tokens([tokens], sizes, counts)
        labels = [-100] * len(tokens)
        for turn in range(0, len(texts), 2):
            question = self._tokens(texts[turn].join(self._around_question)) if turn else []
            answer = self._tokens(texts[turn + 1] + "<|eot_id|>")
            tokens, labels = tokens + question + answer, labels + [-100] * len(question) + answer
        least = -(-(len(answer) + 1) // BLOCK)
        # Mostly the shortest: in a long one nine of ten tokens are EOS, which the model knows without the picture.
        length = BLOCK * (least if rng.random() < SHORTEST else rng.randint(least, max(least, MAX_BLOCKS)))
        filling = [self.processor.tokenizer.eos_token_id] * (length - len(answer))
        return tokens + filling, labels + filling, images

    @cached_property
    def _around_question(self) -> list[str]:
        """The text that the chat template writes before and after each question but the first."""
        messages = [
            {"role": role, "content": content} for role, content in (("user", ""), ("assistant", ""), ("user", "?"))
        ]
        first, whole = (
            self.processor.apply_chat_template(part, tokenize=False, add_generation_prompt=True)
            for part in (messages[:1], messages)
        )
        return whole.removeprefix(first + "<|eot_id|>").split("?")

    def _tokens(self, text: str) -> list[int]:
        return self.processor.tokenizer(text, add_special_tokens=False).input_ids


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
