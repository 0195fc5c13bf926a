# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The conversion: of a model object, or of a folder into a folder."""

from pathlib import Path

from torch import nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.utils import logging

from ..export.checkpoint import DTYPES, ExportedCheckpoint, check_choice, check_disk_space
from ..export.model_card import TAGS, fill_card
from ..export.tokenizer import save_tokenizer, set_chat_template
from ..loading import cannot_load, folder_or_id, reason_of
from ..models.generation_config_llada import LLaDAGenerationConfig
from ..models.modeling_llada import LLaDAForMaskedLM
from ..prompt_fields import read_json
from ..writing import check_destination, complete_or_absent
from .families import CLASSES, check_convertible, to_llada_config
from .special_tokens import (
    MaskToken,
    add_mask_token,
    check_mask_token,
    choose_mask_token,
    describe_ends,
    num_ids,
    set_special_tokens,
    special_tokens_of,
)


logger = logging.get_logger(__name__)

ORIGIN = """## Origin

Made with `llada convert-ar` from {source}: the same weights without the causal mask, and with the mask token `{mask_token}`. It
has to be trained before it writes anything: until then it predicts the token behind a mask, and not the masked one."""


def from_autoregressive(
    model_or_folder: PreTrainedModel | str | Path, *, mask_token: str | None = None, mask_token_id: int | None = None
) -> LLaDAForMaskedLM:
    """
    Makes a mask predictor with the weights of an autoregressive model: Llama, Mistral without sliding window, Qwen2 or Qwen3.
    `llada convert-ar` writes a whole folder, with the tokenizer.

    Args:
        model_or_folder ([`PreTrainedModel`], `str` or `Path`):
            The model, which is copied, or a folder or Hub id. A GGUF file can be read by transformers
            (`AutoModelForCausalLM.from_pretrained(folder, gguf_file=...)`).
        mask_token (`str`, *optional*):
            A special token of the tokenizer in the folder that the model does not use, such as `"<repo_name>"`. By default its
            mask token, its first reserved token, or else a new token with the first free id.
        mask_token_id (`int`, *optional*):
            The same by its id. For a model object, whose tokenizer is not known, a new row behind all others by default.

    Returns:
        [`LLaDAForMaskedLM`]: in evaluation mode, in the dtype of the weights. `add_mask_token(tokenizer, model)` gives the
        tokenizer its mask token.

    Raises:
        `ValueError`: if the model is of another family or a variant that LLaDA cannot compute, if weights are missing or too
            many, or if the mask token is unknown or in use.

    Example:

    ```python
    >>> from transformers import AutoTokenizer
    >>> from modeling_llada.conversion import add_mask_token, from_autoregressive

    >>> model = from_autoregressive("HuggingFaceTB/SmolLM2-135M-Instruct", mask_token="<repo_name>")  # doctest: +SKIP
    >>> tokenizer = AutoTokenizer.from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct")  # doctest: +SKIP
    >>> add_mask_token(tokenizer, model)  # doctest: +SKIP
    ```
    """
    if isinstance(model_or_folder, (str, Path)):
        model, _, mask = read_folder(model_or_folder, mask_token, mask_token_id, "auto")
    else:
        model, mask = convert_model(model_or_folder, mask_token, mask_token_id)
    if mask.is_chosen:
        logger.warning(f"`from_autoregressive` chose the {mask}. Choose another with `mask_token` or `mask_token_id`.")
    return model


def convert_autoregressive(
    source: str | Path,
    destination: str | Path,
    mask_token: str | None = None,
    mask_token_id: int | None = None,
    dtype: str = "auto",
    overwrite: bool = False,
) -> ExportedCheckpoint:
    """
    Converts an autoregressive checkpoint to a complete folder: weights, code of the model, tokenizer and model card. The
    weights are in memory once.

    Args:
        source (`str` or `Path`):
            The autoregressive checkpoint: a folder or a Hub id.
        destination (`str` or `Path`):
            The folder to write.
        mask_token (`str`, *optional*), mask_token_id (`int`, *optional*):
            As in [`from_autoregressive`].
        dtype (`str`, *optional*, defaults to `"auto"`):
            `"bfloat16"`, `"float16"`, `"float32"`, or `"auto"` for the dtype of the weights.
        overwrite (`bool`, *optional*, defaults to `False`):
            Whether to replace an existing folder, once the new one is complete.

    Returns:
        [`ExportedCheckpoint`]: The folder, and notes for the user.

    Raises:
        `ValueError`: as [`from_autoregressive`] does, or if the destination has files.
        `OSError`: if the disk is too small.

    Example:

    ```python
    >>> from modeling_llada.conversion import convert_autoregressive

    >>> converted = convert_autoregressive("HuggingFaceTB/SmolLM2-135M", "smollm2-llada")  # doctest: +SKIP
    ```
    """
    check_choice("dtype", dtype, DTYPES)
    folder, destination = Path(source).expanduser(), Path(destination).expanduser().resolve()
    check_destination(destination, folder.resolve(), overwrite, config_file="config.json")
    model, tokenizer, mask = read_folder(source, mask_token, mask_token_id, dtype)
    notes = [str(mask), f"a text ends at: {describe_ends(model.config.eos_token_id, tokenizer)}"]
    if tokenizer.chat_template is not None:
        notes.append(set_chat_template(tokenizer))
    check_disk_space(destination, model)
    name = folder.resolve().name if folder.is_dir() else str(source)
    with complete_or_absent(destination) as partial:
        model.save_pretrained(partial, max_shard_size="5GB")
        save_tokenizer(tokenizer, partial, "transformers")
        origin = ORIGIN.format(source=name, mask_token=tokenizer.mask_token)
        metadata = {"tags": TAGS, "base_model": None if folder.is_dir() else name}
        card = fill_card(model, tokenizer, destination.name, "transformers", origin, metadata)
        (partial / "README.md").write_text(card, encoding="utf-8")
        num_bytes = sum(path.stat().st_size for path in partial.iterdir())
    stored = str(model.dtype).removeprefix("torch.")
    return ExportedCheckpoint(destination, model.num_parameters(), stored, num_bytes, notes)


