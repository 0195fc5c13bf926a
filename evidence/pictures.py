# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Draws the pictures of decoding.md from runs of the shipped checkpoint.

python -m evidence.pictures
python -m evidence.pictures --output /tmp/pictures
"""

import argparse
import sys
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer

import modeling_llada  # noqa: F401  registers the classes
from evidence.recomputed import recomputed_svg
from modeling_llada.drawing import (
    CELL_HEIGHT,
    END_LABEL,
    MARGIN,
    confidence_color,
    draw_cell,
    draw_legend,
    wrap_svg,
)
from modeling_llada.writing import write_atomically


PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"


TITLE = "五言绝句《春夜》\n"
LINE = "五言绝句《江雪》\n千山鸟飞绝，"
CELL, BLOCK_GAP, ROW_HEIGHT, LABEL_HEIGHT = 32, 8, 58, 30  # in pixels
PER_ROW = 24  # cells
ANSWER = {"max_new_tokens": 18, "block_length": 6}
LONG = {"max_new_tokens": 48, "stop_at_eos": False}

# By file: the prompt, and for each row its label and its options.
COMMITS = {
    "schedule.svg": (
        TITLE,
        {
            "one block, one token a step": {"max_new_tokens": 24},
            "block_length=6": {"max_new_tokens": 24, "block_length": 6},
            "block_length=6, steps=12": {"max_new_tokens": 24, "block_length": 6, "steps": 12},
        },
    ),
    "ranking.svg": (
        TITLE,
        {
            f"block_length=6, remasking={name!r}": {"max_new_tokens": 24, "block_length": 6, "remasking": name}
            for name in ("low_confidence", "margin", "entropy", "random")
        },
    ),
    "parallel.svg": (
        LINE,
        {
            "one token a step": ANSWER,
            "confidence_threshold=0.9": {**ANSWER, "confidence_threshold": 0.9},
            "confidence_threshold=0.5": {**ANSWER, "confidence_threshold": 0.5},
            "confidence_factor=1": {**ANSWER, "confidence_factor": 1.0},
            "entropy_bound=0.6": {**ANSWER, "entropy_bound": 0.6},
            "confidence_threshold=0.9, leap_threshold=0.5": {
                **ANSWER,
                "confidence_threshold": 0.9,
                "leap_threshold": 0.5,
            },
        },
    ),
    "drafts.svg": (
        LINE,
        {
            "one token a step": ANSWER,
            "draft_steps=2": {**ANSWER, "draft_steps": 2},
            "draft_steps=4": {**ANSWER, "draft_steps": 4},
        },
    ),
    "guidance.svg": (
        LINE,
        {f"cfg_scale={scale:g}": {**ANSWER, "cfg_scale": scale} for scale in (0.0, 1.0)},
    ),
    "end.svg": (
        TITLE,
        {
            "one block": LONG,
            "one block, confidence_eos_eot_inf=True": {**LONG, "confidence_eos_eot_inf": True},
            "block_length=12": {**LONG, "block_length": 12},
        },
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shipped = PICTURES.parents[1] / "checkpoints/llada-poet"
    parser.add_argument("--model", default=shipped, help="folder of the checkpoint")
    parser.add_argument("--output", type=Path, default=PICTURES, help="folder of the pictures (%(default)s)")
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModel.from_pretrained(args.model, dtype=torch.float32).eval()
    args.output.mkdir(parents=True, exist_ok=True)
    for name, (prompt, rows) in COMMITS.items():
        write_atomically(args.output / name, commits_svg(model, tokenizer, prompt, rows))
    write_atomically(args.output / "recomputed.svg", recomputed_svg(model, tokenizer))
    sys.stdout.write(f"Wrote {len(COMMITS) + 1} pictures to {args.output}.\n")


def commits_svg(model, tokenizer, prompt: str, rows: dict[str, dict]) -> str:
    """Draws when each token of an answer was committed: a row for each setting, the forward pass below each token."""
    shapes, top = [], MARGIN
    for label, options in rows.items():
        row, top = draw_answer(model, tokenizer, prompt, label, options, top)
        shapes += row
    columns = min(PER_ROW, max(options["max_new_tokens"] for options in rows.values()))
    width = 2 * MARGIN + columns * CELL + 3 * BLOCK_GAP
    shapes += draw_legend(width, top + 18, f"prompt: {prompt.strip().replace(chr(10), ' ')}")
    return wrap_svg(shapes, width, height=top + 18 + MARGIN)


def draw_answer(model, tokenizer, prompt: str, label: str, options: dict, top: int) -> tuple[list[str], int]:
    """The shapes of one setting, and where the next one starts."""
    inputs = tokenizer(prompt, return_tensors="pt")
    given = inputs["input_ids"].shape[1]
    output = model.generate(
        **inputs,
        **options,
        return_dict_in_generate=True,
        output_trajectory=True,
        generator=torch.Generator().manual_seed(0),
    )
    steps, confidence = (tensor[0, given:].tolist() for tensor in output.trajectory)
    tokens = output.sequences[0, given:].tolist()
    passes = int(output.num_forward_passes)
    shapes = [f'<text class="note" x="{MARGIN}" y="{top + 14}">{label}: {passes} forward passes</text>']
    top += LABEL_HEIGHT - 6
    block_length = options.get("block_length") or len(tokens)
    for index, (token, step, value) in enumerate(zip(tokens, steps, confidence, strict=True)):
        column = index % PER_ROW
        x = MARGIN + column * CELL + column // block_length * BLOCK_GAP
        y = top + index // PER_ROW * ROW_HEIGHT
        is_end = token == tokenizer.eos_token_id
        text = END_LABEL if is_end else tokenizer.decode([token]).strip()
        kind = "fresh" if step >= 0 else "mask"  # a pad, which no pass committed
        shapes += draw_cell(x, y, CELL - 4, text, kind, is_end, confidence_color(value))
        if kind == "fresh":
            middle = f'x="{x + (CELL - 4) / 2:g}" y="{y + CELL_HEIGHT + 15}" text-anchor="middle"'
            shapes.append(f'<text class="note" {middle}>{step + 1}</text>')
    return shapes, top + -(-len(tokens) // PER_ROW) * ROW_HEIGHT


if __name__ == "__main__":
    main()
