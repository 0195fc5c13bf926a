# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Remasking: which of the predicted mask tokens are committed at a denoising step; the others stay masked.

Three small pieces make a strategy. All of them are row-wise, so that a row never depends on its batch mates:
- a *confidence* in each prediction (probability, margin, negative entropy, or a random number): `CONFIDENCES`;
- a *commit rule*, a function `(confidence, mask, value) -> commit` that picks the positions to commit. The value is the
  quota of the schedule, or for a parallel rule a bound on the confidences themselves: `PARALLEL_RULES`;
- a *schedule*, which gives each step its quota.

Shapes: `confidence` is `(batch, block_length)` in float32, `mask` is a boolean tensor of the same shape that is true at
the positions that still hold the mask token, and the quota is `(batch,)`. `commit` is boolean and inside `mask`.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from .generation_config_llada import LLaDAGenerationConfig
from .sampling_llada import scatter_to_block, widest_float


# The confidence of predictions that are committed last; positions that are no masks rank below it.
LOWEST_CONFIDENCE = torch.finfo(torch.float32).min


# Confidences: (num_masked, vocab_size) logits in float32, the proposed tokens and random numbers -> (num_masked,)


def probability(logits: torch.Tensor, proposal: torch.LongTensor, *_) -> torch.Tensor:
    """The probability of the proposed token, `softmax(logits)[proposal]` (low-confidence remasking, algorithm 5)."""
    # Not `exp(logit - logsumexp)`: in float32 that rounds everything above 0.999998 to 1, and position breaks the ties.
    return logits.softmax(-1).gather(-1, proposal[:, None]).squeeze(-1)


def margin(logits: torch.Tensor, *_) -> torch.Tensor:
    """The probability of the best token minus that of the second best."""
    first, second = logits.softmax(-1).topk(2, dim=-1).values.unbind(-1)
    return first - second


def negative_entropy(logits: torch.Tensor, *_) -> torch.Tensor:
    """`sum_v p_v log p_v`: 0 for a certain prediction, and lower the flatter the distribution is."""
    log_probs = logits.log_softmax(-1)
    # A token that was ruled out has log-probability -inf and adds nothing.
    return (log_probs.exp() * log_probs.clamp(min=LOWEST_CONFIDENCE)).sum(-1)


def random_number(logits: torch.Tensor, proposal: torch.LongTensor, uniform: torch.Tensor) -> torch.Tensor:
    """A random number, whatever the prediction is."""
    return uniform


def logit_margin(logits: torch.Tensor, proposal: torch.LongTensor) -> torch.Tensor:
    """The logit of the proposed token minus that of the best other one."""
    proposal = proposal[:, None]
    others = logits.scatter(-1, proposal, -torch.inf).amax(-1)
    return logits.gather(-1, proposal).squeeze(-1) - others


# By the value of `remasking`.
CONFIDENCES = {
    "low_confidence": probability,
    "margin": margin,
    "entropy": negative_entropy,
    "random": random_number,
}


# Rules: (confidence, mask, value) -> commit


def commit_quota(confidence: torch.Tensor, mask: torch.BoolTensor, quota: torch.LongTensor) -> torch.BoolTensor:
    """Commits the `quota` most confident masks of each row; of equal ones the leftmost."""
    _, rank = sort_by_confidence(confidence, mask)
    return mask & (rank < quota[:, None])


def commit_threshold(confidence: torch.Tensor, mask: torch.BoolTensor, threshold: float) -> torch.BoolTensor:
    """Commits every mask whose confidence is at least `threshold` (https://huggingface.co/papers/2505.22618)."""
    return mask & (confidence >= threshold)


def commit_leap(
    confidence: torch.Tensor, mask: torch.BoolTensor, threshold: float, leap_threshold: float, radius: int
) -> torch.BoolTensor:
    """
    Commits the anchors, which are the masks whose confidence is at least `threshold`, and every mask at most `radius`
    positions away from one whose confidence is at least `leap_threshold` (LocalLeap,
    https://huggingface.co/papers/2510.07081).
    """
    anchors = commit_threshold(confidence, mask, threshold)
    radius = min(radius, mask.shape[-1])
    is_near = nn.functional.max_pool1d(anchors.float(), 2 * radius + 1, stride=1, padding=radius) > 0
    return anchors | (is_near & commit_threshold(confidence, mask, leap_threshold))


def commit_factor(confidence: torch.Tensor, mask: torch.BoolTensor, factor: float) -> torch.BoolTensor:
    """
    Commits the `n` most confident masks for the largest `n` up to which `(r + 1) (1 - c_r) <= factor` holds at every
    rank `r` from 2 on.

    With factor 1 the product of the marginals and the joint distribution have the same mode (theorem 1 of
    https://huggingface.co/papers/2505.22618).
    """
    ordered, rank = sort_by_confidence(confidence, mask)
    ranks = torch.arange(1, ordered.shape[-1] + 1, device=ordered.device)
    holds = ordered >= 1 - factor / (ranks + 1)
    num_committed = holds[:, 1:].cumprod(-1).sum(-1) + 1
    return mask & (rank < num_committed[:, None])


