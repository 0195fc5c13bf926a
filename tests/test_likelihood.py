# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Likelihood: the Monte-Carlo estimate of eq. 6 against enumeration, and the sliding windows of the perplexity."""

from itertools import combinations

import pytest
import torch

from modeling_llada.likelihood_llada import draw_noise


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def enumerated(model, input_ids, labels):
    """Eq. 6 without randomness: the mean over l, and over all sets of l tokens."""
    positions = (labels != -100).nonzero().squeeze(-1).tolist()
    total = 0.0
    for count in range(1, len(positions) + 1):
        sets = list(combinations(positions, count))
        for masked in sets:
            noisy = input_ids.clone()
            noisy[list(masked)] = model.config.mask_token_id
            log_probs = model(noisy[None]).logits[0].log_softmax(-1)
            score = sum(log_probs[position, labels[position]] for position in masked).item()
            total += len(positions) / count * score / len(sets)
    return total / len(positions)


class TestGolden:
    """`exact` in golden.json is the expectation over all masks, computed with the reference code."""

    @pytest.fixture
    def text(self, golden):
        prompt, answer = golden.tensors["likelihood.prompt"], golden.tensors["likelihood.answer"]
        input_ids = torch.cat([prompt, answer])[None]
        labels = input_ids.clone()
        labels[:, : len(prompt)] = -100
        return input_ids, labels

    @pytest.mark.parametrize("antithetic", [False, True])
    @pytest.mark.parametrize(("cfg_scale", "name"), [(0.0, "exact"), (0.5, "exact_cfg_0_5")])
    def test_within_four_standard_errors(self, golden_model, golden, text, antithetic, cfg_scale, name):
        output = golden_model.log_likelihood(
            *text, num_samples=1024, batch_size=256, antithetic=antithetic, cfg_scale=cfg_scale, generator=seeded()
        )
        exact = golden.likelihood[name]
        assert abs(output.log_likelihood.item() - exact) < 4 * output.standard_error.item()


class TestEstimate:
    @pytest.mark.parametrize("antithetic", [False, True])
    def test_unbiased(self, tiny_model, antithetic):
        """The scored tokens stand apart, with given ones between them: any span can be scored."""
        model, input_ids = tiny_model(), torch.tensor([5, 17, 40, 8, 61, 23])
        labels = torch.tensor([-100, 17, 40, -100, 61, -100])
        output = model.log_likelihood(
            input_ids[None], labels[None], num_samples=4096, batch_size=1024, antithetic=antithetic, generator=seeded()
        )
        exact = enumerated(model, input_ids, labels)
        assert abs(output.log_likelihood.item() - exact) < 4 * output.standard_error.item()

    def test_forward_batches_do_not_matter(self, tiny_model):
        model, input_ids = tiny_model(), torch.randint(2, 98, (3, 12), generator=seeded(1))
        scores = [
            model.log_likelihood(input_ids, input_ids, num_samples=6, batch_size=size, generator=seeded())
            for size in (1, 4, 6, 13, 100)
        ]
        for score in scores[1:]:
            torch.testing.assert_close(score.log_likelihood, scores[0].log_likelihood)
            torch.testing.assert_close(score.standard_error, scores[0].standard_error)

    @pytest.mark.parametrize("left", [True, False])
    def test_padding_does_not_matter(self, tiny_model, left):
        model, text = tiny_model(), torch.randint(2, 98, (1, 10), generator=seeded(1))
        pads = torch.ones(1, 4, dtype=torch.long)

        def pad(tensor, value):
            parts = [torch.full_like(pads, value), tensor]
            return torch.cat(parts if left else parts[::-1], dim=1)

        def noise_of_text(scored, *args):
            mask, weight = draw_noise(torch.ones(10, dtype=torch.bool), *args)
            padded = torch.zeros(len(mask), len(scored), dtype=torch.bool)
            padded[:, scored] = mask
            return padded, weight

        alone = model.log_likelihood(text, text, num_samples=4, generator=seeded())
        with pytest.MonkeyPatch.context() as patch:  # the same masks in both
            patch.setattr("modeling_llada.likelihood_llada.draw_noise", noise_of_text)
            padded = model.log_likelihood(
                pad(text, 1), pad(text, -100), pad(torch.ones_like(text), 0), num_samples=4, generator=seeded()
            )
        torch.testing.assert_close(padded.log_likelihood, alone.log_likelihood, rtol=1e-4, atol=1e-4)

    def test_seed_fixes_it(self, tiny_model):
        model, input_ids = tiny_model(), torch.randint(2, 98, (1, 12), generator=seeded(1))
        first, second, other = (
            model.log_likelihood(input_ids, input_ids, num_samples=4, generator=seeded(seed)).log_likelihood
            for seed in (0, 0, 1)
        )
        assert first == second != other

    def test_one_sample_has_no_error(self, tiny_model):
        input_ids = torch.tensor([[5, 6, 7]])
        assert tiny_model().log_likelihood(input_ids, input_ids, num_samples=1).standard_error.isnan()

    def test_one_token_is_exact(self, tiny_model):
        """With a single scored token there is nothing to draw."""
        model, input_ids = tiny_model(), torch.tensor([[5, 6, 7]])
        labels = torch.tensor([[-100, 6, -100]])
        output = model.log_likelihood(input_ids, labels, num_samples=3)
        assert output.log_likelihood.item() == pytest.approx(enumerated(model, input_ids[0], labels[0]), rel=1e-5)
        assert output.standard_error.item() == pytest.approx(0, abs=1e-5)


