# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada eval reversal`: a tiny random LLaDA and a tiny random twin, on pairs of a file."""

import json
from types import SimpleNamespace

import pytest
from support.tiny_poet import PAIRS, SHIPPED_CHECKPOINT

from llada_cli import eval_reversal
from modeling_llada import writing
from modeling_llada.evaluation.reversal import read_pairs
from modeling_llada.evaluation.reversal_models import LLaDALines
from recipes.poems.couplets import famous_couplets


@pytest.fixture(autouse=True)
def defaults(tiny_poet_by_default):
    """The tiny poet is the LLaDA model of all tests."""


@pytest.fixture
def pairs_file(tmp_path):
    return write(tmp_path / "pairs.json", PAIRS)


@pytest.fixture
def candidates_file(tmp_path):
    return write(
        tmp_path / "candidates.json",
        [
            {
                "first": "床前明月光",
                "second": "疑是地上霜",
                "first_distractors": ["春眠不觉晓", "白日依山尽"],
                "second_distractors": ["处处闻啼鸟", "黄河入海流"],
            }
        ],
    )


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return path


@pytest.fixture
def command():
    return ("eval", "reversal")


@pytest.fixture
def eval_reversal_command(llada):
    """Runs the command, which must succeed, and returns stdout."""
    return lambda *arguments: llada(*arguments).out


