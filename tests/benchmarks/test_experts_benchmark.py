# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The bench of families with experts, on tiny models on the CPU, and its expectation for the published shapes."""

import json
import shlex

import pytest
import torch

from benchmarks import experts
from benchmarks.experts import Cell, expect
from benchmarks.roofline import Rates
from benchmarks.shapes import config_of, random_model
from modeling_llada.models.engine_llada import LENGTH_MULTIPLE


SMALL = shlex.split("--device cpu --prompt 8 --answer 16 --block-length 8 --repeats 2 --batch 2")
RATES = Rates(4.2e12, 780e12, 780e12, "made up, because to measure them takes a second")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the bench, and returns its report."""
    monkeypatch.setattr(experts, "find_rates", lambda *_: RATES)

    def run(*arguments):
        experts.main([*SMALL, "--json", str(tmp_path / "experts.json"), *arguments])
        return json.loads((tmp_path / "experts.json").read_text())

    return run


def cell_of(shape, batch, mode="prefix"):
    return Cell(shape, mode, "by_device", batch, prompt=128, answer=256, block_length=32, tokens_per_step=3)


def test_rows(run, capsys):
    report = run("--shape", "tiny-llada2", "tiny-llada-moe", "--mode", "prefix", "dual")
    names = [(row["shape"], row["mode"]) for row in report["rows"]]
    assert names == [("tiny-llada2", "prefix"), ("tiny-llada-moe", "prefix"), ("tiny-llada-moe", "dual")]
    for row in report["rows"]:
        values = row["measured"]
        # Two blocks of eight masks, three a step.
        assert values["tokens_per_second"] == pytest.approx(2 * 16 / (6e-3 * values["ms_a_pass"]["median"]), rel=1e-3)
        expected = 100 * row["expected"]["roofline_ms"] / values["ms_a_step"]["median"]
        assert values["roofline_percent"] == pytest.approx(expected, rel=1e-3)
        assert len(values["seconds"]) == 2 and values["syncs_a_pass"] is None
    assert "| tiny-llada2 " in capsys.readouterr().out
    [section] = experts.sections([report])
    assert section.startswith("## tiny-llada2 and tiny-llada-moe on ") and "In all rows: experts by_device;" in section


@pytest.mark.parametrize(
    ("shape", "parameters", "touched", "gigabytes"),
    [("llada2-mini", 16.256e9, 163.3, 19.52), ("llada-moe", 7.357e9, 63.1, 12.7)],
)
def test_what_one_row_reads(shape, parameters, touched, gigabytes):
    """32 tokens with 8 experts each, out of 256 in 19 layers, or out of 64 in 16."""
    expected = expect(config_of(shape), cell_of(shape, 1, "dual"), RATES, element_bytes=2)
    assert expected["parameters"] == pytest.approx(parameters, rel=1e-3)
    assert expected["experts_touched"] == pytest.approx(touched, rel=1e-3)
    assert expected["expert_gb"] == pytest.approx(gigabytes, rel=1e-3)
    assert expected["roofline_ms"] == pytest.approx(expected["all_gb"] / 4.2, rel=1e-3), "32 tokens are few products"


def test_many_rows_read_all_experts():
    few, many = (expect(config_of("llada2-mini"), cell_of("llada2-mini", batch), RATES, 2) for batch in (1, 32))
    assert many["experts_touched"] == pytest.approx(256)
    assert few["roofline_ms"] < many["roofline_ms"] < 32 * few["roofline_ms"]


def test_tokens_are_spread_over_the_experts():
    """Masks are nearly equal to an untrained network."""
    config = config_of("tiny-llada2")
    model = random_model(config, "cpu", torch.float32, experts.model_class_of(config))
    router = model.model.layers[1].mlp.gate
    hidden_states = torch.randn(1, 32).expand(64, -1)
    assert len(router(hidden_states)[2].unique()) == 2
    experts.spread_tokens(model, 64)
    _, weights, index = router(hidden_states)
    assert weights.shape == index.shape == (64, 2) and len(index.unique()) == 8
    assert all(len({*chosen}) == 2 for chosen in index.tolist())


def test_steps_that_are_recorded_have_padded_canvases(run, monkeypatch):
    """As on a GPU, but for the compiler."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    options = ["--engine", "compiled", "--experts", "grouped_mm", "--repeats", "1"]
    row = run("--shape", "tiny-llada-moe", *options)["rows"][0]
    assert (row["prompt"] + row["answer"]) % LENGTH_MULTIPLE and row["measured"]["tokens_per_second"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt", "9"], "`--prompt` must be a multiple of `--block-length 8`, but got 9"),
        (["--tokens-per-step", "8"], "`--tokens-per-step` must be at least 1 and below `--block-length 8`"),
        (["--layers", "30"], "`--layers` must be 1 to 20, the layers of `--shape llada2-mini`"),
    ],
)
def test_bad_input(run, capsys, arguments, message):
    with pytest.raises(SystemExit) as error:
        run(*arguments)
    assert error.value.code == 2 and message in capsys.readouterr().err
