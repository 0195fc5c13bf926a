# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""A denoising step: one forward pass, a proposal for each mask, and the choice of the proposals to commit."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import nn
from transformers import LogitsProcessor

from .adapters_llada import AdapterRows
from .attention_mask_llada import block_causal_mask
from .blocks_llada import Block
from .cache_llada import FinishedBlocksCache, LLaDACache, Window, window_of
from .canvas_llada import Canvas, write_commits
from .embeddings_llada import GivenEmbeddings
from .generation_config_llada import LLaDAGenerationConfig, as_tensor
from .guidance_llada import guided_logits
from .remasking_llada import Confidences, choose_commits, confidences_of, step_budget
from .sampling_llada import (
    call_processors,
    defer_end_tokens,
    draw_uniform,
    propose,
    sampling_warpers,
    scatter_to_block,
    suppress,
)


class Prediction(NamedTuple):
    """
    The predictions of a step. Of shape `(batch, block_length)` are the predicted positions, which are the masks before it,
    the proposals and their confidences; of shape `(num_predicted, vocab_size)` the logits, and the logits that confidences
    are taken from.
    """

    mask: torch.BoolTensor
    proposal: torch.LongTensor
    confidences: Confidences
    logits: torch.FloatTensor | None
    scores: torch.FloatTensor | None


