# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Each confidence, rule and schedule of `remasking_llada.py` against a slow version that reads like its definition."""

import math

import pytest
import torch
from support.mock_model import EOS, details, scripted, steps_of

from modeling_llada.models.remasking_llada import (
    LOWEST_CONFIDENCE,
    commit_entropy_bound,
    commit_factor,
    commit_leap,
    commit_quota,
    commit_rest,
    commit_threshold,
    larger_set,
    logit_margin,
    margin,
    negative_entropy,
    probability,
    split_steps,
    step_budget,
)


def random_case(seed, batch=5, length=12, low=0.0, high=1.0):
    """Confidences, and masks of which the first row is empty and the second full."""
    generator = torch.Generator().manual_seed(seed)
    confidence = torch.rand(batch, length, generator=generator) * (high - low) + low
    mask = torch.rand(batch, length, generator=generator) < 0.6
    mask[0], mask[1] = False, True
    # Positions that are no masks are -inf in the sampler; a rule must not look at them, whatever they hold.
    return torch.where(mask, confidence, torch.tensor([-torch.inf, 2.0, torch.nan])[seed % 3]), mask


def candidates(confidence, mask, row):
    """The masked positions of a row, best first, of equal ones the leftmost first."""
    positions = [i for i in range(mask.shape[1]) if mask[row, i]]
    return sorted(positions, key=lambda i: -confidence[row, i].item())


def committed(positions, length):
    return [i in set(positions) for i in range(length)]


SEEDS = pytest.mark.parametrize("seed", range(6))


class TestConfidences:
    @pytest.fixture
    def logits(self):
        return torch.randn(7, 11, generator=torch.Generator().manual_seed(0)) * 3

    def test_probability(self, logits):
        proposal = torch.arange(7)
        expected = logits.double().softmax(-1)[torch.arange(7), proposal]
        torch.testing.assert_close(probability(logits, proposal).double(), expected, rtol=1e-5, atol=1e-7)

    def test_almost_certain_predictions_keep_their_order(self):
        """At logits of 17 a difference of logits is exact to 2e-6 only, but probabilities are to 6e-8."""
        logits = torch.zeros(8, 31)
        logits[:, 0] = torch.linspace(12.0, 18.0, 8)
        for confidence in (probability(logits, torch.zeros(8, dtype=torch.long)), margin(logits)):
            assert (confidence.diff() > 0).all()

    def test_margin(self, logits):
        best = logits.double().softmax(-1).sort(descending=True).values
        torch.testing.assert_close(margin(logits).double(), best[:, 0] - best[:, 1], rtol=1e-5, atol=1e-7)

    def test_negative_entropy(self, logits):
        p = logits.double().softmax(-1)
        torch.testing.assert_close(negative_entropy(logits).double(), (p * p.log()).sum(-1), rtol=1e-5, atol=1e-6)

    def test_negative_entropy_of_a_flat_and_of_a_certain_prediction(self):
        logits = torch.tensor([[0.0] * 8, [200.0] + [-200.0] * 7])
        torch.testing.assert_close(negative_entropy(logits), torch.tensor([-math.log(8), 0.0]))

    @pytest.mark.parametrize("confidence", [margin, negative_entropy, lambda x: probability(x, x.argmax(-1))])
    def test_ruled_out_tokens_do_not_make_nan(self, logits, confidence):
        logits[:, 3:] = -torch.inf
        assert torch.isfinite(confidence(logits)).all()

    @pytest.mark.parametrize("confidence", [margin, negative_entropy, lambda x: probability(x, x.argmax(-1))])
    def test_huge_logits_do_not_overflow(self, confidence):
        """The reference exponentiates logits: above 709 that is infinite, even in float64."""
        assert torch.isfinite(confidence(torch.tensor([[1000.0, 999.0, 0.0], [-1000.0, -1001.0, -2000.0]]))).all()


class TestQuota:
    @SEEDS
    def test_against_the_definition(self, seed):
        confidence, mask = random_case(seed)
        quota = torch.tensor([3, 4, 1, 100, 2])
        commit = commit_quota(confidence, mask, quota)
        for row in range(5):
            expected = candidates(confidence, mask, row)[: quota[row]]
            assert commit[row].tolist() == committed(expected, 12)

    def test_the_leftmost_of_equal_ones(self):
        confidence = torch.full((2, 40), 0.5)
        mask = torch.ones(2, 40, dtype=torch.bool)
        mask[1, :10] = False
        commit = commit_quota(confidence, mask, torch.tensor([3, 3]))
        assert commit[0].nonzero().flatten().tolist() == [0, 1, 2]
        assert commit[1].nonzero().flatten().tolist() == [10, 11, 12]

    def test_deferred_positions_come_last_but_before_those_that_are_no_masks(self):
        confidence = torch.tensor([[LOWEST_CONFIDENCE, 0.0, LOWEST_CONFIDENCE, 0.3]])
        mask = torch.tensor([[True, True, True, False]])
        for quota, expected in ((1, [1]), (2, [0, 1]), (4, [0, 1, 2])):
            assert commit_quota(confidence, mask, torch.tensor([quota])).nonzero()[:, 1].tolist() == expected


