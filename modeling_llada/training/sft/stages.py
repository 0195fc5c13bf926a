# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The stages of LLaDA-V (https://huggingface.co/papers/2505.16933): which of its parts train, and how fast.

A stage is a few fields of the arguments. Stage 1 trains the projector alone, on images squashed to one tile and their
captions; stages 2 and 3 train all parts, the vision tower more slowly. `examples/configs/llada_v` has the published values.
"""

import copy
import re

import torch
from peft import LoraConfig, PeftConfig, PeftModel
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin
from transformers.utils import logging

from .configuration import PARTS, LLaDASFTConfig
from .vision_formats import MARK


logger = logging.get_logger(__name__)

VISION_TYPE = "llava_llada"  # the `model_type` of a LLaDA-V
VISION_PARTS = ("vision_tower", "multi_modal_projector")
# The special tokens that `reference_labels` train on.
HEADER_TOKENS = {"start": "<|start_header_id|>", "end": "<|end_header_id|>", "turn": "<|eot_id|>"}
# The projections of the language part in PEFT's way: the layers of the vision tower have names of the same ends.
LANGUAGE_PROJECTIONS = (
    r"(.*\.)?model\.layers\.\d+\.(self_attn\.(q_proj|k_proj|v_proj|o_proj)|mlp\.(gate_proj|up_proj|down_proj))"
)
# What names of modules without a path do not mean.
OTHER_PARTS = rf"(.*\.)?({'|'.join(VISION_PARTS)})(\..*)?"
# Fields that mean nothing for a model without images, with their defaults.
VISION_FIELDS = {
    "trained_parts": None,
    "vision_tower_learning_rate": None,
    "projector_learning_rate": None,
    "image_aspect_ratio": None,
    "patch_merge_type": None,
    "image_folder": None,
    "plain_captions": False,
    "dialogue_mask": False,
    "reference_labels": False,
}


def sees_images(model: PreTrainedModel | PeftModel) -> bool:
    """Whether the model is a LLaDA-V."""
    return getattr(model.config, "model_type", None) == VISION_TYPE


def num_input_ids(config: PreTrainedConfig) -> int:
    """The ids that rows may have: those of the embedding, and placeholders of images behind it."""
    return getattr(config, "num_input_ids", config.vocab_size)


def check_processor(processing_class: PreTrainedTokenizerBase | ProcessorMixin, config: PreTrainedConfig) -> None:
    """Raises a `ValueError` unless images can be read as the model sees them."""
    parts = ("tokenizer", "image_processor", "image_token")
    if not all(getattr(processing_class, part, None) is not None for part in parts):
        raise ValueError(
            f"`processing_class` must be the processor of a LLaDA-V, which reads images, but got "
            f"{type(processing_class).__name__}. Pass `LLaDAVProcessor.from_pretrained(...)`, or leave it out to load that of "
            "the model's folder."
        )
    tile, size = config.vision_config.image_size, processing_class.image_processor.size
    height, width = size["height"], size["width"]
    if processing_class.image_token_id != config.image_token_id or {height, width} != {tile}:
        raise ValueError(
            f"`processing_class` must be the processor of the model, with the image token {config.image_token_id} and tiles of "
            f"{tile} pixels, but it has {processing_class.image_token_id} and {height} x {width}. Pass "
            "`LLaDAVProcessor.from_config(model.config, tokenizer)`."
        )


def part_of(name: str) -> str:
    """The part that a parameter belongs to, by its name. `image_newline`, the embedding and the head are language."""
    return next((part for part in PARTS if f".{part}." in f".{name}."), "language_model")


def check_stage(
    args: LLaDASFTConfig,
    model: PreTrainedModel | PeftModel,
    vocabulary: dict[str, int],
    peft_config: PeftConfig | None,
) -> None:
    """Raises a `ValueError` if fields of the arguments mean nothing for this model, or its vocabulary."""
    if not sees_images(model):
        given = [name for name, default in VISION_FIELDS.items() if getattr(args, name) != default]
        if given:
            raise ValueError(
                f"`{given[0]}={getattr(args, given[0])!r}` belongs to a LLaDA-V, but `model` is a {type(model).__name__}. "
                "Leave it out, or train a `LLaDAVForConditionalGeneration`."
            )
        return
    _check_inputs(args, model, vocabulary)
    _check_parts(args, model, peft_config)


def _check_inputs(args: LLaDASFTConfig, model: PreTrainedModel | PeftModel, vocabulary: dict[str, int]) -> None:
    if args.packing or args.eval_packing:
        raise ValueError(
            "`packing=True` is not supported for a LLaDA-V: a row is one document with its images. Leave it out; with "
            '`train_sampling_strategy="group_by_length"` rows of similar lengths share a batch.'
        )
    if args.truncation_mode == "keep_end":
        raise ValueError(
            '`truncation_mode="keep_end"` is not supported for a LLaDA-V: it would cut the images, which come first. Leave '
            "it out, raise `max_length`, or drop long rows."
        )
    if args.dialogue_mask and model.config._attn_implementation != "sdpa":
        raise ValueError(
            f'`dialogue_mask=True` needs `attn_implementation="sdpa"`, which takes any mask, but `model` has '
            f'"{model.config._attn_implementation}". Load it with sdpa, or leave the mask out.'
        )
    if any(MARK in prompt for prompt in args.sample_prompts or []):
        raise ValueError(
            f"`sample_prompts` must be texts without {MARK}, because they have no images. Take it out, or leave them out to "
            "complete the first prompts of `eval_dataset` with their images."
        )
    missing = [token for token in HEADER_TOKENS.values() if token not in vocabulary]
    if args.reference_labels and not args.plain_captions and missing:
        raise ValueError(
            f"`reference_labels=True` needs the tokens of LLaDA's headers, but `processing_class` has no {', '.join(missing)}. "
            "Leave it out to train on the answers alone."
        )


def _check_parts(args: LLaDASFTConfig, model: PreTrainedModel | PeftModel, peft_config: PeftConfig | None) -> None:
    is_adapted = peft_config is not None or isinstance(model, PeftModel)
    if is_adapted and args.patch_merge_type not in (None, model.config.patch_merge_type):
        raise ValueError(
            f"`patch_merge_type={args.patch_merge_type!r}` belongs to the config of the model, which is not saved with an "
            f"adapter and has {model.config.patch_merge_type!r}. Leave it out, or save a base model with it."
        )
    if isinstance(model, PeftModel) and args.trained_parts is not None:
        raise ValueError(
            "`trained_parts` cannot be chosen for a `PeftModel`, which says itself what trains. Leave it out, or pass the base "
            "model and a `peft_config`."
        )
    if peft_config is not None and args.trained_parts is not None and "language_model" not in args.trained_parts:
        raise ValueError(
            f"`trained_parts={args.trained_parts}` leaves out the language part, which the adapter belongs to. Add "
            "language_model, or leave `peft_config` out."
        )
    targets = getattr(peft_config, "target_modules", None) or []
    language = [name for name, _ in model.named_modules() if part_of(name) == "language_model"]
    others = [one for one in targets if not any(f".{name}".endswith(f".{one}") for name in language)]
    if others and not isinstance(targets, str):
        raise ValueError(
            f"`target_modules` must name modules of the language part, which has no {', '.join(sorted(others))}. Name others by "
            "a regular expression, or train their part in whole by `trained_parts`."
        )
    trained = trained_parts(args, model, peft_config)
    for name, part in RATES.items():
        if getattr(args, name) is not None and part not in trained:
            raise ValueError(
                f"`{name}={getattr(args, name)}` has no effect: {part} is not trained, only {', '.join(trained)}. Leave it "
                "out, or add the part to `trained_parts`."
            )


def warn_of_suppressed_eos(args: LLaDASFTConfig, model: PreTrainedModel | PeftModel) -> None:
    """Says that the model would never write the EOS that ends its rows, as one that the public code has trained."""
    eos = model.config.eos_token_id
    if eos in (model.generation_config.suppress_tokens or []) and not args.reference_labels:
        logger.warning(
            f"EOS ends the rows, but `generate` never proposes it: `model.generation_config.suppress_tokens` has {eos}, as in "
            "every public LLaDA-V. Take it out if the model shall stop by EOS, or train on `reference_labels=True`."
        )


# The part whose learning rate a field is.
RATES = {"vision_tower_learning_rate": "vision_tower", "projector_learning_rate": "multi_modal_projector"}


def trained_parts(
    args: LLaDASFTConfig, model: PreTrainedModel | PeftModel, peft_config: PeftConfig | None
) -> list[str]:
    """The parts that train: those of the arguments, else the one that a new adapter is put on, else what is not frozen."""
    if args.trained_parts is not None:
        return args.trained_parts
    if peft_config is not None:
        return ["language_model"]
    trained = {part_of(name) for name, parameter in model.named_parameters() if parameter.requires_grad}
    return [part for part in PARTS if part in trained]


def set_stage(
    args: LLaDASFTConfig,
    model: PreTrainedModel | PeftModel,
    processor: ProcessorMixin,
    peft_config: PeftConfig | None,
) -> None:
    """
    Freezes what does not train and nothing else, and puts down how images become features in the model and the processor,
    which are saved so.
    """
    if args.patch_merge_type is not None:
        model.config.patch_merge_type = processor.patch_merge_type = args.patch_merge_type
    if args.image_aspect_ratio is not None:
        ratio = None if args.image_aspect_ratio == "auto" else args.image_aspect_ratio
        processor.image_processor.image_aspect_ratio = ratio
    if args.trained_parts is None or peft_config is not None:
        return
    for name, parameter in model.named_parameters():
        # Also what an earlier stage has frozen. Quantized weights are no floating-point numbers, and never train.
        parameter.requires_grad_(part_of(name) in args.trained_parts and parameter.is_floating_point())


def freeze_unused(model: PreTrainedModel | PeftModel) -> None:
    """Freezes weights that no loss depends on. Processes that train together would wait for their gradients."""
    unused = [".post_layernorm."]  # the features of images are the state before it
    if model.config.patch_merge_type == "flat":
        unused.append(".image_newline")
    for name, parameter in model.named_parameters():
        if any(one in name for one in unused):
            parameter.requires_grad_(False)


def adapter_of_language(peft_config: PeftConfig | None, parts: list[str] | None) -> PeftConfig | None:
    """
    Keeps an adapter off the vision tower and the projector, unless a regular expression names them. Of these, `parts` are
    trained in whole and saved with the adapter.
    """
    if peft_config is None:
        return None
    peft_config, targets = copy.copy(peft_config), getattr(peft_config, "target_modules", None)
    if targets is None and isinstance(peft_config, LoraConfig) and not peft_config.target_parameters:
        peft_config.target_modules = LANGUAGE_PROJECTIONS
    elif (targets == "all-linear" or not isinstance(targets, str)) and hasattr(peft_config, "exclude_modules"):
        own = peft_config.exclude_modules or []
        own = [own] if isinstance(own, str) else [rf"(.*\.)?{re.escape(name)}" for name in own]
        peft_config.exclude_modules = "|".join([OTHER_PARTS, *own])
    whole = [part for part in parts or [] if part != "language_model"]
    if whole:
        peft_config.modules_to_save = [*(peft_config.modules_to_save or []), *whole]
    return peft_config


def set_learning_rates(optimizer: torch.optim.Optimizer, model: torch.nn.Module, args: LLaDASFTConfig) -> None:
    """Gives parts with a learning rate of their own groups of their own, behind those of the others."""
    rates = {part: getattr(args, name) for name, part in RATES.items() if getattr(args, name) is not None}
    if not rates:
        return
    parts = {id(parameter): part_of(name) for name, parameter in model.named_parameters() if part_of(name) in rates}
    groups = []
    for part in (None, *rates):
        for group in optimizer.param_groups:
            chosen = [one for one in group["params"] if parts.get(id(one)) == part]
            if chosen:
                groups.append(group | {"params": chosen} | ({} if part is None else {"lr": rates[part]}))
    optimizer.param_groups = groups
