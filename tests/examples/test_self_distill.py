# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""examples/self_distill.py: a model writes the rows that it learns from."""

import importlib.util
import json
from pathlib import Path

import pytest


pytest.importorskip("trl", reason="TRL is not part of this environment")

from datasets import load_dataset

from modeling_llada.training import LLaDASFTConfig, LLaDASFTTrainer


REPO = Path(__file__).parents[2]
ROWS = [{"prompt": "床前明月光，", "completion": "疑是地上霜。"}, {"prompt": "春眠", "completion": "不觉晓"}]
ROWS += [{"prompt": "举头望明月，", "completion": "低头思故乡。"}]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("examples_self_distill", REPO / "examples" / "self_distill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(script, tmp_path):
    """Runs the script with flags, and returns the rows."""
    prompts, output = tmp_path / "prompts.jsonl", tmp_path / "rows.jsonl"
    prompts.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")

    def run(*flags):
        script.main([str(prompts), str(output), "--max-new-tokens", "6", "--batch-size", "2", *flags])
        return [json.loads(line) for line in output.read_text().splitlines()]

    return run


def test_rows_have_the_steps_of_their_tokens(run, tmp_path):
    rows = run()
    assert len(rows) == len(ROWS) and list(tmp_path.glob("*.partial")) == []
    for row in rows:
        is_answer = [label >= 0 for label in row["labels"]]
        assert [
            token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label not in (-100, token)
        ] == []
        assert [step >= 0 for step in row["commit_steps"]] == is_answer
        assert sorted(step for step in row["commit_steps"] if step >= 0) == list(range(sum(is_answer)))
    kept = run("--keep-right")
    assert [row["labels"] for row in kept] == [rows[0]["labels"], rows[2]["labels"]]
    args = LLaDASFTConfig(
        str(tmp_path / "run"), mask_source="trajectory", confidence_weight=2.0, loss_weighting="none", max_steps=1,
        report_to="none", use_cpu=True,
    )  # fmt: skip
    dataset = load_dataset(
        "json", data_files=str(tmp_path / "rows.jsonl"), split="train", cache_dir=tmp_path / "cache"
    )
    LLaDASFTTrainer(str(REPO / "checkpoints/llada-poet"), args, train_dataset=dataset).train()


def test_it_goes_on_where_it_was_interrupted(script, run, tmp_path, monkeypatch):
    answer, prompts = script.answer, []

    def stop_at_the_second_batch(model, tokenizer, batch, args):
        if prompts:
            raise KeyboardInterrupt
        prompts.extend(batch)
        return answer(model, tokenizer, batch, args)

    monkeypatch.setattr(script, "answer", stop_at_the_second_batch)
    with pytest.raises(KeyboardInterrupt):
        run()
    (partial,) = tmp_path.glob("*.partial")
    with partial.open("a") as file:
        file.write('{"input_ids": [1')  # a line that was cut off
    with pytest.raises(
        ValueError, match="`output` must be that of an interrupted run with the same prompts and options"
    ):
        run("--steps", "2")
    content = (tmp_path / "prompts.jsonl").read_text()
    (tmp_path / "prompts.jsonl").write_text(content.replace(json.dumps(ROWS[0]), json.dumps(ROWS[1])))
    with pytest.raises(ValueError, match="of an interrupted run with the same prompts"):
        run()
    (tmp_path / "prompts.jsonl").write_text(content)
    asked = []
    monkeypatch.setattr(
        script,
        "answer",
        lambda model, tokenizer, batch, args: (asked.extend(batch), answer(model, tokenizer, batch, args))[1],
    )
    assert len(run()) == 3 and asked == [ROWS[2]["prompt"]]


def test_rows_without_a_completion(script, tmp_path):
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "春"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="`prompts` must have a text `completion` in every row, but row 0 has none"):
        script.main([str(tmp_path / "prompts.jsonl"), str(tmp_path / "rows.jsonl"), "--keep-right"])
