# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Writes the memory table of training.md from the measurements in benchmarks/results.

    python -m evidence.memory_table

A measured row is the peak on one H100, of a training step or (trainer) of a run of examples/sft.py. An estimated row takes
what stays the same in it (activations, logits, workspace) from the measured LoRA run, and counts weights, gradients and states of
the optimizer anew.
"""

import json
import sys
from pathlib import Path

from modeling_llada.writing import write_atomically


DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, RESULTS = DOCS / "training.md", DOCS.parent / "benchmarks/results"
BEGIN, END = "<!-- memory_table.py: begin -->\n", "<!-- memory_table.py: end -->\n"
LOSS = "masked rows + chunks"  # what the trainers do
GIB = 2**30
# Bytes for each trained weight beside the weight itself: its gradient and its two states.
BF16_ADAMW, BYTE_ADAMW, FLOAT32_ADAMW = 2 + 4, 2 + 2, 4 + 8
# What is measured: the file, the engine and the micro-batches of a row, and what the table calls it.
MEASURED = {
    "8B, LoRA of rank 32, 8 rows of 1024": ("train_h100_8b_1024.json", "eager", 1),
    "the same, compiled": ("train_h100_8b_1024.json", "compiled", 1),
    "the same, in 2 micro-batches, compiled": ("train_h100_8b_1024.json", "compiled", 2),
    "8B, LoRA of rank 32, 2 rows of 4096, in 2 micro-batches": ("train_h100_8b_4096.json", "eager", 2),
    "1B in full, 4 rows of 4096": ("train_h100_1b_4096.json", "eager", 1),
    "the same, compiled, no checkpointing": ("train_h100_1b_4096.json", "compiled, all kept", 1),
}
# Those of the trainer: what the table calls it, the file and the engine.
TRAINER = (
    ("trainer: 8B, LoRA of rank 32, 8 rows of 1024", "trainer_h100_8b_bfloat16.json", "eager"),
    ("the same, `--torch_compile true`", "trainer_h100_8b_bfloat16.json", "compiled"),
    ("trainer: 8B, QLoRA (NF4, nested) of rank 32, 8 rows of 1024", "trainer_h100_8b_nf4.json", "eager"),
    ("the same, `--torch_compile true`", "trainer_h100_8b_nf4.json", "compiled"),
)
# What is estimated, where all weights are trained: the bytes of a weight, and those beside it.
ESTIMATED = {
    "8B in full, bfloat16 weights, 8-bit AdamW": (2, BYTE_ADAMW),
    "8B in full, bfloat16 weights and AdamW": (2, BF16_ADAMW),
    "8B in full, float32 weights and AdamW: several GPUs, with FSDP2": (4, FLOAT32_ADAMW),
}


def main() -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    write_atomically(PAGE, before + BEGIN + memory_table() + END + after)
    sys.stdout.write(f"Wrote the table of {PAGE}.\n")


def memory_table() -> str:
    """The table in Markdown."""
    lines = ["| what is trained | peak GiB | tokens/s | |", "|---|--:|--:|---|"]
    rows = [(name, file, read(file, LOSS, engine, parts)) for name, (file, engine, parts) in MEASURED.items()]
    rows += [(name, file, read(file, engine=engine)) for name, file, engine in TRAINER]
    for name, file, row in rows:
        measured = row["measured"]
        lines.append(
            f"| {name} | {measured['peak_gib']:.1f} | {measured['tokens_per_second']:,.0f} | measured, `{file}` |"
        )
    lines += [f"| {name} | about {peak:.0f} | | estimated: {how} |" for name, (peak, how) in estimates().items()]
    return "\n".join(lines) + "\n"


def estimates() -> dict[str, tuple[float, str]]:
    """By row: the peak in GiB, and its parts."""
    weights = json.loads((RESULTS / "train_h100_8b_1024.json").read_text(encoding="utf-8"))["model"]["weights"]
    adapters, model = weights["adapters"], weights["all"] - weights["adapters"]
    peak = read("train_h100_8b_1024.json", LOSS, "eager", 1)["measured"]["peak_gib"]
    rest = peak - (2 * weights["all"] + BF16_ADAMW * adapters) / GIB
    estimated = {}
    for name, (weight_bytes, trained_bytes) in ESTIMATED.items():
        fixed, trained = weight_bytes * model / GIB, trained_bytes * model / GIB
        how = f"weights {fixed:.0f}, gradients and states {trained:.0f}, the rest {rest:.1f}"
        estimated[name] = (fixed + trained + rest, how)
    return estimated


def read(file: str, loss: str | None = None, engine: str = "eager", micro_batches: int | None = None) -> dict:
    """A row of a file of results."""
    rows = json.loads((RESULTS / file).read_text(encoding="utf-8"))["rows"]
    wanted = (loss, engine, micro_batches)
    return next(row for row in rows if (row.get("loss"), row["engine"], row.get("micro_batches")) == wanted)


if __name__ == "__main__":
    main()
