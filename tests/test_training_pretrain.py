# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Pre-training: rows, batches, loss, evaluation, resuming, and the example script."""

import json
import os
import random
import runpy
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import TrainerCallback

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.diffusion_llada import loss_weights
from modeling_llada.training import (
    Corpus,
    LLaDAPretrainer,
    LLaDAPretrainingConfig,
    RowEntry,
    RowMixture,
    TokenizedDocuments,
    find_last_checkpoint,
    lay_out,
    tokenize_documents,
)
from modeling_llada.training.batches import TrainingBatches
from modeling_llada.training.evaluation_loss import fixed_noise, held_out_loss
from modeling_llada.training.pretraining import masked_diffusion_loss


REPO = Path(__file__).parents[1]
TINY = {
    "vocab_size": 99,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "mask_token_id": 98,
    "eos_token_id": 1,
    "pad_token_id": 1,
    "bos_token_id": 0,
}
EOS, BOS, COMMA, STOP, QUESTION, MASK = 1, 0, 2, 3, 4, 98
FIRST_CHARACTER, LAST_CHARACTER = 10, 97
ENTRIES = [
    {"kind": "windows", "width": 32, "share": 0.4, "famous": 0.25},
    {"kind": "documents", "width": 48, "share": 0.2, "famous": 0.25},
    {"kind": "spans", "width": 32, "share": 0.2, "famous": 0.25},
    {"kind": "exact", "width": 12, "share": 0.2, "famous": 0.5},
]
PHASES = [{"fraction": 1.0, "entries": ENTRIES}]


def made_up_poem(rng, width=None, lines=None):
    width, lines = width or rng.choice([5, 7]), lines or rng.choice([2, 4, 8])
    tokens = []
    for line in range(lines):
        tokens += [rng.randint(FIRST_CHARACTER, LAST_CHARACTER) for _ in range(width)]
        tokens.append(COMMA if line % 2 == 0 else rng.choice([STOP, QUESTION]))
    return tokens


def documents_of(texts, headers=None):
    headers = headers or [[] for _ in texts]
    flat = lambda rows: np.array([token for row in rows for token in row], np.uint16)  # noqa: E731
    lengths = lambda rows: np.array([len(row) for row in rows], np.int32)  # noqa: E731
    return TokenizedDocuments(flat(texts), lengths(texts), flat(headers), lengths(headers))


def made_up_split(count, seed):
    rng = random.Random(seed)
    headers = [[rng.randint(5, 9)] * rng.choice([0, 2, 3]) for _ in range(count)]  # 5 .. 9 appear in headers alone
    return documents_of([made_up_poem(rng) for _ in range(count)], headers)


def corpus_of(splits):
    return Corpus(splits, 99, BOS, EOS, MASK, line_ends=[COMMA, STOP, QUESTION], sentence_ends=[STOP, QUESTION])


def copies_of(layout):
    """The copies of the documents in a layout, without BOS."""
    places = zip(layout.starts, layout.lengths, strict=True)
    return [layout.tokens[start : start + length].tolist() for start, length in places]


@pytest.fixture(scope="module")
def corpus():
    return corpus_of({"train": made_up_split(200, 0), "famous": made_up_split(20, 1), "test": made_up_split(30, 2)})


@pytest.fixture(scope="module")
def mixture(corpus):
    return RowMixture(corpus, PHASES)


@pytest.fixture
def trainer_of(tmp_path, tiny_model, mixture):
    """Makes a trainer of a tiny model on the mixture; keyword arguments change the training arguments."""

    def make(train_dataset=mixture, eval_dataset=None, callbacks=None, **changes):
        settings = {
            "output_dir": str(tmp_path / "run"),
            "max_steps": 6,
            "tokens_per_step": 768,
            "learning_rate": 3e-3,
            "warmup_steps": 1,
            "seed": 5,
            "logging_steps": 1,
            "save_strategy": "no",
            "disable_tqdm": True,
            "use_cpu": True,
        }
        args = LLaDAPretrainingConfig(**(settings | changes))
        return LLaDAPretrainer(tiny_model(initializer_range=0.05), args, train_dataset, eval_dataset, callbacks)

    return make


def weights_of(trainer):
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def largest_difference(first, second):
    return max((first[name] - second[name]).abs().max().item() for name in first)


