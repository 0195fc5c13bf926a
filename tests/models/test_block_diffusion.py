# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The forward pass of block diffusion, `[noisy | clean]`: the golden one, and each block as in generation."""

import pytest
import torch
from conftest import TINY
from support.golden_families import golden_of
from support.tiny_llada2 import ROUTED_BY_BLOCKS, block_by_block, tiny_llada2
from torch.nn.functional import cross_entropy

from modeling_llada.models.block_diffusion_llada2_moe import inputs_beside_clean


MASK = TINY["mask_token_id"]


def with_noise(clean, seed=0):
    mask = torch.rand(clean.shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    return clean.masked_fill(mask, MASK)


class TestGolden:
    @pytest.mark.parametrize("attention", ["sdpa", "eager"])
    def test_logits_and_loss(self, attention):
        golden = golden_of("llada2")
        tensors, expected = golden.tensors, golden.values["train"]
        model = golden.model
        model.set_attn_implementation(attention)
        noisy, clean, labels = (tensors[f"train.{name}"] for name in ("noisy_ids", "clean_ids", "labels"))
        with torch.no_grad():
            output = model(noisy, clean_ids=clean, labels=labels, block_length=expected["block_length"])
        model.set_attn_implementation("sdpa")  # the model is shared
        torch.testing.assert_close(output.logits, tensors["train.logits_noisy_half"], rtol=0, atol=2e-4)
        assert output.loss.item() == pytest.approx(expected["loss"], abs=1e-4)

    def test_mask(self):
        tensors = golden_of("llada2").tensors
        inputs = inputs_beside_clean(
            tensors["train.noisy_ids"], tensors["train.clean_ids"], None, 8, "sdpa", torch.float32
        )
        assert torch.equal(inputs["attention_mask"][0, 0], tensors["train.mask_bool"])
        assert torch.equal(inputs["position_ids"][0], torch.arange(32).repeat(2))


class TestGeneration:
    @pytest.fixture(autouse=True)
    def without_gradients(self):
        with torch.no_grad():
            yield

    @pytest.mark.parametrize("block_length", [1, 3, 4, 11, 32])
    def test_each_block_is_computed_as_in_generation(self, random_ids, block_length):
        model, clean = tiny_llada2(), random_ids(1, 11)
        noisy = with_noise(clean)
        logits = model(noisy, clean_ids=clean, block_length=block_length).logits
        torch.testing.assert_close(logits, block_by_block(model, noisy, clean, block_length), rtol=0, atol=1e-4)

    def test_with_experts_that_blocks_share(self, random_ids):
        """In LLaDA2.2 a noisy block chooses experts for itself, and the clean one beside it for itself."""
        model = tiny_llada2(**ROUTED_BY_BLOCKS)
        for length in (1, 4, 11):
            clean = random_ids(1, length)
            noisy = with_noise(clean)
            logits = model(noisy, clean_ids=clean, block_length=4).logits
            torch.testing.assert_close(logits, block_by_block(model, noisy, clean, 4), rtol=0, atol=1e-4)

    @pytest.mark.parametrize("fields", [{}, ROUTED_BY_BLOCKS], ids=["2.0", "2.2"])
    @pytest.mark.parametrize("lengths", [(5, 1, 6), (11,), (1, 1, 2), (4, 8)], ids=str)
    def test_documents_of_a_row_are_alone(self, random_ids, fields, lengths):
        """With padding before, between and behind them."""
        model, parts, documents = tiny_llada2(**fields), [], []
        for number, length in enumerate(lengths):
            clean = random_ids(1, length, seed=number)
            padding = torch.full((1, number % 3), TINY["pad_token_id"])
            parts += [(padding, padding, None), (with_noise(clean, number), clean, None)]
            documents += [torch.zeros_like(padding), torch.full_like(clean, number + 1)]
        parts.append((torch.ones(1, 3, dtype=torch.long),) * 3)
        documents.append(torch.zeros(1, 3, dtype=torch.long))
        noisy, clean = (torch.cat([part[index] for part in parts], dim=1) for index in (0, 1))
        documents = torch.cat(documents, dim=1)
        logits = model(noisy, clean_ids=clean, attention_mask=documents, block_length=4).logits
        for number in range(len(lengths)):
            own = documents[0] == number + 1
            alone = model(noisy[:, own], clean_ids=clean[:, own], block_length=4).logits
            torch.testing.assert_close(logits[:, own], alone, rtol=0, atol=1e-4)

    @pytest.mark.parametrize("is_left", [True, False])
    @pytest.mark.parametrize("block_length", [4, 64])
    def test_padding(self, random_ids, is_left, block_length):
        model, clean = tiny_llada2(), random_ids(2, 9)
        noisy, mask = with_noise(clean), torch.ones(2, 9, dtype=torch.long)
        padding = slice(0, 3) if is_left else slice(6, 9)
        mask[1, padding] = 0
        logits = model(noisy, mask, clean_ids=clean, block_length=block_length).logits
        for row in range(2):
            own = mask[row].bool()
            inputs = noisy[row : row + 1, own], clean[row : row + 1, own]
            alone = model(inputs[0], clean_ids=inputs[1], block_length=block_length).logits
            torch.testing.assert_close(logits[row : row + 1, own], alone, rtol=0, atol=1e-4)

    def test_blocks_of_whole_rows_need_no_clean_ones(self, random_ids):
        """This is the objective of LLaDA: nothing is before the only block, and every position sees every other."""
        model, clean = tiny_llada2(), random_ids(2, 9)
        noisy = with_noise(clean)
        logits = model(noisy, clean_ids=clean, block_length=9).logits
        torch.testing.assert_close(logits, model(noisy).logits)
        assert inputs_beside_clean(noisy, clean, None, 9, "sdpa", torch.float32)["input_ids"] is noisy


class TestGradients:
    def test_those_of_all_blocks_one_after_the_other(self, random_ids):
        model, clean = tiny_llada2(), random_ids(1, 11)
        noisy = with_noise(clean)
        labels = clean.masked_fill(noisy != MASK, -100)
        positions = (labels[0] != -100).nonzero().flatten()
        model(
            noisy, clean_ids=clean, labels=labels, masked_positions=positions, block_length=4
        ).losses.sum().backward()
        found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
        model.zero_grad()
        logits = block_by_block(model, noisy, clean, 4)
        cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum").backward()
        for name, weight in model.named_parameters():
            if weight.grad is not None:  # an expert that no token was sent to has none
                torch.testing.assert_close(found[name], weight.grad, rtol=1e-3, atol=1e-3)


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "`block_length` must be set"),
            ({"block_length": 0}, "`block_length` must be an integer of at least 1"),
            ({"block_length": 4, "clean_ids": torch.ones(1, 5)}, r"`clean_ids` must be a tensor of shape \(1, 6\)"),
            ({"block_length": 4, "attention_mask": torch.ones(1, 1, 6, 6)}, "`attention_mask` must be a tensor of shape"),
            ({"block_length": 4, "position_ids": torch.ones(1, 6)}, "`position_ids` must be unset with `clean_ids`"),
            ({"block_length": 4, "query_positions": torch.arange(2)}, "`query_positions` must be unset"),
        ],
        ids=lambda value: "" if isinstance(value, dict) else value,
    )  # fmt: skip
    def test_arguments(self, random_ids, arguments, message):
        ids = random_ids(1, 6)
        with pytest.raises(ValueError, match=message):
            tiny_llada2()(ids, **{"clean_ids": ids} | arguments)

    def test_a_length_that_experts_are_not_shared_by(self, random_ids):
        with pytest.raises(ValueError, match="`block_length` must be 4 for this model"):
            tiny_llada2(**ROUTED_BY_BLOCKS)(random_ids(1, 6), clean_ids=random_ids(1, 6), block_length=8)

    def test_an_attention_without_such_a_mask(self, random_ids):
        model = tiny_llada2()
        model.set_attn_implementation("flex_attention")
        with pytest.raises(ValueError, match="`attn_implementation` must be sdpa or eager"):
            model(random_ids(1, 6), clean_ids=random_ids(1, 6), block_length=4)
