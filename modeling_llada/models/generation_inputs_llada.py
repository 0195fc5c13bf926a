# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The inputs of a call of `generate`: prompts, special tokens and callables are checked here, before any forward pass."""

from collections.abc import Callable

import torch
from transformers import PretrainedConfig
from transformers.generation.streamers import BaseStreamer, TextStreamer
from transformers.utils import logging

from .arguments_llada import check_ids, check_shape, check_vocabulary
from .canvas_llada import Canvas
from .generation_config_llada import LLaDAGenerationConfig, as_tensor


logger = logging.get_logger(__name__)

# Classes of transformers that look at the length or at the last tokens. The canvas has its full length from the start, and
# masks at its end.
LEFT_TO_RIGHT = (
    "EosTokenCriteria",
    "ExponentialDecayLengthPenalty",
    "ForcedBOSTokenLogitsProcessor",
    "ForcedEOSTokenLogitsProcessor",
    "MaxLengthCriteria",
    "MinLengthLogitsProcessor",
    "MinNewTokensLengthLogitsProcessor",
    "NoRepeatNGramLogitsProcessor",
    "StopStringCriteria",
    "SuppressTokensAtBeginLogitsProcessor",
)


def prepare_prompts(
    input_ids: torch.LongTensor | None,
    attention_mask: torch.Tensor | None,
    config: LLaDAGenerationConfig,
    model_config: PretrainedConfig,
    device: torch.device,
) -> tuple[torch.LongTensor, torch.Tensor]:
    """Checks the prompts, moves them to the device and repeats them `num_return_sequences` times."""
    check_ids("input_ids", input_ids)
    # Placeholders of images may lie behind the embedding.
    check_vocabulary("`input_ids`", input_ids, getattr(model_config, "num_input_ids", model_config.vocab_size))
    if attention_mask is None:
        warn_of_pads(input_ids, config.pad_token_id)
        attention_mask = torch.ones_like(input_ids)
    check_shape("attention_mask", attention_mask, input_ids.shape)
    attention_mask = (attention_mask != 0).long()
    if (attention_mask.diff(dim=-1) < 0).any() or not attention_mask.any(-1).all():
        raise ValueError(
            "`attention_mask` must have its zeros on the left and a one in each row: the answer follows the prompt "
            "directly. Set `tokenizer.padding_side = 'left'`."
        )
    limit, length = model_config.max_position_embeddings, int(attention_mask.sum(-1).max())
    if length + config.max_new_tokens > limit:
        raise ValueError(
            f"Prompt and `max_new_tokens` must fit into `max_position_embeddings={limit}` tokens, but got {length} + "
            f"{config.max_new_tokens}. Shorten one of them."
        )
    repeats = config.num_return_sequences
    return (
        input_ids.to(device).long().repeat_interleave(repeats, dim=0),
        attention_mask.to(device).repeat_interleave(repeats, dim=0),
    )


def warn_of_pads(input_ids: torch.LongTensor, pad_token_id: int | None) -> None:
    """Warns once of rows that look padded and come without a mask: their pads would be read as text."""
    if pad_token_id is not None and (input_ids[:, [0, -1]] == pad_token_id).any():
        logger.warning_once(
            f"`input_ids` has rows that begin or end with the pad token {pad_token_id}, and there is no `attention_mask`, so "
            "pads are read as text. Pass all that the tokenizer returns: `generate(**inputs)`. Without padding, ignore this."
        )


def check_special_tokens(config: LLaDAGenerationConfig, vocab_size: int) -> None:
    """The mask token has to be known, and so do the tokens that an option speaks of."""
    if config.mask_token_id is None:
        raise ValueError(
            "`mask_token_id` is not set: a canvas needs a mask token. Set it in the model's config, or pass "
            "`mask_token_id=tokenizer.mask_token_id`."
        )
    if not 0 <= config.mask_token_id < vocab_size:
        raise ValueError(
            f"`mask_token_id` must be an id of the vocabulary of {vocab_size} tokens, but got {config.mask_token_id}. "
            "Correct it in the model's config, or pass `mask_token_id`."
        )
    eos_token_ids = as_tensor(config.eos_token_id, "cpu")
    if eos_token_ids is not None and config.mask_token_id in eos_token_ids:
        raise ValueError(
            f"`eos_token_id` must not be the mask token, but got {config.eos_token_id} and "
            f"`mask_token_id={config.mask_token_id}`. Correct one of them in the model's config, or pass it."
        )
    suppressed = as_tensor(config.suppress_tokens, "cpu")
    if suppressed is not None and suppressed.max() >= vocab_size:
        raise ValueError(
            f"`suppress_tokens` must be ids of the vocabulary of {vocab_size} tokens, but got {suppressed.max()}. Leave it out."
        )
    if suppressed is not None and len({config.mask_token_id, *suppressed.tolist()}) == vocab_size:
        raise ValueError(
            f"`suppress_tokens` must leave a token to propose, but it has all {vocab_size} of the vocabulary, the mask token "
            "aside. Leave some out."
        )
    if config.skip_after_eos and config.eos_token_id is None:
        raise ValueError("`skip_after_eos=True` needs an `eos_token_id`, and none is known. Pass it as well.")
    for option in ("logits_eos_inf", "confidence_eos_eot_inf"):
        if getattr(config, option) and config.eos_token_id is None:
            raise ValueError(f"`{option}=True` needs an `eos_token_id`, and none is known. Pass it as well.")
        for name in ("eos_token_id", "eot_token_id"):
            token_ids = as_tensor(getattr(config, name), "cpu")
            if getattr(config, option) and token_ids is not None and token_ids.max() >= vocab_size:
                raise ValueError(
                    f"`{option}=True` needs an `{name}` of the vocabulary of {vocab_size} tokens, but got "
                    f"{getattr(config, name)}. Correct it in the model's config, or pass `{name}`."
                )