class TestCorpus:
    @pytest.mark.parametrize("suffix", [".safetensors", ".safetensors.xz"])
    def test_round_trip(self, corpus, tmp_path, suffix):
        path = tmp_path / f"corpus{suffix}"
        corpus.save(path)
        loaded = Corpus.load(path)
        assert {key: value for key, value in vars(loaded).items() if key != "splits"} == {
            key: value for key, value in vars(corpus).items() if key != "splits"
        }
        for name, split in corpus.splits.items():
            for key, value in vars(split).items():
                assert np.array_equal(value, getattr(loaded.splits[name], key))
                assert value.dtype == getattr(loaded.splits[name], key).dtype

    def test_tokenize_documents(self):
        class Characters:
            def __len__(self):
                return 200

            def __call__(self, texts, add_special_tokens):
                assert not add_special_tokens
                return {"input_ids": [[ord(character) for character in text] for text in texts]}

        documents = tokenize_documents(["abc", "de", "f"], [["x\n", "y\n"], [], ["z\n"]], Characters(), batch_size=2)
        assert documents.tokens.tolist() == [97, 98, 99, 100, 101, 102] and documents.lengths.tolist() == [3, 2, 1]
        assert documents.header_lengths.tolist() == [2, 0, 2] and documents.header_tokens.tolist()[2:] == [122, 10]
        assert documents.tokens.dtype == np.uint16
        again = tokenize_documents(["abc"], [["x\n", "y\n"]], Characters())
        assert again.header_tokens.tolist() == documents.header_tokens.tolist()[:2]

    def test_each_document_is_laid_out_bare_and_headed(self):
        texts, headers = [[10, 11], [20, 21, 22], [30]], [[5, 6], [], [7]]
        layout = lay_out(documents_of(texts, headers), BOS, EOS, seed=None)
        copies = [[BOS, *text, EOS] for text in texts] + [
            [BOS, *header, *text, EOS] for header, text in zip(headers, texts, strict=True)
        ]
        assert layout.tokens.tolist() == [token for copy in copies for token in copy]
        assert copies_of(layout) == [copy[1:] for copy in copies]

    def test_shuffled_layout_holds_the_same_documents(self, corpus):
        documents = corpus.splits["train"]
        first, second = (lay_out(documents, BOS, EOS, seed=seed) for seed in (0, 1))
        first_cut, second_cut = ([tuple(row) for row in copies_of(layout)] for layout in (first, second))
        assert first_cut != second_cut and sorted(first_cut) == sorted(second_cut)
        offsets = np.cumsum(documents.lengths) - documents.lengths
        for layout in (first, second):
            for offset, length, start in zip(offsets, documents.lengths, layout.text_starts, strict=True):
                assert np.array_equal(
                    documents.tokens[offset : offset + length], layout.tokens[start : start + length]
                )
                assert layout.tokens[start - 1] == BOS and layout.tokens[start + length] == EOS


