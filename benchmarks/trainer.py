# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
r"""How fast is fine-tuning by `examples/sft.py`, and in how much memory? LoRA and QLoRA on random weights of a shape.

    python -m benchmarks.trainer --shape tiny --batch 2 --length 64 --steps 4
    python -m benchmarks.trainer --shape 8b --weights nf4 --engine compiled eager --batch 8 --length 1024 \
        --json benchmarks/results/trainer_h100_8b_nf4.json
    python -m benchmarks.trainer --shape 8b --weights bfloat16 --engine compiled eager --batch 8 --length 1024 \
        --json benchmarks/results/trainer_h100_8b_bfloat16.json

`train.py` times a training step alone. This bench times the whole trainer, with its data, clipping and log. It runs the command
of docs/training.md on a folder with random weights and the tokenizer of llada-poet, and on rows of random characters that fill
`--length` tokens, a quarter of them the prompt. Each row of the table is a separate process. `nf4` stores the projections in
four bits (bitsandbytes, quantized scales), `bfloat16` as they are. The adapter has rank 32, on all seven projections.

- tokens/s: the median of the logged values in the second half of the steps.
- peak GiB: the largest allocated memory, loading and quantizing included.
- first step: seconds, with compiling.

The random weights take two bytes each in `--folder`, 16 GB for 8b.

The expectation, written down before the first run on a GPU, 8 x 1024. Memory: adapter and AdamW are float32 in TRL, 1.25 GiB
instead of 0.6, so LoRA takes 20 GiB where `train.py` has 19.3, and QLoRA 10.5. Speed: LoRA, eager, 6,500 to 7,800
tokens/s (`train.py`: 7,850), QLoRA 5 to 15% less, since each pass writes the weights anew in bfloat16. Compiled LoRA is 1.3
to 1.5 times as fast; compiled QLoRA was not estimated.

Measured: LoRA 6,157 tokens/s in 21.1 GiB, QLoRA 6,867 in 10.2. QLoRA is faster, perhaps because TRL gives it bfloat16
adapters. Compiled they are 1.74 and 1.81 times as fast, after a first step of 32 s. QLoRA then takes 30.9 GiB; the reason was not
examined. In `trainer_h100_8b_whole.json` the whole model was one graph, the default of `torch_compile`: a first step of
191 s, 11,632 tokens/s with QLoRA and 31.1 GiB. Since then layers share a graph.
"""

import argparse
import json
import multiprocessing
import random
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from benchmarks.report import (
    add_model_arguments,
    check_layers,
    progress,
    save_report,
    settle_device,
    shown,
    start_report,
)
from benchmarks.shapes import ROOT, config_of, first_line, random_model
from benchmarks.train_work import GIB
from reporting.markdown import report_table
from reporting.results import rounded


WEIGHTS = {"nf4": ["--load_in_4bit", "true", "--use_bnb_nested_quant", "true"], "bfloat16": []}
ENGINES = {"eager": [], "compiled": ["--torch_compile", "true"]}
RANK = 32
# The title of a column and the format of its numbers.
COLUMNS = {
    "tokens_per_second": ("tokens/s", ",.0f"),
    "masked_tokens_per_second": ("masked tokens/s", ",.0f"),
    "peak_gib": ("peak GiB", ".1f"),
    "first_step_seconds": ("first step s", ".1f"),
}


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    report = start_report("trainer", args, arguments, "accelerate", "trl", "peft", "bitsandbytes")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        progress(f"shape {args.shape}: random weights in {folder}")
        tokenizer = AutoTokenizer.from_pretrained(ROOT / "checkpoints" / "llada-poet")
        write_model(Path(folder) / "model", tokenizer, args)
        write_rows(Path(folder) / "rows.jsonl", tokenizer, args)
        for engine, weights in product(args.engine, args.weights):
            progress(f"  {weights}, {engine}")
            report["rows"].append(
                {"weights": weights, "engine": engine} | measure(Path(folder), weights, engine, args)
            )
            save_report(report, args.json)
    print(table(report["rows"]))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add_model_arguments(parser, shape="tiny", dtypes=("float32", "bfloat16"))
    add(
        "--weights", nargs="+", choices=list(WEIGHTS), default=list(WEIGHTS), help="weights of the base (nf4 bfloat16)"
    )
    add("--engine", nargs="+", choices=list(ENGINES), default=["eager"], help="how the model runs (eager)")
    add("--batch", type=int, default=2, help="rows of a step (%(default)s)")
    add("--length", type=int, default=64, help="tokens of a row (%(default)s)")
    add("--steps", type=int, default=12, help="steps, the second half of which is timed (%(default)s)")
    add("--folder", type=Path, help="where the random weights are kept meanwhile (the temporary folder)")
    args = parser.parse_args(arguments)
    settle_device(parser, args)
    check_layers(parser, args)
    if args.device not in ("cpu", "cuda") or (args.device == "cuda" and torch.cuda.device_count() > 1):
        parser.error(
            f"`--device` must be cpu, or cuda with one visible GPU, because the trainer takes all GPUs, but got "
            f"{args.device} and {torch.cuda.device_count()} GPUs. Choose one with CUDA_VISIBLE_DEVICES."
        )
    for name, least in (("batch", 1), ("length", 16), ("steps", 2)):
        if getattr(args, name) < least:
            parser.error(f"`--{name}` must be at least {least}, but got {getattr(args, name)}.")
    return args


