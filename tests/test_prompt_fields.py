# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Prompt fields: of the shipped poet, and of made-up checkpoints."""

import json

import pytest
from support.tiny_poet import SHIPPED_CHECKPOINT

from modeling_llada.prompt_fields import PromptFields


@pytest.fixture(scope="module")
def poet():
    return PromptFields.load(SHIPPED_CHECKPOINT)


def declare(folder, **content):
    folder.mkdir(exist_ok=True)
    (folder / "prompt_fields.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


class TestHeader:
    @pytest.mark.parametrize(
        ("values", "header"),
        [
            ({}, ""),
            ({"form": "", "title": None}, ""),
            ({"form": "五言绝句"}, "五言绝句\n"),
            ({"title": "静夜思"}, "《静夜思》\n"),
            ({"form": "词", "title": "水调歌头", "author": "苏轼"}, "词《水调歌头》苏轼\n"),
            ({"author": "李白", "title": "{value}"}, "《{value}》李白\n"),
        ],
    )
    def test_parts_that_are_given(self, poet, values, header):
        assert poet.header(values) == header

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"form": "俳句"}, "`form` must be one of 五言绝句 .* but got '俳句'"),
            ({"author": "李白"}, "`author` needs `title`"),
            ({"title": "静夜\n思"}, "`title` must be one line"),
            ({"metre": "iambic"}, "`metre` is not a prompt field of this checkpoint"),
        ],
    )
    def test_values_that_are_not_allowed(self, poet, values, message):
        with pytest.raises(ValueError, match=message):
            poet.header(values)

    def test_errors_name_the_fields_as_users_know_them(self, poet):
        with pytest.raises(ValueError, match="Poet needs Title: give both, or leave Poet out"):
            poet.header({"author": "李白"}, lambda field: field.label)


class TestScript:
    @pytest.mark.parametrize("text", ["The moon is bright tonight,", "Hello 月", "[MASK]tonight[MASK]", "луна"])
    def test_texts_that_the_poet_cannot_read(self, poet, text):
        assert poet.note_on_script(text).startswith("This model knows classical Chinese verse only.")

    @pytest.mark.parametrize("text", ["床前明月光，", "床[MASK][MASK]月光，", "", "。", "1234"])
    def test_texts_that_it_can(self, poet, text):
        assert poet.note_on_script(text) == ""

    def test_who_follows_instructions_reads_english(self):
        adapter = PromptFields.load(SHIPPED_CHECKPOINT.parent / "llada-poet-instruct")
        assert adapter.note_on_script("What comes before 疑是地上霜?") == ""


class TestAnswerLength:
    def test_the_rest_of_the_form_and_eos(self, poet):
        assert poet.answer_length({"form": "五言绝句"}, num_given=0) == 25
        assert poet.answer_length({"form": "五言绝句"}, num_given=6) == 19

    def test_a_free_form_has_none(self, poet):
        assert poet.answer_length({"form": "词"}, 0) is None and poet.answer_length({}, 0) is None

    def test_a_start_that_is_the_whole_answer(self, poet):
        with pytest.raises(ValueError, match="`form` 五言绝句 has 24 tokens, and the prompt already has 24 of them"):
            poet.answer_length({"form": "五言绝句"}, 24)


