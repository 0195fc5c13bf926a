# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The Monte-Carlo estimate of eq. 6 against an enumeration of all masks, and the sliding windows of the perplexity."""

from itertools import combinations
from math import comb
from types import SimpleNamespace

import pytest
import torch
from support.tiny_poet import SHIPPED_CHECKPOINT
from transformers import AutoModel, AutoTokenizer

from modeling_llada.models.likelihood_noise_llada import draw_noise


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
        """Any tokens can be scored, here with given ones between them."""
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

        for antithetic in (False, True):
            options = {"num_samples": 4, "antithetic": antithetic}
            alone = model.log_likelihood(text, text, generator=seeded(), **options)
            padded = model.log_likelihood(
                pad(text, 1), pad(text, -100), pad(torch.ones_like(text), 0), generator=seeded(), **options
            )
            torch.testing.assert_close(padded.log_likelihood, alone.log_likelihood, rtol=1e-4, atol=1e-4)

    def test_a_generator_for_each_row(self, tiny_model):
        """The score of a row is then the same as in a batch of its own."""
        model, input_ids = tiny_model(), torch.randint(2, 98, (3, 12), generator=seeded(1))
        rows = model.log_likelihood(
            input_ids, input_ids, num_samples=4, generator=[seeded(seed) for seed in (5, 6, 7)]
        ).log_likelihood
        for row, seed in enumerate((5, 6, 7)):
            text = input_ids[row : row + 1]
            alone = model.log_likelihood(text, text, num_samples=4, generator=seeded(seed)).log_likelihood
            torch.testing.assert_close(rows[row : row + 1], alone)

    def test_seed_fixes_it(self, tiny_model):
        model, input_ids = tiny_model(), torch.randint(2, 98, (1, 12), generator=seeded(1))
        first, second, other = (
            model.log_likelihood(input_ids, input_ids, num_samples=4, generator=seeded(seed)).log_likelihood
            for seed in (0, 0, 1)
        )
        assert first == second != other

    def test_token_types_of_a_tokenizer_change_nothing(self, tiny_model):
        model, ids = tiny_model(), torch.tensor([[5, 6, 7, 8]])
        inputs = {"input_ids": ids, "num_samples": 2}
        for score, more in ((model.log_likelihood, {"labels": ids}), (model.rolling_log_likelihood, {})):
            scores = [
                score(**inputs, **more, **types, generator=torch.Generator().manual_seed(0)).log_likelihood
                for types in ({}, {"token_type_ids": torch.zeros_like(ids)})
            ]
            assert torch.equal(*scores)
            with pytest.raises(ValueError, match="`token_type_ids` must be zeros"):
                score(**inputs, **more, token_type_ids=torch.ones_like(ids))

    @pytest.mark.parametrize("dtype", [torch.int32, torch.uint8])
    def test_any_type_of_integers(self, tiny_model, dtype):
        model, arguments = tiny_model(), {"num_samples": 2, "generator": seeded()}
        ids, labels = IDS.to(dtype), LABELS if dtype == torch.uint8 else LABELS.to(dtype)
        assert model.log_likelihood(ids, labels, **arguments).log_likelihood.isfinite().all()
        assert model.perplexity(ids, window=2, **arguments).isfinite().all()

    def test_one_sample_has_no_error(self, tiny_model):
        input_ids = torch.tensor([[5, 6, 7]])
        assert tiny_model().log_likelihood(input_ids, input_ids, num_samples=1).standard_error.isnan()

    def test_one_token_is_exact(self, tiny_model):
        """With a single scored token, nothing is random."""
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

    def test_given_tokens_stay(self):
        scored = torch.tensor([True, False, True, True, False])
        for antithetic in (False, True):
            mask, weight = draw_noise(scored, 12, antithetic, seeded())
            assert mask.any(-1).all() and not mask[:, ~scored].any()
            torch.testing.assert_close(weight, 3 / mask.sum(-1))

    @pytest.mark.parametrize("antithetic", [False, True])
    @pytest.mark.parametrize("num_samples", [2, 6, 20])
    def test_every_mask_is_as_probable_as_eq_6_says(self, antithetic, num_samples):
        """`1 / L` for its `l`, and the same for all sets of `l` tokens: then any function of the mask is unbiased."""
        length, repeats = 4, 4000 // num_samples
        generator, drawn = seeded(), []
        for _ in range(repeats):
            drawn.append(draw_noise(torch.ones(length, dtype=torch.bool), num_samples, antithetic, generator)[0])
        numbers = (torch.cat(drawn) * 2 ** torch.arange(length)).sum(-1)
        frequency = numbers.bincount(minlength=2**length) / len(numbers)
        assert frequency[0] == 0
        for number in range(1, 2**length):
            expected = 1 / (length * comb(length, number.bit_count()))
            # The samples of one call depend on each other, so they count as fewer.
            deviation = (expected * (1 - expected) / repeats) ** 0.5
            assert abs(frequency[number].item() - expected) < 4 * deviation, f"{number:04b}"


