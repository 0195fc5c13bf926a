# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada eval lm`: a tiny random model with the name of a published checkpoint, on a local task."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.golden_v import FOLDER

from modeling_llada.serving import BatchedDecoder


TASKS = Path(__file__).parents[1] / "evaluation" / "harness_tasks"
LENGTH = ("--max-new-tokens", "8", "--steps", "8", "--block-length", "8")


@pytest.fixture
def command():
    return ("eval", "lm")


@pytest.fixture
def eval_lm(llada):
    """Runs the command, which must succeed, and returns stdout."""
    return lambda *arguments: llada(*arguments).out


@pytest.fixture(scope="module")
def instruct(poet_folder, tmp_path_factory):
    """The tiny poet under the name of a published checkpoint."""
    return shutil.copytree(poet_folder, tmp_path_factory.mktemp("models") / "LLaDA-8B-Instruct")


@pytest.fixture(scope="module")
def task_folder(tmp_path_factory):
    """A task with the name and the metric of a published one."""
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not part of this environment")
    folder = shutil.copytree(TASKS, tmp_path_factory.mktemp("tasks") / "tasks")
    task = (folder / "poet_next_line.yaml").read_text(encoding="utf-8").replace("task: poet_next_line", "task: gsm8k")
    task += "filter_list:\n  - name: flexible-extract\n    filter:\n      - function: take_first\n"
    (folder / "gsm8k.yaml").write_text(task, encoding="utf-8")
    return folder


@pytest.fixture
def prompts(monkeypatch):
    """The prompts that reach the model."""
    from modeling_llada.evaluation import LLaDAHarnessLM

    seen = []
    generate = LLaDAHarnessLM.generate_until
    monkeypatch.setattr(
        LLaDAHarnessLM,
        "generate_until",
        lambda lm, requests, **rest: seen.extend(one.args[0] for one in requests) or generate(lm, requests, **rest),
    )
    return seen


def with_line(task_folder, tmp_path, line):
    """A copy of the tasks with one more line in gsm8k."""
    folder = shutil.copytree(task_folder, tmp_path / "tasks")
    with (folder / "gsm8k.yaml").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    return folder


class TestList:
    def test_it_shows_settings_scores_and_gaps(self, eval_lm):
        out = eval_lm("--list")
        [line] = [
            line for line in out.splitlines() if "LLaDA-8B-Instruct" in line and "gsm8k" in line and "512" in line
        ]
        assert "confidence_eos_eot_inf=True" in line and "69.4 (internal toolkit), 68.8 (OpenCompass)" in line
        assert line.split()[3:5] == ["gsm8k", "4"], "task and examples"
        assert "subset=?" in out and "(paper: num_fewshot=4)" in out
        assert "LLaDA-8B-Base: no published score found for MMLU-Pro, IFEval" in out
        assert "EVAL.md of the official repository" in out and "arXiv:2502.09992v3" in out


