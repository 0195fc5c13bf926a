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
"""A denoising step: one forward pass, a proposal for each mask, and the commits of the strategy."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import nn
from transformers import LogitsProcessorList

from .cache_llada import LLaDACache, window_of
from .canvas_llada import Canvas, write_commits
from .generation_config_llada import LLaDAGenerationConfig, as_tensor
from .guidance_llada import guided_logits
from .remasking_llada import Confidences, choose_commits, confidences_of, step_budget
from .sampling_llada import defer_end_tokens, draw_uniform, propose, scatter_to_block, suppress


class Prediction(NamedTuple):
    """
    The predictions of a step. Of shape `(batch, block_length)` are the masks before it, the proposals and their
    confidences; of shape `(num_masked, vocab_size)` the logits, and the logits that confidences are taken from.
    """

    mask: torch.BoolTensor
    proposal: torch.LongTensor
    confidences: Confidences
    logits: torch.FloatTensor | None
    scores: torch.FloatTensor | None


class Denoiser:
    """
    Makes the denoising steps of a call of [`~LLaDAForMaskedLM.generate`].

    Args:
        model (`nn.Module`):
            The mask predictor.
        canvas ([`Canvas`]):
            The canvas, which the steps change in place.
        config ([`LLaDAGenerationConfig`]):
            The options.
        strategy (`Callable`, *optional*):
            A remasking of the user.
        generators (`list[torch.Generator | None]`):
            One source of randomness for the batch, or one for each row.
        logits_processor (`LogitsProcessorList`, *optional*):
            Changes the scores before tokens are proposed.
    """

    def __init__(
        self,
        model: nn.Module,
        canvas: Canvas,
        config: LLaDAGenerationConfig,
        strategy: Callable | None,
        generators: list[torch.Generator | None],
        logits_processor: LogitsProcessorList | None,
    ) -> None:
        self.model = model
        self.canvas = canvas
        self.config = config
        self.strategy = strategy
        self.generators = generators
        self.logits_processor = logits_processor
        device = canvas.tokens.device
        self.ruled_out = as_tensor(config.eos_token_id, device) if config.logits_eos_inf else None
        self.deferred = end_tokens(config, device) if config.confidence_eos_eot_inf else None
        self.cache = None if config.block_cache is None else LLaDACache(model.config.num_hidden_layers)
        self.cached_rows: torch.LongTensor | None = None
        self.temperature: float | torch.Tensor = config.sampling_temperature
        self.propose_and_score = propose_and_score

    def steps(self, block: slice, num_steps: int) -> Iterator[int]:
        """Counts the steps of a block, until it holds no mask; those of its schedule may not be enough."""
        step = 0
        while self.canvas.masked(block).any():
            yield step
            step += 1

    def step(
        self,
        block: slice,
        num_masks: torch.LongTensor,
        num_steps: torch.LongTensor,
        block_step: int | torch.LongTensor,
    ) -> Prediction:
        """
        Makes one step.

        Args:
            block (`slice`):
                The active block.
            num_masks (`torch.LongTensor` of shape `(batch,)`):
                The masks that it held at its start.
            num_steps (`torch.LongTensor` of shape `(batch,)`):
                The steps that it was given.
            block_step (`int` or `torch.LongTensor` of shape `(batch,)`):
                The index of the step in the block. Rows may be at different steps, but not at one that refreshes a
                cache.

        Returns:
            [`Prediction`].
        """
        canvas, config = self.canvas, self.config
        mask = canvas.masked(block)

        # 2.a Predict the logits of the block's masks
        logits, places = self._predict_masks(block, mask, block_step)
        canvas.num_forward_passes += mask.any(-1)

        # 2.b Propose a token for each mask, and take the confidence of the proposal
        is_sampled, is_random = config.sampling_temperature > 0, config.remasking == "random"
        proposal_noise = self._draw_uniform(mask, logits.shape[-1]) if is_sampled else None
        ranking_noise = self._draw_uniform(mask, 1).squeeze(-1) if is_random else None
        proposal, confidences, scores = self.propose_and_score(
            logits, config, self.ruled_out, self.deferred, self.temperature, proposal_noise, ranking_noise
        )
        proposal = scatter_to_block(proposal, places, mask.shape, fill_value=0)
        confidences = confidences.in_places(places, mask.shape)

        # 2.c Commit the proposals that the strategy picks
        budget = step_budget(num_masks, num_steps, block_step)
        commit = choose_commits(confidences, mask, budget, config, self.strategy)
        write_commits(canvas, block, commit, proposal, confidences.probability)
        return Prediction(mask, proposal, confidences, logits, scores)

    def _draw_uniform(self, mask: torch.BoolTensor, width: int) -> torch.Tensor:
        """Uniform numbers for each mask, `(num_masked, width)`."""
        return draw_uniform(mask, self.generators, width)

    def _predict_masks(
        self, block: slice, mask: torch.BoolTensor, block_step: int | torch.LongTensor
    ) -> tuple[torch.FloatTensor, torch.LongTensor]:
        """
        One forward pass, and the only place that makes one: logits of a block in float32, `(num_predicted, vocab_size)`,
        and their places in the flattened block, `(num_predicted,)`. Here these are the masks, in row-major order.

        Rows without a mask in the block leave the batch. The two halves of a guided pass count as one.
        """
        canvas, config = self.canvas, self.config
        rows = mask.any(-1).nonzero().squeeze(-1)
        visible = self._visible(block)
        window = self._window(block, block_step)
        if self.cache is not None:
            self._prepare_cache(rows, window, visible)
        tokens, logits_to_keep = canvas.tokens[rows, window], mask[rows]
        in_window = torch.arange(block.start - window.start, block.stop - window.start, device=tokens.device)
        query_positions = in_window if narrows(self.model) and window != block else None
        if query_positions is None:
            logits_to_keep = torch.zeros_like(tokens, dtype=torch.bool).index_copy(1, in_window, logits_to_keep)

        logits = guided_logits(
            self.model,
            tokens,
            given=canvas.given[rows, window],
            mask_token_id=config.mask_token_id,
            cfg_scale=config.cfg_scale,
            attention_mask=None if canvas.position_ids is None else canvas.attention_mask[rows, visible],
            position_ids=self._position_ids(rows, window),
            logits_to_keep=logits_to_keep,
            cache=self.cache,
            query_positions=query_positions,
        )
        if self.logits_processor is not None:
            logits = self.logits_processor(canvas.tokens[mask.nonzero()[:, 0]], logits)
        return logits, mask.flatten().nonzero().squeeze(-1)

    def _visible(self, block: slice) -> slice:
        """What the model sees of the canvas: all of it, or nothing beyond the suffix window of the block."""
        length = self.canvas.tokens.shape[1]
        if self.config.suffix_window is not None:
            length = min(length, block.stop + self.config.suffix_window)
        return slice(0, length)

    def _window(self, block: slice, block_step: int | torch.LongTensor) -> slice:
        """The positions that a step recomputes."""
        visible = self._visible(block)
        if self.cache is None or refreshes_cache(block_step, self.config.cache_refresh_interval):
            return visible
        return window_of(block, self.config.block_cache, visible.stop)

    def _prepare_cache(self, rows: torch.LongTensor, window: slice, visible: slice) -> None:
        """Tells the cache what the step recomputes, and lets it forget the rows that have left."""
        if window == visible:
            self.cached_rows, self.cache.window = rows, None
            return
        if len(rows) < len(self.cached_rows):
            kept = torch.isin(self.cached_rows, rows)
            self.cache.select_rows((torch.cat([kept, kept]) if self.config.cfg_scale > 0 else kept).nonzero()[:, 0])
            self.cached_rows = rows
        self.cache.window = torch.arange(window.start, window.stop, device=rows.device)

    def take_cache(self, other: "Denoiser", repeats: int) -> None:
        """Takes over the cache of another denoiser, each row several times."""
        if self.cache is None:
            return
        self.cache.load(other.cache, repeats)
        if other.cached_rows is not None:
            copies = torch.arange(repeats, device=other.cached_rows.device)
            self.cached_rows = (other.cached_rows[:, None] * repeats + copies).flatten()

    def _position_ids(self, rows: torch.LongTensor, window: slice) -> torch.LongTensor | None:
        """The positions of the window, unless they are those that the model would take by itself."""
        if self.canvas.position_ids is not None:
            return self.canvas.position_ids[rows, window]
        if window.start == 0:
            return None
        return torch.arange(window.start, window.stop, device=rows.device).expand(len(rows), -1)


def narrows(model: nn.Module) -> bool:
    """Whether the last layer of a model can leave out what is not asked for: its attention takes a mask of the queries."""
    return model.config._attn_implementation in ("sdpa", "eager")


def refreshes_cache(block_step: int | torch.LongTensor, interval: int | None) -> bool:
    """Whether a step recomputes all positions: the first one of a block, and then one every `interval` steps."""
    if isinstance(block_step, torch.Tensor):
        return False
    return block_step == 0 or (interval is not None and block_step % interval == 0)


def propose_and_score(
    logits: torch.FloatTensor,
    config: LLaDAGenerationConfig,
    ruled_out: torch.LongTensor | None,
    deferred: torch.LongTensor | None,
    temperature: float | torch.Tensor,
    proposal_noise: torch.Tensor | None,
    ranking_noise: torch.Tensor | None,
) -> tuple[torch.LongTensor, Confidences, torch.FloatTensor]:
    """
    Everything that is done with the logits of a step: the proposals, `(num_predicted,)`, their confidences, and the logits
    that these are taken from. Tokens are ruled out in place.
    """
    suppress(logits, ruled_out)
    scores = defer_end_tokens(logits, deferred)
    proposal = propose(logits, proposal_noise, config.mask_token_id, temperature)
    return proposal, confidences_of(scores, proposal, config, deferred, ranking_noise), scores


def end_tokens(config: LLaDAGenerationConfig, device: torch.device) -> torch.LongTensor:
    """All EOS and EoT tokens; none if they are not known."""
    known = [as_tensor(ids, device) for ids in (config.eos_token_id, config.eot_token_id) if ids is not None]
    return torch.cat([torch.empty(0, dtype=torch.long, device=device), *known])


__all__ = ["Denoiser"]
