# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
r"""Does pre-training wait for a corpus that stays on the disk? Token shards and a stream against rows in memory.

    python -m benchmarks.pretraining --shape tiny --width 64 --tokens-per-step 4096          # a minute, on any machine
    python -m benchmarks.pretraining --shape poet --width 128 --tokens-per-step 98304 --steps 100 \
        --json benchmarks/results/pretraining_h200.json

`LLaDAPretrainer` trains random weights of a shape on three sources of rows, in turns:
- memory: a tensor of rows, which lies on the device;
- shards: a folder of token shards that is mapped into memory, its windows in a random order;
- stream: the same documents as a `datasets.IterableDataset` of four shards, packed into windows while they are read.

The corpus has `--tokens` random tokens in documents of 10 to 10,000 tokens. A call of `train` makes `--steps` steps, of which the
second half is timed: the first one compiles. On a CPU, which other programs share, all steps are timed, in seconds of the processor, the
reading thread included. *Times memory* is the speed divided by that of rows in memory in the same round: the median, and the 10th and 90th percentile.
*Reads*: the tokens a second of the source alone, in one thread and without a model.

The expectation, written down before the first run. A step may take at most 3% longer with shards.
- On a CPU a tiny model trains on about 50,000 tokens/s. One core reads 10 million from shards, and 2 million from a stream, where
  a document is a Python list. This is 0.5% and 2.5% of the step if it has only one core: 0.99 and 0.97 times memory.
- llada-poet's shape on an H200, 2.2 to 3 million tokens/s, 98,304 a step: a step takes 33 to 45 ms, and reading it 8 ms of a thread of its
  own. Nothing waits for it: 0.98 to 1.00 times memory. The stream takes 50 ms for a step, and is the slower one: 0.6 to 0.9. It is meant for
  models of a billion weights, at 50,000 tokens/s.
"""

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.report import (
    add_model_arguments,
    check_layers,
    progress,
    save_report,
    settle_device,
    shown,
    start_report,
)
from benchmarks.shapes import config_of, random_model
from benchmarks.timing import summary
from modeling_llada.training import LLaDAPretrainer, LLaDAPretrainingConfig, TokenShards
from modeling_llada.training.pretraining.sources import held_out_rows
from modeling_llada.training.pretraining.token_shard_writing import SplitWriter, write_manifest
from modeling_llada.training.progress import ProgressLines
from reporting.markdown import report_table
from reporting.results import rounded


SOURCES = ("memory", "shards", "stream")
STREAMS = 4


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    report = start_report("pretraining", args, arguments, "accelerate", "datasets", "numpy")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        progress(f"{args.tokens:,} random tokens in {folder}")
        corpus = write_corpus(Path(folder) / "tokens", config_of(args.shape), args.tokens)
        trainers = {name: make_trainer(name, corpus, Path(folder), args) for name in args.source}
        reads = {name: reading_speed(trainer, args) for name, trainer in trainers.items()}
        speeds = {name: [] for name in args.source}
        for repeat in range(args.repeats):
            for name in args.source if repeat % 2 == 0 else reversed(args.source):
                speeds[name].append(training_speed(trainers[name], args))
                progress(f"  {name}: {speeds[name][-1]:,.0f} tokens/s")
    baseline = speeds.get("memory")
    for name in args.source:
        report["rows"].append({"source": name, "measured": measure(speeds[name], baseline, reads[name])})
    save_report(report, args.json)
    print(table(report["rows"]))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add_model_arguments(parser, shape="tiny", dtypes=("float32",))
    add("--source", nargs="+", choices=SOURCES, default=list(SOURCES), help="where rows come from (all)")
    add("--width", type=int, default=64, help="tokens of a row (%(default)s)")
    add("--tokens-per-step", type=int, default=4096, help="tokens of a step (%(default)s)")
    add("--tokens", type=int, default=20_000_000, help="tokens of the corpus (%(default)s)")
    add("--steps", type=int, default=40, help="steps of a round, the second half of which is timed (%(default)s)")
    add("--repeats", type=int, default=4, help="rounds (%(default)s)")
    add("--folder", type=Path, help="where the corpus is kept meanwhile (the temporary folder)")
    args = parser.parse_args(arguments)
    args.dtype = "float32"  # weights; the trainer computes in bfloat16 where the GPU has it
    settle_device(parser, args)
    check_layers(parser, args)
    for name, least in (("steps", 2), ("repeats", 1), ("tokens", 2 * args.tokens_per_step)):
        if getattr(args, name) < least:
            parser.error(f"`--{name}` must be at least {least}, but got {getattr(args, name)}.")
    if args.width < 2 or args.tokens_per_step % (STREAMS * args.width):
        parser.error(
            f"`--tokens-per-step` must be a multiple of {STREAMS} rows of `--width`, but got {args.tokens_per_step} and "
            f"{args.width}."
        )
    return args


