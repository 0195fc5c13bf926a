# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The shortest time of a forward pass: for each part the larger of the time for its bytes and the time for its products.

The parts are the projections of all layers, attention, the head on the rows of the block, and the operations between the products
(norms, rotary embedding, residuals, the gate), which read and write each tensor once.
"""

from dataclasses import dataclass

import torch

from benchmarks.timing import seconds_of
from modeling_llada import LLaDAConfig


VICINITY = 16
# Reads or writes of a hidden state and of a gate between the products of a layer, fused as far as possible.
HIDDEN_STATES, GATES = 15, 4
# Kernels of a layer outside of a recording, and the time in which Python launches one (counted, and timed with the official code
# on hosts of H100s). On a CPU it is the time of an operator.
KERNELS, LAUNCH = 42, {"cuda": (13e-6, 27e-6), "cpu": (5e-6, 15e-6)}
# The fraction of the roofline that careful code reaches.
EFFICIENCY = (0.6, 0.85)


@dataclass
class Rates:
    """The rates of a machine: bytes a second, and operations a second in large products and in attention."""

    memory: float
    product: float
    attention: float
    source: str

    def __str__(self) -> str:
        return (
            f"memory {self.memory / 1e12:.3g} TB/s, products {self.product / 1e12:.4g} TFLOP/s, "
            f"attention {self.attention / 1e12:.4g} TFLOP/s ({self.source})"
        )


def find_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """The known rates of an H100 in bfloat16, or measured ones, which takes a second."""
    if device.type == "cuda" and "H100" in torch.cuda.get_device_name(device) and dtype == torch.bfloat16:
        return Rates(3.0e12, 780e12, 450e12, "H100: a copy reaches 3.01 TB/s and an 8192³ bf16 product 785 TFLOP/s")
    size, count = (8192, 1 << 30) if device.type == "cuda" else (1536, 1 << 27)
    left = torch.randn(size, size, device=device).to(dtype)
    source = torch.ones(count, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product = 2 * size**3 / best_seconds(lambda: left @ left, device)
    memory = 2 * count / best_seconds(lambda: target.copy_(source), device)
    return Rates(memory, product, product, f"measured: a copy, and a {size}³ product")


def best_seconds(work, device: torch.device, repeats: int = 5) -> float:
    """The shortest of a few runs, after one untimed run."""
    work()
    return min(seconds_of(work, device)[0] for _ in range(repeats))


@dataclass
class Pass:
    """The size of a forward pass: recomputed positions, the positions that they attend to, and rows of the head."""

    batch: int
    queries: int
    keys: int
    head_rows: int


def pass_seconds(config: LLaDAConfig, rates: Rates, size: Pass, activation_bytes: int, weight_bytes: float) -> float:
    """The shortest possible time of a forward pass."""
    hidden, layers = config.hidden_size, config.num_hidden_layers
    kv_width = config.num_key_value_heads * config.head_dim
    tokens = size.batch * size.queries
    weights = layers * (2 * hidden**2 + 2 * hidden * kv_width + 3 * hidden * config.intermediate_size)
    head = config.vocab_size * hidden
    pairs = size.batch * size.queries * size.keys
    between = layers * tokens * (HIDDEN_STATES * hidden + GATES * config.intermediate_size) * activation_bytes
    return (
        max(2 * weights * tokens / rates.product, weights * weight_bytes / rates.memory)
        + max(
            4 * layers * hidden * pairs / rates.attention,
            2 * layers * size.batch * size.keys * kv_width * activation_bytes / rates.memory,
        )
        + max(2 * head * size.batch * size.head_rows / rates.product, head * activation_bytes / rates.memory)
        + between / rates.memory
    )


# Of the mode "drafts", which has a dual cache: the published number of drafts.
DRAFT_STEPS = 4


def window_lengths(mode: str, prompt: int, answer: int, block_length: int) -> list[int]:
    """The number of positions that a step without a refresh recomputes, for each block."""
    length = prompt + answer
    blocks = [(start, min(start + block_length, length)) for start in range(prompt, length, block_length)]
    if mode == "exact":
        return [length for _ in blocks]
    if mode == "prefix":
        return [length - start for start, _ in blocks]
    reach = VICINITY if mode == "vicinity" else 0
    return [min(length, end + reach) - max(0, start - reach) for start, end in blocks]


def expect(config: LLaDAConfig, rates: Rates, cell, mode: str, launches: str | None, weight_bytes: float) -> dict:
    """
    The expectation for a row, in milliseconds for a forward pass: the roofline of the mean pass and of a pass inside a block, and
    the expected range of the mean pass. `launches` is the device whose kernels are launched one by one; `None` for a recording.
    """
    activation_bytes = 2 if cell.dtype != "float32" else 4
    length, rows = cell.prompt + cell.answer, min(cell.block_length, cell.answer)

    def seconds(queries: int, canvases: int = 1) -> float:
        size = Pass(cell.batch * canvases, queries, length, rows)
        return pass_seconds(config, rates, size, activation_bytes, weight_bytes)

    windows = window_lengths(mode, cell.prompt, cell.answer, cell.block_length)
    canvases = DRAFT_STEPS if mode == "drafts" else 1
    inside = sum(seconds(window, canvases) for window in windows) / len(windows)
    bound = (cell.num_blocks * seconds(length) + (cell.passes - cell.num_blocks) * inside) / cell.passes
    low, high = bound / EFFICIENCY[1], bound / EFFICIENCY[0]
    if launches is not None:
        least, most = (KERNELS * config.num_hidden_layers * cost for cost in LAUNCH[launches])
        # A GPU works while Python launches the next kernels. On a CPU the same cores do both.
        low, high = (low + least, high + most) if launches == "cpu" else (max(low, least), max(high, most))
    return {
        "roofline_ms": round(1e3 * bound, 4),
        "roofline_inside_ms": round(1e3 * inside, 4),
        "ms_per_pass": [round(1e3 * low, 4), round(1e3 * high, 4)],
    }
