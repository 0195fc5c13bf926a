# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The shipped LLaDA-V: it loads without the Hub, answers questions about its samples, and its card tells what was measured."""

import json
import re
from pathlib import Path

import pytest
from transformers import AutoModelForImageTextToText, AutoProcessor

import modeling_llada  # noqa: F401  registers the classes
from recipes.vision.checks import is_right
from recipes.vision.samples import PICTURES, STYLES
from recipes.vision.scores import TASKS, results_table, seconds_section, studies_table, verdict


REPO = Path(__file__).parents[2]
FOLDER = REPO / "checkpoints" / "llada-v-tiny"


@pytest.fixture(scope="module")
def parts():
    """The model in float32 and its processor. Nothing is missing, and nothing is left over."""
    model, report = AutoModelForImageTextToText.from_pretrained(FOLDER, dtype="float32", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    return model.eval(), AutoProcessor.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def samples():
    return json.loads((FOLDER / "samples/samples.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def evaluation():
    return json.loads((FOLDER / "evaluation.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def card():
    return (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("label", ["an emoji", "a sum in print"])
def test_it_answers_about_its_samples(parts, samples, label):
    """With the settings of the folder, to the first question: each of them was right when the samples were drawn."""
    model, processor = parts
    sample = next(one for one in samples["pictures"] if one["label"] == label)
    question = sample["questions"][0]
    content = [
        {"type": "image", "image": str(FOLDER / "samples" / sample["file"])},
        {"type": "text", "text": question["prompt"] + STYLES[question["style"]]},
    ]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    output = model.generate(**inputs)
    answer = processor.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert is_right("two-step", answer, question["answer"]), answer


def test_the_snippet_of_the_card_runs(card, capsys, monkeypatch, tmp_path):
    """In a folder where its picture is."""
    (tmp_path / "picture.png").symlink_to(FOLDER / "samples/0.png")
    (tmp_path / "checkpoints").symlink_to(FOLDER.parent)
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r"^```python\n(.*?)^```$", card, re.M | re.S)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_the_card_has_the_numbers_of_the_evaluation(card, evaluation):
    assert set(TASKS) <= set(evaluation["scores"])
    assert results_table(evaluation["scores"]) in card and verdict(evaluation["scores"]) in card
    assert seconds_section(evaluation["timings"]) in card
    assert not evaluation["studies"] or studies_table(evaluation["studies"]) in card


def test_the_page_has_the_same_numbers(evaluation):
    results = REPO / "evidence/results/vision.json"
    if not results.is_file():
        pytest.skip("the short runs of the page are not measured yet")
    collected = json.loads(results.read_text(encoding="utf-8"))
    assert collected["model"]["scores"].items() <= evaluation["scores"].items()
    assert all(collected[name] == evaluation[name] for name in ("timings", "studies"))


def test_there_is_a_sample_of_each_kind(samples):
    assert [one["label"] for one in samples["pictures"]] == list(PICTURES)


def test_it_names_no_code_that_the_folder_does_not_have():
    for name in ("config.json", "processor_config.json", "tokenizer_config.json"):
        assert "auto_map" not in (FOLDER / name).read_text(encoding="utf-8")
    assert not list(FOLDER.glob("*.py"))
