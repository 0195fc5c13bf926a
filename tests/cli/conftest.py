# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Fixtures of the command."""

import io

import pytest

from llada_cli import main


@pytest.fixture
def command():
    """The words that the fixtures below put before the arguments. Test files override it."""
    return ()


@pytest.fixture
def llada(command, capsys):
    """Runs the command, which must succeed, and returns stdout and stderr."""

    def run(*arguments):
        capsys.readouterr()
        assert main([*command, *map(str, arguments)]) == 0
        return capsys.readouterr()

    return run


@pytest.fixture
def fail(command, capsys):
    """Runs the command, which must fail with exit code 2 and one line, and returns that line."""

    def run(*arguments):
        capsys.readouterr()
        try:
            code = main([*command, *map(str, arguments)])
        except SystemExit as exit:
            code = exit.code
        out, err = capsys.readouterr()
        assert (code, out) == (2, "")
        [line] = [line for line in err.splitlines() if line and "it/s]" not in line]  # the harness draws progress bars
        assert line.startswith("llada: error: ")
        return line

    return run


@pytest.fixture
def pipe_in(monkeypatch):
    """Puts a pipe with a text in the place of stdin, as Python opens it on Linux."""

    def start(text):
        pipe = io.TextIOWrapper(io.BytesIO(text.encode(errors="surrogateescape")), encoding="utf-8", newline="\n")
        monkeypatch.setattr("sys.stdin", pipe)

    return start


class FakeTerminal(io.StringIO):
    """A terminal that remembers what was written to it."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Puts a terminal in the place of stdout, and returns it. (Before the test runs, pytest would replace it.)"""

    def start():
        monkeypatch.setenv("TERM", "xterm-256color")
        fake = FakeTerminal()
        monkeypatch.setattr("sys.stdout", fake)
        return fake

    return start
