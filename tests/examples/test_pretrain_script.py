# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""examples/pretrain.py on text of one's own, and in several processes. What it trains is tested with the trainer."""

import json
import math
import runpy
import sys
from pathlib import Path

import pytest
import torch


pytest.importorskip("datasets", reason="datasets is not part of this environment")

from datasets import Dataset, DatasetDict
from support.pretraining_runs import SCRIPT, run_as_command, run_script
from support.processes import run_together
from support.token_folder import made_up_documents, write_token_folder
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from modeling_llada import LLaDAForMaskedLM


REPO = Path(__file__).parents[2]
SMALL = [
    *("model.hidden_size=32", "model.num_hidden_layers=1", "model.num_attention_heads=2"),
    *("model.num_key_value_heads=2", "model.intermediate_size=48", "training.use_cpu=true"),
    *("training.tokens_per_step=512", "training.warmup_steps=1", "training.eval_strategy='no'"),
]


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    """A folder with English documents, without headers, and a tokenizer that was trained on them."""
    folder = tmp_path_factory.mktemp("english")
    texts = [f"On day {day} the sailor wrote a letter, and nobody answered it." for day in range(60)]
    parts = {"train": texts[:40], "test": texts[40:]}
    splits = DatasetDict({name: Dataset.from_dict({"text": part}) for name, part in parts.items()})
    splits.save_to_disk(folder / "documents")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=300, show_progress=False))
    bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    bare.save_pretrained(folder / "bare")
    bare.add_special_tokens({"mask_token": "<|mask|>", "bos_token": "<|bos|>", "eos_token": "<|eos|>"})
    bare.save_pretrained(folder / "tokenizer")
    return folder


@pytest.fixture
def arguments(english, tmp_path):
    """The arguments of a small run with a recipe."""

    def make(name, tokenizer="tokenizer"):
        recipe = REPO / "examples" / "configs" / f"{name}.yaml"
        files = ["--corpus", tmp_path / "corpus.safetensors", "--output-dir", tmp_path / "run"]
        return ["--config", recipe, "--tokenizer", english / tokenizer, *files, "--max-steps", 2]

    return make


@pytest.fixture(autouse=True)
def argv(monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)


def test_english_text(english, arguments, tmp_path, capsys):
    run_script(*arguments("text"), "--tokenize-only", english / "documents")
    run_script(*arguments("text"), "--set", SMALL[0], "--set", *SMALL[1:])  # both count
    out = capsys.readouterr().out
    assert "train: 40 documents" in out and "eval test  loss" in out
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "final")
    model = LLaDAForMaskedLM.from_pretrained(tmp_path / "run" / "final")
    assert model.config.vocab_size == len(tokenizer) and model.config.hidden_size == 32
    card = (tmp_path / "run" / "final" / "README.md").read_text()
    assert "# run\n" in card and "stored in bfloat16" in card and "from random weights. Steps: 2." in card
    inputs = tokenizer("On day 7", return_tensors="pt")
    assert model.generate(input_ids=inputs["input_ids"], max_new_tokens=3).shape[1] == inputs["input_ids"].shape[1] + 3


class TestTokenFolder:
    """A folder of `llada tokenize`, which has its tokenizer."""

    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("tokens") / "text"
        return write_token_folder(folder, train=made_up_documents(300), validation=made_up_documents(40, seed=1))

    @pytest.fixture
    def run(self, folder, tmp_path, capsys):
        def run(*more):
            recipe = REPO / "examples" / "configs" / "text.yaml"
            run_script(
                "--config", recipe, "--corpus", folder, "--output-dir", tmp_path / "run", "--set", *SMALL, *more
            )
            return capsys.readouterr().out

        return run

    def test_windows(self, run, tmp_path):
        out = run("--max-steps", 2)
        assert "3,320 tokens in 300 documents, on the disk" in out and "eval validation  loss" in out
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "final")
        model = LLaDAForMaskedLM.from_pretrained(tmp_path / "run" / "final")
        assert model.config.vocab_size == len(tokenizer) == 99
        assert model.config.mask_token_id == tokenizer.mask_token_id

    def test_weights_of_a_converted_checkpoint(self, folder, tiny_model, tmp_path, capsys):
        tiny_model().save_pretrained(tmp_path / "converted")
        recipe, weights = REPO / "examples" / "configs" / "converted.yaml", ["--weights", tmp_path / "converted"]
        call = ["--config", recipe, "--corpus", folder, "--output-dir", tmp_path / "run", "--max-steps", 2]
        small = [one for one in SMALL if not one.startswith("model.")]
        small += ["phases.0.entries.0.width=32", "eval_width=32", "training.save_strategy='no'"]
        run_script(*call, *weights, "--set", *small, "training.learning_rate=0")
        assert f"starting from {tmp_path / 'converted'}" in capsys.readouterr().out
        before = tiny_model().to(torch.bfloat16).state_dict()
        after = LLaDAForMaskedLM.from_pretrained(tmp_path / "run" / "final").state_dict()
        assert all(torch.equal(after[name], value) for name, value in before.items())

        tiny_model(mask_token_id=97).save_pretrained(tmp_path / "other")
        with pytest.raises(ValueError, match="`--weights` must have the tokens of the corpus"):
            run_script(*call, "--weights", tmp_path / "other", "--set", *small)
        with pytest.raises(ValueError, match="`--weights` must be the folder of a checkpoint, but got missing"):
            run_script(*call, "--weights", "missing", "--set", *small)
        with pytest.raises(ValueError, match="`model` must give the sizes .* but got both"):
            run_script(*call, *weights, "--set", *small, "model.hidden_size=32")
        for options, message in (
            (["--twin"], "--twin begins with random weights"),
            (["--num-train-epochs", 2], "--max-steps and --num-train-epochs both give the length"),
        ):
            with pytest.raises(SystemExit):
                run_script(*call, *weights, *options)
            assert message in capsys.readouterr().err

    def test_epochs_of_documents_and_rehearsal(self, run):
        documents = "phases=[{fraction: 1, entries: [{kind: documents, width: 32, share: 1}]}]"
        out = run("eval_width=32", documents, "--num-train-epochs", 2)
        rows = int(out.split("100% of the steps, ")[1].split(" rows")[0])
        assert f"step {math.ceil(rows * 32 * 2 / 512)} of" in out
        assert "documents width 32" in run("eval_width=32", documents, "--num-train-epochs", 2, "--rehearse", 1)

    def test_the_command_line_replaces_the_length_of_the_recipe(self, tmp_path):
        recipe = tmp_path / "text.yaml"
        text = (REPO / "examples" / "configs" / "text.yaml").read_text()
        recipe.write_text(text.replace("max_steps: 5000", "num_train_epochs: 2"))
        script = runpy.run_path(str(SCRIPT))
        for option, lengths in ((["--max-steps", "3"], (3, 0)), (["--num-train-epochs", "1.5"], (-1, 1.5))):
            training = script["load_recipe"](script["parse_arguments"](["--config", str(recipe), *option])).training
            assert (training["max_steps"], training["num_train_epochs"]) == lengths

    def test_spans_need_ends_of_lines(self, run):
        spans = ["eval_splits=[]", "phases=[{fraction: 1, entries: [{kind: spans, width: 32, share: 1}]}]"]
        with pytest.raises(ValueError, match="`line_ends` must be characters that are tokens.*has no ,"):
            run(*spans, "line_ends=','", "--max-steps", 1)
        with pytest.raises(ValueError, match="`line_ends` must name the tokens that end a line"):
            run(*spans, "--max-steps", 1)

    def test_rows_that_need_a_corpus_file(self, run):
        with pytest.raises(ValueError, match="`kind` must be one of windows, documents, spans for a folder"):
            run("phases=[{fraction: 1, entries: [{kind: exact, width: 32, share: 1}]}]", "--max-steps", 1)


