# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A tokenizer like that of Llama 2, where a space belongs to the word behind it, and bytes spell other characters."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from modeling_llada import LLaDAConfig, LLaDAForMaskedLM


WORDS = ("▁the", "▁cat", "▁sat", "▁on", "▁mat", "▁Paris", "▁is", "▁a", "▁city", ".", "▁", "P", "k")
BYTES = ("<0xE5>", "<0xBA>", "<0x8A>")  # of 床
SPECIAL = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "mask_token": "[MASK]"}


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Makes the tokenizer."""
    vocabulary = dict.fromkeys([*SPECIAL.values(), *BYTES, *WORDS])
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    spaces = decoders.Replace("▁", " ")
    tokenizer.decoder = decoders.Sequence(
        [spaces, decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="left", **SPECIAL)


def save_word_model(folder):
    """Writes a tiny random model with this tokenizer, and returns its folder."""
    tokenizer = word_tokenizer()
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad", "mask")}
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(1)
    config = LLaDAConfig(vocab_size=len(tokenizer), max_position_embeddings=64, initializer_range=0.3, **sizes, **ids)
    LLaDAForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
