# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada generate --file`: a line of JSON for each prompt, in the same order, also after an interruption."""

import json

import pytest
from support.tiny_poet import save_tiny_poet

from llada_cli import main
from modeling_llada.serving import BatchedDecoder


PROMPTS = [
    {"prompt": "床前明月光，", "id": 7},
    {"prompt": "白[MASK]依山尽，", "max_new_tokens": 3},
    {"prompt": "春眠", "block_length": 2, "temperature": 1.0},
    {"prompt": "红豆", "temperature": 1.0, "seed": 5},
]
OPTIONS = ("--max-new-tokens", "6", "--block-length", "3", "--batch-size", "2", "--seed", "3")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_tiny_poet(tmp_path_factory.mktemp("poet"))


@pytest.fixture
def command(checkpoint):
    return "generate", "--model", str(checkpoint)


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in PROMPTS))
    return path


def objects(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_is_what_the_command_gives_for_the_prompt_alone(llada, prompts):
    lines = objects(llada("--file", prompts, *OPTIONS).out)
    assert [line["prompt"] for line in lines] == [one["prompt"] for one in PROMPTS]
    assert lines[0]["id"] == 7 and "id" not in lines[1]
    assert [line["options"]["seed"] for line in lines] == [3, 4, 5, 5]
    alone = "--max-new-tokens", 6, "--block-length", 2, "--temperature", 1, "--seed", 5, "--json", "春眠"
    [expected] = objects(llada(*alone).out)
    for name in ("prompt", "completion", "text", "num_forward_passes", "tokens_per_forward"):
        assert lines[2][name] == expected[name], name


def test_each_answer_fits_a_constraint(llada, prompts):
    lines = objects(llada("--file", prompts, "--choices", "疑是", "地上霜").out)
    assert all(line["text"].endswith(("疑是", "地上霜")) for line in lines)


def test_prompts_of_stdin(llada, prompts, pipe_in):
    expected = llada("--file", prompts, *OPTIONS).out
    pipe_in(prompts.read_text())
    assert llada("--file", "-", *OPTIONS).out == expected


@pytest.mark.parametrize("kept", [0.5, 2, 4])
def test_it_goes_on_behind_the_lines_that_are_complete(llada, prompts, tmp_path, monkeypatch, kept):
    output = tmp_path / "answers.jsonl"
    llada("--file", prompts, "--output", output, *OPTIONS)
    whole = output.read_text()
    lines = whole.splitlines(keepends=True)
    output.write_text("".join(lines[: int(kept)]) + ("" if kept == int(kept) else lines[int(kept)][:40]))

    asked, generate = [], BatchedDecoder.generate
    monkeypatch.setattr(BatchedDecoder, "generate", lambda self, rows: generate(self, asked.extend(rows) or rows))
    out = llada("--file", prompts, "--output", output, *OPTIONS).out
    assert output.read_text() == whole
    assert len(asked) == 4 - int(kept)
    assert out == f"{output} has 4 lines, {int(kept)} of them from an earlier run.\n"


def test_a_prompt_that_fails_has_an_error_and_stops_no_other(checkpoint, tmp_path, capsys):
    prompts, output = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    prompts.write_text('{"prompt": "春", "max_new_tokens": 100000}\n{"prompt": "眠"}\n')
    assert (
        main(["generate", "--model", str(checkpoint), "--file", str(prompts), "--output", str(output), *OPTIONS]) == 2
    )
    message = capsys.readouterr().err.splitlines()[-1]
    assert message == 'llada: error: 1 of 2 prompts could not be completed: their lines have an "error".'
    first, second = objects(output.read_text())
    assert "must fit into `max_position_embeddings" in first["error"] and "text" in second
    again = main(["generate", "--model", str(checkpoint), "--file", str(prompts), "--output", str(output), *OPTIONS])
    assert again == 2 and capsys.readouterr().err.splitlines()[-1] == message, "the error is still there"


class TestRefused:
    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("{", "line 2 of `--file` must be JSON"),
            ('"春"', 'must be an object with a text as its "prompt"'),
            ('{"prompt": ""}', 'must be an object with a text as its "prompt"'),
            ('{"prompt": "春", "text": 1}', "but has 'text'"),
            ('{"prompt": "春", "num_return_sequences": 2}', "but has 'num_return_sequences'"),
            ('{"prompt": "春", "block_length": 0}', "line 2 of `--file`: `block_length` must be"),
            ('{"prompt": "春", "seed": -1}', "line 2 of `--file`: `seed` must be"),
            ('{"prompt": "春", "cache_refresh_interval": 2}', "line 2 of `--file`: `cache_refresh_interval` refines"),
            ('{"prompt": "\\ud800"}', "line 2 of `--file` is not UTF-8"),
            ('{"prompt": "春", "id": ["\\ud800"]}', "line 2 of `--file` is not UTF-8"),
        ],
    )
    def test_lines(self, fail, tmp_path, line, message):
        path = tmp_path / "prompts.jsonl"
        path.write_text('{"prompt": "春"}\n' + line + "\n")
        assert message in fail("--file", path, "--output", tmp_path / "answers.jsonl")
        assert not (tmp_path / "answers.jsonl").exists()

    @pytest.mark.parametrize("arguments", [["春"], ["--infill", "春[MASK]"], ["--num-return-sequences", "2"]])
    def test_other_tasks(self, fail, prompts, arguments):
        assert "leave `" in fail("--file", prompts, *arguments)

    def test_its_options_without_a_file(self, fail, tmp_path):
        assert "`--output` is for `--file`" in fail("春", "--output", tmp_path / "answers.jsonl")
        assert "`--batch-size` is for `--file`" in fail("春", "--batch-size", 4)
        assert "`--batch-size` must be at least 1" in fail("--file", "x", "--batch-size", 0)

    def test_no_prompts(self, fail, tmp_path):
        (tmp_path / "empty").touch()
        assert "holds no prompts" in fail("--file", tmp_path / "empty")
        assert "cannot be read" in fail("--file", tmp_path / "none")

    def test_the_output_of_another_run(self, llada, fail, prompts, tmp_path):
        output = tmp_path / "answers.jsonl"
        llada("--file", prompts, "--output", output, *OPTIONS)
        before = output.read_text()
        assert "has a line 1 that is no answer to prompt 1" in fail("--file", prompts, "--output", output)
        constrained = (*OPTIONS, "--choices", "月光")
        assert "has a line 1 that is no answer" in fail("--file", prompts, "--output", output, *constrained)
        assert output.read_text() == before
        output.write_text("a diary\n")
        assert "line 1 is none" in fail("--file", prompts, "--output", output, *OPTIONS)
        assert output.read_text() == "a diary\n"

    @pytest.mark.parametrize("has_answers", [False, True])
    def test_a_file_that_ends_without_a_line_break(self, llada, fail, prompts, tmp_path, has_answers):
        """It may be an unfinished line of an earlier run, which is dropped; anything else is kept."""
        output = tmp_path / "answers.jsonl"
        if has_answers:
            llada("--file", prompts, "--output", output, *OPTIONS)
        with open(output, "a") as file:
            file.write('{"prompt": "a file that someone needs"}')
        before = output.read_text()
        assert "ends with text that is no answer" in fail("--file", prompts, "--output", output, *OPTIONS)
        assert output.read_text() == before
