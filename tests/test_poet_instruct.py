# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The shipped adapter: it loads, does what its card says, and its files tell the same."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModel

from llada_cli.checkpoints import find_checkpoint, load_checkpoint


FOLDER = Path(__file__).parent.parent / "checkpoints" / "llada-poet-instruct"


@pytest.fixture(scope="module")
def poet():
    return load_checkpoint(str(FOLDER), "cpu", "float32")


@pytest.fixture(scope="module")
def ask(poet):
    model, tokenizer = poet

    def ask(*texts):
        roles = ("user", "assistant")
        messages = [{"role": roles[turn % 2], "content": text} for turn, text in enumerate(texts)]
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        output = model.generate(**inputs)
        return tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    return ask


def test_it_is_what_the_chat_talks_to(monkeypatch):
    monkeypatch.delenv("LLADA_MODEL", raising=False)
    assert Path(find_checkpoint(None, "llada-poet-instruct")) == FOLDER


@pytest.mark.parametrize(
    ("instruction", "answer"),
    [
        ("谁言寸草心，下一句", "谁言寸草心，报得三春晖。"),
        ("What comes before 疑是地上霜?", "床前明月光，疑是地上霜。"),
        ("填空：锄禾日__，汗滴禾下_。", "锄禾日当午，汗滴禾下土。"),
    ],
)
def test_it_answers(ask, instruction, answer):
    assert ask(instruction) == answer


def test_an_acrostic(ask):
    lines = ask("写一首五言绝句，藏头：一帆风顺").replace("。", "，").strip("，").split("，")
    assert [line[0] for line in lines] == list("一帆风顺") and {len(line) for line in lines} == {5}


def test_each_instruction_stands_for_itself(ask, poet):
    question = "谁言寸草心，下一句"
    assert ask("写一首五言绝句", "白日依山尽，黄河入海流。", question) == ask(question)
    with pytest.raises(Exception, match="there is no system message here"):
        poet[1].apply_chat_template([{"role": "system", "content": "七言绝句"}, {"role": "user", "content": question}])


def test_training_renders_as_the_recipe_does(poet):
    recipe = FOLDER.parent.parent / "examples" / "poems" / "instruct_template.jinja"
    assert poet[1].chat_template == recipe.read_text(encoding="utf-8")


def test_merged_equals_the_adapter(poet):
    base = AutoModel.from_pretrained(FOLDER.parent / "llada-poet", dtype=torch.float32)
    adapted = PeftModel.from_pretrained(base, FOLDER).eval()
    input_ids = poet[1]("谁言寸草心，下一句\n[MASK][MASK]", return_tensors="pt").input_ids
    with torch.no_grad():
        torch.testing.assert_close(poet[0](input_ids).logits, adapted(input_ids=input_ids).logits, atol=2e-4, rtol=0)
    assert poet[0].config.tie_word_embeddings


def test_the_card_has_the_numbers_of_the_evaluation():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    evaluation = json.loads((FOLDER / "evaluation.json").read_text(encoding="utf-8"))
    rows = evaluation["adapter"]["by_group"]
    assert {row["task"] for row in rows} == {
        "write",
        "acrostic",
        "fill",
        "next",
        "previous",
        "author",
        "title",
        "theme",
    }
    for row in rows:
        line = next(line for line in card.splitlines() if line.startswith(f"| {row['task']}, {row['items']} |"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        column = 1 + [("zh", "trained"), ("zh", "new"), ("en", "trained"), ("en", "new")].index(
            (row["language"], row["phrasing"])
        )
        assert cells[column].split(" ")[0] == f"{100 * row['correct']['rate']:.0f}", row


def test_the_folder_is_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 4e6
