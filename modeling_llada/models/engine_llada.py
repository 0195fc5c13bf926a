# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The denoising step at static shapes, recorded as a CUDA graph.

A step of an 8B model takes a GPU 7 to 11 milliseconds, and Python needs three times as long to launch its kernels. So the
step is recorded once for each shape, which takes about a second, and then replayed. A recorded step computes all rows and all
positions of the block, reads offsets and counters from tensors, and leaves no decision to the host. Calls that cannot be
recorded make their steps with [`Denoiser`].
"""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn
from transformers.utils import logging

from .blocks_llada import Block
from .cache_llada import RowsCache, Window
from .canvas_llada import Canvas
from .constrained_denoising_llada import CanvasConstraint, ConstrainedDenoiser
from .constrained_editing_llada import ConstrainedEditingDenoiser
from .denoising_llada import Denoiser, Prediction, places_in, propose_and_score
from .drafting_llada import DraftingDenoiser
from .editing_llada import EditingDenoiser
from .generation_config_llada import LLaDAGenerationConfig
from .guidance_llada import guided_logits
from .insert_delete_llada import InsertDeleteDenoiser
from .kernels_llada import Kernels, compile_one, copy_function, fuse_weights, fused, is_plain
from .options_llada import EARLY_OPTIONS, RECORDED_OPTIONS
from .reopening_llada import ConstrainedReopeningDenoiser, ReopeningDenoiser
from .sampling_llada import draw_uniform, widest_float


logger = logging.get_logger(__name__)

LENGTH_MULTIPLE = 64  # canvases are padded to a multiple of this length, so that few shapes occur
POLL_INTERVAL = 2  # with a parallel rule: steps between two checks of whether a block is complete
MAX_RECORDINGS = 8  # for each model; a batch whose rows end needs one for each number of rows that is left
MAX_REPLAYS = 8  # for each recording: pairs of a block length and a window length


@contextmanager
def open_denoiser(
    model: nn.Module,
    canvas: Canvas,
    config: LLaDAGenerationConfig,
    strategy: Callable | None,
    generators: list[torch.Generator | None],
    processors: list[Callable],
    is_watched: bool,
    constraint: CanvasConstraint | None = None,
) -> Iterator[Denoiser]:
    """
    Gives the denoiser of a call: one that replays recorded steps where that is possible, else a [`Denoiser`].

    `is_watched` says whether a streamer or a stopping criterion looks at the steps. `constraint` keeps the rows in its
    languages. The other arguments are those of [`Denoiser`].
    """
    reason = "a callable takes part in them" if strategy or processors else why_not_recordable(model, canvas, config)
    if constraint is not None and not (config.draft_steps is None and config.edit_threshold is None):
        reason = reason or "a constraint takes part in the drafts or edits"
    recordings = None if reason else recordings_of(model)
    if recordings is None or not recordings.lock.acquire(blocking=False):
        logger.debug(f"The steps are not recorded: {reason or 'another thread replays them'}.")
        kind = kind_of_denoiser(config, constraint is not None)
        if constraint is not None:
            kind = partial(kind, constraint=constraint)
        yield with_drafts(lambda canvas: kind(model, canvas, config, strategy, generators, processors), canvas, config)
        return
    try:
        # A tensor that is made in inference mode cannot be written to outside of it.
        with torch.inference_mode(False), torch.no_grad():
            if constraint is not None:
                passes = recordings.find(
                    weakref.proxy(model), canvas, config, generators, is_watched=True, kind=RecordedPasses
                )
                arguments = (model, passes.canvas, config, strategy, generators, processors)
                yield ConstrainedDenoiser(*arguments, constraint=constraint, predict=passes.predict)
                return
            yield with_drafts(
                lambda canvas: recordings.find(weakref.proxy(model), canvas, config, generators, is_watched),
                canvas,
                config,
            )
    finally:
        recordings.lock.release()


def kind_of_denoiser(config: LLaDAGenerationConfig, is_constrained: bool) -> type[Denoiser]:
    """The class that makes the steps of a call that are not recorded."""
    if config.reopen_threshold is not None:
        return ConstrainedReopeningDenoiser if is_constrained else ReopeningDenoiser
    if config.edit_threshold is None:
        return ConstrainedDenoiser if is_constrained else Denoiser
    if is_constrained:
        return ConstrainedEditingDenoiser
    return InsertDeleteDenoiser if config.insert_delete else EditingDenoiser


def with_drafts(
    open_one: Callable[[Canvas], Denoiser], canvas: Canvas, config: LLaDAGenerationConfig
) -> Denoiser | DraftingDenoiser:
    """Opens the denoiser of a canvas. With `draft_steps`, a second one holds the rows of all drafts."""
    denoiser = open_one(canvas)
    if config.draft_steps is None:
        return denoiser
    return DraftingDenoiser(denoiser, verifier=open_one(canvas.repeat(config.draft_steps)))


def why_not_recordable(model: nn.Module, canvas: Canvas, config: LLaDAGenerationConfig) -> str | None:
    """Says why the steps of a call cannot be recorded. Returns `None` if they can."""
    if config.disable_compile:
        return "`disable_compile` is set"
    if canvas.tokens.device.type != "cuda" and config.compile_config is None:
        return "the model is not on a CUDA device, and there is no `compile_config`"
    if config.suffix_window is not None and model.block_geometry.sees_suffix:
        return "a suffix window changes the length of the canvas"
    if config.reopen_threshold is not None:
        return "the checks of committed tokens make the canvas longer"
    if config.insert_delete:
        return "DELETE and INSERT depend on the earlier steps of a block"
    if model.training or torch.is_autocast_enabled(canvas.tokens.device.type):
        return "the model is in training mode, or under autocast"
    if hasattr(model, "_hf_hook") or getattr(model, "_tp_size", None) not in (None, 1):
        return "the model is spread over devices"
    if model.config._attn_implementation != "sdpa":
        return "the attention is not sdpa, which alone takes the mask as it is"
    if getattr(model.config, "num_experts", 0) and experts_wait(model, canvas.tokens.device):
        return "the experts wait for the device: to be recorded they need `grouped_mm`, bfloat16 and a GPU of Hopper or later"
    if model.config.rope_parameters["rope_type"] in ("dynamic", "longrope"):
        return "the frequencies of the rotary embedding depend on the length"
    for module in model.modules():
        hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
        if hasattr(module, "base_layer") or not all(map(is_idle, hooks)):
            return "the model has adapters or hooks, which can be switched"
    return None


def experts_wait(model: nn.Module, device: torch.device) -> bool:
    """Whether the host has to know how many tokens each expert gets. `grouped_mm` tells it where it has no kernel."""
    implementation = model.config._experts_implementation
    if implementation in ("eager", "batched_mm"):
        return implementation == "eager"
    return device.type == "cuda" and (
        model.dtype != torch.bfloat16 or torch.cuda.get_device_capability(device) < (9, 0)
    )


def is_idle(hook: Callable) -> bool:
    """Whether a hook does nothing in a step. Those of `output_hidden_states` and its kin stay after a call that had asked."""
    return getattr(hook, "__module__", None) == "transformers.utils.output_capturing"


class Recordings:
    """The recordings of one model. One is replayed at a time, and the least recently used one is dropped."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pool = torch.cuda.graph_pool_handle() if torch.cuda.is_available() else None
        self.by_key: OrderedDict[tuple, RecordedDenoiser] = OrderedDict()

    def find(
        self,
        model: nn.Module,
        canvas: Canvas,
        config: LLaDAGenerationConfig,
        generators: list[torch.Generator | None],
        is_watched: bool,
        kind: "type[RecordedDenoiser] | None" = None,
    ) -> "RecordedDenoiser":
        """Finds or makes the recording for a canvas shape, options and weights, and copies the canvas into it."""
        kind = kind or (RecordedDenoiser if config.edit_threshold is None else RecordedEditingDenoiser)
        length = canvas.tokens.shape[1]
        if length % LENGTH_MULTIPLE:
            canvas = canvas.padded(length + -length % LENGTH_MULTIPLE, config.mask_token_id)
        fuse_weights(model)
        key = (
            tuple(canvas.tokens.shape),
            tuple(name for name, value in vars(canvas).items() if value is None),
            kind,
            is_watched,
            model.block_geometry,
            getattr(model.config, "_experts_implementation", None),
            config.sampling_temperature > 0,
            repr([getattr(config, name) for name in RECORDED_OPTIONS]),
            # A recording reads the memory where the weights were when it was made.
            tuple((id(weight), address(weight)) for weight in (*model.parameters(), *model.buffers())),
        )
        if key not in self.by_key:
            find = weakref.WeakMethod(self.find)
            self.by_key[key] = kind(model, canvas.copy(), config, is_watched, self.pool, find)
        self.by_key.move_to_end(key)
        while len(self.by_key) > MAX_RECORDINGS:
            self.by_key.popitem(last=False)
        self.by_key[key].copy_from(canvas, config, generators)
        return self.by_key[key]


