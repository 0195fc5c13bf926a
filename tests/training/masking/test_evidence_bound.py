# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The evidence bound with given noise: against public code, an enumeration, finite differences and our own likelihood."""

import pytest
import torch
from safetensors.torch import load_file
from support.tiny_llada2 import tiny_llada2

from modeling_llada.training.masking.evidence_bound import bound_terms, draw_weights


def seeded(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def score(model, ids, weights, masks=None, attention_mask=None, **options):
    attention_mask = torch.ones_like(ids) if attention_mask is None else attention_mask
    positions = weights.flatten().nonzero().flatten()
    mask_token_id = model.config.mask_token_id
    return bound_terms(model, ids, attention_mask, weights, positions, mask_token_id, masks, **options)


@pytest.fixture(scope="module")
def rl(golden_path):
    return load_file(golden_path / "rl.safetensors")


class TestGolden:
    """What the public code of three methods computes on the golden checkpoint, fed with its noise: 10 tokens behind 7 others."""

    @pytest.fixture
    def ids(self, rl):
        return rl["input_ids"].long()

    def masks_of(self, rl, name, model):
        """Of each row and noise sample, `(rows, samples, length)`, and the number of masked tokens of the completion."""
        masks = (rl[f"{name}.noisy"] == model.config.mask_token_id).transpose(0, 1)
        return masks, masks[:, :, 7:].sum(-1, keepdim=True)

    def test_espo(self, golden_model, rl, ids):
        masks, counts = self.masks_of(rl, "espo", golden_model)
        scores = score(golden_model, ids, masks * (11 / counts.clamp(min=1)))
        torch.testing.assert_close(scores.samples.T, rl["espo.elbo_each"], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(scores.bounds, rl["espo.elbo"], rtol=1e-5, atol=1e-5)

    def test_espo_with_complements(self, golden_model, rl, ids):
        masks, counts = self.masks_of(rl, "espo_coupled", golden_model)
        scores = score(golden_model, ids, masks * (11 / counts.clamp(min=1)))
        pairs = scores.samples.view(3, 2, 2).mean(-1)
        torch.testing.assert_close(pairs.T, rl["espo_coupled.elbo_each"], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(scores.bounds, rl["espo_coupled.elbo"], rtol=1e-5, atol=1e-5)

    def test_d1_hides_tokens_of_the_prompt_without_scoring_them(self, golden_model, rl, ids):
        masks, _ = self.masks_of(rl, "d1", golden_model)
        assert masks[:, :, 7:].all() and masks[:, :, :7].any()
        weights = masks * (torch.arange(17) >= 7).float()
        terms = score(golden_model, ids, weights, masks).terms
        assert not terms[:, :, :7].any()
        torch.testing.assert_close(terms[:, :, 7:].transpose(0, 1), rl["d1.per_token_logps"], rtol=1e-5, atol=1e-5)

    def test_coupled_grpo(self, golden_model, rl, ids):
        masks, _ = self.masks_of(rl, "coupled_grpo", golden_model)
        weights = masks * torch.tensor([1, 4.822369271133871, 1.2616178419892328])[:, None]
        tokens = score(golden_model, ids, weights).terms.sum(1) / 2
        torch.testing.assert_close(tokens[:, 7:], rl["coupled_grpo.per_token_logps"], rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("antithetic", [False, True])
    def test_estimates_have_the_mean_of_all_masks(self, golden_model, rl, ids, antithetic):
        """`exact_elbo` is the expectation over all 1,023 masks."""
        scored = (torch.arange(17) >= 7).expand(3, 17)
        with torch.no_grad():
            samples = score(golden_model, ids, draw_weights(scored, 256, antithetic, seeded(1, 2, 3))).samples
        samples = samples.view(3, -1, 2).mean(-1) if antithetic else samples
        errors = samples.std(-1) / samples.shape[1] ** 0.5
        assert ((samples.mean(-1) - rl["exact_elbo"]).abs() < 4 * errors).all()


class TestNoise:
    def test_weights_are_those_of_eq_6(self):
        scored = torch.arange(20) >= 8
        weights = draw_weights(scored[None], 600, False, seeded(0))[0]
        counts = (weights > 0).sum(-1)
        assert not weights[:, :8].any()
        assert (weights.amax(-1) == 12 / counts).all() and set(counts.tolist()) == set(range(1, 13))
        # A token is masked with the probability l / L, so that its weight is 1 on average.
        torch.testing.assert_close(weights[:, 8:].mean(0), torch.ones(12), rtol=0, atol=0.3)

    def test_a_row_has_its_own_noise(self):
        """Whatever rows stand beside it, and however it is padded."""
        scored = torch.arange(24) < torch.tensor([[9], [13], [24]])
        together = draw_weights(scored, 4, True, seeded(0, 1, 2))
        alone = draw_weights(scored[1:2, :13], 4, True, seeded(1))
        assert torch.equal(together[1, :, :13], alone[0]) and not together[1, :, 13:].any()

    def test_blocks_have_numbers_of_their_own(self):
        weights = draw_weights(torch.ones(1, 8, dtype=torch.bool), 32, False, seeded(0), block_length=4)[0]
        for block in weights.split(4, dim=-1):
            counts = (block > 0).sum(-1)
            assert (counts > 0).all() and (block.amax(-1) == 4 / counts).all()
        assert (weights.amax(-1) != weights.amin(-1)).any()


class TestBound:
    @pytest.mark.parametrize("block_length", [None, 4])
    def test_is_the_estimate_of_the_likelihood(self, tiny_model, random_ids, block_length):
        """With the same noise, for a model of full attention and for one of blocks."""
        model = tiny_model() if block_length is None else tiny_llada2()
        ids = random_ids(2, 12)
        scored = torch.arange(12) >= torch.tensor([[3], [6]])
        blocks = {} if block_length is None else {"block_length": block_length}
        labels = ids.masked_fill(~scored, -100)
        expected = model.log_likelihood(ids, labels, num_samples=6, generator=seeded(0, 1), **blocks).log_likelihood
        with torch.no_grad():
            scores = score(model, ids, draw_weights(scored, 6, False, seeded(0, 1), **blocks), **blocks)
        torch.testing.assert_close(scores.bounds, expected)

    def test_gradients_are_finite_differences(self, tiny_model, random_ids):
        model, ids = tiny_model().double(), random_ids(2, 9)
        weights = draw_weights((torch.arange(9) >= 4).expand(2, 9), 4, True, seeded(0, 1)).double()
        difference = torch.tensor([1.0, -1.0])

        def value():
            # The loss of masked tokens is taken in float32, as in training.
            return score(model, ids, weights).bounds.double() @ difference.double()

        value().backward()
        for weight in (model.model.layers[0].self_attn.q_proj.weight, model.lm_head.weight):
            direction = torch.randn(weight.shape, generator=seeded(5)[0], dtype=weight.dtype)
            with torch.no_grad():
                ends = []
                for step in (1e-3, -2e-3):
                    weight += step * direction
                    ends.append(value())
                weight += 1e-3 * direction
            numeric = (ends[0] - ends[1]) / 2e-3
            assert numeric.item() == pytest.approx((weight.grad * direction).sum().item(), rel=2e-3)

    def test_a_row_has_its_own_score(self, tiny_model, random_ids):
        model, ids = tiny_model(), random_ids(3, 14)
        scored = (torch.arange(14) >= 4) & (torch.arange(14) < torch.tensor([[14], [9], [11]]))
        real = (torch.arange(14) < torch.tensor([[14], [9], [11]])).long()
        weights = draw_weights(scored, 4, True, seeded(0, 1, 2))
        together = score(model, ids, weights, attention_mask=real).bounds
        alone = score(model, ids[1:2, :9], weights[1:2, :, :9]).bounds
        torch.testing.assert_close(together[1:2], alone, rtol=1e-5, atol=1e-5)

    def test_chunks_and_empty_places_change_nothing(self, tiny_model, random_ids):
        model, ids = tiny_model(), random_ids(2, 10)
        weights = draw_weights(torch.ones(2, 10, dtype=torch.bool), 4, True, seeded(0, 1))
        positions = torch.nn.functional.pad(weights.flatten().nonzero().flatten(), (0, 13), value=-1)
        options = {"attention_mask": torch.ones_like(ids), "mask_token_id": model.config.mask_token_id}
        results = [
            bound_terms(model, ids, weights=weights, positions=positions, chunk_size=n, **options) for n in (7, 999)
        ]
        plain = score(model, ids, weights)
        for result in results:
            torch.testing.assert_close(result.terms, plain.terms)
            assert not result.correct[-13:].any()
