# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Writes the memory table of docs/training.md from the measurements in benchmarks/results.

    python -m evidence.memory_table

A measured row is the peak on one H100 of a training step, or (trainer) of a run of examples/sft.py. An estimated row takes what
does not change (activations, logits, workspace) from the measured LoRA run, and adds its own weights, gradients and optimizer
states.
"""

import json
from pathlib import Path

from modeling_llada.writing import write_atomically
from reporting.markdown import fill, table


DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, RESULTS = DOCS / "training.md", DOCS.parent / "benchmarks/results"
NAME = "memory_table.py"
LOSS = "masked rows + chunks"  # what the trainers do
GIB = 2**30
# Bytes of the gradient and the two optimizer states of a trained weight.
BF16_ADAMW, BYTE_ADAMW, FLOAT32_ADAMW = 2 + 4, 2 + 2, 4 + 8
# Measured training steps by their name in the table: the file, the engine and the number of micro-batches.
MEASURED = {
    "8B, LoRA of rank 32, 8 rows of 1024": ("train_h100_8b_1024.json", "eager", 1),
    "the same, compiled": ("train_h100_8b_1024.json", "compiled", 1),
    "the same, in 2 micro-batches, compiled": ("train_h100_8b_1024.json", "compiled", 2),
    "8B, LoRA of rank 32, 2 rows of 4096, in 2 micro-batches": ("train_h100_8b_4096.json", "eager", 2),
    "1B in full, 4 rows of 4096": ("train_h100_1b_4096.json", "eager", 1),
    "the same, compiled, no checkpointing": ("train_h100_1b_4096.json", "compiled, all kept", 1),
}
# Measured runs of the trainer: the name in the table, the file and the engine.
TRAINER = (
    ("trainer: 8B, LoRA of rank 32, 8 rows of 1024", "trainer_h100_8b_bfloat16.json", "eager"),
    ("the same, `--torch_compile true`", "trainer_h100_8b_bfloat16.json", "compiled"),
    ("trainer: 8B, QLoRA (NF4, nested) of rank 32, 8 rows of 1024", "trainer_h100_8b_nf4.json", "eager"),
    ("the same, `--torch_compile true`", "trainer_h100_8b_nf4.json", "compiled"),
)
# Estimates for training all weights: the bytes of a weight, and of its gradient and states.
ESTIMATED = {
    "8B in full, bfloat16 weights, 8-bit AdamW": (2, BYTE_ADAMW),
    "8B in full, bfloat16 weights and AdamW": (2, BF16_ADAMW),
    "8B in full, float32 weights and AdamW: several GPUs, with FSDP2": (4, FLOAT32_ADAMW),
}


def main() -> None:
    write_atomically(PAGE, fill(PAGE.read_text(encoding="utf-8"), NAME, memory_table()))
    print(f"Wrote the table of {PAGE}.")


def memory_table() -> str:
    """The table in Markdown."""
    found = [(name, file, read(file, LOSS, engine, parts)) for name, (file, engine, parts) in MEASURED.items()]
    found += [(name, file, read(file, engine=engine)) for name, file, engine in TRAINER]
    rows = []
    for name, file, row in found:
        peak, speed = row["measured"]["peak_gib"], row["measured"]["tokens_per_second"]
        rows.append([name, f"{peak:.1f}", f"{speed:,.0f}", f"measured, `{file}`"])
    rows += [[name, f"about {peak:.0f}", "", f"estimated: {how}"] for name, (peak, how) in estimates().items()]
    return table(["what is trained", "peak GiB", "tokens/s", ""], rows) + "\n"


def estimates() -> dict[str, tuple[float, str]]:
    """The peak in GiB and its parts, by the name of the row."""
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
    """Finds a row in a file of results."""
    rows = json.loads((RESULTS / file).read_text(encoding="utf-8"))["rows"]
    wanted = (loss, engine, micro_batches)
    return next(row for row in rows if (row.get("loss"), row["engine"], row.get("micro_batches")) == wanted)


if __name__ == "__main__":
    main()