class TestRun:
    def test_the_published_score_stands_beside_the_measured_one(self, eval_lm, instruct, task_folder, tmp_path):
        output = tmp_path / "results.json"
        task = ("--model", instruct, "--task", "gsm8k", "--include-path", task_folder, "--limit", 2)
        out = eval_lm(*task, *LENGTH, "--output", output)
        assert "published 69.4 (internal toolkit), 68.8 (OpenCompass), measured 0.0 ± 0.0, in percent" in out
        assert "changed: block_length, max_new_tokens, steps" in out and "this is not a score" in out
        assert "examples in a prompt: 4\n" in out
        report = json.loads(output.read_text())
        assert report["published"]["scores"] == {"internal toolkit": 69.4, "OpenCompass": 68.8}
        assert report["published"]["measured"] == 0.0
        assert report["options"]["confidence_eos_eot_inf"] is True and report["options"]["max_new_tokens"] == 8
        assert report["chat_template"] is True
        assert report["num_fewshot"] == {"gsm8k": 4} and report["published"]["num_fewshot"] == 4
        assert report["questions"] == {"gsm8k": {"original": 8, "effective": 2}}
        assert [path.name for path in tmp_path.iterdir()] != [] and not list(tmp_path.glob("*.part"))

    def test_the_same_command_resumes_and_another_option_does_not(
        self, eval_lm, instruct, task_folder, tmp_path, monkeypatch
    ):
        decoded, generate = [], BatchedDecoder.generate

        def counting(decoder, calls, **options):
            calls = list(calls)
            decoded.append(len(calls))
            return generate(decoder, calls, **options)

        monkeypatch.setattr(BatchedDecoder, "generate", counting)
        output = tmp_path / "results.json"
        task = ("--model", instruct, "--task", "gsm8k", "--include-path", task_folder, "--output", output)
        eval_lm(*task, *LENGTH, "--limit", 2)
        first = json.loads(output.read_text())
        eval_lm(*task, *LENGTH, "--limit", 2, "--batch-size", 1)
        second = json.loads(output.read_text())
        assert decoded == [2] and first["measured"] == second["measured"]
        eval_lm(*task, *LENGTH, "--limit", 3)
        assert decoded == [2, 1]
        eval_lm(*task, *LENGTH, "--limit", 2, "--cfg-scale", "1.0")
        assert decoded == [2, 1, 2]

    @pytest.mark.parametrize(("given", "shots"), [((), 4), (("--num-fewshot", 2), 2), (("--num-fewshot", 0), 0)])
    def test_the_published_number_of_examples_reaches_the_prompts(
        self, eval_lm, instruct, task_folder, tmp_path, prompts, given, shots
    ):
        output = tmp_path / "results.json"
        task = ("--model", instruct, "--task", "gsm8k", "--include-path", task_folder, "--limit", 2)
        eval_lm(*task, *LENGTH, *given, "--no-chat-template", "--output", output)
        assert [prompt.count("\n\n") for prompt in prompts] == [shots, shots]
        report = json.loads(output.read_text())
        assert report["num_fewshot"] == {"gsm8k": shots}
        assert ("num_fewshot" in report["published"]["changed"]) is (shots != 4)

    def test_in_a_chat_examples_are_turns(self, eval_lm, instruct, task_folder, prompts):
        eval_lm(*("--model", instruct, "--task", "gsm8k", "--include-path", task_folder, "--limit", 1), *LENGTH)
        [prompt] = prompts
        *turns, question = prompt.split("<|endoftext|><|startoftext|>")  # the separators of the poet's chat template
        assert len(turns) == 4 and all(len(turn.split("，")) == 2 and turn[-1] != "，" for turn in turns)
        assert question == "床前明月光，"

    def test_a_task_that_fixes_its_number_of_examples(self, eval_lm, instruct, task_folder, tmp_path):
        folder = with_line(task_folder, tmp_path, "num_fewshot: 0")
        task = ("--model", instruct, "--task", "gsm8k", "--include-path", folder, "--limit", 1)
        out = eval_lm(*task, *LENGTH)
        assert "examples in a prompt: 0 (not 4: the task has its own number)" in out
        assert "changed: block_length, max_new_tokens, num_fewshot, steps" in out

    def test_hellaswag_is_asked_for_a_letter(self, poet_folder, tmp_path):
        """The harness does not have this published task. The data has two rows in the layout of the data set."""
        tasks = pytest.importorskip("lm_eval.tasks")
        from modeling_llada.evaluation.published_settings import TASKS_FOLDER

        endings = ["falls.", "[substeps] sings a  song.", "melts.", "is a car."]
        row = {"activity_label": "Singing", "ctx": "A man [title] A woman", "endings": endings, "label": "1"}
        (tmp_path / "rows.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps(row | {'label': '3'})}\n")
        text = (TASKS_FOLDER / "hellaswag_generative.yaml").read_text(encoding="utf-8")
        data = f"dataset_path: json\ndataset_kwargs:\n  data_files:\n    validation: {tmp_path / 'rows.jsonl'}\n"
        text = text.replace("dataset_path: Rowan/hellaswag\n", data)
        text = text.replace("training_split: train\n", "").replace("fewshot_split: train", "fewshot_split: validation")
        (tmp_path / "hellaswag_generative.yaml").write_text(text, encoding="utf-8")
        manager = tasks.TaskManager(include_path=str(tmp_path), include_defaults=False)
        task = manager.load(["hellaswag_generative"])["tasks"]["hellaswag_generative"]
        rows = list(task.validation_docs())
        assert [task.doc_to_target(row) for row in rows] == ["B", "D"]
        assert task.doc_to_text(rows[0]) == (
            "Singing: A man. A woman\nWhich ending is the most sensible?\nA. falls.\nB. sings a song.\nC. melts.\n"
            "D. is a car.\nAnswer with the letter.\nAnswer:"
        )

    def test_a_task_without_published_score(self, eval_lm, poet_folder, task_folder):
        out = eval_lm(
            *("--model", poet_folder, "--task", "poet_next_line_choice", "--include-path", task_folder),
            *("--num-samples", 2, "--no-check-greedy", "--limit", 2),
        )
        assert "acc,none" in out and "no published score of" in out


