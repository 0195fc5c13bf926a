# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The data of the tasks with pictures in this folder: grounds of one color in unequal sizes, and one question about two."""

from datasets import Dataset, Features, Image, Sequence, Value
from PIL import Image as Pictures


COLORS = ["red", "green", "blue", "white"]
SIZES = [(100, 60), (45, 140), (64, 64), (200, 130)]


def load_pictures(**kwargs) -> dict[str, Dataset]:
    """A question about each picture, and one about the first two."""
    pictures = [Pictures.new("RGB", size, color) for size, color in zip(SIZES, COLORS, strict=True)]
    rows = [
        {"question": "<image>What color is it?", "images": [picture], "answer": color}
        for picture, color in zip(pictures, COLORS, strict=True)
    ]
    both = {"question": "First <image>, then <image>: what colors?", "images": pictures[:2], "answer": "red and green"}
    features = Features({"question": Value("string"), "images": Sequence(Image()), "answer": Value("string")})
    return {"test": Dataset.from_list([*rows, both], features=features)}


def choices_of(doc: dict) -> list[str]:
    """Answers of one token and of several."""
    return ["r", "g", *COLORS, doc["answer"]]
