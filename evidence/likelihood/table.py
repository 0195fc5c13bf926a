# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Short texts under all of their masks, which gives the exact mean and variance of an estimate of their likelihood.

A text of `L` scored tokens has `2^L` masks. A mask is a number: bit `i` says whether scored token `i` is masked.
"""

import math
from dataclasses import dataclass
from itertools import permutations

import torch

from modeling_llada.models.likelihood_llada import LLaDALikelihoodMixin


@dataclass
class MaskTable(LLaDALikelihoodMixin):
    """
    Texts of one length under every mask of the scored positions, which are the same in all texts. The method
    `log_likelihood` is the one of the model, but it reads the table instead of running the network.

    Example:

    ```python
    >>> table = MaskTable.of(model, texts, positions=[6, 7, 8, 9, 10, 11])
    >>> table.log_likelihood(table.texts, table.labels, num_samples=128).log_likelihood - table.bound
    ```
    """

    texts: torch.LongTensor  # (texts, length)
    positions: torch.LongTensor  # (scored,)
    log_probs: torch.DoubleTensor  # (texts, 2^scored, scored), of the tokens that a mask hides, and 0 for the others
    config: object
    device: torch.device = torch.device("cpu")

    @classmethod
    @torch.no_grad()
    def of(cls, model, texts: torch.LongTensor, positions: list[int], batch_size: int = 256) -> "MaskTable":
        """Runs the model under every mask of every text."""
        scored = len(positions)
        hidden = torch.zeros(2**scored, texts.shape[1], dtype=torch.bool)
        hidden[:, positions] = all_masks(scored)
        log_probs = torch.zeros(len(texts), 2**scored, scored, dtype=torch.double)
        for text, row in zip(texts, log_probs, strict=True):
            for masks in torch.arange(1, 2**scored).split(batch_size):
                found = hidden_log_probs(model, text.expand(len(masks), -1), hidden[masks])
                row[masks] = found[:, positions]
        return cls(texts, torch.tensor(positions), log_probs, model.config)

    @property
    def labels(self) -> torch.LongTensor:
        """The texts, with -100 at the given tokens."""
        labels = torch.full_like(self.texts, -100)
        labels[:, self.positions] = self.texts[:, self.positions]
        return labels

    @property
    def scored(self) -> int:
        return len(self.positions)

    @property
    def sums(self) -> torch.DoubleTensor:
        """The sum over the hidden tokens, `(texts, 2^scored)`."""
        return self.log_probs.sum(-1)

    @property
    def counts(self) -> torch.LongTensor:
        """How many tokens each mask hides, `(2^scored,)`."""
        return all_masks(self.scored).sum(-1)

    @property
    def bound(self) -> torch.DoubleTensor:
        """The expectation of eq. 6, `(texts,)`: the mean over `l`, and over all sets of `l` tokens."""
        return self.by_count() @ (1.0 / torch.arange(1, self.scored + 1, dtype=torch.double))

    def by_count(self, power: int = 1) -> torch.DoubleTensor:
        """The mean of `sums ** power` over the masks that hide 1, 2 ... tokens, `(texts, scored)`."""
        sums, counts = self.sums**power, self.counts
        return torch.stack([sums[:, counts == count].mean(-1) for count in range(1, self.scored + 1)], dim=-1)

    @property
    def exact(self) -> torch.DoubleTensor:
        """The log-likelihood of the sampler that fills in one token after another in a random order, `(texts,)`. It is the
        logarithm of the mean over all orders of the probability of an order."""
        paths = torch.full_like(self.sums, -torch.inf)  # the sum over the orders in which a mask can be filled
        paths[:, 0] = 0.0
        for mask in range(1, 2**self.scored):
            tokens = [token for token in range(self.scored) if mask >> token & 1]
            before = [mask ^ 1 << token for token in tokens]
            paths[:, mask] = (self.log_probs[:, mask, tokens] + paths[:, before]).logsumexp(-1)
        return paths[:, -1] - math.lgamma(self.scored + 1)

    @property
    def by_order(self) -> torch.DoubleTensor:
        """The autoregressive log-likelihood in each order of the tokens, `(texts, orders)`. Its mean is eq. 15."""
        rows = []
        for order in permutations(range(self.scored)):
            mask, total = 2**self.scored - 1, torch.zeros(len(self.texts), dtype=torch.double)
            for token in order:
                total += self.log_probs[:, mask, token]
                mask ^= 1 << token
            rows.append(total)
        return torch.stack(rows, dim=-1)

    def token_log_probs(self, input_ids, mask, *unused):
        row = (input_ids[:, None] == self.texts).all(-1).long().argmax(-1)
        code = (mask[:, self.positions] * 2 ** torch.arange(self.scored)).sum(-1)
        log_probs = torch.zeros(mask.shape)
        log_probs[:, self.positions] = self.log_probs[row, code].float()
        return log_probs


def all_masks(scored: int) -> torch.BoolTensor:
    """Every mask of some tokens, `(2^scored, scored)`, by its number."""
    return (torch.arange(2**scored)[:, None] >> torch.arange(scored) & 1).bool()


@torch.no_grad()
def hidden_log_probs(model, texts: torch.LongTensor, hidden: torch.BoolTensor) -> torch.DoubleTensor:
    """The log-probabilities of the hidden tokens of some texts, and 0 for the others, `(rows, length)`."""
    texts, hidden = texts.to(model.device), hidden.to(model.device)
    noisy = texts.masked_fill(hidden, model.config.mask_token_id)
    logits = model(noisy, logits_to_keep=hidden).logits
    log_probs = logits.log_softmax(-1).gather(-1, texts[hidden][:, None]).squeeze(-1).double()
    return log_probs.new_zeros(hidden.shape).masked_scatter(hidden, log_probs).cpu()


def moments(scored: int, rate_eps: float, weight_power: int) -> torch.DoubleTensor:
    """
    The integral over the rates of eq. 5 of the probability of a mask times its weight to a power, by count, `(scored,)`.

    A mask of `c` of `L` tokens has the probability `t^c (1 - t)^(L - c)` and the weight `1 / t`, and the rate `t` is uniform
    in `(rate_eps, 1]`. With a power of 2 one token leaves `1 / t` under the integral over `t`. So the variance is infinite
    without a smallest rate.
    """
    counts = torch.arange(1, scored + 1, dtype=torch.double)
    log_rates = torch.linspace(math.log(rate_eps), 0.0, 100_001, dtype=torch.double)  # dt = t d(log t)
    rates = log_rates.exp()[:, None]
    inside = rates ** (counts + 1 - weight_power) * (1 - rates) ** (scored - counts)
    sets = torch.tensor([math.comb(scored, count) for count in range(1, scored + 1)], dtype=torch.double)
    return sets * torch.trapezoid(inside, log_rates, dim=0) / (1 - rate_eps)


def variances(
    means: torch.DoubleTensor, squares: torch.DoubleTensor, rate_eps: float
) -> tuple[torch.DoubleTensor, torch.DoubleTensor]:
    """
    The variance of one sample of eq. 5 and of eq. 6, each `(texts,)`, from the means by count of the sums, and of their squares,
    over all masks or over some masks of each count. `rate_eps` is the smallest rate of eq. 5.
    """
    scored = means.shape[-1]
    inverse = 1.0 / torch.arange(1, scored + 1, dtype=torch.double)
    return (
        squares @ moments(scored, rate_eps, 2) - (means @ moments(scored, rate_eps, 1)) ** 2,
        squares @ (scored * inverse**2) - (means @ inverse) ** 2,
    )
