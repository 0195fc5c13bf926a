# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The parts of the Space that need no browser, and `llada space`."""

import io
import json
import os
import re
import shutil
import sys
import threading
import time
import zlib
from base64 import b64decode, urlsafe_b64encode
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import torch
from support.tiny_poet import SHIPPED_CHECKPOINT
from support.waiting import wait_until

from llada_cli import main
from modeling_llada.models.options_llada import OPTIONS
from modeling_llada.prompt_fields import PromptFields
from modeling_llada.streaming import DenoisingRecord


pytest.importorskip("gradio", reason="needs gradio: pip install -e '.[space]'")

from llada_space import links, options, patterns, prompts, stepping, sudoku
from llada_space import models as space_models
from llada_space.models import ModelCard, Models
from llada_space.runner import Runner, toast
from llada_space.runs import Run, RunArchive
from llada_space.stepping import Task, denoise, run_together


SPACE = Path(__file__).parents[2] / "space"


@pytest.fixture
def runner(poet_folder):
    return make_runner(poet_folder)


def make_runner(poet_folder):
    return Runner(Models([ModelCard("tiny", str(poet_folder), 64, 32, 4, is_small=True)]))


def task_of(runner, text="床前", **values):
    _, tokenizer = runner.models.load("tiny")
    return Task("tiny", tuple(tokenizer(text).input_ids), {"max_new_tokens": 6, "stop_at_eos": False} | values, 0)


class TestOptions:
    def test_all_options_of_the_commands_are_there(self):
        offered = {option.name for option in OPTIONS if option.on_command_line}
        for_pictures = {"cfg_text_only", "skip_after_eos"}
        for_llada2 = {"edit_threshold", "max_post_edit_steps", "stutter_penalty", "insert_delete", "min_commits"}
        assert set(options.NAMES) == offered - {"num_return_sequences"} - for_pictures - for_llada2

    @pytest.mark.parametrize("option", options.OPTIONS, ids=lambda option: option.name)
    def test_the_field_of_an_option(self, option):
        """Its first value and the example of the table can be read. An option that is off at first is left to the model."""
        first = options.read_value(option, options.DEFAULTS[option.name])
        assert first == (64 if option.name == "max_new_tokens" else option.default)
        assert options.read_value(option, option.example) == option.example

    @pytest.mark.parametrize("preset", options.PRESETS, ids=lambda preset: preset.name)
    def test_presets_are_valid(self, preset):
        for card in (ModelCard("poet", "", block_length=12, fast_block_length=0, fast_refresh=2), ModelCard("8B", "")):
            values = {"max_new_tokens": 64} | options.preset_values(preset.name, card)
            read = options.read_options(values, 256)
            assert options.name_settings(values, card) == preset.name
        if preset.name == "paper's GSM8K setting":
            assert (read["max_new_tokens"], read["steps"], read["block_length"]) == (256, 256, 8)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"max_new_tokens": 300}, "at most 256"),
            ({"max_new_tokens": 8.5}, "whole number"),
            ({"temperature": float("nan")}, "must be a number"),
            ({"temperature": "1"}, "must be a number"),
            ({"remasking": "os.system"}, "must be one of"),
            ({"stop_at_eos": 1}, "must be `True` or `False`"),
            ({"steps": 10**9}, "must be in"),
            ({"trust_remote_code": True}, "no option 'trust_remote_code'"),
            ({"confidence_threshold": 0.9, "entropy_bound": 0.1}, "confidence_threshold"),
        ],
    )
    def test_bad_values(self, values, message):
        with pytest.raises(ValueError, match=re.escape(message)):
            options.read_options(values, 256)

    def test_what_is_off_is_off_whatever_the_checkpoint_says(self, runner):
        model = runner.models.load("tiny")[0]
        values = options.DEFAULTS | {"max_new_tokens": 6, "stop_at_eos": False}
        task = Task("tiny", (5, 6), options.read_options(values, 256), 0)
        model.generation_config.update(steps=1, confidence_threshold=0.0, block_length=3)
        assert list(denoise(task, runner.models.load))[-1]["cost"]["passes"] == 6

    def test_an_empty_field(self):
        assert "max_new_tokens" not in options.read_options({"max_new_tokens": None}, 256)

    def test_seed(self):
        assert options.choose_seed(7) == 7 and 0 <= options.choose_seed(-1) < 2**31
        for seed in (-2, 1.5, 2**40, "x", True):
            with pytest.raises(ValueError, match="the seed must be"):
                options.choose_seed(seed)


