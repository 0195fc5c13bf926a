# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""How fast does `generate` decode, and how far is that from what the machine can do?

    python -m benchmarks.decode --shape tiny --naive
    python -m benchmarks.decode --shape poet --checkpoint checkpoints/llada-poet --device cpu --threads 2 --naive \\
        --prompt 128 --answer 128 --block-length 32 --json benchmarks/results/decode_cpu.json
    python -m benchmarks.decode --shape 8b --device cuda --mode exact dual --engine graph eager --batch 1 8
    python -m benchmarks.decode --shape 8b --layers 2 --ladder
    python -m benchmarks.decode --shape 8b --device cuda --ladder --quantize int8 int4 fp8
    python -m benchmarks.decode --shape 8b --batch 1 8 32 --prompt 128 896 3840 --answer 256 128 256 \\
        --tokens-per-step 1 2 4
    python -m benchmarks.decode --shape poet --checkpoint checkpoints/llada-poet --against other/folder

Weights are random, so the confidences mean nothing, and the schedule is forced: each step commits `--tokens-per-step` tokens,
and nothing stops at an EOS. The contenders of a cell (a batch, its lengths and a schedule) take turns in one process.
`benchmarks/README.md` explains the columns. The JSON file is written before the first run, with the expectation of the roofline
for each row, and again after each cell.
"""

import argparse
import gc
from dataclasses import asdict
from itertools import product
from pathlib import Path

import torch

from benchmarks.contenders import Cell, Contender, Models, bind, list_contenders, most_recordings
from benchmarks.decode_tables import header, table
from benchmarks.report import add_model_arguments, check_layers, progress, save_report, settle_device, start_report
from benchmarks.roofline import Rates, expect, find_rates
from benchmarks.shapes import WEIGHT_BYTES, Unavailable, config_of, first_line
from benchmarks.timing import count_synchronizations, seconds_of, summary, take_turns, with_peak_memory
from modeling_llada import LLaDAConfig, LLaDAForMaskedLM
from modeling_llada.models.engine_llada import MAX_RECORDINGS
from reporting.results import rounded


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    config = (
        config_of(args.shape, args.layers) if args.checkpoint is None else LLaDAConfig.from_pretrained(args.checkpoint)
    )
    rates = find_rates(device, getattr(torch, args.dtype))
    cells = [
        Cell(batch, prompt, answer, tokens_per_step, args.block_length, args.dtype)
        for (prompt, answer), batch, tokens_per_step in product(
            zip(args.prompt, args.answer, strict=True), args.batch, args.tokens_per_step
        )
    ]
    contenders = list_contenders(args)
    report = start_report("decode", args, arguments, **describe(args, config, rates, contenders))
    rows = {cell: [start_row(cell, contender, config, rates, device) for contender in contenders] for cell in cells}
    report["rows"] = [row for cell in cells for row in rows[cell]]
    save_report(report, args.json)
    for cell in cells:
        progress(f"batch {cell.batch}, {cell.prompt} + {cell.answer}, {cell.tokens_per_step} tokens a step")
        run_cell(cell, dict(zip(contenders, rows[cell], strict=True)), args, device, config)
        # A model keeps its recordings, so each cell gets a new model.
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        save_report(report, args.json)
    print(header(report), table(report["rows"]), sep="\n\n")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add_model_arguments(parser, shape="poet", dtypes=("float32", "bfloat16", "float16"))
    add("--checkpoint", type=Path, metavar="DIR", help="a checkpoint instead of random weights")
    add(
        "--mode",
        nargs="+",
        choices=("exact", "prefix", "dual", "vicinity", "drafts"),
        default=["exact", "dual"],
        help="the block cache; drafts: the dual cache and `draft_steps=4`, of which random weights accept few (exact dual)",
    )
    add(
        "--engine",
        nargs="+",
        choices=("graph", "eager", "compiled"),
        default=["graph"],
        help="graph: the default of `generate`, recorded steps on CUDA; eager: `disable_compile=True`; compiled: "
        "with a `compile_config` (%(default)s)",
    )
    add("--batch", type=int, nargs="+", default=[1], help="rows (%(default)s)")
    add(
        "--prompt",
        type=int,
        nargs="+",
        default=[128],
        help="lengths of the prompts, one for each answer (%(default)s)",
    )
    add("--answer", type=int, nargs="+", default=[256], help="lengths of the answer (%(default)s)")
    add("--tokens-per-step", type=int, nargs="+", default=[1], help="the forced schedules (%(default)s)")
    add("--block-length", type=int, default=32, help="(%(default)s)")
    add("--naive", action="store_true", help="interleave a plain loop: all logits in each step, no cache")
    add("--against", type=Path, metavar="FOLDER", help="interleave the `generate` of the code in a checkpoint folder")
    add(
        "--quantize",
        nargs="+",
        choices=tuple(WEIGHT_BYTES),
        default=[],
        help="add rows with these weights, by torchao; own-fp8: by `quantize_for_decoding`",
    )
    add("--ladder", action="store_true", help="one optimisation more in each row; sets modes and engines")
    add("--repeats", type=int, default=5, help="timed runs of each row (%(default)s)")
    add("--title", default="", help="title of the table in results/README.md (what the rows vary)")
    args = parser.parse_args(arguments)
    settle_device(parser, args)
    if args.layers is not None and args.checkpoint is not None:
        parser.error(
            "`--layers` cuts a shape of random weights, and `--checkpoint` has its own layers. Pass one of the two."
        )
    check_layers(parser, args)
    if len(args.prompt) != len(args.answer):
        parser.error(f"`--prompt` and `--answer` go together: got {len(args.prompt)} and {len(args.answer)} lengths.")
    if any(answer % args.block_length for answer in args.answer):
        parser.error(f"`--answer` must be a multiple of `--block-length {args.block_length}`, but got {args.answer}.")
    if any(args.block_length % tokens for tokens in args.tokens_per_step):
        parser.error(f"`--tokens-per-step` must divide `--block-length {args.block_length}`: {args.tokens_per_step}.")
    if most_recordings(list_contenders(args)) > MAX_RECORDINGS:
        parser.error(
            f"A model keeps {MAX_RECORDINGS} recordings, but `--mode` times `--engine` asks for more, which would be made anew "
            "in each round. Split the command."
        )
    return args


def describe(args: argparse.Namespace, config: LLaDAConfig, rates: Rates, contenders: list[Contender]) -> dict:
    """The model, the rates of the machine and the baseline, for the report."""
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in LLaDAForMaskedLM(config).parameters())
    name = f"shape {args.shape}" if args.checkpoint is None else args.checkpoint.name
    if args.layers is not None:
        name += f", {args.layers} layers" if args.layers > 1 else ", 1 layer"
    return {
        "model": {"name": name, "parameters": parameters},
        "rates": asdict(rates) | {"text": str(rates)},
        "baseline": contenders[0].key,
    }


def start_row(cell: Cell, contender: Contender, config: LLaDAConfig, rates: Rates, device: torch.device) -> dict:
    """A row with its expectation, before it is measured."""
    element_bytes = 4 if cell.dtype == "float32" else 2
    weight_bytes = WEIGHT_BYTES.get(contender.weights, element_bytes)
    names = {"who": contender.name, "mode": contender.mode, "engine": contender.engine, "weights": contender.weights}
    expected = expect(config, rates, cell, contender.mode, contender.launches(device), weight_bytes)
    return names | asdict(cell) | {"expected": expected, "measured": None, "skipped": None}


def run_cell(cell: Cell, rows: dict[Contender, dict], args, device: torch.device, config: LLaDAConfig) -> None:
    """Fills the rows of a cell."""
    if cell.prompt + cell.answer > config.max_position_embeddings:
        for row in rows.values():
            row["skipped"] = f"the model has {config.max_position_embeddings} positions"
        return
    models, prompts = Models(args, config), random_prompts(cell, config, device)
    works, firsts = {}, {}
    for contender, row in rows.items():
        progress(f"  {contender.key}: first call")
        try:
            works[contender] = bind(contender, models, cell, prompts)
            firsts[contender] = first_call(works[contender], models, contender, cell, device)
        except Exception as error:
            if not (contender.may_fail or isinstance(error, (Unavailable, torch.OutOfMemoryError))):
                raise
            works.pop(contender, None)
            row["skipped"] = str(error) if isinstance(error, Unavailable) else first_line(error)
    turns = dict(works)
    for contender, work in works.items():
        if contender.mode != "exact" and cell.passes > cell.num_blocks:
            # With one step for each block all passes are refreshes. They use the same recordings.
            turns[contender, "refreshes"] = lambda work=work: work(steps=cell.num_blocks)
            turns[contender, "refreshes"]()
    progress(f"  {args.repeats} rounds")
    seconds = take_turns(turns, args.repeats, device)
    baseline = next(iter(works), None)
    for contender in works:
        times = firsts[contender] | {
            "seconds": seconds[contender],
            "refreshes": seconds.get((contender, "refreshes")),
            "baseline_seconds": seconds[baseline],
            "baseline_answer": firsts[baseline]["answer"],
        }
        rows[contender]["measured"] = measure(times, cell, rows[contender]["expected"])


def first_call(work, models: Models, contender: Contender, cell: Cell, device: torch.device) -> dict:
    """Times the first call, which records or compiles, and counts the host synchronizations of a second one."""
    seconds, (output, growth) = seconds_of(lambda: with_peak_memory(work, device), device)
    tokens = getattr(output, "sequences", output)
    passes = getattr(output, "num_forward_passes", None)
    return {
        "first": seconds,
        "peak": None if growth is None else models.bytes_of(contender) + growth,
        "passes": cell.passes if passes is None else int(passes.max()),
        "answer": tokens[:, cell.prompt :],
        "syncs": count_synchronizations(work, device),
    }


def measure(times: dict, cell: Cell, expected: dict) -> dict:
    """The measured values of a row, from seconds."""
    passes, seconds = times["passes"], times["seconds"]
    ms_per_pass = summary([1e3 * one / passes for one in seconds])
    inside = None
    if times["refreshes"] is not None:
        # The passes that are no refreshes. The cost of a call itself is in both times and cancels out.
        differences = [all_ - some for all_, some in zip(seconds, times["refreshes"], strict=True)]
        inside = summary([1e3 * one / (passes - cell.num_blocks) for one in differences])["median"]
    ratios = [other / own for other, own in zip(times["baseline_seconds"], seconds, strict=True)]
    median = summary(seconds)["median"]
    values = {
        "passes": passes,
        "ms_per_pass": ms_per_pass,
        "ms_inside_block": inside,
        "tokens_per_second": cell.batch * cell.answer / median,
        "times_baseline": summary(ratios),
        "same_tokens": (times["answer"] == times["baseline_answer"]).double().mean().item(),
        "syncs_per_step": None if times["syncs"] is None else times["syncs"] / passes,
        "peak_gib": None if times["peak"] is None else times["peak"] / 2**30,
        "roofline_percent": 100 * expected["roofline_ms"] / ms_per_pass["median"],
        "first_call_seconds": max(0.0, times["first"] - median),
        "seconds": seconds,
    }
    return rounded(values)


def random_prompts(cell: Cell, config: LLaDAConfig, device: torch.device) -> torch.LongTensor:
    """Prompts without mask tokens, the same in every run."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(config.vocab_size - 1, (cell.batch, cell.prompt), generator=generator)
    return (ids + (ids >= config.mask_token_id)).to(device)


if __name__ == "__main__":
    main()