class Denoiser:
    """
    Makes the denoising steps of a call of [`~LLaDAForMaskedLM.generate`], which change the canvas in place.

    `strategy` is a remasking of the user, `processors` are logits processors. There is one generator for the batch, or one
    for each row.
    """

    def __init__(
        self,
        model: nn.Module,
        canvas: Canvas,
        config: LLaDAGenerationConfig,
        strategy: Callable | None,
        generators: list[torch.Generator | None],
        processors: list[Callable],
    ) -> None:
        self.model = model
        self.canvas = canvas
        self.config = config
        self.strategy = strategy
        self.generators = generators
        self.processors = processors
        self.copies = config.num_return_sequences  # rows of the canvas for each row of the call
        device = canvas.tokens.device
        self.ruled_out = ruled_out_tokens(model, config, device)
        self.cuts = as_tensor(config.eos_token_id, device) if canvas.end is not None else None
        self.deferred = end_tokens(config, device) if config.confidence_eos_eot_inf else None
        self.cache = None if config.block_cache is None else LLaDACache(model.config.num_hidden_layers)
        self.cached_rows: torch.LongTensor | None = None
        self.geometry = model.block_geometry
        if self.geometry.is_block_causal:
            self.block_ids = self.geometry.block_ids(canvas.attention_mask, config.block_length)
            if self.cache is not None:
                num_rows, length = canvas.tokens.shape
                num_rows *= 2 if config.cfg_scale > 0 else 1
                self.cache = FinishedBlocksCache(model.config.num_hidden_layers, num_rows, length)
                self.cache.restart(canvas.attention_mask.argmax(-1))
        self.temperature: float | torch.Tensor = config.sampling_temperature
        self.warpers = sampling_warpers(config)
        self.never_proposed: int | torch.Tensor | None = config.mask_token_id
        self.propose_and_score = propose_and_score

    def steps(self, block: Block) -> Iterator[None]:
        """Yields before each step of a block, until it holds no mask; that may take more steps than scheduled."""
        while self._active(block).any():
            yield

    def step(self, block: Block) -> Prediction:
        """Makes one step in the active block, and counts it in the block."""
        prediction = self._run(block)
        block.step += 1
        block.num_passes += 1
        return prediction

    def _active(self, block: Block) -> torch.BoolTensor:
        """The positions that a step predicts, `(batch, block_length)`: the masks."""
        return self.canvas.masked_in(block)

    def _run(self, block: Block) -> Prediction:
        return self._step(block)

    def _step(self, block: Block) -> Prediction:
        mask = self._active(block)
        prediction = self._predict(block, mask)
        commit = self._choose_commits(block, mask, prediction)
        self._write(block, commit, prediction)
        return prediction

    def _predict(self, block: Block, mask: torch.BoolTensor) -> Prediction:
        """What the model predicts for some positions of the block: the masks."""
        config = self.config

        # 2.a Predict the logits of the block's masks
        logits, places = self._predict_masks(block, mask)
        self.canvas.num_forward_passes += mask.any(-1)

        # 2.b Propose a token for each mask, and take the confidence of the proposal
        is_sampled, is_random = config.sampling_temperature > 0, config.remasking == "random"
        proposal_noise = self._draw_uniform(mask, logits.shape[-1]) if is_sampled else None
        ranking_noise = self._draw_uniform(mask, 1).squeeze(-1) if is_random else None
        proposal, confidences, scores = self.propose_and_score(
            logits,
            config,
            self.ruled_out,
            self.deferred,
            self.temperature,
            self.warpers,
            proposal_noise,
            ranking_noise,
            self.never_proposed,
        )
        proposal = scatter_to_block(proposal, places, mask.shape, fill_value=0)
        return Prediction(mask, proposal, confidences.in_places(places, mask.shape), logits, scores)

    def _choose_commits(
        self, block: Block, mask: torch.BoolTensor, prediction: Prediction, num_more: torch.LongTensor | None = None
    ) -> torch.BoolTensor:
        """2.c The proposals that the strategy picks; in each row it may ask for more of them than the schedule does."""
        budget = step_budget(block.num_masks, block.num_steps, block.step, self.config.min_commits)
        if num_more is not None:
            budget = budget + num_more
        return choose_commits(prediction.confidences, mask, budget, self.config, self.strategy)

    def _write(self, block: Block, chosen: torch.BoolTensor, prediction: Prediction) -> None:
        write_commits(self.canvas, block, chosen, prediction.proposal, prediction.confidences.probability, self.cuts)

    def _draw_uniform(self, mask: torch.BoolTensor, width: int) -> torch.Tensor:
        """Uniform numbers for each mask, `(num_masked, width)`."""
        return draw_uniform(mask, self.generators, width)

    def _predict_masks(self, block: Block, mask: torch.BoolTensor) -> tuple[torch.FloatTensor, torch.LongTensor]:
        """
        Makes the forward pass. Returns logits of the block in float32, `(num_predicted, vocab_size)`, and their places in
        the flattened block, `(num_predicted,)`. Here these are the masks, in row-major order.

        Rows without a mask in the block take no part.
        """
        canvas, config = self.canvas, self.config
        rows = mask.any(-1).nonzero().squeeze(-1)
        window = self._window(block)
        length = self._visible_length(block)
        if self.cache is not None:
            self._prepare_cache(rows, window, length)
        if window is None:
            positions, queries = None, block.positions(length)[rows]
            tokens, given = canvas.tokens[rows, :length], canvas.given[rows, :length]
            embeddings = canvas.embeddings_at(rows, length)
        else:
            positions, queries = window.positions[rows], places_in(window, block)[rows]
            tokens, given = (values[rows].take_along_dim(positions, 1) for values in (canvas.tokens, canvas.given))
            embeddings = canvas.embeddings_at(rows, positions)
        is_block = window is not None and queries.shape == tokens.shape  # the model computes the block alone
        is_narrowed = supports_query_positions(self.model) and queries.shape != tokens.shape
        logits = guided_logits(
            self.model,
            tokens,
            given=self._masked_by_guidance(given, embeddings),
            mask_token_id=config.mask_token_id,
            cfg_scale=config.cfg_scale,
            attention_mask=self._attention_mask(block, rows, positions, length),
            position_ids=self._position_ids(rows, positions, length),
            logits_to_keep=mask[rows] if is_block or is_narrowed else at_queries(mask[rows], queries, tokens.shape),
            cache=self.cache,
            query_positions=(queries[0] if self._is_aligned(block) else queries) if is_narrowed else None,
            rows=AdapterRows(rows // self.copies, len(canvas.tokens) // self.copies),
            embeddings=embeddings,
        )
        if self.processors:
            logits = call_processors(self.processors, canvas.tokens[mask.nonzero()[:, 0]], logits)
        # The places of the masks in order. `nonzero` would wait for the device to count them.
        return logits, mask.flatten().byte().argsort(descending=True, stable=True)[: len(logits)]

    def _masked_by_guidance(self, given: torch.BoolTensor, embeddings: GivenEmbeddings | None) -> torch.BoolTensor:
        """The positions that are masked in the unconditional half of a guided pass."""
        return given & ~embeddings.where if embeddings is not None and self.config.cfg_text_only else given

    def _visible_length(self, block: Block) -> int:
        """The number of positions that the model sees: the whole canvas, or up to the end of the last suffix window."""
        length, suffix = self.canvas.tokens.shape[1], self.config.suffix_window
        return length if suffix is None else min(length, block.span.stop + suffix)

    def _visible(self, block: Block) -> torch.LongTensor:
        """The number of positions that each row sees, `(batch,)`."""
        length, suffix = self.canvas.tokens.shape[1], self.config.suffix_window
        if suffix is None:
            return torch.full_like(block.start, length)
        return (block.start + block.length + min(suffix, length)).clamp(max=length)  # it may be too large for a tensor

    def _window(self, block: Block) -> Window | None:
        """The positions that a step recomputes; `None` for all visible ones."""
        if self.cache is None:
            return None
        if self.geometry.is_block_causal:
            return self.cache.window_of(block, takes_part=self.canvas.masked_in(block).any(-1))
        if refreshes_cache(block, self.config.cache_refresh_interval):
            return None
        return window_of(block, self.config.block_cache, self._visible(block), self._visible_length(block))

    def _prepare_cache(self, rows: torch.LongTensor, window: Window | None, length: int) -> None:
        """
        Tells the cache which of `length` visible positions the step recomputes, and drops the rows that have left the batch.
        """
        if window is None:
            self.cached_rows, self.cache.window = rows, None
            return
        if self.geometry.is_block_causal:
            self._place_in_cache(rows, window.positions[rows], length)
            return
        is_guided = self.config.cfg_scale > 0
        if len(rows) < len(self.cached_rows):
            kept = torch.isin(self.cached_rows, rows)
            self.cache.select_rows((torch.cat([kept, kept]) if is_guided else kept).nonzero()[:, 0])
            self.cached_rows = rows
        positions = window.positions[rows]
        self.cache.window = torch.cat([positions, positions]) if is_guided else positions

    def _place_in_cache(self, rows: torch.LongTensor, positions: torch.LongTensor, length: int) -> None:
        """Tells a cache that keeps all rows which positions of some rows the step computes, out of `length` visible ones."""
        if self.config.cfg_scale > 0:
            positions, rows = torch.cat([positions, positions]), torch.cat([rows, rows + len(self.canvas.tokens)])
        self.cache.place(positions, None if len(rows) == self.cache.num_rows else rows, length)

    def copy_cache_from(self, other: "Denoiser", repeats: int) -> None:
        """Copies the cache of another denoiser, each row several times."""
        if self.cache is None:
            return
        self.cache.copy_from(other.cache, repeats)
        if other.cached_rows is not None:
            copies = torch.arange(repeats, device=other.cached_rows.device)
            self.cached_rows = (other.cached_rows[:, None] * repeats + copies).flatten()

    def _is_aligned(self, block: Block) -> bool:
        """Whether the active block has the same place in the window of every row."""
        return block.is_aligned and not self.geometry.is_block_causal

    def _attention_mask(
        self, block: Block, rows: torch.LongTensor, positions: torch.LongTensor | None, length: int
    ) -> torch.Tensor | None:
        """The attention mask of the rows; `None` where every row sees all `length` positions."""
        if self.geometry.is_block_causal:
            return self._block_causal_mask(rows, positions, length)
        if self.config.suffix_window is not None and not block.is_aligned:
            is_visible = torch.arange(length, device=rows.device) < self._visible(block)[rows, None]
            return self.canvas.attention_mask[rows, :length] * is_visible
        return None if self.canvas.position_ids is None else self.canvas.attention_mask[rows, :length]

    def _block_causal_mask(
        self, rows: torch.LongTensor | slice, positions: torch.LongTensor | None, length: int
    ) -> torch.Tensor:
        """Which of `length` keys the computed positions see, `(batch, 1, num_positions, length)`."""
        keys = self.block_ids[rows, :length]
        queries = keys if positions is None else keys.take_along_dim(positions, dim=1)
        attention_mask = self.canvas.attention_mask[rows, :length]
        model = self.model
        return block_causal_mask(queries, keys, attention_mask, model.config._attn_implementation, model.dtype)

    def _position_ids(
        self, rows: torch.LongTensor, positions: torch.LongTensor | None, length: int
    ) -> torch.LongTensor | None:
        """The position ids of the recomputed positions; `None` where they are 0, 1, 2..."""
        if self.canvas.position_ids is None:
            return positions
        position_ids = self.canvas.position_ids[rows, :length]
        return position_ids if positions is None else position_ids.take_along_dim(positions, dim=1)


def supports_query_positions(model: nn.Module) -> bool:
    """Whether the last layer can leave out queries: only sdpa and eager attention take a mask with a query dimension."""
    return model.config._attn_implementation in ("sdpa", "eager")


def refreshes_cache(block: Block, interval: int | None) -> bool:
    """Whether a step recomputes all positions: the first step of a block, and then every `interval`-th."""
    return block.num_passes == 0 or (interval is not None and block.num_passes % interval == 0)


def places_in(window: Window, block: Block) -> torch.LongTensor:
    """The indices of the block's positions in its window, `(batch, block_length)`."""
    first = (block.start - window.start)[:, None]
    return (first + torch.arange(block.width, device=first.device)).clamp(max=window.width - 1)


def at_queries(mask: torch.BoolTensor, queries: torch.LongTensor, shape: torch.Size) -> torch.BoolTensor:
    """Marks the masks of a block, `(batch, block_length)`, among all positions that the model computes."""
    rows, columns = mask.nonzero(as_tuple=True)
    among_all = torch.zeros(shape, dtype=torch.bool, device=mask.device)
    among_all[rows, queries[rows, columns]] = True
    return among_all


def propose_and_score(
    logits: torch.FloatTensor,
    config: LLaDAGenerationConfig,
    ruled_out: torch.LongTensor | None,
    deferred: torch.LongTensor | None,
    temperature: float | torch.Tensor,
    warpers: list[LogitsProcessor],
    proposal_noise: torch.Tensor | None,
    ranking_noise: torch.Tensor | None,
    never_proposed: int | torch.LongTensor | None,
) -> tuple[torch.LongTensor, Confidences, torch.FloatTensor]:
    """
    Turns the logits of a step into proposals, `(num_predicted,)`, and their confidences. Also returns the logits that
    the confidences are taken from. Tokens are ruled out in place; the one that is never proposed, which is the mask token,
    still counts in the confidences.
    """
    suppress(logits, ruled_out)
    proposal = propose(logits, proposal_noise, never_proposed, temperature, warpers)
    return proposal, *score_proposals(logits, proposal, config, deferred, ranking_noise)


def score_proposals(
    logits: torch.FloatTensor,
    proposal: torch.LongTensor,
    config: LLaDAGenerationConfig,
    deferred: torch.LongTensor | None,
    ranking_noise: torch.Tensor | None,
) -> tuple[Confidences, torch.FloatTensor]:
    """The confidences of proposals, `(num_predicted,)`, and the logits that they are taken from."""
    scores = defer_end_tokens(logits, deferred)
    confidences = confidences_of(scores, proposal, config, deferred, ranking_noise)
    # The logit of a proposal is finite, unless there is none to choose: `check_confidences` finds such tokens by the NaN.
    is_broken = ~logits.gather(-1, proposal[:, None]).squeeze(-1).isfinite()
    probability = confidences.probability.masked_fill(is_broken, torch.nan)
    # Not `_replace`, which torch 2.11 cannot compile.
    return Confidences(probability, *confidences[1:]), scores


def ruled_out_tokens(model: nn.Module, config: LLaDAGenerationConfig, device: torch.device) -> torch.LongTensor | None:
    """The tokens that are never proposed; `None` if there are none."""
    token_ids = list(getattr(model.config, "unused_token_ids", ()))
    for names, is_set in ((config.eos_token_id, config.logits_eos_inf), (config.suppress_tokens, True)):
        if is_set and names is not None:
            token_ids += as_tensor(names, "cpu").tolist()
    return torch.tensor(sorted(set(token_ids)), device=device) if token_ids else None


def end_tokens(config: LLaDAGenerationConfig, device: torch.device) -> torch.LongTensor:
    """All EOS and EoT tokens; an empty tensor if none is known."""
    known = [as_tensor(ids, device) for ids in (config.eos_token_id, config.eot_token_id) if ids is not None]
    return torch.cat([torch.empty(0, dtype=torch.long, device=device), *known])


__all__ = ["Denoiser"]
