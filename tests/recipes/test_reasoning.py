# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""recipes/reasoning: the problems and their checks, the rows, and the study with tiny models."""

import json
import shutil
from random import Random

import pytest


pytest.importorskip("matplotlib", reason="the claim draws with it")
pytest.importorskip("trl", reason="the recipe trains")

import evidence.claim_reasoning as claim  # noqa: E402
from evidence.__main__ import Claim  # noqa: E402
from recipes.reasoning import arithmetic, countdown  # noqa: E402
from recipes.reasoning.__main__ import main  # noqa: E402
from recipes.reasoning.expressions import numbers_of, value_of  # noqa: E402
from recipes.reasoning.problems import TASKS, Problem, Size, draw_problems, split_prompt  # noqa: E402
from recipes.reasoning.recipe import load_recipe, load_run  # noqa: E402
from recipes.reasoning.results import t_interval  # noqa: E402
from recipes.reasoning.rewards import is_formed, is_right  # noqa: E402
from recipes.reasoning.text import build_tokenizer, rows_of  # noqa: E402
from reporting.plots import draw_themes  # noqa: E402


CONFIG = "recipes/reasoning/reasoning_cpu.yaml"
TINY = [
    "trained=60", "held_out=6", "tasks={evaluate: {numbers: 3, largest: 9}, countdown: {numbers: 3, largest: 9}}",
    "prompt_tokens=14", "canvas=40", "model.hidden_size=16", "model.num_hidden_layers=1", "model.intermediate_size=24",
    "training.max_steps=4", "training.tokens_per_step=432", "training.warmup_steps=1", "training.logging_steps=1",
    "training.save_steps=2", "seeds=[1]", "likelihoods={elbo: {}}", "prompts=8", "reward.max_steps=2",
    "reward.per_device_train_batch_size=8", "reward.num_generations=4", "reward.generation_kwargs={steps: 4}",
    "reward.num_noise_samples=2", "reward.save_steps=1", "reward.save_total_limit=3", "reward.logging_steps=1",
    "measure.problems=4", "measure.batch_size=3", "measure.decoding={as rewarded: {steps: 4, temperature: 1.0}, one pass: {steps: 1}}",
]  # fmt: skip


class TestExpressions:
    def test_values(self):
        assert [value_of(one) for one in ("7", "(3+4)*2", "3+4*2", "((2))-5")] == [7, 14, 11, -3]
        assert numbers_of("(30+4)*4") == [4, 4, 30]

    @pytest.mark.parametrize(
        "text", ["", "3+", "-3", "2**3", "3(4)", "(3", "()", "07", "3 4", "3/4", "x", "(" * 150 + "1"]
    )
    def test_no_expressions(self, text):
        assert value_of(text) is None


class TestProblems:
    def test_arithmetic_is_evaluated_line_by_line(self):
        assert arithmetic.working("((17+4)*3)-(8+25)").split("\n") == ["(21*3)-(8+25)", "63-(8+25)", "63-33", "30"]
        assert arithmetic.is_right("2*3", "5\n6") and not arithmetic.is_right("2*3", "6\n5")
        assert arithmetic.is_formed("2*3", "7") and not arithmetic.is_formed("2*3", "6\n")

    def test_countdown_takes_each_number_once(self):
        prompt = "7 3 25 to 68"
        assert countdown.is_right(prompt, "any working\n(25*3)-7")
        for wrong in ("25*3-7-7", "68", "25*3-6", "", "25*(3-7"):
            assert not countdown.is_right(prompt, wrong)
        assert countdown.is_formed(prompt, "7+3+25") and not countdown.is_right(prompt, "7+3+25")

    @pytest.mark.parametrize("task", TASKS)
    def test_answers_are_right_and_each_line_follows(self, task):
        for problem in draw_problems(task, Size(6, 25), 40, 0, held_out=False):
            name, rest = split_prompt(problem.prompt)
            *lines, last = problem.completion.split("\n")
            assert name == task and TASKS[task].is_right(rest, problem.completion)
            if task == "evaluate":
                assert all(value_of(line) == int(last) for line in lines)
            else:
                assert all(value_of(line.split("=")[0]) == int(line.split("=")[1].split(" ")[0]) for line in lines)

    @pytest.mark.parametrize("task", TASKS)
    def test_held_out_problems_have_other_numbers(self, task):
        size = Size(3, 9)
        sides = [draw_problems(task, size, 20, seed, held) for seed, held in ((0, False), (1, True))]
        keys = [{tuple(sorted(TASKS[task].numbers(split_prompt(one.prompt)[1]))) for one in side} for side in sides]
        assert not keys[0] & keys[1]
        assert all(len({one.prompt for one in side}) == 20 for side in sides)
        assert sides[0] == draw_problems(task, size, 20, 0, False) != draw_problems(task, size, 20, 1, False)

    def test_too_many_are_wanted(self):
        with pytest.raises(ValueError, match=r"`trained` must be at most the different problems of `tasks\.evaluate`"):
            draw_problems("evaluate", Size(2, 3), 100, 0, False)

    def test_no_value_is_out_of_bounds(self):
        """Large numbers leave no operation at times, and are drawn again."""
        for draw in (arithmetic.draw, countdown.draw):
            prompt, completion = draw(3, 700, Random(0))
            assert max(numbers_of(f"{prompt} {completion}")) <= 999

    def test_rewards(self):
        prompts = ["evaluate 2*3\n", "evaluate 2*3\n", "countdown 7 3 to 10\n"]
        assert is_right(prompts, ["6", "5", "7+3"]) == [1.0, 0.0, 1.0]
        assert is_formed(prompts, ["6", "5", "7+3+1"]) == [1.0, 1.0, 0.0]


