# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Noisy training batches, made on the device as a function of the seed and the step.

The clean rows and the noise of an optimizer step are drawn for the global batch, then split into the micro-batches of each
process. Rows on the disk are read by the process that needs them, in a thread, some steps ahead. So gradient accumulation and
the number of processes do not change a step, and a run that resumes at step n sees the same batches as without an
interruption.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass
from typing import Protocol

import numpy as np
import torch

from ...models.diffusion_llada import mask_tokens, sample_rates
from ...seeds import named_random
from ..masking.corruption import replace_tokens
from ..masking.mask_sources import LOWEST_RATE
from .causal_annealing import attention_of_step
from .permutation import shuffled
from .rows import RowEntry


STEPS_AHEAD = 4  # that are read before they are needed


class RowSource(Protocol):
    """
    A source of training rows on the device: [`RowMixture`], or [`TensorRows`] for rows that are ready.

    A source of questions and answers also has `maskable`, a `torch.BoolTensor` of the shape of the rows that `draw` returned
    last. Only tokens where it is true are masked and predicted.
    """

    entries: list[RowEntry]

    def entry_at(self, step: int, max_steps: int, seed: int) -> RowEntry: ...

    def draw(self, entry: RowEntry, count: int, generator: torch.Generator) -> torch.LongTensor: ...


class ReadRows(Protocol):
    """
    A source of training rows that a process reads for itself, ahead of their use: [`ShardRows`], [`StreamRows`] or
    [`EpochRows`]. `read` returns the rows `own` of the `count` rows of a step, as int64 of shape `(number, entry.width)`.
    """

    entries: list[RowEntry]

    def entry_at(self, step: int, max_steps: int, seed: int) -> RowEntry: ...

    def read(self, entry: RowEntry, step: int, count: int, own: slice) -> np.ndarray: ...


class TensorRows:
    """Rows of one width, `(num_rows, width)`, drawn with replacement. Only `maskable` tokens are predicted; by default all."""

    def __init__(
        self,
        input_ids: torch.Tensor,
        device: torch.device | str = "cpu",
        maskable: torch.BoolTensor | None = None,
    ):
        self.input_ids = input_ids.to(device)
        self.all_maskable = None if maskable is None else maskable.to(device)
        self.maskable = None
        self.entries = [RowEntry("windows", input_ids.shape[1], share=1.0)]

    def entry_at(self, step: int, max_steps: int, seed: int) -> RowEntry:
        return self.entries[0]

    def draw(self, entry: RowEntry, count: int, generator: torch.Generator) -> torch.LongTensor:
        index = torch.randint(len(self.input_ids), (count,), generator=generator, device=generator.device)
        if self.all_maskable is not None:
            self.maskable = self.all_maskable[index]
        return self.input_ids[index].long()


class EpochRows:
    """Rows of one width, `(num_rows, width)`, in epochs: each is drawn once before one is drawn again."""

    def __init__(self, input_ids: torch.Tensor, seed: int = 0):
        self.input_ids, self.seed = input_ids.cpu(), seed
        self.entries = [RowEntry("windows", input_ids.shape[1], share=1.0)]

    def entry_at(self, step: int, max_steps: int, seed: int) -> RowEntry:
        return self.entries[0]

    def num_rows(self, entry: RowEntry) -> int:
        return len(self.input_ids)

    def read(self, entry: RowEntry, step: int, count: int, own: slice) -> np.ndarray:
        _, order = shuffled(step * count, own, len(self.input_ids), "rows", self.seed)
        return self.input_ids[order].long().numpy()


