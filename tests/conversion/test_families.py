# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What cannot be converted is refused with the reason."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.autoregressive import SIZES, autoregressive_model
from transformers import (
    BertConfig,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    LlamaForSequenceClassification,
    LlamaModel,
    MistralConfig,
    MixtralConfig,
    Qwen2Config,
    Qwen3Config,
)

from modeling_llada import LLaDAConfig
from modeling_llada.conversion import from_autoregressive
from modeling_llada.conversion.families import check_convertible


QUARTER = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}
REFUSED = {
    "a LLaDA": (lambda: LLaDAConfig(), "LLaDA already"),
    "an encoder": (lambda: BertConfig(architectures=["BertForMaskedLM"]), "no autoregressive language model"),
    "experts": (lambda: MixtralConfig(), "mixture of experts"),
    "a GPT": (lambda: GPT2Config(architectures=["GPT2LMHeadModel"]), "network of gpt2"),
    "no architectures": (lambda: Gemma2Config(), "network of gemma2"),
    "soft caps": (lambda: Gemma2Config(architectures=["Gemma2ForCausalLM"]), "network of gemma2"),
    "a reward model": (lambda: LlamaConfig(architectures=["LlamaForSequenceClassification"]), "no LlamaForCausalLM"),
    "a window": (lambda: MistralConfig(sliding_window=4096), "sliding window"),
    "a window in some layers": (lambda: Qwen2Config(use_sliding_window=True, sliding_window=8), "sliding window"),
    "biases everywhere": (lambda: LlamaConfig(attention_bias=True), "`attention_bias`"),
    "biases of Qwen3": (lambda: Qwen3Config(attention_bias=True), "`attention_bias`"),
    "biases of the MLP": (lambda: LlamaConfig(mlp_bias=True), "`mlp_bias`"),
    "another activation": (lambda: LlamaConfig(hidden_act="gelu"), "its activation is gelu"),
    "a quarter turned": (lambda: LlamaConfig(rope_parameters=QUARTER), "`partial_rotary_factor`"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    make, reason = REFUSED[case]
    with pytest.raises(ValueError, match=f"`name` cannot be converted: .*{reason}"):
        check_convertible(make(), "name")


@pytest.mark.parametrize("model_class", [LlamaModel, LlamaForSequenceClassification])
def test_a_model_without_its_head(model_class):
    with pytest.raises(ValueError, match="must be a LlamaForCausalLM"):
        from_autoregressive(model_class(LlamaConfig(**SIZES)))


def test_what_is_no_model():
    with pytest.raises(ValueError, match="`model_or_folder` must be a model of transformers, .* got a Linear"):
        from_autoregressive(torch.nn.Linear(2, 2))


def test_weights_that_are_not_in_memory():
    """As those that `device_map` has left on the disk."""
    with pytest.raises(ValueError, match="must have its weights in memory.* `device_map`"):
        from_autoregressive(autoregressive_model().to("meta"))


def test_an_adapter_and_quantized_weights():
    adapted = get_peft_model(autoregressive_model(), LoraConfig(target_modules=["q_proj"]))
    with pytest.raises(ValueError, match="merge_and_unload"):
        from_autoregressive(adapted)
    with pytest.raises(ValueError, match="must have plain weights"):
        from_autoregressive(adapted.base_model.model)