class TestRows:
    def rows(self, mixture, kind, width, count=400):
        entry = next(entry for entry in mixture.entries if (entry.kind, entry.width) == (kind, width))
        return mixture.draw(entry, count, torch.Generator().manual_seed(0)).tolist()

    def lines(self, tokens):
        """Splits at line ends; fails if something follows the last of them."""
        lines, line = [], []
        for token in tokens:
            line.append(token)
            if token in (COMMA, STOP, QUESTION):
                lines.append(line)
                line = []
        assert not line
        return lines

    def without_tail(self, row):
        text = row[: row.index(EOS)] if EOS in row else row
        assert all(token == EOS for token in row[len(text) :])
        return text

    def test_windows_are_windows(self, mixture):
        run = mixture.tokens.tolist()
        joined = " ".join(map(str, run))
        rows = self.rows(mixture, "windows", 32, 50)
        assert all(" ".join(map(str, row)) in joined for row in rows)
        assert any(BOS in row for row in rows) and not any(MASK in row for row in rows)

    def test_documents_are_whole_without_bos_and_end_with_eos(self, mixture, corpus):
        whole = set()
        for split in ("train", "famous"):
            whole |= {tuple(copy) for copy in copies_of(lay_out(corpus.splits[split], BOS, EOS))}
        rows = self.rows(mixture, "documents", 48)
        assert all(row[-1] == EOS and (*self.without_tail(row), EOS) in whole for row in rows)
        assert any(row[0] < FIRST_CHARACTER for row in rows) and any(row[0] >= FIRST_CHARACTER for row in rows)

    def test_spans_are_two_to_four_whole_lines(self, mixture, corpus):
        counts = set()
        texts = " ".join(map(str, [*corpus.splits["train"].tokens, *corpus.splits["famous"].tokens]))
        for row in self.rows(mixture, "spans", 32):
            text = self.without_tail(row)
            lines = self.lines(text)
            counts.add(len(lines))
            assert {len(line) for line in lines} in ({6}, {8})
            assert " ".join(map(str, text)) in texts
        assert counts == {2, 3, 4}

    def test_exact_rows_have_no_tail_and_are_couplets(self, mixture):
        for row in self.rows(mixture, "exact", 12):
            lines = self.lines(row)
            assert [len(line) for line in lines] == [6, 6]
            assert lines[0][-1] == COMMA and lines[1][-1] in (STOP, QUESTION)
            assert min(row) >= COMMA and not any(5 <= token < FIRST_CHARACTER for token in row)

    def test_exact_rows_follow_a_sentence(self):
        # Lines 2 and 3 of a quatrain are of equal length too, but line 1 ends with a comma.
        rng = random.Random(0)
        poems = [made_up_poem(rng, width=5, lines=4) for _ in range(3)]
        phases = [{"fraction": 1, "entries": [{"kind": "exact", "width": 12, "share": 1}]}]
        mixture = RowMixture(corpus_of({"train": documents_of(poems)}), phases)
        drawn = {tuple(row) for row in self.rows(mixture, "exact", 12)}
        assert drawn == {tuple(poem[start : start + 12]) for poem in poems for start in (0, 12)}

    def test_the_famous_share_of_a_batch(self, mixture):
        entry = RowEntry("exact", 12, share=1.0, famous=0.3)
        generator = torch.Generator().manual_seed(0)
        famous = RowMixture(
            corpus_of({"famous": made_up_split(20, 1)}), [{"fraction": 1, "entries": [{**vars(entry), "famous": 1}]}]
        )
        known = {tuple(row) for row in famous.draw(famous.entries[0], 2000, generator).tolist()}
        rows = mixture.draw(entry, 50, generator).tolist()
        assert [tuple(row) in known for row in rows] == [False] * 35 + [True] * 15

    def test_phases_and_shares_follow_the_step(self, corpus):
        phases = [
            {"fraction": 0.7, "entries": [ENTRIES[0], {**ENTRIES[1], "share": 0.1}]},
            {"fraction": 0.3, "entries": [ENTRIES[3]]},
        ]
        mixture = RowMixture(corpus, phases)
        kinds = [mixture.entry_at(step, 1000, seed=3).kind for step in range(1000)]
        assert set(kinds[:700]) == {"windows", "documents"} and set(kinds[700:]) == {"exact"}
        assert kinds[:700].count("documents") == pytest.approx(140, abs=40)
        assert kinds == [mixture.entry_at(step, 1000, seed=3).kind for step in range(1000)]
        assert kinds != [mixture.entry_at(step, 1000, seed=4).kind for step in range(1000)]

    def test_errors(self, corpus):
        with pytest.raises(ValueError, match="`kind`"):
            RowEntry("poems", 12, 1.0)
        with pytest.raises(ValueError, match="`width`"):
            RowEntry("exact", 1, 1.0)
        with pytest.raises(ValueError, match="`share`"):
            RowEntry("exact", 12, 1.0, famous=2)
        with pytest.raises(ValueError, match="`entries`"):
            RowMixture(corpus, [{"fraction": 1.0, "entries": []}])
        with pytest.raises(ValueError, match="exact rows of width 13 of the train split"):
            RowMixture(corpus, [{"fraction": 1.0, "entries": [{"kind": "exact", "width": 13, "share": 1}]}])


