# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The progress of training in the terminal: a line for each log entry, above the bar."""

import shutil
import sys
import unicodedata

from tqdm.auto import tqdm
from transformers import PrinterCallback, ProgressCallback, Trainer
from transformers.utils import logging


# The values that a line shows first, in this order: how they are written.
FORMATS = {
    "loss": "loss {:.4f}",
    "masked_accuracy": "accuracy {:.3f}",
    "perplexity": "perplexity {:.2f}",
    "rewards/accuracies": "preferred {:.3f}",
    "rewards/margins": "margin {:.4f}",
    "learning_rate": "lr {:.3g}",
    "tokens_per_second": "{:,.0f} tokens/s",
    "grad_norm": "grad {:.3g}",
    "runtime": "{:.1f} s",
}
# They repeat others, or follow from the step.
LEFT_OUT = ("epoch", "total_flos", "samples_per_second", "steps_per_second", "num_tokens", "num_masked_tokens")


class ProgressLines(ProgressCallback):
    """
    Shows a bar and a line for each log entry, which fits the width of the terminal, or 80 columns without one. The bar is only
    drawn in a terminal. Values that do not fit are left out; all are in the log of the trainer.
    """

    def __init__(self, disable_tqdm: bool = False):
        super().__init__()
        self.disabled = True if disable_tqdm else None  # for tqdm, `None` means: unless it is a terminal
        self.hub_bars = False

    def on_train_begin(self, args, state, control, **kwargs):
        # The bars of saved and loaded files would be drawn into ours.
        self.hub_bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        if state.is_world_process_zero:
            self.training_bar = tqdm(
                total=state.max_steps, initial=state.global_step, dynamic_ncols=True, disable=self.disabled
            )
        self.current_step = state.global_step

    def on_step_end(self, args, state, control, **kwargs):
        if self.training_bar is not None:
            super().on_step_end(args, state, control, **kwargs)

    def on_prediction_step(self, args, state, control, eval_dataloader=None, **kwargs):
        if self.prediction_bar is None and state.is_world_process_zero and eval_dataloader is not None:
            self.prediction_bar = tqdm(
                total=len(eval_dataloader), leave=False, dynamic_ncols=True, disable=self.disabled
            )
        super().on_prediction_step(args, state, control, eval_dataloader, **kwargs)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero and logs:
            write_line(log_line(logs, state.global_step, state.max_steps))

    def on_train_end(self, args, state, control, **kwargs):
        super().on_train_end(args, state, control, **kwargs)
        if self.hub_bars:
            logging.enable_progress_bar()


def show_progress_lines(trainer: Trainer) -> None:
    """Lets [`ProgressLines`] take the place of Trainer's own callback, which prints dictionaries."""
    callbacks = trainer.callback_handler.callbacks
    for place, callback in enumerate(callbacks):
        if type(callback) in (PrinterCallback, ProgressCallback):
            callbacks[place] = ProgressLines(trainer.args.disable_tqdm)


def log_line(logs: dict, step: int, max_steps: int) -> str:
    """The line of a log entry, with as many of its values as fit."""
    line = f"step {step:>{len(f'{max_steps:,}')},}/{max_steps:,}" if max_steps else ""
    if "train_runtime" in logs:
        return f"{line}  trained for {logs['train_runtime']:,.1f} s"
    prefix = next((name.removesuffix("loss") for name in logs if name.endswith("_loss")), "")
    prefix = "" if "loss" in logs else prefix  # a part of the loss of training, such as `aux_loss`, is no evaluation
    if prefix:
        line += f"  {prefix.replace('_', ' ').rstrip()}"
    values = {name.removeprefix(prefix): value for name, value in logs.items()}
    others = {name: f"{name} {{:.4g}}" for name in values if name not in (*FORMATS, *LEFT_OUT)}
    for name, form in (FORMATS | others).items():
        if isinstance(values.get(name), int | float):
            part = f"  {form.format(values[name])}"
            line += part if len(line + part) <= terminal_width() else ""
    return line.strip()


def write_line(text: str) -> None:
    """Prints a line above the bar, if there is one. Characters that the terminal does not know are replaced."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    tqdm.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def terminal_width() -> int:
    return shutil.get_terminal_size(fallback=(80, 24)).columns


def fit(text: str, width: int, keep_end: bool = False) -> str:
    """The text in one line of at most `width` columns: line breaks become \\n, and its end, or its beginning, is cut off."""
    text = "".join(one if one.isprintable() else repr(one)[1:-1] for one in text.strip())
    if columns_of(text) <= width:
        return text
    while columns_of(text) > width - 1:
        text = text[1:] if keep_end else text[:-1]
    return f"…{text}" if keep_end else f"{text}…"


def columns_of(text: str) -> int:
    """The columns of a terminal that a text takes."""
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)
