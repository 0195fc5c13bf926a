# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The decoding bench on a tiny model on the CPU, where the numbers mean nothing but the bookkeeping is the same."""

import importlib.util
import json
import shlex
import sys
from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
import torch

import benchmarks.__main__ as render
from benchmarks import contenders, decode, decode_tables, shapes
from benchmarks.decode_requirements import requirement_section
from benchmarks.roofline import Rates, expect, find_rates, window_lengths
from benchmarks.timing import take_turns
from modeling_llada import LLaDAConfig


BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = shlex.split("--shape tiny --device cpu --prompt 8 --answer 16 --block-length 8 --repeats 2")
RATES = Rates(1e10, 1e11, 1e11, "made up, because to measure them takes a second")


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Runs decode.py and returns the JSON report and what was printed."""
    monkeypatch.setattr(decode, "find_rates", lambda *_: RATES)

    def run(*arguments):
        path = tmp_path / "results" / "decode.json"
        decode.main([*SMALL, "--json", str(path), *arguments])
        return json.loads(path.read_text()), capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def shared_report(tmp_path_factory):
    """A report for the tests that read one. Do not change it."""
    path = tmp_path_factory.mktemp("results") / "decode.json"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(decode, "find_rates", lambda *_: RATES)
        decode.main([*SMALL, "--mode", "exact", "dual", "--engine", "graph", "eager", "--json", str(path)])
    return json.loads(path.read_text())


@pytest.fixture
def report(shared_report):
    return deepcopy(shared_report)


def table_of(text):
    """The cells of the Markdown table in a text, a dict for each row."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_rows_of_a_cell(run):
    report, text = run("--naive", "--mode", "exact", "dual", "--tokens-per-step", "2")
    names = [f"{row['who']} {row['mode']}" for row in report["rows"]]
    assert names == ["naive exact", "ours exact", "ours dual"]
    assert report["baseline"] == "naive exact eager"
    for row in report["rows"]:
        values = row["measured"]
        assert row["skipped"] is None
        assert values["passes"] == 8, "16 tokens, two in a step"
        assert len(values["seconds"]) == 2, "one for each round"
        spread = values["ms_per_pass"]
        assert 0 < spread["p10"] <= spread["median"] <= spread["p90"]
        assert values["tokens_per_second"] == pytest.approx(16 / (8e-3 * spread["median"]), rel=1e-3)
        assert values["roofline_percent"] == pytest.approx(
            100 * row["expected"]["roofline_ms"] / spread["median"], rel=1e-3
        )
        assert values["syncs_per_step"] is None, "there is no device to wait for"
    naive, exact, dual = (row["measured"] for row in report["rows"])
    assert exact["same_tokens"] == 1, "the plain loop and `generate` without a cache are the same decoder"
    assert dual["ms_inside_block"] is not None and exact["ms_inside_block"] is None
    assert naive["times_baseline"] == {"median": 1, "p10": 1, "p90": 1}
    ratios = torch.tensor(naive["seconds"]) / torch.tensor(exact["seconds"])
    assert exact["times_baseline"]["median"] == pytest.approx(ratios.double().quantile(0.5).item(), rel=1e-3)

    printed = table_of(text)
    assert [row["mode"] for row in printed] == ["exact", "exact", "dual"]
    assert "Roofline: memory" in text and "syncs a step" not in printed[0], "empty columns are left out"
    constant = "In all rows: batch 1; prompt + answer 8 + 16; tokens a step 2; passes 8"
    assert constant in text and "passes" not in printed[0], "what is the same in all rows is said once"


def test_cells_are_all_combinations(run):
    report, _ = run("--mode", "exact", "--batch", "1", "2", "--prompt", "8", "24", "--answer", "16", "8")
    cells = [(row["batch"], row["prompt"], row["answer"], row["measured"]["passes"]) for row in report["rows"]]
    assert cells == [(1, 8, 16, 16), (2, 8, 16, 16), (1, 24, 8, 8), (2, 24, 8, 8)]


