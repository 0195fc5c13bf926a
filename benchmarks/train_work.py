# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What a training step has to compute and to keep, and from that how long it should take on an H100."""

from dataclasses import dataclass

from benchmarks.train_steps import Contender
from modeling_llada import LLaDAConfig


# Dense bfloat16 products of an H100, the measure of MFU.
PEAK = 989e12
# What careful code reaches there: products, attention with its backward pass, bytes a second.
PRODUCT, ATTENTION, MEMORY = 650e12, 300e12, 2.5e12
# Reads and writes of a hidden state outside of the products, in the three passes over a layer (forward, again, backward): each
# operation is a kernel of its own, or compiled into a few. More for adapters on the seven projections.
LAYER_TRAFFIC = {"eager": 340, "compiled": 110}
ADAPTER_TRAFFIC = {"eager": 250, "compiled": 110}
# Bytes for each logit: written and read in both passes, and in memory at a time.
LOSS_TRAFFIC = {"eager": 46, "compiled": 14}
LOSS_BYTES = {"eager": 10, "compiled": 4}
# Hidden states in memory while a layer runs backward.
LAYER_STATES = {"eager": 38, "compiled": 22}
# The estimate is a guess for the parts of which it is made.
FASTER, SLOWER = 0.85, 1.3
GIB = 2**30


@dataclass
class Work:
    """
    A training step.

    Args:
        config ([`LLaDAConfig`]):
            The shape of the model.
        weights (`dict[str, int]`):
            See [`count_weights`].
        batch (`int`), length (`int`):
            The rows.
        masked (`int`):
            Positions in the head, except where all go through it.
        chunk_size (`int`):
            Positions in the head at a time, with chunks.
    """

    config: LLaDAConfig
    weights: dict[str, int]
    batch: int
    length: int
    masked: int
    chunk_size: int

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
        """Operations of attention alone, forward and backward."""
        return 12 * self.config.num_hidden_layers * self.config.hidden_size * self.length * self.tokens

    def products(self, loss: str) -> float:
        """Operations of all other products."""
        factor = 6 if self.is_full else 4
        layers = (factor * self.weights["layers"] + 6 * self.weights["adapters"]) * self.tokens
        return layers + factor * self.weights["head"] * self.rows(loss)

    def operations(self, loss: str) -> float:
        """
        Operations of a step; what is computed twice counts once.

            tokens * (F * weights of the layers + 6 * weights of the adapters + 12 * layers * hidden size * length)
            + rows of the head * F * weights of the head

        F is 6 for weights that are trained: 2 forward, 2 for the gradient of the input, 2 for that of the weight. It is 4
        for frozen ones.
        """
        return self.products(loss) + self.attention()

    def expect(self, contender: Contender) -> dict:
        """Tokens a second, a range, and the peak in GiB, for bfloat16 on an H100."""
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