def test_a_tokenizer_without_a_mask_token(english, arguments, tmp_path):
    with pytest.raises(
        ValueError, match="has no mask_token, bos_token, eos_token. Call `tokenizer.add_special_tokens"
    ):
        run_script(*arguments("text", tokenizer="bare"), "--tokenize-only", english / "documents")
    assert not (tmp_path / "corpus.safetensors").exists()


def test_another_tokenizer_than_that_of_the_corpus(arguments, corpus, tmp_path):
    corpus.save(tmp_path / "corpus.safetensors")
    with pytest.raises(ValueError, match="`--tokenizer` must be that of the corpus.*'mask_token_id': .98, "):
        run_script(*arguments("tiny"))


def test_a_recipe_for_other_text(english, arguments):
    """The cure is in the error: other ends of lines, or rows that the text has."""
    tokenize = [*arguments("tiny"), "--tokenize-only", english / "documents"]
    with pytest.raises(
        ValueError, match="`line_ends` must be characters that are tokens, but the tokenizer has no ，"
    ):
        run_script(*tokenize)
    ends = ["--set", "line_ends=,.", "sentence_ends=."]
    run_script(*tokenize, *ends)
    with pytest.raises(ValueError, match="exact rows of width 12 of the train split, which has none.*take windows"):
        run_script(*arguments("tiny"), *ends, "training.use_cpu=true")
    windows = "phases=[{fraction: 1, entries: [{kind: windows, width: 32, share: 1, famous: 0.5}]}]"
    with pytest.raises(ValueError, match="of the famous split, which has none.*set the `famous` share to 0"):
        run_script(*arguments("tiny"), *ends, "training.use_cpu=true", windows)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"text": "a"}', "{"], "line 2 of .*broken.jsonl is not JSON"),
        (['{"body": "a"}'], "needs a column `text`, but the split train of .*broken.jsonl has body"),
        (['{"text": "a"}', "", '{"text": null}'], "`text` must be a text, but has none in 1 of 2 rows .line 3. of"),
    ],
    ids=["no JSON", "no text", "null"],
)
def test_broken_documents(arguments, tmp_path, monkeypatch, lines, message):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "broken.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=message):
        run_script(*arguments("text"), "--tokenize-only", tmp_path / "broken.jsonl")


@pytest.mark.slow
def test_two_processes(corpus, tmp_path):
    """Both stop at the same step, one prints and saves, and both end well."""
    corpus.save(tmp_path / "corpus.safetensors")
    recipe = ["--config", REPO / "examples/configs/tiny.yaml", "--corpus", tmp_path / "corpus.safetensors"]
    limits = ["--max-minutes", "1e-6", "--set", "training.use_cpu=true"]
    run_together(run_as_command, tmp_path, *recipe, "--output-dir", tmp_path / "run", *limits)
    shown, other = ((tmp_path / f"{rank}.txt").read_text().splitlines() for rank in (0, 1))
    assert [line.split()[0] for line in shown].count("plan") == 1 and other == []
    assert shown[-1] == f"wrote {tmp_path / 'run' / 'final'} at step 5 of 20: go on with --resume"
    assert (tmp_path / "run" / "checkpoint-5" / "rng_state_1.pth").exists(), "there were two"
    LLaDAForMaskedLM.from_pretrained(tmp_path / "run" / "final")
    assert json.loads((tmp_path / "run" / "training_log.json").read_text())
