# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""On the golden checkpoint, modeling_llada/minimal.py computes what the package computes."""

import ast
import copy
from pathlib import Path

import pytest
import torch

from modeling_llada import minimal
from modeling_llada.minimal import loss, noise, sample
from modeling_llada.models.diffusion_llada import mask_tokens


MASK, EOS, VOCAB_SIZE = 319, 301, 320


@pytest.fixture
def clean_rows(random_ids):
    """Eight rows of 24 tokens, without special tokens."""
    return random_ids(8, 24, low=0, high=300)


class TestFile:
    def test_it_is_short_and_needs_torch_alone(self):
        text = Path(minimal.__file__).read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 100
        imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.Import, ast.ImportFrom))]
        modules = {name.name for node in imports if isinstance(node, ast.Import) for name in node.names}
        modules |= {node.module for node in imports if isinstance(node, ast.ImportFrom)}
        assert modules == {"torch", "torch.nn"}


class TestNoise:
    @pytest.mark.parametrize("prompt_length", [0, 7])
    def test_equals_mask_tokens(self, clean_rows, prompt_length):
        t = torch.linspace(0.1, 1, len(clean_rows))
        response = (torch.arange(24) >= prompt_length).expand(8, 24)
        x_t = noise(clean_rows, t, MASK, response, torch.Generator().manual_seed(0))
        expected, _ = mask_tokens(clean_rows, t, MASK, response, torch.Generator().manual_seed(0))
        assert torch.equal(x_t, expected)
        assert (
            torch.equal(x_t[:, :prompt_length], clean_rows[:, :prompt_length])
            and (x_t[-1, prompt_length:] == MASK).all()
        )

    def test_each_token_is_masked_at_the_rate_of_its_row(self):
        t = torch.tensor([0.2, 0.7])
        x_t = noise(torch.zeros(2, 20_000, dtype=torch.long), t, MASK, generator=torch.Generator().manual_seed(0))
        assert (x_t == MASK).float().mean(-1).tolist() == pytest.approx(t.tolist(), abs=0.02)


class TestLoss:
    def test_equals_the_pre_training_loss(self, golden_model, clean_rows, tmp_path):
        pytest.importorskip("accelerate", reason="accelerate is not part of this environment")
        from modeling_llada.training import LLaDAPretrainer, LLaDAPretrainingConfig

        args = LLaDAPretrainingConfig(
            str(tmp_path),
            max_steps=1,
            tokens_per_step=16 * 24,
            random_length_ratio=0.0,
            use_cpu=True,
        )
        trainer = LLaDAPretrainer(copy.deepcopy(golden_model), args, train_dataset=clean_rows)
        batch = next(iter(trainer.get_train_dataloader()))
        expected = trainer.compute_loss(trainer.model, batch, num_items_in_batch=batch["num_items"])
        x_t, x_0 = batch["input_ids"], batch["labels"]
        t = torch.ones(16)
        is_masked = batch["masked_positions"] >= 0
        t[batch["masked_positions"][is_masked] // 24] = batch["rates"][is_masked]
        assert loss(golden_model, x_0, x_t, t, MASK).item() == pytest.approx(expected.item(), rel=1e-5)

    def test_equals_the_fine_tuning_loss(self, golden_model, clean_rows, tmp_path):
        pytest.importorskip("trl", reason="TRL is not part of this environment")
        from datasets import Dataset

        from modeling_llada.training import LLaDASFTConfig, LLaDASFTTrainer

        clean_rows[:, -1] = EOS
        labels = clean_rows.masked_fill(torch.arange(24) < 9, -100)
        rows = Dataset.from_dict({"input_ids": clean_rows.tolist(), "labels": labels.tolist()})
        args, tokenizer = (
            LLaDASFTConfig(str(tmp_path), max_steps=1, report_to="none", use_cpu=True),
            made_up_tokenizer(),
        )
        trainer = LLaDASFTTrainer(copy.deepcopy(golden_model), args, train_dataset=rows, processing_class=tokenizer)
        batch = next(iter(trainer.get_train_dataloader()))
        expected = trainer.compute_loss(trainer.model, batch)
        x_t, masked = batch["input_ids"], batch["labels"]
        x_0 = torch.where(masked == -100, x_t, masked)
        response = (torch.arange(24) >= 9).expand(8, 24)
        found = loss(golden_model, x_0, x_t, batch["rates"], MASK, response)
        assert found.item() == pytest.approx(expected.item(), rel=1e-5)


class TestSample:
    @pytest.mark.parametrize("cfg_scale", [0.0, 1.5])
    @pytest.mark.parametrize(
        ("steps", "block_length"),
        [(24, None), (9, None), (1, None), (24, 8), (12, 8), (9, 8), (24, 7), (24, 1)],
    )
    def test_equals_generate(self, golden_model, clean_rows, steps, block_length, cfg_scale):
        """With one block and several, with as many steps as tokens and with fewer, and with quotas that are not all equal."""
        prompts = clean_rows[:3, :11]
        options = {"steps": steps, "block_length": block_length, "cfg_scale": cfg_scale}
        expected = golden_model.generate(prompts, max_new_tokens=24, stop_at_eos=False, **options)
        assert torch.equal(sample(golden_model, prompts, MASK, length=24, **options), expected)

    def test_random_remasking(self, golden_model, clean_rows):
        """In one step the order does not matter, so the result is that of the confidences; else it depends on the seed."""
        prompts, sequences = clean_rows[:3, :11], []
        options = {"length": 12, "remasking": "random"}
        at_once = sample(golden_model, prompts, MASK, steps=1, **options)
        assert torch.equal(at_once, sample(golden_model, prompts, MASK, length=12, steps=1))
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            sequences.append(sample(golden_model, prompts, MASK, **options))
            assert torch.equal(sequences[-1][:, :11], prompts) and (sequences[-1] != MASK).all()
        assert torch.equal(sequences[0], sequences[1]) and not torch.equal(sequences[0], sequences[2])


def made_up_tokenizer():
    """A tokenizer with the special tokens of the golden checkpoint, which has none of its own."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = models.WordLevel({f"<{number}>": number for number in range(VOCAB_SIZE)}, unk_token="<300>")
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(words),
        mask_token=f"<{MASK}>",
        eos_token=f"<{EOS}>",
        pad_token=f"<{EOS}>",
    )
