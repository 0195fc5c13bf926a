# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The training bench on a tiny model on the CPU: three ways to one loss, and the bookkeeping around them."""

import json
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks import shapes, train, train_steps, train_tables
from benchmarks.train_steps import Contender, draw_batch, list_contenders
from benchmarks.train_work import Work
from reporting.markdown import fill


SMALL = shlex.split("--shape tiny --device cpu --batch 2 --length 48 --chunk-size 32 --warmup 1 --repeats 2")
CPU = torch.device("cpu")


@pytest.fixture
def run(tmp_path, capsys):
    """Runs train.py and returns the JSON report and what was printed."""

    def run(*arguments):
        path = tmp_path / "results" / "train_tiny.json"
        train.main([*SMALL, "--engine", "eager", "--json", str(path), *arguments])
        return json.loads(path.read_text()), capsys.readouterr().out

    return run


@pytest.fixture
def make_steps():
    """A tiny model, trained in full or with adapters that are not zero, and a batch."""

    def make_steps(lora=None, layers=None, micro_batches=1):
        config = shapes.config_of("tiny", layers)
        steps = train_steps.Steps(config, CPU, torch.float32, lora, 32)
        for name, parameter in steps.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        return steps, draw_batch(config, 2, 48, CPU, micro_batches)

    return make_steps


def gradients(steps, contender, batch):
    """The loss and its gradients; `None` where a weight has none."""
    loss = steps.backward(contender, batch)
    found = [None if one.grad is None else one.grad.clone() for one in steps.trained]
    steps.free()
    return loss, found


@pytest.mark.parametrize("lora", [None, 4])
def test_ways_to_the_loss_agree(make_steps, lora):
    if lora:
        pytest.importorskip("peft")
    steps, batch = make_steps(lora)
    all_logits, *others = list_contenders(train_steps.LOSSES, ["eager"])
    loss, expected = gradients(steps, all_logits, batch)
    assert max(gradient.abs().max() for gradient in expected) > 1e-2
    for contender in others:
        other_loss, found = gradients(steps, contender, batch)
        torch.testing.assert_close(other_loss, loss, atol=1e-5, rtol=0)
        torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)


def test_the_loss_is_that_of_the_paper(make_steps):
    steps, [batch] = make_steps()
    with torch.no_grad():
        logits = steps.model.eval()(input_ids=batch.input_ids).logits
    total, mask_token_id = 0.0, steps.model.config.mask_token_id
    for row, rate in enumerate((0.25, 0.75)):
        masked = batch.input_ids[row] == mask_token_id
        clean = batch.clean.view(2, 48)[row]
        log_p = logits[row].double().log_softmax(-1)[masked, clean[masked]]
        total -= log_p.sum().item() / rate
    for contender in list_contenders(train_steps.LOSSES, ["eager"]):
        loss, _ = gradients(steps, contender, [batch])
        assert loss.item() == pytest.approx(total / 96, rel=1e-5)


@pytest.mark.parametrize("loss", ["all logits", "masked rows", "masked rows + chunks"])
def test_micro_batches_add_up_to_the_batch(make_steps, loss):
    results = []
    for parts in (1, 2):
        steps, batches = make_steps(micro_batches=parts)
        assert len(batches) == parts
        results.append(gradients(steps, Contender(loss, "eager", parts), batches))
    torch.testing.assert_close(results[1], results[0], atol=2e-6, rtol=0)


@pytest.mark.parametrize("lora", [None, 4])
def test_compiled_parts_compute_the_same(make_steps, monkeypatch, lora):
    """Layers without a graph break, checkpoint included. With autograd traced but nothing generated, which takes long."""
    if lora:
        pytest.importorskip("peft")
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    steps, batch = make_steps(lora)
    eager, *compiled = list_contenders(["all logits"], ["eager"]) + list_contenders(train_steps.LOSSES, ["compiled"])
    loss, expected = gradients(steps, eager, batch)
    torch._dynamo.reset()
    for contender in compiled:
        torch._dynamo.utils.counters.clear()
        other_loss, found = gradients(steps, contender, batch)
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        # Two layers share one graph. Later contenders share it too; two chunks of different lengths have one each.
        assert graphs <= 2 and (graphs == 2 or contender.loss != "all logits")
        torch.testing.assert_close(other_loss, loss, atol=1e-5, rtol=0)
        torch.testing.assert_close(found, expected, atol=5e-6, rtol=0)
    torch._dynamo.reset()


