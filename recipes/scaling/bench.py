# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Trains and scores the runs of a study, with rows that stay on the device."""

import time
from pathlib import Path

import torch
import transformers
from transformers import PreTrainedModel, set_seed

from modeling_llada import LLaDAConfig, LLaDAForMaskedLM, LLaDAGenerationConfig
from modeling_llada.training import (
    AutoregressivePretrainer,
    Corpus,
    LLaDAPretrainer,
    LLaDAPretrainingConfig,
    RowMixture,
    autoregressive_twin,
    find_last_checkpoint,
)
from recipes.scaling.corpora import load_corpus
from recipes.scaling.plan import Plan, Run
from recipes.scaling.scores import score


LOG_LINES = 20


def make_model(kind: str, shape: dict, corpus: Corpus) -> PreTrainedModel:
    """A model with random weights."""
    tokens = {
        "mask_token_id": corpus.mask_token_id,
        "bos_token_id": corpus.bos_token_id,
        "eos_token_id": corpus.eos_token_id,
        "pad_token_id": corpus.eos_token_id,
    }
    config = LLaDAConfig(
        vocab_size=corpus.vocab_size,
        num_key_value_heads=shape["num_attention_heads"],
        max_position_embeddings=128,
        tie_word_embeddings=True,
        **tokens,
        **shape,
    )
    if kind == "twin":
        return autoregressive_twin(config)
    model = LLaDAForMaskedLM(config)
    model.generation_config = LLaDAGenerationConfig(**tokens)
    return model


class Bench:
    """The corpus and the rows of a study, whose output folder has the checkpoints."""

    def __init__(self, plan: Plan, corpus_source: str, output: Path):
        torch.set_float32_matmul_precision("high")
        self.plan, self.output = plan, output
        self.corpus = load_corpus(corpus_source, plan.values["vocab_size"])
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.rows = RowMixture(self.corpus, [{"fraction": 1.0, "entries": plan.values["rows"]}], device=device)

    def folder(self, run: Run) -> Path:
        """The folder of the checkpoints of a run."""
        return self.output / "checkpoints" / run.name

    def do(self, run: Run, limit: float | None) -> dict | None:
        """
        Trains a model, from its last checkpoint if there is one, and scores it. Training stops with a checkpoint at `limit`, a
        `time.monotonic()`, and then there is no record.
        """
        started, cpu_started = time.monotonic(), time.process_time()
        torch._dynamo.reset()  # the graphs of the last run keep its weights
        arguments = LLaDAPretrainingConfig(
            str(self.folder(run)),
            max_steps=run.steps,
            tokens_per_step=self.plan.values["tokens_per_step"],
            learning_rate=run.learning_rate,
            warmup_steps=max(1, min(300, run.steps // 10)),
            random_length_ratio=0.0,
            seed=run.seed,
            logging_steps=max(1, run.steps // LOG_LINES),
            eval_strategy="no",
            save_strategy="no",
            disable_tqdm=True,
            max_minutes=None if limit is None else max((limit - started) / 60, 1e-9),
        )
        set_seed(run.seed)
        model = make_model(run.kind, self.plan.shape(run.size), self.corpus)
        trainer_class = AutoregressivePretrainer if run.kind == "twin" else LLaDAPretrainer
        trainer = trainer_class(model, arguments, train_dataset=self.rows)
        # Trainer would print each log entry.
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train(resume_from_checkpoint=find_last_checkpoint(arguments.output_dir))
        if trainer.state.global_step < run.steps:
            return None
        trained = time.monotonic()
        model.eval()
        with torch.autocast(arguments.device.type, dtype=torch.bfloat16, enabled=bool(arguments.bf16)):
            scores = score(model, run.kind, self.corpus, self.plan.values["scores"], self.plan.values["window"])
        curve = [entry for entry in trainer.state.log_history if "loss" in entry]
        return {
            "parameters": model.num_parameters(),
            "scores": scores,
            "training_loss": [[entry["step"], entry["loss"]] for entry in curve],
            "tokens_per_second": [entry["tokens_per_second"] for entry in curve],
            "seconds": round(time.monotonic() - started, 1),  # of the last call, compiling and scoring included
            "cpu_seconds": round(time.process_time() - cpu_started, 1),
            "seconds_scoring": round(time.monotonic() - trained, 1),
            "device": torch.cuda.get_device_name() if arguments.device.type == "cuda" else "cpu",
            "precision": "bfloat16 autocast" if arguments.bf16 else "float32",
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }
