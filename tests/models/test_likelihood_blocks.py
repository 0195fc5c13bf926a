# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The likelihood of models of blocks: eq. 6 within each block, behind the clean blocks before it."""

from itertools import combinations

import pytest
import torch
from support.tiny_llada2 import ROUTED_BY_BLOCKS, tiny_llada2

from modeling_llada import LLaDA2MoeForMaskedLM


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def enumerated(model, input_ids, labels, block_length, cfg_scale=0.0):
    """The bound without randomness: for each block the mean over l, and over all sets of l of its scored tokens."""
    total = 0.0
    for start in range(0, len(input_ids), block_length):
        window = input_ids[: start + block_length]
        places = [place for place in range(start, len(window)) if labels[place] != -100]
        for count in range(1, len(places) + 1):
            sets = list(combinations(places, count))
            for masked in sets:
                log_probs = log_probs_of(model, window, labels, list(masked), block_length, cfg_scale)
                total += sum(log_probs[place, input_ids[place]] for place in masked).item() / count / len(sets)
    return total


def log_probs_of(model, window, labels, masked, block_length, cfg_scale):
    """Those of generation, whose canvas ends with the active block. Guidance also masks what is given, in all blocks."""
    noisy = window.clone()
    noisy[masked] = model.config.mask_token_id
    unconditional = noisy.masked_fill(labels[: len(window)] == -100, model.config.mask_token_id)
    logits, other = model(torch.stack([noisy, unconditional]), block_length=block_length).logits
    return (other + (1 + cfg_scale) * (logits - other)).log_softmax(-1)


class TestEstimate:
    @pytest.mark.parametrize("antithetic", [False, True])
    @pytest.mark.parametrize("cfg_scale", [0.0, 0.5])
    def test_unbiased(self, antithetic, cfg_scale):
        """Blocks of three tokens: one with two given ones, a whole one, and one of which the first token is scored."""
        model, input_ids = tiny_llada2(), torch.tensor([5, 17, 40, 8, 61, 23, 77, 30])
        labels = torch.tensor([-100, -100, 40, 8, 61, 23, 77, -100])
        options = {"block_length": 3, "cfg_scale": cfg_scale}
        output = model.log_likelihood(
            input_ids[None],
            labels[None],
            num_samples=1024,
            batch_size=512,
            antithetic=antithetic,
            generator=seeded(),
            **options,
        )
        exact = enumerated(model, input_ids, labels, **options)
        assert abs(output.log_likelihood.item() - exact) < 4 * output.standard_error.item()

    def test_blocks_of_one_token_are_autoregressive(self, random_ids):
        """Nothing is random, and the bound is the log-likelihood itself."""
        model, input_ids = tiny_llada2(), random_ids(1, 7)
        output = model.log_likelihood(input_ids, input_ids, num_samples=2, block_length=1)
        exact = enumerated(model, input_ids[0], input_ids[0], block_length=1)
        assert output.log_likelihood.item() == pytest.approx(exact, rel=1e-4)
        assert output.standard_error.item() == pytest.approx(0, abs=1e-3)

    @pytest.mark.parametrize("fields", [{}, ROUTED_BY_BLOCKS], ids=["2.0", "2.2"])
    @pytest.mark.parametrize("is_left", [True, False])
    def test_a_row_of_a_padded_batch_equals_the_row_by_itself(self, random_ids, fields, is_left):
        model, input_ids, labels = tiny_llada2(**fields), random_ids(3, 10), random_ids(3, 10)
        mask, padding = torch.ones_like(input_ids), torch.tensor([0, 3, 6])[:, None]
        places = torch.arange(10)
        mask[places < padding if is_left else places >= 10 - padding] = 0
        labels = input_ids.masked_fill((mask == 0) | (random_ids(3, 10, seed=1) < 30), -100)
        options = {"num_samples": 4, "antithetic": True, "block_length": 4}
        generators = [seeded(seed) for seed in range(3)]
        scores = model.log_likelihood(input_ids, labels, mask, generator=generators, **options).log_likelihood
        for row in range(3):
            alone = (tensor[row : row + 1, mask[row].bool()] for tensor in (input_ids, labels))
            score = model.log_likelihood(*alone, generator=seeded(row), **options).log_likelihood
            torch.testing.assert_close(score, scores[row : row + 1], rtol=1e-4, atol=1e-4)

    def test_later_blocks_are_not_seen(self, random_ids):
        model, input_ids = tiny_llada2(), random_ids(1, 8)
        labels, other = input_ids.clone(), input_ids.clone()
        labels[:, 4:], other[:, 4:] = -100, 7
        scores = [
            model.log_likelihood(ids, labels, num_samples=4, block_length=4, generator=seeded()).log_likelihood
            for ids in (input_ids, other)
        ]
        assert torch.equal(*scores)

    def test_the_length_of_blocks_is_that_of_generation(self, random_ids):
        model, input_ids = tiny_llada2(), random_ids(1, 8)
        default, blocks = (
            model.log_likelihood(input_ids, input_ids, num_samples=4, generator=seeded(), **options).log_likelihood
            for options in ({}, {"block_length": 4})
        )
        model.generation_config.block_length = 4
        assert default != blocks
        assert blocks == model.log_likelihood(input_ids, input_ids, num_samples=4, generator=seeded()).log_likelihood

    def test_a_file_of_generation_that_names_no_length(self, random_ids, tmp_path):
        """As official folders have it. `generate` takes that of the config, too."""
        for fields, length in (({}, 32), (ROUTED_BY_BLOCKS, 4)):
            folder = tmp_path / str(length)
            tiny_llada2(**fields).save_pretrained(folder)
            (folder / "generation_config.json").write_text('{"eos_token_id": [2, 3]}')
            model = LLaDA2MoeForMaskedLM.from_pretrained(folder)
            assert model.generation_config.block_length is None and model.length_of_blocks() == length
            assert model.perplexity(random_ids(1, 8), num_samples=1) > 0

    def test_gradients(self, random_ids):
        """The core is differentiable, for trainers."""
        model, input_ids = tiny_llada2(), random_ids(1, 8)
        mask = random_ids(1, 8, seed=1) < 50
        log_probs = model.token_log_probs(input_ids, mask, block_length=4)
        assert torch.equal(log_probs != 0, mask)
        log_probs.sum().backward()
        assert model.lm_head.weight.grad.abs().sum() > 0