def check_moves(config: LLaDAGenerationConfig, model_config: PretrainedConfig, canvas: Canvas) -> None:
    """`insert_delete` needs its two tokens, and tokens that are free to move."""
    if not config.insert_delete:
        return
    names = ("delete_token_id", "split_token_id")
    delete, insert = (getattr(model_config, name, None) for name in names)
    for name, token_id in zip(names, (delete, insert), strict=True):
        if token_id is None or not 0 <= token_id < model_config.vocab_size or token_id == config.mask_token_id:
            raise ValueError(
                f"`insert_delete=True` needs a `{name}` in the model's config that is an id of the vocabulary of "
                f"{model_config.vocab_size} tokens and not the mask token, but got {token_id}. Only models like LLaDA2.2 were "
                "trained for it: leave it out for others."
            )
    if delete == insert:
        raise ValueError(
            f"`insert_delete=True` needs two different tokens, but `delete_token_id` and `split_token_id` of the model's config "
            f"are both {delete}. Correct one of them."
        )
    if (canvas.given & (canvas.masked().cumsum(-1) > 0) & (canvas.attention_mask == 1)).any():
        raise ValueError(
            "`insert_delete=True` moves tokens, and cannot keep tokens behind a mask in their places, but `input_ids` has some. "
            "Fill gaps with `insert_delete=False`; edits are possible there."
        )


def find_pad_token(config: LLaDAGenerationConfig, vocab_size: int, needed_by: str | None) -> int | None:
    """The token behind an EOS and in the gaps of a stopped row: the pad token, or else the first EOS token."""
    if not (config.stop_at_eos or needed_by):
        return None
    pad_token_id = config.pad_token_id
    if pad_token_id is None and config.eos_token_id is not None:
        pad_token_id = as_tensor(config.eos_token_id, "cpu")[0].item()
    if pad_token_id is None and not needed_by:
        return None
    if pad_token_id is None:
        raise ValueError(
            f"`{needed_by}` need a `pad_token_id` for the positions that are left, and neither it nor an `eos_token_id` is "
            "known. Pass it as well."
        )
    if pad_token_id >= vocab_size or pad_token_id == config.mask_token_id:
        raise ValueError(
            f"`pad_token_id` must be an id of the vocabulary of {vocab_size} tokens and not the mask token "
            f"{config.mask_token_id}, but got {pad_token_id}. Correct it in the model's config, or pass `pad_token_id`."
        )
    return pad_token_id


def warn_of_twins(config: LLaDAGenerationConfig, has_own_strategy: bool) -> None:
    """Warns if all completions of a prompt will be the same."""
    if config.num_return_sequences > 1 and not config.is_random and not has_own_strategy:
        logger.warning_once(
            f"`num_return_sequences={config.num_return_sequences}` gives equal completions at temperature 0. Set a "
            "`temperature`, for instance 0.8."
        )


def as_callables(name: str, value) -> list[Callable]:
    """Logits processors or stopping criteria as a list; both lists of transformers are lists, and one alone will do too."""
    callables = [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]
    if not all(callable(one) for one in callables):
        raise ValueError(f"`{name}` must be a callable or a list of callables, but got {value!r}.")
    for one in callables:
        if type(one).__name__ in LEFT_TO_RIGHT:
            raise ValueError(
                f"`{name}` must work on a canvas that is filled in any order, but got a {type(one).__name__}, which expects "
                "a text that grows at its end. `max_new_tokens`, `stop_at_eos` and `stop_strings` say where a completion ends."
            )
    return callables


def check_streamer(streamer: BaseStreamer | None, canvas: Canvas, prompt_length: int) -> None:
    """Checks that the streamer can follow the call."""
    if streamer is None:
        return
    if not (hasattr(streamer, "put") and hasattr(streamer, "end")):
        raise ValueError(
            f"`streamer` must have the methods `put` and `end` of a `BaseStreamer`, but got {streamer!r}. "
            "`transformers.TextStreamer(tokenizer)` is one."
        )
    if getattr(streamer, "_takes_logits", False):
        raise ValueError(
            f"`streamer` asks for the logits of the whole canvas (`_takes_logits`), which are never computed here: got "
            f"{type(streamer).__name__}. Set `takes_steps` and `takes_probabilities`, or look at them in a `logits_processor`."
        )
    if isinstance(streamer, TextStreamer) and len(canvas.tokens) > 1:
        raise ValueError(
            f"`streamer` is a {type(streamer).__name__}, which follows one row, but got {len(canvas.tokens)} rows. "
            "`modeling_llada.streaming.CanvasStreamer` follows a batch."
        )
    if getattr(streamer, "skip_prompt", False) and canvas.masked()[:, :prompt_length].any():
        logger.warning_once(
            "`skip_prompt=True` of the streamer skips the masks inside the prompt too, which the model fills. Leave it out."
        )


__all__ = ["prepare_prompts"]