@pytest.fixture(scope="module")
def unpacked(poet_folder):
    runner = make_runner(poet_folder)
    *_, [run] = runner.play([task_of(runner)], [{"link": "?tab=generate"}])
    return links.unzip(links.pack_runs([run]))


class TestLinks:
    def test_back_and_forth(self):
        link = links.write_link(
            "infill", {"text": "床前[MASK]&月", "steps": 0, "temperature": 0.7, "stop_at_eos": False}
        )
        query = {name: value for name, [value] in parse_qs(link[1:]).items()}
        assert query == {
            "tab": "infill", "text": "床前[MASK]&月", "steps": "0", "temperature": "0.7", "stop_at_eos": "0",
        }  # fmt: skip
        assert links.read_value(query["temperature"], "float") == 0.7
        assert links.read_value(query["stop_at_eos"], "bool") is False

    def test_what_is_off_is_in_the_link_too(self):
        """The page may have it on at first, such as the form, or the threshold of the second side of a comparison."""
        fields = {"prompt": "", "seed": 0, "b.confidence_threshold": 0, "b.block_cache": "none", "length": None}
        query = parse_qs(links.write_link("compare", fields)[1:], keep_blank_values=True)
        assert query == {
            "tab": ["compare"], "prompt": [""], "seed": ["0"], "b.confidence_threshold": ["0"], "b.block_cache": ["none"],
        }  # fmt: skip

    @pytest.mark.parametrize("text", ["", "x", "nan", "inf", "1e999"])
    def test_what_cannot_be_read_is_left_alone(self, text):
        assert links.read_value(text, "float") is None
        assert links.read_value(text, "bool") is None

    def test_a_link_shows_its_run(self, runner):
        """The committed tokens, their steps, confidences and runners-up; not the drafts."""
        about = {"title": "床前", "columns": 12, "link": "?tab=generate"}
        [[run]] = list(runner.play([task_of(runner)], [about]))[-1:]
        packed = run.about["link"].removeprefix("?tab=generate&run=")
        assert len(packed) < 600
        [shown] = runner.replay(packed, [task_of(runner)], [about])
        assert (shown.status, shown.cost, shown.text()) == ("done", run.cost, run.text())
        for cell, other in zip(shown.pictures[-1].cells, run.pictures[-1].cells, strict=True):
            assert (cell.text, cell.step, cell.best) == (other.text, other.step, other.best)
            assert cell.confidence == pytest.approx(other.confidence, abs=1e-3)
        assert "error" not in runner.save_run({"run": shown.name, "format": "json"})

    def test_a_run_too_long_for_a_link_is_made_again(self, runner, monkeypatch):
        monkeypatch.setattr(links, "MAX_LINK", 40)
        *_, [run] = runner.play([task_of(runner)], [{"link": "?tab=generate"}])
        assert run.about["link"] == "?tab=generate&play=1"

    @pytest.mark.parametrize(
        "change",
        [
            lambda packed: packed * 2,  # another number of runs
            lambda packed: [[[6, 6, 1e300], packed[0][1]]],
            lambda packed: [[[6, 6], packed[0][1]]],
            lambda packed: [[None, packed[0][1] * 9]],  # more steps than masks
            lambda packed: [[None, [[0, 0, [[0, 5, 0.5]], []]]]],  # a given token
            lambda packed: [[None, [[0, 0, [[-1, 5, 0.5]], []]]]],
            lambda packed: [[None, [[0, 0, [[3, 10**9, 0.5]], []]]]],
            lambda packed: [[None, [[0, 0, [[3, 5, "0.5"]], []]]]],
            lambda packed: [[None, [[0, 0, [[3, True, 0.5]], []]]]],
            lambda packed: [[None, [[0, 0, [], [[3, 5, 5, 5, 0.5, 0.5]]]]]],
            lambda packed: [[None, [["0", 0, [], []]]]],
            lambda packed: [[None, [[0, 0, [[3, 5, float("nan")]], []]]]],
            lambda packed: [[packed[0][0], packed[0][1][:1]]],  # another text, as another checkpoint would read it
            lambda packed: {"runs": packed},
            lambda packed: "[" * 3000,
            lambda packed: "x" * links.MAX_UNPACKED,
        ],
    )
    def test_damaged_runs_are_refused(self, runner, unpacked, change):
        number, packed = unpacked
        changed = change(packed)
        text = changed if isinstance(changed, str) else json.dumps([number, changed])
        hostile = urlsafe_b64encode(zlib.compress(text.encode())).decode()
        for damaged in (hostile, hostile[:20], "x", "", "月"):
            with pytest.raises(ValueError, match="the link is damaged"):
                runner.replay(damaged, [task_of(runner)], [{"link": ""}])

    def test_a_tab_of_a_model_with_a_short_context(self, poet_folder):
        """The first length is one that the model has. A run that cannot be shown leaves the fields of its link."""
        import gradio as gr
        from llada_space.views.generate import GenerateTab

        card = replace(space_models.small_card(poet_folder), max_new_tokens=8)
        with gr.Blocks():
            tab = GenerateTab(Runner(Models([card])), gr.Dropdown([card.name], value=card.name))
        tab.record_first_run()
        assert tab.players[0].value["status"] == "done"
        query = {"prompt": "月", "max_new_tokens": "99", "model": "other", "play": "1"}
        values = tab.read_fields(query)
        assert values == {tab.prompt: "月", tab.players[0]: None}
        with pytest.raises(ValueError, match="does not offer the model of the link, 'other'"):
            tab.open_run(query, values)
        tab.prompt.value = "月" * 999
        tab.record_first_run()  # a page without an opening run is better than none

    def test_a_text_too_long_for_a_link(self):
        assert links.write_link("generate", {"prompt": "月" * 3000}) == ""