_recordings: "weakref.WeakKeyDictionary[nn.Module, Recordings]" = weakref.WeakKeyDictionary()


def recordings_of(model: nn.Module) -> Recordings:
    """The recordings of a model, which do not keep it alive."""
    return _recordings.get(model) or _recordings.setdefault(model, Recordings())


class RecordedDenoiser(Denoiser):
    """
    Makes the steps of [`Denoiser`] at static shapes, on a canvas of its own whose memory never moves.

    `pool` is the memory pool of the CUDA graphs. `find` is [`Recordings.find`], which gives a recording of fewer rows.
    """

    def __init__(
        self,
        model: nn.Module,
        canvas: Canvas,
        config: LLaDAGenerationConfig,
        is_watched: bool,
        pool: tuple | None,
        find: weakref.WeakMethod,
    ) -> None:
        super().__init__(model, canvas, config, strategy=None, generators=[None], processors=[])
        batch_size, length = canvas.tokens.shape
        device = canvas.tokens.device
        ones = torch.ones(batch_size, dtype=torch.long, device=device)
        # The recorded steps read these tensors, which every step fills anew.
        self.block = Block.at(slice(0, 1), ones.clone(), ones.clone(), max_steps=1)
        self.window = Window(ones.clone(), ones.clone(), width=1)
        # In four dimensions: transformers builds a mask from two dimensions only after looking at its values.
        hides_nothing = canvas.position_ids is None and config.suffix_window is None
        self.attention_mask = None if hides_nothing else as_key_mask(canvas)
        self.position_ids = canvas.position_ids
        if self.position_ids is None:
            self.position_ids = torch.arange(length, device=device).expand(batch_size, -1)
        self.kernels = Kernels()
        if config.compile_config is not None:
            self.kernels = Kernels.compile(config.compile_config)
            # Compiled, it reads the logits of the whole vocabulary fewer times.
            self.propose_and_score = compile_one(copy_function(propose_and_score), config.compile_config)
        self.is_watched = is_watched
        self.pool, self.find = pool, find
        self.rows: torch.LongTensor | None = None
        self.fewer: RecordedDenoiser | None = None
        self.temperature = torch.zeros((), dtype=widest_float(device), device=device)
        self.uniform: dict[tuple[int, int], torch.Tensor] = {}
        self.replays: OrderedDict[tuple[int, int | None], Callable[[], Prediction]] = OrderedDict()

    def copy_from(
        self, canvas: Canvas, config: LLaDAGenerationConfig, generators: list[torch.Generator | None]
    ) -> None:
        """Copies a canvas into that of the recording, and keeps the arguments that no recorded step depends on."""
        self.rows = self.fewer = None
        self.config, self.generators = config, generators
        self.temperature.fill_(config.sampling_temperature)
        self.canvas.copy_from(canvas)
        if self.attention_mask is not None:
            self.attention_mask.copy_(as_key_mask(canvas))
        if self.geometry.is_block_causal:
            self.block_ids.copy_(self.geometry.block_ids(canvas.attention_mask, config.block_length))
            if self.cache is not None:
                self.cache.restart(canvas.attention_mask.argmax(-1))

    def steps(self, block: Block) -> Iterator[None]:
        """Yields before each step of a block: those of the schedule, or fewer if the block is complete earlier."""
        if block.max_steps == 0:
            return
        can_be_early = self.is_watched or any(
            option.is_set(getattr(self.config, option.name)) for option in EARLY_OPTIONS
        )
        interval = 1 if self.is_watched else POLL_INTERVAL
        self.rows, self.fewer = self._leave_ended_rows(block)
        canvas = self.canvas if self.fewer is None else self.fewer.canvas
        in_canvas = block if self.fewer is None else block.select(self.rows)
        for step in range(block.max_steps):
            yield
            if can_be_early and step % interval == interval - 1 and not canvas.masked_in(in_canvas).any():
                break
        if self.fewer is not None:
            self.canvas.put(self.rows, canvas)
            self.rows = self.fewer = None

    def _leave_ended_rows(self, block: Block) -> tuple[torch.LongTensor | None, "RecordedDenoiser | None"]:
        """
        Finds a recording of at most half the rows, a power of two, if the others have ended. With a cache the rows stay,
        since a step then costs about the same for few rows and for many.
        """
        batch_size, can_leave = len(self.canvas.tokens), self.config.stop_at_eos and not self.is_watched
        if batch_size == 1 or self.cache is not None or not can_leave or self.config.draft_steps is not None:
            return None, None
        is_active = self.canvas.masked_in(block).any(-1)
        num_active = int(is_active.sum())
        num_rows = 1 << max(num_active - 1, 0).bit_length()
        if num_active == 0 or 2 * num_rows > batch_size:
            return None, None
        rows = is_active.long().argsort(descending=True, stable=True)[:num_rows]
        generators = self.generators
        if len(generators) > 1:
            generators = [generators[row] for row in rows.tolist()]
        canvas = self.canvas.select(rows)
        return rows, self.find()(self.model, canvas, self.config, generators, self.is_watched)

    def _run(self, block: Block) -> Prediction:
        """Replays the step for the shape of the block and its window, and records it the first time."""
        if self.fewer is not None:
            return self.fewer.step(block.select(self.rows))
        window = self._window(block)
        self.block.copy_from(block)
        shape = (block.width, None)
        if window is not None:
            self.window.start.copy_(window.start)
            self.window.stop.copy_(window.stop)
            shape = (block.width, self._recorded_width(window, block))
        self._refill_uniform(block)
        if window is not None and self.geometry.is_block_causal and window.width > 2 * block.width:
            # The prompt, which comes once in a call and has any length
            return self._trim(self._fused_step(*shape))
        if shape not in self.replays:
            self.replays[shape] = self._record(*shape)
        self.replays.move_to_end(shape)
        if len(self.replays) > MAX_REPLAYS:
            self._forget_a_replay()
        return self._trim(self.replays[shape]())

    def _recorded_width(self, window: Window, block: Block) -> int:
        """
        The width that a window is recorded with. That of a prefix cache is another one for each block: rounded up, so few
        occur that no replay is dropped before the next call needs it.
        """
        if self.geometry.is_block_causal or window.width == block.width:
            return window.width
        length = self.canvas.tokens.shape[1]
        multiple = LENGTH_MULTIPLE * -(-length // (LENGTH_MULTIPLE * (MAX_REPLAYS - 2)))
        return window.width + -window.width % multiple

    def _trim(self, prediction: Prediction) -> Prediction:
        """Those of its logits that belong to masks."""
        if not self.is_watched:
            return prediction
        is_masked = prediction.mask.flatten()
        return prediction._replace(logits=prediction.logits[is_masked], scores=prediction.scores[is_masked])

    def _forget_a_replay(self) -> None:
        """Drops the least recently used replay, and the random numbers that no other replay reads."""
        self.replays.popitem(last=False)
        lengths = {block_length for block_length, _ in self.replays}
        self.uniform = {key: values for key, values in self.uniform.items() if key[0] in lengths}

    def _refill_uniform(self, block: Block) -> None:
        """Draws the random numbers of a step, as [`Denoiser`] would. Inside a recording nothing can be drawn."""
        widths = [self.model.config.vocab_size] if self.config.sampling_temperature > 0 else []
        widths += [1] if self.config.remasking == "random" else []
        if not widths:
            return
        mask = self._active(block)
        for width in widths:
            values = draw_uniform(mask, self.generators, width)
            key = (mask.shape[1], width)
            if key not in self.uniform:
                # Positions without a mask keep 0.5: the Gumbel noise takes a logarithm of every number.
                self.uniform[key] = values.new_full((mask.numel(), width), 0.5)
            self.uniform[key].masked_scatter_(mask.view(-1, 1), values)

    def _draw_uniform(self, mask: torch.BoolTensor, width: int) -> torch.Tensor:
        return self.uniform[mask.shape[1], width]

    def _record(self, block_length: int, window_length: int | None) -> Callable[[], Prediction]:
        """Records a step as a CUDA graph. Two runs come first, which allocate memory and choose kernels."""

        def step() -> Prediction:
            return self._fused_step(block_length, window_length)

        if self.canvas.tokens.device.type != "cuda":
            return step
        given = self.canvas.given.clone()
        self.canvas.given.fill_(True)  # without masks a step commits nothing
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
                prediction = step()
        except RuntimeError as error:
            raise RuntimeError(
                "The denoising step cannot be recorded as a CUDA graph with this model. Pass `disable_compile=True` to "
                "`generate`, or set it in the generation config."
            ) from error
        self.canvas.given.copy_(given)

        def replay() -> Prediction:
            graph.replay()
            return prediction

        return replay

    def _fused_step(self, block_length: int, window_length: int | None) -> Prediction:
        with fused(self.model, self.kernels):
            return self._static_step(block_length, window_length)

    def _static_step(self, block_length: int, window_length: int | None) -> Prediction:
        """The step of [`Denoiser`] at static shapes: offsets and counters are tensors. Without a window all is recomputed."""
        self.block.width, self.window.width = block_length, window_length
        prediction = self._step(self.block)
        # Logits that are returned would take memory as long as the recording lives.
        return prediction if self.is_watched else prediction._replace(logits=None, scores=None)

    def _predict_masks(self, block: Block, mask: torch.BoolTensor) -> tuple[torch.FloatTensor, torch.LongTensor]:
        """The logits of all positions of the block, since the shapes are static."""
        canvas, length = self.canvas, self.canvas.tokens.shape[1]
        if self.window.width is None:
            positions, queries = None, block.positions(length)
            tokens, given, position_ids = canvas.tokens, canvas.given, self.position_ids
            embeddings = canvas.embeddings_at(slice(None), length)
        else:
            positions, queries = self.window.positions, places_in(self.window, block)
            tokens, given, position_ids = (
                values.take_along_dim(positions, dim=1) for values in (canvas.tokens, canvas.given, self.position_ids)
            )
            embeddings = canvas.embeddings_at(slice(None), positions)
        if self.cache is not None:
            is_guided = self.config.cfg_scale > 0 and positions is not None
            computed = torch.cat([positions, positions]) if is_guided else positions
            if isinstance(self.cache, RowsCache):
                self.cache.place(computed, None, length)
            else:
                self.cache.window = computed
        logits = guided_logits(
            self.model,
            tokens,
            given=self._masked_by_guidance(given, embeddings),
            mask_token_id=self.config.mask_token_id,
            cfg_scale=self.config.cfg_scale,
            attention_mask=self._key_mask(block, positions),
            position_ids=position_ids,
            logits_to_keep=None,
            cache=self.cache,
            # Where only the block is recomputed, it is all that the model sees.
            query_positions=queries if positions is None or queries.shape != tokens.shape else None,
            embeddings=embeddings,
        )
        logits = logits.flatten(0, 1)
        return logits, torch.arange(len(logits), device=logits.device)

    def _key_mask(self, block: Block, positions: torch.LongTensor | None) -> torch.BoolTensor | None:
        """The keys that the rows see, `(batch, 1, 1 or num_positions, length)`; `None` where these are all."""
        if self.geometry.is_block_causal:
            return self._block_causal_mask(slice(None), positions, self.canvas.tokens.shape[1])
        if self.config.suffix_window is None:
            return self.attention_mask
        visible = self._visible(block)[:, None, None, None]
        return self.attention_mask & (torch.arange(self.attention_mask.shape[-1], device=visible.device) < visible)


class RecordedEditingDenoiser(EditingDenoiser, RecordedDenoiser):
    """Makes the steps of [`EditingDenoiser`] at static shapes. No schedule says how many of them a block takes."""

    def steps(self, block: Block) -> Iterator[None]:
        """Yields before each step of a block, or some steps more, which change nothing."""
        self._start(block)
        interval = 1 if self.is_watched else POLL_INTERVAL
        while self._active(block).any():
            for _ in range(interval):
                yield


class RecordedPasses(RecordedDenoiser):
    """Makes only the forward passes at static shapes, for a denoiser that goes on with the logits without a recording."""

    def predict(self, block: Block) -> tuple[torch.FloatTensor, torch.LongTensor]:
        """The logits of the masks, `(num_masked, vocab_size)`, and their places in the flattened block."""
        prediction = self._run(block)
        return prediction.logits, prediction.mask.flatten().nonzero().squeeze(-1)

    def _step(self, block: Block) -> Prediction:
        mask = self._active(block)
        logits, _ = self._predict_masks(block, mask)
        return Prediction(mask, proposal=None, confidences=None, logits=logits, scores=None)

    def _trim(self, prediction: Prediction) -> Prediction:
        return prediction._replace(logits=prediction.logits[prediction.mask.flatten()])

    def _refill_uniform(self, block: Block) -> None:
        """The other denoiser draws the random numbers."""


def address(weight: torch.Tensor) -> int:
    """Where a weight lies; quantized ones do not say."""
    return weight.data_ptr() if is_plain(weight) else 0


def as_key_mask(canvas: Canvas) -> torch.BoolTensor:
    """The attention mask over the keys, `(batch, 1, 1, length)`."""
    return canvas.attention_mask.bool()[:, None, None, :]


__all__ = ["RecordedDenoiser"]
