# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""benchmarks/pretraining.py compares sources of rows, and benchmarks/scale_table.py calculates what many GPUs need."""

import json

import pytest

from benchmarks import pretraining, scale_table


pytest.importorskip("datasets", reason="datasets is not part of this environment")


def test_each_source_trains_and_is_compared(tmp_path, capsys):
    sizes = ["--width", "16", "--tokens-per-step", "128", "--tokens", "20000", "--steps", "2", "--repeats", "1"]
    pretraining.main([*sizes, "--device", "cpu", "--folder", str(tmp_path), "--json", str(tmp_path / "out.json")])
    report = json.loads((tmp_path / "out.json").read_text())
    assert [row["source"] for row in report["rows"]] == ["memory", "shards", "stream"]
    memory, *others = (row["measured"] for row in report["rows"])
    assert memory["times_memory"]["median"] == 1 and memory["reads"] is None
    assert all(one["reads"] > 0 and len(one["speeds"]) == 1 for one in others)
    assert "in seconds of the processor" in pretraining.section([report])
    assert "| shards " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "1"], "`--steps` must be at least 2"),
        (["--width", "48"], "`--tokens-per-step` must be a multiple of 4 rows of `--width`"),
    ],
)
def test_bad_arguments(capsys, arguments, message):
    with pytest.raises(SystemExit):
        pretraining.parse(["--device", "cpu", *arguments])
    assert message in capsys.readouterr().err


def test_the_scale_of_a_model():
    """Of a billion weights, 100 million of which are whole at a time: 22 bytes each, or 16 divided by the GPUs."""
    step = scale_table.Step("1B", False, 10**9, 10**8, tokens=1000, tokens_per_second=500, activations=1e9)
    assert step.ddp() == 22e9 + 1e9
    assert step.fsdp2(8) == 2e9 + 0.4e9 + 1e9
    assert step.network() == 6e9 / 2, "two seconds a micro-batch"
    assert scale_table.cells(step, 8, memory=20)[3:5] == ["21, too much", "3"]


def test_8b_is_slower_in_full_than_with_lora():
    row = scale_table.row_of("train_h100_8b_4096", keeps_layers=False)
    again, kept = (one for one in scale_table.steps() if one.model == "8B")
    assert again.tokens_per_second < scale_table.speed(row) < kept.tokens_per_second * 8 / 6
    assert again.tokens_per_second == pytest.approx(kept.tokens_per_second * 6 / 8, rel=0.02)
