# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The commands in the README files of recipes and benchmarks: each names a script that exists, and parses."""

import argparse
import importlib.util
import re
import shlex
from pathlib import Path

import pytest


pytest.importorskip("pypinyin", reason="the recipe of the poems needs it")
pytest.importorskip("trl", reason="the benches of training need it")

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("recipes/*/README.md")), ROOT / "benchmarks/README.md"]
PARSE_ARGS = argparse.ArgumentParser.parse_args


class Parsed(Exception):
    """The arguments are valid, and the script goes no further."""


def parse_and_stop(parser, arguments=None):
    raise Parsed(PARSE_ARGS(parser, arguments))


def commands_of(page):
    blocks = re.findall(r"^```bash\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("python ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_commands_parse(page, monkeypatch):
    commands = commands_of(page)
    assert len(commands) > 4
    for command in commands:
        script, *arguments = command[1:] if command[0] == "-m" else command
        if script == "examples/sft.py":  # its recipe is one for a GPU
            assert (ROOT / script).is_file()
            continue
        is_package = (ROOT / script.replace(".", "/") / "__main__.py").is_file()
        name = f"{script}.__main__" if is_package else script.removesuffix(".py").replace("/", ".")
        assert importlib.util.find_spec(name) is not None, command
        module = importlib.import_module(name)
        parse = getattr(module, "parse", getattr(module, "parse_arguments", None))
        with monkeypatch.context() as patch:
            patch.setattr(Path, "is_file", lambda path: True)  # of data that another command writes
            if hasattr(module, "make_parser"):
                module.make_parser().parse_args(arguments)
            elif parse is not None:
                parse(arguments)
            else:
                patch.setattr("sys.argv", ["script", *arguments])
                patch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
                with pytest.raises(Parsed):
                    module.main()
