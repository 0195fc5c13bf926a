# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Pre-trains a small LLaDA on a corpus of short documents, in one run or in several.

    # 1. Tokenise the corpus once, into one small file. Only this step needs `datasets` and the tokenizer
    python examples/pretrain.py --tokenize-only data/poems --tokenizer checkpoints/llada-poet --corpus data/poems.safetensors.xz

    # 2. Time each kind of row, and estimate the time of the whole run
    python examples/pretrain.py --config examples/configs/poet.yaml --corpus data/poems.safetensors.xz --rehearse 100

    # 3. Train. At the time limit the run stops with a checkpoint; the same command continues from it
    python examples/pretrain.py --config examples/configs/poet.yaml --corpus data/poems.safetensors.xz --max-minutes 9 --resume

    # Train the autoregressive twin: a Llama of the same shape, on the same rows in the same order
    python examples/pretrain.py --config examples/configs/poet.yaml --corpus data/poems.safetensors.xz --twin \
        --output-dir runs/twin

    # Override any value of the YAML file
    python examples/pretrain.py --config examples/configs/tiny.yaml --set training.learning_rate=1e-3 model.num_hidden_layers=3

Each call writes the current model to OUTPUT_DIR/final (bfloat16, with the tokenizer) and the curve to
OUTPUT_DIR/training_log.json.
"""

import argparse
import contextlib
import dataclasses
import json
import shutil
import time
from pathlib import Path

import torch
import yaml
from transformers import PreTrainedModel, PrinterCallback, set_seed

from modeling_llada import LLaDAConfig, LLaDAForMaskedLM, LLaDAGenerationConfig
from modeling_llada.training import (
    AutoregressivePretrainer,
    Corpus,
    LLaDAPretrainer,
    LLaDAPretrainingConfig,
    RowMixture,
    autoregressive_twin,
    find_last_checkpoint,
    lay_out,
    tokenize_documents,
)
from modeling_llada.writing import check_writable, complete_or_absent, write_atomically


STARTED = time.monotonic()
TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "vocab*", "merges.txt", "chat_template*")


@dataclasses.dataclass
class Recipe:
    """A YAML file of examples/configs."""

    model: dict  # arguments of LLaDAConfig
    training: dict  # arguments of LLaDAPretrainingConfig
    phases: list[dict]  # of RowPhase
    line_ends: str
    sentence_ends: str
    eval_width: int
    eval_splits: list[str]
    corpus: str | None = None
    tokenizer: str | None = None
    generation: dict = dataclasses.field(default_factory=dict)  # arguments of LLaDAGenerationConfig
    expected_tokens_per_second: float | None = None


def main() -> None:
    args = parse_arguments()
    recipe = load_recipe(args)
    if args.tokenize_only:
        tokenize(args.tokenize_only, recipe)
        return

    torch.set_float32_matmul_precision("high")
    corpus = Corpus.load(recipe.corpus)
    training = LLaDAPretrainingConfig(**recipe.training)
    set_seed(training.seed)
    model = make_model(recipe, corpus)
    model = autoregressive_twin(model.config) if args.twin else model
    trainer_class = AutoregressivePretrainer if args.twin else LLaDAPretrainer
    rows = RowMixture(corpus, recipe.phases, device=training.device, seed=training.seed)
    print_plan(model, rows, training, recipe)
    if args.rehearse:
        rehearse(trainer_class, model, rows, recipe, steps=args.rehearse)
        return
    if args.max_minutes is not None:
        # Loading counts too. Each call makes at least one step, so that a run with time limits always advances.
        training.max_minutes = max(args.max_minutes - (time.monotonic() - STARTED) / 60, 1e-9)

    checkpoint = find_last_checkpoint(training.output_dir)
    if checkpoint and not args.resume:
        raise ValueError(
            f"`output_dir` already holds the checkpoints of a run, {checkpoint} the last. Continue it with `--resume`, or "
            "choose another folder with `--output-dir`."
        )
    trainer = trainer_class(model, training, train_dataset=rows, eval_dataset=held_out(corpus, recipe))
    print(f"starting from {checkpoint or 'random weights'} after {time.monotonic() - STARTED:.0f} s", flush=True)
    trainer.train(resume_from_checkpoint=checkpoint)
    if trainer.state.global_step >= training.max_steps and training.eval_strategy == "no":
        trainer.evaluate()
    if trainer.is_world_process_zero():
        save_curve(trainer)
        save_final(trainer, recipe.tokenizer)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="examples/configs/poet.yaml", help="YAML file with the whole recipe")
    parser.add_argument("--corpus", help="tokenised corpus, .safetensors or .safetensors.xz")
    parser.add_argument("--tokenizer", help="tokenizer folder; its files are copied to the final model")
    parser.add_argument(
        "--tokenize-only", metavar="DATASET", help="write --corpus from a folder of `datasets`, and stop"
    )
    parser.add_argument("--rehearse", type=int, metavar="N", help="time N steps on each kind of row, and stop")
    parser.add_argument("--twin", action="store_true", help="train an autoregressive Llama of the same shape instead")
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint in the output folder")
    parser.add_argument("--max-minutes", type=float, help="stop with a checkpoint after this long, loading included")
    parser.add_argument("--output-dir", help="checkpoints, curve and final model go here")
    parser.add_argument("--max-steps", type=int, help="optimiser steps of the whole run")
    parser.add_argument("--tokens-per-step", type=int, help="tokens of one optimiser step")
    parser.add_argument("--learning-rate", type=float, help="peak learning rate")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="any other value of the YAML file")
    args = parser.parse_args(arguments)
    if not Path(args.config).is_file():
        parser.error(f"--config: there is no file {args.config}")
    for name in ("rehearse", "max_minutes"):
        value = getattr(args, name)
        if value is not None and value <= 0:
            parser.error(f"--{name.replace('_', '-')} must be positive, but got {value}")
    return args


def load_recipe(args: argparse.Namespace) -> Recipe:
    """Reads the YAML file and overrides values by those of the command line."""
    values = yaml.safe_load(Path(args.config).read_text(encoding="utf-8"))
    for name in ("corpus", "tokenizer"):
        values[name] = getattr(args, name) or values.get(name)
    for name in ("output_dir", "max_steps", "tokens_per_step", "learning_rate"):
        if getattr(args, name) is not None:
            values["training"][name] = getattr(args, name)
    for assignment in args.set:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise ValueError(f"`--set` must be KEY=VALUE, as in training.seed=1, but got {assignment!r}.")
        *parents, name = key.split(".")
        place = values
        for parent in parents:
            place = place[int(parent)] if isinstance(place, list) else place.setdefault(parent, {})
        place[name] = parse_value(value)
    recipe = Recipe(**values)
    # LLaDAConfig would accept any name.
    unknown = recipe.model.keys() - {field.name for field in dataclasses.fields(LLaDAConfig)} - {"rope_theta"}
    if unknown:
        raise ValueError(f"`model` must hold arguments of `LLaDAConfig`, but got {sorted(unknown)}.")
    return recipe


def parse_value(text: str):
    """Reads a value as in a YAML file, and 1e-3 as a number."""
    value = yaml.safe_load(text)
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def tokenize(dataset: str, recipe: Recipe) -> None:
    """Writes the corpus file from a saved `DatasetDict` with the columns `text` and `headers`."""
    from datasets import load_from_disk
    from transformers import AutoTokenizer

    check_writable(Path(recipe.corpus))
    tokenizer = AutoTokenizer.from_pretrained(recipe.tokenizer)
    splits = {}
    for name, split in load_from_disk(dataset).items():
        started = time.monotonic()
        splits[name] = tokenize_documents(split["text"], split["headers"], tokenizer)
        print(
            f"{name}: {len(split):,} documents, {len(splits[name].tokens):,} tokens, {time.monotonic() - started:.0f} s"
        )
    corpus = Corpus(
        splits,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        mask_token_id=tokenizer.mask_token_id,
        line_ends=tokenizer.convert_tokens_to_ids(list(recipe.line_ends)),
        sentence_ends=tokenizer.convert_tokens_to_ids(list(recipe.sentence_ends)),
    )
    corpus.save(recipe.corpus)
    print(f"{recipe.corpus}: {Path(recipe.corpus).stat().st_size / 1e6:.1f} MB")


def make_model(recipe: Recipe, corpus: Corpus) -> LLaDAForMaskedLM:
    """A model with random weights. Vocabulary and special tokens are those of the corpus."""
    special_tokens = {
        "mask_token_id": corpus.mask_token_id,
        "bos_token_id": corpus.bos_token_id,
        "eos_token_id": corpus.eos_token_id,
        "pad_token_id": corpus.eos_token_id,
    }
    model = LLaDAForMaskedLM(LLaDAConfig(vocab_size=corpus.vocab_size, **special_tokens, **recipe.model))
    model.generation_config = LLaDAGenerationConfig(**special_tokens, **recipe.generation)
    return model


def held_out(corpus: Corpus, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Windows without overlap over the documents without headers, in their order."""
    width, rows = recipe.eval_width, {}
    for name in recipe.eval_splits:
        layout = lay_out(corpus.splits[name], corpus.bos_token_id, corpus.eos_token_id, with_headers=False, seed=None)
        count = len(layout.tokens) // width
        rows[name] = torch.from_numpy(layout.tokens[: count * width]).view(count, width)
    return rows


