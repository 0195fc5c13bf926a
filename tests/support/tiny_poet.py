# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A tiny random model with the tokenizer of the shipped checkpoint: the same files, no poetry."""

import json
import shutil
from pathlib import Path

import torch
from transformers import AutoTokenizer

from modeling_llada import LLaDAConfig, LLaDAForMaskedLM, LLaDAGenerationConfig


SHIPPED_CHECKPOINT = Path(__file__).parents[2] / "checkpoints" / "llada-poet"
PAIRS = [["床前明月光", "疑是地上霜"], ["春眠不觉晓", "处处闻啼鸟"]]


def save_tiny_poet(folder: Path) -> Path:
    """Writes the checkpoint, which completes with seven tokens by default, and returns its folder."""
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_CHECKPOINT)
    torch.manual_seed(0)
    config = LLaDAConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        mask_token_id=tokenizer.mask_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.3,
    )
    model = LLaDAForMaskedLM(config)
    model.generation_config = LLaDAGenerationConfig(max_new_tokens=7)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    shutil.copy(SHIPPED_CHECKPOINT / "prompt_fields.json", folder)
    (folder / "pairs.json").write_text(json.dumps(PAIRS, ensure_ascii=False), encoding="utf-8")
    return folder