class TestBatches:
    def batches(self, mixture, **changes):
        settings = {"mask_token_id": MASK, "max_steps": 40, "tokens_per_step": 768, "device": "cpu", "seed": 1}
        return TrainingBatches(mixture, **(settings | {"random_length_ratio": 0.0} | changes))

    def test_noise_is_a_function_of_seed_and_step(self, mixture):
        first, again, other = self.batches(mixture), self.batches(mixture), self.batches(mixture, seed=2)
        for step in (7, 3, 7):  # in any order
            assert torch.equal(first.at(step)[0]["input_ids"], again.at(step)[0]["input_ids"])
        differ = [
            first.at(step)[0]["input_ids"].tolist() != other.at(step)[0]["input_ids"].tolist() for step in range(9)
        ]
        assert all(differ)

    def test_iteration_starts_where_training_stands(self, mixture):
        batches = self.batches(mixture, first_step=lambda: 37)
        seen = list(batches)
        assert len(seen) == 3 and len(batches) == 40
        assert torch.equal(seen[0]["input_ids"], batches.at(37)[0]["input_ids"])

    @pytest.mark.parametrize("parts", [(2, 1), (1, 2), (4, 2)])
    def test_parts_make_up_the_global_batch(self, mixture, parts):
        accumulation, processes = parts
        whole = self.batches(mixture)
        for step in range(6):
            cut = [
                part
                for index in range(processes)
                for part in self.batches(
                    mixture, accumulation_steps=accumulation, num_processes=processes, process_index=index
                ).at(step)
            ]
            assert len(cut) == accumulation * processes
            for key in ("input_ids", "labels", "weights"):
                assert torch.equal(torch.cat([part[key] for part in cut]), whole.at(step)[0][key])
            assert {part["num_items"] for part in cut} == {768}

    def test_the_rates_of_a_step_are_evenly_spread(self, mixture):
        batch = self.batches(mixture).at(0)[0]
        rates = 1 / batch["weights"].view(batch["input_ids"].shape).amax(1)
        strata = (rates[rates < 2] * len(rates) - 1e-3).ceil()
        assert (
            strata.unique().numel() == strata.numel() >= len(rates) - 2
        )  # a row of the lowest rates may have no mask

    def test_compact_batches_hold_every_masked_position_in_static_shapes(self, mixture):
        compact, plain = self.batches(mixture, compact=True), self.batches(mixture)
        shapes = {}
        for step in range(40):
            batch, full = compact.at(step)[0], plain.at(step)[0]
            positions = batch["positions"]
            assert positions.unique().numel() == positions.numel()
            masked = full["weights"] > 0
            assert masked[positions].sum() == masked.sum()
            assert torch.equal(batch["labels"], full["labels"][positions])
            assert torch.equal(batch["weights"], full["weights"][positions])
            shapes.setdefault(batch["input_ids"].shape, set()).add(positions.shape)
        assert len(shapes) == 3 and all(len(counts) == 1 for counts in shapes.values())
        assert compact.num_dropped == 0

    def test_slots_are_about_half_of_a_large_batch(self, mixture):
        batches = self.batches(mixture, tokens_per_step=98_304, compact=True)
        assert 98_304 / 2 < batches.num_slots(768, 128) < 0.52 * 98_304

    def test_overflowing_positions_are_counted(self, mixture, monkeypatch):
        batches = self.batches(mixture, compact=True)
        monkeypatch.setattr(batches, "num_slots", lambda rows, width: 128)
        batch = batches.at(0)[0]
        assert batch["labels"].shape == (128,) and (batch["weights"] > 0).all()
        assert batches.num_dropped > 0

    def test_some_window_steps_cut_their_rows(self, mixture):
        batches = self.batches(mixture, random_length_ratio=1.0)
        kinds = {}
        for step in range(40):
            batch = batches.at(step)[0]
            kinds.setdefault(mixture.entry_at(step, 40, 1).kind, []).append(batch)
        assert all("attention_mask" not in batch for kind in ("documents", "exact") for batch in kinds[kind])
        for batch in kinds["windows"]:
            mask = batch["attention_mask"].bool()
            lengths = mask.sum(1)
            assert batch["input_ids"].shape == (24, 32)  # the same shape as uncut
            assert lengths.min() >= 1 and lengths.unique().numel() > 5
            assert torch.equal(mask, torch.arange(32) < lengths[:, None])
            assert batch["num_items"] == mask.sum()
            assert not batch["weights"].view(24, 32)[~mask].any() and not (batch["input_ids"] == MASK)[~mask].any()
        all_lengths = torch.cat([batch["attention_mask"].sum(1) for batch in kinds["windows"]]).float()
        assert all_lengths.mean().item() == pytest.approx(16.5, abs=1.5)

    def test_one_percent_of_the_window_steps_by_default(self, mixture):
        batches = TrainingBatches(mixture, mask_token_id=MASK, max_steps=3000, tokens_per_step=768, device="cpu")
        cut = sum("attention_mask" in batches.at(step)[0] for step in range(3000))
        assert 2 <= cut <= 30  # 1% of 40% of 3000 = 12

    def test_rows_that_do_not_divide_are_an_error(self, mixture):
        with pytest.raises(ValueError, match="`tokens_per_step`"):
            self.batches(mixture, tokens_per_step=16)
        with pytest.raises(ValueError, match="`tokens_per_step`.*Choose a multiple"):
            self.batches(mixture, accumulation_steps=5)


