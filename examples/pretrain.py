# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Pre-trains a LLaDA from random weights, or trains a converted one on, in one run or in several.

    # A corpus of any size and language: a folder that `llada tokenize` has written
    python examples/pretrain.py --config examples/configs/text.yaml --corpus data/tokens --num-train-epochs 2

    # Train an autoregressive checkpoint on that `llada convert-ar` has converted, on a corpus with its tokenizer
    python examples/pretrain.py --config examples/configs/converted.yaml --weights converted --corpus data/text

Short documents with titles and lines of their own, such as poems, have kinds of rows that need the whole corpus on the device:

    # 1. Tokenise the corpus once, into one small file. Only this step needs `datasets` and the tokenizer
    python examples/pretrain.py --tokenize-only data/poems --tokenizer checkpoints/llada-poet --corpus data/poems.safetensors.xz

    # 2. Time each kind of row, and estimate the time of the whole run
    python examples/pretrain.py --config examples/configs/poet.yaml --corpus data/poems.safetensors.xz --rehearse 100

    # 3. Train. At the time limit the run stops with a checkpoint; the same command continues from it
    python examples/pretrain.py --config examples/configs/poet.yaml --corpus data/poems.safetensors.xz --max-minutes 9 --resume

    # On two GPUs, a process each; examples/accelerate has files for FSDP and for several machines. Without GPUs, add `--set training.use_cpu=true`
    torchrun --nproc-per-node 2 examples/pretrain.py --config examples/configs/poet.yaml --corpus data/poems.safetensors.xz

    # Train the autoregressive twin: a Llama of the same shape, on the same rows in the same order
    python examples/pretrain.py --config examples/configs/poet.yaml --corpus data/poems.safetensors.xz --twin \
        --output-dir runs/twin

    # Override any value of the YAML file
    python examples/pretrain.py --config examples/configs/tiny.yaml --set training.learning_rate=1e-3 model.num_hidden_layers=3