@dataclass(eq=False)
class TrainingBatches:
    """
    The micro-batches of a run for one process, as a `DataLoader` would hand them out.

    Each is a dictionary with the noisy `input_ids`, the clean `labels`, an `attention_mask` if rows were cut, the
    `masked_positions` in the flattened micro-batch (a static number, filled up with -1) and the mask `rates` of their rows,
    and the number of tokens of the global batch, `num_items`. With a `corruption_rate`, that share of the tokens without a mask is
    replaced, and they all are among these positions, with the rate 1. With `divides_by_predictions` all rates are 1, and the
    items are the predicted tokens. While attention goes from causal to full, in the first
    `causal_annealing_ratio` of the steps, it also has `visible`, which all rows share: which positions see which.

    A step trains on `tokens_per_step` tokens, whose rows and noise follow from the `seed`. They are split into
    `accumulation_steps` micro-batches for each of `num_processes`. `random_length_ratio` of the steps on `windows` cut their
    rows to random lengths. With `complementary_masks` every second row is the one before it with the other tokens masked. `first_step` returns the step at which iteration begins, by
    default 0.
    """

    source: RowSource | ReadRows
    _: KW_ONLY
    mask_token_id: int | None
    max_steps: int
    tokens_per_step: int
    device: torch.device
    seed: int = 0
    eps: float = 1e-3
    highest: float = 1.0
    corruption_rate: float = 0.0
    vocab_size: int | None = None  # of the tokens that replace others
    complementary_masks: bool = False
    divides_by_predictions: bool = False
    random_length_ratio: float = 0.01
    causal_annealing_ratio: float = 0.0
    accumulation_steps: int = 1
    num_processes: int = 1
    process_index: int = 0
    first_step: Callable[[], int] = int

    def __post_init__(self):
        self.device = torch.device(self.device)
        self.generator = torch.Generator(self.device)
        # Masked positions without a slot (see `num_slots`), counted without waiting for the device.
        self.num_dropped = torch.zeros((), dtype=torch.long, device=self.device)
        for entry in self.source.entries:
            self.num_rows(entry)

    def __len__(self) -> int:
        return self.max_steps * self.accumulation_steps

    def __iter__(self) -> Iterator[dict]:
        steps = range(self.first_step(), self.max_steps)
        reads = hasattr(self.source, "read")
        for step, rows in zip(steps, done_ahead(self.read, steps) if reads else [None] * len(steps), strict=True):
            yield from self.at(step, rows)

    @property
    def copies(self) -> int:
        """How often each row is in its batch."""
        return 2 if self.complementary_masks else 1

    def num_rows(self, entry: RowEntry) -> int:
        """Different rows of the global batch of a step on this kind of row."""
        parts, width = self.accumulation_steps * self.num_processes, entry.width * self.copies
        if self.tokens_per_step < 1 or self.tokens_per_step % (parts * width):
            pairs = " x 2 with `complementary_masks`" if self.complementary_masks else ""
            raise ValueError(
                f"`tokens_per_step` must be a multiple of accumulation steps x processes x width of the rows{pairs}, {parts} x "
                f"{width}, but got {self.tokens_per_step}. Choose a multiple of {parts * width}."
            )
        return self.tokens_per_step // width

    def own_rows(self, entry: RowEntry) -> slice:
        """The different rows of the global batch that this process trains on."""
        part = self.num_rows(entry) // self.num_processes
        return slice(self.process_index * part, (self.process_index + 1) * part)

    def read(self, step: int) -> torch.LongTensor:
        """The clean rows of this process, in memory that the device copies from without waiting."""
        entry = self.source.entry_at(step, self.max_steps, self.seed)
        rows = torch.from_numpy(self.source.read(entry, step, self.num_rows(entry), self.own_rows(entry)))
        return rows.pin_memory() if self.device.type == "cuda" else rows

    def at(self, step: int, rows_read: torch.LongTensor | None = None) -> list[dict]:
        """The micro-batches of one step for this process, from the rows that [`TrainingBatches.read`] returned for it."""
        entry = self.source.entry_at(step, self.max_steps, self.seed)
        rows, own = self.num_rows(entry), self.own_rows(entry)
        host = named_random("step", self.seed, step)
        self.generator.manual_seed(host.getrandbits(63))
        if hasattr(self.source, "read"):
            # The noise is drawn for all rows, as it must not depend on the number of processes. Those of others stay 0.
            clean = torch.zeros(rows, entry.width, dtype=torch.long, device=self.device)
            clean[own].copy_(self.read(step) if rows_read is None else rows_read, non_blocking=True)
        else:
            clean = self.source.draw(entry, rows, self.generator)
        rates = sample_rates(rows, self.eps, highest=self.highest, generator=self.generator, device=self.device)
        noise_seed = host.getrandbits(63)
        attention_mask, num_items = None, rows * entry.width
        if entry.kind == "windows" and host.random() < self.random_length_ratio:
            attention_mask = random_lengths_mask(rows, entry.width, self.generator)
            num_items = attention_mask.sum()
        num_items = num_items * self.copies
        self.generator.manual_seed(noise_seed)
        noisy, mask, rates = self.corrupt(clean, rates, attention_mask)
        if self.divides_by_predictions:
            num_items = mask.sum().clamp(min=1)
        visible = attention_of_step(
            step, self.max_steps, self.causal_annealing_ratio, entry.width, self.seed, self.generator
        )
        shared = {"num_items": num_items} | ({} if visible is None else {"visible": visible})

        if self.complementary_masks:
            clean = clean.repeat_interleave(2, dim=0)
            attention_mask = None if attention_mask is None else attention_mask.repeat_interleave(2, dim=0)
        part = len(clean) // (self.accumulation_steps * self.num_processes)
        return [
            self._micro_batch(slice(start, start + part), clean, noisy, mask, rates, attention_mask) | shared
            for start in range(self.copies * own.start, self.copies * own.stop, part)
        ]

    def corrupt(
        self, clean: torch.LongTensor, rates: torch.Tensor, attention_mask: torch.LongTensor | None
    ) -> tuple[torch.LongTensor, torch.BoolTensor, torch.Tensor]:
        """The rows that the model reads, the positions that it predicts, and the rate t of each row, with their copies."""
        maskable = self.find_maskable(attention_mask)
        noisy, mask = mask_tokens(clean, rates, self.mask_token_id, maskable, self.generator)
        if self.complementary_masks:
            others = ~mask if maskable is None else maskable.bool() & ~mask
            mask, clean = torch.stack([mask, others], dim=1).flatten(0, 1), clean.repeat_interleave(2, dim=0)
            rates = torch.stack([rates, (1 - rates).clamp(min=LOWEST_RATE)], dim=1).flatten()
            noisy = clean.masked_fill(mask, self.mask_token_id)
            maskable = None if maskable is None else maskable.repeat_interleave(2, dim=0)
        if not self.corruption_rate:
            return noisy, mask, rates
        others = ~mask if maskable is None else maskable.bool() & ~mask
        options = self.corruption_rate, self.mask_token_id, self.vocab_size, self.generator
        return replace_tokens(noisy, others, *options), mask | others, rates

    def find_maskable(self, attention_mask: torch.LongTensor | None) -> torch.Tensor | None:
        """The tokens to predict of the rows that were drawn last; `None` for all."""
        maskable = getattr(self.source, "maskable", None)
        if maskable is None or attention_mask is None:
            return attention_mask if maskable is None else maskable
        return maskable & attention_mask.bool()

    def _micro_batch(self, rows: slice, clean, noisy, mask, rates, attention_mask) -> dict:
        slots, mask = self.num_slots(*mask[rows].shape), mask[rows].flatten()
        # Masked positions first, in order; the spare slots hold -1.
        positions = mask.byte().argsort(descending=True, stable=True)[:slots]
        self.num_dropped += (mask.sum() - slots).clamp(min=0)
        rates = rates[rows][positions // clean.shape[1]]
        if self.divides_by_predictions:
            rates = torch.ones_like(rates)
        elif self.corruption_rate:
            rates = rates.where(noisy[rows].flatten()[positions] == self.mask_token_id, 1.0)
        batch = {
            "input_ids": noisy[rows],
            "labels": clean[rows],
            "masked_positions": positions.where(mask[positions], -1),
            "rates": rates,
        }
        return batch if attention_mask is None else batch | {"attention_mask": attention_mask[rows]}

    def num_slots(self, rows: int, width: int) -> int:
        """
        A static number of positions that holds the masked ones of a micro-batch.

        With evenly spread rates from 0 to 1, the number of masked tokens has a mean of half of the tokens and a variance of
        tokens / 6. If the rates are a random part of those of the global batch, width^2 rows / 12 is added to the variance.
        About one batch in a billion exceeds the mean by six standard deviations; masked tokens without a slot are then
        left out of the loss, and counted.
        """
        tokens = rows * width
        if self.corruption_rate:
            return tokens  # all are predicted
        if self.complementary_masks:
            return min(tokens, 128 * math.ceil(tokens / 256))  # exactly one of two copies
        mean = (self.eps + self.highest) / 2
        variance = tokens * (mean - mean**2 - (self.highest - self.eps) ** 2 / 12)
        if self.accumulation_steps * self.num_processes > 1:
            variance += width**2 * rows / 12
        slots = tokens * mean + width + 6 * math.sqrt(variance)
        return min(tokens, 128 * math.ceil(slots / 128))


def random_lengths_mask(rows: int, width: int, generator: torch.Generator) -> torch.LongTensor:
    """An attention mask that cuts rows to lengths uniform in 1 .. width and keeps their shape."""
    lengths = torch.randint(1, width + 1, (rows, 1), generator=generator, device=generator.device)
    return (torch.arange(width, device=generator.device) < lengths).long()


def done_ahead(work: Callable, arguments: Sequence) -> Iterator:
    """
    The results of a function for each argument in turn, which a thread computes some steps ahead. After an error, which is
    raised in its turn, nothing more is computed.
    """

    def after(previous: Future | None, argument):
        if previous is not None:
            previous.result()  # raises its error again
        return work(argument)

    thread, waiting, last = ThreadPoolExecutor(1, thread_name_prefix="rows"), deque(), None
    try:
        for argument in arguments:
            last = thread.submit(after, last, argument)
            waiting.append(last)
            if len(waiting) > STEPS_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        thread.shutdown(cancel_futures=True)
