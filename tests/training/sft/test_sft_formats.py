# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Datasets in the forms that people have: what is read, what is trained on, and what is refused."""

import functools
import json
import logging
import re
from pathlib import Path

import pytest


pytest.importorskip("trl", reason="TRL is not part of this environment")

from datasets import Dataset
from jinja2 import TemplateError
from support.sft_runs import sft_trainer
from support.tiny_poet import SHIPPED_CHECKPOINT
from transformers import AutoTokenizer

from modeling_llada.export.tokenizer import CHAT_TEMPLATE
from modeling_llada.training import LLaDASFTConfig
from modeling_llada.training.data_files import LINE
from modeling_llada.training.sft.configuration import FORMATS
from modeling_llada.training.sft.formats import find_format, read_rows
from modeling_llada.training.sft.rows import tokens_of_no_answer


# Writes tools and their calls, and one EOS after each answer.
TOOL_TEMPLATE = (
    "{% for tool in tools or [] %}{{ tool.function.name }}{% endfor %}{% for message in messages %}"
    "{% if message.role == 'assistant' %}{% generation %}{% for call in message.tool_calls or [] %}"
    "{{ call.function.name + call.function.arguments | tojson }}{% endfor %}{{ message.content + eos_token }}"
    "{% endgeneration %}{% else %}{{ message.content + bos_token }}{% endif %}{% endfor %}"
)
ROOT = Path(__file__).parents[3]
TEMPLATES = [
    CHAT_TEMPLATE,
    *(SHIPPED_CHECKPOINT.parent / name / "chat_template.jinja" for name in ("llada-poet", "llada-poet-instruct")),
]
CALL = {"type": "function", "function": {"name": "moon", "arguments": '{"day": 1}'}}


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **keys):
    return {"role": "assistant", "content": content} | keys


def parts(*texts):
    return [{"type": "text", "text": text} for text in texts]


def dataset_of(*rows):
    return Dataset.from_list(list(rows), on_mixed_types="use_json")


@functools.cache
def config_of(**settings):
    return LLaDASFTConfig("run", use_cpu=True, **settings)


@pytest.fixture
def read():
    """Reads rows, and returns what TRL gets."""

    def read(*rows, **settings):
        read = read_rows(dataset_of(*rows), "train_dataset", config_of(**settings))
        return [
            {name: row[name] for name in row if name in ("prompt", "completion", "messages", "text")} for row in read
        ]

    return read


@pytest.fixture
def trained(poet_folder, tmp_path):
    """The texts that are trained on, one for each row."""

    def trained(*rows, template=None, **settings):
        tokenizer = AutoTokenizer.from_pretrained(poet_folder)
        tokenizer.chat_template = template or tokenizer.chat_template
        trainer = sft_trainer(poet_folder, tmp_path / "run", dataset_of(*rows), processing_class=tokenizer, **settings)
        return [
            tokenizer.decode([label for label in labels if label != -100]).replace(tokenizer.eos_token, "|")
            for labels in trainer.train_dataset["labels"]
        ]

    return trained