class TestRows:
    def test_answers_and_their_ends_are_predicted(self):
        tokenizer = build_tokenizer()
        rows, predicted = rows_of(
            [Problem("evaluate", "evaluate 2*3\n", "6"), Problem("evaluate", "evaluate 20*3\n", "60")], 8, 6
        )
        assert tokenizer.decode(rows[0][~predicted[0]]) == "evaluate 2*3\n"
        assert tokenizer.decode(rows[1][predicted[1]], skip_special_tokens=True) == "60"
        assert (
            rows.shape == (2, 14)
            and (rows[0][7:] == tokenizer.eos_token_id).all()
            and predicted.sum(1).tolist() == [8, 7]
        )

    def test_texts_have_no_unknown_tokens(self):
        tokenizer = build_tokenizer()
        for task in TASKS:
            for problem in draw_problems(task, Size(5, 25), 20, 0, False):
                ids = tokenizer(problem.prompt + problem.completion).input_ids
                assert (
                    tokenizer.unk_token_id not in ids and tokenizer.decode(ids) == problem.prompt + problem.completion
                )

    def test_texts_that_do_not_fit(self):
        problem = Problem("evaluate", "evaluate 2*3\n", "6")
        for sizes, name, least in (((4, 6), "prompt_tokens", 6), ((8, 1), "canvas", 2)):
            with pytest.raises(ValueError, match=f"`{name}` must be at least {least}"):
                rows_of([problem], *sizes)


class TestRecipe:
    @pytest.mark.parametrize("config", [CONFIG, "recipes/reasoning/reasoning.yaml"])
    def test_rows_fill_steps_and_answers_fit(self, config):
        recipe = load_recipe(config, [])
        width = recipe.prompt_tokens + recipe.canvas
        assert recipe.training["tokens_per_step"] % width == 0
        for task, size in recipe.tasks.items():
            rows_of(draw_problems(task, Size(**size), 200, 0, False), recipe.prompt_tokens, recipe.canvas)

    def test_bad_input(self, tmp_path):
        for assignment, message in (
            ("likelihoods={exact: {}}", "`likelihoods` must be some of elbo, one_step, coupled, trace, but got exact"),
            ("tasks={sums: {numbers: 3, largest: 9}}", "`tasks` must be some of evaluate, countdown, but got sums"),
            ("tasks={evaluate: {numbers: 1, largest: 9}}", "`tasks.evaluate` must have at least 2 `numbers`"),
            ("reward.num_noise_samples=3", "`num_noise_samples` must be even"),
            ("measure.decoding={fast: {confidence_threshold: 7}}", "`confidence_threshold` must be"),
        ):
            with pytest.raises(ValueError, match=message):
                load_recipe(CONFIG, [assignment])
        with pytest.raises(ValueError, match="`data` must be a folder with problems, but there is no .*train.jsonl"):
            main(["train", "--config", CONFIG, "--data", str(tmp_path), "--output-dir", str(tmp_path / "run")])
        assert not (tmp_path / "run").exists()
        for command in (["reward"], ["measure"], ["collect", "--json", str(tmp_path / "results.json")]):
            with pytest.raises(ValueError, match=r"`--run` must be the folder of a run"):
                main([command[0], "--run", str(tmp_path), *command[1:]])


@pytest.fixture
def folder(tmp_path):
    """A run whose first model is trained."""
    options = ["--config", CONFIG, "--data", str(tmp_path / "data"), "--set", *TINY]
    main(["prepare", *options])
    common = ["train", *options, "--output-dir", str(tmp_path / "run"), "--device", "cpu"]
    main([*common, "--max-minutes", "1e-9"])
    with pytest.raises(ValueError, match="`output_dir` already has a run"):
        main(common)
    main([*common, "--resume"])
    return tmp_path / "run"