def test_checkpoints_change_no_gradient_and_keep_less(make_steps):
    kept, results = {}, {}
    for engine in ("eager", "eager, 1 kept", "eager, all kept"):
        sizes = []
        steps, batch = make_steps()

        def pack(tensor, sizes=sizes):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            contender = Contender("masked rows", engine)
            results[engine] = gradients(steps, contender, batch)
        kept[engine] = sum(sizes)
    for engine in ("eager, 1 kept", "eager, all kept"):
        torch.testing.assert_close(results[engine], results["eager"])
    assert kept["eager"] < kept["eager, 1 kept"] < kept["eager, all kept"], "of two layers"


def test_adapters_are_on_the_seven_projections_alone(make_steps):
    pytest.importorskip("peft")
    steps, batch = make_steps(lora=4)
    names = {name for name, parameter in steps.model.named_parameters() if parameter.requires_grad}
    layers, projections = steps.model.config.num_hidden_layers, 7
    assert len(names) == layers * projections * 2 and all("lora_" in name for name in names)
    before = {name: one.detach().clone() for name, one in steps.model.named_parameters()}
    steps.step(Contender("masked rows + chunks", "eager"), batch)
    changed = {name for name, one in steps.model.named_parameters() if not torch.equal(one, before[name])}
    assert changed == names, "a step changes all adapters and nothing else"


@pytest.mark.parametrize("batch, length", [(1, 64), (3, 40), (8, 128)])
def test_half_of_the_tokens_are_masked(batch, length):
    config = shapes.config_of("tiny")
    [drawn] = draw_batch(config, batch, length, CPU)
    masked = drawn.input_ids == config.mask_token_id
    assert drawn.num_masked == masked.sum() and abs(masked.float().mean() - 0.5) < 0.15
    assert torch.equal(drawn.input_ids.flatten()[~masked.flatten()], drawn.clean[~masked.flatten()])
    assert not (drawn.clean == config.mask_token_id).any()


def test_rows_of_a_run(run):
    report, text = run("--batch", "2", "1", "--length", "48", "64")
    assert [(row["loss"], row["batch"], row["length"]) for row in report["rows"]] == [
        (loss, batch, length)
        for batch, length in ((2, 48), (1, 64))
        for loss in ("all logits", "masked rows", "masked rows + chunks")
    ]
    for row in report["rows"]:
        values, tokens = row["measured"], row["batch"] * row["length"]
        seconds = torch.tensor(values["seconds"]).double().quantile(0.5).item()
        assert len(values["seconds"]) == 2 and row["skipped"] is None
        assert values["tokens_per_second"] == pytest.approx(tokens / seconds, rel=1e-3)
        assert values["masked_tokens_per_second"] == pytest.approx(row["masked"] / seconds, rel=1e-3)
        assert values["peak_gib"] is None and values["mfu_percent"] is None, "there is no GPU to measure"
        assert row["head_rows"] == (tokens if row["loss"] == "all logits" else 64), "filled up to a multiple of 64"
    assert report["rows"][0]["measured"]["times_baseline"]["median"] == 1
    assert "shape tiny, in full, 2 x 48 and 1 x 64" in text and "| 2 x 48 |" in text.replace("         2", " 2")


def test_micro_batches_are_rows_of_their_own(run):
    report, text = run("--micro-batches", "1", "2", "--loss", "all logits", "masked rows")
    rows = [(row["loss"], row["micro_batches"]) for row in report["rows"]]
    assert rows == [(loss, parts) for parts in (1, 2) for loss in ("all logits", "masked rows")]
    assert len({row["masked"] for row in report["rows"]}) == 1, "of the same rows"


def test_a_row_that_runs_out_of_memory_says_so(run, monkeypatch):
    find_loss = train_steps.find_loss

    def fail_with_all_logits(model, batch, loss, *args):
        if loss == "all logits":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4 GiB.")
        return find_loss(model, batch, loss, *args)

    monkeypatch.setattr(train_steps, "find_loss", fail_with_all_logits)
    report, text = run()
    first, *others = report["rows"]
    assert first["measured"] is None and "Tried to allocate 4 GiB" in first["skipped"]
    assert all(row["measured"]["times_baseline"] is None for row in others), "nothing to compare with"
    assert text.count("out of memory") >= 2 and "times baseline" not in text


