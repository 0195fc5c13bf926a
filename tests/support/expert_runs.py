# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Tiny models with experts, and small runs that train them in one process or in several."""

import json
import os
from functools import partial

import pytest
import torch
from accelerate.state import AcceleratorState
from datasets import Dataset
from peft import LoraConfig
from torch.distributed.tensor import DTensor
from transformers import AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerBase, Trainer, TrainingArguments
from transformers.distributed import DistributedConfig

from modeling_llada import LLaDA2MoeConfig, LLaDA2MoeForMaskedLM, LLaDAMoeConfig, LLaDAMoeForMaskedLM
from modeling_llada.training import ExpertBiasCallback, LLaDAPretrainer, LLaDAPretrainingConfig
from support.sft_runs import sft_trainer


SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
}
LLADA2 = {"head_dim": 16, "num_key_value_heads": 2, "n_group": 2, "topk_group": 2}


def tokens_of(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """The fields of a config that follow from a tokenizer."""
    names = ("mask_token_id", "eos_token_id", "pad_token_id")
    return {"vocab_size": len(tokenizer)} | {name: getattr(tokenizer, name) for name in names}


def new_llada_moe(**fields) -> LLaDAMoeForMaskedLM:
    """A LLaDA-MoE of two layers with four experts, always the same one."""
    torch.manual_seed(0)
    return LLaDAMoeForMaskedLM(LLaDAMoeConfig(**SIZES | fields))


def new_llada2(**fields) -> LLaDA2MoeForMaskedLM:
    """A LLaDA2 of a dense layer and one with four experts in two groups, always the same one."""
    torch.manual_seed(0)
    return LLaDA2MoeForMaskedLM(LLaDA2MoeConfig(**SIZES | LLADA2 | fields))


EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
CASES = {
    "all weights": {},
    "LoRA on the attention": {"peft_config": LoraConfig(r=4)},
    "LoRA on the experts": {"peft_config": LoraConfig(r=4, target_parameters=EXPERTS)},
    "LLaDA2": {"block_length": 8},
}
# The environment of `accelerate launch`.
FSDP2 = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
}
PLAIN = {"max_steps": 3, "optim": "sgd", "learning_rate": 0.1, "lr_scheduler_type": "constant"}


def save_models(poet_folder, folder) -> None:
    """Writes the models that the runs start from."""
    tokens = tokens_of(AutoTokenizer.from_pretrained(poet_folder))
    tokens["vocab_size"] += tokens["vocab_size"] % 2
    new_llada_moe(**tokens, router_aux_loss_coef=0.5).save_pretrained(folder / "llada-moe")
    new_llada2(**tokens).save_pretrained(folder / "llada2")


def held_of(model) -> float:
    """The share of the weights of experts that this process holds."""
    weights = [weight for name, weight in model.named_parameters() if name.endswith("down_proj") and weight.ndim == 3]
    held = [weight.to_local() if isinstance(weight, DTensor) else weight for weight in weights]
    return sum(weight.numel() for weight in held) / sum(weight.numel() for weight in weights)


def logged_by(trainer) -> dict[str, list[float]]:
    """The losses of all steps, and what a process holds."""
    log, names = trainer.state.log_history, ("loss", "aux_loss")
    return {name: [line[name] for line in log if name in line] for name in names} | {"held": held_of(trainer.model)}


def bias_of(trainer) -> list[float]:
    """The biases of the experts of the only layer with experts of a LLaDA2."""
    return trainer.model.model.layers[1].mlp.gate.expert_bias.tolist()


def fine_tune(poet_folder, folder, case: str, **loading) -> dict[str, list[float]]:
    """Fine-tunes a model in global batches of eight rows, four of which are a micro-batch."""
    name = "llada2" if case == "LLaDA2" else "llada-moe"
    model = AutoModelForMaskedLM.from_pretrained(folder / name, dtype=torch.float32, **loading)
    accumulation = 2 // int(os.environ.get("WORLD_SIZE", 1))
    settings = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": accumulation}
    trainer = sft_trainer(poet_folder, folder / "run", model=model, **settings | PLAIN | CASES[case])
    trainer.train()
    return logged_by(trainer) | ({"bias": bias_of(trainer)} if case == "LLaDA2" else {})