class TestThreshold:
    @SEEDS
    def test_against_the_definition(self, seed):
        confidence, mask = random_case(seed)
        commit = commit_threshold(confidence, mask, 0.5)
        for row in range(5):
            expected = [i for i in range(12) if mask[row, i] and confidence[row, i] >= 0.5]
            assert commit[row].tolist() == committed(expected, 12)

    def test_the_threshold_itself_is_enough(self):
        assert commit_threshold(torch.tensor([[0.5, 0.49]]), torch.tensor([[True, True]]), 0.5).tolist() == [
            [True, False]
        ]

    def test_a_threshold_of_zero_takes_all_but_the_deferred(self):
        confidence = torch.tensor([[0.0, 1e-9, LOWEST_CONFIDENCE]])
        assert commit_threshold(confidence, confidence > -1e39, 0.0).tolist() == [[True, True, False]]


class TestLeap:
    """LocalLeap: an anchor lowers the threshold of the masks around it."""

    @SEEDS
    @pytest.mark.parametrize("radius", [1, 2, 4, 11, 12, 10**12])
    def test_against_the_definition(self, seed, radius):
        confidence, mask = random_case(seed)
        commit = commit_leap(confidence, mask, 0.8, 0.4, radius)
        leaps = 0
        for row in range(5):
            anchors = [i for i in range(12) if mask[row, i] and confidence[row, i] >= 0.8]
            expected = [
                i
                for i in range(12)
                if mask[row, i] and confidence[row, i] >= 0.4 and any(abs(i - anchor) <= radius for anchor in anchors)
            ]
            assert commit[row].tolist() == committed(expected, 12)
            leaps += len(expected) - len(anchors)
        assert leaps > 0

    def test_an_example(self):
        confidence = torch.tensor([[0.8, 0.95, 0.7, 0.75, 0.8, 0.9]])
        mask = torch.tensor([[True] * 5 + [False]])
        # 0.7 is near, but too low; the second 0.8 is too far; what is committed already is no anchor.
        assert commit_leap(confidence, mask, 0.9, 0.75, 2).tolist() == [[True, True, False, True, False, False]]

    def test_deferred_positions_do_not_leap(self):
        confidence = torch.tensor([[1.0, LOWEST_CONFIDENCE, 0.0]])
        assert commit_leap(confidence, torch.ones(1, 3).bool(), 0.9, 0.0, 4).tolist() == [[True, False, True]]

    def test_in_generate(self):
        """Published: 0.75 beside 0.9, four positions away. It saves the steps of the three that stand near."""
        probabilities = [0.95, 0.8, 0.76, 0.7, 0.8, 0.85]
        options = {"max_new_tokens": 6, "confidence_threshold": 0.9}
        assert steps_of(details(scripted(probabilities), **options)) == [0, 2, 4, 5, 3, 1]
        assert steps_of(details(scripted(probabilities), leap_threshold=0.75, **options)) == [0, 0, 0, 2, 0, 1]
        assert steps_of(details(scripted(probabilities), leap_threshold=0.75, leap_radius=1, **options)) == [
            0, 0, 3, 4, 2, 1
        ]  # fmt: skip

    def test_an_anchor_of_another_block_does_not_reach_over(self):
        options = {"max_new_tokens": 4, "block_length": 2, "confidence_threshold": 0.9, "leap_threshold": 0.75}
        assert steps_of(details(scripted([0.7, 0.95, 0.8, 0.85]), **options)) == [1, 0, 3, 2]