def commit_entropy_bound(confidence: torch.Tensor, mask: torch.BoolTensor, bound: float) -> torch.BoolTensor:
    """
    Commits the masks of lowest entropy as long as what they can depend on each other is bounded: the largest `n` with
    `sum_i H_i - max_i H_i <= bound` (https://huggingface.co/papers/2505.24857). `confidence` is the negative entropy.
    """
    ordered, rank = sort_by_confidence(confidence, mask)
    entropy = -ordered.to(widest_float(ordered.device))
    # In ascending order the largest entropy so far is the entropy itself.
    holds = ((entropy.cumsum(-1) - entropy) <= bound) & (ordered > LOWEST_CONFIDENCE)
    num_committed = holds.cumprod(-1).sum(-1)
    return mask & (rank < num_committed[:, None])


def commit_rest(margin: torch.FloatTensor, mask: torch.BoolTensor, exit_margin: float) -> torch.BoolTensor:
    """
    Commits all masks of the rows in which the mean of their logit margins is at least `exit_margin`, and none of the others
    (after SchED, https://huggingface.co/papers/2512.02892). A mask for which a constraint leaves one token has an infinite margin,
    and says nothing about the others.
    """
    decides = mask & (margin < torch.inf)
    mean = margin.where(decides, 0.0).sum(-1) / decides.sum(-1)
    return mask & ((mean >= exit_margin) | ~decides.any(-1))[:, None]


def sort_by_confidence(confidence: torch.Tensor, mask: torch.BoolTensor) -> tuple[torch.Tensor, torch.LongTensor]:
    """The confidences of each row in descending order, masks first, and the rank of each position in that order."""
    candidates = torch.where(mask, confidence.clamp(min=LOWEST_CONFIDENCE), -torch.inf)
    ordered, order = candidates.sort(dim=-1, descending=True, stable=True)
    return ordered, order.argsort(dim=-1)


def larger_set(first: torch.BoolTensor, second: torch.BoolTensor) -> torch.BoolTensor:
    """The larger of two sets of positions in each row; `first` where they are equally large."""
    return torch.where((first.sum(-1) >= second.sum(-1))[:, None], first, second)


class CommitRule(NamedTuple):
    """
    A commit rule: the function `(confidence, mask, *values) -> commit`, which of `CONFIDENCES` it reads, and the names of
    the options whose values it takes.
    """

    commit: Callable[..., torch.BoolTensor]
    options: tuple[str, ...]
    confidence: str = "low_confidence"


# By the option that sets it. A rule that refines another one stands before it, and takes its place when both are set.
PARALLEL_RULES = {
    "leap_threshold": CommitRule(commit_leap, ("confidence_threshold", "leap_threshold", "leap_radius")),
    "confidence_threshold": CommitRule(commit_threshold, ("confidence_threshold",)),
    "confidence_factor": CommitRule(commit_factor, ("confidence_factor",)),
    "entropy_bound": CommitRule(commit_entropy_bound, ("entropy_bound",), confidence="entropy"),
}


def parallel_rule(config: LLaDAGenerationConfig) -> CommitRule | None:
    """The parallel rule that is set."""
    return next((rule for option, rule in PARALLEL_RULES.items() if getattr(config, option) is not None), None)


# A denoising step: its confidences, and what it commits


class Confidences(NamedTuple):
    """
    The confidences of a step: the probabilities, the confidences by which `remasking` ranks, those that the parallel rule
    reads, if one is set, and with `exit_margin` by how much the logit of a proposal is above the next best one. They are of
    shape `(num_predicted,)` where they are computed, and `(batch, block_length)` once they are in their places.
    """

    probability: torch.FloatTensor
    ranking: torch.FloatTensor
    parallel: torch.FloatTensor | None = None
    logit_margin: torch.FloatTensor | None = None

    def in_places(self, places: torch.LongTensor, shape: torch.Size) -> "Confidences":
        """The confidences in their places in the block; -inf elsewhere."""
        return Confidences(
            *(None if values is None else scatter_to_block(values, places, shape, -torch.inf) for values in self)
        )


