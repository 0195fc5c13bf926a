# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""evidence/likelihood: what it computes from all masks of a text, against definitions and simulation."""

import json
import math
from itertools import combinations, product
from pathlib import Path

import pytest
import torch
from support.tiny_poet import save_tiny_poet

import evidence.likelihood.__main__ as likelihood
from evidence.likelihood.table import MaskTable, variances
from modeling_llada.models.diffusion_llada import mask_tokens, sample_rates


ROOT = Path(__file__).parents[2]


POSITIONS = [1, 2, 4, 5]  # of 6 tokens: any span can be scored


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def model(tiny_model):
    return tiny_model().double()


@pytest.fixture
def table(model):
    texts = torch.randint(2, 98, (3, 6), generator=seeded())
    return MaskTable.of(model, texts, POSITIONS, batch_size=5)


@torch.no_grad()
def test_bound_is_eq_6_by_its_definition(model, table):
    for text, bound in zip(table.texts, table.bound, strict=True):
        total = 0.0
        for count in range(1, 5):
            sets = list(combinations(POSITIONS, count))
            for hidden in sets:
                noisy = text.clone()
                noisy[list(hidden)] = model.config.mask_token_id
                log_probs = model(noisy[None]).logits[0].log_softmax(-1)
                total += 4 / count * sum(log_probs[i, text[i]].item() for i in hidden) / len(sets)
        assert bound.item() == pytest.approx(total / 4, abs=1e-10)


def test_any_order_is_the_bound(table):
    """Eq. 15 is eq. 6, and a single order is not."""
    torch.testing.assert_close(table.by_order.mean(1), table.bound, rtol=0, atol=1e-10)
    assert table.by_order.shape == (3, 24) and table.by_order.std(1).min() > 0.1


def test_exact_is_the_mean_over_orders(table):
    expected = table.by_order.logsumexp(1) - math.log(24)
    torch.testing.assert_close(table.exact, expected, rtol=0, atol=1e-10)
    assert (table.exact > table.bound).all()


def test_exact_is_a_probability(tiny_model):
    """Over all strings of two tokens it sums to one."""
    model = tiny_model(vocab_size=12, mask_token_id=11).double()
    texts = torch.tensor(list(product(range(12), repeat=2)))
    assert MaskTable.of(model, texts, [0, 1]).exact.exp().sum().item() == pytest.approx(1.0, abs=1e-10)


@pytest.mark.parametrize("antithetic", [False, True])
def test_the_table_stands_for_the_model(tiny_model, antithetic):
    model, texts = tiny_model(), torch.randint(2, 98, (3, 6), generator=seeded())
    table = MaskTable.of(model, texts, POSITIONS)
    outputs = [
        one.log_likelihood(texts, table.labels, num_samples=8, antithetic=antithetic, generator=seeded())
        for one in (model, table)
    ]
    torch.testing.assert_close(outputs[0].log_likelihood, outputs[1].log_likelihood)
    torch.testing.assert_close(outputs[0].standard_error, outputs[1].standard_error)


def test_variances_are_those_of_samples(table):
    """Drawn by the forward process of training, and by counts. A large smallest rate, or the tail would take too long."""
    number, rate_eps = 400_000, 0.05
    rate_form, count_form = variances(table.by_count(), table.by_count(2), rate_eps)
    powers = 2 ** torch.arange(4)
    rates = rate_eps + (1 - rate_eps) * torch.rand(number, generator=seeded(1))
    _, mask = mask_tokens(torch.zeros(number, 4, dtype=torch.long), rates, 1, generator=seeded(2))
    samples = table.sums[:, (mask * powers).sum(-1)] / rates
    torch.testing.assert_close(samples.var(1), rate_form, rtol=0.02, atol=0)
    counts = torch.randint(1, 5, (number,), generator=seeded(3))
    ranks = torch.rand(number, 4, generator=seeded(4)).argsort(-1).argsort(-1)
    mask = ranks < counts[:, None]
    samples = table.sums[:, (mask * powers).sum(-1)] * 4 / counts
    torch.testing.assert_close(samples.var(1), count_form, rtol=0.02, atol=0)
    torch.testing.assert_close(samples.mean(1), table.bound, rtol=0.02, atol=0)


def test_without_a_smallest_rate_eq_5_has_no_variance(table):
    """It grows with the logarithm of the smallest rate, without end."""
    moments = table.by_count(), table.by_count(2)
    growth = [variances(*moments, 10.0**-power)[0] for power in (3, 6, 9)]
    torch.testing.assert_close(growth[1] - growth[0], growth[2] - growth[1], rtol=0.02, atol=0)
    assert (growth[1] > growth[0]).all()


def test_rates_of_training_have_that_smallest_rate():
    assert sample_rates.__defaults__[0] == likelihood.RATE_EPS


def test_run(tmp_path, monkeypatch):
    """The script without its longest span, on a random model: what it writes does not depend on the run."""
    monkeypatch.delitem(likelihood.SPANS, "a couplet")
    monkeypatch.setattr(likelihood, "ESTIMATED", ("a line",))
    folder = save_tiny_poet(tmp_path / "checkpoint")
    options = ["--model", str(folder), "--texts", "2", "--repeats", "3", "--masks", "1", "--any-order-texts", "1"]
    found = []
    for name in ("first.json", "second.json"):
        likelihood.main([*options, "--json", str(tmp_path / name)])
        found.append(json.loads((tmp_path / name).read_text(encoding="utf-8")))
    names = ("error", "samples", "any_order", "bound", "coverage", "settings")
    assert all(found[0][name] == found[1][name] for name in names)
    assert found[0]["command"].endswith("--json first.json") and str(tmp_path) not in json.dumps(found)
    assert [row["tokens"] for row in found[0]["samples"]] == [2, 4, 6, 24]
    assert found[0]["any_order"]["float64"] < 1e-10
    assert all(row["gap"]["low"] > 0 for row in found[0]["bound"])


def test_more_texts_than_the_file_has(tmp_path):
    with pytest.raises(SystemExit, match="`--texts` must be 2 to 50"):
        likelihood.main(["--texts", "51", "--json", str(tmp_path / "no.json")])
