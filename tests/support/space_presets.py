# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Measures the presets of the Space on poems of llada-poet: forward passes, and how often the text stays the same.

PYTHONPATH=space python tests/support/space_presets.py
"""

import sys
from dataclasses import dataclass
from functools import cache

from llada_space.models import Models, allowed_models
from llada_space.options import PRESETS, preset_values, read_options


STARTS = [
    *(
        f"五言绝句\n{line}，"
        for line in ("床前明月光", "白日依山尽", "春眠不觉晓", "千山鸟飞绝", "红豆生南国", "空山不见人")
    ),
    *(f"七言绝句\n{line}，" for line in ("朝辞白帝彩云间", "月落乌啼霜满天", "故人西辞黄鹤楼", "两个黄鹂鸣翠柳")),
    "五言绝句\n松下问童子，",
    "七言绝句《春江》\n",
    "五言律诗《山居》王维\n",
    "白日依山尽，",
]


@dataclass
class Measured:
    """The results of a preset."""

    texts: list[str]
    passes: int


@cache
def open_poet() -> Models:
    """The shipped model."""
    return Models([card for card in allowed_models(None, False) if card.name == "llada-poet"], device="cpu")


def measure(preset: str, starts: list[str]) -> Measured:
    """Completes each start with a preset, to the length of its form."""
    models = open_poet()
    model, tokenizer = models.load("llada-poet")
    texts, passes = [], 0
    for start in starts:
        card = models.card("llada-poet")
        values, given = preset_values(preset, card), len(start.rpartition("\n")[2])
        length = card.prompt.answer_length(card.prompt.values_named_in(start), given)
        values["max_new_tokens"] = length or 64 - given + 1
        options = read_options(values, 256)
        output = model.generate(**tokenizer(start, return_tensors="pt"), **options, return_dict_in_generate=True)
        texts.append(tokenizer.decode(output.sequences[0], skip_special_tokens=True))
        passes += int(output.num_forward_passes[0])
    return Measured(texts, passes)


def main() -> None:
    pure = measure(PRESETS[0].name, STARTS)
    for preset in PRESETS[:3]:
        found = measure(preset.name, STARTS)
        same = sum(text == other for text, other in zip(found.texts, pure.texts, strict=True))
        sys.stdout.write(
            f"{preset.name}: {found.passes} passes, {same} of {len(STARTS)} texts as with {PRESETS[0].name}\n"
        )


if __name__ == "__main__":
    main()
