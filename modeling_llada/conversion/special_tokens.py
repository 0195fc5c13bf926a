# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The special tokens of a converted model: which token becomes the mask token, and which ones end a text."""

from dataclasses import dataclass

import torch
from transformers import PreTrainedConfig
from transformers import PreTrainedTokenizerBase as Tokenizer

from ..models.generation_config_llada import LLaDAGenerationConfig
from ..models.modeling_llada import LLaDAForMaskedLM
from ..models.options_llada import check_integer


NEW_MASK_TOKEN = "<|mdm_mask|>"  # as in the official tokenizer
PROBE = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Bye."}]


@dataclass(frozen=True)
class MaskToken:
    """The mask token of a converted model. A new one gets the mean of the rows of all tokens before it."""

    id: int
    is_new: bool = False
    is_chosen: bool = False  # and not given
    token: str | None = None  # unknown without a tokenizer

    def __str__(self) -> str:
        name = f"{self.token} ({self.id})" if self.token else f"the id {self.id}"
        return f"mask token: {name}, " + (
            "new, with the mean of the rows of all other tokens" if self.is_new else "which the model did not use"
        )


def choose_mask_token(
    tokenizer: Tokenizer, tokens: dict, mask_token: str | None, mask_token_id: int | None
) -> MaskToken:
    """The mask token: the given one, that of the tokenizer, the first unused reserved one, or else a new one."""
    if mask_token is not None:
        mask_token_id = find_id(tokenizer, mask_token, mask_token_id)
    if mask_token_id is None:
        unused = (one for one in mask_candidates(tokenizer) if why_used(one, tokens, tokenizer) is None)
        mask_token_id = next(unused, None)
        if mask_token_id is None:
            check_room(tokenizer)
            return MaskToken(len(tokenizer), is_new=True, is_chosen=True, token=NEW_MASK_TOKEN)
        return MaskToken(mask_token_id, is_chosen=True, token=tokenizer.convert_ids_to_tokens(mask_token_id))
    check_mask_token(mask_token_id, num_ids(tokenizer), tokens, tokenizer)
    return MaskToken(mask_token_id, token=tokenizer.convert_ids_to_tokens(mask_token_id))


def mask_candidates(tokenizer: Tokenizer) -> list[int]:
    """The tokens that may become the mask token without being named, the best one first."""
    vocabulary = tokenizer.get_vocab()
    named = [vocabulary[token] for token in (tokenizer.mask_token, NEW_MASK_TOKEN) if token in vocabulary]
    return named + sorted(one for token, one in tokenizer.get_added_vocab().items() if "reserved" in token)


def check_room(tokenizer: Tokenizer) -> None:
    """Raises a `ValueError` if a new mask token would not get the next id, and an id of its own."""
    has_token = NEW_MASK_TOKEN in tokenizer.get_vocab()
    if has_token or num_ids(tokenizer) != len(tokenizer):
        reason = f"has {NEW_MASK_TOKEN!r} already" if has_token else "has gaps between its ids"
        raise ValueError(
            f"a new mask token needs a tokenizer that can take it, but this one {reason}. Give an unused special token as "
            "`mask_token` or `mask_token_id`."
        )


def num_ids(tokenizer: Tokenizer) -> int:
    """The rows that an embedding needs for all tokens. They are more than the tokens if there are gaps between the ids."""
    return max(tokenizer.get_vocab().values()) + 1


def find_id(tokenizer: Tokenizer, mask_token: str, mask_token_id: int | None) -> int:
    """The id of the mask token, which must be the given one if there is one."""
    vocabulary = tokenizer.get_vocab()
    if mask_token not in vocabulary:
        raise ValueError(
            f"`mask_token` must be a token of the tokenizer, but it has no {mask_token!r}. Leave it out for a new token."
        )
    if mask_token_id not in (None, vocabulary[mask_token]):
        raise ValueError(
            f"`mask_token` and `mask_token_id` must be the same token, but {mask_token!r} is {vocabulary[mask_token]}, and "
            f"not {mask_token_id}. Give one of them."
        )
    return vocabulary[mask_token]


def check_mask_token(mask_token_id: int, num_tokens: int, tokens: dict, tokenizer: Tokenizer | None = None) -> None:
    """Raises a `ValueError` unless the mask token is one that the model does not use."""
    check_integer("mask_token_id", mask_token_id, minimum=0, maximum=num_tokens - 1)
    reason = why_used(mask_token_id, tokens, tokenizer)
    if reason is not None:
        name = mask_token_id if tokenizer is None else tokenizer.convert_ids_to_tokens(mask_token_id)
        raise ValueError(
            f"the mask token must be one that the model does not use, but {name!r} is {reason}. Leave `mask_token` and "
            "`mask_token_id` out, or give an unused special token."
        )


def why_used(token_id: int, tokens: dict, tokenizer: Tokenizer | None) -> str | None:
    """What a token stands for; `None` if it is unused as far as the files tell."""
    for name, ids in tokens.items():
        if token_id in as_list(ids):
            return f"its `{name}`"
    if tokenizer is None:
        return None
    if token_id == tokenizer.unk_token_id:
        return "its `unk_token_id`"
    if not is_special(tokenizer, token_id):
        return "a token of ordinary text"
    if tokenizer.convert_ids_to_tokens(token_id) in str(tokenizer.chat_template):
        return "part of the chat template"
    return None


def is_special(tokenizer: Tokenizer, token_id: int) -> bool:
    """Whether a token is none of ordinary text."""
    added = tokenizer.added_tokens_decoder.get(token_id)
    return token_id in tokenizer.all_special_ids or (added is not None and added.special)


