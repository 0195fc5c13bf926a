# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""benchmarks/vrpo_variance.py: sharing the noise takes away most of the variance of the score."""

import json

import pytest


pytest.importorskip("trl", reason="TRL is not part of this environment")

import torch
from peft import LoraConfig, get_peft_model
from support.vrpo_runs import PAIRS

from benchmarks.vrpo_variance import main
from modeling_llada import LLaDAForMaskedLM


@pytest.fixture
def arguments(poet_folder, tmp_path):
    """The tiny poet with an adapter that changes it a little, and pairs."""
    torch.manual_seed(0)
    model = get_peft_model(LLaDAForMaskedLM.from_pretrained(poet_folder), LoraConfig(r=2, target_modules=["q_proj"]))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    model.save_pretrained(tmp_path / "adapter")
    lines = [json.dumps(pair, ensure_ascii=False) + "\n" for pair in PAIRS]
    (tmp_path / "pairs.jsonl").write_text("".join(lines), encoding="utf-8")
    folders = ["--model", str(poet_folder), "--adapter", str(tmp_path / "adapter")]
    return [*folders, "--pairs", str(tmp_path / "pairs.jsonl"), "--count", "4"]


def test_the_table(arguments, capsys):
    main(arguments)
    head, _, *rows = [line.strip("| ").split("|") for line in capsys.readouterr().out.splitlines()]
    assert [cell.strip() for cell in head][:2] == ["noise of the reference", "masks"]
    named = {tuple(cell.strip() for cell in row[:2]): float(row[3].split("±")[0]) for row in rows}
    assert len(named) == 4
    for masks in ("independent", "antithetic"):
        assert named["of its own", masks] > 20 * named["shared", masks]


def test_bad_arguments(arguments, capsys):
    with pytest.raises(SystemExit):
        main([*arguments, "--samples", "3"])
    assert "`--samples` must be even, for antithetic masks, but got 3." in capsys.readouterr().err
