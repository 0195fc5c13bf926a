# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A step of training causes no warning, but for those that a library causes by itself."""

import pytest


pytestmark = [
    pytest.mark.filterwarnings("error::FutureWarning"),
    pytest.mark.filterwarnings("error::DeprecationWarning"),
    pytest.mark.filterwarnings("error:.*pin_memory.*:UserWarning"),
    # PEFT reads this attribute of every model.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
]


@pytest.mark.parametrize("adapter", [False, True], ids=["all weights", "LoRA"])
@pytest.mark.parametrize(
    "settings", [{}, {"gradient_checkpointing": True, "max_length": 40, "truncation_mode": "keep_end"}], ids=str
)
def test_fine_tuning(poet_folder, tmp_path, adapter, settings):
    pytest.importorskip("trl", reason="TRL is not part of this environment")
    from peft import LoraConfig
    from support.sft_runs import MESSAGES

    from modeling_llada.training import LLaDASFTConfig, LLaDASFTTrainer

    args = LLaDASFTConfig(str(tmp_path), max_steps=1, report_to="none", use_cpu=True, **settings)
    options = {"peft_config": LoraConfig(r=2)} if adapter else {}
    trainer = LLaDASFTTrainer(str(poet_folder), args, train_dataset=MESSAGES, eval_dataset=MESSAGES, **options)
    trainer.train()
    assert trainer.evaluate()["eval_loss"] > 0
    assert args.activation_checkpointing if hasattr(args, "activation_checkpointing") else args.gradient_checkpointing


def test_pre_training(pretraining_settings, tiny_model, random_ids):
    from modeling_llada.training import LLaDAPretrainer, LLaDAPretrainingConfig

    args = LLaDAPretrainingConfig(**(pretraining_settings | {"max_steps": 1, "tokens_per_step": 128}))
    trainer = LLaDAPretrainer(tiny_model(), args, random_ids(20, 16), eval_dataset=random_ids(4, 16))
    trainer.train()
    assert trainer.evaluate()["eval_loss"] > 0
