# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The sample pictures of a checkpoint for the Space: held-out ones, each the first of its kind that the model answers right.

python -m recipes.vision.samples --model checkpoints/llada-v-tiny
"""

import argparse
import json
from pathlib import Path
from random import Random

from modeling_llada import LLaDAVForConditionalGeneration, LLaDAVProcessor
from modeling_llada.training.scripts import run_script
from modeling_llada.writing import complete_or_absent, write_atomically
from recipes.vision import dialogues, tasks, two_step
from recipes.vision.archive import load_archive
from recipes.vision.checks import is_right
from recipes.vision.draw import Asked, Draw
from recipes.vision.evaluation import SETTINGS
from recipes.vision.rows import NO_THINK, THINK


MAX_QUESTIONS, MAX_TRIES = 3, 40
ANSWER_ONLY, REASONING_FIRST = "answer only", "reasoning first"
STYLES = {ANSWER_ONLY: NO_THINK, REASONING_FIRST: THINK}
# What each picture shows, and what draws it with its questions.
PICTURES = {
    "an emoji": (tasks.name, ANSWER_ONLY),
    "emoji in places": (dialogues.about_places, ANSWER_ONLY),
    "emoji to count": (dialogues.about_counts, ANSWER_ONLY),
    "shapes in colours": (dialogues.about_shapes, ANSWER_ONLY),
    "a sign": (dialogues.about_lines, ANSWER_ONLY),
    "a table": (dialogues.about_table, ANSWER_ONLY),
    "a bar chart": (dialogues.about_chart, ANSWER_ONLY),
    "a sum of counts": (two_step.sum_count, REASONING_FIRST),
    "a sum in print": (two_step.arithmetic, REASONING_FIRST),
}
QUESTIONS = [
    {"prompt": "What do you see?"},
    {"prompt": "图片里有什么？", "gloss": "What is in the picture?"},
    {"prompt": "图片里有几个东西？", "gloss": "How many things are in the picture?"},
]
NOTE = (
    "A small model that was trained here, on drawings like these: emoji, signs, tables and charts. It knows nothing of photographs. "
    "The pictures were not in its training; each is the first of its kind whose first question it answers right."
)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="the folder of a checkpoint, which gets `samples`")
    parser.add_argument(
        "--archive", type=Path, default=Path("data/vision.zip"), help="the file of prepare (%(default)s)"
    )
    options = parser.parse_args(arguments)
    archive = load_archive(options.archive)
    model = LLaDAVForConditionalGeneration.from_pretrained(options.model, dtype="float32")
    processor = LLaDAVProcessor.from_pretrained(options.model)
    values = {"note": NOTE, "styles": styles(), "questions": QUESTIONS, "pictures": []}
    with complete_or_absent(options.model / "samples") as folder:
        for number, (label, (maker, style)) in enumerate(PICTURES.items()):
            asked, questions = first_right(model, processor, archive, label, maker, style)
            name = f"{number}.png"
            asked[0].images[0].save(folder / name)
            values["pictures"].append({"file": name, "label": label, "questions": questions})
            print(f"{label}: {questions[0]['prompt']} {questions[0]['answer']}")
        write_atomically(folder / "samples.json", json.dumps(values, ensure_ascii=False, indent=1) + "\n")


def styles() -> list[dict]:
    return [
        {"label": label, "ending": ending, "max_new_tokens": SETTINGS[ending.strip()]["max_new_tokens"]}
        for label, ending in STYLES.items()
    ]


def first_right(model, processor, archive, label, maker, style) -> tuple[list[Asked], list[dict]]:
    """The first picture of a kind whose first question is answered right, and the questions about it."""
    tile = model.config.vision_config.image_size
    for attempt in range(MAX_TRIES):
        draw = Draw(archive, "test", "en", Random(f"samples {label} {attempt}"), tile)
        asked = maker(draw)
        asked = asked if isinstance(asked, list) else [asked]
        questions = [
            {"prompt": draw.wording(one.kind, one.slots), "answer": one.answer, "style": style}
            for one in asked[:MAX_QUESTIONS]
        ]
        answer = ask(model, processor, asked[0], questions[0]["prompt"], style)
        if is_right(asked[0].task, answer, asked[0].answer):
            return asked, questions
    raise ValueError(
        f"no picture of the first {MAX_TRIES} of the kind {label!r} is answered right: train the model longer."
    )


def ask(model, processor, asked: Asked, question: str, style: str) -> str:
    content = [{"type": "image", "image": asked.images[0]}, {"type": "text", "text": question + STYLES[style]}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    output = model.generate(**inputs, **SETTINGS[STYLES[style].strip()])
    return processor.tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


if __name__ == "__main__":
    run_script(main)