def pretrain(folder) -> dict[str, list[float]]:
    """Trains the LLaDA-MoE on rows of random tokens, some of which are cut."""
    model = AutoModelForMaskedLM.from_pretrained(folder / "llada-moe", dtype=torch.float32)
    rows = torch.randint(10, 97, (50, 16), generator=torch.Generator().manual_seed(0))
    settings = PLAIN | {"logging_steps": 1, "warmup_steps": 0, "save_strategy": "no", "disable_tqdm": True}
    settings |= {"gradient_accumulation_steps": 2 // int(os.environ.get("WORLD_SIZE", 1))}
    settings |= {"tokens_per_step": 128, "random_length_ratio": 0.5, "use_cpu": True}
    trainer = LLaDAPretrainer(model, LLaDAPretrainingConfig(str(folder / "pretraining"), **settings), rows)
    trainer.train()
    return logged_by(trainer)


def balance(folder) -> dict[str, list[float]]:
    """Trains the LLaDA2 in a plain trainer, and again from the checkpoint in the middle."""
    settings = PLAIN | {"per_device_train_batch_size": 2, "save_steps": 2, "logging_steps": 1, "disable_tqdm": True}
    settings |= {"gradient_accumulation_steps": 2 // int(os.environ.get("WORLD_SIZE", 1)), "report_to": "none"}
    rows = torch.randint(10, 97, (16, 12), generator=torch.Generator().manual_seed(0)).tolist()
    rows = Dataset.from_list([{"input_ids": row, "labels": row} for row in rows])
    values = {}
    for name, checkpoint in (("", None), (", resumed", str(folder / "plain" / "checkpoint-2"))):
        model = AutoModelForMaskedLM.from_pretrained(folder / "llada2", dtype=torch.float32)
        args = TrainingArguments(str(folder / "plain"), use_cpu=True, **settings)
        trainer = Trainer(model, args, train_dataset=rows, callbacks=[ExpertBiasCallback(0.01)])
        trainer.train(resume_from_checkpoint=checkpoint)
        log = logged_by(trainer)
        values |= {f"loss{name}": log["loss"], f"bias{name}": bias_of(trainer), "held": log["held"]}
    return values


def step_by_hand(folder, name: str, **loading) -> dict[str, list[float]]:
    """Takes three steps on one batch, without a trainer. Returns the losses."""
    model = AutoModelForMaskedLM.from_pretrained(folder / name, dtype=torch.float32, **loading).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    clean = torch.randint(10, 97, (4, 12), generator=torch.Generator().manual_seed(0))
    noisy = clean.clone()
    noisy[:, ::2] = model.config.mask_token_id
    losses = []
    for _ in range(3):
        loss = model(noisy, labels=clean).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return {"loss": losses, "held": held_of(model)}


def runs_of(poet_folder, folder) -> dict:
    """The runs of trainers, by name."""
    runs = {case: partial(fine_tune, poet_folder, folder, case) for case in CASES}
    return runs | {"pre-training": partial(pretrain, folder), "biases": partial(balance, folder)}


def train_in_one_process(poet_folder, folder) -> dict[str, dict]:
    """All runs, and steps by hand."""
    results = {name: run() for name, run in runs_of(poet_folder, folder).items()}
    return results | {f"{name} by hand": step_by_hand(folder, name) for name in ("llada-moe", "llada2")}


def train_copies(poet_folder, folder) -> None:
    """The runs in which each process has the whole model."""
    write({name: run() for name, run in runs_of(poet_folder, folder).items()}, folder / "copies")


def train_sharded(poet_folder, folder) -> None:
    """The runs with FSDP2."""
    import support.fsdp_on_cpu  # noqa: F401  (it replaces DistributedDataParallel)

    results = {}
    for name, run in runs_of(poet_folder, folder).items():
        # Each run makes the state anew, for another way to load.
        AcceleratorState._reset_state()
        os.environ.update(FSDP2, FSDP_CPU_RAM_EFFICIENT_LOADING=str(name not in ("LLaDA2", "biases")).lower())
        results[name] = run()
    write(results, folder / "sharded")


def train_spread(poet_folder, folder) -> None:
    """The runs with expert parallelism: each process has half of the experts, with rows of its own or with the same rows."""
    rows_apart, rows_shared = (
        DistributedConfig(fsdp_size=2, ep_size=2),
        DistributedConfig(tp_plan="auto", tp_size=2, ep_size=2),
    )
    *cases, on_experts, _ = CASES
    results = {case: fine_tune(poet_folder, folder, case, distributed_config=rows_apart) for case in cases}
    for name in ("llada-moe", "llada2"):
        results[f"{name} by hand"] = step_by_hand(folder, name, distributed_config=rows_shared)
    refused = {
        "adapter": lambda: fine_tune(poet_folder, folder, on_experts, distributed_config=rows_apart),
        "llada2": lambda: step_by_hand(folder, "llada2", distributed_config=rows_apart),
    }
    for name, function in refused.items():
        with pytest.raises(ValueError) as error:
            function()
        results[f"{name}, refused"] = str(error.value)
    write(results, folder / "spread")


def write(results: dict, path) -> None:
    """Writes the results of the first process, once no process needs another."""
    torch.distributed.barrier()
    if os.environ["RANK"] == "0":
        path.with_suffix(".json").write_text(json.dumps(results))