class TestPrompts:
    def test_words_in_brackets_are_opened(self, tiny_poet):
        tokenizer = tiny_poet[1]
        assert prompts.open_masks("春[[眠不]]觉[MASK]，", tokenizer) == "春[MASK][MASK]觉[MASK]，"
        with pytest.raises(ValueError, match="there is nothing to fill"):
            prompts.open_masks("春眠", tokenizer)

    @pytest.mark.parametrize(
        ("line", "before", "behind"),
        [
            ("疑是地上霜。", "MMMMM，疑是地上霜。", "疑是地上霜。MMMMM，"),
            ("床前明月光，", "MMMMM，床前明月光，", "床前明月光，MMMMM。"),
            ("床前明月光", "MMMMM，床前明月光。", "床前明月光，MMMMM。"),
        ],
    )
    def test_neighbours(self, tiny_poet, line, before, behind):
        texts = prompts.neighbours(line, 0, tiny_poet[1], PromptFields.load(SHIPPED_CHECKPOINT))
        assert [text.replace("[MASK]", "M") for text in texts] == [before, behind]

    def test_limits(self, tiny_poet):
        model, tokenizer = tiny_poet
        card = ModelCard("tiny", "", max_prompt_tokens=4)
        with pytest.raises(ValueError, match="the prompt has 5 tokens, and tiny allows at most 4 here"):
            prompts.encode("床前明月光", model, tokenizer, card)
        with pytest.raises(ValueError, match="at most 4000 are allowed"):
            prompts.check_text("the prompt", "月" * 5000)
        with pytest.raises(ValueError, match="nothing to start from"):
            prompts.encode("", model, tokenizer, card)

    def test_chat(self, tiny_poet):
        model, tokenizer = tiny_poet
        history = [
            {"role": "user", "content": "床前"},
            {"role": "assistant", "content": [{"type": "text", "text": "明月"}]},
        ]
        ids = prompts.encode_chat(history, "光", "", model, tokenizer, ModelCard("tiny", ""))
        assert "床前明月" in tokenizer.decode(ids).replace("<|endoftext|>", "")

    def test_tags_in_a_chat_are_text(self):
        shown = prompts.as_html("<b>月</b> & <script>")
        assert "<" not in shown
        assert prompts.as_text([{"type": "text", "text": shown}]) == "<b>月</b> & <script>"

    def test_of_a_stopped_reply_the_next_turn_sees_what_was_written(self):
        history = [{"role": "user", "content": "床前"}, {"role": "assistant", "content": "明月░░霜░"}]
        assert prompts.pair_turns(history) == [("床前", "明月")]

    def test_the_turns_of_a_chat_have_the_limit_of_a_message(self):
        history = [{"role": "user", "content": "月" * 5000}, {"role": "assistant", "content": "光"}]
        with pytest.raises(ValueError, match="a message of the chat has 5000 characters"):
            prompts.pair_turns(history)


class TestFields:
    @pytest.mark.parametrize("name", ["max_new_tokens", "steps", "temperature", "remasking", "seed"])
    def test_hostile_values_of_a_link_are_left_alone(self, name):
        from llada_space import fields

        option = next((option for option in options.OPTIONS if option.name == name), None)
        field, kind = (fields.make_field(option), option.kind) if option else (fields.make_seed(), "int")
        for text in ("-5", "1e300", "<img src=x onerror=alert(1)>", "9" * 40, ""):
            value = links.read_value(text, kind)
            assert value is None or not fields.can_hold(field, value)
        good = {"remasking": "margin"}.get(name, "1")
        assert fields.can_hold(field, links.read_value(good, kind))


