# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The scaling study: plans keep to their budgets, fits find the law they were given, runs go on where they stopped."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from support.made_up_corpus import made_up_corpus

from modeling_llada.training.pretraining.held_out_loss import fixed_noise, held_out_loss
from recipes.scaling import fit, laws, plan, scores
from recipes.scaling import run as study
from recipes.scaling.bench import make_model
from recipes.scaling.corpora import find_couplets, with_distractors
from recipes.scaling.plan import Plan, Size


MICRO = {
    "corpus": "corpus.safetensors",
    "vocab_size": 99,
    "window": 32,
    "tokens_per_step": 256,
    "learning_rate": {"value": 2e-3, "at_width": 384},
    "rows": [
        {"kind": "windows", "width": 32, "share": 0.5},
        {"kind": "spans", "width": 16, "share": 0.5, "famous": 0.25},
    ],
    "sizes": {"w16": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 32}},
    "runs": [{"flops": 4.5e8, "sizes": ["w16"], "seeds": [1]}],
    "scores": {"window_samples": 2, "couplets": 30, "candidates": 3, "couplet_samples": 2},
    "expected": {"flops_per_second": 1e9, "seconds_per_step": 0.01},
}


@pytest.fixture
def write_plan(tmp_path):
    """Writes the micro plan; keyword arguments change its values."""

    def write(**changes):
        path = tmp_path / "micro.yaml"
        path.write_text(yaml.safe_dump(MICRO | changes))
        return path

    return write


@pytest.fixture
def micro(tmp_path, write_plan, monkeypatch):
    """The arguments of run.py for the micro plan, in a folder with its corpus."""
    monkeypatch.chdir(tmp_path)
    made_up_corpus().save("corpus.safetensors")
    return ["--plan", str(write_plan())]


def run(*arguments):
    """Runs run.py to its end and returns its exit status."""
    with pytest.raises(SystemExit) as ended:
        study.main([str(argument) for argument in arguments])
    return ended.value.code


def records_of(folder):
    return {path.stem: json.loads(path.read_text()) for path in sorted(Path(folder).glob("runs/*.json"))}


# ---- the plan


@pytest.mark.parametrize("name", ["poems", "tiny"])
def test_runs_spend_their_budget_and_both_kinds_the_same(name):
    cells = {}
    for run in Plan(name).runs:
        assert run.flops == pytest.approx(run.budget, rel=0.02)
        spent = (run.steps, run.tokens, run.learning_rate)
        cells.setdefault((run.budget, run.size.name, run.seed), {})[run.kind] = spent
    assert all(cell["llada"] == cell["twin"] for cell in cells.values())
    budgets = {budget for budget, _, _ in cells}
    assert len(budgets) >= 3
    assert all(len({size for place, size, _ in cells if place == budget}) >= 3 for budget in budgets)
    # Without two seeds somewhere the noise between runs is not known.
    assert any(seed > 1 for _, _, seed in cells)


def test_counts_the_weights_that_the_model_has():
    poems = Plan("poems")
    for size in (poems.sizes["w64"], poems.sizes["w384"]):
        model = make_model("llada", poems.shape(size), made_up_corpus())
        norms = (2 * size.num_hidden_layers + 1) * size.hidden_size
        assert model.num_parameters() == size.body + size.head(99) + norms
        twin = make_model("twin", poems.shape(size), made_up_corpus())
        assert twin.num_parameters() == model.num_parameters()


def test_flops_per_token_by_hand():
    size = Size("one", 8, 2, 1, 16)
    body = 2 * (4 * 8 * 8 + 3 * 8 * 16)
    assert size.flops_per_token(vocab_size=100, width=10) == 6 * (body + 800) + 12 * 2 * 8 * 10


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"runs": [{"flops": 1e6, "sizes": ["w16"], "seeds": [1]}]}, "steps"),
        ({"runs": [{"flops": 4.5e8, "sizes": ["w17"], "seeds": [1]}]}, "w17"),
        ({"runs": [{"flops": 4.5e8, "sizes": ["w16"], "seeds": [1, 1]}]}, "twice"),
    ],
)
def test_refuses_a_plan_that_cannot_be(write_plan, changes, named):
    with pytest.raises(ValueError, match=named):
        Plan(write_plan(**changes))