class TestFormats:
    SPLIT = {"prompt": [user("明")], "completion": [assistant("月")]}

    @pytest.mark.parametrize(
        "row",
        [
            {"messages": [user("明"), assistant("月")]},
            {"conversations": [{"from": "human", "value": "明"}, {"from": "gpt", "value": "月"}]},
            {"conversations": [user("明"), assistant("月")]},
            {"messages": [{"from": "user", "value": "明"}, {"from": "assistant", "value": "月"}]},
            {"prompt": [user("明")], "completion": [assistant("月")]},
            {"instruction": "明", "input": "", "output": "月"},
            {"instruction": "明", "output": "月", "text": "the same as one text"},
            {
                "messages": [
                    user("明") | {"name": None, "weight": 0},
                    assistant(parts("月"), weight=1, tool_calls=None),
                ]
            },
        ],
        ids=["messages", "ShareGPT", "roles", "from", "two parts", "Alpaca", "and a text", "OpenAI"],
    )
    def test_one_answer(self, read, row):
        assert read(row) == [self.SPLIT]

    def test_alpaca_with_all_columns(self, read):
        row = {"instruction": "明", "input": "日", "output": "月", "system": "诗", "history": [["一", "二"]]}
        (found,) = read(row)
        assert found["prompt"] == [{"role": "system", "content": "诗"}, user("一"), assistant("二"), user("明\n日")]

    @pytest.mark.parametrize("column", ["messages", "conversations"])
    def test_a_column_with_the_system_message(self, read, column):
        whole = [{"role": "system", "content": "诗"}, user("明"), assistant("月")]
        for talk in (whole[1:], whole):
            assert read({column: talk, "system": "诗"}, assistant_only_loss=True) == [{"messages": whole}]

    def test_by_name(self, read):
        row = {"instruction": "明", "output": "月", "text": "明月"}
        assert read(row, dataset_format="text") == [{"text": "明月"}]
        assert read({"poem": "明月"}, dataset_text_field="poem", dataset_format="text") == [{}]
        with pytest.raises(ValueError, match=r'`dataset_format="sharegpt"` needs the columns conversations'):
            read(row, dataset_format="sharegpt")
        with pytest.raises(ValueError, match="`dataset_format` must be one of auto, .*'jsonl'"):
            read(row, dataset_format="jsonl")

    def test_what_is_found_is_said(self, read, caplog):
        with caplog.at_level(logging.INFO, logger="modeling_llada"):
            read({"instruction": "明", "output": "月", "text": "明月"})
        assert caplog.messages == [
            '`train_dataset` is read as "alpaca", with the columns instruction, output; it could also be "text" '
            "(`dataset_format`)"
        ]

    def test_the_table_of_the_docs(self):
        page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| `([\w-]+)` \| `(\{.*?\})`", page, re.MULTILINE)
        assert ["auto", *(kind for kind, _ in rows)] == FORMATS
        for kind, row in rows:
            assert find_format(dataset_of(json.loads(row.replace("[...]", "[5]"))), "rows", config_of()) == kind

    def test_lines_of_a_file(self, read):
        rows = [{LINE: line, "prompt": "明", "completion": text} for line, text in ((1, "月"), (4, None))]
        with pytest.raises(ValueError, match=r"in the column `completion`, but 1 of 2 rows \(line 4\)"):
            read(*rows)


