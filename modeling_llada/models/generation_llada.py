# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Generation: the reverse process, from a canvas of mask tokens to text.

As in DiffusionGemma, the mixin does not inherit from `GenerationMixin`: every option that it accepts has a meaning for a
diffusion model, and any other option is an error. This file has the loop over blocks and steps. The options are in
`options_llada.py`, a denoising step is in `denoising_llada.py`, and the rules for what a step commits are in
`remasking_llada.py`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedTokenizerBase, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer
from transformers.utils import ModelOutput, logging

from .adapters_llada import check_no_virtual_tokens
from .arguments_llada import check_generator, check_token_types
from .blocks_llada import BlockGeometry
from .call_llada import Call
from .canvas_llada import Canvas, check_confidences
from .constrained_denoising_llada import CanvasConstraint
from .drafting_llada import bound_drafts
from .embeddings_llada import EmbeddedInputsMixin
from .engine_llada import open_denoiser
from .foreign_options_llada import explain, is_neutral
from .generation_config_llada import LLaDAGenerationConfig
from .generation_inputs_llada import (
    as_callables,
    check_moves,
    check_special_tokens,
    check_streamer,
    find_pad_token,
    prepare_prompts,
    warn_of_twins,
)
from .options_llada import DEFAULTS, OPTIONS, PARALLEL_RULES
from .sampling_llada import shared_generator
from .stopping_llada import StopStrings
from .streamer_feed_llada import StreamerFeed


logger = logging.get_logger(__name__)


@dataclass
class LLaDAGenerationOutput(ModelOutput):
    """
    Output of [`~LLaDAForMaskedLM.generate`] with `return_dict_in_generate=True`.

    Args:
        sequences (`torch.LongTensor` of shape `(batch, prompt_length + max_new_tokens)`):
            Prompt and completion.
        num_forward_passes (`torch.LongTensor` of shape `(batch,)`):
            Forward passes that each row took part in (NFE); the pair of a guided pass counts once.
        tokens_per_forward (`torch.FloatTensor` of shape `(batch,)`):
            Tokens committed in each row per forward pass.
        stopped (`torch.BoolTensor` of shape `(batch,)`, *optional*):
            With `stopping_criteria`: the rows that they stopped. The masks that were left in these became pads.
        trajectory (`tuple(torch.IntTensor, torch.FloatTensor)`, *optional*):
            With `output_trajectory=True`: the denoising step that committed each token, or changed it last, counted
            from 0 over the forward passes of its row (-1 for given tokens and for pads), and its confidence; both of the
            shape of `sequences`.
    """

    sequences: torch.LongTensor | None = None
    num_forward_passes: torch.LongTensor | None = None
    tokens_per_forward: torch.FloatTensor | None = None
    stopped: torch.BoolTensor | None = None
    trajectory: tuple[torch.IntTensor, torch.FloatTensor] | None = None