class TestHeaderFields:
    @pytest.fixture
    def cards(self):
        return space_models.small_card(SHIPPED_CHECKPOINT), ModelCard("plain", "plain")

    @pytest.fixture
    def header(self, cards):
        import gradio as gr
        from llada_space.header import HeaderFields

        with gr.Blocks():
            return HeaderFields(Models(list(cards)), cards[0])

    def test_choices_have_an_english_gloss(self, header):
        assert ("五言绝句 · quatrain, four lines of five characters", "五言绝句") in header.components["form"].choices
        assert header.components["form"].value == "五言绝句", "the first example"

    def test_a_field_may_have_a_name_of_the_page(self):
        import gradio as gr
        from llada_space.header import HeaderFields

        fields = PromptFields(fields=[{"name": "prompt", "help": ""}, {"name": "style", "help": ""}])
        card = ModelCard("own", "own", prompt=fields)
        with gr.Blocks():
            header = HeaderFields(Models([card]), card)
        assert list(header.inputs) == list(header.linked) == ["field_prompt", "style"]
        assert header.values(card, ("a", "b")) == {"prompt": "a", "style": "b"}

    def test_a_model_without_fields_has_no_header(self, header, cards):
        poet, plain = cards
        given = ("五言绝句", " 春夜 ", "")
        assert header.values(poet, given) == {"form": "五言绝句", "title": "春夜", "author": ""}
        assert header.values(plain, given) == {}
        assert [update["visible"] for update in header.update(plain)] == [False] * 4
        assert [update["visible"] for update in header.update(poet)] == [True] * 4


class TestModels:
    @pytest.mark.parametrize("name", ["/etc/passwd", "../..", "evil/model", "", None, "GSAI-ML/LLaDA-8B-Instruct"])
    def test_only_the_list_is_loaded(self, runner, name, monkeypatch):
        monkeypatch.setattr(space_models, "load_with_processor", lambda *args: pytest.fail("it was loaded"))
        with pytest.raises(ValueError, match="the model must be one of tiny"):
            runner.models.load(name)

    def test_the_allow_list(self):
        assert [card.name for card in space_models.allowed_models(None, False)][:1] == ["llada-poet"]
        assert "GSAI-ML/LLaDA-8B-Instruct" in [card.name for card in space_models.allowed_models(None, True)]
        named = space_models.allowed_models("GSAI-ML/LLaDA-8B-Instruct", False)
        assert [card.name for card in named][:2] == ["GSAI-ML/LLaDA-8B-Instruct", "llada-poet"]
        assert not named[0].prompt.fields and named[1].prompt.fields

    def test_a_checkpoint_without_prompt_fields_opens_only_when_it_is_named(self):
        """The solver of Sudoku lies beside the poets."""
        solver = SHIPPED_CHECKPOINT.parent / "llada-sudoku"
        assert solver not in space_models.find_shipped()
        card = space_models.allowed_models(str(solver), False)[0]
        assert (card.name, card.source, card.prompt) == ("llada-sudoku", str(solver), PromptFields())

    def test_a_small_checkpoint_of_ones_own_is_known_by_its_prompt_fields(self, poet_folder, tmp_path):
        assert space_models.card_of(str(poet_folder)).is_small
        other = shutil.copytree(poet_folder, tmp_path / "other")
        (other / "prompt_fields.json").unlink()
        assert not space_models.card_of(str(other)).is_small
        (other / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(poet_folder)}))
        (other / "generation_config.json").unlink()
        card = space_models.card_of(str(other))
        assert card.is_small and card.base == poet_folder.name, "an adapter has the fields of its base"

    def test_limits_follow_the_context(self, poet_folder, tmp_path):
        """Also of a checkpoint that is not small, and its fields do not offer more."""
        other = shutil.copytree(poet_folder, tmp_path / "other")
        (other / "prompt_fields.json").unlink()
        config = json.loads((other / "config.json").read_text())
        (other / "config.json").write_text(json.dumps(config | {"max_sequence_length": 100}))
        card = space_models.card_of(str(other))
        assert (card.max_prompt_tokens, card.max_new_tokens) == (100, 100)
        assert "paper's GSM8K setting" in options.presets_of(card)
        assert "paper's GSM8K setting" not in options.presets_of(space_models.small_card(SHIPPED_CHECKPOINT))

    def test_an_adapter_answers_the_chats_of_its_base(self):
        models = Models(space_models.allowed_models(None, False))
        assert models.names == ["llada-poet", "llada-poet-instruct"]
        card = models.chat_card("llada-poet")
        assert card is models.chat_card("llada-poet-instruct")
        assert (card.name, card.base, card.new_tokens) == ("llada-poet-instruct", "llada-poet", 65)
        official = Models(space_models.allowed_models("GSAI-ML/LLaDA-8B-Instruct", False))
        assert official.chat_card("GSAI-ML/LLaDA-8B-Instruct").name == "GSAI-ML/LLaDA-8B-Instruct"

    def test_the_tokenizer_stays_when_a_model_has_to_go(self, monkeypatch):
        loaded = []
        monkeypatch.setattr(
            space_models, "load_with_processor", lambda source, *_: loaded.append(source) or (0, source)
        )
        models = Models([ModelCard("one", "1"), ModelCard("two", "2")])
        models.load("one"), models.load("two")
        assert models.tokenizer("one") == "1" and loaded == ["1", "2"]

    def test_on_zero_gpu_all_of_the_list_is_loaded_at_once(self, monkeypatch):
        loaded = []
        monkeypatch.setenv("SPACES_ZERO_GPU", "1")
        monkeypatch.delenv("LLADA_MODEL", raising=False)
        monkeypatch.setattr(space_models, "load_with_processor", lambda *arguments: loaded.append(arguments) or (0, 0))
        monkeypatch.setattr(space_models, "warm_up", lambda *_: None)
        models = space_models.open_models()
        assert models.names == ["llada-poet", "llada-poet-instruct"]
        with_own_tabs = list(filter(space_models.find_own, space_models.OWN_TABS))
        assert [Path(source).name for source, _ in loaded] == [*models.names, *with_own_tabs]
        assert {device for _, device in loaded} == {"cuda"}

    def test_nobody_waits_while_another_model_is_read(self, monkeypatch):
        reading, finish = threading.Event(), threading.Event()

        def read(source, device):
            if source == "slow":
                reading.set()
                assert finish.wait(10)
            return source, source

        monkeypatch.setattr(space_models, "load_with_processor", read)
        models = Models([ModelCard("quick", "quick", is_small=True), ModelCard("slow", "slow", is_small=True)])
        models.load("quick")
        other = threading.Thread(target=models.load, args=["slow"])
        other.start()
        assert reading.wait(10) and models.load("quick") == ("quick", "quick")
        finish.set()
        other.join()

    def test_a_model_that_cannot_be_had(self):
        with pytest.raises(ValueError, match="cannot load 'GSAI-ML/LLaDA-8B-Instruct'"):
            Models([ModelCard("8B", "GSAI-ML/LLaDA-8B-Instruct")]).load("8B")


