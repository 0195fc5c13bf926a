# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""How scripts end: one line and an exit code."""

import pytest
from tqdm import tqdm
from transformers.utils import logging

from modeling_llada.training.scripts import run_script


@pytest.fixture(autouse=True)
def bars():
    """A script hides the bars of files where no terminal shows them."""
    yield
    logging.enable_progress_bar()


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (ValueError("no rows."), 2, "sft.py: error: no rows.\n"),
        (ValueError("no\n  rows."), 2, "sft.py: error: no rows.\n"),
        (FileNotFoundError("no file."), 2, "sft.py: error: no file.\n"),
        (KeyboardInterrupt(), 130, "sft.py: interrupted.\n"),
        (KeyboardInterrupt("checkpoint-5 is kept."), 130, "sft.py: interrupted. checkpoint-5 is kept.\n"),
    ],
    ids=str,
)
def test_end_with_one_line(monkeypatch, capsys, error, code, shown):
    monkeypatch.setattr("sys.argv", ["examples/sft.py"])

    def main():
        raise error

    with pytest.raises(SystemExit) as ended:
        run_script(main)
    assert (ended.value.code, capsys.readouterr().err) == (code, shown)


def test_a_bar_ends_before_the_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["sft.py"])
    bar = tqdm(total=2)
    with pytest.raises(SystemExit):
        run_script(lambda: int("x"))
    assert bar.disable and capsys.readouterr().err.splitlines()[-1].startswith("sft.py: error: ")


class TestAnotherProcess:
    """One that is not the first of its machine."""

    @pytest.fixture(autouse=True)
    def second(self, monkeypatch):
        monkeypatch.setattr("sys.argv", ["sft.py"])
        monkeypatch.setenv("LOCAL_RANK", "1")
        monkeypatch.setenv("RANK", "9")

    def test_an_error_that_it_meets_alone_is_seen(self, monkeypatch, capsys):
        """By then `torchrun` has ended it if the first process has met the same error, which is the usual case."""
        waited = []
        monkeypatch.setattr("time.sleep", waited.append)
        with pytest.raises(SystemExit, match="2"):
            run_script(lambda: int("x"))
        assert waited == [3]
        assert capsys.readouterr().err.startswith("sft.py (process 9): error: invalid literal")

    def test_ctrl_c_meets_all(self, capsys):
        def main():
            raise KeyboardInterrupt

        with pytest.raises(SystemExit, match="130"):
            run_script(main)
        assert capsys.readouterr().err == ""


def test_traceback_on_request(monkeypatch):
    monkeypatch.setenv("LLADA_DEBUG", "1")
    with pytest.raises(ValueError, match="invalid literal"):
        run_script(lambda: int("x"))
