# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Small runs of fine-tuning of a model of blocks, in one process or in several."""

import json

from transformers import AutoTokenizer

from support.sft_runs import losses_of, sft_trainer
from support.tiny_llada2 import tiny_llada2


def block_trainer(poet_folder, output_dir, *args, model=None, **settings):
    """A trainer of a tiny LLaDA2 with blocks of four tokens; settings are those of `sft_trainer`."""
    tokenizer = AutoTokenizer.from_pretrained(poet_folder)
    tokens = {name: getattr(tokenizer, name) for name in ("mask_token_id", "eos_token_id", "pad_token_id")}
    if model is None:
        model = tiny_llada2(vocab_size=len(tokenizer), **tokens, initializer_range=0.1)
    # Plain SGD: AdamW would divide rounding errors by themselves.
    settings = {"block_length": 4, "optim": "sgd", "learning_rate": 0.05} | settings
    return sft_trainer(poet_folder, output_dir, *args, model=model, **settings)


def train_block_pairs(poet_folder, folder, rows: int) -> None:
    """Trains on `rows` rows for each process, with all that block diffusion adds, and writes the losses."""
    trainer = block_trainer(
        poet_folder, folder / "run", per_device_train_batch_size=rows, complementary_masks=True, corruption_rate=0.1,
        confidence_weight=1.0, loss_weighting="none", eos_fill="block",
    )  # fmt: skip
    trainer.train()
    if trainer.args.process_index == 0:
        (folder / f"{trainer.args.world_size}.json").write_text(json.dumps(list(losses_of(trainer).values())))