def test_the_table_of_a_plan(capsys):
    plan.main(["--plan", "poems"])
    printed = capsys.readouterr().out
    assert "| 5.0e+14 | w64 |" in printed
    assert "40 runs" in printed


# ---- the couplets


def test_couplets_are_those_of_the_corpus():
    corpus = made_up_corpus()
    couplets = find_couplets(corpus, "test", limit=1000)
    documents = corpus.splits["test"]
    texts, start = [], 0
    for length in documents.lengths:
        texts.append(documents.tokens[start : start + length].tolist())
        start += length
    comma, stop = corpus.line_ends[0], corpus.sentence_ends[0]
    assert len(couplets) > 20
    for row, characters in zip(couplets.rows.tolist(), couplets.characters.tolist(), strict=True):
        text = row[: 2 * characters + 2]
        assert (text[characters], text[-1]) == (comma, stop)
        assert set(row[len(text) :]) <= {corpus.eos_token_id}
        assert any(text == poem[place : place + len(text)] for poem in texts for place in range(len(poem)))
    assert torch.equal(couplets.second_line.sum(-1), couplets.characters)


def test_distractors_are_other_second_lines_of_the_same_form():
    couplets = find_couplets(made_up_corpus(), "test", limit=1000)
    candidates = with_distractors(couplets, 4)
    assert torch.equal(candidates[0].rows, couplets.rows)
    for row in range(len(couplets)):
        seconds = {tuple(candidate.rows[row][couplets.asked[row]].tolist()) for candidate in candidates}
        assert len(seconds) == 4
        firsts = {tuple(candidate.rows[row][~couplets.asked[row]].tolist()) for candidate in candidates}
        assert len(firsts) == 1


# ---- the scores


def test_the_bound_of_windows_is_the_loss_of_the_trainer(tiny_model, random_ids):
    model, rows = tiny_model(bos_token_id=0), random_ids(10, 16)
    noise = [fixed_noise(10, 16, sample, seed=0) for sample in range(3)]
    found = scores.bound(model, rows, noise).mean() / 16
    expected = held_out_loss(model, rows, num_samples=3, batch_size=4)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_the_noise_of_couplets_covers_every_count():
    asked = torch.arange(16) > torch.tensor([5, 7])[:, None]
    masks, weights = zip(*scores.couplet_noise(asked, 40), strict=True)
    assert not (torch.stack(masks) & ~asked).any()
    counts = torch.stack(masks).sum(-1)
    assert counts[:, 0].unique().tolist() == list(range(1, 11))
    assert counts[:, 1].unique().tolist() == list(range(1, 9))
    torch.testing.assert_close(torch.stack(weights), torch.tensor([10.0, 8.0]) / counts)


def test_the_twin_answers_greedily_from_left_to_right():
    corpus = made_up_corpus()
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 32}
    twin = make_model("twin", shape, corpus).eval()
    couplets = find_couplets(corpus, "test", limit=8)
    answers = scores.complete(twin, "twin", couplets)
    assert torch.equal(answers[~couplets.asked], couplets.rows[~couplets.asked])
    for answer, row, characters in zip(answers, couplets.rows, couplets.characters, strict=True):
        prompt = torch.cat([torch.tensor([corpus.bos_token_id]), row[: characters + 1]])
        for token in answer[characters + 1 :]:
            assert token == twin(input_ids=prompt[None]).logits[0, -1].argmax()
            prompt = torch.cat([prompt, token[None]])


# ---- the runs


def test_a_run_in_pieces_is_the_run_in_one_go(micro, monkeypatch, capfd):
    assert run(*micro, "--output", "straight") == 0
    # The time limit is over before the first step: each call makes one step, and the last makes the rest.
    monkeypatch.setattr(study, "LEAST_MINUTES", -1e9)
    for _ in range(3):
        assert run(*micro, "--output", "pieces", "--resume", "--max-minutes", 1e-6) == 0
        assert not records_of("pieces")
    assert "0 of 2 runs are done" in capfd.readouterr().out
    assert run(*micro, "--output", "pieces", "--resume") == 0
    straight, pieces = records_of("straight"), records_of("pieces")
    assert sorted(straight) == sorted(pieces) == ["4.5e08-w16-llada-seed1", "4.5e08-w16-twin-seed1"]
    for name, record in straight.items():
        assert record["scores"] == pieces[name]["scores"]
    assert not list(Path("pieces/checkpoints").iterdir())