def print_plan(model: PreTrainedModel, rows: RowMixture, training: LLaDAPretrainingConfig, recipe: Recipe) -> None:
    tokens = training.tokens_per_step * training.max_steps
    speed = recipe.expected_tokens_per_second
    print(f"model      {model.num_parameters():,} parameters, vocabulary {model.config.vocab_size:,}")
    print(f"corpus     {len(rows.tokens):,} tokens laid out, on {rows.tokens.device}")
    print(
        f"plan       {training.max_steps:,} steps x {training.tokens_per_step:,} tokens = {tokens / 1e9:.3f} B tokens",
        end="",
    )
    print(f", about {tokens / speed / 60:.1f} minutes at {speed / 1e6:.2f} M tokens/s" if speed else "")
    for phase in rows.phases:
        print(f"phase      {phase.fraction:.0%} of the steps")
        shares = sum(entry.share for entry in phase.entries)
        for entry in phase.entries:
            table = [len(rows.tables.get((source, entry.kind, entry.width), ())) for source in ("train", "famous")]
            print(
                f"           {entry.kind:<9} width {entry.width:<4} {entry.share / shares:>5.0%} of the steps, "
                f"{entry.famous:>4.0%} famous; {table[0]:>10,} rows, {table[1]:>7,} famous"
            )


