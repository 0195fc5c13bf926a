# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""evidence/quality, on a few prompts."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.tiny_poet import SHIPPED_CHECKPOINT, save_tiny_poet
from transformers import AutoTokenizer

import evidence.quality.__main__ as quality
from benchmarks.shapes import NOT_INSTALLED, Unavailable
from evidence.quality.answers import Examiner, agreement, ends_there
from evidence.quality.page import draft_pairs, render
from evidence.quality.plot import PLOT
from evidence.quality.settings import (
    CACHES,
    DRAFT_RULES,
    RULES,
    Setting,
    further_settings_of,
    quantized_settings_of,
    settings_of,
)
from evidence.quality.statistics import Comparison, statistics_of
from evidence.quality.tasks import TASKS, questions_of
from evidence.quality.weights import weights_section
from modeling_llada import LLaDAForMaskedLM
from reporting.plots import draw_svg


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tiny_poet(tmp_path_factory):
    return str(save_tiny_poet(tmp_path_factory.mktemp("checkpoint")))


def measure(folder, *options: str) -> dict:
    quality.main(["--json", str(folder / "quality.json"), *options])
    return json.loads((folder / "quality.json").read_text(encoding="utf-8"))["results"]


def test_the_shipped_checkpoint_keeps_what_it_knows(tmp_path):
    results = measure(tmp_path, "--tasks", "line", "--only", "threshold 0.9 | dual", "--limit", "4")
    baseline, parallel = results.values()
    assert baseline["hits"] == parallel["hits"] == "1111"
    assert baseline["forward_passes"] == baseline["tokens"] > 3 * parallel["forward_passes"]


def test_a_finished_setting_is_not_run_again(tmp_path, tiny_poet, monkeypatch):
    options = ("--model", tiny_poet, "--tasks", "couplet", "--only", "factor 1.0", "--limit", "3")
    first = measure(tmp_path, *options)
    assert len(first) == 3  # the baseline, and the rule without and with a cache
    monkeypatch.setattr(Examiner, "ask", lambda *_: pytest.fail("it was run again"))
    assert measure(tmp_path, *options) == first


def test_a_file_of_other_prompts_is_not_continued(tmp_path, tiny_poet):
    options = ("--model", tiny_poet, "--tasks", "line", "--only", "no such setting")
    measure(tmp_path, *options, "--limit", "2")
    with pytest.raises(SystemExit, match="`--json` must name a file of the same run"):
        measure(tmp_path, *options, "--limit", "3")


def test_a_question_does_not_depend_on_its_batch(tmp_path, tiny_poet):
    options = ("--model", tiny_poet, "--tasks", "poem", "--only", "random | no cache", "--limit", "5")
    (tmp_path / "other").mkdir()
    assert measure(tmp_path, *options) == measure(tmp_path / "other", *options, "--batch-size", "2")


@pytest.mark.parametrize("task", TASKS)
def test_questions_have_one_answer(task):
    questions = questions_of(task, limit=50, seed=1)
    assert len(questions) == 50 == len({question.prompt + question.answer for question in questions})
    assert questions == questions_of(task, limit=50, seed=1) != questions_of(task, limit=50, seed=2)
    assert all(question.answer.endswith(("。", "？", "！", "；")) for question in questions)


def test_every_rule_meets_every_cache():
    settings = settings_of("poem")
    usual = {(one.rule.label, one.cache) for one in settings if one.block_length == 6 and one.rule.base is None}
    assert usual == {(rule.label, cache) for rule in RULES for cache in CACHES}
    for task in TASKS:
        settings = settings_of(task) + further_settings_of(task)
        assert len({setting.key for setting in settings}) == len(settings), "no setting is measured twice"


def test_a_longer_answer_has_to_end():
    completions = torch.tensor([[5, 6, 0, 0], [5, 6, 7, 0], [5, 6, 0, 9]])
    assert ends_there(completions, 2, eos_token_id=0).tolist() == [True, False, True]
    assert ends_there(completions, 4, eos_token_id=0).all(), "the canvas ends there"


def test_a_longer_canvas(tmp_path, tiny_poet):
    results = measure(
        tmp_path, "--model", tiny_poet, "--tasks", "poem", "--only", "block 6 | 2 extra tokens", "--limit", "2"
    )
    longer = results["poem | one token a step | no cache | block 6 | 2 extra tokens"]
    assert longer["forward_passes"] == longer["tokens"] + 2


