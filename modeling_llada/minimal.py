# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""LLaDA in plain torch: algorithms 1, 2, 4 and 5 of "Large Language Diffusion Models" (arXiv 2502.09992).

This file is for reading. It defines the whole method; the rest of the package makes it fast and general, and
tests/test_minimal.py holds both to the same numbers. The names are those of the paper:

    x_0   clean sequences, (B, L)      p_0   prompts         r_0   predicted responses
    x_t   the same with masks          t     mask rates, (B,)      M     id of the mask token

A model is a mask predictor: `model(input_ids=x_t).logits` are the logits of p(x_0 | x_t), (B, L, vocabulary). It sees the
whole sequence, and position i predicts token i: nothing is shifted. One training step (algorithm 1) is

    t = 1 - torch.rand(len(x_0))  # uniform in (0, 1]
    x_t = noise(x_0, t, M)
    loss(model, x_0, x_t, t, M).backward()
"""

import torch
from torch.nn import functional as F


def noise(x_0, t, M, response=None, generator=None):
    """
    The forward process q(x_t | x_0), eq. 7 and 8: each token becomes M with probability t, independently of the others.

    In fine-tuning (algorithm 2), `response` is true at the tokens of the response; the prompt stays as it is.
    """
    masked = torch.rand(x_0.shape, generator=generator, device=x_0.device) < t[:, None]
    if response is not None:
        masked = masked & response
    return torch.where(masked, M, x_0)


def loss(model, x_0, x_t, t, M, response=None):
    """
    The cross-entropy of the masked tokens, each weighted with 1/t, per token of x_0: eq. 3.

    With `response` it is per token of the response: eq. 5. Its expectation over t and x_t is an upper bound on the negative
    log-likelihood of the data, in nats per token.
    """
    logits = model(input_ids=x_t).logits.float()
    cross_entropy = F.cross_entropy(logits.transpose(1, 2), x_0, reduction="none")
    weights = (x_t == M) / t[:, None]
    return (weights * cross_entropy).sum() / (x_0.numel() if response is None else response.sum())


@torch.no_grad()
def sample(model, p_0, M, length, steps=None, block_length=None, cfg_scale=0.0, remasking="low_confidence"):
    """
    The reverse process: completes the prompts p_0, (B, P), with `length` tokens, and returns (B, P + length).

    It starts from masks alone (t = 1). Each step predicts all masks of the active block and keeps the predictions that it is
    most confident of (algorithm 5), or random ones (algorithm 4); the others are masked again. How many it keeps, the quota,
    follows from the number of steps. Blocks are filled from left to right; without `block_length` there is only one.
    """
    steps, block_length = steps or length, block_length or length
    x_t = F.pad(p_0, (0, length), value=M)
    for start in range(p_0.shape[1], x_t.shape[1], block_length):
        block = x_t[:, start : start + block_length]  # a view: what is written here is written to x_t
        n = block.shape[1]
        for quota in quotas(n, num_steps=max(1, steps * n // length)):
            logits = guided_logits(model, x_t, p_0.shape[1], M, cfg_scale)[:, start : start + n]
            logits[..., M] = -torch.inf  # a prediction is never the mask itself
            r_0 = logits.argmax(-1)
            confidence = logits.softmax(-1).gather(-1, r_0[..., None]).squeeze(-1)
            if remasking == "random":
                confidence = torch.rand_like(confidence)
            confidence = confidence.masked_fill(block != M, -torch.inf)  # tokens that are written stay
            kept = confidence.argsort(dim=-1, descending=True, stable=True)[:, :quota]
            block.scatter_(1, kept, r_0.gather(1, kept))
    return x_t


def quotas(n, num_steps):
    """How many of n tokens each step writes: as equal as possible, the larger numbers first."""
    num_steps = min(num_steps, n)
    return [n // num_steps + (step < n % num_steps) for step in range(num_steps)]


def guided_logits(model, x_t, prompt_length, M, w):
    """Classifier-free guidance, eq. 16: (1 + w) conditional - w unconditional, where the latter sees no prompt."""
    conditional = model(input_ids=x_t).logits.float()
    if w == 0:
        return conditional
    without_prompt = x_t.clone()
    without_prompt[:, :prompt_length] = M
    unconditional = model(input_ids=without_prompt).logits.float()
    return unconditional + (1 + w) * (conditional - unconditional)
