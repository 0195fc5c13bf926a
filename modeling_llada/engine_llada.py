# Copyright 2026 The modeling_llada authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Static shapes: the denoising step as a CUDA graph.

A step of an 8B model takes a GPU 7 to 11 milliseconds, and Python three times as long to launch its kernels. So a step is
recorded once for a shape, which costs about a second, and then replayed: all rows and all positions of the block in each
step, offsets and counters as tensors, and no decision on the host.
"""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

import torch
from torch import nn
from transformers.utils import logging

from .cache_llada import window_of
from .canvas_llada import Canvas
from .denoising_llada import Denoiser
from .generation_config_llada import PARALLEL_RULES, LLaDAGenerationConfig
from .guidance_llada import guided_logits


logger = logging.get_logger(__name__)

LENGTH_MULTIPLE = 64  # canvases are padded to a multiple of it, so that few shapes occur
POLL_INTERVAL = 2  # steps between two looks at whether a block is finished, where that is not known beforehand
MAX_SHAPES = 8  # recorded shapes that are kept for a model

# What a recorded step does not depend on.
FREE_OPTIONS = {"max_new_tokens", "steps", "block_length", "num_return_sequences", "stop_at_eos", "pad_token_id"}

_recorded: "weakref.WeakKeyDictionary[nn.Module, OrderedDict[tuple, GraphDenoiser]]" = weakref.WeakKeyDictionary()


class GraphDenoiser(Denoiser):
    """
    Makes denoising steps like [`Denoiser`], but recorded ones, on a canvas of its own whose memory never moves.

    Args:
        model (`nn.Module`):
            The mask predictor, on a CUDA device.
        canvas ([`Canvas`]):
            A canvas of the shape to record.
        config ([`LLaDAGenerationConfig`]):
            The options.
    """

    def __init__(self, model: nn.Module, canvas: Canvas, config: LLaDAGenerationConfig) -> None:
        super().__init__(model, canvas, config, strategy=None, generators=[None], logits_processor=None)
        self.lock = threading.Lock()
        batch_size, length = canvas.tokens.shape
        device = canvas.tokens.device
        self.block_start, self.window_start, self.block_step = torch.zeros(3, dtype=torch.long, device=device)
        self.num_masks, self.num_steps = torch.ones(2, batch_size, dtype=torch.long, device=device)
        self.is_unfinished = torch.zeros((), dtype=torch.bool, device=device)
        # In four dimensions, since the building of a mask from two would look at its values.
        self.attention_mask = None if canvas.position_ids is None else as_key_mask(canvas)
        self.position_ids = canvas.position_ids
        if self.position_ids is None:
            self.position_ids = torch.arange(length, device=device).expand(batch_size, -1)
        self.graphs: dict[tuple[int, int], torch.cuda.CUDAGraph] = {}
        self.pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    def load(self, canvas: Canvas) -> None:
        """Copies a canvas into the one of the recording."""
        for field in fields(Canvas):
            value = getattr(canvas, field.name)
            if value is not None:
                getattr(self.canvas, field.name).copy_(value)
        if self.attention_mask is not None:
            self.attention_mask.copy_(as_key_mask(canvas))

    def steps(self, block: slice, num_steps: torch.LongTensor) -> Iterator[int]:
        """Counts the steps of a block: those of the schedule, or fewer, when a parallel rule has committed it."""
        is_parallel = any(getattr(self.config, rule) is not None for rule in PARALLEL_RULES)
        for step in range(int(num_steps.max())):
            yield step
            if is_parallel and step % POLL_INTERVAL == POLL_INTERVAL - 1 and not self.is_unfinished.item():
                return

    def step(self, block: slice, num_masks: torch.LongTensor, num_steps: torch.LongTensor, block_step: int) -> None:
        """Replays the step for the shape of the block and its window, and records it the first time."""
        if block_step == 0:
            self.block_start.fill_(block.start)
            self.block_step.zero_()
            self.num_masks.copy_(num_masks)
            self.num_steps.copy_(num_steps)
        window = self._visible(block)
        if self.cache is not None and not self._refreshes(block_step):
            window = window_of(block, self.config.block_cache, window.stop)
        self.window_start.fill_(window.start)
        shape = (block.stop - block.start, window.stop - window.start)
        if shape not in self.graphs:
            self.graphs[shape] = self._record(*shape)
        self.graphs[shape].replay()

    def _record(self, block_length: int, window_length: int) -> torch.cuda.CUDAGraph:
        """Records a step, after it has run a few times: the first runs allocate and choose kernels."""
        given, block_step = self.canvas.given.clone(), self.block_step.clone()
        self.canvas.given.fill_(True)  # without masks a step commits nothing
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        graph = torch.cuda.CUDAGraph()
        with fused_projections(self.model):
            with torch.cuda.stream(stream):
                for _ in range(2):
                    self._static_step(block_length, window_length)
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
                self._static_step(block_length, window_length)
        self.canvas.given.copy_(given)
        self.block_step.copy_(block_step)
        return graph

    def _static_step(self, block_length: int, window_length: int) -> None:
        """The step of [`Denoiser`] with tensors in the place of offsets and counters."""
        device = self.block_start.device
        block = self.block_start + torch.arange(block_length, device=device)
        self.window = self.window_start + torch.arange(window_length, device=device)
        super().step(block, self.num_masks, self.num_steps, self.block_step)
        self.block_step += 1
        self.is_unfinished.copy_(self.canvas.masked(block).any())

    def _predict_masks(self, block: torch.LongTensor, mask: torch.BoolTensor, block_step: torch.Tensor):
        """The logits of all positions of the block, `(batch * block_length, vocab_size)`."""
        is_whole = len(self.window) == self.canvas.tokens.shape[1]
        window = slice(None) if is_whole else self.window
        if self.cache is not None:
            self.cache.window = None if is_whole else self.window
        logits = guided_logits(
            self.model,
            self.canvas.tokens[:, window],
            given=self.canvas.given[:, window],
            mask_token_id=self.config.mask_token_id,
            cfg_scale=self.config.cfg_scale,
            attention_mask=self.attention_mask,
            position_ids=self.position_ids[:, window],
            logits_to_keep=(block - self.window_start).expand(len(mask), -1),
            past_key_values=self.cache,
        )
        return logits.flatten(0, 1)


@contextmanager
def fused_projections(model: nn.Module) -> Iterator[None]:
    """Lets projections of the same input run as one product, and norms as one kernel."""
    modules = [module for module in model.modules() if is_fusable(module)]
    norms = [module for module in model.modules() if hasattr(module, "is_fused")]
    for module in modules:
        module.fused_weight = fuse([getattr(module, name).weight for name in module.fusable])
    for norm in norms:
        norm.is_fused = True
    try:
        yield
    finally:
        for module in modules:
            del module.fused_weight
        for norm in norms:
            del norm.is_fused


def is_fusable(module: nn.Module) -> bool:
    """Whether the module has projections to fuse and they are plain: no adapter, no quantized weight."""
    projections = [getattr(module, name) for name in getattr(module, "fusable", ())]
    return bool(projections) and all(
        type(projection) is nn.Linear and type(projection.weight.data) is torch.Tensor for projection in projections
    )


def fuse(weights: list[nn.Parameter]) -> torch.Tensor:
    """The weights below each other, `(sum of rows, columns)`, in one storage of which the parameters become views."""
    rows, columns = sum(len(weight) for weight in weights), weights[0].shape[1]
    ends = [weight.data_ptr() + weight.nbytes for weight in weights[:-1]]
    if [weight.data_ptr() for weight in weights[1:]] == ends and len(
        {w.untyped_storage().data_ptr() for w in weights}
    ) == 1:
        return weights[0].data.as_strided((rows, columns), (columns, 1))
    fused = torch.cat([weight.data for weight in weights])
    for weight, part in zip(weights, fused.split([len(weight) for weight in weights]), strict=True):
        weight.data = part
    return fused


def as_key_mask(canvas: Canvas) -> torch.BoolTensor:
    """The attention mask over the keys, `(batch, 1, 1, length)`."""
    return canvas.attention_mask.bool()[:, None, None, :]


def pad_canvas(canvas: Canvas, mask_token_id: int) -> Canvas:
    """The canvas with a length that is a multiple of `LENGTH_MULTIPLE`; what is added is neither seen nor filled."""
    length = canvas.tokens.shape[1]
    added = -length % LENGTH_MULTIPLE
    if added == 0:
        return canvas
    pad = nn.functional.pad
    position_ids = canvas.position_ids
    if position_ids is None:
        position_ids = torch.arange(length, device=canvas.tokens.device).expand(canvas.tokens.shape)
    return Canvas(
        # Not the pad token, which is often the EOS token and would end the row.
        tokens=pad(canvas.tokens, (0, added), value=mask_token_id),
        attention_mask=pad(canvas.attention_mask, (0, added), value=0),
        position_ids=pad(position_ids, (0, added), value=0),
        given=pad(canvas.given, (0, added), value=True),
        step=pad(canvas.step, (0, added), value=-1),
        confidence=pad(canvas.confidence, (0, added), value=torch.nan),
        num_forward_passes=canvas.num_forward_passes,
        ended=canvas.ended,
        stopped=canvas.stopped,
    )


def find_graph_denoiser(model: nn.Module, canvas: Canvas, config: LLaDAGenerationConfig) -> GraphDenoiser:
    """The recording for the shape of a canvas and the options, a new one if there is none."""
    canvas = pad_canvas(canvas, config.mask_token_id)
    with fused_projections(model):
        pass  # so that the weights lie where the recording will look for them
    options = {name: value for name, value in vars(config).items() if name not in FREE_OPTIONS}
    key = (
        tuple(canvas.tokens.shape),
        canvas.position_ids is None,
        repr(sorted(options.items())),
        model.config._attn_implementation,
        # A recording reads the memory in which the weights lay.
        tuple(parameter.data_ptr() for parameter in model.parameters()),
    )
    recordings = _recorded.setdefault(model, OrderedDict())
    if key not in recordings:
        own = Canvas(**{field.name: clone(getattr(canvas, field.name)) for field in fields(Canvas)})
        recordings[key] = GraphDenoiser(weakref.proxy(model), own, config)
        while len(recordings) > MAX_SHAPES:
            recordings.popitem(last=False)
    recordings.move_to_end(key)
    denoiser = recordings[key]
    denoiser.load(canvas)
    return denoiser


def clone(tensor: torch.Tensor | None) -> torch.Tensor | None:
    return None if tensor is None else tensor.clone()


def obstacle(model: nn.Module, canvas: Canvas, config: LLaDAGenerationConfig) -> str | None:
    """Why the steps of a call cannot be recorded; `None` if they can."""
    if canvas.tokens.device.type != "cuda":
        return "the model is not on a CUDA device"
    if config.disable_compile:
        return "`disable_compile` is set"
    if config.sampling_temperature > 0 or config.remasking == "random":
        return "random numbers are drawn"
    if config.suffix_window is not None:
        return "a suffix window changes the length of the canvas"
    if model.training:
        return "the model is in training mode"
    if len(set(getattr(model, "hf_device_map", None) or {})) > 1:
        return "the model is spread over devices"
    if getattr(model, "_hf_peft_config_loaded", False) or any(hasattr(m, "base_layer") for m in model.modules()):
        return "adapters can be switched"
    if getattr(model, "_tp_size", None) or getattr(model, "tp_size", None):
        return "the model is tensor-parallel"
    return None


__all__ = ["GraphDenoiser"]