@pytest.mark.slow
def test_policies_are_trained_measured_and_collected(folder, tmp_path, capsys):
    """One goes on from its last checkpoint, as after a kill, beside the other one."""
    path = tmp_path / claim.RESULTS["measured"]
    main(["reward", "--run", str(folder), "--device", "cpu", "--model", "evaluate-elbo-1"])
    policy = folder / "evaluate-elbo-1"
    shutil.rmtree(policy / "final")
    shutil.rmtree(policy / "checkpoint-2")
    (policy / "log.json").unlink()
    capsys.readouterr()
    main(["reward", "--run", str(folder), "--device", "cpu", "--processes", "2", "--max-minutes", "30"])
    assert "2 of 2 policies are done" in capsys.readouterr().out
    main(["measure", "--run", str(folder), "--device", "cpu"])
    main(["collect", "--run", str(folder), "--json", str(path)])
    assert "with 2 of 2 policies" in capsys.readouterr().out
    found = json.loads(path.read_text())["tasks"]
    assert list(found) == ["evaluate", "countdown"]
    one = found["evaluate"]["elbo"]
    assert list(one["seeds"]) == ["1"] and [step for step, _ in one["curve"]] == [1, 2]
    assert one["ways"]["one pass"]["passes"] == 1
    section = Claim("claim_reasoning", tmp_path).section()
    assert "one step on Countdown was not measured" in section and "| evidence bound |" in section
    assert len(Claim("claim_reasoning", tmp_path).pictures()) == 2


def test_the_first_model_is_measured_on_all_tasks(folder, capsys):
    assert list(load_run(folder).runs()) == ["evaluate-elbo-1", "countdown-elbo-1"]
    main(["measure", "--run", str(folder), "--device", "cpu"])
    tasks = json.loads((folder / "base.json").read_text())["tasks"]
    assert list(tasks) == ["evaluate", "countdown"]
    assert tasks["evaluate"]["as rewarded"]["problems"] == 4 and tasks["evaluate"]["one pass"]["passes"] == 1
    with pytest.raises(ValueError, match="`--model` must be one of base, evaluate-elbo-1"):
        main(["measure", "--run", str(folder), "--model", "other"])


class TestClaim:
    @pytest.fixture
    def results(self):
        """Made-up results of two likelihoods."""
        value = lambda mean: {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}  # noqa: E731
        ways = lambda mean: {"as rewarded": {"right": value(mean), "passes": 4.0}}  # noqa: E731
        policy = lambda mean: {  # noqa: E731
            "seeds": {"1": {}, "2": {}}, "ways": ways(mean), "training_seconds": 100.0, "measuring_seconds": 3.0,
            "no_spread": 0.25, "curve": [[2, 0.3], [4, mean]],
        }  # fmt: skip
        recipe = {
            "expected": ["Arithmetic: alike"], "canvas": 192, "measure": {"decoding": {"as rewarded": {}}},
            "tasks": {"evaluate": {"numbers": 9}, "countdown": {"numbers": 7}},
            "reward": {"max_steps": 120, "per_device_train_batch_size": 64, "num_noise_samples": 4},
        }  # fmt: skip
        base = {
            "parameters": 14e6,
            "training_seconds": 240,
            "seconds": 20.0,
            "machine": {"name": "a GPU", "memory_gib": 80},
        }
        base["tasks"] = {"evaluate": ways(0.4), "countdown": ways(0.2)}
        tasks = {task: {"elbo": policy(0.6), "one_step": policy(0.5)} for task in ("evaluate", "countdown")}
        return {"measured": {"recipe": recipe, "base": base, "tasks": tasks}}

    def test_texts(self, results):
        said = claim.summary(results)
        assert (
            "Countdown: from 20.0 [19.0, 21.0]% of the answers to 60.0 [59.0, 61.0]% with the evidence bound" in said
        )
        text = claim.measured(results)
        assert "- Arithmetic: alike." in text
        assert "| evidence bound | 60.0 [59.0, 61.0] | 2 | 25 | 50 |" in text
        assert claim.paper(results) and "replayed order on arithmetic was not measured" in claim.differences(results)
        assert "4 min, a GPU" in str(claim.commands(results)[0])

    def test_the_plot_has_a_panel_for_each_task(self, results):
        for svg in draw_themes(claim.PLOTS[0], results).values():
            assert all(text in svg for text in ("arithmetic", "Countdown", "evidence bound<"))

    def test_few_seeds_have_wide_intervals(self):
        """By the t distribution with two degrees of freedom, 4.303 standard errors."""
        found = t_interval([0.5, 0.6, 0.7])
        assert found["mean"] == 0.6 and found["high"] == pytest.approx(0.6 + 4.3027 * 0.1 / 3**0.5, abs=1e-4)
        assert t_interval([0.5]) == {"mean": 0.5, "low": 0.5, "high": 0.5}
