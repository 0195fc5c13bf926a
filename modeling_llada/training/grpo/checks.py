# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Checks that run before the first answer is written. Each error message says how to mend the input."""

import torch
from datasets import Dataset
from peft import PeftConfig, PeftModel
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from ..data_files import numbered_rows
from ..preference.checks import check_no_dropout
from ..sft.checks import check_batches, check_mask_predictor
from ..sft.formats import check_dataset
from ..sft.stages import sees_images
from .configuration import LLaDAGRPOConfig


def check_arguments(args: LLaDAGRPOConfig, train_dataset: Dataset | None, **unsupported) -> None:
    """Raises a `ValueError` for arguments that would not do what they say, such as those in `unsupported`."""
    if not isinstance(args, LLaDAGRPOConfig):
        raise ValueError(
            f"`args` must be a `LLaDAGRPOConfig`, but got {type(args).__name__}. It accepts the arguments of `GRPOConfig`."
        )
    for name, value in unsupported.items():
        if value is not None:
            raise ValueError(
                f"`{name}` is not supported: answers are written by `generate`, without tools. Leave it out."
            )
    if train_dataset is None:
        raise ValueError("`train_dataset` must be given: a dataset with the column `prompt`.")
    check_batches(args)
    needed = args.generation_batch_size // args.num_generations
    if isinstance(train_dataset, Dataset) and len(train_dataset) < needed:
        raise ValueError(
            f"`train_dataset` must have at least the {needed} prompts of a generation batch of {args.generation_batch_size} answers, "
            f"but has {len(train_dataset)}: nothing would be trained. Add rows, lower `per_device_train_batch_size` or "
            "`steps_per_generation`, or raise `num_generations`."
        )


def check_model(args: LLaDAGRPOConfig, model: PreTrainedModel | PeftModel, peft_config: PeftConfig | None) -> None:
    """Raises a `ValueError` unless the model can be trained, and a reference be had if one is needed."""
    check_mask_predictor(model, peft_config)
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    if sees_images(model) or base.block_geometry.is_block_causal:
        raise ValueError(
            f"`model` must be a model of texts without blocks, but got a {type(base).__name__}. LLaDA, iLLaDA and LLaDA-MoE can be "
            "trained on rewards."
        )
    check_no_dropout(model)
    if args.beta and peft_config is None and not isinstance(model, PeftModel):
        raise ValueError(
            f"`beta` must be 0 for a model without an adapter, whose reference would be a copy of all weights, but got {args.beta}. "
            "Pass a `peft_config`."
        )


def check_prompts(
    datasets: dict[str, Dataset], args: LLaDAGRPOConfig, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig
) -> bool:
    """
    Raises a `ValueError` unless each prompt and its answer fit into the context. Returns whether answers fill the masks of
    prompts.
    """
    prompts = {name: _prompts_of(dataset, name, args, tokenizer) for name, dataset in datasets.items()}
    first = next(iter(prompts.values()))[0]
    fills_masks = config.mask_token_id in first
    longest = config.max_position_embeddings - (0 if fills_masks else args.max_completion_length)
    most = args.max_completion_length if fills_masks else 0
    for name, rows in prompts.items():
        masks = [tokens.count(config.mask_token_id) for tokens in rows]
        for rule, wrong in (
            ("hold prompts that are not empty", [row for row, tokens in enumerate(rows) if not tokens]),
            (
                "hold prompts that all have mask tokens, or none",
                [row for row, count in enumerate(masks) if (count > 0) != fills_masks],
            ),
            (
                f"hold at most `max_completion_length={most}` masks",
                [row for row, count in enumerate(masks) if count > most],
            ),
            (
                f"hold prompts of at most {longest} tokens, so that the answer fits into the context of `model`, "
                f"{config.max_position_embeddings}",
                [row for row, tokens in enumerate(rows) if len(tokens) > longest],
            ),
        ):
            if wrong:
                raise ValueError(
                    f"`{name}` must {rule}, but {numbered_rows(wrong, datasets[name])} do not. Change `max_completion_length`, or "
                    "change or drop these rows."
                )
    return fills_masks


def check_rewards(rewards: torch.FloatTensor, names: list[str]) -> None:
    """Raises a `ValueError` for an infinite reward in `(answers, functions)`, which would make all weights NaN."""
    infinite = rewards.isinf().any(0).tolist()
    if any(infinite):
        raise ValueError(
            "`reward_funcs` must return finite numbers, and `None` for answers that they do not judge, but "
            f"{names[infinite.index(True)]!r} returned an infinite one."
        )


def _prompts_of(
    dataset: Dataset, name: str, args: LLaDAGRPOConfig, tokenizer: PreTrainedTokenizerBase
) -> list[list[int]]:
    """The tokens of the prompts of a dataset, after its columns were checked."""
    check_dataset(dataset, name)
    if "prompt" not in dataset.column_names:
        raise ValueError(f"`{name}` must have a column `prompt`, but has {sorted(dataset.column_names)}. Rename it.")
    if {"image", "images", "tools"} & set(dataset.column_names):
        raise ValueError(f"`{name}` must have no columns `image`, `images` or `tools`. Remove them.")
    prompts = dataset["prompt"]
    if isinstance(prompts[0], list) and tokenizer.chat_template is None:
        raise ValueError(
            f"`processing_class` must have a chat template, because `{name}` has messages, but its `chat_template` is not set."
        )
    return [_tokens(prompt, tokenizer, args.chat_template_kwargs or {}) for prompt in prompts]


def _tokens(prompt: str | list, tokenizer: PreTrainedTokenizerBase, options: dict) -> list[int]:
    if isinstance(prompt, str):
        return tokenizer(prompt).input_ids
    return tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True, **options)["input_ids"]
