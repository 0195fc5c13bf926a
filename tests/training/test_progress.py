# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The lines that a terminal shows during training."""

import sys

import pytest
import torch
from transformers.utils import logging

from modeling_llada.training import LLaDAPretrainer, LLaDAPretrainingConfig
from modeling_llada.training.progress import columns_of, fit, log_line, write_line


TRAINING = {"loss": 4.3909, "grad_norm": 4.387, "learning_rate": 0.0025, "masked_accuracy": 0.2321}
TRAINING |= {"loss_t_0_25": 2.461, "num_tokens": 496, "tokens_per_second": 2_203_118.4, "epoch": 0.016}
EVALUATION = {"eval_test_loss": 4.5026, "eval_test_perplexity": 90.25, "eval_test_runtime": 0.026, "epoch": 1}


@pytest.mark.parametrize(
    ("logs", "line"),
    [
        (TRAINING, "step  3,000/22,800  loss 4.3909  accuracy 0.232  lr 0.0025  2,203,118 tokens/s"),
        ({"loss": 4.4, "aux_loss": 2.1, "epoch": 1}, "step  3,000/22,800  loss 4.4000  aux_loss 2.1"),
        (EVALUATION, "step  3,000/22,800  eval test  loss 4.5026  perplexity 90.25  0.0 s"),
        ({"eval_loss": 2.2, "eval_runtime": 3.0}, "step  3,000/22,800  eval  loss 2.2000  3.0 s"),
        ({"eval_4x4_solved": 0.5}, "step  3,000/22,800  eval_4x4_solved 0.5"),
        ({"train_runtime": 1234.5, "train_loss": 3.3}, "step  3,000/22,800  trained for 1,234.5 s"),
    ],
    ids=["training", "with the balance of experts", "evaluation of a split", "evaluation", "another metric", "end"],
)
def test_a_line_of_80_columns(logs, line, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert log_line(logs, 3000, 22_800) == line and len(line) <= 80


def test_a_wide_terminal_shows_more(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert log_line(TRAINING, 3000, 22_800).endswith("tokens/s  grad 4.39  loss_t_0_25 2.461")


def test_a_text_in_one_line():
    assert fit("You are helpful.\n床前明月光，\n", 60) == "You are helpful.\\n床前明月光，"
    assert fit("床前明月光，", 6) == "床前…" and columns_of("床前…") == 5
    assert fit("床前明月光，", 6, keep_end=True) == "…光，"
    assert fit("red \x1b[31m", 60) == "red \\x1b[31m", "no model may colour the terminal"


def test_characters_that_the_terminal_does_not_know(monkeypatch, tmp_path):
    with open(tmp_path / "out", "w", encoding="latin-1") as file:
        monkeypatch.setattr(sys, "stdout", file)
        write_line("é月")
    assert (tmp_path / "out").read_bytes() == "é?\n".encode("latin-1")


def test_a_run_without_a_terminal_prints_lines_alone(tiny_model, pretraining_settings, capsys):
    args = LLaDAPretrainingConfig(**pretraining_settings | {"max_steps": 2, "disable_tqdm": False})
    rows = torch.full((8, 32), 20)
    logging.enable_progress_bar()  # the commands, which other tests call in this process, hide the bars for good
    LLaDAPretrainer(tiny_model(), args, rows).train()
    captured = capsys.readouterr()
    assert [line.split("  ")[0] for line in captured.out.splitlines()] == ["step 1/2", "step 2/2", "step 2/2"]
    assert "it/s" not in captured.err
    assert logging.is_progress_bar_enabled(), "the bars of files are hidden during training alone"
