# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`generate` and `log_likelihood` on a model whose predictions are exact, held against sums over all texts."""

import json
from itertools import combinations, permutations

import pytest
import torch
from scipy.stats import chi2

from evidence.exact import truth
from evidence.exact.__main__ import main
from evidence.exact.distances import distances, sampled_variation
from evidence.exact.enumeration import enumerate_samples
from evidence.exact.model import HiddenMarkovModel
from evidence.exact.settings import even_number_of
from evidence.exact.truth import given_constraint, true_distribution


LENGTH, SAMPLES = 4, 3000
MODEL = HiddenMarkovModel()
TRUTH = true_distribution(MODEL, LENGTH)
ONE_TOKEN_A_STEP = [
    {"remasking": "random"},
    {"remasking": "margin"},
    {"remasking": "entropy"},
    {"remasking": "random", "block_length": 2},
    {"remasking": "low_confidence", "block_length": 1},
    {"entropy_bound": 0.0},
]
OTHERS = [
    {"remasking": "low_confidence"},
    {"remasking": "low_confidence", "steps": 2},
    {"remasking": "random", "steps": 2},
    {"confidence_threshold": 0.7},
    {"entropy_bound": 1.0},
]
FURTHER = [
    {"remasking": "margin", "steps": 1},
    {"remasking": "low_confidence", "block_length": 3, "steps": 3},
    {"remasking": "random", "temperature": 0.6},
    {"remasking": "margin", "top_k": 2},
    {"remasking": "entropy", "top_p": 0.7},
    {"remasking": "random", "min_p": 0.2},
    {"confidence_factor": 2.0},
    {"confidence_threshold": 0.9, "leap_threshold": 0.6, "leap_radius": 1},
    {"remasking": "random", "confidence_threshold": 0.7},
    {"temperature": 0.0},
]


def named(options):
    return ", ".join(f"{name} {value}" for name, value in options.items())


def sample(*arguments, **options):
    return truth.sample(*arguments, **options)[0]


def assert_sampled_from(probability, numbers):
    """Pearson's test, at a level that a right sampler misses once in a million runs. What cannot happen did not."""
    counts = torch.bincount(numbers, minlength=len(probability)).double()
    expected = len(numbers) * probability
    rare = expected < 5
    assert counts[probability < 1e-12].sum() == 0
    counts = torch.cat([counts[~rare], counts[rare].sum()[None]])
    expected = torch.cat([expected[~rare], expected[rare].sum()[None]])
    statistic = ((counts - expected) ** 2 / expected.clamp(min=1e-9)).sum().item()
    assert statistic < chi2.isf(1e-6, df=max(1, len(counts) - 1))


def test_predictions_are_conditional_probabilities():
    """Against the definition: sums of the probabilities of all texts."""
    texts = MODEL.texts(3)
    joint = MODEL.log_probability(texts).exp()
    assert joint.sum().item() == pytest.approx(1)
    canvas = torch.tensor([[0, MODEL.mask_token_id, MODEL.mask_token_id]])
    first, fits = MODEL.predict(canvas).exp(), texts[:, 0] == 0
    for column in (1, 2):
        shares = [(joint[fits & (texts[:, column] == token)].sum() / joint[fits].sum()).item() for token in range(3)]
        assert first[0, column, :3].tolist() == pytest.approx(shares)


@pytest.mark.parametrize("options", ONE_TOKEN_A_STEP, ids=named)
def test_one_token_a_step_samples_the_truth(options):
    options = {"temperature": 1.0} | options
    assert distances(TRUTH, enumerate_samples(MODEL, [0], LENGTH, **options).probability)["total_variation"] < 1e-6
    assert_sampled_from(TRUTH, sample(MODEL, LENGTH, SAMPLES, 0, **options))


@pytest.mark.parametrize(
    "options", [*OTHERS, *(pytest.param(one, marks=pytest.mark.slow) for one in FURTHER)], ids=named
)
def test_samples_are_those_that_the_strategy_has_to_make(options):
    options = {"temperature": 1.0} | options
    produced = enumerate_samples(MODEL, [0], LENGTH, **options)
    assert produced.probability.sum().item() == pytest.approx(1)
    assert distances(TRUTH, produced.probability)["total_variation"] > 0.01, "it is not the truth"
    assert_sampled_from(produced.probability, sample(MODEL, LENGTH, SAMPLES, 0, **options))


@pytest.mark.parametrize("rule", [{"confidence_threshold": 0.7}, {"entropy_bound": 1.0}, {"steps": 2}], ids=named)
def test_forward_passes_are_those_of_the_enumeration(rule):
    rows = torch.zeros(SAMPLES, 1, dtype=torch.long)
    generator = torch.Generator().manual_seed(0)
    output = MODEL.generate(
        rows, max_new_tokens=LENGTH, temperature=1.0, generator=generator, return_dict_in_generate=True, **rule
    )
    passes = enumerate_samples(MODEL, [0], LENGTH, temperature=1.0, **rule).forward_passes
    assert output.num_forward_passes.double().mean().item() == pytest.approx(passes, abs=0.05)