class TestLoss:
    def test_equals_equation_3_written_by_hand(self, tiny_model, mixture, trainer_of):
        trainer = trainer_of(random_length_ratio=0.0)
        batch = next(iter(trainer.get_train_dataloader()))
        rows, width = batch["input_ids"].shape
        labels, weights = batch["labels"].view(rows, width), batch["weights"].view(rows, width)
        by_hand = 0.0
        for row in range(rows):
            log_probs = trainer.model(batch["input_ids"][row : row + 1]).logits[0].log_softmax(-1)
            for position in range(width):
                if batch["input_ids"][row, position] == MASK:
                    t = 1 / weights[row, position]
                    by_hand -= log_probs[position, labels[row, position]] / t
        loss = trainer.compute_loss(trainer.model, batch, num_items_in_batch=batch["num_items"])
        assert loss.item() == pytest.approx(by_hand.item() / (rows * width), rel=1e-5)

    def test_compact_loss_is_the_same(self, tiny_model, mixture):
        model = tiny_model().train()
        for step, ratio in ((0, 0.0), (1, 1.0), (2, 1.0)):
            settings = {"mask_token_id": MASK, "max_steps": 9, "tokens_per_step": 768, "device": "cpu"}
            full, compact = (
                TrainingBatches(mixture, **settings, random_length_ratio=ratio, compact=compact).at(step)[0]
                for compact in (False, True)
            )
            losses, gradients = [], []
            for batch in (full, compact):
                batch.pop("num_items")
                loss = masked_diffusion_loss(model, **batch)
                model.zero_grad()
                loss.backward()
                losses.append(loss.item())
                gradients.append(model.model.layers[0].mlp.up_proj.weight.grad.clone())
            assert losses[0] == pytest.approx(losses[1], rel=1e-5)
            assert torch.allclose(*gradients, rtol=1e-3, atol=1e-3)

    def test_uniform_predictions_cost_log_of_the_vocabulary(self, tiny_model, mixture):
        model = tiny_model()
        torch.nn.init.zeros_(model.lm_head.weight)
        batches = TrainingBatches(
            mixture, mask_token_id=MASK, max_steps=300, tokens_per_step=768, device="cpu", random_length_ratio=0.0
        )
        losses = [
            masked_diffusion_loss(model, **{k: v for k, v in batches.at(step)[0].items() if k != "num_items"})
            for step in range(30)
        ]
        assert torch.stack(losses).mean().item() / 768 == pytest.approx(np.log(99), rel=0.05)

    @pytest.mark.parametrize("compact", [False, True])
    def test_accumulation_equals_one_batch(self, trainer_of, compact):
        results = []
        for accumulation in (1, 2, 4):
            # Plain SGD: AdamW would divide rounding errors by themselves.
            trainer = trainer_of(
                gradient_accumulation_steps=accumulation, compact_loss=compact, optim="sgd", learning_rate=0.1,
                max_grad_norm=0.0, max_steps=4, random_length_ratio=0.5,
            )  # fmt: skip
            trainer.train()
            losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
            results.append((weights_of(trainer), losses))
        for weights, losses in results[1:]:
            assert largest_difference(weights, results[0][0]) < 1e-6
            assert losses == pytest.approx(results[0][1], rel=1e-5)

    def test_processes_equal_one_process(self, corpus, tmp_path, monkeypatch):
        corpus.save(tmp_path / "corpus.safetensors")
        script = tmp_path / "train.py"
        script.write_text(f"""
import sys, torch
from safetensors.torch import save_file
from modeling_llada import LLaDAConfig, LLaDAForMaskedLM
from modeling_llada.training import Corpus, LLaDAPretrainer, LLaDAPretrainingConfig, RowMixture
torch.set_num_threads(1)
torch.manual_seed(0)
model = LLaDAForMaskedLM(LLaDAConfig(**{TINY | {"initializer_range": 0.05}!r}))
rows = RowMixture(Corpus.load(r"{tmp_path / "corpus.safetensors"}"), {PHASES!r})
args = LLaDAPretrainingConfig(sys.argv[1] + "-run", max_steps=3, tokens_per_step=768, warmup_steps=1, use_cpu=True,
    learning_rate=0.1, optim="sgd", save_strategy="no", disable_tqdm=True, random_length_ratio=0.5)
trainer = LLaDAPretrainer(model, args, rows)
trainer.train()
if args.process_index == 0:
    save_file({{name: value.clone() for name, value in trainer.model.state_dict().items()}}, sys.argv[1])
""")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "PYTHONPATH": str(REPO)}
        command = [sys.executable, str(script), str(tmp_path / "two")]
        ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"} for rank in (0, 1)]
        processes = [subprocess.Popen(command, env={**os.environ, **group, **rank}) for rank in ranks]
        monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path / "one")])
        runpy.run_path(str(script))
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
        weights = {name: load_file(tmp_path / name) for name in ("one", "two")}
        assert largest_difference(weights["one"], weights["two"]) < 1e-6