class TestExit:
    """The rest of a block is committed when its masks are certain on average."""

    def test_the_mean_of_the_masks_decides(self):
        margin = torch.tensor([[9.0, 1.0, 5.0, -torch.inf], [9.0, 1.0, 5.0, 100.0], [4.0, 4.0, 4.0, 4.0]])
        mask = torch.tensor([[True, True, True, False], [True, True, True, False], [False, False, False, False]])
        for exit_margin, exits in ((5.0, True), (5.01, False)):
            expected = mask & torch.tensor([[exits], [exits], [False]])
            assert torch.equal(commit_rest(margin, mask, exit_margin), expected)

    def test_a_mask_with_one_possible_token_says_nothing_about_the_others(self):
        """As where a constraint leaves one token."""
        margin, mask = torch.tensor([[torch.inf, 1.0], [torch.inf, 5.0], [torch.inf] * 2]), torch.ones(3, 2).bool()
        assert commit_rest(margin, mask, 5.0).all(-1).tolist() == [False, True, True]

    def test_a_margin_is_that_of_the_proposed_token(self):
        logits = torch.tensor([[2.0, 5.0, 4.5], [2.0, -torch.inf, -torch.inf]])
        assert logit_margin(logits, torch.tensor([1, 0])).tolist() == [0.5, torch.inf]
        assert logit_margin(logits, torch.tensor([0, 0])).tolist() == [-3.0, torch.inf], "a sampled one may be below"

    def test_in_generate(self):
        """The margins are log(31 p / (1 - p)): 6.4, 5.6, 4.8, 4.3 and 3.8, on average 5.0."""
        model = scripted([0.95, 0.9, 0.8, 0.7, 0.6])
        for exit_margin, steps in (
            (4.9, [0, 0, 0, 0, 0]),
            (5.1, [0, 1, 2, 3, 4]),
            (0.0, [0] * 5),
            (1e9, [0, 1, 2, 3, 4]),
        ):
            assert steps_of(details(model, max_new_tokens=5, exit_margin=exit_margin)) == steps
        options = {"max_new_tokens": 5, "block_length": 3, "exit_margin": 5.2}
        assert steps_of(details(model, **options)) == [0, 0, 0, 1, 2], "each block by itself"

    def test_deferred_tokens_do_not_exit(self):
        model = scripted([0.95, 0.95, 0.95], tokens=[10, EOS, EOS])
        options = {"max_new_tokens": 3, "exit_margin": 1.0, "stop_at_eos": False}
        assert steps_of(details(model, **options)) == [0, 0, 0]
        assert steps_of(details(model, **options, confidence_eos_eot_inf=True))[0] == 0
        assert steps_of(details(model, **options, confidence_eos_eot_inf=True))[1:] == [1, 2]


class TestFactor:
    @SEEDS
    @pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 2.5, 1000.0])
    def test_against_the_definition(self, seed, factor):
        """Theorem 1 of Fast-dLLM: commit `n` as long as `(n + 1) (1 - c_n) <= factor`; the best one always."""
        confidence, mask = random_case(seed, low=0.5)
        commit = commit_factor(confidence, mask, factor)
        for row in range(5):
            order = candidates(confidence, mask, row)
            n = 1
            while n < len(order) and (n + 2) * (1 - confidence[row, order[n]].item()) <= factor:
                n += 1
            assert commit[row].tolist() == committed(order[:n], 12)


class TestEntropyBound:
    @SEEDS
    @pytest.mark.parametrize("bound", [0.0, 0.2, 1.0, 100.0])
    def test_against_the_definition(self, seed, bound):
        """EB-Sampler: the largest `n` with `sum_i H_i - max_i H_i <= bound`, in ascending order of entropy."""
        confidence, mask = random_case(seed, low=-0.5, high=0.0)
        commit = commit_entropy_bound(confidence, mask, bound)
        for row in range(5):
            order = candidates(confidence, mask, row)
            entropies = [-confidence[row, i].item() for i in order]
            n = max((n for n in range(1, len(order) + 1) if sum(entropies[:n]) - entropies[n - 1] <= bound), default=0)
            assert commit[row].tolist() == committed(order[:n], 12)

    def test_the_bound_is_that_of_a_row_not_of_the_batch(self):
        """d2Cache's sampler takes the cumulative maximum over the batch."""
        confidence = -torch.tensor([[5.0, 5.0], [0.1, 0.2]])
        mask = torch.ones(2, 2, dtype=torch.bool)
        assert commit_entropy_bound(confidence, mask, 0.15).tolist() == [[True, False], [True, True]]

    def test_deferred_positions_are_not_certain_ones(self):
        confidence = torch.tensor([[LOWEST_CONFIDENCE, -0.1, LOWEST_CONFIDENCE]])
        assert commit_entropy_bound(confidence, torch.ones(1, 3).bool(), 1e30).tolist() == [[False, True, False]]


