# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The table of docs/scale.md: what pre-training needs on many GPUs, calculated from training steps that were measured on one.

Nothing in it was run on several GPUs. The calculation:

- *Speed.* 1B in full is measured as it is, with layers that are computed again and with layers that are kept. 8B was measured with LoRA
  alone: from its operations a second, with the second forward pass, follows the time for the operations of training all weights.
- *Memory.* Weights, gradients and the states of AdamW are float32, as `LLaDAPretrainer` has them. Activations are the measured
  peak without weights and states; that gradients were among them at the peak is not subtracted. Kept layers of 8B are those of
  1B, times the number of layers and of intermediate columns.
- *Time.* Tokens divided by the speed of one GPU and by their number, as if nothing waited for the network.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.shapes import config_of
from benchmarks.train_work import GIB
from reporting.markdown import significant, table


RESULTS = Path(__file__).parent / "results"
NUM_GPUS = (8, 64)
CORPORA = {"100 B": 100e9, "2.3 T": 2.3e12}  # the second is that of LLaDA-8B
LOSS = "masked rows"  # what `LLaDAPretrainer` compiles
# Bytes for each weight. DistributedDataParallel has gradients once more in its buckets, and autocast a bfloat16 copy of weights.
WEIGHT, GRADIENT, STATES, BUCKET, COPY = 4, 4, 8, 4, 2
# FSDP2 has these two layers, the embedding and the head whole at a time, with gradients, in bfloat16.
WHOLE_LAYERS, WHOLE = 2, 2 + 2
GATHERED = 2 + 2 + 2  # bytes that cross the network for each weight: gathered twice, and its gradient
SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class Step:
    """A training step of full weights on one GPU."""

    model: str
    keeps_layers: bool
    weights: int  # of the model
    whole: int  # of those that FSDP2 has whole at a time
    tokens: int  # of a micro-batch
    tokens_per_second: float
    activations: float  # bytes

    def ddp(self) -> float:
        """Bytes on each GPU with DistributedDataParallel."""
        return self.weights * (WEIGHT + GRADIENT + STATES + BUCKET + COPY) + self.activations

    def fsdp2(self, num_gpus: int) -> float:
        """Bytes on each GPU with FSDP2."""
        sharded = self.weights * (WEIGHT + GRADIENT + STATES) / num_gpus
        return sharded + WHOLE * self.whole + self.activations

    def network(self) -> float:
        """Bytes a second through each GPU at which FSDP2 exchanges weights and gradients as fast as it computes."""
        return GATHERED * self.weights * self.tokens_per_second / self.tokens


def section() -> str:
    """The table in Markdown, with the sentences that say what it is."""
    first = read("train_h100_1b_4096")
    memory = first["machine"]["memory_gib"]
    rows = [cells(step, num_gpus, memory) for step in steps() for num_gpus in NUM_GPUS]
    head = ["model", "layers", "GPUs", "DDP, GiB a GPU", "FSDP2, GiB a GPU", "activations, GiB", "tokens/s"]
    head += [f"days for {name}" for name in CORPORA] + ["network, GB/s a GPU"]
    text = (
        f"**Calculated, not run**: for {first['machine']['name']} of {memory:.0f} GiB, in rows of 4,096 tokens, compiled, from steps "
        "that were measured on one ([1B](../benchmarks/results/train_h100_1b_4096.json), "
        "[8B with LoRA](../benchmarks/results/train_h100_8b_4096.json))."
    )
    return f"{text}\n\n{table(head, rows)}\n"


def cells(step: Step, num_gpus: int, memory: float) -> list[str]:
    """A row of the table."""
    speed = step.tokens_per_second * num_gpus
    days = [significant(tokens / speed / SECONDS_PER_DAY) for tokens in CORPORA.values()]
    gib = [size / GIB for size in (step.ddp(), step.fsdp2(num_gpus))]
    return [
        step.model,
        "kept" if step.keeps_layers else "computed again",
        str(num_gpus),
        *(f"{size:.0f}" if size < memory else f"{size:.0f}, too much" for size in gib),
        f"{step.activations / GIB:.0f}",
        significant(speed),
        *days,
        f"{step.network() / 1e9:.0f}",
    ]


def steps() -> list[Step]:
    """1B and 8B, with layers that are computed again and with layers that are kept."""
    one = {keeps: row_of("train_h100_1b_4096", keeps) for keeps in (False, True)}
    fixed = WEIGHT + STATES  # bfloat16 in the measured run: half of each
    weights = read("train_h100_1b_4096")["model"]["weights"]
    activations = {keeps: peak(row) - fixed / 2 * weights["all"] for keeps, row in one.items()}
    small = [
        Step("1B", keeps, weights["all"], whole_of("1b", weights), tokens_of(row), speed(row), activations[keeps])
        for keeps, row in one.items()
    ]
    kept_layers = (activations[True] - activations[False]) / tokens_of(one[False])
    return small + large_steps(kept_layers)


def large_steps(kept_bytes: float) -> list[Step]:
    """8B in full, from LoRA on it, and from the bytes a token that the kept layers of 1B take."""
    row, weights = row_of("train_h100_8b_4096", keeps_layers=False), read("train_h100_8b_4096")["model"]["weights"]
    frozen = {name: weights[name] for name in ("layers", "head")}
    trained = weights["all"] - weights["adapters"]
    rate = speed(row) * operations(row, frozen, trains=False, computes_again=True)
    small, large = config_of("1b"), config_of("8b")
    times = large.num_hidden_layers * large.intermediate_size / (small.num_hidden_layers * small.intermediate_size)
    measured = peak(row) - 2 * weights["all"] - STATES / 2 * weights["adapters"]
    whole = whole_of("8b", weights)
    return [
        Step(
            "8B",
            keeps,
            trained,
            whole,
            tokens_of(row),
            rate / operations(row, frozen, trains=True, computes_again=not keeps),
            measured + keeps * times * kept_bytes * tokens_of(row),
        )
        for keeps in (False, True)
    ]


def operations(row: dict, weights: dict[str, int], trains: bool, computes_again: bool) -> float:
    """Operations for each token: 2 a weight forward, 2 for the gradient of the input, 2 for that of the weight, 2 again."""
    config = config_of("8b")
    attention = 4 * config.num_hidden_layers * config.hidden_size * row["length"]
    passes = 4 + 2 * trains
    layers = (passes + 2 * computes_again) * weights["layers"]
    return layers + passes * weights["head"] * row["head_rows"] / tokens_of(row) + (3 + computes_again) * attention


def whole_of(shape: str, weights: dict[str, int]) -> int:
    """The weights that FSDP2 has whole at a time: two layers, the embedding and the head."""
    layer = weights["layers"] // config_of(shape).num_hidden_layers
    return WHOLE_LAYERS * layer + weights["all"] - weights["adapters"] - weights["layers"]


def row_of(name: str, keeps_layers: bool) -> dict:
    """The measured row of a file of results."""
    engine = "compiled, all kept" if keeps_layers else "compiled"
    wanted = (LOSS, engine, 1)
    return next(row for row in read(name)["rows"] if (row["loss"], row["engine"], row["micro_batches"]) == wanted)


def read(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def tokens_of(row: dict) -> int:
    return row["batch"] * row["length"]


def speed(row: dict) -> float:
    return row["measured"]["tokens_per_second"]


def peak(row: dict) -> float:
    """The peak of a row in bytes."""
    return row["measured"]["peak_gib"] * GIB
