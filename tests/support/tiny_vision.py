# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A checkpoint that sees, as the Space expects it: the golden LLaDA-V, which is random, with two sample pictures."""

import json
import shutil
from pathlib import Path

from PIL import Image, ImageDraw

from .golden_v import FOLDER


SAMPLES = {
    "note": "This model is random.",
    "styles": [
        {"label": "answer only", "ending": " /no_think", "max_new_tokens": 8},
        {"label": "reasoning first", "ending": " /think", "max_new_tokens": 16},
    ],
    "questions": [{"prompt": "What is it?"}, {"prompt": "这是什么？", "gloss": "What is it?"}],
    "pictures": [
        {"file": "dots.png", "label": "two red dots", "questions": [{"prompt": "How many dots?", "answer": "2"}]},
        {
            "file": "sign.png",
            "label": "a wide sign",
            "questions": [{"prompt": "Is the sign wide?", "answer": "yes", "style": "reasoning first"}],
        },
    ],
}


def save_tiny_vision(folder: Path) -> Path:
    """Writes the checkpoint with its samples, and returns its folder."""
    shutil.copytree(
        FOLDER, folder, ignore=shutil.ignore_patterns("golden.*", "README.md"), copy_function=shutil.copyfile
    )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 512}), encoding="utf-8")
    samples = folder / "samples"
    samples.mkdir()
    draw_dots().save(samples / "dots.png")
    Image.new("RGB", (300, 100), "teal").save(samples / "sign.png")
    (samples / "samples.json").write_text(json.dumps(SAMPLES, ensure_ascii=False), encoding="utf-8")
    return folder


def draw_dots() -> Image.Image:
    """Two red dots on white, 120 x 160."""
    picture = Image.new("RGB", (120, 160), "white")
    for top in (20, 90):
        ImageDraw.Draw(picture).ellipse((30, top, 80, top + 50), fill="crimson")
    return picture