@pytest.mark.parametrize("cache", ["prefix", "dual", "vicinity"])
def test_a_cache_of_tokens_is_never_stale(cache):
    """Its keys depend on one token each, so each text is that of the same noise without a cache."""
    options = {"temperature": 1.0, "remasking": "random", "block_length": 2, "confidence_threshold": 0.9}
    plain = sample(MODEL, LENGTH, 500, 0, **options)
    assert torch.equal(sample(MODEL, LENGTH, 500, 0, block_cache=cache, **options), plain)
    assert torch.equal(sample(MODEL, LENGTH, 500, 0, block_cache=cache, suffix_window=0, **options), plain)


def test_gaps_and_padding():
    """The masks of a prompt are filled given what stands on both sides, and padding is no part of a text."""
    mask, pad = MODEL.mask_token_id, MODEL.config.pad_token_id
    prompts = torch.tensor([[pad, pad, 0, mask, 1, mask], [0, mask, mask, 2, mask, 1]]).repeat(SAMPLES, 1)
    options = {"max_new_tokens": 0, "temperature": 1.0, "remasking": "margin"}
    generator = torch.Generator().manual_seed(1)
    output = MODEL.generate(prompts, attention_mask=(prompts != pad).int(), generator=generator, **options)
    for row, start in ((0, 2), (1, 0)):
        prompt = prompts[row, start:]
        texts = MODEL.texts(len(prompt))
        fits = ((texts == prompt) | (prompt == mask)).all(-1)
        probability = torch.where(fits, MODEL.log_probability(texts).exp(), 0.0)
        assert_sampled_from(probability / probability.sum(), MODEL.number(output[row::2, start:]))


@pytest.mark.parametrize("remasking", ["random", "low_confidence"])
def test_a_constraint_on_the_last_step_is_exact(remasking):
    """A single mask: what is proposed is the truth given the constraint."""
    constraint = even_number_of(0, vocab_size=5)
    options = {"constraint": constraint, "temperature": 1.0, "remasking": remasking}
    given = given_constraint(MODEL, true_distribution(MODEL, 1), 1, constraint)
    assert_sampled_from(given, sample(MODEL, 1, SAMPLES, 0, **options))
    allowed = given_constraint(MODEL, TRUTH, LENGTH, constraint) > 0
    assert allowed[sample(MODEL, LENGTH, 500, 0, **options)].all()


def test_the_bound_on_the_likelihood_is_an_equality():
    """Eq. 6 over all numbers and places of masks, and by samples."""
    text = torch.tensor([[0, 1, 2, 1, 0]])
    labels = text.clone()
    labels[:, 0] = -100
    exact = MODEL.log_probability(text) - MODEL.log_probability(text[:, :1])
    bound = 0.0
    for number in range(1, 5):
        subsets = list(combinations(range(1, 5), number))
        for subset in subsets:
            noisy = text.clone()
            noisy[0, list(subset)] = MODEL.mask_token_id
            log_probs = MODEL.predict(noisy)[0, list(subset), text[0, list(subset)]]
            bound += log_probs.sum().item() / number / len(subsets)  # 4 / number, and each number has a share of 1 / 4
    assert bound == pytest.approx(exact.item(), abs=1e-5)
    output = MODEL.log_likelihood(
        text, labels, num_samples=1024, batch_size=1024, generator=torch.Generator().manual_seed(0)
    )
    assert abs(output.log_likelihood - exact).item() < 4 * output.standard_error.item()


def test_every_order_of_the_tokens_has_the_same_likelihood():
    text = [0, 1, 2, 1]
    for order in permutations(range(4)):
        canvas, total = torch.full((1, 4), MODEL.mask_token_id), 0.0
        for position in order:
            total += MODEL.predict(canvas)[0, position, text[position]].item()
            canvas[0, position] = text[position]
        assert total == pytest.approx(MODEL.log_probability(torch.tensor([text])).item(), abs=1e-4)


def test_the_estimate_of_the_variation():
    right_one = torch.tensor([0.5, 0.3, 0.2], dtype=torch.double)
    other = torch.tensor([0.2, 0.3, 0.5], dtype=torch.double)
    generator = torch.Generator().manual_seed(0)
    right, wrong = (torch.multinomial(one, 20000, replacement=True, generator=generator) for one in (right_one, other))
    assert sampled_variation(right_one, right)["low"] < 0 < sampled_variation(right_one, right)["high"]
    assert sampled_variation(right_one, wrong)["low"] < 0.3 < sampled_variation(right_one, wrong)["high"]
    assert distances(right_one, other)["total_variation"] == pytest.approx(0.3)


def test_the_study_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    import evidence.exact.__main__ as study

    few = {"margin, 8 steps": {"temperature": 1.0, "remasking": "margin", "steps": 8}}
    monkeypatch.setattr(study, "enumerated_settings", lambda: few)
    monkeypatch.setattr(study, "sampled_settings", lambda: {"no cache": {"temperature": 1.0, "remasking": "margin"}})
    arguments = ["--length", "4", "--samples", "200", "--json", str(tmp_path / "exact.json")]
    main(arguments)
    first = json.loads((tmp_path / "exact.json").read_text())
    assert first["enumerated"]["margin, 8 steps"] == {
        "total_variation": 0.0, "missed": 0.0, "invented": 0.0, "entropy": first["entropy"], "forward_passes": 4.0
    }  # fmt: skip
    monkeypatch.setattr(study, "enumerate_samples", lambda *_, **__: pytest.fail("it was run again"))
    main(arguments)
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--length", "2"])
    assert "`--length` must be at least 4" in capsys.readouterr().err
