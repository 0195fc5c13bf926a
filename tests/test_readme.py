# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Runs the commands and snippets of README.md and of the pages in docs/, in the order of each page.

A comment directly above a code block changes that:
- `<!-- not run: REASON -->`: the block is not run here;
- `<!-- ci: NAME -->`: .ci/run runs it in a new environment.
"""

import io
import json
import logging
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from evidence import vision_summary
from evidence.memory_table import NAME, memory_table
from llada_cli import main
from reporting.markdown import fill


ROOT = Path(__file__).parent.parent
PAGES = {str(path.relative_to(ROOT)): path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
GUIDES = ("docs/training.md", "docs/preference.md")
BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]+?) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)
BLOCKS = {
    name: [match.groupdict() for match in BLOCK.finditer(path.read_text(encoding="utf-8"))]
    for name, path in PAGES.items()
}


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """The working folder: it holds checkpoints, scripts and a few tasks where the pages expect them."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "tests/evaluation").mkdir(parents=True)
    for name in ("checkpoints", "examples", "recipes", "tests/evaluation/harness_tasks", "tests/golden"):
        (folder / name).symlink_to(ROOT / name)
    before, logger = Path.cwd(), logging.getLogger("modeling_llada")
    level = logger.level
    os.chdir(folder)
    yield folder
    os.chdir(before)
    logger.setLevel(level)  # which examples/sft.py sets


def page_to_run(page):
    """The guides to training take long. What they use has tests of its own."""
    return pytest.param(page, marks=pytest.mark.slow) if page in GUIDES else page


def test_there_is_something_to_run():
    assert {"README.md", "docs/decoding.md", "docs/training.md"} <= set(PAGES)
    assert sum(len(commands_in(block)) for blocks in BLOCKS.values() for block in blocks if not block["mark"]) >= 15
    for blocks in filter(None, BLOCKS.values()):  # some pages have none
        assert any(block["language"] in ("python", "bash") and not block["mark"] for block in blocks)
        assert {block["language"] for block in blocks} <= {"python", "bash", "json", "bibtex"}
        marks = [block["mark"] for block in blocks if block["mark"]]
        assert all(re.match(r"not run: .{20,}|ci: (first|test) command", mark) for mark in marks)


def test_the_readme_is_short():
    assert len(PAGES["README.md"].read_text(encoding="utf-8").splitlines()) <= 250


def test_the_table_of_contents_has_every_page():
    contents = PAGES["docs/README.md"].read_text(encoding="utf-8")
    pages = [path.name for name, path in PAGES.items() if name not in ("README.md", "docs/README.md")]
    assert [name for name in pages if f"({name})" not in contents] == []


@pytest.mark.parametrize("page", [page_to_run(page) for page in PAGES])
def test_page(page, folder, monkeypatch, capsys):
    """Snippets and commands build on each other, as on the page. One page draws a picture."""
    monkeypatch.setenv("LLADA_MODEL", str(folder / "checkpoints" / "llada-poet"))
    names = {}
    if page in GUIDES:
        pytest.importorskip("trl", reason="TRL is not part of this environment")
    for block in BLOCKS[page]:
        if block["mark"]:
            continue
        if block["language"] == "python":
            exec(compile(block["code"], page, "exec"), names)
        elif block["language"] == "json":
            assert all(json.loads(line) for line in block["code"].splitlines())
        for command in commands_in(block):
            if command.startswith("llada eval lm"):
                pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not part of this environment")
            capsys.readouterr()
            run(command, monkeypatch)
            assert capsys.readouterr().out, command
    if page == "docs/watching.md":
        assert (folder / "denoising.svg").read_text(encoding="utf-8").startswith("<svg")
    if page == "docs/training.md":
        check_what_was_learned(folder)


def commands_in(block: dict[str, str]) -> list[str]:
    """The commands of a block; a backslash joins lines."""
    return block["code"].replace("\\\n", " ").splitlines() if block["language"] == "bash" else []


def run(command: str, monkeypatch) -> None:
    """Runs `llada` or a script in this process, where everything is imported already. A text may be piped into it."""
    if echo := re.match(r'echo "(.+?)" \| ', command):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(echo[1].encode())))
        command = command.removeprefix(echo[0])
    program, *arguments = shlex.split(command, comments=True)
    if program == "llada":
        assert main(arguments) == 0, command
        return
    assert program == "python", "only `llada` and `python` are run here: mark the block"
    if arguments[0] == "-m":
        monkeypatch.setattr(sys, "argv", arguments[1:])
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(arguments[0], run_name="__main__")


def check_what_was_learned(folder: Path) -> None:
    """The guide takes the loss of held-out rows from above 3 to below 0.6, and answers follow."""
    log = json.loads((folder / "runs/next/checkpoint-40/trainer_state.json").read_text(encoding="utf-8"))
    losses = {entry["step"]: entry["eval_loss"] for entry in log["log_history"] if "eval_loss" in entry}
    assert losses[0] > 3 and losses[40] < losses[20] and losses[40] < 0.6
    lines = (folder / "runs/next/samples.jsonl").read_text(encoding="utf-8").splitlines()
    right = Counter(sample["step"] for sample in map(json.loads, lines) if sample["completion"] == sample["reference"])
    assert right[0] == 0 and right[40] >= 2


def test_memory_table_is_that_of_the_measurements():
    table = memory_table()
    page = PAGES["docs/training.md"].read_text(encoding="utf-8")
    assert fill(page, NAME, table) == page, "run `python -m evidence.memory_table`"
    # The parts of an estimate are counted by hand: weights, then gradients and two states, 4 bytes each.
    weights = 8.0156e9 * 4 / 2**30
    assert f"weights {weights:.0f}, gradients and states {3 * weights:.0f}" in table


def test_the_summary_of_the_small_llada_v_is_that_of_the_results():
    page = PAGES["docs/vision.md"].read_text(encoding="utf-8")
    filled = fill(page, vision_summary.NAME, vision_summary.summary())
    assert filled == page, "run `python -m evidence.vision_summary`"


@pytest.mark.slow
def test_pictures_of_the_docs(tmp_path):
    """The command that docs/decoding.md names draws each picture of the page."""
    command = [sys.executable, "-m", "evidence.pictures", "--output", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    shown = re.findall(r"!\[[^\]]+\]\(pictures/(\w+\.svg)\)", PAGES["docs/decoding.md"].read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(path.name for path in tmp_path.iterdir())
    for name in shown:
        # Not the tokens and passes: another machine may round a confidence to the other side of a threshold.
        assert settings_in(tmp_path / name) == settings_in(ROOT / "docs" / "pictures" / name)


def settings_in(picture: Path) -> list[str]:
    """What the rows of a picture are called, which ends at a colon."""
    texts = [text for text in ElementTree.parse(picture).getroot().itertext() if ": " in text and "{" not in text]
    assert texts
    return [text.split(": ")[0] for text in texts]


def test_ci_finds_its_commands():
    function = re.search(r"^readme_block\(\) \{.*?^\}$", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.M | re.S)
    expected = {
        block["mark"][4:]: block["code"]
        for block in BLOCKS["README.md"]
        if block["mark"] and block["mark"].startswith("ci:")
    }
    assert list(expected) == ["first command", "test command"]
    for name, code in expected.items():
        script = f"{function.group()}\nreadme_block '{name}'"
        result = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        assert result.stdout == code


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md"])
def test_links_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text)
    assert not [target for target in targets if not ((ROOT / page).parent / target).exists()]
    headings = {
        re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in re.findall(r"^#+ (.*)$", text, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings
