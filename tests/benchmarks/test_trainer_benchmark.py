# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""benchmarks/trainer.py: what it trains, what it reads from the log, and what it says where a row does not run."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch


pytest.importorskip("trl", reason="TRL is not part of this environment")

ROOT = Path(__file__).parents[2]

from transformers import AutoConfig, AutoTokenizer  # noqa: E402

from benchmarks import trainer  # noqa: E402


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(ROOT / "checkpoints" / "llada-poet")


def test_rows_fill_the_length(tmp_path, tokenizer):
    """With their EOS, and each character is a token."""
    trainer.write_rows(tmp_path / "rows.jsonl", tokenizer, trainer.parse(["--length", "40", "--device", "cpu"]))
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    lengths = {len(tokenizer(row["prompt"] + row["completion"], add_special_tokens=False).input_ids) for row in rows}
    assert lengths == {39} and len(rows) == 2 * 12, "a row for each place in each step"


def test_the_model_has_the_shape_and_the_tokenizer(tmp_path, tokenizer):
    trainer.write_model(tmp_path, tokenizer, trainer.parse(["--shape", "tiny", "--device", "cpu"]))
    config = AutoConfig.from_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).get_vocab() == tokenizer.get_vocab()
    assert config.hidden_size == 32 and config.vocab_size >= len(tokenizer)
    assert config.mask_token_id == tokenizer.mask_token_id


def test_the_second_half_is_timed():
    speeds = [1, 2, 30, 40, 50, 60]
    log = [{"tokens_per_second": 1.0 * one, "masked_tokens_per_second": one / 2, "loss": 3.0} for one in speeds]
    log[0]["num_tokens"] = 7
    measured = trainer.summarise([*log, {"train_loss": 3.0}], peak=3 * trainer.GIB)
    assert (measured["tokens_per_second"], measured["masked_tokens_per_second"]) == (50, 25)
    assert measured["peak_gib"] == 3 and measured["first_step_seconds"] == 7 and len(measured["losses"]) == 6


def test_what_does_not_run_is_said(tmp_path):
    """In the row and below the table; other rows go on."""
    args = trainer.parse(["--steps", "2", "--device", "cpu"])
    row = {"weights": "bfloat16", "engine": "eager"} | trainer.measure(tmp_path, "bfloat16", "eager", args)
    assert row["measured"] is None and str(tmp_path) in row["skipped"]
    assert trainer.table([row]).endswith(f"- bfloat16, eager: {row['skipped']}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--length 3", "`--length` must be at least 16, but got 3"),
        ("--device cuda:1", "needs a CUDA device" if not torch.cuda.is_available() else "must be cpu, or cuda"),
    ],
)
def test_bad_arguments(capsys, arguments, message):
    with pytest.raises(SystemExit):
        trainer.parse(arguments.split())
    assert message in capsys.readouterr().err


def test_run(tmp_path, monkeypatch):
    """QLoRA and LoRA train on the same rows: 4 bits show in the loss. Without processes, which would import all again."""
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not part of this environment")
    monkeypatch.setattr(trainer, "ProcessPoolExecutor", lambda number, _: ThreadPoolExecutor(number))
    path = tmp_path / "results.json"
    arguments = "--shape tiny --steps 4 --device cpu --threads 1"
    trainer.main([*arguments.split(), "--folder", str(tmp_path), "--json", str(path)])
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    losses = {row["weights"]: row["measured"]["losses"] for row in rows}
    assert losses["nf4"] == pytest.approx(losses["bfloat16"], rel=0.03)
    assert losses["nf4"] != pytest.approx(losses["bfloat16"], rel=1e-3)
    assert list(tmp_path.iterdir()) == [path], "the folder with the weights is gone"
