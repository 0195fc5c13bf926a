# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The contenders of the training bench: one model, three ways to its loss, eager or compiled layers, and a batch in parts."""

import argparse
import gc
import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import product
from unittest import mock

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from benchmarks.shapes import random_model
from modeling_llada import LLaDAConfig, LLaDAForMaskedLM
from modeling_llada.models import diffusion_llada
from modeling_llada.models.modeling_llada import LLaDALayer
from modeling_llada.training.masking.collator import MaskingCollator
from modeling_llada.training.masking.row_order import NumberedRow


LOSSES = ("all logits", "masked rows", "masked rows + chunks")
ENGINES = ("eager", "compiled")


@dataclass(frozen=True)
class Contender:
    """
    A row of a cell: a way to the loss, an engine, and the number of parts of the batch.

    An engine computes the activations inside of layers again in the backward pass, except for the last N layers with `, N kept` in
    its name, and for all layers with `, all kept`.
    """

    loss: str
    engine: str
    micro_batches: int = 1

    def __str__(self) -> str:
        parts = "" if self.micro_batches == 1 else f", {self.micro_batches} micro-batches"
        return f"{self.loss}, {self.engine}{parts}"

    @property
    def compiles(self) -> bool:
        return self.engine.startswith("compiled")

    def kept_layers(self, num_layers: int) -> int:
        """The number of layers whose activations are kept: the last layers, because these are freed first."""
        number = self.engine.partition(", ")[2].removesuffix(" kept")
        return num_layers if number == "all" else int(number or 0)


def parse_engine(text: str) -> str:
    """Parses an engine for `argparse`: `eager` or `compiled`, and the kept layers."""
    if re.fullmatch(rf"({'|'.join(ENGINES)})(, (all|[1-9]\d*) kept)?", text) is None:
        raise argparse.ArgumentTypeError(
            f"it must be eager or compiled, alone or with kept layers ('compiled, 3 kept', 'compiled, all kept'), but got {text!r}"
        )
    return text


def list_contenders(losses: list[str], engines: list[str], micro_batches: Sequence[int] = (1,)) -> list[Contender]:
    return [Contender(loss, engine, parts) for parts, engine, loss in product(micro_batches, engines, losses)]


@dataclass
class Batch:
    """Noisy rows, from a fixed seed."""

    input_ids: torch.LongTensor  # (batch, length)
    clean: torch.LongTensor  # the clean tokens, (batch * length,)
    weights: torch.Tensor  # 1/t where they are masked, 0 elsewhere, (batch * length,)
    labels: torch.LongTensor  # the clean tokens where they are masked, -100 elsewhere, (batch, length)
    positions: torch.LongTensor  # of the masked tokens, padded with -1 as in the collator of fine-tuning

    def __post_init__(self):
        self.rows = self.positions.clamp(min=0)
        self.row_labels = self.clean[self.rows]
        self.row_weights = self.weights[self.rows] * (self.positions >= 0)
        self.num_masked = int((self.positions >= 0).sum())


def draw_batch(
    config: LLaDAConfig, batch: int, length: int, device: torch.device, micro_batches: int = 1
) -> list[Batch]:
    """
    Draws random rows, masked by the collator of fine-tuning: all tokens are of the response, and half of them are masked. Returns
    the parts; the rows are the same for any number of parts.
    """
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(config.vocab_size - 1, (batch, length), generator=generator)
    ids += ids >= config.mask_token_id
    # Evenly spread rates, whose mean is 1/2 for each batch size. Each part has small and large rates.
    rows = [
        NumberedRow(row, row, (p + 0.5) / batch, torch.Generator().manual_seed(p))
        for p, row in enumerate(ids.tolist())
    ]
    eos = config.eos_token_id if isinstance(config.eos_token_id, int) else config.eos_token_id[0]
    collate = MaskingCollator(config.mask_token_id, eos, eos)
    return [
        _to_batch(collate(rows[part::micro_batches]), ids[part::micro_batches], device)
        for part in range(micro_batches)
    ]


def _to_batch(made: dict[str, torch.Tensor], ids: torch.Tensor, device: torch.device) -> Batch:
    weights = ((made["labels"] != -100) / made["rates"][:, None]).flatten()
    tensors = (made["input_ids"], ids.flatten(), weights, made["labels"], made["masked_positions"])
    return Batch(*(tensor.to(device) for tensor in tensors))


def weighted_cross_entropy(logits: torch.Tensor, labels: torch.LongTensor, weights: torch.Tensor) -> torch.Tensor:
    """The sum over positions of weight times cross-entropy, in float32."""
    return (F.cross_entropy(logits.float(), labels, reduction="none") * weights).sum()