class TestAntithetic:
    def test_two_samples_are_complementary_but_for_one_token(self):
        for seed in range(10):
            first, second = draw_noise(torch.tensor([True] * 7 + [False]), 2, True, seeded(seed))[0]
            assert (first | second).tolist() == [True] * 7 + [False]
            assert (first & second).sum() == 1

    def test_counts_come_in_pairs_and_are_spread_evenly(self):
        mask, _ = draw_noise(torch.ones(8, dtype=torch.bool), 64, True, seeded())
        counts = mask.sum(-1)
        assert (counts.view(-1, 2).sum(-1) == 9).all()
        assert counts.bincount(minlength=9).tolist() == [0] + [8] * 8

    def test_a_group_masks_every_token_equally_often(self):
        """Eight tokens, and for each `l` one group of eight samples."""
        mask, _ = draw_noise(torch.ones(8, dtype=torch.bool), 64, True, seeded())
        for count in range(1, 9):
            assert mask[mask.sum(-1) == count].sum(0).tolist() == [count] * 8

    @pytest.mark.slow
    def test_error_is_smaller_at_equal_cost(self):
        """On real text, with a trained model and as many forward passes. See evidence/likelihood for measurements."""
        tokenizer = AutoTokenizer.from_pretrained(SHIPPED_CHECKPOINT)
        model = AutoModel.from_pretrained(SHIPPED_CHECKPOINT, dtype=torch.float32).eval()
        lines = ["秋风入小窗，", "归舟载月行，", "旧梦随流水，", "灯前夜读书，"]
        input_ids = tokenizer(lines, return_tensors="pt").input_ids.repeat_interleave(16, dim=0)
        variance = {}
        for antithetic in (False, True):
            output = model.log_likelihood(
                input_ids, input_ids, num_samples=16, batch_size=256, antithetic=antithetic, generator=seeded()
            )
            variance[antithetic] = output.log_likelihood.view(len(lines), 16).var(-1).mean().item()
        assert (variance[True] / variance[False]) ** 0.5 < 0.9


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

        def fake(ids, labels, **kwargs):
            assert ids.shape[1] <= window
            seen.extend(labels[labels != -100].tolist())
            return SimpleNamespace(log_likelihood=torch.zeros(len(ids)), standard_error=torch.zeros(len(ids)))

        monkeypatch.setattr(model, "log_likelihood", fake)
        model.perplexity(input_ids, window=window, stride=stride)
        assert seen == input_ids[0].tolist()

    def test_errors_of_the_windows_add_up(self, tiny_model):
        """The errors of independent numbers add up like this."""
        model, input_ids = tiny_model(), torch.randint(2, 98, (2, 10), generator=seeded(1))
        rolled = model.rolling_log_likelihood(
            input_ids, window=5, stride=5, num_samples=8, generator=[seeded(1), seeded(2)]
        )
        generators = [seeded(1), seeded(2)]
        parts = [
            model.log_likelihood(part, part, num_samples=8, generator=generators) for part in input_ids.split(5, dim=1)
        ]
        torch.testing.assert_close(rolled.log_likelihood, sum(part.log_likelihood for part in parts))
        torch.testing.assert_close(rolled.standard_error, sum(part.standard_error**2 for part in parts).sqrt())

    @pytest.mark.parametrize("left", [True, False])
    def test_windows_do_not_depend_on_padding(self, tiny_model, left):
        """They do not depend on the other rows either."""
        model, text = tiny_model(), torch.randint(2, 98, (1, 9), generator=seeded(1))
        parts = [torch.ones(1, 5).long(), text] if left else [text, torch.ones(1, 5).long()]
        batch = torch.cat([torch.cat(parts, dim=1), torch.randint(2, 98, (1, 14), generator=seeded(2))])
        mask = torch.ones_like(batch)
        mask[0] = torch.tensor([0] * 5 + [1] * 9 if left else [1] * 9 + [0] * 5)
        options = {"window": 4, "stride": 3, "num_samples": 4}
        alone = model.rolling_log_likelihood(text, generator=[seeded(3)], **options)
        padded = model.rolling_log_likelihood(batch, mask, generator=[seeded(3), seeded(4)], **options)
        torch.testing.assert_close(padded.log_likelihood[:1], alone.log_likelihood)

    def test_padding_is_not_scored(self, tiny_model):
        model, text = tiny_model(), torch.randint(2, 98, (1, 6), generator=seeded(1))
        batch = torch.cat([torch.cat([torch.ones(1, 4).long(), text], 1), torch.randint(2, 98, (1, 10))])
        attention_mask = torch.tensor([[0] * 4 + [1] * 6, [1] * 10])
        options = {"num_samples": 2048, "batch_size": 512, "generator": seeded()}
        padded = model.perplexity(batch, attention_mask, **options)[0]
        alone = model.perplexity(text, **options)[0]
        assert padded.log().item() == pytest.approx(alone.log().item(), rel=0.05)