def test_intervals_are_in_the_file(tmp_path, tiny_poet):
    """Of each result against its baseline; also of results that were there before."""
    options = ("--model", tiny_poet, "--tasks", "couplet", "--only", "factor 1.0", "--limit", "3")
    results = measure(tmp_path, *options)
    path = tmp_path / "quality.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    assert set(values["statistics"]) == set(results)
    baseline = results["couplet | one token a step | no cache | block one"]
    for key, result in results.items():
        assert values["statistics"][key] == statistics_of(result, baseline)
    path.write_text(json.dumps(values | {"statistics": {}}), encoding="utf-8")
    measure(tmp_path, *options)
    assert json.loads(path.read_text(encoding="utf-8"))["statistics"] == values["statistics"]


def test_statistics_of_hits():
    found = statistics_of(
        {"hits": "11" * 40 + "00" * 10, "forward_passes": 1.0}, {"hits": "1" * 100, "forward_passes": 2.0}
    )
    mean, low, high = found["exact_match"]
    assert mean == 80.0 and 68 < low < 76 and 84 < high < 92
    assert found["difference"] == [-20.0, round(low - 100, 2), round(high - 100, 2)]


def test_comparison_is_paired():
    """Two settings that miss the same prompts do not differ, however many those are."""
    hits = "10" * 50
    assert statistics_of({"hits": hits}, {"hits": hits})["difference"] == [0.0, 0.0, 0.0]
    mean, low, high = statistics_of({"hits": "0" * 20 + hits[20:]}, {"hits": hits})["difference"]
    assert low < mean == -10.0 < high < 0.0
    with pytest.raises(ValueError, match="`result` must have the 100 prompts"):
        statistics_of({"hits": "1"}, {"hits": hits})


def test_comparison_in_words():
    setting = next(one for one in settings_of("line") if one.rule.label == "threshold 0.9")
    passes = {setting.key: {"forward_passes": 2.0}, setting.baseline.key: {"forward_passes": 6.0}}
    values = {"results": passes, "statistics": {setting.key: {"difference": [-1.96, -3.14, -0.02]}}}
    worse = Comparison.of(setting, values)
    assert (str(worse), worse.speedup, worse.is_equal) == ("-2.0 [-3.1, 0.0]", 3.0, False)
    values["statistics"][setting.key]["difference"][2] = 0.4
    assert str(Comparison.of(setting, values)) == "**-2.0 [-3.1, +0.4]**"
    assert Comparison.of(replace(setting, cache="dual"), values) is None, "it was not run"


def test_quantized_weights_are_paired_with_plain_ones(tmp_path, tiny_poet, monkeypatch):
    pytest.importorskip("torchao")
    options = ("--model", tiny_poet, "--tasks", "couplet", "--limit", "6", "--weights", "int8")
    results = measure(tmp_path, *options)
    plain = [key for key in results if not key.endswith("| int8")]
    assert {f"{key} | int8" for key in plain} == {one.key for one in quantized_settings_of("couplet", "int8")}
    assert len(results) == 2 * len(plain) == 8
    assert set(plain) < {setting.key for setting in settings_of("couplet")}, "the keys that plain settings always had"
    for key in plain:
        own = results[f"{key} | int8"]
        assert set(own) - set(results[key]) == {"same_answers", "same_characters"}
        assert 0.0 < own["same_answers"] <= own["same_characters"] <= 1.0

    (tmp_path / "plain").mkdir()
    only = ("--model", tiny_poet, "--tasks", "couplet", "--limit", "6", "--only", "threshold 0.9 | dual")
    alone = measure(tmp_path / "plain", *only)
    assert alone.items() <= results.items(), "what is plain is not changed by what is quantized beside it"

    monkeypatch.setattr(Examiner, "ask", lambda *_: pytest.fail("it was run again"))
    assert measure(tmp_path, *options) == results


def test_a_file_of_another_machine_is_not_continued_with_quantized_weights(tmp_path, tiny_poet):
    pytest.importorskip("torchao")
    options = ("--model", tiny_poet, "--tasks", "line", "--limit", "2")
    measure(tmp_path, *options, "--only", "no such setting")
    path = tmp_path / "quality.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    next(iter(values["results"].values()))["characters"] = 0.123
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(SystemExit, match="has another result for 'line | one token a step"):
        measure(tmp_path, *options, "--weights", "int8")


