# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Small runs of pre-training that tests start in processes of their own."""

import contextlib
import json
import os
import runpy
import sys
from pathlib import Path
from unittest import mock

import torch
from safetensors.torch import save_file
from transformers import TrainerCallback

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.training import LLaDAPretrainer, LLaDAPretrainingConfig, TokenShards, find_last_checkpoint


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


def train_on(kind: str, corpus, model_folder, output_dir, stop_at: int | None = None) -> LLaDAPretrainer:
    """
    Trains six steps on a folder of shards or on a stream of its documents, or goes on from the last checkpoint. With `stop_at`
    it stops after that step, with a checkpoint.
    """
    args = LLaDAPretrainingConfig(
        str(output_dir), max_steps=6, tokens_per_step=256, row_length=16, warmup_steps=1, use_cpu=True, learning_rate=0.1,
        optim="sgd", save_strategy="no", disable_tqdm=True, random_length_ratio=0.5, logging_steps=1, seed=5,
        eval_num_samples=2, eval_rows=7,
    )  # fmt: skip
    source = corpus if kind == "shards" else stream_of(corpus)
    callbacks = [] if stop_at is None else [StopAt(stop_at)]
    trainer = LLaDAPretrainer(LLaDAForMaskedLM.from_pretrained(model_folder), args, source, corpus, callbacks)
    trainer.train(resume_from_checkpoint=find_last_checkpoint(output_dir))
    trainer.evaluate()
    return trainer


class StopAt(TrainerCallback):
    """Stops with a checkpoint."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            control.should_save = control.should_training_stop = True


def stream_of(corpus, num_shards: int = 4):
    """The documents of a folder as a `datasets.IterableDataset` of several shards."""
    from datasets import IterableDataset

    return IterableDataset.from_generator(
        read_documents, gen_kwargs={"corpus": str(corpus), "parts": list(range(num_shards))}
    )


def read_documents(corpus: str, parts: list[int]):
    split = TokenShards(corpus).splits["train"]
    ends = split.lengths().astype(int).cumsum()
    for part in parts:
        for document in range(part, split.num_documents, 4):
            yield {
                "input_ids": split.tokens(ends[document] - split.lengths(document, document + 1)[0], ends[document])
            }


def losses_of(trainer) -> dict[int | str, float]:
    """The logged losses by step, and that of the last evaluation."""
    log = trainer.state.log_history
    return {one["step"]: one["loss"] for one in log if "loss" in one} | {"evaluation": log[-1]["eval_loss"]}


def train_on_and_write(kind: str, corpus, model_folder, output_dir, stop_at: int | None = None) -> None:
    """Trains as one of several processes. The first writes its losses."""
    trainer = train_on(kind, corpus, model_folder, output_dir, stop_at)
    if trainer.is_world_process_zero():
        Path(output_dir, "losses.json").write_text(json.dumps(losses_of(trainer)))