def read_folder(
    source: str | Path, mask_token: str | None, mask_token_id: int | None, dtype: str
) -> tuple[LLaDAForMaskedLM, Tokenizer, MaskToken]:
    """Reads the weights of a folder or Hub id into a mask predictor, and its tokenizer, which gets the mask token."""
    source = folder_or_id(source)
    config = read_config(source)
    tokenizer, generation_config = read_texts(source)
    tokens = special_tokens_of(config, generation_config, tokenizer)
    mask = choose_mask_token(tokenizer, tokens, mask_token, mask_token_id)
    try:
        # The modules have the same names, so the weights go into place one by one.
        model = LLaDAForMaskedLM.from_pretrained(
            source, config=to_llada_config(config), dtype=dtype, generation_config=LLaDAGenerationConfig()
        )
    except Exception as error:  # a damaged file can make the libraries raise anything
        raise cannot_load(source, error) from error
    check_tied(model, source)
    set_special_tokens(model, mask, tokens, num_ids(tokenizer))
    add_mask_token(tokenizer, model)
    return model, tokenizer, mask


def read_config(source: str) -> PreTrainedConfig:
    """The config of a folder or Hub id, if its model can be converted."""
    if Path(source).exists() and not Path(source, "config.json").is_file():
        raise ValueError(
            f"`{source}` must be a folder with a config.json and weights, or a Hub id. Merge an adapter first "
            "(`merge_and_unload`). A GGUF file is converted in Python: load it with `AutoModelForCausalLM.from_pretrained("
            "folder, gguf_file=...)`, and pass the model to `from_autoregressive`."
        )
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    except Exception as error:
        raise cannot_load(source, error) from error
    check_convertible(config, source)
    if getattr(config, "quantization_config", None) is not None:
        raise ValueError(
            f"`{source}` cannot be converted: it is quantized. Convert the checkpoint that it was made from."
        )
    return config


def read_texts(source: str) -> tuple[Tokenizer, dict]:
    """The tokenizer of a folder or Hub id, and the content of its generation_config.json."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as error:
        raise ValueError(
            f"`{source}` has no tokenizer that can be read: {reason_of(error)}. Put its files there, or pass the model itself to "
            "`from_autoregressive`."
        ) from error
    try:
        return tokenizer, read_json(source, "generation_config.json", download=True)
    except ValueError as error:
        raise cannot_load(source, error) from error


def convert_model(
    model: PreTrainedModel, mask_token: str | None, mask_token_id: int | None
) -> tuple[LLaDAForMaskedLM, MaskToken]:
    """Copies the weights of a model object into a mask predictor."""
    check_model(model)
    if mask_token is not None:
        raise ValueError(
            f"`mask_token={mask_token!r}` needs the tokenizer, which a model object does not have. Pass `mask_token_id="
            "tokenizer.convert_tokens_to_ids(mask_token)`."
        )
    tokens = special_tokens_of(model.config, model.generation_config.to_dict(), None)
    rows = model.config.vocab_size
    mask = MaskToken(rows, is_new=True, is_chosen=True) if mask_token_id is None else MaskToken(mask_token_id)
    if mask_token_id is not None:
        check_mask_token(mask_token_id, rows, tokens)
    state = {key: value.detach().clone() for key, value in model.state_dict().items()}
    converted = LLaDAForMaskedLM.from_pretrained(
        None, config=to_llada_config(model.config), state_dict=state, dtype=model.dtype
    )
    check_tied(converted, type(model).__name__)
    set_special_tokens(converted, mask, tokens, rows)
    return converted.to(model.device), mask


def check_model(model: PreTrainedModel) -> None:
    """Raises a `ValueError` for a model object that cannot be converted as it is."""
    if not isinstance(model, PreTrainedModel):
        raise ValueError(
            f"`model_or_folder` must be a model of transformers, a folder or a Hub id, but got a {type(model).__name__}. Merge "
            "an adapter first (`merge_and_unload`)."
        )
    name = type(model).__name__
    check_convertible(model.config, name)
    if CLASSES[model.config.model_type] != name:
        raise ValueError(
            f"`model_or_folder` must be a {CLASSES[model.config.model_type]}, but got a {name}. Load it with "
            "`AutoModelForCausalLM`."
        )
    # The config of a model from a GGUF file says that it is quantized also where its weights are not any more.
    if not all(type(module) is nn.Linear for key, module in model.named_modules() if key.endswith("_proj")):
        raise ValueError(
            f"`model_or_folder` must have plain weights, but is a {name} with quantized ones or with adapters. Load the "
            "checkpoint that was quantized, unpack a GGUF file (`quantization_config=GgufConfig(dequantize=True)`), and merge "
            "an adapter first."
        )
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ValueError(
            f"`model_or_folder` must have its weights in memory, but some of this {name} are elsewhere. Load it without "
            "`device_map`, or pass its folder."
        )


def check_tied(model: LLaDAForMaskedLM, source: str) -> None:
    """Raises a `ValueError` if the head should be the embedding, but is another tensor in the file."""
    if model.config.tie_word_embeddings and model.lm_head.weight is not model.model.embed_tokens.weight:
        raise ValueError(
            f"`{source}` ties the output head to the embedding (`tie_word_embeddings`), but has a separate head. Set it to "
            "false in config.json."
        )