class TestImages:
    """The golden checkpoint of LLaDA-V under its published name, with the ids of its own vocabulary."""

    @pytest.fixture(scope="class")
    @staticmethod
    def llada_v(tmp_path_factory):
        return shutil.copytree(FOLDER, tmp_path_factory.mktemp("models") / "LLaDA-V")

    @pytest.fixture(autouse=True)
    def own_ids(self, monkeypatch):
        from modeling_llada.evaluation import published_settings

        def read(document, read_settings=published_settings.read_settings):
            settings, gaps = read_settings(document)
            ids = {"eos_token_id": 302, "suppress_tokens": [300, 301, 303, 304]}
            return [
                replace(one, options=one.options | {key: ids[key] for key in ids if key in one.options})
                for one in settings
            ], gaps

        monkeypatch.setattr(published_settings, "read_settings", read)

    def test_a_task_with_pictures_runs_in_its_published_setting(
        self, eval_lm, llada_v, task_folder, tmp_path, prompts
    ):
        folder = shutil.copytree(task_folder, tmp_path / "tasks")
        text = (folder / "picture_color.yaml").read_text(encoding="utf-8")
        (folder / "docvqa_val.yaml").write_text(text.replace("task: picture_color", "task: docvqa_val"))
        output = tmp_path / "results.json"
        task = ("--model", llada_v, "--task", "docvqa_val", "--include-path", folder, "--limit", 2)
        out = eval_lm(*task, "--output", output)
        assert "published nowhere, measured nothing" in out and "exact_match,none" in out
        report = json.loads(output.read_text())
        assert report["options"]["max_new_tokens"] == 32 and report["options"]["steps"] == 16
        assert report["published"]["changed"] == [] and report["chat_template"] is True
        assert all(prompt.count("<image>\nWhat color is it? /no_think<|eot_id|>") == 1 for prompt in prompts)
        assert len(prompts) == 2
        eval_lm(*task, "--output", output)
        assert len(prompts) == 2, "the answers were kept"

    def test_a_task_of_text_runs_too(self, eval_lm, llada_v, task_folder):
        task = ("--model", llada_v, "--task", "poet_next_line_choice", "--include-path", task_folder)
        assert "acc,none" in eval_lm(*task, "--num-samples", 2, "--no-check-greedy", "--limit", 1)

    def test_choices_are_scored(self, eval_lm, llada_v, task_folder):
        task = ("--model", llada_v, "--task", "picture_choice", "--include-path", task_folder)
        out = eval_lm(*task, "--num-samples", 2, "--limit", 2, "--chat-template", "--prompt-suffix", " /think")
        assert "acc,none" in out

    def test_a_task_that_the_harness_does_not_have(self, fail, llada_v):
        message = fail("--model", llada_v, "--task", "docvqa_val")
        assert "docvqa_val is a task of lmms-eval" in message and "`--include-path`" in message

    def test_a_checkpoint_of_text(self, fail, poet_folder, task_folder):
        task = ("--model", poet_folder, "--task", "picture_color", "--include-path", task_folder)
        assert "picture_color has images, and this checkpoint reads text alone" in fail(*task, *LENGTH)

    def test_chartqa_asks_for_a_short_answer(self, tmp_path):
        """The harness has ChartQA with reasoning. The data has rows in the layout of the data set."""
        tasks = pytest.importorskip("lm_eval.tasks")
        from modeling_llada.evaluation.published_settings import TASKS_FOLDER

        rows = [{"query": "How many?", "label": ["12"]}, {"query": "Which?", "label": ["Peru"]}]
        (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
        text = (TASKS_FOLDER / "chartqa_short.yaml").read_text(encoding="utf-8")
        data = f"dataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {tmp_path / 'rows.jsonl'}\n"
        text = text.replace("dataset_path: HuggingFaceM4/ChartQA\n", data)
        (tmp_path / "chartqa_short.yaml").write_text(text, encoding="utf-8")
        manager = tasks.TaskManager(include_path=str(tmp_path), include_defaults=False)
        task = manager.load(["chartqa_short"])["tasks"]["chartqa_short"]
        number, name = task.test_docs()
        assert task.doc_to_text(number) == "<image>How many?\nAnswer the question using a single word or phrase."
        scores = [
            task.process_results(doc, [answer])["relaxed_accuracy"]
            for doc, answer in ((number, "12.5"), (number, "13"), (name, "peru."), (name, "Chile"), (name, ""))
        ]
        assert scores == [1.0, 0.0, 1.0, 0.0, 0.0]


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--limit", "0"], "`--limit` must be at least 1"),
            (["--num-fewshot", "-1"], "`--num-fewshot` must be at least 0"),
            (["--include-path", "no-such-folder"], "`--include-path` must be a folder"),
            (["--output", "no-such-folder/results.json"], "`--output` names a file in a folder that does not exist"),
            (["--seed", "-1"], "`--seed` must be"),
        ],
    )
    def test_an_argument_is_wrong(self, fail, arguments, message):
        assert message in fail("--task", "gsm8k", *arguments)

    def test_a_task_is_needed(self, fail):
        assert "--list --task is required" in fail()

    def test_the_setting_was_not_published(self, fail, instruct, task_folder):
        task = ("--model", instruct, "--include-path", task_folder)
        assert "must be one of length-512, blocks" in fail(*task, "--task", "gsm8k", "--setting", "block")
        assert "no setting was published" in fail(*task, "--task", "poet_next_line", "--setting", "block")

    @pytest.mark.parametrize("sampler", ["first_n", "default"])
    def test_the_task_has_fewer_examples(self, fail, instruct, task_folder, tmp_path, sampler):
        folder = with_line(task_folder, tmp_path, f"fewshot_config: {{sampler: {sampler}}}")
        task = ("--model", instruct, "--task", "gsm8k", "--include-path", folder, "--limit", 1)
        message = fail(*task, *LENGTH, "--num-fewshot", 9)
        assert "`--num-fewshot`: gsm8k does not have 9 examples for a prompt. Use fewer." in message

    def test_a_task_is_mistyped(self, fail, poet_folder, task_folder, monkeypatch):
        import lm_eval.tasks

        everything = lm_eval.tasks.TaskManager  # it takes a minute to read all tasks of the harness
        monkeypatch.setattr(
            lm_eval.tasks, "TaskManager", lambda **options: everything(**(options | {"include_defaults": False}))
        )
        message = fail("--model", poet_folder, "--task", "poet_next_lime", "--include-path", task_folder)
        assert "no task 'poet_next_lime', but it has poet_next_line" in message

    def test_code_is_not_run_unasked(self, fail, poet_folder, task_folder, tmp_path):
        folder = shutil.copytree(task_folder, tmp_path / "tasks")
        task = folder / "poet_next_line.yaml"
        task.write_text(task.read_text(encoding="utf-8") + "unsafe_code: true\n", encoding="utf-8")
        message = fail("--model", poet_folder, "--task", "poet_next_line", "--include-path", folder)
        assert "`--allow-code-execution`" in message

    def test_the_harness_is_not_installed(self, fail, poet_folder, monkeypatch):
        monkeypatch.setitem(sys.modules, "lm_eval", None)
        message = fail("--model", poet_folder, "--task", "gsm8k")
        assert "pip install -e '.[eval]'" in message