def confidences_of(
    scores: torch.FloatTensor,
    proposal: torch.LongTensor,
    config: LLaDAGenerationConfig,
    deferred: torch.LongTensor | None,
    uniform: torch.Tensor | None,
) -> Confidences:
    """
    The confidences in the proposals that the options ask for, of the scores `(num_predicted, vocab_size)`. Tokens that are
    `deferred` are committed last; random remasking, which takes the `uniform` numbers, ignores that.
    """
    rule = parallel_rule(config)
    names = ["low_confidence", config.remasking, *([] if rule is None else [rule.confidence])]
    values = {name: CONFIDENCES[name](scores, proposal, uniform) for name in dict.fromkeys(names)}
    if config.exit_margin is not None:
        values["logit_margin"] = logit_margin(scores, proposal)
    if deferred is not None:
        # Not `isin`, which waits for the device when there are many tokens.
        is_deferred = (proposal[:, None] == deferred).any(-1)
        for name in values:
            if name != "random":
                values[name] = values[name].masked_fill(is_deferred, LOWEST_CONFIDENCE)
    # Not `_replace`, which torch 2.11 cannot compile.
    parallel = None if rule is None else values[rule.confidence].float()
    ranking = values[config.remasking].float()
    return Confidences(values["low_confidence"].float(), ranking, parallel, values.get("logit_margin"))


def choose_commits(
    confidences: Confidences,
    mask: torch.BoolTensor,
    budget: torch.LongTensor,
    config: LLaDAGenerationConfig,
    strategy: Callable | None,
) -> torch.BoolTensor:
    """
    Which proposals are committed, `(batch, block_length)`: the set of the parallel rule or the quota of the schedule,
    whichever is larger, or all of them if `exit_margin` says so. A callable of the user replaces the quota.
    """
    commit = commit_quota(confidences.ranking, mask, budget)
    if strategy is not None:
        commit = call_strategy(strategy, confidences.probability, mask, budget, fallback=commit)
    rule = parallel_rule(config)
    if rule is not None:
        values = [getattr(config, option) for option in rule.options]
        commit = larger_set(rule.commit(confidences.parallel, mask, *values), commit)
    if config.exit_margin is not None:
        commit = commit | commit_rest(confidences.logit_margin, mask, config.exit_margin)
    return commit


def call_strategy(
    strategy: Callable,
    confidence: torch.FloatTensor,
    mask: torch.BoolTensor,
    budget: torch.LongTensor,
    fallback: torch.BoolTensor,
) -> torch.BoolTensor:
    """The commits of a callable of the user. Rows in which it commits nothing take `fallback`, or they would never end."""
    commit = strategy(confidence.masked_fill(~mask, -torch.inf), mask, budget)  # steps that edit know more of them
    is_tensor = isinstance(commit, torch.Tensor)
    if not is_tensor or commit.shape != mask.shape or commit.dtype != torch.bool:
        got = f"{commit.dtype} of shape {tuple(commit.shape)}" if is_tensor else type(commit).__name__
        raise ValueError(
            f"`remasking` must return a boolean tensor of shape {tuple(mask.shape)}, like the mask that it gets, but got "
            f"{got}."
        )
    commit = commit & mask
    return torch.where(commit.any(-1, keepdim=True), commit, fallback)


# Schedule


def split_steps(num_masks: torch.LongTensor, steps: int | None) -> torch.LongTensor:
    """
    Splits the denoising steps of a call, `None` for one a mask, over its blocks: `(batch, num_blocks)`.

    In proportion to the masks of each block, at least one step for each block with masks and never more steps than
    masks; the remainder goes to the earliest blocks. The split adds up to `steps`, unless there are more blocks than
    steps or fewer masks.
    """
    if steps is None:
        return num_masks
    total = num_masks.sum(-1, keepdim=True)
    steps = total.clamp(max=steps)
    split = (steps * num_masks // total.clamp(min=1)).clamp(min=1).minimum(num_masks)
    remainder = steps - split.sum(-1, keepdim=True)
    has_room = split < num_masks
    split += has_room & (has_room.cumsum(-1) <= remainder)
    # Where small blocks got their one step at the cost of the others, the latest blocks give it back.
    spare = (split - 1).clamp(min=0).flip(-1)
    given_back = spare.cumsum(-1).minimum(-remainder.clamp(max=0))
    return split - given_back.diff(dim=-1, prepend=torch.zeros_like(total)).flip(-1)


def steps_until_complete(num_masks: torch.LongTensor, block_length: int, steps: int) -> torch.LongTensor:
    """How many of the `steps` of a whole block it takes until the masks of a block are committed."""
    budget, num_larger = divmod(block_length, steps)
    in_larger = num_masks.clamp(max=num_larger * (budget + 1))
    return -(-in_larger // (budget + 1)) - (in_larger - num_masks) // budget


def step_budget(
    num_masks: torch.LongTensor, num_steps: torch.LongTensor, step: int | torch.LongTensor, min_commits: int = 1
) -> torch.LongTensor:
    """
    How many masks each row commits in a step of its block, at least `min_commits`: of `n` masks in `s` steps the first
    `n mod s` steps, counted from 0, commit `ceil(n / s)` and the others `floor(n / s)`.
    """
    num_steps = num_steps.clamp(min=1)
    return (num_masks // num_steps + (step < num_masks % num_steps)).clamp(min=min_commits)