class TestRun:
    def test_both_models_are_asked_and_ranked(
        self, eval_reversal_command, pairs_file, candidates_file, twin_folder, tmp_path
    ):
        output = tmp_path / "results.json"
        files = ("--pairs", pairs_file, "--candidates", candidates_file, "--twin", twin_folder, "--output", output)
        out = eval_reversal_command(*files)
        for words in ("question previous (2)", "infill next (2)", "continuation next (2)", "text previous (1)"):
            assert words in out
        assert "GPT-4o (2024-08-06) 82.7 and 34.3" in out and "Table 4" in out
        report = json.loads(output.read_text(encoding="utf-8"))
        assert report["settings"]["max_new_tokens"] == 6  # the longest line and EOS
        assert set(report["answers"]) == {"llada", "twin"}
        assert set(report["answers"]["twin"]) == {"question next", "question previous", "continuation next"}
        for ranks in report["summary"]["twin"]["ranks"].values():
            assert ranks["candidates"] == 3 and 1 <= ranks["mean_rank"]["mean"] <= 3
        assert not list(tmp_path.glob("*.part"))

    def test_json_is_the_summary(self, eval_reversal_command, pairs_file):
        summary = json.loads(eval_reversal_command("--pairs", pairs_file, "--limit", 1, "--json"))
        assert summary["llada"]["answers"]["infill previous"]["pairs"] == 1
        assert "ranks" not in summary["llada"] and "twin" not in summary

    def test_the_same_command_goes_on(self, eval_reversal_command, pairs_file, tmp_path, monkeypatch):
        asked = []
        answer = LLaDALines.answer
        monkeypatch.setattr(
            LLaDALines,
            "answer",
            lambda lines, form, direction, pairs: asked.append(len(pairs)) or answer(lines, form, direction, pairs),
        )
        output = tmp_path / "results.json"
        command = ("--pairs", pairs_file, "--output", output)
        eval_reversal_command(*command, "--limit", 1)
        eval_reversal_command(*command, "--batch-size", 1)
        assert asked == [1] * 4 + [1] * 4
        resumed = json.loads(output.read_text(encoding="utf-8"))
        output.unlink()
        eval_reversal_command(*command)
        whole = json.loads(output.read_text(encoding="utf-8"))
        assert resumed["answers"] == whole["answers"] and resumed["summary"] == whole["summary"]

    def test_questions_are_as_the_templates_say(self, eval_reversal_command, pairs_file, tmp_path):
        output = tmp_path / "results.json"
        words = {"next": "{line}，下一句：", "document": "{first}；{second}！"}
        options = [text for name, value in words.items() for text in (f"--template-{name}", value)]
        eval_reversal_command("--pairs", pairs_file, *options, "--max-new-tokens", 9, "--output", output)
        settings = json.loads(output.read_text(encoding="utf-8"))["settings"]
        assert settings["max_new_tokens"] == 9
        assert settings["templates"] == words | {"previous": "{line}的上一句是什么？"}

    def test_without_pairs_there_are_those_of_the_checkpoint(self, eval_reversal_command, pairs_file):
        assert eval_reversal_command("--json") == eval_reversal_command("--json", "--pairs", pairs_file)

    def test_the_shipped_pairs_are_the_famous_couplets(self):
        assert read_pairs(SHIPPED_CHECKPOINT / "pairs.json") == famous_couplets()


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--limit", "0"], "`--limit` must be at least 1"),
            (["--batch-size", "0"], "`--batch-size` must be at least 1"),
            (["--num-samples", "3"], "`--num-samples` must be even"),
            (["--temperature", "1"], "`--temperature`"),
            (["--seed", "-1"], "`--seed` must be"),
            (["--output", "no-such-folder/results.json"], "`--output` names a file in a folder that does not exist"),
            (["--pairs", "no-such-file.json"], "`--pairs`: no-such-file.json must be a JSON file"),
            (["--candidates", "no-such-file.json"], "`--candidates`: no-such-file.json must be a JSON file"),
            (["--template-next", "下一句？"], "`--template`: `next` must contain {line}"),
            (["--steps", "0"], "`steps`"),
            (["--twin", "no-such-folder/twin"], "`--twin`: cannot load"),
        ],
    )
    def test_an_argument_is_wrong(self, fail, arguments, message):
        assert message in fail(*arguments)

    def test_the_twin_is_a_llada(self, fail, poet_folder):
        assert "`--twin` must be an autoregressive model" in fail("--twin", poet_folder)

    def test_the_file_is_of_another_run(self, fail, eval_reversal_command, pairs_file, tmp_path):
        output = tmp_path / "results.json"
        command = ("--pairs", pairs_file, "--limit", 1, "--output", output)
        eval_reversal_command(*command)
        assert "belongs to a run with another max_new_tokens" in fail(*command, "--max-new-tokens", 12)
        output.write_text("[]", encoding="utf-8")
        assert "holds no results of this command" in fail(*command)

    def test_the_ranks_are_among_other_lines(self, fail, eval_reversal_command, pairs_file, candidates_file, tmp_path):
        command = ("--pairs", pairs_file, "--candidates", candidates_file, "--output", tmp_path / "results.json")
        eval_reversal_command(*command)
        eval_reversal_command(*command)
        [entry] = json.loads(candidates_file.read_text(encoding="utf-8"))
        write(candidates_file, [entry | {"first_distractors": ["黄河入海流", "白日依山尽"]}])
        assert "belongs to a run with another candidates" in fail(*command)

    def test_a_checkpoint_without_pairs(self, fail, monkeypatch, tmp_path):
        monkeypatch.setenv("LLADA_MODEL", str(tmp_path))
        assert "has no pairs.json. Give a JSON list" in fail()


def test_results_are_written_while_the_work_goes_on(monkeypatch, eval_reversal_command, pairs_file, tmp_path):
    written = []
    monkeypatch.setattr(eval_reversal, "SAVE_EVERY", -1)
    monkeypatch.setattr(writing, "write_atomically", lambda path, text: written.append(json.loads(text)))
    eval_reversal_command("--pairs", pairs_file, "--batch-size", 1, "--output", tmp_path / "results.json")
    counts = [sum(map(len, results["answers"]["llada"].values())) for results in written]
    assert counts == [*range(1, 9), 8]
    assert "summary" in written[-1] and "summary" not in written[0]


@pytest.mark.parametrize(("question", "infill", "is_said"), [(0.0, 0.9, True), (0.5, 0.9, False), (0.0, 0.0, False)])
def test_a_model_that_knows_no_questions_is_not_blamed(capsys, question, infill, is_said):
    answers = {
        f"{form} next": {"contains": {"mean": mean}} for form, mean in (("question", question), ("infill", infill))
    }
    eval_reversal.note_unknown_questions(
        {"published": {}, "llada": {"answers": answers}}, SimpleNamespace(chat_template=False)
    )
    assert ("answers no question" in capsys.readouterr().err) == is_said
