# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Runs the commands and snippets of README.md, in the order of the page.

A comment directly above a code block changes that:
- `<!-- not run: REASON -->`: the block is not run here;
- `<!-- ci: NAME -->`: .ci/run runs it in a new environment.
"""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from llada_cli import main


ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]+?) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)
BLOCKS = [match.groupdict() for match in BLOCK.finditer(README)]
COMMANDS = [
    line
    for block in BLOCKS
    if block["language"] == "bash" and not block["mark"]
    for line in block["code"].splitlines()
]


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """The working folder: it holds the shipped checkpoint where the page expects it."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "checkpoints").symlink_to(ROOT / "checkpoints")
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def test_there_is_something_to_run():
    assert len(COMMANDS) >= 5
    assert sum(block["language"] == "python" for block in BLOCKS) >= 5
    assert {block["language"] for block in BLOCKS} <= {"python", "bash", "bibtex"}
    marks = [block["mark"] for block in BLOCKS if block["mark"]]
    assert all(re.match(r"not run: .{20,}|ci: (first|test) command", mark) for mark in marks)


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command, folder, monkeypatch, capsys):
    monkeypatch.setenv("LLADA_MODEL", str(folder / "checkpoints" / "llada-poet"))
    name, *arguments = shlex.split(command)
    assert name == "llada", "only `llada` is run here: mark the block"
    assert main(arguments) == 0
    assert capsys.readouterr().out


def test_snippets(folder):
    """They build on each other, as on the page."""
    names = {}
    for block in BLOCKS:
        if block["language"] == "python" and not block["mark"]:
            exec(compile(block["code"], "README.md", "exec"), names)
    assert (folder / "denoising.svg").read_text(encoding="utf-8").startswith("<svg")


def test_ci_finds_its_commands():
    function = re.search(r"^readme_block\(\) \{.*?^\}$", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.M | re.S)
    expected = {
        block["mark"][4:]: block["code"] for block in BLOCKS if block["mark"] and block["mark"].startswith("ci:")
    }
    assert list(expected) == ["first command", "test command"]
    for name, code in expected.items():
        script = f"{function.group()}\nreadme_block '{name}'"
        result = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        assert result.stdout == code


def test_links_exist():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert not [target for target in targets if not (ROOT / target).exists()]
