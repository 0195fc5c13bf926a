# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Small runs of pre-training that tests start in processes of their own."""

import contextlib
import os
import runpy
import sys
from pathlib import Path
from unittest import mock

import torch
from safetensors.torch import save_file

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.training import LLaDAPretrainer, LLaDAPretrainingConfig


SCRIPT = Path(__file__).parents[2] / "examples" / "pretrain.py"


def train(folder, output_dir, compiled: bool) -> LLaDAPretrainer:
    """Trains four steps on rows of one width, some of which are cut. Plain SGD: AdamW would divide rounding errors."""
    rows = torch.randint(10, 97, (50, 16), generator=torch.Generator().manual_seed(0))
    args = LLaDAPretrainingConfig(
        str(output_dir), max_steps=4, tokens_per_step=128, warmup_steps=1, use_cpu=True, learning_rate=0.1, optim="sgd",
        save_strategy="no", disable_tqdm=True, random_length_ratio=0.5, logging_steps=1, compile_loss=compiled,
    )  # fmt: skip
    compile_function = torch.compile
    # Traces as the default backend does, without the minutes of C++ compilation.
    trace = lambda function, **kwargs: compile_function(function, backend="eager", **kwargs)  # noqa: E731
    with mock.patch("torch.compile", trace):
        trainer = LLaDAPretrainer(LLaDAForMaskedLM.from_pretrained(folder), args, rows)
    trainer.train()
    return trainer


def result_of(trainer) -> dict[str, torch.Tensor]:
    """The weights, the logged losses, and how many graphs were compiled."""
    values = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    return values | {"losses": torch.tensor(losses), "graphs": torch.tensor(graphs)}


def train_compiled(folder, output_dir) -> None:
    """Trains, compiled, and writes the result of each process."""
    torch._dynamo.utils.counters.clear()
    trainer = train(folder, output_dir, compiled=True)
    save_file(result_of(trainer), f"{output_dir}/{trainer.args.process_index}.safetensors")


def run_script(*arguments) -> None:
    """Runs examples/pretrain.py, without the lines that end it with an exit code."""
    sys.argv = ["pretrain.py", *map(str, arguments)]
    runpy.run_path(str(SCRIPT))["main"]()


def run_as_command(folder, *arguments) -> None:
    """Runs examples/pretrain.py as one of several processes, and writes what it prints to a file with the number of its rank."""
    sys.argv = ["pretrain.py", *map(str, arguments)]
    with open(folder / f"{os.environ['RANK']}.txt", "w") as out, contextlib.redirect_stdout(out):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert not torch.distributed.is_initialized()
