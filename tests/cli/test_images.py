# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Pictures on the command line, on the golden LLaDA-V, whose random weights answer nonsense."""

import json
import re
import shutil
from functools import partial

import pytest
import torch
from support.golden_v import FOLDER, golden_image
from support.llada_v import answer_to

from llada_cli import main
from modeling_llada import LLaDAVForConditionalGeneration


QUESTION = "What is in the picture?"


@pytest.fixture(autouse=True)
def golden_by_default(monkeypatch):
    monkeypatch.setenv("LLADA_MODEL", str(FOLDER))
    monkeypatch.delenv("LLADA_DEBUG", raising=False)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The folder with some pictures, which is the working directory."""
    for name in "AB":
        golden_image(name).save(tmp_path / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def expected(llada_v):
    """The answer of the library to messages, and the number of tokens of the prompt."""
    return partial(answer_to, *llada_v, confidence_threshold=0.9)


def user(*parts):
    """A message of the user: pictures by their names, and text."""
    kinds = [
        {"type": "image", "image": golden_image(part)} if len(part) == 1 else {"type": "text", "text": part}
        for part in parts
    ]
    return {"role": "user", "content": kinds}


class TestGenerate:
    @pytest.fixture
    def command(self):
        return ("generate", "--max-new-tokens", "8")

    @pytest.mark.parametrize("names", ["A", "AB"])
    def test_the_answer_alone_is_written(self, llada, files, expected, names):
        answer, _ = expected([user(*names, QUESTION)], max_new_tokens=8)
        images = [argument for name in names for argument in ("--image", f"{name}.png")]
        out, err = llada(QUESTION, *images)
        assert out == answer + "\n"
        assert err.startswith("8 tokens · 8 forward passes")
        result = json.loads(llada(QUESTION, *images, "--json").out)
        assert (result["prompt"], result["completion"], result["text"]) == (QUESTION, answer, answer)
        assert result["images"] == [f"{name}.png" for name in names]

    def test_without_text(self, llada, files, expected):
        content = {"role": "user", "content": [{"type": "image", "image": golden_image("A")}]}
        assert llada("--image", "A.png").out == expected([content], max_new_tokens=8)[0] + "\n"

    def test_without_a_picture_it_completes_text(self, llada, llada_v):
        model, processor = llada_v
        inputs = processor.tokenizer("One, two", return_tensors="pt")
        tokens = model.generate(**inputs, max_new_tokens=8, confidence_threshold=0.9)
        assert llada("One, two").out == processor.decode(tokens[0], skip_special_tokens=True) + "\n"

    def test_other_options(self, llada, files, expected):
        options = ("--steps", "2", "--num-return-sequences", "2", "--temperature", "1", "--seed", "3", "--json")
        lines = llada(QUESTION, "--image", "A.png", *options).out.splitlines()
        assert len({json.loads(line)["completion"] for line in lines}) == 2
        assert [json.loads(line)["num_forward_passes"] for line in lines] == [2, 2]

    def test_the_animation_shows_the_answer(self, files, terminal, expected):
        screen = terminal()
        assert main(["generate", QUESTION, "--image", "A.png", "--max-new-tokens", "8", "--delay", "0"]) == 0
        assert "step 8" in screen.getvalue() and "░░" in screen.getvalue()
        assert QUESTION not in screen.getvalue() and "[image]" not in screen.getvalue()

    def test_a_drawing(self, llada, files):
        llada(QUESTION, "--image", "A.png", "--svg", "a.svg")
        svg = (files / "a.svg").read_text()
        assert "llada-v: 8 tokens" in svg and svg.count('class="mask"') == 8 + 7 + 6 + 5 + 4 + 3 + 2 + 1

    def test_a_home_folder(self, llada, files, monkeypatch):
        monkeypatch.setenv("HOME", str(files))
        assert llada(QUESTION, "--image", "~/A.png").out == llada(QUESTION, "--image", "A.png").out


class TestBadPictures:
    @pytest.fixture
    def command(self):
        return ("generate",)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--image", "nothing.png"], "`--image` must be a picture, but got 'nothing.png': there is no such file."),
            (["--image", ""], "`--image` must be a picture, but got '': there is no such file."),
            (["--image", "."], "`--image` must be a picture, but got '.': it is a folder."),
            (
                ["--image", "x" * 300],
                "^llada: error: `--image` 'xxxxxxxxxxxx...xxxxxxxxxxxxx' cannot be read: File name too long.$",
            ),
            (
                ["--image", "text.png"],
                "`--image`: 'text.png' cannot be read as a picture.*none of the formats AVIF, .*, PNG, ",
            ),
            (["--image", "cut.png"], "`--image`: 'cut.png' cannot be read as a picture. Is it damaged or cut off?"),
            (["--image", "A.png", "--image", "text.png"], "'text.png' cannot be read"),
            (["--image", "A.png", "--infill", "[MASK]"], "leave PROMPT and `--reverse` out"),
            (["--image", "A.png", "--reverse"], "leave `--infill` and `--reverse` out"),
            (["--image", "A.png", "--max-new-tokens", "16300"], "the message has 200 tokens, .* and only 84 fit"),
            (["--image", "A.png", "--max-new-tokens", "20000"], "the message has 200 tokens, .* and only 0 fit"),
        ],
    )
    def test_one_line(self, fail, files, arguments, message):
        (files / "text.png").write_text("no picture")
        (files / "cut.png").write_bytes((files / "A.png").read_bytes()[:300])
        assert re.search(message, fail(QUESTION, *arguments))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ("<image>?", "--image", "A.png"),
                "a message must not hold the text `<image>`, which stands for an image",
            ),
            (("a[MASK]", "--image", "A.png"), "a message must not hold mask tokens"),
            (("<video>?",), "the prompt must not hold the text `<video>`, which stands for an image: leave it out."),
            (("--infill", "<image>[MASK]"), "the prompt must not hold the text `<image>`"),
        ],
    )
    def test_tokens_in_the_text(self, fail, files, arguments, message):
        assert message in fail(*arguments)

    def test_too_many_pictures(self, fail, files, monkeypatch):
        line = fail(QUESTION, *["--image", "A.png"] * 40, "--max-new-tokens", "15500")
        assert "use fewer or smaller images, or lower `max_new_tokens`" in line

    @pytest.mark.parametrize("name", ["generate", "chat"])
    def test_a_text_model(self, files, poet_folder, capsys, monkeypatch, name):
        """It is refused before the weights are read."""
        monkeypatch.setattr("modeling_llada.loading.read_checkpoint", None)
        question = [QUESTION] if name == "generate" else []
        assert main([name, *question, "--image", "A.png", "--model", str(poet_folder)]) == 2
        err = capsys.readouterr().err
        assert "`--image` needs a model that sees images, such as LLaDA-V, but" in err and err.count("\n") == 1


class TestChat:
    @pytest.fixture
    def pipe(self, pipe_in, capsys):
        def run(lines, *arguments):
            pipe_in("".join(line + "\n" for line in lines))
            code = main(["chat", "--max-new-tokens", "8", *map(str, arguments)])
            out, err = capsys.readouterr()
            return code, out, err

        return run

    @pytest.fixture
    def prompts(self, monkeypatch):
        """The arguments of each call of `generate`."""
        seen = []
        original = LLaDAVForConditionalGeneration.generate

        def record(model, **kwargs):
            seen.append(kwargs)
            return original(model, **kwargs)

        monkeypatch.setattr(LLaDAVForConditionalGeneration, "generate", record)
        return seen

    def test_pictures_belong_to_their_messages(self, pipe, files, prompts, llada_v, expected):
        code, out, err = pipe(
            ["What is this?", "And now?", "/image B.png", "And this?"], "--image", "A.png", "--save", "messages.json"
        )
        assert (code, err) == (0, "the next message has the picture\n")
        messages = json.loads((files / "messages.json").read_text())
        replies = [message["content"] for message in messages[1::2]]
        assert out == "".join(reply + "\n" for reply in replies)
        turns = [user("A", "What is this?"), {"role": "user", "content": "And now?"}, user("B", "And this?")]
        given, calls = [], list(prompts)
        for turn, reply, call in zip(turns, replies, calls, strict=True):
            answer, length = expected([*given, turn], max_new_tokens=8)
            assert (answer, length) == (reply, call["input_ids"].shape[1])
            given += [turn, {"role": "assistant", "content": reply}]
        assert [len(call["pixel_values"]) for call in calls] == [1, 1, 2]
        assert messages[0]["content"] == [
            {"type": "image", "path": "A.png"},
            {"type": "text", "text": "What is this?"},
        ]
        assert messages[2]["content"] == "And now?"

    def test_pictures_are_read_once(self, pipe, files, prompts):
        """A file may change, or vanish, while the chat goes on."""
        (files / "B.png").rename(files / "C.png")
        pipe(["What is this?", "And now?"], "--image", "A.png")
        one, two = (call["pixel_values"] for call in prompts)
        assert torch.equal(one, two)

    def test_taking_pictures_back(self, pipe, files, prompts):
        _, _, err = pipe(["/image A.png", "/image B.png", "/undo", "Hi", "/image A.png", "/new", "Hi"])
        assert "the next message has the 2 pictures" in err and "removed the pictures for the next message" in err
        assert all("pixel_values" not in call for call in prompts) and len(prompts) == 2
        assert torch.equal(prompts[0]["input_ids"], prompts[1]["input_ids"])

    @pytest.mark.parametrize("name", ["a b.png", "'a b.png'", '"a b.png"', r"a\ b.png", "it's.png", "'c'"])
    def test_names_with_spaces(self, pipe, files, name):
        """Terminals quote the name of a file that is dropped on them, or put backslashes into it."""
        for file in ("a b.png", "it's.png", "'c'"):
            shutil.copy(files / "A.png", files / file)
        assert pipe([f"/image {name}"]) == (0, "", "the next message has the picture\n")

    @pytest.mark.parametrize("line", ["/image", "/image nothing.png", "/image ."])
    def test_no_picture(self, pipe, files, line):
        code, _, err = pipe([line])
        assert code == 2 and err.startswith("llada: error: `/image` must be a picture, but got")

    def test_a_text_model(self, pipe, files, poet_folder):
        code, _, err = pipe(["/image A.png"], "--model", poet_folder)
        assert code == 2 and "`/image` needs a model that sees images" in err


def test_score_of_text(llada, capsys):
    """`llada score` takes LLaDA-V for text."""
    assert main(["score", "One, two", "--num-samples", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["log_likelihood"] < 0


@pytest.mark.parametrize("arguments", [["a <image>"], ["a", "--prompt", "<video> "], ["--infill", "<image> [[a]]"]])
def test_score_of_tokens_of_images(llada, capsys, arguments):
    assert main(["score", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "must not hold the text `<" in err