class TestLines:
    @pytest.mark.parametrize(
        ("line", "before", "after"),
        [
            ("疑是地上霜。", "M，疑是地上霜。", "疑是地上霜。M，"),
            ("床前明月光，", "M，床前明月光，", "床前明月光，M。"),
            ("床前明月光", "M，床前明月光。", "床前明月光，M。"),
        ],
    )
    def test_lines_of_verse(self, poet, line, before, after):
        assert (poet.line_before(line, "M"), poet.line_after(line, "M")) == (before, after)

    def test_lines_of_other_texts_end_with_line_breaks(self):
        fields = PromptFields()
        assert fields.line_before("to be", "M") == "M\nto be" and fields.line_after("to be", "M") == "to be\nM"

    def test_the_first_line(self, poet):
        assert poet.first_line("疑是地上霜。举头望明月，") == "疑是地上霜"
        assert PromptFields().first_line("one\ntwo") == "one" and PromptFields().first_line("one, two") == "one, two"

    def test_two_lines_make_a_row_of_a_drawing(self, poet):
        assert poet.columns({"form": "七言律诗"}, "") == 16
        assert poet.columns({"form": "词"}, "床前明月光，") is None
        assert poet.columns({}, "床前明月光，") == 12 and poet.columns({}, "春") is None
        assert poet.columns(poet.values_named_in("写一首五言绝句《山中》"), "") == 12


class TestLoad:
    def test_every_choice_has_an_english_gloss(self, poet):
        assert all(choice.gloss.isascii() for field in poet.fields for choice in field.choices if choice.gloss)
        assert all(choice.gloss for field in poet.fields for choice in field.choices)
        assert all(example["gloss"] for examples in poet.examples.values() for example in examples)

    def test_a_checkpoint_that_declares_nothing(self):
        assert PromptFields.load(SHIPPED_CHECKPOINT.parent / "llada-sudoku") == PromptFields()
        assert PromptFields.load("nobody/nothing") == PromptFields()

    def test_an_adapter_inherits(self, poet):
        adapter = PromptFields.load(SHIPPED_CHECKPOINT.parent / "llada-poet-instruct")
        assert adapter.fields == poet.fields and adapter.examples["infill"] == poet.examples["infill"]
        assert adapter.examples["chat"] != poet.examples["chat"]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"field": []}, "unexpected keyword argument 'field'"),
            (
                {"fields": [{"name": "author", "help": "", "needs": "title"}]},
                "`author` needs `title`, which is no field",
            ),
            ({"fields": [{"name": "board size", "help": ""}]}, "must be a Python identifier, but got 'board size'"),
            ({"fields": [{"name": "form", "help": 3}]}, r"`fields\[0\]`: `help` must be str, but got 3"),
            ({"fields": [3]}, r"`fields\[0\]`: .* must be a mapping"),
            ({"fields": {"name": "form"}}, "`fields` must be a list, but got {'name': 'form'}"),
            (
                {"fields": [{"name": "form", "help": "", "choices": [{"value": "诗", "length": "5"}]}]},
                r"`fields\[0\]`: `choices\[0\]`: `length` must be int \| None, but got '5'",
            ),
            ({"line_ends": ""}, "`line_ends` must have at least one character"),
            ({"notes": []}, r"`notes` must be Mapping, but got \[\]"),
            ({"notes": {"chat": 3}}, r"`notes\['chat'\]` must be a text, but got 3"),
            ({"examples": {"chat": [{"prompt": 3}]}}, r"`examples\['chat'\]` must hold objects of texts"),
        ],
    )
    def test_a_wrong_file(self, tmp_path, content, message):
        with pytest.raises(ValueError, match=message):
            PromptFields.load(declare(tmp_path, **content))

    @pytest.mark.parametrize("text", ["{", "[]"])
    def test_a_file_that_is_no_object(self, tmp_path, text):
        (tmp_path / "prompt_fields.json").write_text(text)
        with pytest.raises(ValueError, match="prompt_fields.json must (be a JSON file|hold a JSON object)"):
            PromptFields.load(tmp_path)

    def test_a_file_in_the_cache_of_the_hub(self, tmp_path, monkeypatch):
        import huggingface_hub

        cached = declare(tmp_path, fields=[{"name": "style", "help": "style of the text"}]) / "prompt_fields.json"
        monkeypatch.setattr(
            huggingface_hub,
            "try_to_load_from_cache",
            lambda repo, name: str(cached) if name == "prompt_fields.json" else None,
        )
        assert [field.label for field in PromptFields.load("somebody/something").fields] == ["Style"]