class TestContents:
    def test_parts_are_joined(self, trained):
        """Also under templates that cannot read parts, and in one file with plain texts."""
        rows = [
            {"messages": [user(parts("床", "前")), assistant(parts("明", "月"))]},
            {"messages": [user("明"), assistant("月")]},
        ]
        assert trained(*rows) == ["明月|", "月|"]

    @pytest.mark.parametrize(
        "content",
        [
            3,
            {"text": "月"},
            [],
            ["月"],
            [{"text": "月"}],
            [{"type": "image_url", "image_url": {"url": "x"}, "text": "月"}],
        ],
        ids=["number", "dictionary", "no parts", "bare text", "no type", "image"],
    )
    def test_that_are_no_texts(self, read, content):
        with pytest.raises(ValueError, match=r"texts as the `content`|not empty.*1 of 2 rows \(1\)"):
            read({"messages": [user("明"), assistant("月")]}, {"messages": [user("明"), assistant(content)]})

    @pytest.mark.parametrize(
        ("answer", "settings"), [("", {}), ("  \n", {"assistant_only_loss": True}), (parts(" "), {})], ids=str
    )
    def test_empty_answers(self, read, answer, settings):
        with pytest.raises(ValueError, match=r"answers that are not empty, but 1 of 2 rows \(1\)"):
            read(
                {"messages": [user("明"), assistant("月")]}, {"messages": [user("明"), assistant(answer)]}, **settings
            )
        with pytest.raises(ValueError, match=r"answers that are not empty, but 1 of 1 rows \(0\)"):
            read({"prompt": [user("明")], "completion": [assistant(answer)]}, **settings)

    def test_an_empty_answer_between_others(self, read):
        talk = [user("明"), assistant(" "), user("日"), assistant("月")]
        read({"messages": talk})  # it is part of the prompt
        with pytest.raises(ValueError, match="answers that are not empty"):
            read({"messages": talk}, assistant_only_loss=True)

    def test_blank_completions(self, read):
        with pytest.raises(ValueError, match=r"not empty, but 1 of 2 rows \(1\)"):
            read({"prompt": "明", "completion": "月"}, {"prompt": "明", "completion": " \n"})

    def test_what_a_template_adds_is_no_answer(self, trained, poet_folder):
        """Cut at the beginning, the first row keeps the end of its turn alone."""
        template = TOOL_TEMPLATE.replace("message.content + eos_token", "message.content + '。' + eos_token")
        rows = [{"messages": [user("明"), assistant(text)]} for text in ("月", "。")]
        with pytest.raises(ValueError, match=r"in 1 of 2 rows \(1\) the response is empty"):
            trained(*rows, template=template)
        with pytest.raises(ValueError, match=r"in 2 of 2 rows \(0, 1\) the response is empty"):
            trained(*rows, template=template, max_length=2, truncation_mode="keep_end")
        tokenizer = AutoTokenizer.from_pretrained(poet_folder)
        assert tokens_of_no_answer(tokenizer) == [tokenizer.eos_token_id]

    def test_a_message_that_the_template_refuses(self, trained):
        """The template of llada-poet-instruct takes no system message, and writes the last question alone."""
        template = TEMPLATES[2].read_text(encoding="utf-8")
        row, system = [user("明"), assistant("月")], {"role": "system", "content": "诗"}
        with pytest.raises(ValueError, match=r"refuses 1 of 2 rows \(1\): this checkpoint takes no system message"):
            trained({"messages": row}, {"messages": [system, *row]}, template=template)
        with pytest.raises(ValueError, match=r"marks no answer of the assistant in 1 of 2 rows \(1\)"):
            trained({"messages": row}, {"messages": [*row, user("日")]}, template=template, assistant_only_loss=True)


class TestFlags:
    TALK = [user("明"), assistant("月"), user("日"), assistant("光")]

    def talk(self, first, last, key="weight", **others):
        flags = [others, {key: first}, {}, {key: last}]
        return {"messages": [message | flag for message, flag in zip(self.TALK, flags, strict=True)]}

    def test_answers_that_are_switched_off(self, trained):
        rows = [self.talk(*flags) for flags in ((1, 0), (None, 1.0), (None, None))]
        rows += [self.talk(False, True, key=key) for key in ("train", "training", "trainable", "loss")]
        assert trained(*rows, assistant_only_loss=True) == ["月|", "月|光|", "月|光|", *["光|"] * 4]

    def test_the_last_answer(self, trained):
        assert trained(self.talk(0, 1), self.talk(None, 1), self.talk(0, None)) == ["光|"] * 3

    @pytest.mark.parametrize(
        ("row", "settings", "message"),
        [
            ((1, 1), {}, "no flag of 1 at a message that is not trained on.*`assistant_only_loss=True`"),
            ((None, 0), {}, "no flag of 0 at the message that is trained on.*`assistant_only_loss=True`"),
            ((0, 0), {"assistant_only_loss": True}, "an answer of the assistant whose flag is not 0"),
            ((0.5, 1), {"assistant_only_loss": True}, "0 or 1 as the `weight`"),
            (("yes", 1), {"assistant_only_loss": True}, "0 or 1 as the `weight`"),
        ],
    )
    def test_that_cannot_be_honoured(self, read, row, settings, message):
        with pytest.raises(ValueError, match=rf"{message}|1 of 2 rows \(1\)"):
            read(self.talk(None, None), self.talk(*row), **settings)

    def test_at_other_messages(self, read):
        read(self.talk(None, None, weight=0), assistant_only_loss=True)
        with pytest.raises(ValueError, match="no flag of 1 at a message that is not trained on"):
            read(self.talk(None, None, weight=1), assistant_only_loss=True)

    @pytest.mark.parametrize("key", ["mask", "loss_weight"])
    def test_of_another_meaning(self, read, key):
        with pytest.raises(ValueError, match=rf"messages without `{key}`.*`weight` of 0 or 1"):
            read(self.talk(None, 1, key=key))

    def test_that_disagree(self, read):
        with pytest.raises(ValueError, match=r"flags of a message that agree \(weight, train\)"):
            read({"messages": [user("明"), assistant("月", weight=1, train=False)]})

    def test_where_the_template_does_not_mark_each_answer(self, trained):
        talk = {"messages": [user("明"), assistant("月", weight=0), assistant("光")]}
        with pytest.raises(ValueError, match=r"mark each answer on its own, but in 1 of 1 rows \(0\)"):
            trained(talk, assistant_only_loss=True)