class TestTrainer:
    def test_parameters_change_and_the_loss_falls(self, trainer_of, corpus):
        rows = torch.from_numpy(corpus.splits["test"].tokens[:960].astype(np.int64)).view(30, 32)
        trainer = trainer_of(max_steps=60, logging_steps=10, eval_dataset=rows)
        before, loss_before = weights_of(trainer), trainer.evaluate()["eval_loss"]
        trainer.train()
        for name, value in trainer.model.state_dict().items():
            assert not torch.equal(value, before[name]), f"Parameter {name} has not changed."
        assert trainer.evaluate()["eval_loss"] < loss_before - 0.1
        history = [entry for entry in trainer.state.log_history if "loss" in entry]
        assert len(history) == 6 and all(entry["tokens_per_second"] > 0 for entry in history)

    def test_the_schedule_warms_up_stays_and_decays(self, trainer_of):
        trainer = trainer_of(max_steps=10, warmup_steps=2, decay_ratio=0.4, learning_rate=1.0, weight_decay=0.0)
        optimizer = trainer.create_optimizer()
        scheduler = trainer.create_scheduler(10)
        rates = []
        for _ in range(10):
            rates.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
        assert rates == pytest.approx([0.01, 0.505, 1, 1, 1, 1, 1, 0.7525, 0.505, 0.2575])

    def test_weight_decay_spares_the_norms(self, trainer_of):
        optimizer = trainer_of().create_optimizer()
        assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
        assert all(parameter.ndim == 1 for parameter in optimizer.param_groups[1]["params"])
        assert all(parameter.ndim == 2 for parameter in optimizer.param_groups[0]["params"])

    def test_tensors_are_a_train_dataset_too(self, trainer_of):
        trainer = trainer_of(train_dataset=torch.randint(10, 97, (50, 16)), max_steps=2, tokens_per_step=128)
        assert trainer.train().global_step == 2

    def test_compiled_loss_trains_the_same(self, trainer_of, monkeypatch):
        compile_function = torch.compile
        monkeypatch.setattr(
            torch, "compile", lambda function, **kwargs: compile_function(function, backend="eager", **kwargs)
        )
        results = []
        for compiled in (False, True):
            trainer = trainer_of(compile_loss=compiled, compact_loss=True, max_steps=4, random_length_ratio=0.5)
            trainer.train()
            results.append(weights_of(trainer))
        assert largest_difference(*results) < 1e-6

    def test_resume_equals_no_interruption(self, trainer_of, tiny_model, tmp_path):
        straight = trainer_of(gradient_accumulation_steps=2)
        straight.train()

        class Kill(TrainerCallback):
            def on_step_begin(self, args, state, control, **kwargs):
                if state.global_step == 4:
                    raise KeyboardInterrupt

        settings = {
            "gradient_accumulation_steps": 2,
            "output_dir": str(tmp_path / "killed"),
            "save_strategy": "steps",
            "save_steps": 3,
        }
        with pytest.raises(KeyboardInterrupt):
            trainer_of(**settings, callbacks=[Kill()]).train()
        # A checkpoint that the kill left half-written does not count.
        (tmp_path / "killed" / "checkpoint-4").mkdir()
        assert find_last_checkpoint(tmp_path / "killed").endswith("checkpoint-3")

        torch.manual_seed(77)  # whatever else the new process has drawn
        resumed = trainer_of(**settings)
        torch.nn.init.zeros_(resumed.model.lm_head.weight)
        resumed.train(resume_from_checkpoint=True)
        assert resumed.state.global_step == 6
        for name, value in straight.model.state_dict().items():
            assert torch.equal(value, resumed.model.state_dict()[name]), name
        curve = lambda trainer: {e["step"]: e["loss"] for e in trainer.state.log_history if "loss" in e}  # noqa: E731
        assert curve(resumed) == curve(straight)

    def test_resume_without_a_checkpoint_is_an_error(self, trainer_of):
        with pytest.raises(ValueError, match="`resume_from_checkpoint=True`"):
            trainer_of().train(resume_from_checkpoint=True)

    def test_time_limit_stops_with_a_checkpoint(self, trainer_of, tmp_path):
        straight = trainer_of()
        straight.train()
        settings = {"save_strategy": "steps", "save_steps": 1000, "output_dir": str(tmp_path / "boxed")}
        steps = []
        for _ in range(6):
            checkpoint = find_last_checkpoint(tmp_path / "boxed")
            boxed = trainer_of(**settings, max_minutes=1e-9)
            boxed.train(resume_from_checkpoint=checkpoint)
            steps.append(boxed.state.global_step)
        assert steps == [1, 2, 3, 4, 5, 6]
        assert largest_difference(weights_of(straight), weights_of(boxed)) == 0

    def test_config_errors(self):
        for name, value in (("max_steps", -1), ("rate_eps", 2.0), ("decay_ratio", -0.1), ("eval_num_samples", 0)):
            with pytest.raises(ValueError, match=f"`{name}`"):
                LLaDAPretrainingConfig("unused", use_cpu=True, **({"max_steps": 5} | {name: value}))

    def test_a_model_without_mask_token_is_an_error(self, tiny_model, mixture, tmp_path):
        model = tiny_model()
        model.config.mask_token_id = None
        with pytest.raises(ValueError, match="mask_token_id"):
            LLaDAPretrainer(model, LLaDAPretrainingConfig(str(tmp_path), max_steps=1, use_cpu=True), mixture)


