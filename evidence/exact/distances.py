# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""How far what a sampler produces is from the true distribution."""

import torch

from modeling_llada.evaluation.intervals import wilson_interval


def distances(truth: torch.DoubleTensor, produced: torch.DoubleTensor) -> dict[str, float | None]:
    """
    The distances between two distributions over the same texts, both `(num_texts,)`: `total_variation`, `missed`, which is
    KL(truth | produced) and `None` if a text is never produced, `invented`, which is KL(produced | truth), and the `entropy` of what is
    produced. In nats.
    """
    return {
        "total_variation": ((truth - produced).abs().sum() / 2).item(),
        "missed": divergence(truth, produced) if ((produced > 0) | (truth == 0)).all() else None,
        "invented": divergence(produced, truth),
        "entropy": entropy(produced),
    }


def divergence(one: torch.DoubleTensor, other: torch.DoubleTensor) -> float:
    """The Kullback-Leibler divergence of a distribution from another that has all of its texts."""
    is_some = one > 0
    return (one[is_some] * (one[is_some] / other[is_some]).log()).sum().item()


def entropy(probability: torch.DoubleTensor) -> float:
    return torch.special.entr(probability).sum().item()


def share_of_excess(truth: torch.DoubleTensor, numbers: torch.LongTensor) -> tuple[torch.BoolTensor, float]:
    """
    From the numbers of sampled texts, `(num_samples,)`: which samples of their second half are texts that the first half has too
    often, and how often the truth has these.

    The two shares differ by the total variation if the first half finds all of these texts, else by less. Unlike the
    distance of the counts, that difference is 0 on average for a sampler that is right.
    """
    first, second = numbers.chunk(2)
    counts = torch.bincount(first, minlength=len(truth))
    too_often = counts / len(first) > truth
    return too_often[second], truth[too_often].sum().item()


def sampled_variation(truth: torch.DoubleTensor, numbers: torch.LongTensor) -> dict[str, float]:
    """An estimate of the total variation from samples, which is not too large, with its interval."""
    inside, expected = share_of_excess(truth, numbers)
    low, high = wilson_interval(int(inside.sum()), len(inside))
    return {"mean": inside.double().mean().item() - expected, "low": low - expected, "high": high - expected}