def test_takes_no_run_of_another_worker(micro, capsys):
    study.open_output(Path("out"), Plan(micro[1]), resume=False)
    plan = Plan(micro[1])
    with study.claim(Path("out"), plan.runs[0]) as mine, study.claim(Path("out"), plan.runs[1]) as too:
        assert mine and too
        assert run(*micro, "--output", "out", "--resume") == 0
    assert "0 of 2 runs are done" in capsys.readouterr().out
    assert not records_of("out")


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--plan", "missing"], "--plan"),
        (["--workers", "0"], "--workers"),
        (["--max-minutes", "0"], "--max-minutes"),
        (["--only", "w999"], "--only"),
        (["--corpus", "missing.safetensors"], "--corpus"),
    ],
)
def test_names_the_flag_that_is_wrong(micro, capsys, arguments, named):
    assert run(*micro, "--output", "out", *arguments) == 2
    assert f"`{named}`" in capsys.readouterr().err and not Path("out").exists()


def test_does_not_go_on_with_other_runs(micro, write_plan, capsys):
    study.open_output(Path("out"), Plan(micro[1]), resume=False)
    assert run(*micro, "--output", "out") == 2
    assert "--resume" in capsys.readouterr().err
    for changes, corpus in (({"window": 16}, "corpus"), ({}, "other")):
        write_plan(**changes)
        Path(f"{corpus}.safetensors").touch()
        assert run(*micro, "--output", "out", "--resume", "--corpus", f"{corpus}.safetensors") == 2
        assert "another plan" in capsys.readouterr().err


# ---- the fits


FACTOR, SLOPE, NOISE, BUDGETS = 4.0, -0.05, 0.01, (5e14, 1.5e15, 5e15, 1.5e16)


def made_up_study(seed, sizes=(0.4, 1.0, 2.5)):
    """Runs that obey a power law, with noise between runs and hard and easy windows."""
    rng = np.random.default_rng(seed)
    windows = rng.normal(0, 0.3, 300)
    runs = []
    for kind, factor in (("llada", FACTOR), ("twin", 1.0)):
        for budget in BUDGETS:
            lowest = 4.5 * (budget / factor / BUDGETS[0]) ** SLOPE
            for size in sizes:
                for number in (1, 2):
                    loss = lowest + 0.05 * np.log(size) ** 2 + rng.normal(0, NOISE) + rng.normal(0, 0.02, 300)
                    parameters = size * 1e6 * (budget / BUDGETS[0]) ** 0.5
                    run = laws.Measured(kind, budget, str(size), number, parameters, loss + windows)
                    runs.append(run)
    return runs


def test_intervals_cover_the_law():
    tries, covered = 40, {"factor": 0, "slope": 0, "noise": []}
    for seed in range(tries):
        runs = made_up_study(seed)
        drawn = laws.bootstrap(runs, 300, seed)
        covered["factor"] += inside(FACTOR, drawn.factors[BUDGETS[1]])
        covered["slope"] += inside(SLOPE, drawn.laws["twin"][0])
        covered["noise"] += laws.seed_noise(runs).values()
    # 95% of 40 is 38; fewer than 33 would come about once in ten thousand times.
    assert covered["factor"] >= 33
    assert covered["slope"] >= 33
    assert np.mean(covered["noise"]) == pytest.approx(NOISE, rel=0.15)


def inside(value, drawn):
    low, high = np.percentile(drawn, (2.5, 97.5))
    return low <= value <= high


def test_finds_the_law_and_the_best_size_without_noise():
    runs = made_up_study(seed=0)
    for run in runs:  # every window the same: the loss is the law itself
        lowest = 4.5 * (run.budget / (FACTOR if run.kind == "llada" else 1) / BUDGETS[0]) ** SLOPE
        run.losses = np.full(3, lowest + 0.05 * np.log(float(run.size)) ** 2)
    found = laws.as_measured(runs)
    assert found.laws["llada"][0, 0] == pytest.approx(SLOPE)
    assert found.factors[BUDGETS[2]][0] == pytest.approx(FACTOR)
    assert found.interpolated[BUDGETS[0]][0] == pytest.approx(FACTOR)
    assert np.isnan(found.interpolated[BUDGETS[3]][0]), "LLaDA never had so low a loss"
    assert found.parameters["twin", BUDGETS[0]][0] == pytest.approx(1e6)
    assert not any(edge[0] for edge in found.at_edge.values())
    best = found.coefficients["twin", BUDGETS[0]][:, 0]
    assert np.polyval(best, np.log(1e6)) == pytest.approx(4.5)


