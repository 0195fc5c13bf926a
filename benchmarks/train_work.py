# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The operations and the memory of a training step, and the expected time of the step on an H100."""

from dataclasses import dataclass

from benchmarks.train_steps import Contender
from modeling_llada import LLaDAConfig


# Peak of an H100 in dense bfloat16 products, for MFU.
PEAK = 989e12
# Rates that careful code reaches: products, attention with its backward pass, bytes a second.
PRODUCT, ATTENTION, MEMORY = 650e12, 300e12, 2.5e12
# Reads and writes of a hidden state outside of the products, in the three passes over a layer (forward, again, backward), with a
# kernel for each operation, or compiled into a few. Adapters on the seven projections add to it.
LAYER_TRAFFIC = {"eager": 340, "compiled": 110}
ADAPTER_TRAFFIC = {"eager": 250, "compiled": 110}
# Bytes for each logit: read and written in both passes, and the largest number in memory.
LOSS_TRAFFIC = {"eager": 46, "compiled": 14}
LOSS_BYTES = {"eager": 10, "compiled": 4}
# Hidden states in memory during the backward pass of a layer.
LAYER_STATES = {"eager": 38, "compiled": 22}
# The range of the estimate, because its parts are guesses.
FASTER, SLOWER = 0.85, 1.3
GIB = 2**30


@dataclass
class Work:
    """The work of a training step."""

    config: LLaDAConfig
    weights: dict[str, int]  # see [`count_weights`]
    batch: int
    length: int
    masked: int  # positions that go through the head, unless all positions do
    chunk_size: int  # positions that go through the head at a time, with chunks

    @property
    def tokens(self) -> int:
        return self.batch * self.length

    @property
    def is_full(self) -> bool:
        return self.weights["adapters"] == 0

    def rows(self, loss: str) -> int:
        """Positions that go through the head."""
        return self.tokens if loss == "all logits" else self.masked

    def attention(self) -> float:
        """The operations of attention, forward and backward."""
        return 12 * self.config.num_hidden_layers * self.config.hidden_size * self.length * self.tokens

    def products(self, loss: str) -> float:
        """The operations of all other products."""
        # 2 forward, 2 for the gradient of the input, 2 for that of a trained weight.
        factor = 6 if self.is_full else 4
        layers = (factor * self.weights["layers"] + 6 * self.weights["adapters"]) * self.tokens
        return layers + factor * self.weights["head"] * self.rows(loss)

    def operations(self, loss: str) -> float:
        """The operations of a step, without the second forward pass; the docstring of train.py has the formula."""
        return self.products(loss) + self.attention()

    def expect(self, contender: Contender) -> dict:
        """The expected range of tokens a second and the peak in GiB, for bfloat16 on an H100."""
        engine, loss = "compiled" if contender.compiles else "eager", contender.loss
        num_layers, parts = self.config.num_hidden_layers, contender.micro_batches
        num_kept = contender.kept_layers(num_layers)
        again = 1 - num_kept / num_layers
        layers = 2 * (self.weights["layers"] + self.weights["adapters"]) * self.tokens * again
        in_chunks = loss == "masked rows + chunks"
        logits = self.config.vocab_size * self.rows(loss)
        head_again = 2 * self.weights["head"] * self.rows(loss) if in_chunks else 0
        hidden_state = 2 * self.config.hidden_size * self.tokens
        states = LAYER_TRAFFIC[engine] + (0 if self.is_full else ADAPTER_TRAFFIC[engine])
        traffic = states * hidden_state * num_layers * (2 + again) / 3
        traffic += LOSS_TRAFFIC[engine] * logits * (1.35 if in_chunks else 1)
        traffic += (14 + 6 * (parts - 1)) * self.weights["trained"]
        seconds = (self.products(loss) + layers + head_again) / PRODUCT
        seconds += self.attention() * (1 + again / 3) / ATTENTION + traffic / MEMORY
        at_once = (
            self.config.vocab_size * min(self.chunk_size, self.rows(loss) / parts) if in_chunks else logits / parts
        )
        of_layer = LAYER_STATES[engine] * hidden_state / parts
        kept = (num_layers - num_kept) * hidden_state / parts + num_kept * of_layer
        fixed = 2 * self.weights["all"] + 4 * self.weights["trained"]
        gradients = 2 * self.weights["trained"]
        inside = max(of_layer, LOSS_BYTES[engine] * at_once) + (gradients if parts > 1 else 0)
        peak = fixed + max(kept + inside, gradients + of_layer)
        return {
            "tokens_per_second": [round(self.tokens / seconds / SLOWER), round(self.tokens / seconds / FASTER)],
            "peak_gib": round(peak / GIB, 1),
        }
