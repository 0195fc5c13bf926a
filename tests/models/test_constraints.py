# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The completions that an automaton accepts: best path, sums, marginals, samples and joint commits, by listing them all."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.automata import accepts, normalize, random_automaton, random_case

from modeling_llada.models import group_sums_llada
from modeling_llada.models.constraints_llada import Lattice, RowAutomata, TokenAutomaton
from modeling_llada.models.group_sums_llada import Groups


SEEDS = range(12)  # each a batch of 48 rows, of another length and vocabulary


@pytest.mark.parametrize("seed", SEEDS)
def test_best_completion_and_sum(seed):
    case = random_case(seed)
    lattice = case.lattice()
    tokens, best = lattice.best()
    total = lattice.total()
    for row in range(len(tokens)):
        completions, scores = case.completions(row)
        if len(scores) == 0:
            assert best[row] == total[row] == -torch.inf
            continue
        is_best = (completions == tokens[row, : case.num_seen]).all(-1)
        assert scores[is_best].item() == pytest.approx(scores.max().item(), abs=1e-4)
        assert best[row].item() == pytest.approx(scores.max().item(), abs=1e-4)
        assert total[row].item() == pytest.approx(scores.logsumexp(0).item(), abs=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_marginals(seed):
    case = random_case(seed)
    lattice = case.lattice()
    expected = torch.zeros(case.log_probs.shape)
    for row in range(len(case.tokens)):
        completions, scores = case.completions(row)
        columns = torch.arange(case.num_seen).expand_as(completions)
        probs = scores.softmax(0).float()[:, None].expand(completions.shape)
        expected[row].index_put_((columns, completions), probs, accumulate=True)
    marginals = lattice.constrain(lattice.scores).softmax(-1).nan_to_num()  # NaN in rows without a completion
    expected = expected[:, : case.num_seen].flatten(0, 1)[lattice.places]
    torch.testing.assert_close(marginals, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("temperature", [0.4, 2.0])
def test_samples_have_the_probabilities_of_the_product(seed, temperature):
    case, num_samples = random_case(seed), 2000
    row = next(row for row in range(48) if len(case.completions(row)[0]) >= 2)
    completions, scores = case.completions(row)
    names = ("tokens", "mask", "log_probs")
    rows = {name: getattr(case, name)[row : row + 1].repeat_interleave(num_samples, 0) for name in names}
    lattice = replace(case, automata=[case.automata[row]] * num_samples, **rows).lattice()
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(lattice.scores.shape, dtype=torch.float64, generator=generator)
    samples = lattice.sample(temperature, uniform)[:, : case.num_seen]
    counts = (samples[:, None] == completions).all(-1).sum(0)
    assert counts.sum() == num_samples
    probs = (scores / temperature).softmax(0)
    assert ((counts - num_samples * probs).abs() <= 5 * (num_samples * probs * (1 - probs)).sqrt() + 1).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_largest_set_that_lies_on_one_path_is_committed(seed):
    case, generator = random_case(seed, with_later=False), torch.Generator().manual_seed(seed)
    proposal = torch.randint(0, case.log_probs.shape[-1], case.tokens.shape, generator=generator)
    commit = case.mask & (torch.rand(case.mask.shape, generator=generator) < 0.7)
    priority = torch.randint(1, 9, case.mask.shape, generator=generator).float()
    chosen = case.lattice().commit_together(proposal, commit, priority)
    assert not (chosen & ~commit).any()
    after = case.commit(chosen, proposal)
    for row in range(len(commit)):
        completions, _ = case.completions(row)
        kept = torch.where(commit[row] & (completions == proposal[row]), priority[row], 0).sum(-1)
        assert priority[row, chosen[row]].sum() == (kept.max() if len(kept) else 0)
        assert len(after.completions(row)[0]) > 0 or len(completions) == 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("num_commits", [1, 3])
def test_no_order_of_commits_leads_to_a_dead_end(seed, num_commits):
    """The best tokens by their marginals, in random columns, with other scores in each step."""
    case, generator = random_case(seed, with_later=False), torch.Generator().manual_seed(seed)
    can_be_filled = case.lattice().total() > -torch.inf
    case = replace(case, mask=case.mask & can_be_filled[:, None])
    ruled_out = case.log_probs == -torch.inf
    while case.mask.any():
        logits = 3 * torch.randn(case.log_probs.shape, generator=generator)
        case = replace(case, log_probs=normalize(logits.masked_fill(ruled_out, -torch.inf)))
        lattice = case.lattice()
        best = lattice.constrain(lattice.scores).argmax(-1)
        proposal = case.tokens.flatten().index_copy(0, lattice.places, best).view(case.tokens.shape)
        order = torch.rand(case.mask.shape, generator=generator).masked_fill(~case.mask, -1)
        commit = case.mask & (order >= order.topk(min(num_commits, case.mask.shape[1])).values[:, -1:])
        chosen = lattice.commit_together(proposal, commit)
        assert (chosen.any(-1) | ~case.mask.any(-1)).all(), "a step that commits nothing"
        case = case.commit(chosen, proposal)
    for row in can_be_filled.nonzero().squeeze(-1).tolist():
        assert accepts(case.automata[row], case.tokens[row : row + 1])


@pytest.mark.parametrize("seed", SEEDS)
def test_columns_can_be_split_into_decided_ones_a_block_and_later_ones(seed):
    case = random_case(seed)
    start, end = case.num_seen // 2, case.num_seen
    case.mask[:, :start] = False
    lattice = case.lattice()
    batch = lattice.automata
    block = Lattice(
        batch,
        batch.advance(batch.start(), case.tokens[:, :start]),
        case.tokens[:, start:end],
        lattice.scores,
        case.mask[:, start:end].flatten().nonzero().squeeze(-1),
        batch.reach(case.tokens[:, end:], case.mask[:, end:])[0],
    )
    torch.testing.assert_close(block.total(), lattice.total(), atol=1e-4, rtol=0)
    torch.testing.assert_close(block.best()[1], lattice.best()[1], atol=1e-4, rtol=0)
    torch.testing.assert_close(block.constrain(block.scores), lattice.constrain(lattice.scores), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_distance_is_the_length_of_the_shortest_text(seed):
    automaton = random_automaton(torch.Generator().manual_seed(seed), vocab_size=64)  # each class has a token
    texts = [torch.cartesian_prod(*[automaton.token_class.unique()] * length).view(-1, length) for length in (1, 2, 3)]
    by_class = replace(automaton, token_class=torch.arange(automaton.table.shape[1]))
    lengths = [0] * bool(automaton.accepting[0]) + [text.shape[1] for text in texts if accepts(by_class, text).any()]
    assert automaton.distance[0] == min(lengths, default=len(automaton.table)) or not lengths


def test_a_row_without_a_constraint_keeps_its_tokens_to_the_bit():
    generator = torch.Generator().manual_seed(0)
    scores = 10 * torch.randn(64, 50, generator=generator)
    uniform = torch.rand(scores.shape, dtype=torch.float64, generator=generator)
    shape, other = (
        (2, 32),
        TokenAutomaton(torch.ones(50, dtype=torch.long), torch.tensor([[-1, 0]]), torch.tensor([True])),
    )
    batch = RowAutomata([None, other], vocab_size=50)
    mask = torch.ones(shape, dtype=torch.bool)
    lattice = Lattice(batch, batch.start(), torch.zeros(shape, dtype=torch.long), scores, torch.arange(64))
    assert torch.equal(lattice.best()[0].flatten(), scores.argmax(-1))
    noisy = (scores - scores.amax(-1, keepdim=True)) / 0.7 - (-uniform.log()).log()
    assert torch.equal(lattice.sample(0.7, uniform).flatten(), noisy.argmax(-1))
    assert torch.equal(lattice.constrain(lattice.scores), scores)
    assert lattice.commit_together(scores.argmax(-1).view(shape), mask).all()


def test_eos_ends_a_text_and_pads_follow():
    once = TokenAutomaton(torch.tensor([0, 0, 1]), torch.tensor([[-1, 1], [-1, -1]]), torch.tensor([False, True]))
    automaton = once.with_ending([1], pad_token_id=4)
    for text in [(2,), (2, 1), (2, 1, 4, 4), (2, 1, 1, 4)]:
        assert accepts(automaton, torch.tensor([text]))
    for text in [(1,), (2, 4), (2, 2), (2, 1, 2), (2, 1, 0)]:
        assert not accepts(automaton, torch.tensor([text]))


def test_extreme_scores_stay_finite_where_there_is_a_completion():
    """A structural token of probability e^-3000 must not vanish, nor 128 columns lose the path."""
    automaton = TokenAutomaton(
        torch.tensor([1, 2]), torch.tensor([[-1, 0, 1], [-1, 1, -1]]), torch.tensor([False, True])
    )
    batch = RowAutomata([automaton], vocab_size=2)
    scores = torch.tensor([[0.0, -3000.0]]).repeat(128, 1)
    lattice = Lattice(batch, batch.start(), torch.zeros(1, 128, dtype=torch.long), scores, torch.arange(128))
    tokens, score = lattice.best()
    assert tokens.sum() == 1 and score == -3000
    assert lattice.total().item() == pytest.approx(-3000 + math.log(128), abs=1e-2)
    torch.testing.assert_close(
        lattice.constrain(lattice.scores).softmax(-1)[:, 1], torch.full((128,), 1 / 128), atol=1e-4, rtol=1e-2
    )


@pytest.mark.parametrize("temperature", [0.01, 1e-300])
def test_samples_at_low_temperatures(temperature):
    """The best token is accepted in no column but the last."""
    automaton = TokenAutomaton(
        torch.tensor([1, 2]), torch.tensor([[-1, 1, 0], [-1, -1, -1]]), torch.tensor([False, True])
    )
    batch, num_columns = RowAutomata([automaton], vocab_size=2), 40
    scores = torch.tensor([[0.0, -30.0]]).repeat(num_columns, 1)
    tokens = torch.zeros(1, num_columns, dtype=torch.long)
    lattice = Lattice(batch, batch.start(), tokens, scores, torch.arange(num_columns))
    uniform = torch.rand(scores.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert lattice.sample(temperature, uniform).tolist() == [[1] * (num_columns - 1) + [0]]


@given(st.lists(st.integers(0, 5), max_size=100), st.sampled_from([torch.amax, torch.logsumexp]))
def test_groups(group, how):
    values = torch.randn(3, len(group), generator=torch.Generator().manual_seed(len(group)))
    reduced = Groups(torch.tensor(group, dtype=torch.long), 7).reduce(values, how)
    for index in range(7):
        mine = values[:, [number == index for number in group]] if group else values
        expected = how(mine, dim=-1) if mine.shape[1] else torch.full((3,), -torch.inf)
        torch.testing.assert_close(reduced[:, index], expected)


@pytest.mark.parametrize("how", [torch.amax, torch.logsumexp])
def test_small_groups_are_reduced_once_beside_large_ones(how):
    """As the states of many choices, of which the last one has a way from each of the others."""
    group = torch.cat([torch.arange(4000), torch.full((600,), 7), torch.full((90,), 9)])
    values = torch.randn(len(group), generator=torch.Generator().manual_seed(0))
    groups = Groups(group, 4000)
    expected = values[:4000].clone()
    for index in (7, 9):
        expected[index] = how(values[group == index], dim=-1)
    torch.testing.assert_close(groups.reduce(values, how), expected)
    num_places = 0
    while groups is not None:
        num_places, groups = num_places + groups.index.numel(), groups.rest
    assert num_places < 2.5 * len(group)


@pytest.mark.parametrize("seed", [3, 7, 11])
def test_the_ways_of_many_columns_are_summed_in_parts(seed, monkeypatch):
    """Not in memory together: here one column after the other."""
    lattice = random_case(seed).lattice()
    whole = lattice.constrain(lattice.scores), *lattice.best()
    monkeypatch.setattr(group_sums_llada, "MAX_NUMBERS", 1)
    lattice = random_case(seed).lattice()
    in_parts = lattice.constrain(lattice.scores), *lattice.best()
    assert all(map(torch.equal, whole, in_parts))


def test_tokens_that_the_model_lacks_are_refused():
    automaton = TokenAutomaton(torch.tensor([0, 0, 1]), torch.tensor([[-1, 0]]), torch.tensor([True]))
    with pytest.raises(ValueError, match="which has 2, but got one that accepts token 2"):
        RowAutomata([automaton], vocab_size=2)
