# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Runs the commands and snippets of README.md and of the pages in docs/, in the order of each page.

A comment directly above a code block changes that:
- `<!-- not run: REASON -->`: the block is not run here;
- `<!-- ci: NAME -->`: .ci/run runs it in a new environment.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from llada_cli import main


ROOT = Path(__file__).parent.parent
PAGES = {str(path.relative_to(ROOT)): path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]+?) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)
BLOCKS = {
    name: [match.groupdict() for match in BLOCK.finditer(path.read_text(encoding="utf-8"))]
    for name, path in PAGES.items()
}
COMMANDS = [
    line
    for blocks in BLOCKS.values()
    for block in blocks
    if block["language"] == "bash" and not block["mark"]
    for line in block["code"].splitlines()
]


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """The working folder: it holds the shipped checkpoint where the pages expect it."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "checkpoints").symlink_to(ROOT / "checkpoints")
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def test_there_is_something_to_run():
    assert len(COMMANDS) >= 5
    assert {"README.md", "docs/decoding.md"} <= set(PAGES)
    for blocks in BLOCKS.values():
        assert sum(block["language"] == "python" for block in blocks) >= 5
        assert {block["language"] for block in blocks} <= {"python", "bash", "bibtex"}
        marks = [block["mark"] for block in blocks if block["mark"]]
        assert all(re.match(r"not run: .{20,}|ci: (first|test) command", mark) for mark in marks)


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command, folder, monkeypatch, capsys):
    monkeypatch.setenv("LLADA_MODEL", str(folder / "checkpoints" / "llada-poet"))
    name, *arguments = shlex.split(command)
    assert name == "llada", "only `llada` is run here: mark the block"
    assert main(arguments) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES)
def test_snippets(page, folder):
    """They build on each other, as on the page. The README draws a picture."""
    names = {}
    for block in BLOCKS[page]:
        if block["language"] == "python" and not block["mark"]:
            exec(compile(block["code"], page, "exec"), names)
    if page == "README.md":
        assert (folder / "denoising.svg").read_text(encoding="utf-8").startswith("<svg")


def test_pictures_of_the_docs(tmp_path):
    """The command that docs/decoding.md names draws each picture of the page."""
    command = [sys.executable, str(ROOT / "docs/pictures.py"), "--output", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    shown = re.findall(r"!\[[^\]]+\]\((\w+\.svg)\)", PAGES["docs/decoding.md"].read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(path.name for path in tmp_path.iterdir())
    for name in shown:
        # Not the tokens and passes: another machine may round a confidence to the other side of a threshold.
        assert settings_in(tmp_path / name) == settings_in(ROOT / "docs" / name)


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


@pytest.mark.parametrize("page", PAGES)
def test_links_exist(page):
    text = PAGES[page].read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text)
    assert not [target for target in targets if not (PAGES[page].parent / target).exists()]
    headings = {
        re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in re.findall(r"^#+ (.*)$", text, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings
