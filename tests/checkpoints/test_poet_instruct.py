# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The shipped adapter: it loads, answers as its card says, and its files agree."""

import io
import json
import logging
import sys
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from transformers import AutoModel

from llada_cli import main
from modeling_llada.loading import load_checkpoint


FOLDER = Path(__file__).parents[2] / "checkpoints" / "llada-poet-instruct"


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


def test_it_is_what_the_chat_talks_to(monkeypatch, capsys):
    monkeypatch.delenv("LLADA_MODEL", raising=False)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("谁言寸草心，下一句\n".encode())))
    assert main(["chat"]) == 0
    assert capsys.readouterr().out.strip() == "谁言寸草心，报得三春晖。"


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
    with pytest.raises(Exception, match="this checkpoint takes no system message"):
        poet[1].apply_chat_template([{"role": "system", "content": "七言绝句"}, {"role": "user", "content": question}])


def test_training_renders_as_the_recipe_does(poet):
    recipe = FOLDER.parent.parent / "recipes" / "poems" / "instruct_template.jinja"
    assert poet[1].chat_template == recipe.read_text(encoding="utf-8")


def test_merged_equals_the_adapter(poet, monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    base = AutoModel.from_pretrained(FOLDER.parent / "llada-poet", dtype=torch.float32)
    adapted = PeftModel.from_pretrained(base, FOLDER).eval()
    monkeypatch.chdir(FOLDER.parents[1])  # its config names the folder of the base from here
    auto = AutoPeftModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    whole = AutoModel.from_pretrained(FOLDER, dtype=torch.float32).eval()
    assert "MISSING" not in caplog.text, "a row that the embedding and the tied head share is not missing"
    input_ids = poet[1]("谁言寸草心，下一句\n[MASK][MASK]", return_tensors="pt").input_ids
    with torch.no_grad():
        torch.testing.assert_close(poet[0](input_ids).logits, adapted(input_ids=input_ids).logits, atol=2e-4, rtol=0)
        for other in (auto, whole):
            torch.testing.assert_close(other(input_ids=input_ids).logits, adapted(input_ids=input_ids).logits)
    assert poet[0].config.tie_word_embeddings


COLUMNS = (("zh", "trained"), ("zh", "new"), ("en", "trained"), ("en", "new"))


@pytest.fixture(scope="module")
def card():
    """The rows of the tables in the card, by their first cell."""
    lines = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {cells[0]: cells[1:] for cells in rows}


@pytest.fixture(scope="module")
def evaluation():
    return json.loads((FOLDER / "evaluation.json").read_text(encoding="utf-8"))


def percent(rate):
    return f"{100 * rate:.0f}"


def test_the_card_has_the_numbers_of_the_evaluation(card, evaluation):
    rows = evaluation["adapter"]["by_group"]
    assert len(rows) == 42
    for row in rows:
        cell = card[f"{row['task']}, {row['items']}"][COLUMNS.index((row["language"], row["phrasing"]))]
        correct = row["correct"]
        assert cell == f"{percent(correct['rate'])} ({percent(correct['low'])} to {percent(correct['high'])})", row


@pytest.mark.parametrize("task", ["write", "acrostic", "fill", "next", "previous", "author", "title", "theme"])
def test_the_card_compares_with_all_weights(card, evaluation, task):
    means = []
    for kind in ("adapter", "full weights"):
        for phrasing in ("trained", "new"):
            rows = evaluation[kind]["by_group"]
            rates = [row["correct"]["rate"] for row in rows if (row["task"], row["phrasing"]) == (task, phrasing)]
            means.append(percent(sum(rates) / len(rates)))
    assert card[task] == means


@pytest.mark.parametrize(("given", "rules"), [([], (0.9, None)), (["--entropy-bound", "0.3"], (None, 0.3))])
def test_a_parallel_rule_of_the_command_line_replaces_that_of_the_checkpoint(capsys, given, rules):
    command = ["generate", "床前", "--model", str(FOLDER), "--max-new-tokens", "2", "--json"]
    assert main([*command, *given]) == 0
    options = json.loads(capsys.readouterr().out)["options"]
    assert (options["confidence_threshold"], options["entropy_bound"]) == rules