class TestSudoku:
    def test_the_puzzles_that_the_page_offers(self):
        """The file of `python -m recipes.sudoku space`: each has one solution, and hard ones have more empty cells."""
        for size, by_difficulty in sudoku.PUZZLES.items():
            counts = []
            for puzzles in by_difficulty.values():
                read = [sudoku.read_puzzle(puzzle) for puzzle in puzzles]
                assert {shape.name for shape, _ in read} == {size} and len(set(puzzles)) == len(puzzles) > 1
                counts.append([digits.count(0) for _, digits in read])
            assert max(counts[0]) < min(counts[1]) and max(counts[1]) < min(counts[2])

    @pytest.mark.parametrize(
        "text", ["4x4\n1..4\n..2.\n.4..\n2...\n", "1 . | . 4\n\n. . 2 .\n_4__\n2000", "1[MASK].4\n..2.\n.4..\n2..."]
    )
    def test_ways_to_write_a_puzzle(self, text):
        shape, digits = sudoku.read_puzzle(text)
        assert shape.name == "4x4" and digits == [1, 0, 0, 4, 0, 0, 2, 0, 0, 4, 0, 0, 2, 0, 0, 0]
        assert sudoku.board_text(shape, digits).startswith("4x4\n1[MASK][MASK]4\n")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "a puzzle has 4, 6 or 9 rows, one in a line, but this one has 0"),
            ("1..4\n..2.\n.4..\n2..", "row 4 has 3 cells, but a row of a 4x4 puzzle has 4"),
            ("1..5\n..2.\n.4..\n2...", "row 1 has '5': write digits from 1 to 4"),
            ("1..1\n..2.\n.4..\n2...", "row 1 has the digit 1 twice"),
            ("1...\n....\n1...\n....", "column 1 has the digit 1 twice"),
            ("1...\n.1..\n....\n....", "box 1 has the digit 1 twice"),
            ("12..\n..3.\n...4\n....", "this puzzle has no solution"),
            ("....\n....\n....\n....", "more than one solution: give more digits"),
            ("1234\n3412\n2143\n4321", "no empty cell"),
        ],
    )
    def test_what_is_no_puzzle(self, text, message):
        with pytest.raises(ValueError, match=re.escape(message)):
            sudoku.read_puzzle(text)

    def test_cells_in_conflict(self):
        shape = sudoku.SHAPES[4]
        assert sudoku.count_conflicts(shape, list("1234341221434321")) == 0
        assert sudoku.count_conflicts(shape, ["1", "1", *[""] * 14]) == 2


