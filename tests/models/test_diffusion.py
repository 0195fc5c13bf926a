# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The forward process: rates, masking, loss weights."""

import pytest
import torch

from modeling_llada.models.diffusion_llada import diffusion_loss, mask_tokens, sample_rates


MASK = 98


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 1000])
@pytest.mark.parametrize("eps", [0.0, 1e-3, 0.2])
def test_rates_hit_every_stratum_once(batch_size, eps):
    for seed in range(20):
        rates = sample_rates(batch_size, eps, generator=seeded(seed)).double()
        assert rates.shape == (batch_size,)
        assert rates.min() > eps - 1e-7 and rates.max() <= 1
        # In float32 a rate may round onto the border of its stratum (eps + (1 - eps) i/B, eps + (1 - eps) (i+1)/B].
        strata = ((rates - eps) / (1 - eps) * batch_size - 1e-4).ceil().clamp(min=1)
        assert strata.sort().values.tolist() == list(range(1, batch_size + 1))


def test_rates_are_uniform_over_many_batches():
    rates = torch.stack([sample_rates(4, 0.1, generator=seeded(seed)) for seed in range(4000)])
    assert rates.mean().item() == pytest.approx(0.55, abs=0.005)
    # The rate of each row is uniform on (0.1, 1].
    assert torch.allclose(rates.mean(0), torch.tensor(0.55), atol=0.02)
    assert rates.std().item() == pytest.approx(0.9 / 12**0.5, abs=0.005)


def test_rates_up_to_the_highest():
    rates = sample_rates(1000, 0.3, highest=0.8, generator=seeded())
    assert rates.min() > 0.3 and rates.max() <= 0.8
    assert rates.mean().item() == pytest.approx(0.55, abs=0.005)
    with pytest.raises(ValueError, match=r"`highest` must be in \(`eps`, 1\]"):
        sample_rates(4, 0.3, highest=0.3)


def test_rates_without_permutation_increase():
    rates = sample_rates(50, permute=False, generator=seeded())
    assert (rates.diff() > 0).all()
    permuted = sample_rates(50, generator=seeded())
    assert not (permuted.diff() > 0).all() and torch.equal(permuted.sort().values, rates)


def test_a_seed_fixes_the_noise_and_leaves_the_global_state_alone():
    before = torch.random.get_rng_state()
    ids = torch.randint(0, 90, (8, 32), generator=seeded(1))
    noises = []
    for _ in range(2):
        generator = seeded(3)
        rates = sample_rates(8, generator=generator)
        noises.append(mask_tokens(ids, rates, MASK, generator=generator)[0])
    assert torch.equal(*noises)
    assert torch.equal(before, torch.random.get_rng_state())


def test_tokens_are_masked_at_their_rate():
    ids = torch.randint(0, 90, (4, 20_000), generator=seeded())
    rates = torch.tensor([0.0, 0.1, 0.7, 1.0])
    noisy, mask = mask_tokens(ids, rates, MASK, generator=seeded(1))
    assert torch.allclose(mask.float().mean(1), rates, atol=0.01)
    assert (noisy[mask] == MASK).all() and torch.equal(noisy[~mask], ids[~mask])
    assert not mask[0].any() and mask[3].all()


def test_tokens_that_are_not_maskable_stay():
    ids = torch.randint(0, 90, (4, 50), generator=seeded())
    maskable = torch.arange(50).expand(4, 50) >= 20
    for form in (maskable, maskable.long()):
        noisy, mask = mask_tokens(ids, torch.ones(4), MASK, form, seeded())
        assert torch.equal(mask, maskable) and torch.equal(noisy[:, :20], ids[:, :20])


@pytest.mark.parametrize("by_sequence", [False, True])
def test_a_masked_token_that_costs_one_gives_a_loss_of_one(by_sequence):
    """The weights 1/t are 1 on average, whatever the lengths of the sequences."""
    generator = seeded()
    lengths = torch.randint(1, 9, (20_000,), generator=generator)
    maskable = torch.arange(8) < lengths[:, None]
    rates = sample_rates(20_000, 0.05, generator=generator)
    _, mask = mask_tokens(maskable.long(), rates, MASK, maskable, generator)
    rows = mask.nonzero()[:, 0]
    sums = {"lengths": lengths[rows], "num_items": len(lengths)} if by_sequence else {"num_items": lengths.sum()}
    loss = diffusion_loss(torch.ones(len(rows)), rates[rows], **sums)
    assert loss.item() == pytest.approx(1, abs=0.03)
    assert diffusion_loss(torch.ones(1), torch.tensor([0.25]), num_items=8, num_processes=2) == 1


BAD_ARGUMENTS = (
    (sample_rates, {"batch_size": 2}, {"batch_size": (0, 1.5, True, None), "eps": (-0.1, 1.0, float("nan"), "x")}),
    (
        mask_tokens,
        {"input_ids": torch.zeros(2, 5, dtype=torch.long), "rates": torch.ones(2), "mask_token_id": MASK},
        {"rates": (0.5, torch.ones(3)), "mask_token_id": (-1, 1.5, None), "maskable": ("x", torch.ones(5))},
    ),
    (
        diffusion_loss,
        {"losses": torch.ones(3), "rates": torch.ones(3), "num_items": 3},
        # A column against a row would give the sum over all pairs.
        {"rates": (0.5, torch.ones(3, 1)), "lengths": (3, torch.ones(3, 1)), "num_items": (0, None, True)}
        | {"num_processes": (0, 1.5)},
    ),
)


@pytest.mark.parametrize(
    ("function", "arguments", "name", "value"),
    [
        (function, arguments, name, value)
        for function, arguments, table in BAD_ARGUMENTS
        for name, values in table.items()
        for value in values
    ],
    ids=lambda value: getattr(value, "__name__", None),  # a function has its address in its text
)
def test_errors_name_the_argument(function, arguments, name, value):
    with pytest.raises(ValueError, match=f"`{name}`"):
        function(**(arguments | {name: value}))
