# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""recipes/poems/evaluate_instructions.py, on a tiny random model."""

import json

import pytest


pytest.importorskip("pypinyin", reason="rhymes are checked by their pronunciation")
pytest.importorskip("tqdm")

from recipes.poems import evaluate_instructions, instructions  # noqa: E402


@pytest.fixture(scope="module")
def test_file(tmp_path_factory):
    """A file of test rows: two of each group."""
    folder = tmp_path_factory.mktemp("instructions")
    instructions.main(["--output", str(folder), "--train", "50", "--test", "2"])
    return folder / "test.jsonl"


@pytest.fixture
def evaluate(test_file, poet_folder, tmp_path):
    """Runs the script on short answers, and returns what it wrote."""

    def run(*options, name="result", limit=1, **decoding):
        path = tmp_path / f"{name}.json"
        fixed = ["--model", poet_folder, "--instructions", test_file, "--json", path, "--limit", limit]
        short = ["--options", json.dumps({"max_new_tokens": 4} | decoding)]
        evaluate_instructions.main(list(map(str, [*fixed, *short, *options])))
        return json.loads(path.read_text(encoding="utf-8"))

    return run


def test_every_group_is_asked_and_counted(evaluate, test_file, capsys):
    values = evaluate()
    rows = [json.loads(line) for line in test_file.read_text(encoding="utf-8").splitlines()]
    groups = {(row["task"], row["items"], row["language"], row["phrasing"]) for row in rows}
    scores = values["scores"]["by_group"]
    assert {(g["task"], g["items"], g["language"], g["phrasing"]) for g in scores} == groups
    assert {(g["task"], g["language"]) for g in values["scores"]["by_task"]} == {(g[0], g[2]) for g in groups}
    assert len(values["results"]) == len(groups) == sum(g["number"] for g in scores)
    for group in scores:
        assert group["correct"]["low"] <= group["correct"]["rate"] <= group["correct"]["high"]
        assert group["correct"]["rate"] == 0 < group["correct"]["high"], "a random model knows nothing"
    assert "new theme" in capsys.readouterr().out


def test_right_answers_count(evaluate, monkeypatch):
    answer = lambda row: {"text": row["messages"][1]["content"], "is_ended": True, "forward_passes": 1}  # noqa: E731
    monkeypatch.setattr(evaluate_instructions, "ask", lambda model, tokenizer, rows, *_: [answer(row) for row in rows])
    scores = evaluate()["scores"]["by_group"]
    assert {group["correct"]["rate"] for group in scores if group["items"] != "idiom"} == {1.0}
    assert {group["correct"]["rate"] for group in scores if group["items"] == "idiom"} == {0.0}


def test_only_what_is_missing_is_asked(evaluate, monkeypatch):
    first = evaluate("--batch-size", "5")
    monkeypatch.setattr(evaluate_instructions, "load_model", lambda *_: pytest.fail("the model was loaded again"))
    assert evaluate() == first
    monkeypatch.undo()
    asked, ask = [], evaluate_instructions.ask
    monkeypatch.setattr(
        evaluate_instructions, "ask", lambda *args: asked.extend(row["id"] for row in args[2]) or ask(*args)
    )
    second = evaluate(limit=2)
    assert asked and not set(asked) & first["results"].keys()
    assert second["results"].keys() == first["results"].keys() | set(asked)


def test_an_interrupted_run_goes_on(evaluate, monkeypatch):
    whole = evaluate(name="whole")
    calls, ask = [], evaluate_instructions.ask

    def stop_at_the_third(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return ask(*args)

    monkeypatch.setattr(evaluate_instructions, "ask", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        evaluate("--batch-size", "4")
    assert evaluate("--batch-size", "4")["results"] == whole["results"]
    assert len(calls) > 3


def test_an_answer_does_not_depend_on_its_batch(evaluate):
    sampled = {"temperature": 1.0, "remasking": "random"}
    together = evaluate(**sampled, name="together")["results"]
    assert evaluate("--batch-size", "3", name="apart", **sampled)["results"] == together
    assert evaluate("--seed", "1", name="seed", **sampled)["results"] != together


def test_another_run_does_not_go_on_with_the_file(evaluate):
    evaluate()
    with pytest.raises(SystemExit, match="`--json` must name a file of the same run"):
        evaluate(temperature=1.0)


def test_an_adapter_is_used(evaluate, poet_folder, tmp_path):
    peft = pytest.importorskip("peft")
    import torch
    from transformers import AutoModel

    torch.manual_seed(0)
    model = AutoModel.from_pretrained(poet_folder)
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    peft.get_peft_model(model, config).save_pretrained(tmp_path / "adapter")
    adapted = evaluate("--adapter", str(tmp_path / "adapter"), name="adapted")
    assert adapted["settings"]["adapter"] == "adapter"
    assert adapted["results"] != evaluate(name="plain")["results"]


def test_text_behind_eos_is_no_answer(poet_folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(poet_folder)
    read = evaluate_instructions.read
    ids = tokenizer("李白<|endoftext|>杜甫")["input_ids"]
    assert read(tokenizer, ids) == {"text": "李白", "is_ended": True}
    assert read(tokenizer, ids[:2]) == {"text": "李白", "is_ended": False}


def test_missing_instructions_are_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        evaluate_instructions.main(["--instructions", str(tmp_path / "no.jsonl")])
    assert "`--instructions` must name a file" in capsys.readouterr().err