class TestRunning:
    def test_events_are_those_of_a_record(self, runner):
        task = task_of(runner, block_length=3)
        events = list(denoise(task, runner.models.load))
        assert events[-1]["cost"]["passes"] == events[-1]["cost"]["tokens"] == 6
        tokenizer = runner.models.load("tiny")[1]
        model = runner.models.load("tiny")[0]
        record = DenoisingRecord.from_dict(
            {"version": 1, **stepping.start_of(task, model), "frames": events[:-1]}, tokenizer
        )
        expected = model.generate(torch.tensor([task.input_ids]), **task.options)
        assert torch.equal(record.frames[-1].tokens, expected)

    def test_a_step_is_made_when_it_is_asked_for(self, runner):
        before = threading.active_count()
        run = denoise(task_of(runner, max_new_tokens=20), runner.models.load)
        next(run), next(run)
        time.sleep(0.3)
        assert threading.active_count() == before + 1  # it waits
        run.close()
        wait_until(lambda: threading.active_count() == before)

    def test_a_run_that_nobody_asks_ends(self, runner, monkeypatch):
        monkeypatch.setattr(stepping, "IDLE_SECONDS", 1.0)  # the test asks sooner, also on a busy machine
        before = threading.active_count()
        run = denoise(task_of(runner), runner.models.load)
        next(run)
        wait_until(lambda: threading.active_count() == before)
        run.close()

    def test_two_in_step(self, runner):
        tasks = [task_of(runner), task_of(runner, confidence_threshold=0.0)]
        ticks = list(run_together(tasks, runner.models.load))
        assert [sum("step" in (event or {}) for event in column) for column in zip(*ticks, strict=True)] == [7, 2]


def play_one(runner, task, about):
    """Runs one task. Yields the values for its player, and the name of the run."""
    for [run] in runner.play([task], [about]):
        yield run.value(), run.name


class TestRunner:
    def play(self, runner, **options):
        about = {"title": "床前", "columns": 12, "link": "?tab=generate"}
        return list(play_one(runner, task_of(runner, **options), about))

    def test_values_of_a_run(self, runner):
        values = self.play(runner)
        assert [value["status"] for value, _ in values] == ["running"] * 8 + ["done"]
        steps = [value["picture"]["step"] for value, _ in values[:-1]]
        assert steps == [-1, 0, 1, 2, 3, 4, 5, 5]
        assert len(values[-1][0]["recording"]["frames"]) == 7
        assert values[-1][0]["cost"][0] == ["6", "forward passes"]
        json.dumps([value for value, _ in values])

    @pytest.mark.parametrize(
        ("name", "content"), [("json", '"status":"done"'), ("svg", "<svg"), ("html", '["6", "forward passes"]')]
    )
    def test_exports(self, runner, name, content):
        run = self.play(runner)[-1][1]
        answer = runner.save_run({"run": run, "format": name})
        assert answer["name"] == f"denoising.{name}" and content in b64decode(answer["data"]).decode()

    @pytest.mark.parametrize("request_", [{}, None, {"run": "x", "format": "json"}, {"run": 3, "format": "../x"}])
    def test_exports_of_nothing(self, runner, request_):
        assert runner.save_run(request_)["error"].startswith("The export failed")

    def test_other_exports(self, runner):
        run = self.play(runner)[-1][1]
        error = runner.save_run({"run": run, "format": "../../x"})["error"]
        assert "must be one of gif, webp, svg, json, html" in error

    def test_stop(self, runner):
        run = play_one(runner, task_of(runner), {"title": "", "columns": None, "link": ""})
        for _ in range(4):
            _, name = next(run)
        run.close()
        value = runner.stop(name)
        assert value["status"] == "stopped" and len(value["recording"]["frames"]) == 3
        assert "error" not in runner.save_run({"run": name, "format": "json"})

    def test_a_stop_that_comes_late_gives_the_result(self, runner):
        """The last update of the page may have been cancelled."""
        value, name = self.play(runner)[-1]
        assert runner.stop(name) == value
        assert runner.stop("x") == runner.stop(None)

    def test_errors_quote_no_html(self):
        with pytest.raises(ValueError) as caught:
            options.read_options({"remasking": "<img src=x>"}, 256)
        assert "&lt;img src=x&gt;" in toast(caught.value).message

    def test_the_page_hears_of_any_error(self, runner):
        def fail(tasks):
            raise RuntimeError("out of memory")
            yield

        failing, values = Runner(runner.models, on_gpu=lambda work: fail), []
        with pytest.raises(RuntimeError, match="out of memory"):
            values.extend(play_one(failing, task_of(runner), {"title": ""}))
        value, name = values[-1]
        assert value["status"] == "stopped" and failing.archive.find_open(name) is None

    def test_masks_are_there_before_the_first_step(self, runner):
        waiting = Runner(runner.models, on_gpu=lambda work: lambda tasks: pytest.fail("it was asked for a step"))
        run = play_one(waiting, task_of(runner), {"title": ""})
        value, name = next(run)
        assert [cell["state"] for cell in value["picture"]["cells"]] == ["given"] * 2 + ["mask"] * 6
        run.close()
        value = waiting.stop(name)
        assert value["status"] == "stopped" and len(value["recording"]["cells"]) == 8

    def test_a_run_that_is_refused_ends_in_the_page_too(self, runner):
        run, values = play_one(runner, task_of(runner, max_new_tokens=1000), {"title": ""}), []
        with pytest.raises(ValueError, match="max_position_embeddings"):
            values.extend(run)
        assert values[-1][0]["status"] == "stopped"

    def test_archive_forgets(self, runner):
        archive = RunArchive(size=2)
        names = []
        for _ in range(3):
            run = Run(task_of(runner), *runner.models.load("tiny"), {})
            archive.open(run)
            archive.close(run)
            names.append(run.name)
        with pytest.raises(ValueError, match="no longer kept"):
            archive.read(names[0])
        assert archive.read(names[2])[1] == "tiny"