class TestEvaluation:
    def test_fixed_noise_is_eq_6(self):
        num_masked = []
        for sample in range(4):
            mask, weights = fixed_noise(50, 20, sample, seed=0)
            assert torch.equal(mask.sum(1) * weights, torch.full((50,), 20.0))
            num_masked.append(mask.sum(1))
        counts = torch.cat(num_masked).bincount(minlength=21)
        assert counts[0] == 0 and (counts[1:] == 10).all()  # uniform in 1 .. L, evenly spread
        assert not torch.equal(num_masked[0], num_masked[1])

    def test_the_same_number_twice_and_with_another_batch_size(self, trainer_of):
        rows = torch.randint(10, 97, (33, 16), generator=torch.Generator().manual_seed(0))
        losses = []
        for batch_size in (64, 64, 7):
            trainer = trainer_of(eval_dataset=rows, per_device_eval_batch_size=batch_size, eval_num_samples=3)
            torch.rand(len(losses))  # other draws do not matter
            losses.append(trainer.evaluate()["eval_loss"])
        assert losses[0] == losses[1] == pytest.approx(losses[2], rel=1e-6)
        assert losses[0] != trainer_of(eval_dataset=rows, eval_num_samples=3, eval_seed=1).evaluate()["eval_loss"]

    def test_value_written_by_hand(self, tiny_model, random_ids):
        model, rows = tiny_model(), random_ids(3, 8)
        total = 0.0
        with torch.no_grad():
            for sample in range(5):
                mask, weights = fixed_noise(3, 8, sample, seed=2)
                logits = model(rows.masked_fill(mask, MASK)).logits
                losses = F.cross_entropy(logits.transpose(1, 2), rows, reduction="none")
                total += (losses * mask).sum(1).mul(weights).sum().item()
        loss = held_out_loss(lambda noisy: model(noisy).logits, rows, MASK, num_samples=5, batch_size=2, seed=2)
        assert loss == pytest.approx(total / (5 * 24), rel=1e-5)

    def test_training_noise_and_evaluation_leave_each_other_alone(self, trainer_of):
        rows = torch.randint(10, 97, (8, 16), generator=torch.Generator().manual_seed(0))
        plain, evaluated = (
            trainer_of(),
            trainer_of(eval_dataset={"a": rows, "b": rows}, eval_strategy="steps", eval_steps=2),
        )
        plain.train()
        evaluated.train()
        assert largest_difference(weights_of(plain), weights_of(evaluated)) == 0
        history = [entry for entry in evaluated.state.log_history if "eval_a_loss" in entry]
        assert [entry["step"] for entry in history] == [2, 4, 6]
        assert len({entry["eval_a_loss"] for entry in history}) == 3

    def test_evaluation_without_data_is_an_error(self, trainer_of):
        with pytest.raises(ValueError, match="`eval_dataset`"):
            trainer_of().evaluate()