def find_loss(
    model: LLaDAForMaskedLM, batch: Batch, loss: str, cross_entropy: Callable, chunk_size: int = 1024
) -> torch.Tensor:
    """
    The loss of eq. 3 of the paper, for each token, which is the same for each way up to rounding. `cross_entropy` is
    [`weighted_cross_entropy`], as it is or compiled.
    """
    if loss == "masked rows + chunks":
        losses = model(
            input_ids=batch.input_ids,
            labels=batch.labels,
            masked_positions=batch.positions,
            loss_chunk_size=chunk_size,
        ).losses
        return (losses * batch.row_weights).sum() / batch.clean.numel()
    hidden_states = model.base_model(input_ids=batch.input_ids).last_hidden_state.flatten(0, 1)
    head = model.get_output_embeddings()
    if loss == "all logits":
        return cross_entropy(head(hidden_states), batch.clean, batch.weights) / batch.clean.numel()
    hidden_states = hidden_states.index_select(0, batch.rows)
    return cross_entropy(head(hidden_states), batch.row_labels, batch.row_weights) / batch.clean.numel()


def run_layer(layer: LLaDALayer, *args, **kwargs) -> torch.Tensor:
    return LLaDALayer.forward(layer, *args, **kwargs)


def run_checkpointed_layer(layer: LLaDALayer, *args, **kwargs) -> torch.Tensor:
    """Keeps only the input of the layer. If compiled, the checkpoint is inside of the graph (see train.py)."""
    forward = partial(LLaDALayer.forward, layer)
    return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)


class Steps:
    """
    A model, its optimizer, and the training step of each contender. With `lora`, adapters of that rank are on all seven
    projections of a frozen base; otherwise all weights are trained.
    """

    def __init__(self, config, device, dtype, lora: int | None, chunk_size: int):
        self.model = random_model(config, device, dtype).train()
        self.device = device
        if lora is not None:
            self._add_adapters(lora)
        self.chunk_size = chunk_size
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-5, fused=device.type == "cuda")
        compile_whole = partial(torch.compile, fullgraph=True, dynamic=False)
        self._layer = {False: run_checkpointed_layer, True: run_layer}
        self._compiled_layer = {is_kept: compile_whole(run) for is_kept, run in self._layer.items()}
        self._cross_entropy = {False: weighted_cross_entropy, True: compile_whole(weighted_cross_entropy)}
        self._score = {False: diffusion_llada.score_tokens, True: compile_whole(diffusion_llada.score_tokens)}

    def _add_adapters(self, rank: int) -> None:
        from peft import LoraConfig, get_peft_model

        # Adapters would be float32 by default, and so would be their products.
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")
        get_peft_model(self.model, config, autocast_adapter_dtype=False)
        # Otherwise the first layer, whose input has no gradient, would need another graph.
        self.model.enable_input_require_grads()

    def backward(self, contender: Contender, batches: list[Batch]) -> torch.Tensor:
        """Adds the gradients of the loss of a batch in parts, and returns the loss."""
        layers, run = self.model.model.layers, self._compiled_layer if contender.compiles else self._layer
        first_kept = len(layers) - contender.kept_layers(len(layers))
        for number, layer in enumerate(layers):
            layer.forward = partial(run[number >= first_kept], layer)
        # The chunk alone is compiled: the loop around it keeps one chunk of logits in memory.
        score = mock.patch.object(diffusion_llada, "score_tokens", self._score[contender.compiles])
        losses = []
        with score if contender.loss == "masked rows + chunks" else nullcontext():
            for batch in batches:
                cross_entropy = self._cross_entropy[contender.compiles]
                loss = find_loss(self.model, batch, contender.loss, cross_entropy, self.chunk_size) / len(batches)
                loss.backward()
                losses.append(loss.detach())
        return sum(losses)

    def step(self, contender: Contender, batches: list[Batch]) -> int | None:
        """Runs forward, backward and the optimizer. Returns the largest number of allocated bytes on a GPU."""
        is_cuda = self.device.type == "cuda"
        if is_cuda:
            torch.cuda.reset_peak_memory_stats(self.device)
        self.backward(contender, batches)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return torch.cuda.max_memory_allocated(self.device) if is_cuda else None

    def free(self) -> None:
        """Frees the memory after a step that ran out of it."""
        self.optimizer.zero_grad(set_to_none=True)
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def count_weights(model: nn.Module) -> dict[str, int]:
    """The number of weights of layers, head and adapters, and of trained weights."""
    counts = {"layers": 0, "head": model.get_output_embeddings().weight.numel(), "adapters": 0, "trained": 0, "all": 0}
    for name, parameter in model.named_parameters():
        part = "adapters" if "lora_" in name else "layers" if ".layers." in name else None
        if part is not None:
            counts[part] += parameter.numel()
        counts["trained"] += parameter.numel() if parameter.requires_grad else 0
        counts["all"] += parameter.numel()
    return counts