class TestTools:
    TALK = [user("明"), assistant(None, tool_calls=[CALL]), {"role": "tool", "content": "日"}, assistant("光")]
    TOOLS = [{"type": "function", "function": {"name": "moon"}}]

    def test_templates_that_know_them(self, trained):
        """Arguments may be JSON, as OpenAI writes them, and so may the tools."""
        rows = [{"messages": self.TALK, "tools": '[{"type": "function", "function": {"name": "moon"}}]'}]
        rows += [{"messages": self.TALK[:2], "tools": None}]
        expected = 'moon{"day":1}|'
        found = trained(*rows, template=TOOL_TEMPLATE, assistant_only_loss=True, chat_template_path=None)
        assert [text.replace("<|unk|>", "").replace(" ", "") for text in found] == [f"{expected}光|", expected]

    @pytest.mark.parametrize(
        "row", [{"messages": TALK}, {"messages": TALK[:2]}, {"messages": [TALK[0], TALK[3]], "tools": TOOLS}], ids=str
    )
    def test_templates_that_do_not(self, trained, row):
        with pytest.raises(ValueError, match=r"`tools` or `tool_calls` in 1 of 2 rows \(1\), but the chat template"):
            trained({"messages": [user("明"), assistant("月")], "tools": None}, {"tools": None} | row)

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ({"tool_calls": ["moon"]}, "`tool_calls` with a function"),
            ({"tool_calls": [{"function": {"name": "moon", "arguments": "day 1"}}]}, "`tool_calls` with a function"),
            ({"function_call": {"name": "moon", "arguments": "{}"}}, "in the place of `function_call`"),
        ],
        ids=str,
    )
    def test_calls_of_another_form(self, read, keys, message):
        with pytest.raises(ValueError, match=message):
            read({"messages": [user("明"), assistant(None, **keys)]})

    def test_an_answer_of_a_tool_is_a_message(self, trained):
        """The official template writes a message of any role."""
        talk = [{"from": name, "value": "明"} for name in ("human", "gpt", "tool", "gpt")]
        template = CHAT_TEMPLATE.read_text(encoding="utf-8")
        assert trained({"conversations": talk}, template=template, assistant_only_loss=True) == [
            "明<|eot_id|>明<|eot_id|>|"
        ]

    @pytest.mark.parametrize("tools", ["", "[]", []])
    def test_without_tools(self, read, tools):
        read({"messages": [user("明"), assistant("月")], "tools": tools, "images": []})

    def test_columns_of_texts_have_other_meanings(self, read):
        assert read({"text": "明月", "tools": "moon", "chat_template_kwargs": 3}) == [{"text": "明月"}]

    def test_columns_that_are_not_json(self, read):
        with pytest.raises(ValueError, match=r"JSON in the column `tools`, but 1 of 1 rows"):
            read({"messages": [user("明"), assistant("月")], "tools": "moon"})