class OneKind:
    """One entry of a mixture."""

    def __init__(self, rows: RowMixture, entry):
        self.entries, self.draw = [entry], rows.draw

    def entry_at(self, step, max_steps, seed):
        return self.entries[0]


def rehearse(
    trainer_class: type[LLaDAPretrainer], model: PreTrainedModel, rows: RowMixture, recipe: Recipe, steps: int
) -> None:
    """Times the training loop on each kind of row, and estimates the time of the whole run."""
    off = {"save_strategy": "no", "eval_strategy": "no", "disable_tqdm": True}
    # The first half of the steps compiles and warms up; the second log line has the speed of the others.
    training = LLaDAPretrainingConfig(**{**recipe.training, **off, "max_steps": 2 * steps, "logging_steps": steps})
    planned = recipe.training["max_steps"] * training.tokens_per_step
    compiling, speeds = 0.0, {}
    for entry in {(entry.kind, entry.width): entry for entry in rows.entries}.values():
        started = time.monotonic()
        trainer = trainer_class(model, training, OneKind(rows, entry))
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        speed = [line["tokens_per_second"] for line in trainer.state.log_history if "tokens_per_second" in line][-1]
        speeds[entry.kind, entry.width] = speed
        compiling += time.monotonic() - started - 2 * steps * training.tokens_per_step / speed
        print(f"{entry.kind:<9} width {entry.width:<4} {speed:>12,} tokens/s", flush=True)
    seconds, fractions = 0.0, sum(phase.fraction for phase in rows.phases)
    for phase in rows.phases:
        shares = sum(entry.share for entry in phase.entries)
        for entry in phase.entries:
            part = phase.fraction / fractions * entry.share / shares
            seconds += part * planned / speeds[entry.kind, entry.width]
    print(
        f"the mixture: {planned / seconds:,.0f} tokens/s; the plan takes {seconds / 60:.1f} minutes and {compiling:.0f} s"
    )
    if training.device.type == "cuda":
        print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB on {torch.cuda.get_device_name()}")


def save_curve(trainer: LLaDAPretrainer) -> None:
    path = Path(trainer.args.output_dir) / "training_log.json"
    write_atomically(path, json.dumps(trainer.state.log_history, indent=1))
    print(f"wrote {path}")


def save_final(trainer: LLaDAPretrainer, tokenizer: str | Path | None) -> None:
    """Writes the model in bfloat16 with its tokenizer."""
    folder = Path(trainer.args.output_dir) / "final"
    model = type(trainer.model)(trainer.model.config).to(torch.bfloat16)
    model.generation_config = trainer.model.generation_config
    model.load_state_dict(trainer.model.state_dict())
    with complete_or_absent(folder) as partial:
        model.save_pretrained(partial, max_shard_size="15MB")
        for pattern in TOKENIZER_FILES if tokenizer else ():
            for file in Path(tokenizer).glob(pattern):
                shutil.copy(file, partial)
    step, steps = trainer.state.global_step, trainer.args.max_steps
    print(
        f"wrote {folder} at step {step:,} of {steps:,}" + ("" if step >= steps else ": go on with --resume"),
        flush=True,
    )


if __name__ == "__main__":
    main()