class TestAllRules:
    RULES = {
        "quota": lambda c, m: commit_quota(c, m, torch.full((len(c),), 3)),
        "threshold": lambda c, m: commit_threshold(c, m, 0.4),
        "leap": lambda c, m: commit_leap(c, m, 0.8, 0.4, 2),
        "factor": lambda c, m: commit_factor(c, m, 1.5),
        "entropy": lambda c, m: commit_entropy_bound(-c, m, 0.5),
    }

    @pytest.mark.parametrize("rule", RULES)
    def test_inside_the_mask_and_nothing_in_an_empty_row(self, rule):
        for seed in range(20):
            confidence, mask = random_case(seed)
            commit = self.RULES[rule](confidence, mask)
            assert commit.dtype == torch.bool and commit.shape == mask.shape
            assert not (commit & ~mask).any()
            assert not commit[0].any()

    @pytest.mark.parametrize("rule", RULES)
    def test_rows_are_independent(self, rule):
        confidence, mask = random_case(3)
        alone = torch.cat([self.RULES[rule](confidence[i : i + 1], mask[i : i + 1]) for i in range(len(mask))])
        assert torch.equal(self.RULES[rule](confidence, mask), alone)

    def test_the_larger_set(self):
        first = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]]).bool()
        second = torch.tensor([[0, 0, 1], [0, 1, 1], [0, 0, 1], [0, 1, 0]]).bool()
        expected = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 0, 0], [0, 1, 0]]).bool()
        assert torch.equal(larger_set(first, second), expected)


def reference_transfer_tokens(num_masks, steps):
    """`get_num_transfer_tokens` of the official generate.py, for one row."""
    base, remainder = divmod(num_masks, steps)
    return [base + (i < remainder) for i in range(steps)]


class TestSchedule:
    def test_no_steps_given_means_one_token_a_step(self):
        num_masks = torch.tensor([[3, 0, 5]])
        assert torch.equal(split_steps(num_masks, None), num_masks)

    @pytest.mark.parametrize("blocks, length, steps", [(1, 32, 8), (4, 8, 16), (2, 16, 12), (4, 8, 4), (3, 10, 30)])
    def test_equals_the_reference_where_it_is_defined(self, blocks, length, steps):
        """The reference wants equal blocks, and steps that are a multiple of their number."""
        split = split_steps(torch.full((1, blocks), length), steps)
        assert split.tolist() == [[steps // blocks] * blocks]
        n, s = torch.tensor([length]), split[:, 0]
        budgets = [step_budget(n, s, step).item() for step in range(s.item())]
        assert budgets == reference_transfer_tokens(length, steps // blocks)

    def test_in_proportion_to_the_masks(self):
        assert split_steps(torch.tensor([[8, 16, 32]]), 14).tolist() == [[2, 4, 8]]

    def test_the_remainder_goes_to_the_earliest_blocks_with_masks(self):
        assert split_steps(torch.tensor([[8, 8, 8, 8]]), 10).tolist() == [[3, 3, 2, 2]]
        assert split_steps(torch.tensor([[0, 8, 8, 8]]), 10).tolist() == [[0, 4, 3, 3]]

    def test_at_least_one_step_for_a_block_with_masks(self):
        assert split_steps(torch.tensor([[8, 8, 0, 8]]), 1).tolist() == [[1, 1, 0, 1]]
        assert split_steps(torch.tensor([[100, 1, 1]]), 10).tolist() == [[8, 1, 1]]
        assert split_steps(torch.tensor([[3, 3, 1]]), 5).tolist() == [[2, 2, 1]]
        assert split_steps(torch.tensor([[1, 100, 1, 1]]), 5).tolist() == [[1, 2, 1, 1]]

    def test_never_more_steps_than_masks(self):
        num_masks = torch.tensor([[3, 0, 5, 1]])
        assert torch.equal(split_steps(num_masks, 1000), num_masks)

    def test_properties_on_random_blocks(self):
        generator = torch.Generator().manual_seed(0)
        for _ in range(200):
            num_masks = torch.randint(0, 12, (4, 5), generator=generator)
            steps = int(torch.randint(1, 70, (), generator=generator))
            split = split_steps(num_masks, steps)
            total = num_masks.sum(-1)
            assert (split <= num_masks).all()
            assert torch.equal(split > 0, num_masks > 0)
            assert torch.equal(split.sum(-1), total.clamp(max=steps).maximum((num_masks > 0).sum(-1)))
            # Within one step of the exact proportion, where that is at least one for each block.
            share = num_masks * total.clamp(max=steps)[:, None] / total.clamp(min=1)[:, None]
            proper = ((num_masks == 0) | (share >= 1)).all(-1)
            assert ((split - share).abs() <= 1)[proper].all()
            # No row looks at another.
            assert torch.equal(split, torch.cat([split_steps(row[None], steps) for row in num_masks]))

    def test_budgets_add_up_to_the_masks(self):
        for masks in range(1, 20):
            for steps in range(1, masks + 1):
                n, s = torch.tensor([masks]), torch.tensor([steps])
                budgets = [step_budget(n, s, step).item() for step in range(steps)]
                assert budgets == reference_transfer_tokens(masks, steps)
                assert sum(budgets) == masks and min(budgets) >= 1

    def test_a_budget_is_at_least_one(self):
        """Also for a row that has nothing to do, and after the last step: nobody waits forever."""
        assert step_budget(torch.tensor([0, 4]), torch.tensor([0, 2]), 7).tolist() == [1, 2]