def write_model(folder: Path, tokenizer: PreTrainedTokenizerBase, args: argparse.Namespace) -> None:
    """Writes random weights of the shape, and the tokenizer."""
    config = config_of(args.shape, args.layers)
    config.vocab_size = max(config.vocab_size, len(tokenizer))
    for name in ("mask_token_id", "eos_token_id", "pad_token_id", "bos_token_id"):
        setattr(config, name, getattr(tokenizer, name))
    random_model(config, args.device, getattr(torch, args.dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if args.device == "cuda":
        torch.cuda.empty_cache()


def write_rows(path: Path, tokenizer: PreTrainedTokenizerBase, args: argparse.Namespace) -> None:
    """Writes prompts and completions of random characters, one token each; the EOS after them fills the row."""
    characters = sorted(token for token in tokenizer.get_vocab() if len(token) == 1 and "一" <= token <= "鿿")
    draw, prompt = random.Random(0), args.length // 4
    lines = []
    for _ in range(args.batch * args.steps):
        text = "".join(draw.choices(characters, k=args.length - 1))
        lines.append(json.dumps({"prompt": text[:prompt], "completion": text[prompt:]}, ensure_ascii=False))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def measure(folder: Path, weights: str, engine: str, args: argparse.Namespace) -> dict:
    """Runs the trainer in a separate process; returns the measured values, or why there are none."""
    output = folder / f"{weights}-{engine}"
    flags = ["--model_name_or_path", folder / "model", "--dataset_name", folder / "rows.jsonl", "--output_dir", output]
    flags += ["--dtype", args.dtype, "--bf16", str(args.dtype == "bfloat16").lower(), "--report_to", "none"]
    flags += ["--use_peft", "--lora_r", RANK, "--lora_alpha", 2 * RANK, "--learning_rate", "1e-4"]
    flags += ["--max_length", args.length, "--per_device_train_batch_size", args.batch]
    flags += ["--max_steps", args.steps, "--save_steps", args.steps, "--logging_steps", 1]
    flags += [*WEIGHTS[weights], *ENGINES[engine], *([] if args.device == "cuda" else ["--use_cpu", "true"])]
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            peak = pool.submit(fine_tune, [str(flag) for flag in flags], args.device, args.threads).result()
        except (Exception, SystemExit) as error:  # a library may lack something for this row, or memory
            return {"measured": None, "skipped": first_line(error)}
    state = json.loads((output / f"checkpoint-{args.steps}" / "trainer_state.json").read_text(encoding="utf-8"))
    return {"measured": summarise(state["log_history"], peak), "skipped": None}


def fine_tune(flags: list[str], device: str, threads: int | None) -> int | None:
    """Runs `examples/sft.py`. Returns the largest number of bytes allocated on a GPU."""
    from examples import sft

    if threads is not None:
        torch.set_num_threads(threads)
    sft.main(flags)
    return torch.cuda.max_memory_allocated() if device == "cuda" else None


def summarise(log: list[dict], peak: int | None) -> dict:
    steps = [entry for entry in log if "tokens_per_second" in entry]
    timed = steps[len(steps) // 2 :]
    values = {
        "tokens_per_second": statistics.median(entry["tokens_per_second"] for entry in timed),
        "masked_tokens_per_second": statistics.median(entry["masked_tokens_per_second"] for entry in timed),
        "peak_gib": None if peak is None else peak / GIB,
        "first_step_seconds": steps[0]["num_tokens"] / steps[0]["tokens_per_second"],
        "losses": [entry["loss"] for entry in steps],
    }
    return rounded(values)


def table(rows: list[dict]) -> str:
    """The rows as a Markdown table, and why rows are missing."""
    cells = []
    for row in rows:
        texts = {title: shown(row["measured"] or {}, name, form) for name, (title, form) in COLUMNS.items()}
        cells.append({"weights": row["weights"], "engine": row["engine"]} | texts)
    return report_table(
        cells, {f"{row['weights']}, {row['engine']}": row["skipped"] for row in rows if row["skipped"]}
    )


if __name__ == "__main__":
    main()