Each call writes the current model to OUTPUT_DIR/final (bfloat16, with the tokenizer and a model card) and the curve to
OUTPUT_DIR/training_log.json.
"""

import argparse
import dataclasses
import json
import shutil
import time
from pathlib import Path

import torch
from transformers import AutoTokenizer, PreTrainedModel, set_seed

from modeling_llada import LLaDAConfig, LLaDAForMaskedLM, LLaDAGenerationConfig
from modeling_llada.training import (
    AutoregressivePretrainer,
    Corpus,
    LLaDAPretrainer,
    LLaDAPretrainingConfig,
    RowMixture,
    RowPhase,
    ShardRows,
    TokenShards,
    autoregressive_twin,
    find_last_checkpoint,
    lay_out,
    tokenize_documents,
)
from modeling_llada.training.callbacks import InterruptCallback
from modeling_llada.training.pretraining.corpus import special_token_ids
from modeling_llada.training.pretraining.rows import RowEntry
from modeling_llada.training.pretraining.sources import held_out_rows, steps_of_epochs
from modeling_llada.training.processes import check_processes
from modeling_llada.training.progress import ProgressLines
from modeling_llada.training.recipe_files import assign, checked, read_recipe
from modeling_llada.training.scripts import run_script
from modeling_llada.writing import check_writable, complete_or_absent, write_atomically


STARTED = time.monotonic()
TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "vocab*", "merges.txt", "chat_template*")


@dataclasses.dataclass
class Recipe:
    """A YAML file of examples/configs."""

    training: dict  # arguments of LLaDAPretrainingConfig
    phases: list[dict]  # of RowPhase
    eval_width: int
    model: dict = dataclasses.field(default_factory=dict)  # arguments of LLaDAConfig, for random weights
    weights: str | None = None  # a checkpoint folder to begin with
    eval_splits: list[str] | None = None  # by default all but `train` and `famous`
    line_ends: str = ""  # characters, for the rows `spans` and `exact`
    sentence_ends: str = ""
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
    training = LLaDAPretrainingConfig(**recipe.training)
    check_processes(training)
    checkpoint = None if args.rehearse else checkpoint_to_resume(training.output_dir, args.resume)

    torch.set_float32_matmul_precision("high")
    corpus = load_corpus(recipe)
    eval_rows = held_out(corpus, recipe, training.eval_rows)
    rows = make_rows(corpus, recipe, training)
    if training.num_train_epochs:
        training.max_steps = steps_of_epochs(rows, training)
    set_seed(training.seed)
    model = load_weights(recipe, corpus) if recipe.weights else make_model(recipe, corpus)
    model = autoregressive_twin(model.config) if args.twin else model
    trainer_class = AutoregressivePretrainer if args.twin else LLaDAPretrainer
    if training.process_index == 0:
        print_plan(model, rows, training, recipe)
    if args.rehearse:
        rehearse(trainer_class, model, rows, recipe, training, steps=args.rehearse)
        return
    limit_minutes(training, args.max_minutes)
    interrupt = InterruptCallback("`--resume`")
    trainer = trainer_class(model, training, train_dataset=rows, eval_dataset=eval_rows, callbacks=[interrupt])
    trainer.accelerator.print(
        f"starting from {checkpoint or recipe.weights or 'random weights'} after {time.monotonic() - STARTED:.0f} s",
        flush=True,
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    if trainer.state.global_step >= training.max_steps and training.eval_strategy == "no":
        trainer.evaluate()
    save_curve(trainer)
    save_final(trainer, recipe.tokenizer)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="examples/configs/poet.yaml", help="YAML file with the whole recipe")
    parser.add_argument("--corpus", help="folder of `llada tokenize`, or a .safetensors or .safetensors.xz file")
    parser.add_argument(
        "--tokenizer",
        help="tokenizer folder, by default that of a corpus folder; its files are copied to the final model",
    )
    parser.add_argument("--weights", help="checkpoint folder to begin with, for instance of `llada convert-ar`")
    parser.add_argument(
        "--tokenize-only",
        metavar="DATASET",
        help="write --corpus from a folder of `save_to_disk` or a .jsonl file, and stop",
    )
    parser.add_argument("--rehearse", type=int, metavar="N", help="time N steps on each kind of row, and stop")
    parser.add_argument("--twin", action="store_true", help="train an autoregressive Llama of the same shape instead")
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint in the output folder")
    parser.add_argument("--max-minutes", type=float, help="stop with a checkpoint after this long, loading included")
    parser.add_argument("--output-dir", help="checkpoints, curve and final model go here")
    parser.add_argument("--max-steps", type=int, help="optimiser steps of the whole run")
    parser.add_argument("--num-train-epochs", type=float, help="passes over a corpus folder, instead of --max-steps")
    parser.add_argument("--tokens-per-step", type=int, help="tokens of one optimiser step")
    parser.add_argument("--learning-rate", type=float, help="peak learning rate")
    parser.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="any other value of the YAML file"
    )
    args = parser.parse_args(arguments)
    if not Path(args.config).is_file():
        parser.error(f"--config: there is no file {args.config}")
    if args.twin and args.weights:
        parser.error("--twin begins with random weights: leave --weights out")
    if args.max_steps is not None and args.num_train_epochs is not None:
        parser.error("--max-steps and --num-train-epochs both give the length of the run: leave one of them out")
    for name in ("rehearse", "max_minutes", "num_train_epochs"):
        value = getattr(args, name)
        if value is not None and value <= 0:
            parser.error(f"--{name.replace('_', '-')} must be positive, but got {value}")
    return args


def load_recipe(args: argparse.Namespace) -> Recipe:
    """Reads the YAML file, overrides values by those of the command line, and checks all of them."""
    values = read_recipe(args.config)
    for name in ("corpus", "tokenizer", "weights"):
        values[name] = getattr(args, name) or values.get(name)
    names = ("output_dir", "tokens_per_step", "learning_rate", "max_steps", "num_train_epochs")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if "max_steps" in given or "num_train_epochs" in given:  # one replaces the other
        given = {"max_steps": -1, "num_train_epochs": 0} | given
    if given:
        values["training"] = values.get("training", {}) | given
    for assignment in args.set:
        assign(values, assignment)
    try:
        recipe = Recipe(**checked(Recipe, values))
        recipe.training = checked(LLaDAPretrainingConfig, recipe.training, "training.")
        recipe.model = checked(LLaDAConfig, recipe.model, "model.", more={"rope_theta": float})
        for number, phase in enumerate(recipe.phases):
            checked(RowPhase, phase, f"phases.{number}.")
            for place, entry in enumerate(phase["entries"]):
                phase["entries"][place] = checked(RowEntry, entry, f"phases.{number}.entries.{place}.")
        for name in ("vocab_size", "mask_token_id", "bos_token_id", "eos_token_id", "pad_token_id"):
            if name in recipe.model or name in recipe.generation:
                raise ValueError(f"`{name}` comes from the corpus. Leave it out of the recipe.")
        if bool(recipe.model) == bool(recipe.weights):
            raise ValueError(
                "`model` must give the sizes of a model with random weights, or `weights` a checkpoint folder (`--weights`), but "
                f"got {'both' if recipe.model else 'neither'}."
            )
        LLaDAConfig(**recipe.model)
        LLaDAGenerationConfig(**recipe.generation)
    except ValueError as error:
        raise ValueError(f"{args.config}: {error}") from None
    return recipe


def checkpoint_to_resume(output_dir: str, resume: bool) -> str | None:
    """The checkpoint to continue from, if there is one."""
    checkpoint = find_last_checkpoint(output_dir)
    if checkpoint and not resume:
        raise ValueError(
            f"`output_dir` already holds the checkpoints of a run, {checkpoint} the last. Continue it with `--resume`, or "
            "choose another folder with `--output-dir`."
        )
    return checkpoint


def limit_minutes(training: LLaDAPretrainingConfig, minutes: float | None) -> None:
    """Sets the time limit of this call. Loading counts too, but one step is made, so that a run with time limits advances."""
    if minutes is not None:
        training.max_minutes = max(minutes - (time.monotonic() - STARTED) / 60, 1e-9)


def tokenize(dataset: str, recipe: Recipe) -> None:
    """Writes the corpus file from documents with a `text` and, if there are any, `headers`."""
    from modeling_llada.training.data_files import LINE, numbered_rows, read_splits  # only this step needs `datasets`

    if recipe.corpus is None:
        raise ValueError("`--corpus` is needed: the file to write.")
    Path(recipe.corpus).parent.mkdir(parents=True, exist_ok=True)
    check_writable(Path(recipe.corpus))
    tokenizer = load_tokenizer(recipe)
    settings = special_token_ids(tokenizer)
    for name in ("line_ends", "sentence_ends"):
        settings[name] = ids_of_characters(getattr(recipe, name), tokenizer, name)
    parts = read_splits(dataset, argument="tokenize-only")
    for name, split in parts.items():
        if "text" not in split.column_names:
            columns = ", ".join(column for column in split.column_names if column != LINE)
            raise ValueError(
                f"`--tokenize-only` needs a column `text`, but the split {name} of {dataset} has {columns}."
            )
        if bad := [number for number, text in enumerate(split["text"]) if not isinstance(text, str)]:
            raise ValueError(f"`text` must be a text, but has none in {numbered_rows(bad, split)} of {dataset}.")
    splits = {}
    for name, split in parts.items():
        started = time.monotonic()
        headers = split["headers"] if "headers" in split.column_names else [[]] * len(split)
        splits[name] = tokenize_documents(split["text"], headers, tokenizer)
        print(
            f"{name}: {len(split):,} documents, {len(splits[name].tokens):,} tokens, {time.monotonic() - started:.0f} s"
        )
    Corpus(splits, vocab_size=len(tokenizer), **settings).save(recipe.corpus)
    print(f"{recipe.corpus}: {Path(recipe.corpus).stat().st_size / 1e6:.1f} MB")


def load_tokenizer(recipe: Recipe):
    """Loads the tokenizer of the recipe, which is a folder because its files are copied."""
    if recipe.tokenizer is None or not Path(recipe.tokenizer).is_dir():
        raise ValueError(f"`--tokenizer` must be the folder of a tokenizer, but got {recipe.tokenizer}.")
    return AutoTokenizer.from_pretrained(recipe.tokenizer)


def ids_of_characters(characters: str, tokenizer, name: str) -> list[int]:
    """The token of each character, which must have one of its own."""
    ids = [token_of(character, tokenizer) for character in characters]
    unknown = [one for one, token in zip(characters, ids, strict=True) if token is None]
    if unknown:
        raise ValueError(
            f"`{name}` must be characters that are tokens, but the tokenizer has no {' '.join(unknown)}. Change it with "
            f"`--set {name}=...`, or take examples/configs/text.yaml, which needs no ends of lines."
        )
    return ids


def token_of(character: str, tokenizer) -> int | None:
    """The token that is this character, also where tokens are written as bytes, such as `Ċ` for a line feed."""
    token = tokenizer.convert_tokens_to_ids(character)
    if token not in (None, tokenizer.unk_token_id):
        return token
    found = tokenizer.encode(character, add_special_tokens=False)
    return found[0] if len(found) == 1 and tokenizer.decode(found) == character else None


def load_corpus(recipe: Recipe) -> Corpus | TokenShards:
    """Loads the corpus, and checks that it has what the recipe needs and the tokens of the tokenizer."""
    if recipe.corpus is None:
        raise ValueError("`--corpus` is needed: a folder of `llada tokenize`, or a file of `--tokenize-only`.")
    if not Path(recipe.corpus).exists():
        raise ValueError(
            f"`--corpus` must be a folder of `llada tokenize`, or a file of `--tokenize-only`, but there is no {recipe.corpus}. "
            "Write one of them first."
        )
    corpus = TokenShards(recipe.corpus) if Path(recipe.corpus).is_dir() else Corpus.load(recipe.corpus)
    if recipe.tokenizer is None:
        recipe.tokenizer = getattr(corpus, "tokenizer", None)
    else:
        tokenizer = load_tokenizer(recipe)
        tokens = special_token_ids(tokenizer) | {"vocab_size": len(tokenizer)}
        different = {
            name: (getattr(corpus, name), token) for name, token in tokens.items() if getattr(corpus, name) != token
        }
        if different:
            raise ValueError(
                f"`--tokenizer` must be that of the corpus, but {recipe.corpus} and {recipe.tokenizer} differ: {different}."
            )
    return corpus


def make_rows(
    corpus: Corpus | TokenShards, recipe: Recipe, training: LLaDAPretrainingConfig
) -> RowMixture | ShardRows:
    """The rows to train on: of a folder they stay on the disk."""
    if isinstance(corpus, Corpus):
        return RowMixture(corpus, recipe.phases, device=training.device, seed=training.seed)
    needs_lines = any(entry["kind"] == "spans" for phase in recipe.phases for entry in phase["entries"])
    line_ends = ids_of_characters(recipe.line_ends, load_tokenizer(recipe), "line_ends") if needs_lines else []
    return ShardRows(corpus, recipe.phases, seed=training.seed, line_ends=line_ends)


def make_model(recipe: Recipe, corpus: Corpus | TokenShards) -> LLaDAForMaskedLM:
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


def load_weights(recipe: Recipe, corpus: Corpus | TokenShards) -> LLaDAForMaskedLM:
    """The model of a checkpoint folder in float32. Its tokens must be those of the corpus."""
    if not Path(recipe.weights).is_dir():
        raise ValueError(f"`--weights` must be the folder of a checkpoint, but got {recipe.weights}.")
    model = LLaDAForMaskedLM.from_pretrained(recipe.weights, dtype=torch.float32)
    config = model.config
    if config.mask_token_id != corpus.mask_token_id or config.vocab_size < corpus.vocab_size:
        raise ValueError(
            f"`--weights` must have the tokens of the corpus, but {recipe.weights} has {config.vocab_size:,} and the mask token "
            f"{config.mask_token_id}, and the corpus {corpus.vocab_size:,} and {corpus.mask_token_id}. Tokenise it with "
            f"`--tokenizer {recipe.weights}`."
        )
    model.generation_config.update(**recipe.generation)
    return model


def held_out(corpus: Corpus | TokenShards, recipe: Recipe, most: int) -> dict[str, torch.Tensor]:
    """Windows without overlap over the documents without headers, in their order; of a folder at most some."""
    width, rows = recipe.eval_width, {}
    if width < 1:
        raise ValueError(f"`eval_width` must be positive, but got {width}.")
    names = recipe.eval_splits
    for name in [one for one in corpus.splits if one not in ("train", "famous")] if names is None else names:
        if name not in corpus.splits:
            raise ValueError(
                f"`eval_splits` must be splits of the corpus, {', '.join(corpus.splits)}, but got {name!r}. Choose others "
                "with `--set eval_splits=[...]`; an empty list evaluates on nothing."
            )
        if isinstance(corpus, TokenShards):
            rows[name] = held_out_rows(corpus, name, width, most)
            continue
        layout = lay_out(corpus.splits[name], corpus.bos_token_id, corpus.eos_token_id, with_headers=False, seed=None)
        count = len(layout.tokens) // width
        if count == 0:
            raise ValueError(
                f"`eval_width` must be at most the tokens of an evaluation split, but {name!r} has {len(layout.tokens)} for a "
                f"width of {width}."
            )
        rows[name] = torch.from_numpy(layout.tokens[: count * width]).view(count, width)
    return rows


def print_plan(
    model: PreTrainedModel, rows: RowMixture | ShardRows, training: LLaDAPretrainingConfig, recipe: Recipe
) -> None:
    tokens = training.tokens_per_step * training.max_steps
    speed = recipe.expected_tokens_per_second
    print(f"model      {model.num_parameters():,} parameters, vocabulary {model.config.vocab_size:,}")
    if isinstance(rows, ShardRows):
        documents = rows.documents
        print(f"corpus     {documents.num_tokens:,} tokens in {documents.num_documents:,} documents, on the disk")
    else:
        print(f"corpus     {len(rows.tokens):,} tokens laid out, on {rows.tokens.device}")
    print(
        f"plan       {training.max_steps:,} steps x {training.tokens_per_step:,} tokens = {tokens / 1e6:,.1f} M tokens",
        end="",
    )
    print(f", about {tokens / speed / 60:.1f} minutes at {speed / 1e6:.2f} M tokens/s" if speed else "")
    for phase in rows.phases:
        print(f"phase      {phase.fraction:.0%} of the steps")
        shares = sum(entry.share for entry in phase.entries)
        for entry in phase.entries:
            number, famous = count_rows(rows, entry)
            print(
                f"           {entry.kind:<9} width {entry.width:<4} {entry.share / shares:>5.0%} of the steps, {number:>10,} rows"
                + (f"; {entry.famous:>4.0%} famous, from {famous:,}" if entry.famous else "")
            )


def count_rows(rows: RowMixture | ShardRows, entry: RowEntry) -> tuple[int, int]:
    """The rows of a kind to choose from, and those of the famous split."""
    if isinstance(rows, ShardRows):
        return rows.num_rows(entry), 0
    return tuple(len(rows.tables.get((name, entry.kind, entry.width), ())) for name in ("train", "famous"))


class OneKind:
    """One entry of a mixture."""

    def __init__(self, rows: RowMixture | ShardRows, entry: RowEntry):
        self.entries = [entry]
        name = "read" if isinstance(rows, ShardRows) else "draw"
        setattr(self, name, getattr(rows, name))

    def entry_at(self, step, max_steps, seed):
        return self.entries[0]


def rehearse(
    trainer_class: type[LLaDAPretrainer],
    model: PreTrainedModel,
    rows: RowMixture | ShardRows,
    recipe: Recipe,
    plan: LLaDAPretrainingConfig,
    steps: int,
) -> None:
    """Times the training loop on each kind of row, and estimates the time of the whole run."""
    off = {"save_strategy": "no", "eval_strategy": "no", "disable_tqdm": True, "num_train_epochs": 0}
    # The first half of the steps compiles and warms up; the second log line has the speed of the others.
    training = LLaDAPretrainingConfig(**{**recipe.training, **off, "max_steps": 2 * steps, "logging_steps": steps})
    planned = plan.max_steps * plan.tokens_per_step
    compiling, speeds = 0.0, {}
    for entry in {(entry.kind, entry.width): entry for entry in rows.entries}.values():
        started = time.monotonic()
        trainer = trainer_class(model, training, OneKind(rows, entry))
        trainer.remove_callback(ProgressLines)
        trainer.train()
        speed = [line["tokens_per_second"] for line in trainer.state.log_history if "tokens_per_second" in line][-1]
        speeds[entry.kind, entry.width] = speed
        compiling += time.monotonic() - started - 2 * steps * training.tokens_per_step / speed
        trainer.accelerator.print(f"{entry.kind:<9} width {entry.width:<4} {speed:>12,} tokens/s", flush=True)
    seconds, fractions = 0.0, sum(phase.fraction for phase in rows.phases)
    for phase in rows.phases:
        shares = sum(entry.share for entry in phase.entries)
        for entry in phase.entries:
            part = phase.fraction / fractions * entry.share / shares
            seconds += part * planned / speeds[entry.kind, entry.width]
    trainer.accelerator.print(
        f"the mixture: {planned / seconds:,.0f} tokens/s; the plan takes {seconds / 60:.1f} minutes and {compiling:.0f} s"
    )
    if training.device.type == "cuda":
        trainer.accelerator.print(
            f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB on {torch.cuda.get_device_name()}"
        )


def save_curve(trainer: LLaDAPretrainer) -> None:
    path = Path(trainer.args.output_dir) / "training_log.json"
    if trainer.is_world_process_zero():
        write_atomically(path, json.dumps(trainer.state.log_history, indent=1))
        print(f"wrote {path}")


def save_final(trainer: LLaDAPretrainer, tokenizer: str | Path | None) -> None:
    """
    Writes the model with its tokenizer and a model card. It is in bfloat16 from then on. All processes call it, because each
    has a part of a sharded model.
    """
    folder = Path(trainer.args.output_dir) / "final"
    trainer.model.to(torch.bfloat16)
    weights = None
    if trainer.is_fsdp_enabled:
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
        weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if trainer.is_world_process_zero():
        with complete_or_absent(folder) as partial:
            trainer.model.save_pretrained(partial, state_dict=weights, max_shard_size="15MB")
            for pattern in TOKENIZER_FILES if tokenizer else ():
                for file in Path(tokenizer).glob(pattern):
                    shutil.copy(file, partial)
        if tokenizer:
            trainer.processing_class = AutoTokenizer.from_pretrained(tokenizer)  # which the card loads
        trainer.write_model_card(folder, title=folder.parent.name)
        step, steps = trainer.state.global_step, trainer.args.max_steps
        print(
            f"wrote {folder} at step {step:,} of {steps:,}" + ("" if step >= steps else ": go on with --resume"),
            flush=True,
        )
    trainer.accelerator.wait_for_everyone()


if __name__ == "__main__":
    run_script(main)
