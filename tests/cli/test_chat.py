# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada chat`, on a tiny random model with the tokenizer and the chat template of the shipped checkpoint."""

import builtins
import json
import sys

import pytest
from transformers import AutoTokenizer

from llada_cli import main
from modeling_llada import LLaDAForMaskedLM


pytestmark = pytest.mark.usefixtures("tiny_poet_by_default")


@pytest.fixture
def prompts(poet_folder, monkeypatch):
    """The prompts for the model as text, each with the other arguments of the call."""
    tokenizer = AutoTokenizer.from_pretrained(poet_folder)
    seen = []
    original = LLaDAForMaskedLM.generate

    def record(model, **kwargs):
        seen.append((tokenizer.decode(kwargs["input_ids"][0]), kwargs))
        return original(model, **kwargs)

    monkeypatch.setattr(LLaDAForMaskedLM, "generate", record)
    return seen


@pytest.fixture
def pipe(pipe_in, capsys):
    """Runs `llada chat` on lines of stdin, and returns the exit code, the lines of stdout, and stderr."""

    def run(lines, *arguments):
        pipe_in("".join(line + "\n" for line in lines))
        code = main(["chat", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err

    return run


@pytest.fixture
def dialogue(monkeypatch, capsys, terminal):
    """Runs `llada chat` in a terminal and types lines. The prompt raises an exception among them."""

    def run(lines, *arguments):
        typed = iter([*lines, EOFError()])

        def type_line(prompt):
            line = next(typed)
            if isinstance(line, BaseException):
                raise line
            return line

        monkeypatch.setattr(builtins, "input", type_line)
        screen = terminal()
        monkeypatch.setattr(sys, "stdin", type(screen)())
        assert main(["chat", "--delay", "0", *map(str, arguments)]) == 0
        assert next(typed, None) is None or isinstance(lines[-1], BaseException)
        return screen.getvalue(), capsys.readouterr().err

    return run


class TestPipe:
    def test_a_reply_a_line(self, pipe, prompts):
        code, replies, err = pipe(["床前明月光，", "", "疑是地上霜。"])
        assert (code, err) == (0, "")
        assert len(replies) == 2 and all(replies)
        first, second = (text for text, _ in prompts)
        assert first == "床前明月光，"
        assert second == f"床前明月光，{replies[0]}<|endoftext|><|startoftext|>疑是地上霜。"

    def test_lines_of_windows(self, pipe, prompts):
        """They begin with a byte order mark, and end with a carriage return."""
        assert pipe(["\ufeff床前明月光，\r"])[::2] == (0, "")
        assert prompts[0][0] == "床前明月光，"

    def test_system_message(self, pipe, prompts):
        pipe(["床前", "明月"], "--system", "五言绝句《静夜思》")
        assert [text.startswith("五言绝句《静夜思》\n床前") for text, _ in prompts] == [True, True]

    def test_decoding_options(self, pipe, prompts):
        pipe(["床前"], "--max-new-tokens", 4, "--steps", 2, "--block-length", 2, "--no-stop-at-eos")
        options = prompts[0][1]
        given = {"max_new_tokens": 4, "steps": 2, "block_length": 2, "stop_at_eos": False}
        assert options | given == options and "temperature" not in options

    def test_seed(self, pipe):
        """Each reply has the next seed."""
        arguments = ("--temperature", 2, "--seed")
        replies = pipe(["床前", "/new", "床前"], *arguments, 3)[1]
        assert pipe(["床前", "/new", "床前"], *arguments, 3)[1] == replies
        assert replies[0] != replies[1]
        assert pipe(["床前"], *arguments, 4)[1] == replies[1:]

    def test_save(self, pipe, tmp_path):
        path = tmp_path / "messages.json"
        _, replies, _ = pipe(["床前", "明月"], "--system", "五言诗", "--save", path)
        messages = json.loads(path.read_text(encoding="utf-8"))
        assert [message["role"] for message in messages] == ["system", *("user", "assistant") * 2]
        assert [message["content"] for message in messages] == ["五言诗", "床前", replies[0], "明月", replies[1]]
        assert list(tmp_path.iterdir()) == [path]

    def test_a_tokenizer_with_token_types(self, pipe, poet_folder, tmp_path):
        """The model does not accept them."""
        LLaDAForMaskedLM.from_pretrained(poet_folder).save_pretrained(tmp_path)
        tokenizer = AutoTokenizer.from_pretrained(poet_folder)
        tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
        tokenizer.save_pretrained(tmp_path)
        assert "token_type_ids" in AutoTokenizer.from_pretrained(tmp_path)("床前")
        assert pipe(["床前"], "--model", tmp_path)[0] == 0

    def test_end_of_input_without_a_line(self, pipe):
        assert pipe([]) == (0, [], "")


class TestCommands:
    def test_new(self, pipe, prompts, tmp_path):
        path = tmp_path / "messages.json"
        _, _, err = pipe(["床前", "/new", "明月"], "--save", path)
        assert "a new conversation" in err
        assert prompts[1][0] == "明月"
        assert len(json.loads(path.read_text())) == 2

    def test_undo(self, pipe, prompts):
        _, replies, err = pipe(["/undo", "床前", "明月", "/undo", "月光"])
        assert "there is no turn to remove" in err and "removed the last turn" in err
        assert prompts[2][0] == f"床前{replies[0]}<|endoftext|><|startoftext|>月光"

    def test_help(self, pipe, prompts):
        _, replies, err = pipe(["/help"])
        assert replies == [] and prompts == []
        assert all(command in err for command in ("/new", "/undo", "/image FILE", "/help", "/quit"))

    def test_quit(self, pipe, prompts):
        assert pipe(["/quit", "床前"]) == (0, [], "")
        assert prompts == []

    def test_unknown(self, pipe, prompts):
        _, replies, err = pipe(["/sing it"])
        assert replies == [] and prompts == []
        assert "there is no command /sing: use /new, /undo, /image FILE, /help, /quit" in err


class TestDialogue:
    def test_replies_are_drawn_in_place(self, dialogue):
        drawn, err = dialogue(["床前明月光，"], "--max-new-tokens", 3)
        for step in ("step 1", "step 2", "step 3"):
            assert step in drawn
        assert "░░" in drawn and "床" not in drawn
        assert "\x1b[?25h" in drawn  # the cursor is back
        assert "3 tokens · 3 forward passes" in err

    def test_no_animation(self, dialogue):
        drawn, _ = dialogue(["床前明月光，"], "--no-animation")
        assert "\x1b" not in drawn and len(drawn.split("\n")[0]) == 7

    @pytest.mark.parametrize("end", [EOFError(), KeyboardInterrupt()])
    def test_end(self, dialogue, end):
        assert dialogue([end])[0] == "\n"

    @pytest.fixture
    def interrupt(self, prompts, monkeypatch):
        """Presses Ctrl-C at a forward pass, counted from 1 over all replies. Replies are decoded from left to right."""
        recorded = LLaDAForMaskedLM.generate

        def interrupt_at(forward_pass):
            calls = []

            def processor(input_ids, scores):
                calls.append(scores)
                if len(calls) == forward_pass:
                    raise KeyboardInterrupt
                return scores

            def generate(model, **kwargs):
                return recorded(model, logits_processor=[processor], block_length=1, **kwargs)

            monkeypatch.setattr(LLaDAForMaskedLM, "generate", generate)

        return interrupt_at

    @pytest.mark.parametrize("options", [[], ["--no-animation"]])
    def test_interrupt_stops_the_reply(self, dialogue, prompts, interrupt, options):
        """The text before the first mask is kept."""
        interrupt(3)
        _, err = dialogue(["床前", "明月"], "--max-new-tokens", 4, *options)
        assert "stopped" in err
        first, second = (text for text, _ in prompts)
        reply = second.removeprefix("床前").split("<|endoftext|>")[0]
        assert len(reply) == 2 and second.endswith("明月")

    def test_interrupt_before_the_first_token(self, dialogue, prompts, interrupt):
        interrupt(1)
        _, err = dialogue(["床前", "明月"])
        assert "stopped before the first token: the message is removed" in err
        assert [text for text, _ in prompts] == ["床前", "明月"]

    def test_a_refused_message_can_be_typed_again(self, dialogue, prompts):
        _, err = dialogue(["霜" * 128, "床前"])
        assert "error: the message has 128 tokens" in err
        assert [text for text, _ in prompts] == ["床前"]


class TestLongChats:
    def test_dropping_is_said(self, pipe, prompts):
        # 128 positions, seven of which are for the reply.
        _, replies, err = pipe(["霜" * 60, "月" * 60, "光" * 60])
        assert "which no longer sees the first turn." in err and "which no longer sees the first 2 turns" in err
        assert [text.count("霜" * 60) for text, _ in prompts] == [1, 0, 0]
        assert len(replies) == 3


class TestErrors:
    @pytest.mark.parametrize(
        ("lines", "arguments", "message"),
        [
            ([], ["--seed", -1], "`--seed` must be an integer in"),
            ([], ["--delay", -1], "`--delay` must be a number of seconds"),
            ([], ["--steps", 0], "`steps` must be an integer of at least 1"),
            ([], ["--save", "no/such/folder/a.json"], "`--save` names a file in a folder that does not exist"),
            ([], ["--save", "."], "`--save` must be a file, but . is a folder"),
            (["床\udcff"], [], "a message is not UTF-8 text: convert it first"),
            (["霜" * 128], [], "the message has 128 tokens"),
            (["床前[MASK]"], [], "a message must not hold mask tokens. To fill masks, use infilling"),
        ],
    )
    def test_one_line(self, pipe, lines, arguments, message):
        code, replies, err = pipe(lines, *arguments)
        assert (code, replies) == (2, [])
        assert err.startswith("llada: error: ") and message in err and err.count("\n") == 1

    def test_a_checkpoint_without_chat_template(self, pipe, poet_folder, tmp_path):
        LLaDAForMaskedLM.from_pretrained(poet_folder).save_pretrained(tmp_path)
        tokenizer = AutoTokenizer.from_pretrained(poet_folder)
        tokenizer.chat_template = None
        tokenizer.save_pretrained(tmp_path)
        code, _, err = pipe(["床前"], "--model", tmp_path)
        assert code == 2 and "has no chat template: complete texts with `llada generate`" in err

    def test_a_template_that_refuses(self, pipe, poet_folder, tmp_path):
        LLaDAForMaskedLM.from_pretrained(poet_folder).save_pretrained(tmp_path)
        tokenizer = AutoTokenizer.from_pretrained(poet_folder)
        tokenizer.chat_template = "{{ raise_exception('no system message') }}"
        tokenizer.save_pretrained(tmp_path)
        code, _, err = pipe(["床前"], "--model", tmp_path)
        assert code == 2 and "the chat template of the checkpoint refuses the messages: no system message." in err

    def test_interrupt_in_a_pipe_ends_the_command(self, pipe, monkeypatch):
        def interrupted(model, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr(LLaDAForMaskedLM, "generate", interrupted)
        assert pipe(["床前"])[0] == 130


def test_unknown_characters_warn(pipe):
    assert "warning: the tokenizer does not know 𠀀" in pipe(["𠀀"])[2]


def test_replies_fit_a_constraint(pipe):
    assert set(pipe(["床前", "明月光，"], "--choices", "疑是", "地上霜")[1]) <= {"疑是", "地上霜"}


def test_the_reply_is_the_completion(pipe, prompts, poet_folder):
    """Without randomness, the reply equals the output of `generate`."""
    _, [reply], _ = pipe(["床前明月光，"])
    output = LLaDAForMaskedLM.from_pretrained(poet_folder).generate(input_ids=prompts[0][1]["input_ids"])
    assert reply == AutoTokenizer.from_pretrained(poet_folder).decode(output[0, 6:], skip_special_tokens=True)