@pytest.mark.filterwarnings("ignore:`(eos|pad)_token` is deprecated")
class TestTokenizerOfTheArguments:
    """What TRL changes late reaches all parts."""

    ROWS = [{"prompt": "明", "completion": "月"}, {"prompt": "明", "completion": "月光月光"}]

    @pytest.fixture
    def trainer_of(self, poet_folder, tmp_path):
        return lambda **settings: sft_trainer(poet_folder, tmp_path / "run", dataset_of(*self.ROWS), **settings)

    def test_eos_and_pad(self, trainer_of, tmp_path):
        trainer = trainer_of(eos_token="。", pad_token="，", eos_fill="longest")
        eos, pad = trainer.processing_class.convert_tokens_to_ids(["。", "，"])
        batch = next(iter(trainer.get_train_dataloader()))
        assert batch["attention_mask"].all() and batch["response_lengths"].sum() == 2 * 5
        assert {row["labels"][-1] for row in trainer.train_dataset} == {eos}
        config, generation = trainer.model.config, trainer.model.generation_config
        assert (config.eos_token_id, config.pad_token_id, generation.eos_token_id[0]) == (eos, pad, eos)
        trainer.save_model(tmp_path / "saved")
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
        assert (tokenizer.eos_token, tokenizer.pad_token) == ("。", "，")

    def test_a_tokenizer_without_eos(self, trainer_of, poet_folder):
        tokenizer = AutoTokenizer.from_pretrained(poet_folder)
        tokenizer.eos_token = None
        assert (
            trainer_of(processing_class=tokenizer, eos_token="。").data_collator.eos_token_id == tokenizer.eos_token_id
        )

    @pytest.mark.parametrize("name", ["eos_token", "pad_token"])
    def test_the_mask_token(self, trainer_of, name):
        with pytest.raises(ValueError, match=name):
            trainer_of(**{name: "[MASK]"})

    def test_a_template_with_tokens_of_its_own(self, poet_folder, tmp_path):
        tokenizer = AutoTokenizer.from_pretrained(poet_folder)
        tokenizer.add_tokens(["<|end|>"], special_tokens=True)
        tokenizer.eos_token = "<|end|>"
        tokenizer.chat_template = "{% for message in messages %}{{ message.content + '<|end|>' }}{% endfor %}"
        tokenizer.save_pretrained(tmp_path / "source")
        rows = dataset_of({"messages": [user("明"), assistant("月")]})
        trainer = sft_trainer(poet_folder, tmp_path / "run", rows, chat_template_path=str(tmp_path / "source"))
        end = trainer.processing_class.convert_tokens_to_ids("<|end|>")
        assert trainer.train_dataset[0]["labels"][-1] == trainer.data_collator.eos_token_id == end >= 6400
        assert trainer.model.generation_config.eos_token_id == end


class TestTemplates:
    """The chat templates that this repository ships follow the same rule, for pipelines and other code."""

    @pytest.fixture(params=TEMPLATES, ids=lambda path: path.parent.name)
    def render(self, request, poet_folder):
        tokenizer = AutoTokenizer.from_pretrained(poet_folder)
        template = request.param.read_text(encoding="utf-8")
        return lambda *messages: tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False)

    def test_join_parts(self, render):
        texts = user("床前明月光"), assistant("疑是")
        assert render(user(parts("床前", "明月光")), assistant(parts("疑", "是"))) == render(*texts)

    @pytest.mark.parametrize("content", [3, [{"text": "月"}], [{"type": "image", "text": "月"}]], ids=str)
    def test_refuse_others(self, render, content):
        with pytest.raises(TemplateError, match="must be a text, or a list of parts"):
            render(user(content), assistant("月"))