class TestCommand:
    def test_build(self, tmp_path, capsys):
        folder = tmp_path / "space"
        assert main(["space", "--build", str(folder)]) == 0
        assert {path.name for path in folder.iterdir()} >= {
            "README.md", "app.py", "requirements.txt", "packages.txt", "llada_space", "checkpoints", "modeling_llada", "llada_cli",
        }  # fmt: skip
        assert (folder / "modeling_llada/drawing/player.js").is_file()
        assert (folder / "checkpoints/llada-poet/config.json").is_file()
        assert (folder / "checkpoints/llada-poet-instruct/adapter_model.safetensors").is_file()
        front = (folder / "README.md").read_text(encoding="utf-8").split("---")[1]
        for line in ("sdk: gradio", "app_file: app.py", "license: apache-2.0", "sdk_version: 6."):
            assert line in front
        needed = {re.split(r"[><=]", line)[0] for line in (folder / "requirements.txt").read_text().splitlines()}
        assert {"torch", "transformers", "accelerate", "peft", "spaces"} <= needed and "gradio" not in needed
        assert not list(folder.rglob("__pycache__"))
        assert main(["space", "--build", str(folder)]) == 2
        assert "has files" in capsys.readouterr().err
        assert main(["space", "--build", str(folder), "--overwrite"]) == 0

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--build", "x", "--port", "1"], "`--port` is for serving"),
            (["--overwrite"], "`--overwrite` needs `--build`"),
            (["--port", "99999"], "`--port` must be a number"),
            (["--build", str(SPACE)], "must not overlap with the source"),
        ],
    )
    def test_bad_arguments(self, arguments, message, capsys):
        assert main(["space", *arguments]) == 2
        assert message in capsys.readouterr().err

    def test_overwrite_spares_what_it_did_not_write(self, tmp_path, capsys):
        (tmp_path / "thesis.tex").write_text("years of work")
        assert main(["space", "--build", str(tmp_path), "--overwrite"]) == 2
        assert (tmp_path / "thesis.tex").is_file()


def test_serving_needs_no_installation_and_writes_the_address_at_once(monkeypatch):
    started = []
    monkeypatch.setattr(os, "execv", lambda *arguments: started.append((arguments, os.environ["PYTHONPATH"])))
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    assert main(["space"]) == 0
    [((program, arguments), path)] = started
    clone = SHIPPED_CHECKPOINT.parents[1]
    assert [program, *arguments] == [sys.executable, sys.executable, "-u", str(clone / "space/app.py")]
    assert path.split(os.pathsep) == [str(clone), "elsewhere"]


