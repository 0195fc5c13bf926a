# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The noise of a row, which is a function of the seed, the epoch and the example.

- The mask rate comes from the place p of the row in the epoch's order, as a low-discrepancy sequence (documents that are
  packed into one row have places of their own, and so rates of their own):

      t = eps + (highest - eps) frac(u(seed, epoch) + p / golden ratio),   u uniform in [0, 1)

  Any run of consecutive rows then covers (eps, highest] evenly, however it is split into micro-batches and over processes. Each
  t alone is uniform, because u is.
- Which tokens are masked or replaced comes from the seed, the epoch and the index of the example.

So accumulation, data parallelism and restarts do not change the noise. Evaluation has its own stream.
"""

from dataclasses import dataclass

import torch

from ...seeds import named_generator, named_random


# 2^64 / golden ratio. With integers, the fraction loses no digits at large positions.
GOLDEN_STEP = 0x9E3779B97F4A7C15
ONE = 2**64


@dataclass
class RowNoise:
    """
    The noise of all rows of a run, with rates in (eps, highest]. Streams with the same seed have unrelated noise. Of the tokens
    without a mask, the share `corruption_rate` is replaced. The mask sources are those of `mask_sources.py`.

    Example:

    ```python
    >>> from modeling_llada.training.masking.noise import RowNoise

    >>> noise = RowNoise(seed=0, stream="train")
    >>> sorted(round(noise.rate(epoch=0, position=p), 2) for p in range(4))
    [0.24, 0.47, 0.62, 0.85]
    ```
    """

    seed: int
    stream: str  # "train" or "eval"
    eps: float = 1e-3
    highest: float = 1.0
    corruption_rate: float = 0.0
    mask_source: str = "uniform"

    def rate(self, epoch: int, position: int) -> float:
        """The mask rate t in (eps, highest] of the row at a place of the epoch's order."""
        offset = named_random(self.stream, self.seed, "rate", epoch).getrandbits(64)
        fraction = ((offset + position * GOLDEN_STEP) % ONE + 1) / ONE
        return self.eps + (self.highest - self.eps) * fraction

    def generator(self, epoch: int, index: int) -> torch.Generator:
        """The generator of the mask of an example."""
        return named_generator(self.stream, self.seed, "mask", epoch, index)
