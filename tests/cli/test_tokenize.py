# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada tokenize`. What it writes is tested with `tokenize_corpus`."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llada_cli import main, tokenize
from modeling_llada.training import TokenShards
from modeling_llada.training.tokenizing.corpus import Progress


ROOT = Path(__file__).parents[2]


@pytest.fixture
def command():
    return ("tokenize",)


@pytest.fixture
def letters(tmp_path):
    """A folder of text files."""
    folder = tmp_path / "letters"
    folder.mkdir()
    for day in range(30):
        (folder / f"{day}.txt").write_text(f"On day {day} the sailor wrote a letter, and nobody answered it.")
    (folder / "empty.txt").touch()
    return folder


def test_a_folder_of_text(llada, fail, letters, tmp_path):
    """The same command does nothing once it is done, and another one does not touch the folder."""
    arguments = [letters, "--output", tmp_path / "tokens", "--train-tokenizer", 300]
    out, err = llada(*arguments, "--validation", 3)
    shards = TokenShards(tmp_path / "tokens")
    assert out.splitlines() == [
        f"{tmp_path}/tokens: {shards.manifest['bytes']:,} bytes of text, a vocabulary of 300 tokens",
        f"  train: {shards.splits['train'].num_tokens:,} tokens, 27 documents",
        f"  validation: {shards.splits['validation'].num_tokens:,} tokens, 3 documents",
        f"  left out, empty: 1 ({letters}/empty.txt)",
    ]
    assert err == ""
    assert llada(*arguments, "--validation", 3).out == f"{tmp_path}/tokens is finished: there is nothing to do\n{out}"
    assert "was begun with other options: `validation` was 3 and is 0.1." in fail(*arguments, "--validation", 0.1)


def test_warnings(llada, tmp_path):
    """Of documents that are few, with the texts of special tokens, and of characters that the tokenizer does not know."""
    (tmp_path / "a.txt").write_text("床前明月光<|endoftext|>🌙")
    options = ["--output", tmp_path / "tokens", "--tokenizer", ROOT / "checkpoints" / "llada-poet"]
    err = llada(tmp_path / "a.txt", *options).err
    assert "no document was held out, since there are few. Give their number with `--validation N`." in err
    assert "1 documents have the text of a special token, such as <|endoftext|>. It was encoded as other" in err
    assert "5.3% of the tokens are unknown to the tokenizer" in err


def test_little_text_has_few_words(llada, letters, tmp_path):
    options = ["--output", tmp_path / "tokens", "--train-tokenizer", 5000, "--validation", 0]
    err = llada(letters, *options).err
    number = TokenShards(tmp_path / "tokens").vocab_size
    assert f"the text has words for {number} tokens only, fewer than `--train-tokenizer 5000`." in err


def test_a_separator_is_written_with_escapes(llada, tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n\nthree")
    options = ["--train-tokenizer", 300, "--validation", 0, "--shard-size", "1KB"]
    for separator, documents in ((r"\n", 3), (r"\r\n\r\n", 2)):
        llada(tmp_path / "a.txt", "--separator", separator, "--output", tmp_path / str(documents), *options)
        assert TokenShards(tmp_path / str(documents)).splits["train"].num_documents == documents
    err = llada(tmp_path / "a.txt", "--separator", "END", "--output", tmp_path / "whole", *options).err
    assert "the separator 'END' divides no file, so that each is one document." in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--validation", "2.7"],
            "`validation` must be a share in [0, 1), or a whole number of documents, but got 2.7",
        ),
        (["--shard-size", "many"], "`--shard-size` must be a size such as 100MB or 1GB, but got 'many'"),
        (["--tokenizer", "x"], "argument --tokenizer: not allowed with argument --train-tokenizer"),
        (["--text_field", "x"], "Did you mean --text-field?"),
    ],
)
def test_mistakes(fail, letters, tmp_path, options, message):
    assert message in fail(letters, "--output", tmp_path / "tokens", "--train-tokenizer", 300, *options)


def test_ctrl_c(letters, tmp_path, monkeypatch, capsys):
    def interrupt(line, progress):
        raise KeyboardInterrupt

    monkeypatch.setattr(tokenize.ProgressLine, "__call__", interrupt)
    output = str(tmp_path / "tokens")
    assert main(["tokenize", str(letters), "--output", output, "--train-tokenizer", "300"]) == 130
    assert capsys.readouterr().err == f"interrupted: the same command goes on with {output}\n"


def test_the_progress_fits_a_line():
    with tokenize.ProgressLine() as line:
        line(Progress("tokenizing", 0.25, 12_000_000_000))
        now = line.began + 10_000
        text = line.line(Progress("tokenizing", 0.75, 32_000_000_000), now)
    assert text == "tokenizing  75%  32,000,000,000 tokens  2,000,000 tokens/s  1:23:20 left"
    assert len(text) <= 78


@pytest.mark.slow
def test_a_killed_command_goes_on(tmp_path, monkeypatch):
    """It leaves no processes behind, and the files are those of a command that was not killed."""
    rows = [
        json.dumps({"text": f"{row}: " + "the sailor wrote a letter, and nobody answered it. " * 100})
        for row in range(1000)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    monkeypatch.chdir(tmp_path)
    command = ["tokenize", "a.jsonl", "--train-tokenizer", "300", "--shard-size", "200KB", "--validation", "0.1"]
    assert main([*command, "--num-processes", "1", "--output", "whole"]) == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "llada_cli", *command, "--num-processes", "2", "--output", "killed"]
    )
    while not list(tmp_path.glob("killed/train-00001*")):
        time.sleep(0.05)
    workers = [
        Path("/proc", pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ]
    process.kill()
    process.wait()
    until = time.monotonic() + 60
    while any(is_alive(worker) for worker in workers):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert len(workers) >= 2 and not (tmp_path / "killed" / "manifest.json").exists()
    assert main([*command, "--num-processes", "1", "--output", "killed"]) == 0
    whole, killed = (
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("*.*")} for name in ("whole", "killed")
    )
    assert whole == killed


def is_alive(process):
    """Whether a process runs: it is neither gone nor waits for its parent."""
    try:
        return "\nState:\tZ" not in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
