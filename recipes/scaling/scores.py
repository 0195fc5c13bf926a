# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The scores of a trained model of either kind.

- held-out windows: nats per token, the bound of eq. 6 for LLaDA and the exact value for the twin;
- held-out couplets: nats per character of the second line given the first, and how often the true second line is the most
  likely one among those of other couplets, as in the multiple-choice tasks of the paper;
- known couplets (famous poems, which are in the training rows): nats per character, and the lines and characters that greedy
  decoding gets right from the first line.

A model has to predict all tokens after the comma, including the mark and the EOS at the end, because neither kind is told the
length of the line.
"""

from collections.abc import Iterable, Iterator

import torch
from transformers import PreTrainedModel

from modeling_llada.models.diffusion_llada import random_ranks
from modeling_llada.training import Corpus
from modeling_llada.training.pretraining.held_out_loss import fixed_noise, row_bounds
from modeling_llada.training.pretraining.twin import next_token_losses, shift_right
from recipes.poems.evaluate import held_out_windows
from recipes.scaling.corpora import Couplets, find_couplets, with_distractors


TOKENS_PER_PASS = 32_768
Noise = Iterable[tuple[torch.BoolTensor, torch.Tensor]]


def bound(model: PreTrainedModel, rows: torch.LongTensor, noise: Noise) -> torch.Tensor:
    """The bound on the negative log-likelihood of each row in nats (eq. 6), `(num_rows,)` in float64 on the CPU."""
    return row_bounds(model, rows.to(model.device), noise, _rows_per_pass(rows))


def exact(model: PreTrainedModel, rows: torch.LongTensor, asked: torch.BoolTensor) -> torch.Tensor:
    """The negative log-likelihood of the asked tokens of each row given those before, in nats, `(num_rows,)`."""
    losses = next_token_losses(model, rows.to(model.device), _rows_per_pass(rows)).cpu()
    return (losses * asked).sum(-1).double()


def _rows_per_pass(rows: torch.LongTensor) -> int:
    return max(1, TOKENS_PER_PASS // rows.shape[1])


def couplet_noise(asked: torch.BoolTensor, num_samples: int, seed: int = 0) -> Iterator:
    """Yields masks of the asked tokens and their weights. `l` is spread evenly over the samples of each row."""
    generator = torch.Generator().manual_seed(seed)
    lengths = asked.sum(-1)
    for sample in range(num_samples):
        place = (sample + torch.rand(1, generator=generator)) / num_samples
        counts = (place * lengths).long().minimum(lengths - 1) + 1
        yield random_ranks(asked, generator) < counts[:, None], lengths / counts


def nats(model: PreTrainedModel, kind: str, couplets: Couplets, num_samples: int) -> torch.Tensor:
    """Nats of the tokens after the comma of each couplet. For LLaDA the noise is the same for all candidates."""
    if kind == "twin":
        return exact(model, couplets.rows, couplets.asked)
    return bound(model, couplets.rows, couplet_noise(couplets.asked, num_samples))


@torch.no_grad()
def complete(model: PreTrainedModel, kind: str, couplets: Couplets) -> torch.LongTensor:
    """Completes the first lines greedily, one token in a forward pass, `(num_couplets, 16)`."""
    rows, asked = couplets.rows.to(model.device), couplets.asked.to(model.device)
    if kind == "llada":
        masked = rows.masked_fill(asked, model.config.mask_token_id)
        size = TOKENS_PER_PASS // rows.shape[1]
        parts = [model.generate(part, max_new_tokens=0, disable_compile=True) for part in masked.split(size)]
        return torch.cat(parts).cpu()
    rows = rows.masked_fill(asked, model.config.eos_token_id)
    for place in range(int(couplets.characters.min()) + 1, rows.shape[1]):
        logits = model(input_ids=shift_right(rows, model.config.bos_token_id)).logits[:, place]
        rows[:, place] = torch.where(asked[:, place], logits.argmax(-1), rows[:, place])
    return rows.cpu()


def score(model: PreTrainedModel, kind: str, corpus: Corpus, settings: dict, window: int) -> dict:
    """
    All scores of a model, see the docstring of this file, on a corpus with held-out poems in `test` and known poems in `famous`.
    `window_nats` are the nats per token of each held-out window.
    """
    windows = held_out_windows(corpus, window)
    if kind == "twin":
        window_nats = exact(model, windows, torch.ones_like(windows, dtype=torch.bool)) / window
    else:
        noise = (fixed_noise(len(windows), window, sample, seed=0) for sample in range(settings["window_samples"]))
        window_nats = bound(model, windows, noise) / window
    held_out = find_couplets(corpus, "test", settings["couplets"])
    known = find_couplets(corpus, "famous", settings["couplets"])
    candidates = with_distractors(held_out, settings["candidates"])
    costs = torch.stack([nats(model, kind, candidate, settings["couplet_samples"]) for candidate in candidates])
    answers = complete(model, kind, known)
    right, lines = answers == known.rows, known.second_line
    return {
        "held_out_nats": window_nats.mean().item(),
        "window_nats": [round(value, 4) for value in window_nats.tolist()],
        "held_out_couplets": {
            **_mean(costs[0] / held_out.characters),
            "choices": len(held_out),
            "candidates": settings["candidates"],
            "chosen": int((costs.argmin(0) == 0).sum()),
        },
        "known_couplets": {
            **_mean(nats(model, kind, known, settings["couplet_samples"]) / known.characters),
            "lines": len(known),
            "lines_right": int((right | ~lines).all(-1).sum()),
            "characters": int(lines.sum()),
            "characters_right": int((right & lines).sum()),
        },
    }


def _mean(values: torch.Tensor) -> dict:
    return {
        "nats_per_character": values.mean().item(),
        "standard_error": (values.std() / len(values) ** 0.5).item(),
    }