def test_a_loss_that_does_not_fall_has_no_price():
    runs = made_up_study(seed=0)
    for run in runs:
        run.losses = np.full(3, 6.0 if run.kind == "llada" else 5.0 - np.log(run.budget) / 100)
    found = laws.as_measured(runs)
    assert found.factors[BUDGETS[0]][0] == laws.LARGEST_FACTOR
    assert np.isnan(found.interpolated[BUDGETS[0]][0])


def test_a_profile_that_falls_to_its_end_says_so():
    parameters, losses = np.array([1.0, 2.0, 4.0]), np.array([[5.0, 5.0], [4.5, 4.6], [4.1, 4.5]])
    size, loss, at_edge, _ = laws.profile(parameters, losses)
    assert at_edge[0]
    assert (size[0], loss[0]) == (4.0, 4.1)


def test_a_budget_counts_for_the_kind_that_has_three_sizes(tmp_path):
    runs = made_up_study(seed=3)
    found = fitted(tmp_path, [run for run in runs if (run.kind, run.budget, run.size) != ("twin", BUDGETS[3], "2.5")])
    places = {(one["kind"], one["budget"]) for one in found["profiles"]}
    assert places == {(kind, budget) for kind in ("llada", "twin") for budget in BUDGETS} - {("twin", BUDGETS[3])}
    assert [one["budget"] for one in found["factors"]] == list(BUDGETS[:3])
    [left] = found["left_out"]
    assert (left["kind"], left["budget"]) == ("twin", BUDGETS[3])
    assert left["lowest"] == pytest.approx(left["by_the_law"], abs=0.1), "these runs obey the law"


def test_makes_one_file_of_the_records(tmp_path, capsys):
    found = fitted(tmp_path, made_up_study(seed=3))
    assert len(found["runs"]) == 48
    assert "window_nats" not in json.dumps(found)
    factor = found["factors"][0]["factor"]
    assert factor["low"] < FACTOR < factor["high"]
    choice = found["tasks"][0]["choice"]
    assert choice["mean"] == 0.5
    assert choice["low"] < 0.5 < choice["high"]
    assert "times as many" in capsys.readouterr().out


def fitted(folder, runs):
    """What fit.py writes from the records of these runs."""
    (folder / "runs").mkdir()
    for run in runs:
        name = f"{run.kind}-{run.budget}-{run.size}-{run.seed}.json"
        (folder / "runs" / name).write_text(json.dumps(record_of(run)))
    fit.main(["--runs", str(folder), "--json", str(folder / "found.json"), "--replicates", "200"])
    return json.loads((folder / "found.json").read_text())


def record_of(run):
    couplets = {"nats_per_character": 5.0, "standard_error": 0.1}
    return {
        "run": {
            "name": "one",
            **{name: getattr(run, name) for name in ("kind", "budget", "size", "seed")},
            **{"steps": 100, "tokens": 1000, "flops": run.budget, "flops_body": 1.0, "learning_rate": 1e-3},
        },
        "plan": "poems",
        "parameters": run.parameters,
        "scores": {
            "held_out_nats": run.losses.mean(),
            "window_nats": run.losses.tolist(),
            "held_out_couplets": {**couplets, "choices": 100, "candidates": 4, "chosen": 50},
            "known_couplets": {
                **couplets,
                **{"lines": 100, "lines_right": 0, "characters": 600, "characters_right": 60},
            },
        },
        "tokens_per_second": [1000.0, 1000.0],
        "seconds": 1.0,
        **{"device": "cpu", "precision": "float32", "torch": "2", "transformers": "5"},
    }


def test_fits_nothing_that_is_not_there(tmp_path, capsys):
    with pytest.raises(SystemExit):
        fit.main(["--runs", str(tmp_path), "--json", str(tmp_path / "found.json")])
    assert "`--runs`" in capsys.readouterr().err
