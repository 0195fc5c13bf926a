# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Tiny random autoregressive models of the families that can be converted, and a tokenizer with a chat template."""

import copy

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)


SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>")
WORDS = ("user", "assistant", "the", "cat", "sat", "on", "mat", "Hello", "Bye", ".")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }} {{ message['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)
SIZES = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
LLAMA_3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
IDS = torch.randint(4, 40, (2, 24), generator=torch.Generator().manual_seed(0))
CAUSAL = torch.ones(24, 24, dtype=torch.bool).tril()[None, None]
CONFIGS = {
    "llama": LlamaConfig(**SIZES),
    "llama tied": LlamaConfig(**SIZES, tie_word_embeddings=True),
    "llama 3": LlamaConfig(**SIZES, rope_parameters=LLAMA_3_ROPE),
    "mistral": MistralConfig(**SIZES, sliding_window=None, head_dim=16),
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(**SIZES, head_dim=16, tie_word_embeddings=True),
}


def autoregressive_model(name="llama"):
    """Makes a model, always the same one. Norms and biases are not those of an untrained model, which do nothing."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(copy.deepcopy(CONFIGS[name])).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, mean=0.5, std=0.5)
    return model


def chat_tokenizer(*more_special, num_words=40):
    """Makes a tokenizer of words with a chat template, as a base model has it: its texts end with `<|endoftext|>`."""
    vocabulary = [*SPECIAL, *more_special, "<unk>", *WORDS]
    vocabulary += [f"word{number}" for number in range(num_words - len(vocabulary))]
    words = models.WordLevel({word: index for index, word in enumerate(vocabulary)}, unk_token="<unk>")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token=SPECIAL[0], eos_token=SPECIAL[0]
    )
    tokenizer.add_special_tokens({"additional_special_tokens": [*SPECIAL[1:], *more_special]})
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def save_autoregressive(folder, name="llama", tokenizer=None, **options):
    """Writes a checkpoint, and returns its folder."""
    autoregressive_model(name).save_pretrained(folder, **options)
    (tokenizer or chat_tokenizer()).save_pretrained(folder)
    return folder
