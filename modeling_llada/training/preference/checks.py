# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Checks that run before preference optimisation starts. Each error message says how to mend the input."""

from datasets import Dataset
from peft import PeftConfig, PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..sft.checks import MODEL_TYPES, check_batches, check_mask_predictor
from ..sft.stages import sees_images
from .configuration import LLaDAVRPOConfig


REASONS = {
    "data_collator": "the collator draws the noise",
    "compute_metrics": "it would need logits of next tokens, which the model does not have",
}


def check_arguments(args: LLaDAVRPOConfig, train_dataset: Dataset | None, **unsupported) -> None:
    """Raises a `ValueError` for arguments that would not do what they say, such as those in `unsupported`."""
    if not isinstance(args, LLaDAVRPOConfig):
        raise ValueError(
            f"`args` must be a `LLaDAVRPOConfig`, but got {type(args).__name__}. It accepts the arguments of `DPOConfig`."
        )
    for name, value in unsupported.items():
        if value is not None:
            raise ValueError(f"`{name}` is not supported: {REASONS[name]}. Leave it out.")
    if train_dataset is None:
        raise ValueError(
            "`train_dataset` must be given, also for a trainer that only evaluates. Pass the held-out pairs."
        )
    check_batches(args)


def check_models(
    args: LLaDAVRPOConfig,
    model: PreTrainedModel | PeftModel,
    ref_model: PreTrainedModel | None,
    peft_config: PeftConfig | None,
) -> None:
    """Raises a `ValueError` unless the policy can be trained, and the reference can score the same texts."""
    check_mask_predictor(model, peft_config)
    if sees_images(model):
        raise ValueError(
            f"`model` must be a model of texts, but got a {type(model).__name__}, which sees images. Fine-tune it with "
            "`LLaDASFTTrainer`."
        )
    check_no_dropout(model)
    if peft_config is not None and isinstance(model, PeftModel):
        raise ValueError(
            "`peft_config` would put an adapter on `model`, which has one. Leave it out to train that one, or pass "
            "`model.merge_and_unload()` for a new one."
        )
    if args.sync_ref_model and (peft_config is not None or isinstance(model, PeftModel)):
        raise ValueError(
            "`sync_ref_model=True` needs a reference of its own, but the reference of an adapter is the model without it. Leave "
            "it out, or train all weights."
        )
    if ref_model is None:
        return
    if ref_model is model:
        raise ValueError("`ref_model` must be another object than `model`. Leave it out for a copy of the model.")
    config = getattr(ref_model, "config", None)
    if getattr(config, "model_type", None) not in MODEL_TYPES:
        raise ValueError(
            f"`ref_model` must be a LLaDA mask predictor (`LLaDAForMaskedLM`), but got {type(ref_model).__name__}. Load it with "
            "`AutoModelForMaskedLM.from_pretrained`, after `import modeling_llada`."
        )
    for name in ("vocab_size", "mask_token_id"):
        mine, others = getattr(model.config, name), getattr(config, name)
        if mine != others:
            raise ValueError(
                f"`ref_model` must have the `{name}` of `model`, {mine}, but has {others}. Use one of its family."
            )


def check_no_dropout(model: PreTrainedModel | PeftModel) -> None:
    """Raises a `ValueError` for dropout inside the attention, which TRL cannot switch off."""
    if getattr(model.config, "attention_dropout", 0):
        raise ValueError(
            f"`model` must have no dropout, but its config has `attention_dropout={model.config.attention_dropout}`: two scores of a text "
            "would drop different things. Load it with `attention_dropout=0.0`."
        )


def check_chat_template(dataset: Dataset, name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises a `ValueError` if pairs of messages would meet a tokenizer without a chat template."""
    if isinstance(dataset[0]["prompt"], list) and tokenizer.chat_template is None:
        raise ValueError(
            f"`processing_class` must have a chat template, because `{name}` has messages, but its `chat_template` is not set. "
            "Set it, or give texts in the columns `prompt`, `chosen` and `rejected`."
        )