def write_corpus(folder: Path, config, num_tokens: int) -> TokenShards:
    """Writes documents of random tokens, most of them some hundred tokens long."""
    (folder / "tokenizer").mkdir(parents=True)
    rng, dtype = np.random.default_rng(0), np.dtype(np.uint16 if config.vocab_size <= 2**16 else np.uint32)
    writer, written = SplitWriter(folder, "train", dtype, shard_bytes=50_000_000), 0
    while written < num_tokens:
        lengths = rng.lognormal(5.5, 1.2, 1000).clip(10, 10_000).astype(np.uint32)
        writer.add(rng.integers(1, config.mask_token_id, lengths.sum()).astype(dtype), lengths)
        written += int(lengths.sum())
    eos = int(np.atleast_1d(config.eos_token_id)[0])
    ids = {"bos_token_id": 1, "eos_token_id": eos, "mask_token_id": config.mask_token_id}
    write_manifest(folder, dtype=dtype.name, vocab_size=config.vocab_size, **ids, splits={"train": writer.finish()})
    return TokenShards(folder)


def make_trainer(name: str, corpus: TokenShards, folder: Path, args: argparse.Namespace) -> LLaDAPretrainer:
    training = LLaDAPretrainingConfig(
        str(folder / name),
        max_steps=args.steps,
        tokens_per_step=args.tokens_per_step,
        row_length=args.width,
        random_length_ratio=0.0,
        logging_steps=args.steps // 2,
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=args.device == "cpu",
    )
    config = config_of(args.shape, args.layers)
    config.bos_token_id = corpus.bos_token_id
    model = random_model(config, training.device, torch.float32).train()
    source = {
        "memory": lambda: held_out_rows(corpus, "train", args.width),
        "shards": lambda: corpus,
        "stream": lambda: stream_of(corpus),
    }[name]
    trainer = LLaDAPretrainer(model, training, train_dataset=source())
    trainer.remove_callback(ProgressLines)
    return trainer


def stream_of(corpus: TokenShards):
    """The documents as an endless `IterableDataset`."""
    from datasets import IterableDataset

    parts = {"folder": str(corpus.folder), "parts": list(range(STREAMS))}
    return IterableDataset.from_generator(documents_of, gen_kwargs=parts).repeat(None)


def documents_of(folder: str, parts: list[int]):
    split = TokenShards(folder).splits["train"]
    starts, lengths = split.document_starts, split.lengths()
    for part in parts:
        numbers = list(range(part, split.num_documents, STREAMS))
        random.Random(part).shuffle(numbers)
        for number in numbers:
            yield {"input_ids": split.tokens(int(starts[number]), int(starts[number]) + int(lengths[number]))}


def reading_speed(trainer: LLaDAPretrainer, args: argparse.Namespace) -> float | None:
    """Tokens a second that are read by one thread which does nothing else."""
    batches = trainer.get_train_dataloader()
    if not hasattr(batches.source, "read"):
        return None
    batches.read(0)
    started = time.perf_counter()
    for step in range(1, 11):
        batches.read(step)
    return 10 * args.tokens_per_step / (time.perf_counter() - started)


def training_speed(trainer: LLaDAPretrainer, args: argparse.Namespace) -> float:
    """Tokens a second of the second half of a call of `train`, or a second of the processor."""
    started = time.process_time()
    trainer.train()
    if args.device == "cpu":
        return args.steps * args.tokens_per_step / (time.process_time() - started)
    return [entry["tokens_per_second"] for entry in trainer.state.log_history if "tokens_per_second" in entry][-1]


def measure(speeds: list[float], baseline: list[float] | None, reads: float | None) -> dict:
    """The measured values of a source."""
    ratios = baseline and [speed / other for speed, other in zip(speeds, baseline, strict=True)]
    return rounded(
        {
            "tokens_per_second": statistics.median(speeds),
            "times_memory": ratios and summary(ratios),
            "reads": reads,
            "speeds": speeds,
        }
    )


def section(reports: list[dict]) -> str:
    """The results of all runs in Markdown."""
    return "\n".join(f"{header(report)}\n\n{table(report['rows'], aligned=False)}\n" for report in reports)


def header(report: dict) -> str:
    """The model, the rows and the machine."""
    machine, args = report["machine"]["name"], report["arguments"]
    seconds = ", in seconds of the processor" if args["device"] == "cpu" else ""
    return f"Shape {args['shape']}, {args['tokens_per_step']:,} tokens a step in rows of {args['width']:,}, on {machine}{seconds}:"


def table(rows: list[dict], aligned: bool = True) -> str:
    """The rows in Markdown."""
    cells = [
        {
            "rows from": row["source"],
            "tokens/s": shown(row["measured"], "tokens_per_second", ",.0f"),
            "times memory": spread(row["measured"]["times_memory"]),
            "reads, tokens/s": shown(row["measured"], "reads", ",.0f"),
        }
        for row in rows
    ]
    return report_table(cells, {}, aligned)


def spread(ratio: dict | None) -> str:
    """A median with the 10th and 90th percentile."""
    return "" if ratio is None else "{median:.2f} [{p10:.2f}, {p90:.2f}]".format(**ratio)


if __name__ == "__main__":
    main()
