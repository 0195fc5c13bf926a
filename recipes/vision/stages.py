# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A stage of training: [`LLaDASFTTrainer`] on rows that are drawn, for so many minutes or steps."""

import math
import multiprocessing
import random
import signal
import time
from pathlib import Path

import torch
from datasets import Dataset
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback

from modeling_llada import LLaDAVForConditionalGeneration, LLaDAVProcessor
from modeling_llada.training import LLaDASFTConfig, LLaDASFTTrainer
from modeling_llada.training.callbacks import InterruptCallback
from modeling_llada.training.masking.noise import RowNoise
from modeling_llada.training.masking.row_order import NumberedRows
from modeling_llada.training.resuming import find_last_checkpoint
from modeling_llada.writing import complete_or_absent
from recipes.vision.feeding import DrawnRows, RowReader
from recipes.vision.optimizers import with_muon
from recipes.vision.rows import VisionRows


MAX_SHARD = "12MB"
NO_LIMIT = 10**7  # steps of a stage that its minutes end


class Budget(TrainerCallback):
    """
    Ends a stage after so many minutes, those before an interruption included, or after its steps. The log lines hold what is
    spent, so a resumed run goes on from there.

    Args:
        minutes (`float`, *optional*): the time, from the first step on. Left out: `max_steps` of the arguments decide.
    """

    def __init__(self, minutes: float | None):
        self.minutes, self.spent_before, self.began = minutes, 0.0, 0.0

    @property
    def spent(self) -> float:
        """The minutes that are spent."""
        return self.spent_before + (time.monotonic() - self.began) / 60

    def progress(self, step: int, max_steps: int) -> float:
        """The part of the budget that is spent, 0 to 1."""
        return min(1.0, step / max_steps if self.minutes is None else self.spent / self.minutes)

    def on_train_begin(self, args, state, control, **kwargs):
        self.began = time.monotonic()
        self.spent_before = max((entry.get("minutes", 0.0) for entry in state.log_history), default=0.0)

    def on_step_end(self, args, state, control, **kwargs):
        if self.minutes is not None and self.spent >= self.minutes:
            control.should_training_stop = control.should_log = True
        return control


class DrawingTrainer(LLaDASFTTrainer):
    """
    [`LLaDASFTTrainer`] on rows that are drawn on the fly, whose learning rates follow the budget. Muon trains the matrices of
    the layers, with the same rates.

    Args:
        rows (`VisionRows`): what is drawn.
        reader (`RowReader`): makes it into tokens and tiles.
        budget (`Budget`): when training ends.
        final_rate (`float`): the part of the learning rates that is left at the end, on a cosine.
        kwargs: the other arguments of [`LLaDASFTTrainer`].
    """

    def __init__(self, *args, rows: VisionRows, reader: RowReader, budget: Budget, final_rate: float, **kwargs):
        self.drawn_rows, self.reader, self.budget, self.final_rate = rows, reader, budget, final_rate
        super().__init__(*args, callbacks=[budget, InterruptCallback("the same command")], **kwargs)

    def numbered_rows(self, dataset: Dataset, noise: RowNoise) -> NumberedRows:
        return DrawnRows(self.drawn_rows, self.reader, noise, self.reader.processor.tokenizer.pad_token_id)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log(logs | {"minutes": round(self.budget.spent, 3)}, start_time)

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if is_new:
            self.optimizer = optimizer = with_muon(optimizer, self.model if model is None else model)
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LambdaLR:
        """Linear warmup over steps, then a cosine over what the budget says is spent."""
        if self.lr_scheduler is None:
            warmup = max(1, self.args.get_warmup_steps(num_training_steps))

            def factor(step: int) -> float:
                spent = self.budget.progress(step, num_training_steps)
                cosine = 0.5 * (1 + math.cos(math.pi * spent))
                return min(1.0, (step + 1) / warmup) * (self.final_rate + (1 - self.final_rate) * cosine)

            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, factor)
        return self.lr_scheduler


def train_stage(
    model: LLaDAVForConditionalGeneration,
    processor: LLaDAVProcessor,
    args: LLaDASFTConfig,
    rows: VisionRows,
    minutes: float | None,
    final_rate: float,
    is_blind: bool,
) -> DrawingTrainer:
    """Trains a stage, from its last checkpoint if there is one, and returns the trainer."""
    reader = RowReader(processor, is_blind)
    _, labels, _ = reader.example(rows[0], random.Random(0))
    answer = [label for label in labels if label != -100]
    trainer = DrawingTrainer(
        model,
        args,
        # The trainer asks for a dataset, of which no row is read.
        train_dataset=Dataset.from_list([{"input_ids": answer, "labels": answer}]),
        processing_class=processor,
        rows=rows,
        reader=reader,
        budget=Budget(minutes),
        final_rate=final_rate,
    )
    trainer.train(resume_from_checkpoint=find_last_checkpoint(args.output_dir))
    kill_workers()
    return trainer


def kill_workers() -> None:
    """
    Ends the workers, which draw rows for steps that the budget cut off: a loader would wait five seconds for each of them. Its
    handler, which takes the end of a worker for a failure, is away for so long.
    """
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in multiprocessing.active_children():
        worker.kill()
        worker.join()
    signal.signal(signal.SIGCHLD, handler)


def save_final(folder: Path, model: LLaDAVForConditionalGeneration, processor: LLaDAVProcessor, **options) -> None:
    """Writes a model and its processor. The folder is complete or absent."""
    with complete_or_absent(folder) as unfinished:
        model.save_pretrained(unfinished, max_shard_size=MAX_SHARD, **options)
        processor.save_pretrained(unfinished)