@pytest.fixture(scope="module")
def client(poet_folder):
    """A client of a running page that opens with a tiny model."""
    from gradio_client import Client
    from llada_space.interface import build, launch_options

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLADA_MODEL", str(poet_folder))
        page = build(Runner(space_models.open_models()))
    with redirect_stdout(io.StringIO()) as stdout:
        page.launch(**launch_options(), prevent_thread_lock=True, server_name="127.0.0.1")
    assert page.local_url.strip("/") in stdout.getvalue()  # a user needs the address
    yield Client(page.local_url, verbose=False)
    page.close()


class TestPattern:
    """The field of a regular expression."""

    def test_the_preset_is_a_quatrain(self, runner):
        label, pattern = patterns.POEM_FORM
        _, tokenizer = runner.models.load("tiny")
        assert patterns.check_pattern(pattern, tokenizer, max_new_tokens=24) == pattern
        task = replace(task_of(runner, max_new_tokens=26), pattern=pattern)
        *_, [run] = runner.play([task], [{}])
        assert re.fullmatch(pattern, run.text()[2:]) and run.settings["pattern"] == pattern

    @pytest.mark.parametrize(
        ("pattern", "message"),
        [
            ("(床", "must be a regular expression"),
            ("床{25}", "must be at least 25, the length of the shortest text"),
            ("床{0,2000}", "the pattern has 2,001 states, and at most 1,000 are allowed here"),
            ("床" * 5000, "the pattern has 5000 characters"),
        ],
    )
    def test_refused(self, runner, pattern, message):
        with pytest.raises(ValueError, match=message):
            patterns.check_pattern(pattern, runner.models.load("tiny")[1], max_new_tokens=24)

    def test_in_the_page_and_in_its_link(self, client):
        from support.space_load import final_text

        value = client.predict(prompt="床前", pattern="[明日]月光", max_new_tokens=4, form="", api_name="/generate")
        assert re.fullmatch("床前[明日]月光", final_text(value))
        assert parse_qs(value["link"][1:])["pattern"] == ["[明日]月光"]


class TestServer:
    """The API of the page, with another model in LLADA_MODEL."""

    def test_the_named_model_comes_first(self, client, poet_folder):
        value = client.predict(prompt="床前", form="五言绝句", api_name="/generate")
        assert (
            value["title"] == "五言绝句 · quatrain, four lines of five characters"
            and value["label"] == "pure diffusion"
        )
        query = parse_qs(value["link"][1:])
        assert query["model"] == [poet_folder.name]

    def test_a_second_one_can_be_chosen(self, client):
        from support.space_load import final_text

        value = client.predict(model="llada-poet", form="五言绝句", prompt="床前明月光，", api_name="/generate")
        assert final_text(value).endswith("举头望明月，低头思故乡。")

    def test_chats_go_to_the_adapter(self, client):
        turns, _, value = client.predict(
            model="llada-poet", history=[], message="谁言寸草心，下一句", system="", api_name="/chat"
        )
        assert value["title"] == "llada-poet-instruct"
        assert turns[-1]["content"][0]["text"] == "谁言寸草心，报得三春晖。"

    def test_sudoku(self, client):
        puzzle = sudoku.PUZZLES["4x4"]["easy"][0]
        value, verdict = client.predict(puzzle=puzzle, way="one digit a pass", api_name="/sudoku")
        assert verdict == f"**Solved** in {value['cost'][0][0]} forward passes."
        with pytest.raises(Exception, match="Row 1 has 3 cells"):
            client.predict(puzzle="12.\n" * 4, way="one digit a pass", api_name="/sudoku")

    def test_the_page_opens_on_a_run(self, client, poet_folder):
        [value] = [
            component["props"]["value"]
            for component in client.config["components"]
            if component["props"].get("elem_id") == "generate-player"
        ]
        assert (value["status"], value["recorded"]) == ("done", "opening") and "&run=" in value["link"]
        assert len(value["recording"]["frames"]) > 2

    def test_a_prompt_in_another_script(self, client):
        value = client.predict(
            model="llada-poet", form="", prompt="Hello, who are you?", max_new_tokens=2, api_name="/generate"
        )
        assert value["note"].startswith("This model knows classical Chinese verse only.")

    def test_no_other_is_loaded(self, client):
        with pytest.raises(Exception, match="model must be one of|not in the list"):
            client.predict(model="/etc", prompt="床前", api_name="/generate")


def test_the_fast_preset_keeps_the_poem():
    """It takes fewer passes. space_presets.py measures more poems."""
    from support.space_presets import measure

    [pure, fast] = [
        measure(name, ["五言绝句\n床前明月光，"]) for name in ("pure diffusion", "fast: dual cache + threshold")
    ]
    assert fast.texts == pure.texts and fast.passes < pure.passes / 2