class LLaDAGenerationMixin(EmbeddedInputsMixin):
    """
    The reverse process for a mask predictor. It expects `forward` to take `logits_to_keep` and, where the attention is
    sdpa or eager, `query_positions`, and a `config` with the special tokens and `max_position_embeddings`. A model class
    whose canvas is cut into blocks in another way than LLaDA's sets `block_geometry`.
    """

    block_geometry = BlockGeometry()

    @torch.no_grad()
    def generate(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: LogitsProcessorList | None = None,
        stopping_criteria: StoppingCriteriaList | None = None,
        streamer: BaseStreamer | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        constraint: Any = None,
        **kwargs,
    ) -> LLaDAGenerationOutput | torch.LongTensor:
        r"""
        Completes prompts, and fills the mask tokens inside them, by reversing the diffusion process (algorithms 4 and
        5 of https://huggingface.co/papers/2502.09992).

        The call works as follows:

        1. Append `max_new_tokens` mask tokens to the prompt. Split the canvas into blocks: the masks inside the
           prompt are the first one, and the answer is cut every `block_length` tokens (for other models, see their
           [`BlockGeometry`]). Split the `steps` over the blocks.
        2. For each block, from left to right, and for each denoising step, until the block holds no mask:
            a. Predict the logits of the block's masks, with guidance if `cfg_scale` is set, and process them.
            b. Propose a token for each mask (Gumbel-max), and take the confidence of the proposal.
            c. Commit the proposals that the strategy picks. The others stay masked.
            d. Change the tokens of the block that `edit_threshold` lets change, also in some steps without a mask, and
               with `insert_delete` move them. Take back those that `reopen_threshold` doubts.
            e. Stop the rows that `stopping_criteria` stop: the masks that are left in them become pads. End the
               rows whose text before the first mask holds one of `stop_strings`, and pad what follows it; where
               tokens can change, at the end of the block.
        3. After each block, end the rows whose answer holds an EOS, and pad what follows it.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, prompt_length)`):
                The prompts. They may hold mask tokens, which are filled too.
            attention_mask (`torch.Tensor` of shape `(batch, prompt_length)`, *optional*):
                0 for padding, which has to be on the left. By default there is none.
            generation_config ([`LLaDAGenerationConfig`] or `GenerationConfig`, *optional*):
                Options, see [`LLaDAGenerationConfig`]. Options given as keyword arguments win over these, these over
                the model's own `generation_config`, and that over the defaults.
            logits_processor (`LogitsProcessorList` or `list[LogitsProcessor]`, *optional*):
                Called with the canvas of each masked row, `(num_masked, length)`, and its scores,
                `(num_masked, vocab_size)`.
            stopping_criteria (`StoppingCriteriaList` or `list[StoppingCriteria]`, *optional*):
                Called after each step with the canvas, `(batch, length)`, masks among its tokens, and with the scores
                of the masks of the active block, `(num_masked, vocab_size)`, and of its committed tokens where these
                can change. A row stops after a step of its own at which its criterion is true, also inside a block.
                The host then waits for the device in each step.
            streamer (`BaseStreamer`, *optional*):
                Gets each position once through `put`: the prompt (once its own masks are filled), then each finished
                block. After each step it gets the rest of the canvas through `put_draft`, if it has that method. The host
                then waits for the device in each step.
            generator (`torch.Generator` or `list[torch.Generator]`, *optional*):
                Source of randomness; a list has one for each row of the output, which makes rows independent.
            tokenizer (`PreTrainedTokenizerBase`, *optional*):
                Needed for `stop_strings`, and ignored otherwise.
            constraint ([`~modeling_llada.Constraint`] or a list of them, *optional*):
                The texts that the answer may be, up to its end; a list has one, or `None`, for each prompt. With
                `max_new_tokens=0`, the texts that the prompt may have from its first mask to its last one. All confidences
                are those given the constraint. A row that a stop string or a stopping criterion ends early has a part of such
                a text. Does not go with `insert_delete`.
            kwargs:
                Options of [`LLaDAGenerationConfig`]. `remasking` may also be a callable
                `(confidence, mask, budget) -> commit`, see `remasking_llada.py` for the shapes.

        Returns:
            `torch.LongTensor` of shape `(batch, prompt_length + max_new_tokens)`, or a [`LLaDAGenerationOutput`] if
            `return_dict_in_generate=True`.

        Raises:
            `ValueError`: if an option or an input is invalid, before any forward pass. If a callable returns something
                that it must not, or if logits are NaN or infinite, it comes later.

        Example:

        ```python
        >>> from transformers import AutoModel, AutoTokenizer
        >>> import modeling_llada  # registers the classes

        >>> tokenizer = AutoTokenizer.from_pretrained("checkpoints/llada-poet")
        >>> model = AutoModel.from_pretrained("checkpoints/llada-poet")
        >>> inputs = tokenizer("床前明月光，[MASK][MASK][MASK][MASK][MASK]。", return_tensors="pt")
        >>> output = model.generate(**inputs, max_new_tokens=0)
        >>> tokenizer.decode(output[0])
        '床前明月光，疑是地上霜。'
        ```
        """
        call = self._prepare_call(
            input_ids,
            attention_mask,
            generation_config,
            logits_processor,
            stopping_criteria,
            streamer,
            generator,
            tokenizer,
            kwargs,
            constraint,
        )
        for _ in self._denoise(call):
            pass
        if streamer is not None:
            streamer.end()
        output = self._output_of(call)
        return output if call.config.return_dict_in_generate else output.sequences

    def _prepare_call(
        self,
        input_ids: torch.LongTensor | None,
        attention_mask: torch.Tensor | None,
        generation_config: GenerationConfig | None,
        logits_processor: LogitsProcessorList | None,
        stopping_criteria: StoppingCriteriaList | None,
        streamer: BaseStreamer | None,
        generator: torch.Generator | list[torch.Generator] | None,
        tokenizer: PreTrainedTokenizerBase | None,
        kwargs: dict,
        constraint: Any = None,
    ) -> Call:
        """1. Checks the arguments of `generate`, and prepares the canvas and its blocks."""
        check_token_types(kwargs.pop("token_type_ids", None))
        strategy = kwargs.get("remasking") if callable(kwargs.get("remasking")) else None
        if strategy is not None:
            kwargs["remasking"] = None  # the callable also replaces the option of the model's own config
        model_inputs = self.pop_embedded_inputs(kwargs)
        config = self._merge_generation_config(generation_config, kwargs)
        check_no_virtual_tokens(self)
        input_ids, attention_mask = prepare_prompts(input_ids, attention_mask, config, self.config, self.device)
        prompt_length = input_ids.shape[1]
        skips = config.skip_after_eos and config.stop_at_eos
        geometry = self.block_geometry
        limit = self.config.max_position_embeddings
        num_surplus = geometry.num_surplus(attention_mask, config.max_new_tokens, config.block_length, limit)
        canvas = Canvas.create(
            input_ids, attention_mask, config.mask_token_id, config.max_new_tokens, skips, num_surplus
        )
        check_moves(config, self.config, canvas)
        generator = shared_generator(self) if generator is None else generator
        generators = check_generator(generator, batch_size=canvas.tokens.shape[0])
        processors = as_callables("logits_processor", logits_processor)
        criteria = as_callables("stopping_criteria", stopping_criteria)
        stop_strings = StopStrings.create(config, tokenizer, prompt_length)
        check_streamer(streamer, canvas, prompt_length)
        warn_of_twins(config, has_own_strategy=strategy is not None)
        stops = "stop_strings" if stop_strings else "stopping_criteria" if criteria else None
        pad_token_id = find_pad_token(config, self.config.vocab_size, needed_by=stops)
        config.draft_steps = bound_drafts(config, canvas, prompt_length)
        constraint = CanvasConstraint.create(constraint, canvas, config, self, prompt_length)
        canvas.embed(self.embed_repeated(input_ids, model_inputs, config.num_return_sequences))
        length = prompt_length + config.max_new_tokens
        feed = None if streamer is None else StreamerFeed(streamer, prompt_length, length, config.mask_token_id)
        return Call(
            canvas,
            prompt_length,
            config,
            geometry,
            strategy,
            generators,
            processors,
            criteria,
            stop_strings,
            pad_token_id,
            feed,
            constraint,
        )

    def _denoise(self, call: Call) -> Iterator[None]:
        """Fills the canvas of a call, block by block. Yields after each denoising step."""
        # 2. For each block, from left to right, and for each denoising step, until the block holds no mask
        with open_denoiser(
            self,
            call.canvas,
            call.config,
            call.strategy,
            call.generators,
            call.processors,
            call.is_watched,
            call.constraint,
        ) as denoiser:
            call.begin(denoiser.canvas)
            for block in call.plan():
                for _ in denoiser.steps(block):
                    # 2.a-d Predict the masks, propose a token for each of them, commit those that the strategy picks, and edit
                    prediction = denoiser.step(block)

                    # 2.e Stop the rows that the criteria or a stop string stop
                    call.after_step(denoiser.canvas, block, prediction)
                    yield

                # 3. End the rows whose answer holds an EOS
                if call.after_block(denoiser.canvas, block):
                    break
            call.canvas = denoiser.canvas.view(call.length).copy()

    def _output_of(self, call: Call) -> LLaDAGenerationOutput:
        """4. The output of a call, whose canvas is filled."""
        canvas = call.canvas
        check_confidences(canvas)
        num_committed = (canvas.step >= 0).sum(-1)
        return LLaDAGenerationOutput(
            sequences=canvas.tokens,
            num_forward_passes=canvas.num_forward_passes,
            tokens_per_forward=num_committed / canvas.num_forward_passes.clamp(min=1),
            stopped=canvas.stopped if call.criteria else None,
            trajectory=(canvas.step, canvas.confidence) if call.config.output_trajectory else None,
        )

    # The name must not be `_prepare_generation_config`: the pipelines of transformers 5.17 would call it with the arguments
    # of the method of `GenerationMixin`.
    def _merge_generation_config(
        self, generation_config: GenerationConfig | None, kwargs: dict
    ) -> LLaDAGenerationConfig:
        """
        Merges the options: keyword arguments > `generation_config` > the model's own > its config > defaults. A parallel
        rule replaces that of a lower layer.
        """
        if generation_config is not None and not isinstance(generation_config, GenerationConfig):
            raise ValueError(
                "`generation_config` must be a `LLaDAGenerationConfig` or a `GenerationConfig`, but got "
                f"{type(generation_config).__name__}. Single options can be passed as keyword arguments."
            )
        known = vars(LLaDAGenerationConfig())
        foreign = {k: v for k, v in kwargs.items() if k not in known and not is_neutral(k, v)}
        if foreign:
            raise ValueError(f"The following `model_kwargs` are not used by the model: {explain(foreign)}")

        special_tokens = {name for name in known if name.endswith("_token_id")}
        layers = [DEFAULTS, vars(LLaDAGenerationConfig.from_model_config(self.config))]
        for config in (self.generation_config, generation_config):
            if config is not None:
                layers.append(vars(LLaDAGenerationConfig.from_generation_config(config)))
        layers = [{name: value for name, value in layer.items() if value is not None} for layer in layers]
        # A `None` that is typed at the call resets an option, as in `steps=None`.
        layers.append({k: v for k, v in kwargs.items() if k in known and (v is not None or k not in special_tokens)})

        merged = {}
        for layer in layers:
            # A saved config always says `do_sample`; a temperature from a higher layer overrules it.
            if layer.get("temperature") is not None and layer.get("do_sample") is None:
                merged.pop("do_sample", None)
            merged.update(reset_rules(layer) | layer)
        reset = {name: DEFAULTS[name] for name, value in merged.items() if value is None and name in DEFAULTS}
        config = LLaDAGenerationConfig(**(merged | reset))
        self.block_geometry.settle(config, self.config._attn_implementation)
        config.check_combinations()
        check_special_tokens(config, self.config.vocab_size)
        return config

    def prepare_inputs_for_generation(self, input_ids: torch.LongTensor, **kwargs) -> dict:
        """Never called in diffusion decoding; PEFT asks for it when an adapter has the task type `CAUSAL_LM`."""
        return {"input_ids": input_ids, **kwargs}

    def adjust_generation_fn(
        self,
        generation_config,
        from_auto_class,
        from_pipeline,
        pretrained_model_name_or_path,
        *args,
        **kwargs,
    ) -> None:
        """Called by `from_pretrained` to set the model's generation config."""
        if generation_config is None and pretrained_model_name_or_path is not None:
            names = ("cache_dir", "force_download", "proxies", "local_files_only", "token", "revision", "subfolder")
            hub_kwargs = dict(zip(names, args, strict=False)) | {k: v for k, v in kwargs.items() if k in names}
            try:
                self.generation_config = GenerationConfigFile.from_pretrained(
                    pretrained_model_name_or_path,
                    _from_auto=from_auto_class,
                    _from_pipeline=from_pipeline,
                    **hub_kwargs,
                )
            except OSError:
                logger.info("No generation_config.json beside the weights: the default options are used.")
            except ValueError as error:
                raise ValueError(
                    f"The generation_config.json of `{pretrained_model_name_or_path}` cannot be used: {error} Repair it, or "
                    "remove it for the default options."
                ) from error
        elif generation_config is not None:
            self.generation_config = LLaDAGenerationConfig.from_generation_config(generation_config, strict=False)


def reset_rules(layer: dict) -> dict:
    """Unsets what a parallel rule replaces: the rules of lower layers of options, and what refines them."""
    chosen = {name for name in PARALLEL_RULES if layer.get(name) is not None}
    replaced = set(PARALLEL_RULES) - chosen if chosen else set()
    return dict.fromkeys(option.name for option in OPTIONS if replaced & {option.name, option.refines})


class GenerationConfigFile(GenerationConfig):
    """A generation_config.json. The library takes a damaged one for an absent one, would set every name in it as an
    attribute, and refuses values that are valid here, such as `max_new_tokens=0`."""

    @classmethod
    def _dict_from_json_file(cls, json_file: str) -> dict:
        try:
            options = json.loads(Path(json_file).read_bytes())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"it is not JSON ({error}).") from error
        if not isinstance(options, dict):
            raise ValueError(f"it must hold a JSON object, but has {str(options)[:100]}.")
        return options

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs) -> LLaDAGenerationConfig:
        return LLaDAGenerationConfig.from_generation_config(SimpleNamespace(**config_dict), strict=False)


__all__ = ["LLaDAGenerationConfig", "LLaDAGenerationMixin", "LLaDAGenerationOutput"]