# Counted by hand: 8B has 32 layers of 4 h^2 + 3 h i weights (and two norms), and a head of 126464 h.
@pytest.mark.parametrize("adapters, factor", [(0, 6), (83_886_080, 4)])
def test_operations_of_8b(adapters, factor):
    hidden, inner, layers, vocabulary = 4096, 12288, 32, 126464
    weights = {"layers": layers * (4 * hidden**2 + 3 * hidden * inner), "head": vocabulary * hidden}
    config = shapes.config_of("8b")
    counts = weights | {"adapters": adapters, "trained": 1, "all": 1}
    work = Work(config, counts, 2, 4096, 4000, 1024)
    layers_and_attention = 8192 * (factor * 6.979e9 + 6 * adapters + 3 * 524_288 * 4096)
    assert work.operations("all logits") == pytest.approx(layers_and_attention + 8192 * factor * 0.518e9, rel=1e-4), (
        "45.0 + 1.61 L/1024 GFLOP a token when all weights are trained"
    )
    assert work.operations("masked rows") == pytest.approx(layers_and_attention + 4000 * factor * 0.518e9, rel=1e-4)


def report_of(loss_rates, shape="8b", lora=32, batch=8, length=1024, peak=19.0):
    rows = [
        {"loss": loss, "engine": engine, "micro_batches": 1, "batch": batch, "length": length}
        | {"expected": None, "skipped": None}
        | {"measured": {"tokens_per_second": rate, "peak_gib": peak}}
        for (loss, engine), rate in loss_rates.items()
    ]
    arguments = {"lora": lora, "dtype": "bfloat16", "batch": [batch], "length": [length]}
    arguments["chunk_size"] = 1024
    model = {"name": f"shape {shape}", "weights": {"all": 8e9, "trained": 8e7}}
    machine = {"name": "NVIDIA H100"}
    return {"model": model, "arguments": arguments, "machine": machine, "versions": {}, "command": "c", "rows": rows}


def test_required_and_reached():
    section = train_tables.requirement_section
    rates = {("all logits", "eager"): 5000, ("masked rows", "eager"): 6000, ("masked rows", "compiled"): 9748}
    lines = section([report_of(rates)]).splitlines()
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[-3:]] == [
        ["8b LoRA, 8 x 1024", "required", "at least 1.3", "at most 20", ""],
        ["", "masked rows, eager", "1.20", "**19.0**", "1.23"],
        ["", "masked rows, compiled", "**1.95**", "**19.0**", "2.00"],
    ]
    assert "**19.0**" not in section([report_of(rates, "1b", None, 4, 4096)]), "more than the 17 GiB of 1B"
    assert section([report_of(rates, batch=7)]) == "", "nothing was required of this size"


def test_a_page_keeps_what_is_around_a_part():
    page = "before\n<!-- x: begin -->\nold\n<!-- x: end -->\nafter"
    assert fill(page, "x", "new\n") == page.replace("old", "new")
    with pytest.raises(ValueError, match="two comments of 'y'"):
        fill(page, "y", "new")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("--batch 2 4 --length 48", "`--batch` and `--length` go together: got 2 and 1"),
        ("--length 512", "`--length` must be at most 256"),
        ("--layers 3", "`--layers` must be 1 to 2"),
        ("--lora 0", "`--lora` must be positive"),
        ("--micro-batches 1 3", "`--micro-batches` must divide every `--batch`, but 3 does not divide 2"),
        ("--chunk-size 0", "`--chunk-size` must be positive"),
        ("--engine 'eager, 3 kept'", "`--engine` can keep at most the 2 layers of the model: 'eager, 3 kept'"),
        ("--engine 'eager, 0 kept'", "eager or compiled, alone or with kept layers"),
        ("--engine graph", "eager or compiled, alone or with kept layers"),
    ],
)
def test_arguments(capsys, arguments, message):
    with pytest.raises(SystemExit):
        train.main([*SMALL, *shlex.split(arguments)])
    assert message in capsys.readouterr().err


def test_needs_neither_trl_nor_datasets():
    """The machine that measures has neither."""
    code = "import sys; sys.modules.update(trl=None, datasets=None); import benchmarks.train"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