class TestNoise:
    def test_counts_are_spread_evenly(self):
        mask, weight = draw_noise(torch.ones(8, dtype=torch.bool), 64, False, seeded())
        assert mask.sum(-1).bincount(minlength=9).tolist() == [0] + [8] * 8
        torch.testing.assert_close(weight, 8 / mask.sum(-1))

    def test_antithetic_pairs_cover_the_text_with_one_token_in_common(self):
        mask, _ = draw_noise(torch.tensor([True] * 7 + [False]), 20, True, seeded())
        for first, second in mask.view(10, 2, 8):
            assert (first | second).tolist() == [True] * 7 + [False]
            assert (first & second).sum() == 1


class TestPerplexity:
    def test_one_window_is_the_likelihood_of_the_text(self, tiny_model):
        model, input_ids = tiny_model(), torch.randint(2, 98, (2, 10), generator=seeded(1))
        score = model.log_likelihood(input_ids, input_ids, num_samples=8, generator=seeded()).log_likelihood
        perplexity = model.perplexity(input_ids, num_samples=8, generator=seeded())
        torch.testing.assert_close(perplexity, (-score / 10).exp())

    @pytest.mark.parametrize(("window", "stride"), [(4, 1), (4, 4), (7, 3), (100, 50)])
    def test_every_token_is_scored_once(self, tiny_model, monkeypatch, window, stride):
        model, input_ids = tiny_model(max_position_embeddings=128), torch.arange(2, 25)[None]
        seen = []

        def fake(ids, labels, attention_mask, **kwargs):
            assert ids.shape[1] <= window
            seen.extend(labels[labels != -100].tolist())
            return type("Output", (), {"log_likelihood": torch.zeros(len(ids))})

        monkeypatch.setattr(model, "log_likelihood", fake)
        model.perplexity(input_ids, window=window, stride=stride)
        assert seen == input_ids[0].tolist()

    def test_padding_is_not_scored(self, tiny_model):
        model, text = tiny_model(), torch.randint(2, 98, (1, 6), generator=seeded(1))
        batch = torch.cat([torch.cat([torch.ones(1, 4).long(), text], 1), torch.randint(2, 98, (1, 10))])
        attention_mask = torch.tensor([[0] * 4 + [1] * 6, [1] * 10])
        options = {"num_samples": 2048, "batch_size": 512, "generator": seeded()}
        padded = model.perplexity(batch, attention_mask, **options)[0]
        alone = model.perplexity(text, **options)[0]
        assert padded.log().item() == pytest.approx(alone.log().item(), rel=0.05)


class TestBadInput:
    TEXT = torch.tensor([[5, 6, 7]])

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"labels": torch.tensor([[5, 6]])}, "`labels` must have the shape"),
            ({"attention_mask": torch.ones(1, 2)}, "`attention_mask` must have the shape"),
            ({"labels": torch.full((1, 3), -100)}, "`labels` must hold at least one scored token"),
            ({"labels": torch.tensor([[5, 6, 99]])}, "must be ids in"),
            ({"attention_mask": torch.tensor([[0, 1, 1]])}, "`labels` must be -100 where"),
            ({"num_samples": 0}, "`num_samples`"),
            ({"num_samples": 3, "antithetic": True}, "`num_samples`"),
            ({"batch_size": 0}, "`batch_size`"),
            ({"cfg_scale": -1.0}, "`cfg_scale`"),
        ],
    )
    def test_log_likelihood(self, tiny_model, changes, message):
        with pytest.raises(ValueError, match=message):
            tiny_model().log_likelihood(**({"input_ids": self.TEXT, "labels": self.TEXT} | changes))

    @pytest.mark.parametrize("options", [{"window": 0}, {"window": 65}, {"stride": 0}, {"window": 2, "stride": 3}])
    def test_perplexity(self, tiny_model, options):
        with pytest.raises(ValueError, match=f"`{list(options)[-1]}`"):
            tiny_model().perplexity(self.TEXT, **options)
