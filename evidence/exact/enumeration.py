# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What a sampler produces, without sampling: the probability of each text, over all proposals of all denoising steps.

A step turns each canvas into the canvases that it can become. All canvases of a block with `m` masks take their step before any
with `m - 1`, so each canvas takes it once, with the whole probability that led to it. The confidences and the commit rules are
the functions that `generate` uses; the loop around them is this one.
"""

from dataclasses import dataclass
from itertools import combinations

import torch

from evidence.exact.model import HiddenMarkovModel
from modeling_llada import LLaDAGenerationConfig
from modeling_llada.models.remasking_llada import choose_commits, confidences_of, split_steps, step_budget
from modeling_llada.models.sampling_llada import narrow, sampling_warpers


CHUNK = 100_000  # canvases with proposals that are judged together


@dataclass
class Samples:
    """The probability of each text of [`HiddenMarkovModel.texts`], and the mean number of forward passes."""

    probability: torch.DoubleTensor
    forward_passes: float


def enumerate_samples(
    model: HiddenMarkovModel, prompt: list[int], length: int, block_length: int | None = None, **options
) -> Samples:
    """
    The distribution of the `length` tokens that `generate` writes after a prompt without masks.

    The options are those of `generate`: a temperature and its limits, a remasking, a parallel rule, `steps`. A parallel rule and a
    number of `steps` exclude each other here, because the masks of a canvas then do not tell which step it is in.
    """
    config = LLaDAGenerationConfig(**{"temperature": 0.0, "remasking": "low_confidence"} | options)
    block_length = block_length or length
    sizes = [min(block_length, length - start) for start in range(0, length, block_length)]
    steps = split_steps(torch.tensor([sizes]), config.steps)[0].tolist()
    prefix, canvases = torch.tensor(prompt), all_canvases(model, length)
    probability = torch.zeros(len(canvases), dtype=torch.float64)
    probability[-1] = 1.0  # masks alone
    passes, stop = 0.0, 0
    for size, num_steps in zip(sizes, steps, strict=True):
        span = slice(stop, stop + size)
        num_masks, quotas = (canvases[:, span] == model.mask_token_id).sum(-1), quotas_of(size, num_steps)
        for left in range(size, 0, -1):
            chosen = ((num_masks == left) & (probability > 0)).nonzero()[:, 0]
            if not len(chosen):
                continue
            passes += probability[chosen].sum().item()
            for part in chosen.split(max(1, CHUNK // model.num_tokens**left)):
                step(model, prefix, canvases[part], probability, part, span, quotas.get(left, 1), config)
            probability[chosen] = 0.0
        stop += size
    return Samples(probability[(canvases != model.mask_token_id).all(-1)], passes)


def all_canvases(model: HiddenMarkovModel, length: int) -> torch.LongTensor:
    """All canvases of a length, masks as a further token, in the order of their numbers."""
    return torch.cartesian_prod(*[torch.arange(model.num_tokens + 1)] * length).view(-1, length)


def quotas_of(size: int, num_steps: int) -> dict[int, int]:
    """How many masks a step commits, by how many are left."""
    quotas, left = {}, size
    for number in range(num_steps):
        quotas[left] = int(step_budget(torch.tensor([size]), torch.tensor([num_steps]), number))
        left -= quotas[left]
    return quotas


def step(
    model: HiddenMarkovModel,
    prefix: torch.LongTensor,
    tokens: torch.LongTensor,
    probability: torch.DoubleTensor,
    numbers: torch.LongTensor,
    span: slice,
    quota: int,
    config: LLaDAGenerationConfig,
) -> None:
    """Adds what some canvases, with equally many masks in the active block, hand on to those that they become."""
    mask = tokens[:, span] == model.mask_token_id
    left = int(mask[0].sum())
    logits = model.predict(torch.cat([prefix.expand(len(tokens), -1), tokens], 1))[:, len(prefix) :][:, span]
    logits = logits[mask].view(len(tokens), left, -1)
    proposal, chance = proposals_of(model, logits, config)
    num = proposal.shape[1]  # of each canvas
    masks = mask.repeat_interleave(num, dim=0)
    places = masks.flatten().nonzero()[:, 0]
    scores = logits[:, None].expand(-1, num, -1, -1).flatten(0, 2)
    confidences = confidences_of(scores, proposal.flatten(), config, None, torch.zeros(len(scores)))
    written = tokens.repeat_interleave(num, dim=0)
    proposed = written.clone()
    proposed[:, span] = proposed[:, span].masked_scatter(masks, proposal.flatten())
    handed_on = (probability[numbers][:, None] * chance).flatten()
    budget, worth = (
        torch.full((len(masks),), quota),
        (model.num_tokens + 1) ** torch.arange(tokens.shape[1] - 1, -1, -1),
    )
    for ranking, share in rankings_of(left, quota, config):
        if ranking is not None:
            confidences = confidences._replace(ranking=ranking.repeat(len(masks)))
        commit = torch.zeros_like(written, dtype=torch.bool)
        commit[:, span] = choose_commits(confidences.in_places(places, masks.shape), masks, budget, config, None)
        become = (torch.where(commit, proposed, written) * worth).sum(-1)
        probability.index_add_(0, become, share * handed_on)


def proposals_of(
    model: HiddenMarkovModel, logits: torch.FloatTensor, config: LLaDAGenerationConfig
) -> tuple[torch.LongTensor, torch.DoubleTensor]:
    """All proposals for the masks of each canvas, `(batch, num_proposals, num_masks)`, and their probabilities."""
    temperature = config.sampling_temperature
    if temperature == 0:
        return logits.argmax(-1)[:, None], torch.ones(len(logits), 1, dtype=torch.float64)
    kept = narrow(logits.flatten(0, 1), temperature, sampling_warpers(config)).view_as(logits).double()
    log_probs = (kept / temperature).log_softmax(-1)
    texts = model.texts(logits.shape[1])
    chosen = log_probs[:, torch.arange(logits.shape[1]), texts]  # (batch, num_proposals, num_masks)
    return texts.expand(len(logits), -1, -1), chosen.sum(-1).exp()


def rankings_of(left: int, quota: int, config: LLaDAGenerationConfig) -> list[tuple[torch.Tensor | None, float]]:
    """The random numbers of the masks that lead to different commits, with their probabilities; `None` if there are none."""
    if config.remasking != "random":
        return [(None, 1.0)]
    subsets = list(combinations(range(left), min(quota, left)))
    one_hot = torch.zeros(len(subsets), left).scatter_(1, torch.tensor(subsets), 1.0)
    return [(ranking, 1 / len(subsets)) for ranking in one_hot]