class TestWindows:
    def test_one_window(self, random_ids):
        model, input_ids = tiny_llada2(), random_ids(2, 9)
        generators = [[seeded(seed) for seed in range(2)] for _ in range(2)]
        score = model.log_likelihood(
            input_ids, input_ids, num_samples=4, generator=generators[0], block_length=4
        ).log_likelihood
        perplexity = model.perplexity(input_ids, num_samples=4, generator=generators[1], block_length=4)
        torch.testing.assert_close(perplexity, (-score / 9).exp())

    def test_each_token_is_scored_once(self, random_ids):
        """With blocks of one token, windows give the log-likelihood of each token behind those before it in its window."""
        model, input_ids = tiny_llada2(), random_ids(1, 7)
        options = {"window": 4, "stride": 2, "num_samples": 1, "block_length": 1}
        score = model.rolling_log_likelihood(input_ids, **options).log_likelihood.item()
        first, second, third = (input_ids[0, start : start + 4] for start in (0, 2, 3))
        expected = enumerated(model, first, first, 1)
        for window, scored in ((second, 2), (third, 1)):
            expected += enumerated(model, window, window.masked_fill(torch.arange(4) < 4 - scored, -100), 1)
        assert score == pytest.approx(expected, rel=1e-4)


class TestBadInput:
    def test_padding_between_tokens(self, random_ids):
        input_ids, mask = random_ids(2, 8), torch.ones(2, 8, dtype=torch.long)
        mask[1, 3] = 0
        labels = input_ids.masked_fill(mask == 0, -100)
        with pytest.raises(ValueError, match="`attention_mask` must have no 0 between tokens .* some in row 1"):
            tiny_llada2().log_likelihood(input_ids, labels, mask, num_samples=1, block_length=4)

    def test_a_length_that_experts_are_not_shared_by(self, random_ids):
        with pytest.raises(ValueError, match="`block_length` must be 4 for this model"):
            tiny_llada2(**ROUTED_BY_BLOCKS).perplexity(random_ids(1, 8), block_length=8)

    def test_a_model_without_blocks(self, tiny_model, random_ids):
        with pytest.raises(
            ValueError, match="`block_length` must be unset for this model, of which every position sees"
        ):
            tiny_model().perplexity(random_ids(1, 8), block_length=4)