def test_forced_schedules(run):
    """1, 2 and 4 tokens a step: the schedule and nothing else decides how many passes there are, in every mode."""
    report, text = run("--mode", "exact", "dual", "prefix", "vicinity", "--tokens-per-step", "1", "2", "4", "--naive")
    passes = {(row["who"], row["mode"], row["tokens_per_step"]): row["measured"]["passes"] for row in report["rows"]}
    modes = [("naive", "exact"), *(("ours", mode) for mode in ("exact", "dual", "prefix", "vicinity"))]
    assert passes == {(*mode, tokens): 16 // tokens for mode in modes for tokens in (1, 2, 4)}
    exact = [row for row in report["rows"] if (row["who"], row["mode"]) == ("ours", "exact")]
    assert all(row["measured"]["same_tokens"] == 1 for row in exact), "as the plain loop, in each schedule"
    assert {row["tokens a step"] for row in table_of(text)} == {"1", "2", "4"}


def test_a_shape_is_cut_to_a_few_layers(run):
    whole, text = run("--mode", "exact")
    cut, cut_text = run("--mode", "exact", "--layers", "1")
    assert (whole["model"]["name"], cut["model"]["name"]) == ("shape tiny", "shape tiny, 1 layer")
    assert "shape tiny, 1 layer, " in cut_text
    layer = whole["model"]["parameters"] - cut["model"]["parameters"]
    models = contenders.Models(decode.parse([*SMALL, "--layers", "1"]), shapes.config_of("tiny", 1))
    model = models.of(contenders.Contender("ours", "exact", "graph"))
    assert len(model.model.layers) == 1
    assert sum(one.numel() for one in model.model.layers.parameters()) == layer
    assert cut["rows"][0]["expected"]["roofline_ms"] < whole["rows"][0]["expected"]["roofline_ms"]


def test_expectations_are_written_before_the_first_run(run, tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(decode, "run_cell", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run("--naive")
    report = json.loads((tmp_path / "results" / "decode.json").read_text())
    assert {"machine", "versions", "arguments", "rates", "model"} <= report.keys()
    assert str(tmp_path) not in json.dumps(report), "no path of this machine"
    for row in report["rows"]:
        low, high = row["expected"]["ms_per_pass"]
        assert row["measured"] is None and row["expected"]["roofline_ms"] < low < high


def test_what_does_not_run_is_said(run):
    report, text = run("--mode", "exact", "--prompt", "8", "250", "--answer", "16", "16")
    assert [row["skipped"] for row in report["rows"]] == [None, "the model has 256 positions"]
    assert "not run, ours exact graph batch 1 250 + 16: the model has 256 positions" in text


def test_ladder(run, monkeypatch):
    has_torchao = importlib.util.find_spec("torchao") is not None
    whole = decode.list_contenders(decode.parse([*SMALL, "--ladder"]))
    assert [one.key for one in whole] == [
        "naive exact eager",
        "ours exact eager",
        "ours exact graph",
        "ours dual graph",
        "ours dual compiled",
        "ours dual graph int8",
        "ours dual compiled int8",
    ]
    quick = [one for one in whole if one.engine != "compiled"]  # to compile takes half a minute
    monkeypatch.setattr(decode, "list_contenders", lambda args: quick)
    report, text = run("--ladder", "--layers", "1")
    assert [row["measured"] is None for row in report["rows"]] == [False, False, True, False, not has_torchao]
    assert "a CUDA device only" in text


def test_quantized_weights(run):
    pytest.importorskip("torchao")
    report, text = run("--mode", "exact", "--quantize", "int8")
    plain, int8 = report["rows"]
    assert plain["weights"] is None and int8["weights"] == "int8"
    assert int8["skipped"] is None and int8["measured"]["passes"] == 16
    assert "graph int8" in text

    tiny = partial(shapes.random_model, shapes.config_of("tiny"), "cpu", torch.float32)
    model = tiny()
    assert shapes.quantize(model, "int8") == "Int8WeightOnlyConfig"
    assert type(model.model.layers[0].mlp.up_proj.weight.data) is not torch.Tensor
    assert type(model.lm_head.weight.data) is torch.Tensor
    with pytest.raises(shapes.Unavailable, match="int4"):  # its rows are shorter than a group
        shapes.quantize(tiny(), "int4")


def test_missing_kernel_is_a_line(run, monkeypatch):
    def refuse(model, kind):
        raise shapes.Unavailable(shapes.NOT_INSTALLED)

    monkeypatch.setattr(contenders, "quantize", refuse)
    report, text = run("--mode", "exact", "--quantize", "int4")
    assert report["rows"][1]["skipped"] == "torchao is not installed"
    assert report["rows"][0]["measured"] is not None


def test_against_the_code_of_a_folder(run, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = tmp_path / "second"
    shapes.random_model(shapes.config_of("tiny"), "cpu", torch.float32).save_pretrained(folder)
    source = folder / "generation_llada.py"
    source.write_text(source.read_text() + "\nIS_SECOND = True\n")
    second = shapes.load_second(folder, "cpu", torch.float32)
    assert sys.modules[type(second).generate.__module__].IS_SECOND, "its own code, not that of this package"

    report, _ = run("--checkpoint", str(folder), "--against", str(folder), "--mode", "exact", "dual")
    names = [f"{row['who']} {row['mode']}" for row in report["rows"]]
    assert names == ["against exact", "against dual", "ours exact", "ours dual"]
    assert report["rows"][2]["measured"]["same_tokens"] == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--answer", "20"], "multiple of `--block-length 8`"),
        (["--tokens-per-step", "3"], "must divide `--block-length 8`"),
        (["--prompt", "8", "16"], "go together"),
        (["--layers", "3"], "`--layers` must be 1 to 2, the layers of `--shape tiny`, but got 3"),
        (["--layers", "0"], "but got 0"),
        (["--layers", "1", "--checkpoint", "folder"], "Pass one of the two"),
        (
            ["--mode", "exact", "dual", "prefix", "vicinity", "drafts", "--engine", "graph", "compiled"],
            "Split the command",
        ),
    ],
)
def test_arguments(capsys, arguments, message):
    with pytest.raises(SystemExit):
        decode.parse([*SMALL, *arguments])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "batch, prompt, answer, milliseconds", [(1, 128, 256, 8.3), (8, 128, 256, 64.0), (1, 896, 128, 22.3)]
)
def test_roofline_of_a_full_pass(batch, prompt, answer, milliseconds):
    assert roofline_of_8b("exact", batch, prompt, answer)["roofline_ms"] == pytest.approx(milliseconds, rel=0.05)


@pytest.mark.parametrize("batch, weight_bytes, milliseconds", [(1, 2, 5.15), (8, 2, 6.2), (32, 2, 24.4), (1, 1, 2.82)])
def test_roofline_inside_a_block(batch, weight_bytes, milliseconds):
    """With int8 weights the head stays in bfloat16."""
    expected = roofline_of_8b("dual", batch, 128, 256, weight_bytes)
    assert expected["roofline_inside_ms"] == pytest.approx(milliseconds, rel=0.05)
    # 8 of 256 passes are refreshes.
    full = roofline_of_8b("exact", batch, 128, 256, weight_bytes)["roofline_ms"]
    assert expected["roofline_ms"] == pytest.approx((8 * full + 248 * expected["roofline_inside_ms"]) / 256, rel=1e-3)


def roofline_of_8b(mode, batch, prompt, answer, weight_bytes=2):
    cell = contenders.Cell(batch, prompt, answer, 1, 32, "bfloat16")
    rates = Rates(3.0e12, 780e12, 450e12, "as assumed by hand")
    return expect(LLaDAConfig(**shapes.SHAPES["8b"]), rates, cell, mode, None, weight_bytes)


def test_rates_of_a_machine_are_measured():
    rates = find_rates(torch.device("cpu"), torch.float32)
    assert 1e8 < rates.memory < 1e13 and 1e9 < rates.product < 1e15
    assert "measured: a copy, and a 1536³ product" in str(rates)


def test_windows():
    assert window_lengths("exact", 8, 64, 32) == [72, 72]
    assert window_lengths("dual", 8, 64, 32) == [32, 32]
    assert window_lengths("prefix", 8, 64, 32) == [64, 32]
    assert window_lengths("vicinity", 8, 64, 32) == [56, 48], "cut at the edges of the canvas"


def test_turns_go_back_and_forth():
    order = []
    works = {name: lambda name=name: order.append(name) for name in "ABC"}
    seconds = take_turns(works, repeats=3, device=torch.device("cpu"))
    assert "".join(order) == "ABCCBAABC"
    assert all(len(values) == 3 for values in seconds.values())


def test_pages_are_those_of_the_results():
    for path, page in render.pages().items():
        assert path.read_text(encoding="utf-8") == page, "run `python -m benchmarks`"
        headings = [line for line in page.splitlines() if line.startswith("#")]
        assert len(set(headings)) == len(headings)


def test_rows_that_lack_a_package_are_left_out(report):
    rows = [row for row in report["rows"] if row["engine"] == "graph"]
    missing, failed = (deepcopy(rows[1]) | {"measured": None} for _ in range(2))
    missing |= {"weights": "int8", "skipped": shapes.NOT_INSTALLED}
    failed |= {"weights": "int4", "skipped": "torchao cannot quantize to int4 here"}
    [section] = decode_tables.sections({"decode": report | {"rows": [*rows, missing, failed]}})
    assert [row["engine"] for row in table_of(section)] == ["graph", "graph", "graph int4"]
    assert "int8" not in section
    assert "not run, ours dual graph int4 batch 1 8 + 16: torchao cannot quantize" in section


def measured_on_h100(report, **values):
    """A report as if its rows were those that are required something of."""
    report = deepcopy(report) | {"model": {"name": "shape 8b", "parameters": 8e9}}
    report["machine"]["name"] = "NVIDIA H100 80GB HBM3"
    for row in report["rows"]:
        row |= {"prompt": 128, "answer": 256, "block_length": 32, "dtype": "bfloat16"}
        row["measured"] |= {"syncs_per_step": 0.1, "first_call_seconds": 1.0} | values
    return report


def test_what_was_required_and_reached(report):
    assert requirement_section([report]) == "", "a tiny model on a CPU"
    fast = measured_on_h100(report, ms_per_pass={"median": 12.5}, ms_inside_block=8.1)
    slow = measured_on_h100(report, ms_per_pass={"median": 13.08}, ms_inside_block=8.2)

    def first_two(*reports):
        lines = [line for line in requirement_section([*reports]).splitlines() if line.startswith("| batch 1")]
        return [[cell.strip() for cell in line.split("|")[2:-1]] for line in lines]

    assert first_two(fast) == [
        ["at most 13", "11", "**12.5**", "not measured", "**12.5**"],
        ["at most 8.4", "7", "**8.1**", "not measured", "**8.1**"],
    ]
    assert [line[2] for line in first_two(fast, slow)] == ["13.08", "**8.2**"], "the slowest counts"
    for changes in ({"weights": "int8"}, {"block_length": 64}, {"who": "naive"}, {"measured": None}):
        other = deepcopy(slow)
        for row in other["rows"]:
            row |= changes
        assert first_two(fast, other) == first_two(fast), f"rows with {changes} do not count"
    cut = deepcopy(slow)
    cut["model"]["name"] = "shape 8b, 2 layers"
    assert requirement_section([cut]) == ""


def test_own_quantization():
    model = shapes.random_model(shapes.config_of("tiny"), "cpu", torch.float32)
    before = shapes.num_bytes(model)
    assert shapes.quantize(model, shapes.OWN_FP8) == "quantize_for_decoding"
    assert shapes.num_bytes(model) < 0.7 * before
    with pytest.raises(shapes.Unavailable, match="in torch.float16"):
        shapes.quantize(shapes.random_model(shapes.config_of("tiny"), "cpu", torch.float16), shapes.OWN_FP8)


def test_what_was_required_of_eight_bits(report):
    fast = measured_on_h100(report, ms_per_pass={"median": 6.7}, ms_inside_block=4.1, tokens_per_second=950)
    fast["machine"]["name"] = "NVIDIA H200"
    for row in fast["rows"]:
        row |= {"engine": "compiled", "weights": shapes.OWN_FP8, "tokens_per_step": 4}
    lines = [
        line.split("|")[2:-1] for line in requirement_section([fast]).splitlines() if line.startswith("| batch 1")
    ]
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["at most 6.8", "6.2", "not measured", "**6.7**"],
        ["at most 4", "3.6", "not measured", "4.1"],
        ["at least 900", "1,050", "not measured", "**950**"],
    ]