NAN = float("nan")
IDS = torch.tensor([[5, 6, 7], [8, 9, 10]])
LABELS = torch.tensor([[-100, 6, 7], [-100, 9, 10]])
BAD_IDS = (None, "text", IDS.tolist(), IDS[0], IDS[:0], IDS.float(), IDS.bool(), IDS + 95, IDS - 6)
BAD_ARGUMENTS = {
    "input_ids": BAD_IDS,
    "attention_mask": ("left", IDS.tolist(), torch.ones(2, 2), torch.ones(3)),
    "num_samples": (0, 2.5, True, "4", None, NAN),
    "batch_size": (0, -1, 1.5, True, "4", None),
    "antithetic": ("yes", 1, 2.0, None),
    "cfg_scale": (-1.0, NAN, float("inf"), "0.5", None, True),
    "generator": (3, "cpu", [1, 2], [None], {}),
}
BAD_TEXT = BAD_ARGUMENTS | {"labels": (*BAD_IDS, IDS[:, :2], torch.full((2, 3), -100), torch.full((2, 3), 98))}
BAD_WINDOWS = BAD_ARGUMENTS | {"window": (0, 65, 1.5, True, "4", NAN), "stride": (0, 65, 1.5, True, "4", NAN)}
BAD_CALLS = [
    (method, name, value)
    for method, table in (("log_likelihood", BAD_TEXT), ("perplexity", BAD_WINDOWS))
    for name, values in table.items()
    for value in values
]


class TestBadInput:
    @pytest.mark.parametrize(("method", "name", "value"), BAD_CALLS, ids=str)
    def test_is_refused_before_any_forward_pass(self, tiny_model, monkeypatch, method, name, value):
        model = tiny_model()
        monkeypatch.setattr(model, "forward", lambda *args, **kwargs: pytest.fail("a forward pass"))
        arguments = {"input_ids": IDS} | ({"labels": LABELS} if method == "log_likelihood" else {})
        with pytest.raises(ValueError, match=f"`{name}`"):
            getattr(model, method)(**(arguments | {name: value}))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"attention_mask": torch.tensor([[0, 1, 1], [1, 1, 1]])}, "`labels` must be -100 where"),
            ({"num_samples": 3, "antithetic": True}, "`num_samples` must be even"),
            (
                {"input_ids": torch.ones(1, 65).long(), "labels": torch.ones(1, 65).long()},
                "`input_ids` must fit into `max_position_embeddings=64` tokens, but got 65",
            ),
        ],
    )
    def test_arguments_that_contradict_each_other(self, tiny_model, changes, message):
        with pytest.raises(ValueError, match=message):
            tiny_model().log_likelihood(**({"input_ids": IDS, "labels": IDS} | changes))

    def test_a_model_without_a_mask_token(self, tiny_model):
        with pytest.raises(ValueError, match="`mask_token_id` is not set"):
            tiny_model(mask_token_id=None).perplexity(IDS)

    def test_windows_that_leave_tokens_out(self, tiny_model):
        with pytest.raises(ValueError, match="`stride`"):
            tiny_model().perplexity(IDS, window=2, stride=3)

    def test_empty_row(self, tiny_model):
        with pytest.raises(ValueError, match="`attention_mask` must have a one in each row"):
            tiny_model().perplexity(IDS, torch.tensor([[1, 1, 1], [0, 0, 0]]))
