# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What is measured of a model: nats per token of held-out text, and how good its own text is.

- **Held-out text.** For a mask predictor the bound of eq. 6 on fixed noise, for an autoregressive model the exact value, on the
  same windows. The bound is above the negative log-likelihood.
- **Its own text.** Held-out beginnings are completed, and the autoregressive original says how likely each completion is: nats per
  token given the beginning. Text that repeats itself is likely, so the entropy of the tokens of a completion (their frequencies
  in it, in nats, averaged over the completions) belongs to each such number. Held-out text itself, and completions by the
  original, are measured in the same way.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch.nn import functional as F
from transformers import LlamaForCausalLM, PreTrainedModel

from modeling_llada.seeds import indexed_generator
from modeling_llada.training.pretraining.held_out_loss import held_out_bounds
from modeling_llada.training.pretraining.twin import next_token_losses
from reporting.results import rounded
from reporting.statistics import bootstrap


@dataclasses.dataclass
class Measure:
    """The part `measure` of the YAML file."""

    steps: list[int]  # training steps after which a model is measured
    windows: int
    noise_samples: int
    prompts: int  # held-out beginnings
    prompt_tokens: int
    new_tokens: int
    batch_size: int
    decoding: dict  # options of `generate` by name; the first at each of the steps, the others at the last
    sampling: dict  # the same of the autoregressive models
    texts: int = 3  # completions that are kept as text
    seed: int = 0


class Judge:
    """
    Measures models.

    Args:
        measure (`Measure`): what is measured.
        original ([`LlamaForCausalLM`]): the model that says how likely a completion is.
        windows (`torch.LongTensor` of shape `(num_windows, width)`): held-out windows, on the device of the models.
        tokenizer: writes the completions that are kept.
    """

    def __init__(self, measure: Measure, original: LlamaForCausalLM, windows: torch.LongTensor, tokenizer):
        self.measure, self.original, self.windows, self.tokenizer = measure, original, windows, tokenizer
        end = measure.prompt_tokens + measure.new_tokens
        if end > windows.shape[1] or measure.prompts > len(windows):
            raise ValueError(
                f"`measure.prompts` and their tokens must fit into the held-out windows, but {measure.prompts} beginnings of "
                f"{measure.prompt_tokens} + {measure.new_tokens} tokens are asked for, of {tuple(windows.shape)}."
            )
        # No end, and no other document, so that all completions have the same length.
        ends = (original.config.bos_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
        self.never = sorted({one for one in ends if one is not None})
        self.prompts = windows[: measure.prompts, : measure.prompt_tokens]
        self.continuations = windows[: measure.prompts, measure.prompt_tokens : end]

    def bound(self, model: PreTrainedModel) -> torch.Tensor:
        """Nats per token of each held-out window, at most: eq. 6 on noise that is the same for all models."""
        measure = self.measure
        return held_out_bounds(model, self.windows, measure.noise_samples, measure.batch_size, measure.seed)

    def exact(self, model: LlamaForCausalLM) -> torch.Tensor:
        """Nats per token of each held-out window, read from left to right."""
        return next_token_losses(model, self.windows, self.measure.batch_size).mean(1)

    def completions(self, model: PreTrainedModel, options: dict) -> dict:
        """The completions by a mask predictor."""
        new = self.measure.new_tokens
        generator = indexed_generator(self.measure.seed, 0, self.windows.device)
        fixed = {"max_new_tokens": new, "block_length": new, "suppress_tokens": self.never, "generator": generator}
        output = model.generate(self.prompts, **fixed | options)
        return self.quality(output[:, -new:])

    @torch.no_grad()
    def sampled(self, model: LlamaForCausalLM, options: dict) -> dict:
        """The completions by an autoregressive model. The beginnings follow its BOS token, as windows do in its training."""
        new = self.measure.new_tokens
        torch.manual_seed(self.measure.seed)
        rows = F.pad(self.prompts, (1, 0), value=model.config.bos_token_id)
        fixed = {"attention_mask": torch.ones_like(rows), "max_new_tokens": new, "suppress_tokens": self.never}
        output = model.generate(rows, **fixed | options)
        return self.quality(output[:, -new:])

    def quality(self, completions: torch.LongTensor) -> dict:
        """How likely completions are under the original, and the entropy of their tokens."""
        rows = torch.cat([self.prompts, completions], dim=1)
        losses = next_token_losses(self.original, rows, self.measure.batch_size)[:, -completions.shape[1] :]
        return {
            "nats": interval(losses.mean(1)),
            "entropy": interval(entropies(completions)),
            "texts": self.decoded(completions),
        }

    def decoded(self, rows: torch.LongTensor) -> list[str]:
        """The first of the rows as text."""
        return self.tokenizer.batch_decode(rows[: self.measure.texts])


def entropies(rows: torch.LongTensor) -> torch.DoubleTensor:
    """The entropy in nats of the frequencies of the tokens in each row."""
    result = []
    for row in rows.cpu():
        shares = row.unique(return_counts=True)[1].double() / len(row)
        result.append(-(shares * shares.log()).sum())
    return torch.stack(result)


def interval(values: torch.Tensor) -> dict[str, float]:
    """The mean over the rows, with its 95% interval."""
    return rounded(bootstrap(values.float().cpu()), 5)


def measured(measure: Callable[[], dict], model: PreTrainedModel, bf16: bool) -> dict:
    """A measurement in evaluation mode, in the precision of the training. It leaves the random numbers of the training alone."""
    was_training = model.training
    model.eval()
    device = model.device
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        result = measure()
    model.train(was_training)
    return result
