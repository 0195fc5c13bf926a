# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""benchmarks/quality.py, on a few prompts."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from tiny_poet import save_tiny_poet


ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import quality  # noqa: E402  from benchmarks
from quality_report import BEGIN, END, render_section, replace_section  # noqa: E402
from quality_settings import CACHES, RULES, settings_of  # noqa: E402
from quality_statistics import compare  # noqa: E402
from quality_tasks import TASKS, questions_of  # noqa: E402


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
    monkeypatch.setattr(quality, "ask", lambda *_: pytest.fail("it was run again"))
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
    usual = {(setting.rule.label, setting.cache) for setting in settings if setting.block_length == 6}
    assert usual == {(rule.label, cache) for rule in RULES for cache in CACHES}
    assert len({setting.key for setting in settings}) == len(settings)


def test_comparison_is_paired():
    """Two settings that miss the same prompts do not differ, however many those are."""
    hits = "10" * 50
    same = compare({"hits": hits, "forward_passes": 2.0}, {"hits": hits, "forward_passes": 6.0})
    assert (same.difference, same.low, same.high, same.speedup, same.is_equal) == (0.0, 0.0, 0.0, 3.0, True)
    worse = compare({"hits": "0" * 20 + hits[20:], "forward_passes": 2.0}, {"hits": hits, "forward_passes": 6.0})
    assert worse.difference == -10.0
    assert worse.low < -10.0 < worse.high < 0.0
    assert not worse.is_equal


def test_interval_covers_the_truth():
    """95% of the intervals of a difference whose mean is 0 hold it, within what 100 of them can show."""
    generator = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(100):
        first, second = (torch.randint(0, 2, (100,), generator=generator).tolist() for _ in range(2))
        results = [{"hits": "".join(map(str, hits)), "forward_passes": 1.0} for hits in (first, second)]
        held += compare(*results).is_equal
    assert 88 <= held <= 99


def test_render(tmp_path, tiny_poet):
    measure(
        tmp_path, "--model", tiny_poet, "--tasks", "couplet", "poem", "--only", "threshold 0.9 | dual", "--limit", "2"
    )
    page, svg = tmp_path / "README.md", tmp_path / "quality.svg"
    page.write_text("# Benches\n\nof others\n")
    options = ("--json", str(tmp_path / "quality.json"), "--readme", str(page), "--svg", str(svg), "--render")
    quality.main([*options])
    once = page.read_text(), svg.read_bytes()
    quality.main([*options])
    assert (page.read_text(), svg.read_bytes()) == once
    assert once[0].startswith("# Benches\n\nof others\n")
    assert "| threshold 0.9 |" in once[0]
    titles = [element.text for element in ElementTree.fromstring(once[1]).iter("{http://www.w3.org/2000/svg}title")]
    assert [title.split(":")[0] for title in titles] == ["threshold 0.9, dual cache"] * 2


def test_a_section_is_replaced_in_its_place():
    page = f"# Page\n\n{BEGIN}\nold\n{END}\n\n## Other\n"
    assert replace_section(page, "new\n") == f"# Page\n\n{BEGIN}\nnew\n{END}\n\n## Other\n"


def test_the_page_is_that_of_the_results():
    values = json.loads((ROOT / "benchmarks/results/quality.json").read_text(encoding="utf-8"))
    assert render_section(values) in (ROOT / "benchmarks/README.md").read_text(encoding="utf-8")
    assert quality.quality_svg(values["results"]) == (ROOT / "benchmarks/results/quality.svg").read_text(
        encoding="utf-8"
    )