class TestExample:
    @pytest.fixture
    def recipe(self, corpus, tmp_path):
        """The arguments of a tiny run of 60 steps."""
        corpus.save(tmp_path / "corpus.safetensors.xz")
        config = REPO / "examples" / "configs" / "tiny.yaml"
        settings = ["training.save_steps=5", "training.logging_steps=5", "training.use_cpu=true"]
        return [
            "--config",
            config,
            "--corpus",
            tmp_path / "corpus.safetensors.xz",
            "--max-steps",
            60,
            "--set",
            *settings,
        ]

    @pytest.fixture
    def call(self, monkeypatch, capsys):
        """Runs the script in this process and returns what it prints."""

        def run(*arguments):
            monkeypatch.setattr(sys, "argv", ["pretrain.py", *map(str, arguments)])
            runpy.run_path(str(REPO / "examples" / "pretrain.py"), run_name="__main__")
            return capsys.readouterr().out

        return run

    def test_killed_and_resumed_equals_straight(self, recipe, call, tmp_path):
        environment = {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
        script = REPO / "examples" / "pretrain.py"
        command = [sys.executable, str(script), *map(str, recipe), "--output-dir", str(tmp_path / "killed")]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while find_last_checkpoint(tmp_path / "killed") is None and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        process.wait()
        killed_at = int(find_last_checkpoint(tmp_path / "killed").rsplit("-", 1)[1])
        assert 0 < killed_at < 60 and not (tmp_path / "killed" / "final").exists()

        out = call(*recipe, "--resume", "--output-dir", tmp_path / "killed")
        assert f"checkpoint-{killed_at} " in out and "at step 60 of 60" in out
        call(*recipe, "--output-dir", tmp_path / "straight")
        finals = [tmp_path / name / "final" / "model.safetensors" for name in ("killed", "straight")]
        assert finals[0].read_bytes() == finals[1].read_bytes()

    def test_time_limit_final_model_and_curve(self, recipe, call, tmp_path):
        (tmp_path / "tokenizer").mkdir()
        (tmp_path / "tokenizer" / "tokenizer.json").write_text("{}")
        arguments = [
            *recipe,
            "training.max_minutes=1e-9",
            "--tokenizer",
            tmp_path / "tokenizer",
            "--output-dir",
            tmp_path / "run",
        ]
        assert "at step 1 of 60: go on with --resume" in call(*arguments)
        assert "at step 2 of 60" in call(*arguments, "--resume")
        final = tmp_path / "run" / "final"
        model = LLaDAForMaskedLM.from_pretrained(final)
        assert model.dtype == torch.bfloat16 and model.config.mask_token_id == MASK
        assert (final / "tokenizer.json").exists() and not final.with_suffix(".tmp").exists()
        curve = json.loads((tmp_path / "run" / "training_log.json").read_text())
        assert [entry["step"] for entry in curve if "loss" in entry] == [1, 2]

    def test_rehearsal_times_every_kind(self, recipe, call, tmp_path):
        out = call(*recipe, "--rehearse", 2, "--output-dir", tmp_path / "unused")
        for kind in ("windows", "documents", "spans", "exact"):
            assert any(line.startswith(kind) and "tokens/s" in line for line in out.splitlines())
        assert "the plan takes" in out and not (tmp_path / "unused" / "final").exists()

    def test_values_on_the_command_line(self, recipe, call, tmp_path):
        call(*recipe, "training.learning_rate=1e-3", "model.num_hidden_layers=1", "phases.0.fraction=1.0",
             "training.max_steps=2", "--output-dir", tmp_path / "run")  # fmt: skip
        assert LLaDAForMaskedLM.from_pretrained(tmp_path / "run" / "final").config.num_hidden_layers == 1
        with pytest.raises(ValueError, match="`--set`"):
            call(*recipe, "training.learning_rate")

    def test_the_recipes_are_consistent(self):
        for name in ("poet", "tiny"):
            config = yaml.safe_load((REPO / "examples" / "configs" / f"{name}.yaml").read_text())
            args = LLaDAPretrainingConfig(**config["training"] | {"use_cpu": True})
            for phase in config["phases"]:
                assert sum(entry["share"] for entry in phase["entries"]) == pytest.approx(1)
                assert all(args.tokens_per_step % RowEntry(**entry).width == 0 for entry in phase["entries"])


def test_weights_of_the_batches_are_those_of_the_forward_process(mixture):
    batches = TrainingBatches(
        mixture, mask_token_id=MASK, max_steps=5, tokens_per_step=768, device="cpu", random_length_ratio=0.0
    )
    batch = batches.at(0)[0]
    weights = batch["weights"].view(batch["input_ids"].shape)
    mask = batch["input_ids"] == MASK
    has_mask = mask.any(1)
    rates = 1 / weights.amax(1)[has_mask]
    assert torch.allclose(loss_weights(mask[has_mask], rates), weights[has_mask])
