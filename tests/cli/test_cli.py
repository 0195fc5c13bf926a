# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The `llada` command, on a tiny random model with the tokenizer of the shipped checkpoint."""

import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.word_tokenizer import save_word_model

from llada_cli import arguments, build_parser, main
from llada_cli.decoding import DECODING_OPTIONS, FAST, OPTIONS, PACE
from modeling_llada import LLaDAForMaskedLM, LLaDAGenerationConfig, writing


LINE = "床前明月光，"
SHIPPED = Path(__file__).parents[2] / "checkpoints"


pytestmark = pytest.mark.usefixtures("tiny_poet_by_default")


@pytest.fixture
def generate(llada):
    """Runs `llada generate`, which must succeed, and returns stdout."""
    return lambda *arguments: llada("generate", *arguments).out


@pytest.fixture
def generate_json(generate):
    """Runs `llada generate --json` and returns the object of the only completion."""
    return lambda *arguments: json.loads(generate(*arguments, "--json"))


class TestHelp:
    def test_is_instant(self):
        """It has the prompt fields of the checkpoint, and imports no torch."""
        code = (
            "import sys, llada_cli\n"
            "try: llada_cli.main(['generate', '--help'])\n"
            "except SystemExit: pass\n"
            "sys.exit(bool({'torch', 'transformers', 'modeling_llada', 'rich'} & sys.modules.keys()))"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        assert "examples:" in result.stdout and "--form FORM" in result.stdout

    @pytest.mark.parametrize(
        "command",
        [
            "",
            "chat",
            "convert-adapter",
            "convert-ar",
            "eval lm",
            "eval reversal",
            "export",
            "generate",
            "score",
            "serve",
            "space",
            "tokenize",
        ],
    )
    def test_has_examples_that_parse(self, command, capsys):
        with pytest.raises(SystemExit):
            main([*command.split(), "--help"])
        text = capsys.readouterr().out.split("examples:")[1].replace("\\\n", "")
        commands = re.findall(r"^    llada (.*)", text, re.M)
        assert commands
        for words in commands:
            if "--help" not in words:
                build_parser().parse_args(shlex.split(words.split(" <")[0]))

    def test_version(self, capsys):
        with pytest.raises(SystemExit) as exit:
            main(["--version"])
        assert exit.value.code == 0
        assert capsys.readouterr().out.startswith("llada ")

    def test_installed_command(self):
        command = Path(sys.executable).with_name("llada")
        assert subprocess.run([command, "--version"], capture_output=True, text=True).stdout.startswith("llada ")


class TestOutput:
    def test_plain(self, capsys):
        assert main(["generate", LINE, "--max-new-tokens", "4"]) == 0
        out, err = capsys.readouterr()
        assert out.startswith(LINE) and out.endswith("\n") and "\x1b" not in out
        assert err.startswith("4 tokens · 4 forward passes · 1.00 tokens per forward pass · ") and err.endswith(" s\n")

    def test_json(self, generate_json, poet_folder):
        result = generate_json(LINE, "--max-new-tokens", 4, "--steps", 2, "--seed", 3)
        assert list(result) == [
            *("prompt", "completion", "text", "num_forward_passes", "tokens_per_forward", "seconds", "options")
        ]
        assert result["prompt"] == LINE
        assert result["text"] == LINE + result["completion"]
        assert len(result["completion"]) == 4
        assert (result["num_forward_passes"], result["tokens_per_forward"]) == (2, 2.0)
        assert result["seconds"] > 0
        assert list(result["options"]) == ["model", *DECODING_OPTIONS, "seed"]
        assert result["options"] | {"model": str(poet_folder), "steps": 2, "seed": 3} == result["options"]

    def test_several_completions_are_one_object_each(self, generate):
        arguments = [LINE, "--max-new-tokens", 6, "--temperature", 2, "--json"]
        lines = generate(*arguments, "--seed", 5, "--num-return-sequences", 2).splitlines()
        first, second = map(json.loads, lines)
        assert first["completion"] != second["completion"]
        # The seed of a line gives the same completion alone.
        assert json.loads(generate(*arguments, "--seed", second["options"]["seed"]))["text"] == second["text"]

    def test_seed_is_drawn_and_shown(self, capsys):
        arguments = ["generate", LINE, "--max-new-tokens", "6", "--temperature", "2"]
        assert main(arguments) == 0
        out, err = capsys.readouterr()
        assert main([*arguments, "--seed", err.split("seed ")[1].strip()]) == 0
        assert capsys.readouterr().out == out

    def test_svg(self, generate, tmp_path):
        path = tmp_path / "picture.svg"
        generate(LINE, "--max-new-tokens", 4, "--svg", path)
        texts = [element.text for element in ElementTree.parse(path).iter() if element.tag.endswith("text")]
        assert texts.count("床") == 5  # the start, and four steps
        assert "start" in texts and any("4 forward passes" in text for text in texts if text)

    def test_svg_is_written_whole_or_not_at_all(self, generate, tmp_path, monkeypatch):
        path = tmp_path / "picture.svg"
        path.write_text("as it was")

        def broken(*args):
            raise OSError("disk full")

        monkeypatch.setattr(writing.os, "replace", broken)
        assert main(["generate", LINE, "--max-new-tokens", "1", "--svg", str(path)]) == 2
        assert [file.name for file in tmp_path.iterdir()] == ["picture.svg"]
        assert path.read_text() == "as it was"

    def test_a_full_disk_is_noticed_before_the_work(self, fail, tmp_path, small_files):
        path = tmp_path / "picture.svg"
        with small_files():
            message = fail("generate", LINE, "--model", "/no/such/folder", "--svg", path)
        assert message.startswith(f"llada: error: `--svg` names a file that cannot be written: {path}: ")

    @pytest.mark.parametrize("options", [[], ["--num-return-sequences", "2", "--temperature", "1"]])
    def test_terminal_is_animated(self, options, terminal):
        screen = terminal()
        assert main(["generate", LINE, "--max-new-tokens", "3", "--delay", "0", *options]) == 0
        drawn = screen.getvalue()
        for step in ("step 1", "step 2", "step 3"):
            assert step in drawn
        assert "░░" in drawn and "\x1b[?25h" in drawn  # masks, and in the end the cursor is back

    def test_no_animation(self, terminal):
        screen = terminal()
        assert main(["generate", LINE, "--max-new-tokens", "3", "--no-animation"]) == 0
        assert screen.getvalue().startswith(LINE) and "\x1b" not in screen.getvalue()


class TestOptions:
    @pytest.mark.parametrize(
        ("option", "value"),
        [
            (option, value)
            for option in OPTIONS
            for value in ((True, False) if option.kind == "bool" else option.choices or (option.example,))
        ],
        ids=lambda part: getattr(part, "name", str(part)),
    )
    def test_reach_the_model(self, monkeypatch, option, value):
        calls = []

        def record(model, **kwargs):
            calls.append(kwargs)
            raise KeyboardInterrupt

        monkeypatch.setattr(LLaDAForMaskedLM, "generate", record)
        flag = "--" + "no-" * (value is False) + option.name.replace("_", "-")
        # The command sets `confidence_threshold` itself.
        refined = {other.name: other.example for other in OPTIONS if other.name == option.refines not in FAST}
        needed = [f"--{name.replace('_', '-')}={value}" for name, value in refined.items()]
        assert main(["generate", LINE, *needed, flag, *([] if option.kind == "bool" else [str(value)])]) == 130
        given = {name: value for name, value in calls[0].items() if name in DECODING_OPTIONS}
        assert given == ({} if option.name in PACE else FAST) | refined | {option.name: value}

    def test_the_checkpoint_may_choose_another_rule(self, generate_json, poet_folder, tmp_path):
        shutil.copytree(poet_folder, tmp_path / "poet")
        LLaDAGenerationConfig(max_new_tokens=7, entropy_bound=0.1).save_pretrained(tmp_path / "poet")
        options = generate_json(LINE, "--model", tmp_path / "poet")["options"]
        assert (options["entropy_bound"], options["confidence_threshold"]) == (0.1, None)

    def test_few_forward_passes_write_what_stands_behind_the_end(self, llada):
        plain, fast = (
            llada("generate", LINE, "--model", SHIPPED / "llada-poet", "--max-new-tokens", 24, *options)
            for options in (("--steps", "24"), ())
        )
        assert "17 of 24 forward passes wrote only what stands behind the end" in plain.err
        passes = int(re.search(r"(\d+) forward passes", fast.err)[1])
        assert passes <= 12 and "behind the end" not in fast.err
        assert plain.out.startswith("床前明月光，疑是地上霜。") and fast.out.startswith("床前明月光，疑是地上霜。")

    def test_defaults_come_from_the_checkpoint(self, generate_json):
        result = generate_json(LINE)
        assert result["options"]["max_new_tokens"] == 7  # that of the tiny poet
        assert result["num_forward_passes"] == 7

    @pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16"])
    def test_dtype_and_device(self, generate, dtype):
        assert generate(LINE, "--dtype", dtype, "--device", "cpu").startswith(LINE)


class TestTasks:
    def test_infill(self, generate_json):
        result = generate_json("--infill", "床前[MASK][MASK]光，[MASK]。")
        assert result["prompt"] == "床前[MASK][MASK]光，[MASK]。"
        assert len(result["completion"]) == 3
        first, second, third = result["completion"]
        assert result["text"] == f"床前{first}{second}光，{third}。"
        assert result["num_forward_passes"] == 3

    def test_infill_and_go_on(self, generate_json):
        result = generate_json("--infill", "床前[MASK]", "--max-new-tokens", 2)
        assert len(result["text"]) == 5 and result["num_forward_passes"] == 3

    def test_infill_shows_what_was_typed(self, generate_json, terminal):
        """Also the characters that the tokenizer does not know."""
        arguments = ["--infill", "床前[MASK]月光😀，"]
        result = generate_json(*arguments)
        assert result["text"] == f"床前{result['completion']}月光😀，"
        screen = terminal()
        assert main(["generate", *arguments, "--delay", "0"]) == 0
        last = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", screen.getvalue().splitlines()[-1])
        assert last == result["text"]

    def test_words_keep_their_spaces(self, generate_json, tmp_path):
        result = generate_json("the city is", "--model", save_word_model(tmp_path), "--max-new-tokens", 12)
        assert result["text"] == "the city is" + result["completion"]
        assert result["completion"].startswith(" ")

    @pytest.mark.parametrize(
        ("line", "prompt"),
        [
            ("疑是地上霜。", "[MASK]" * 5 + "，疑是地上霜。"),
            ("疑是地上霜", "[MASK]" * 5 + "，疑是地上霜。"),
            ("玉人何处教吹箫？", "[MASK]" * 7 + "，玉人何处教吹箫？"),
            ("疑是地上霜。举头望明月，低头思故乡。", "[MASK]" * 5 + "，疑是地上霜。举头望明月，低头思故乡。"),
        ],
    )
    def test_reverse(self, generate_json, line, prompt):
        result = generate_json(line, "--reverse")
        assert result["prompt"] == prompt
        assert result["text"] == prompt.replace("[MASK]" * len(result["completion"]), result["completion"])
        assert result["options"]["max_new_tokens"] == 0

    @pytest.mark.parametrize(
        ("arguments", "header"),
        [
            (["--form", "五言绝句"], "五言绝句\n"),
            (["--title", "静夜思"], "《静夜思》\n"),
            (["--title", "静夜思", "--author", "李白"], "《静夜思》李白\n"),
            (["--form", "五言绝句", "--title", "静夜思", "--author", "李白"], "五言绝句《静夜思》李白\n"),
        ],
    )
    def test_header(self, generate_json, arguments, header):
        assert generate_json(*arguments)["prompt"] == header
        assert generate_json(LINE, *arguments)["prompt"] == header + LINE
        assert generate_json("疑是地上霜。", "--reverse", *arguments)["prompt"].startswith(header + "[MASK]")

    @pytest.mark.parametrize(("form", "length"), [("五言绝句", 25), ("七言律诗", 65), ("词", None)])
    def test_form_sets_the_length(self, generate_json, form, length):
        options = ["--steps", 2, "--form", form]
        assert generate_json(*options)["options"]["max_new_tokens"] == (length or 7)
        start = length - len(LINE) if length else 7
        assert generate_json(LINE, *options)["options"]["max_new_tokens"] == start
        assert generate_json(*options, "--max-new-tokens", 3)["options"]["max_new_tokens"] == 3


class TestPromptFields:
    """The checkpoint declares options of `llada generate`."""

    @pytest.fixture
    def show_help(self, capsys):
        def run(*arguments):
            with pytest.raises(SystemExit):
                main(["generate", *map(str, arguments), "--help"])
            return " ".join(capsys.readouterr().out.split())

        return run

    def test_choices_have_an_english_gloss(self, show_help):
        assert "五言绝句 (quatrain, four lines of five characters)" in show_help()

    def test_another_checkpoint_has_other_fields(self, show_help, poet_folder, tmp_path):
        fields = [{"name": "board_size", "help": "size of the board", "choices": [{"value": "4x4"}, {"value": "9x9"}]}]
        (tmp_path / "prompt_fields.json").write_text(json.dumps({"fields": fields}))
        text = show_help("--model", tmp_path)
        assert "--board-size BOARD_SIZE size of the board: 4x4, 9x9" in text and "--form" not in text

    def test_a_checkpoint_without_fields(self, show_help, fail):
        assert "prompt fields" not in show_help("--model", SHIPPED / "llada-sudoku")
        message = fail("generate", "--form", "五言绝句", "--model", SHIPPED / "llada-sudoku")
        assert "unrecognized arguments: --form. The checkpoint" in message
        assert "llada-sudoku declares no prompt fields" in message

    def test_an_adapter_has_the_fields_of_its_base(self, show_help):
        assert "--form" in show_help(f"--model={SHIPPED / 'llada-poet-instruct'}")

    def test_a_damaged_file(self, fail, tmp_path):
        file = tmp_path / "prompt_fields.json"
        file.write_text("{")
        assert "prompt_fields.json of" in fail("generate", "x", "--model", tmp_path)
        file.write_text(json.dumps({"fields": [{"name": "steps", "help": "many"}]}))
        message = fail("generate", "x", "--model", tmp_path)
        assert "declares `steps`, which is an option of the command" in message


class TestConstraint:
    def test_regex(self, generate_json):
        result = generate_json(LINE, "--regex", "[^，。]{2}，[^，。]{2}。")
        assert re.fullmatch("[^，。]{2}，[^，。]{2}。", result["completion"])
        assert result["constraint"] == "[^，。]{2}，[^，。]{2}。"

    def test_choices(self, generate_json):
        assert generate_json(LINE, "--choices", "疑是", "地上霜")["completion"] in ("疑是", "地上霜")

    def test_json_schema(self, generate_json, tmp_path):
        (tmp_path / "schema.json").write_text('{"enum": [1, 20, true]}')
        result = generate_json(LINE, "--json-schema", tmp_path / "schema.json")
        assert json.loads(result["completion"]) in (1, 20, True)

    def test_grammar(self, generate_json, tmp_path):
        (tmp_path / "line.lark").write_text('start: "疑" ("是" | start) "霜"', encoding="utf-8")
        completion = generate_json(LINE, "--grammar", tmp_path / "line.lark")["completion"]
        assert completion in ("疑是霜", "疑疑是霜霜", "疑疑疑是霜霜霜")

    def test_a_gap(self, generate_json):
        assert generate_json("--infill", "床[MASK]明[MASK]光", "--regex", "前明[日月]")["completion"] in (
            "前日",
            "前月",
        )

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--regex", "(a"], "`--regex` cannot be used: `pattern` must be a regular expression"),
            (["--choices", "\N{GRINNING FACE}"], "must match a text that tokens of the vocabulary spell"),
            (["--json-schema", "none.json"], "`--json-schema` must be a text file that can be read"),
            (["--grammar", "none.lark"], "`--grammar` must be a text file that can be read"),
            (["--grammar", __file__], "`--grammar` cannot be used: `grammar` must"),
            (["--regex", "床{9}", "--max-new-tokens", "8"], "fits into 8 tokens, but the shortest one has 9"),
            (["--regex", "a", "--choices", "b"], "argument --choices: not allowed with argument --regex"),
        ],
    )
    def test_errors(self, fail, arguments, message):
        assert message in fail("generate", LINE, *arguments)


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "there is nothing to start from: give PROMPT, `--infill`, `--form`, `--title` or `--author`"),
            ([""], "there is nothing to start from"),
            (["x", "--infill", "[MASK]"], "`--infill` takes the whole text"),
            (["--reverse", "--infill", "[MASK]"], "`--infill` takes the whole text"),
            (["--infill", "床前"], r"`--infill` needs one \[MASK\] for each token"),
            (["--reverse"], "`--reverse` needs PROMPT"),
            (["--author", "李白"], "`--author` needs `--title`"),
            (["x", "--seed", "-1"], "`--seed` must be an integer in"),
            (["x", "--delay", "-1"], "`--delay` must be a number of seconds"),
            (["x", "--svg", "no/such/folder/a.svg"], "`--svg` names a file in a folder that does not exist"),
            (["x", "--svg", "."], "`--svg` must be a file, but . is a folder"),
            (["x\udcff"], "the text is not UTF-8 text: convert it first"),
            (["x", "--device", "nonsense"], "`device` 'nonsense' is not available"),
            (["x", "--device", "cuda:99"], "`device` 'cuda:99' is not available"),
            (["x" * 24, "--form", "五言绝句"], "五言绝句 has 24 tokens, and the prompt already has 24"),
            (["x", "--model", "/no/such/folder"], "there is no such folder"),
            (["x", "--model", "nobody/nothing"], "cannot load 'nobody/nothing'"),
        ],
    )
    def test_of_the_command(self, fail, arguments, message):
        assert re.search(message, fail("generate", *arguments))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--steps", "0"], "`steps` must be an integer of at least 1, but got 0."),
            (["--max-new-tokens", "-1"], "`max_new_tokens` must be an integer of at least 0, but got -1."),
            (["--temperature", "-1"], "`temperature` must be "),
            (["--confidence-threshold", "0.9", "--entropy-bound", "1"], "At most one of `confidence_threshold`"),
            (["--max-new-tokens", "100000"], "must fit into `max_position_embeddings=128`"),
        ],
    )
    def test_of_the_library_are_shown_as_they_are(self, fail, arguments, message):
        assert message in fail("generate", LINE, *arguments)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "the following arguments are required: COMMAND"),
            (["chant"], "invalid choice: 'chant'"),
            (["generate", "x", "--steps", "many"], "argument --steps: invalid int value: 'many'"),
            (["generate", "x", "--remasking", "best"], "argument --remasking: invalid choice: 'best'"),
            (["generate", "x", "--form", "俳句"], "argument --form: invalid choice: '俳句'"),
            (["generate", "x", "--step", "3"], "unrecognized arguments: --step 3. Did you mean --steps?"),
            (["generat", "x"], "Did you mean generate?"),
            (["generate", "x", "--remasking", "margn"], "Did you mean margin?"),
            (["eval", "lm", "--taks", "gsm8k"], "Did you mean --task?"),
            (["generate", "-床前"], "Write `--` before a text that begins with a dash: llada generate -- '-床前'."),
            (["generate", "--infill", "-床[MASK]"], "is written as --infill=-VALUE"),
            (["generate", "--", "-床前", "--steps", "2"], "Options come before `--`."),
        ],
    )
    def test_of_the_arguments(self, fail, arguments, message):
        assert message in fail(*arguments)

    def test_unreadable_checkpoint(self, fail, tmp_path):
        message = fail("generate", LINE, "--model", tmp_path)
        assert f"cannot load '{tmp_path}': " in message and "`--model` takes a Hub id, or a folder" in message

    def test_debug_shows_the_traceback(self, monkeypatch):
        monkeypatch.setenv("LLADA_DEBUG", "1")
        with pytest.raises(ValueError, match="`steps`"):
            main(["generate", LINE, "--steps", "0"])

    def test_a_reader_that_goes_away_ends_it_quietly(self, monkeypatch, capsys):
        class ClosedPipe(io.StringIO):
            def flush(self):
                raise BrokenPipeError

        monkeypatch.setattr("sys.stdout", ClosedPipe())
        with pytest.raises(SystemExit, match="141"):
            main(["generate", LINE])
        assert "error" not in capsys.readouterr().err

    @pytest.mark.parametrize("options", [(), ("--json",)])
    def test_letters_that_stdout_lacks_become_escapes(self, monkeypatch, capsys, options):
        stdout = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
        monkeypatch.setattr("sys.stdout", stdout)
        assert main(["generate", "床😀", *options]) == 0
        text, message = stdout.buffer.getvalue().decode("cp1252"), capsys.readouterr().err
        if options:
            assert json.loads(text)["prompt"] == "床😀"
        else:
            assert text.startswith(r"\u5e8a\U0001f600")
            assert message.count("set PYTHONIOENCODING=utf-8") == 1

    def test_interrupt_is_quiet(self, monkeypatch, capsys):
        def interrupted(model, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr(LLaDAForMaskedLM, "generate", interrupted)
        assert main(["generate", LINE]) == 130
        assert capsys.readouterr() == ("", "")

    def test_unknown_characters_warn(self, capsys):
        assert main(["generate", "𠀀㐂", "--max-new-tokens", "1"]) == 0
        out, err = capsys.readouterr()
        assert out.startswith("𠀀㐂")
        assert "warning: the tokenizer does not know 𠀀 㐂 and reads <|unk|> instead" in err
        assert main(["generate", LINE, "--max-new-tokens", "1"]) == 0
        assert "warning" not in capsys.readouterr().err

    def test_a_prompt_in_another_script_warns(self, capsys):
        assert main(["generate", "The moon is bright tonight,", "--max-new-tokens", "1", "--device", "cpu"]) == 0
        assert "warning: This model knows classical Chinese verse only." in capsys.readouterr().err

    def test_nothing_to_fill_warns(self, capsys):
        assert main(["generate", LINE, "--max-new-tokens", "0"]) == 0
        assert "warning: there is nothing to fill: the text has no [MASK]" in capsys.readouterr().err
        assert main(["generate", LINE + "[MASK]", "--max-new-tokens", "0"]) == 0
        assert "warning" not in capsys.readouterr().err


class TestCheckpoint:
    def test_option_wins_over_variable_wins_over_shipped(self, monkeypatch, tmp_path):
        (tmp_path / "checkpoints/llada-poet").mkdir(parents=True)
        monkeypatch.setattr(arguments, "__file__", str(tmp_path / "llada_cli/arguments.py"))
        monkeypatch.setenv("LLADA_MODEL", "from-variable")
        assert arguments.find_checkpoint("from-option") == "from-option"
        assert arguments.find_checkpoint(None) == "from-variable"
        monkeypatch.delenv("LLADA_MODEL")
        assert arguments.find_checkpoint(None) == str(tmp_path / "checkpoints/llada-poet")

    def test_none_is_an_error_with_the_way_out(self, fail, monkeypatch, tmp_path):
        monkeypatch.setattr(arguments, "__file__", str(tmp_path / "llada_cli/arguments.py"))
        monkeypatch.delenv("LLADA_MODEL")
        assert "give one with `--model PATH_OR_ID` or in the environment variable LLADA_MODEL" in fail(
            "generate", LINE
        )