def test_a_kind_without_a_kernel_is_rounded_or_said(tmp_path, tiny_poet, monkeypatch):
    """Where `quantize` refuses a kind the weights are rounded to it; where that fails too, the page says why."""

    def refuse(model, kind, configs):
        if configs is quality.QUANTIZATIONS or kind == "fp8":
            raise Unavailable(f"no kernel for {kind}")
        return "RoundingConfig"

    monkeypatch.setattr(quality, "quantize", refuse)
    results = measure(
        tmp_path, "--model", tiny_poet, "--tasks", "line", "--limit", "2", "--weights", "int8", "int4", "fp8"
    )
    assert {key.split(" | ")[-1] for key in results} == {"block one", "int4"}
    page = weights_section(json.loads((tmp_path / "quality.json").read_text(encoding="utf-8")))
    assert "- int8: not run. no kernel for int8" in page, "it has no other config"
    assert "- int4: `RoundingConfig`, multiplied as floats, because no kernel for int4" in page
    assert "- fp8: not run. no kernel for fp8" in page
    assert "| line, threshold 0.9, dual |" in page and "100.0% | 100.0% |" in page, "nothing was rounded here"


def test_without_torchao_the_page_says_so(tmp_path, tiny_poet, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao", None)
    results = measure(tmp_path, "--model", tiny_poet, "--tasks", "line", "--limit", "1", "--weights", "int8")
    assert results == {}
    page = weights_section(json.loads((tmp_path / "quality.json").read_text(encoding="utf-8")))
    assert f"- int8: not run. {NOT_INSTALLED}" in page


def test_agreement():
    assert agreement([[1, 2, 3, 4], [5, 6]], [[1, 2, 3, 4], [5, 7]]) == {
        "same_answers": 0.5,
        "same_characters": 0.8333,
    }


def test_a_draft_that_changes_a_hit_is_seen():
    """Each rule with drafts stands beside the rule without them, and a page names those that have other hits."""
    settings = [one for one in settings_of("line") if one.rule.label in ("one token a step", "threshold 0.9")]
    results = {one.key: {"hits": "1101", "characters": 1.0, "forward_passes": 6.0, "tokens": 7.0} for one in settings}
    values = {"settings": {"model": "a model"}, "seconds": 60.0, "results": results}
    quality.add_statistics(values, ["line"])
    assert "drafts" not in render(values, "")
    for rule in DRAFT_RULES:
        for cache in (None, "dual"):
            key = f"line | {rule.label} | {cache or 'no cache'} | block one"
            results[key] = {"hits": "1101", "characters": 1.0, "forward_passes": 2.0, "tokens": 7.0}
    quality.add_statistics(values, ["line"])
    page = render(values, "")
    assert "4 of 4 settings have the hits of their rule without drafts." in page
    assert "| threshold 0.9, 4 drafts | **0.0 [0.0, 0.0]**, 3.0x | **0.0 [0.0, 0.0]**, 3.0x |" in page
    assert {base["forward_passes"] for _, _, base in draft_pairs(results)} == {6.0}
    assert ">drafts</text>" in draw_svg(PLOT, values), "a color of its own in the legend"

    results["line | threshold 0.9, 4 drafts | dual | block one"]["hits"] = "1100"
    page = render(values, "")
    assert "3 of 4 settings" in page and "not: line | threshold 0.9, 4 drafts | dual | block one." in page


@pytest.mark.parametrize("cache", [None, "dual"])
@pytest.mark.parametrize("rule", DRAFT_RULES, ids=lambda rule: rule.label)
def test_drafts_change_no_token(rule, cache):
    """On poems, of which the model knows few: there a rule that commits too much gives other tokens."""
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_CHECKPOINT, padding_side="left")
    model = LLaDAForMaskedLM.from_pretrained(SHIPPED_CHECKPOINT, dtype=torch.float32).eval()
    examiner = Examiner({None: model}, tokenizer, {"poem": questions_of("poem", 3, 0)}, batch_size=3, seed=0)
    base = next(one for one in RULES if one.label == rule.base)
    setting = Setting("poem", rule, cache, 6)
    result, answers = examiner.ask(setting)
    base_result, base_answers = examiner.ask(replace(setting, rule=base))
    assert answers == base_answers
    assert result["hits"] == base_result["hits"]
    assert result["forward_passes"] < base_result["forward_passes"], "drafts that are accepted save passes"


def test_drafts_of_the_shipped_results_change_no_hit():
    values = json.loads((ROOT / "evidence/results/quality.json").read_text(encoding="utf-8"))
    pairs = list(draft_pairs(values["results"]))
    assert pairs and all(result["hits"] == base["hits"] for _, result, base in pairs)
