# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The contenders: the plain loop of `modeling_llada.minimal`, `generate` in a mode and an engine, and a second implementation."""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from transformers import CompileConfig

from benchmarks.roofline import DRAFT_STEPS
from benchmarks.shapes import Unavailable, load_checkpoint, load_second, num_bytes, quantize, random_model
from modeling_llada import LLaDAConfig, minimal


@dataclass(frozen=True)
class Cell:
    """A batch, its lengths, and a forced schedule, which all contenders run."""

    batch: int
    prompt: int
    answer: int
    tokens_per_step: int
    block_length: int
    dtype: str

    @property
    def num_blocks(self) -> int:
        return self.answer // self.block_length

    @property
    def passes(self) -> int:
        return self.answer // self.tokens_per_step


@dataclass(frozen=True)
class Contender:
    """A row of a cell: who decodes, the cache, the engine, and the weights of the projections."""

    name: str
    mode: str
    engine: str
    weights: str | None = None
    needs_cuda: bool = False

    @property
    def key(self) -> str:
        return " ".join(filter(None, (self.name, self.mode, self.engine, self.weights)))

    @property
    def is_recorded(self) -> bool:
        """Whether the model keeps a recording for it. The number of recordings is limited."""
        return self.engine in ("graph", "compiled")

    @property
    def may_fail(self) -> bool:
        """Whether an error is a result, because a kernel or an option may be missing."""
        return self.engine == "compiled" or self.weights is not None or self.name == "against"

    def launches(self, device: torch.device) -> str | None:
        """The device whose kernels Python launches one by one; `None` for recorded and compiled steps."""
        if device.type == "cuda" and self.is_recorded:
            return None
        return device.type


def list_contenders(args: argparse.Namespace) -> list[Contender]:
    """The rows of a cell. The first one is the baseline."""
    if args.ladder:
        return list_ladder(args)
    contenders = [Contender("naive", "exact", "eager")] if args.naive else []
    for name in ("against", "ours") if args.against else ("ours",):
        contenders += [Contender(name, mode, engine) for engine in args.engine for mode in args.mode]
    for kind in args.quantize:
        contenders += [Contender("ours", mode, engine, kind) for engine in args.engine for mode in args.mode]
    return contenders


def list_ladder(args: argparse.Namespace) -> list[Contender]:
    """Rows with one more optimization each."""
    ladder = [
        Contender("naive", "exact", "eager"),
        Contender("ours", "exact", "eager"),
        Contender("ours", "exact", "graph", needs_cuda=True),
        Contender("ours", "dual", "graph"),
        Contender("ours", "dual", "compiled"),
    ]
    for kind in args.quantize or ["int8"]:
        ladder += [Contender("ours", "dual", engine, kind) for engine in ("graph", "compiled")]
    return ladder


def most_recordings(contenders: list[Contender]) -> int:
    """The largest number of recordings that one model has to keep while contenders take turns."""
    counts = Counter()
    for one in contenders:
        if one.is_recorded:
            counts[one.name, one.weights] += 2 if one.mode == "drafts" else 1  # drafts have their own
    return max(counts.values(), default=0)


class Models:
    """The models of a cell, each built when it is first needed. Contenders with the same weights share a model."""

    def __init__(self, args: argparse.Namespace, config: LLaDAConfig) -> None:
        self.args = args
        self.config = config
        self.models: dict[str, nn.Module] = {}

    def of(self, contender: Contender) -> nn.Module:
        name = "against" if contender.name == "against" else contender.weights or "plain"
        if name not in self.models:
            self.models[name] = self.build(name)
        return self.models[name]

    def build(self, name: str) -> nn.Module:
        device, dtype = self.args.device, getattr(torch, self.args.dtype)
        if name == "against":
            return load_second(self.args.against, device, dtype)
        if self.args.checkpoint is not None:
            model = load_checkpoint(self.args.checkpoint, device, dtype)
        else:
            model = random_model(self.config, device, dtype)
        if name != "plain":
            quantize(model, name)
        return model

    def bytes_of(self, contender: Contender) -> int:
        return num_bytes(self.of(contender))


def bind(contender: Contender, models: Models, cell: Cell, prompts: torch.LongTensor) -> Callable[..., object]:
    """A function that runs the generation of a contender, with all passes of the schedule or with the given `steps`."""
    if contender.needs_cuda and prompts.device.type != "cuda":
        raise Unavailable("steps are recorded on a CUDA device only; the rows below are not recorded either")
    model = models.of(contender)
    if contender.name == "naive":
        schedule = {"steps": cell.passes, "block_length": cell.block_length}
        return partial(minimal.sample, model, prompts, model.config.mask_token_id, cell.answer, **schedule)
    options = {
        "max_new_tokens": cell.answer,
        "steps": cell.passes,
        "block_length": cell.block_length,
        "stop_at_eos": False,
        "return_dict_in_generate": True,
    }
    if contender.mode == "drafts":
        options |= {"block_cache": "dual", "draft_steps": DRAFT_STEPS}
    elif contender.mode != "exact":
        options["block_cache"] = contender.mode
    if contender.engine == "eager":
        options["disable_compile"] = True
    if contender.engine == "compiled":
        options["compile_config"] = CompileConfig()
    return partial(model.generate, prompts, **options)
