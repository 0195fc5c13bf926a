# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The commands in the README files of recipes and benchmarks: each names a script that exists, and parses."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest


pytest.importorskip("pypinyin", reason="the recipe of the poems needs it")
pytest.importorskip("trl", reason="the benches of training need it")

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("recipes/*/README.md")), ROOT / "benchmarks/README.md"]
PARSERS = ("parse_arguments", "parse", "parse_args", "make_parser")


def commands_of(page):
    blocks = re.findall(r"^```bash\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("python ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_commands_parse(page, monkeypatch):
    commands = commands_of(page)
    assert len(commands) > 4
    for command in commands:
        if command[0] != "-m":
            assert (ROOT / command[0]).is_file(), command
            continue
        name = command[1] if command[1] != "recipes.sudoku" else "recipes.sudoku.__main__"
        assert importlib.util.find_spec(name) is not None, command
        module = importlib.import_module(name)
        parse = next((getattr(module, one) for one in PARSERS if hasattr(module, one)), None)
        if parse is not None:
            with monkeypatch.context() as patch:
                patch.setattr(Path, "is_file", lambda path: True)  # of data that another command writes
                patch.setattr("sys.argv", ["script", *command[2:]])
                if parse.__name__ == "make_parser":
                    assert parse().parse_args(command[2:])
                else:
                    assert parse(*([] if parse.__name__ == "parse_args" else [command[2:]]))