def can_mark(token_id: int, config: PreTrainedConfig, tokenizer: Tokenizer | None) -> bool:
    """
    Whether a token can begin, end or fill a text. The ids in a config may be those of another tokenizer, or the defaults of the
    library, which are ordinary text in most tokenizers.
    """
    if type(token_id) is not int:  # generation_config.json can hold anything
        return False
    if tokenizer is None:
        return 0 <= token_id < config.vocab_size
    return token_id in tokenizer.added_tokens_decoder or token_id in tokenizer.all_special_ids


def special_tokens_of(
    config: PreTrainedConfig, generation_config: dict, tokenizer: Tokenizer | None
) -> dict[str, int | list[int] | None]:
    """BOS, EOS and the pad token. All tokens end a text that any of the files names, and so does the end of a turn of a chat."""
    sources = [config.to_dict(), generation_config]
    if tokenizer is not None:
        names = ("bos_token_id", "eos_token_id", "pad_token_id")
        sources.insert(0, {name: getattr(tokenizer, name) for name in names})

    def ids(name: str, sources: list[dict]) -> list[int]:
        found = (one for source in sources for one in as_list(source.get(name)))
        return list(dict.fromkeys(one for one in found if can_mark(one, config, tokenizer)))

    ends = list(dict.fromkeys([*ids("eos_token_id", sources), *end_of_turn(tokenizer)]))
    # LLaDA pads with EOS where the tokenizer has no pad token, whatever a config says that no tokenizer follows.
    pads = ids("pad_token_id", sources[:1]) or ends
    return {
        "bos_token_id": next(iter(ids("bos_token_id", sources)), None),
        "eos_token_id": ends if len(ends) > 1 else next(iter(ends), None),
        "pad_token_id": next(iter(pads), None),
    }


def end_of_turn(tokenizer: Tokenizer | None) -> list[int]:
    """The special token that follows an answer in the chat template, if there is one."""
    if tokenizer is None or tokenizer.chat_template is None:
        return []
    try:
        text = tokenizer.apply_chat_template(PROBE, tokenize=False)
    except Exception:  # a template may raise any error to refuse a chat
        return []
    after = tokenizer(text.rpartition(PROBE[-1]["content"])[2].lstrip(), add_special_tokens=False)["input_ids"]
    return [token for token in after[:1] if is_special(tokenizer, token)]


def describe_ends(ids: int | list[int] | None, tokenizer: Tokenizer) -> str:
    """The tokens that end a completion, for the user."""
    return ", ".join(f"{tokenizer.convert_ids_to_tokens(one)} ({one})" for one in as_list(ids)) or "no token"


def as_list(ids: int | list[int] | None) -> list[int]:
    """One, several or no ids as a list."""
    return ids if isinstance(ids, list) else [ids] * (ids is not None)


def set_special_tokens(model: LLaDAForMaskedLM, mask: MaskToken, tokens: dict, num_tokens: int) -> None:
    """
    Writes the special tokens into the configs. New rows of the embedding and the head are the mean of all others, and so is the
    row of an unused mask token that was never trained.
    """
    old_rows = model.config.vocab_size
    new_rows = max(num_tokens, mask.id + 1)
    added = list(range(old_rows, new_rows))
    if mask.id < old_rows and (mask.is_new or is_blank(model.get_input_embeddings().weight[mask.id])):
        added.append(mask.id)
    # Rows behind a new token belong to no token.
    num_trained = min(old_rows, mask.id) if mask.is_new else old_rows
    if new_rows > old_rows:
        model.resize_token_embeddings(new_rows, mean_resizing=False)
    for module in (model.get_input_embeddings(), model.get_output_embeddings()) if added else ():
        weight = module.weight.data
        weight[added] = weight[:num_trained].mean(0, dtype=torch.float32).to(weight.dtype)
    for name, ids in (tokens | {"mask_token_id": mask.id}).items():
        setattr(model.config, name, ids)
    model.generation_config = LLaDAGenerationConfig.from_model_config(model.config)
    # An adapter would name the autoregressive model as what is below it.
    model.name_or_path = model.config.name_or_path = ""


def is_blank(row: torch.Tensor) -> bool:
    """
    Whether the row of a token is zero, as those of the reserved tokens of Llama 3. The first norm would make the gradients of
    such a row so large that nothing else is trained once they are clipped.
    """
    return row.abs().max().item() < 1e-8


def add_mask_token(tokenizer: Tokenizer, model: LLaDAForMaskedLM) -> None:
    """
    Gives the tokenizer of the autoregressive model the mask token of the converted one, and what trainers and `generate` need:
    padding on the left, and the BOS, EOS and pad tokens of the model where it has none.

    Raises:
        `ValueError`: if the mask token of the model is neither a token of the tokenizer nor the next one.
    """
    mask_token_id = model.config.mask_token_id
    if mask_token_id == len(tokenizer):
        check_room(tokenizer)
        tokenizer.add_special_tokens({"mask_token": NEW_MASK_TOKEN})
    token = tokenizer.convert_ids_to_tokens(mask_token_id) if mask_token_id < num_ids(tokenizer) else None
    if token is None:
        raise ValueError(
            f"`tokenizer` has {len(tokenizer)} tokens, so none can be the mask token {mask_token_id} of `model`. Convert with "
            f"`mask_token_id={len(tokenizer)}`, or with that of an unused token."
        )
    tokenizer.mask_token = token
    # Only what is among these arguments is saved.
    tokenizer.padding_side = tokenizer.init_kwargs["padding_side"] = "left"
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if getattr(tokenizer, name) is None and (ids := as_list(getattr(model.config, name))):
            setattr(tokenizer, name, ids[0])
