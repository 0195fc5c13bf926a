# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
r"""How fast does a training step run, and in how much memory?

    python -m benchmarks.train --shape tiny --batch 2 --length 64 --lora 4
    python -m benchmarks.train --shape 8b --lora 32 --batch 8 --length 1024 --micro-batches 1 2 \
        --json benchmarks/results/train_h100_8b_1024.json
    python -m benchmarks.train --shape 8b --lora 32 --batch 2 --length 4096 --micro-batches 1 2 \
        --json benchmarks/results/train_h100_8b_4096.json
    python -m benchmarks.train --shape 1b --batch 4 --length 4096 --micro-batches 1 4 \
        --engine eager compiled "compiled, all kept" --json benchmarks/results/train_h100_1b_4096.json
    python -m benchmarks.train --shape 1b-paper --batch 4 --length 4096 \
        --engine eager compiled "compiled, 3 kept" "compiled, 6 kept" --json benchmarks/results/train_h100_1b_paper.json

A step is forward, backward and AdamW, on random weights and one batch of random rows. On average half of their tokens are
masked, with evenly spread rates. On a GPU everything is bfloat16: weights, adapters, and the states of AdamW. TRL and datasets
are not needed. On an H100 each of the three commands should take less than 100 seconds.

There are three ways to the same loss:
- all logits: bfloat16 logits of every position, cross-entropy of all of them in float32, weight 0 where nothing is masked;
- masked rows: logits of the masked positions, in one piece;
- masked rows + chunks: the loss of the model called with `masked_positions`, `--chunk-size` positions at a time,
  computed again in the backward pass. `LLaDASFTTrainer` does this.

Each way runs eager and compiled. Compiled layers share one graph without breaks, and the cross-entropy (with chunks: the chunk)
has its own. Checkpointing is *inside* of the graph of the layer. So the compiler sees the second forward pass next to the
backward pass and drops the parts that are not needed, such as the last product of the layer. Only the input of a layer is kept,
as in eager mode; by default the compiler would save a dozen tensors. A graph of the whole model would gain little and take
minutes to compile. `all kept` has no checkpoints: no second forward pass, and all that memory. `3 kept` has none in the last
three layers, whose activations are freed first.

The batch runs in one piece or in `--micro-batches`, whose gradients add up to the same: less memory at a time, smaller products.

All contenders share one model, one batch and one optimizer, and take turns (A B C, C B A...) after `--warmup` steps of each.
The first step of the first compiled row compiles the layers for all rows. A row that runs out of memory says so.

MFU is against 989 TFLOP/s, dense bfloat16 on an H100. The operations of a step, without the second forward pass:

    tokens * (F * weights of the layers + 6 * weights of the adapters + 12 * layers * hidden size * length)
    + rows of the head * F * weights of the head

with F = 6 for weights that are trained and F = 4 for frozen ones, which have no gradient. The rows of the head are those that
really go through it. With all logits these are all rows, so that MFU counts work that is thrown away.

The expectation, written down before the first run on a GPU (`train_work.py` makes it: products at 650 TFLOP/s, attention at
300, and reads and writes of hidden states and logits at 2.5 TB/s, from which a range of 0.85 to 1.3 times the time):

- 8B with LoRA, 8 x 1024: 5,500 to 8,400 tokens/s with all logits, 4 to 6 % of which is the loss, so masked rows gain 2 %.
  The small operations between products make a step slow: norms, rotary embedding, gates, and for adapters a sum after each
  projection. Compiled they take a third of the time, and masked rows reach 1.4 times all logits. 2 x 4096: 10 to 15 % less,
  and 1.35 times, since attention is a larger part.
- 1B in full, 4 x 4096, where the head is a fifth of the weights: 20,000 to 30,000 tokens/s with all logits, 6 % more with
  masked rows, 1.4 times compiled: 28,000 to 42,000, or 25 to 38 % MFU. Twice the official code (16,346), but hardly twice
  all logits with the same layers.
- The loss mainly costs memory: 10 bytes a logit when eager, 4 compiled. 8B, both sizes: 27 GiB with all logits, 22
  with masked rows, 20 with chunks, where a layer needs more than the loss; compiled 21, 19.5 and 19. 1B, 4 x 4096: 29,
  19.5 and 13.5; compiled 17.5, 13.5 and 12.5.

The first run had no micro-batches (compiled, 8B: 1.58 and 1.48 times all logits, but 20.2 GiB; 1B: 1.50 times, 13.8 GiB).
Expected after it: two halves of the batch of 8B keep 2 GiB less, for 2 % of the speed. For 1B the second forward pass is a fifth
of the step. Without it 1.7 times all logits are within reach, in 4 micro-batches because of the memory, 17 GiB.

The 1B of the paper (`--shape 1b-paper`), on which the official code was measured, has 5,634 intermediate columns, and `1b` has
5,632. Products of the former width are two to three times slower on tensor cores, unless they are padded, as the compiler does. Expected before the run: all logits 16,000 to 20,000 tokens/s eager; masked rows, compiled, 33,000 to 42,000, which is 1.8
to 2.4 times as many, in 14 to 15 GiB. A first run had 1.98 times and 13.9 GiB: all logits were faster than expected, 21,220
tokens/s. 3 GiB are left. Each of the 22 layers needs 0.85 GiB, and its second forward pass 1 % of the step. So 2.02 to 2.05 times
were expected with three kept layers, in 16.4 GiB, and 2.02 times with six and chunks, which keep fewer logits, in 16.5 GiB.
Measured: 2.05 times and 16.4 GiB, and 2.05 times and 16.3 GiB.
"""

import argparse
from dataclasses import asdict
from functools import partial

import torch

from benchmarks.report import add_model_arguments, check_layers, progress, save_report, settle_device, start_report
from benchmarks.shapes import config_of, first_line
from benchmarks.timing import seconds_of, summary, take_turns
from benchmarks.train_steps import (
    ENGINES,
    LOSSES,
    Batch,
    Contender,
    Steps,
    count_weights,
    draw_batch,
    list_contenders,
    parse_engine,
)
from benchmarks.train_tables import header, requirement_section, table
from benchmarks.train_work import GIB, PEAK, Work
from reporting.results import rounded


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    # One graph for each length; beyond the limit a step would be an error.
    torch._dynamo.config.recompile_limit = 64
    device, config = torch.device(args.device), config_of(args.shape, args.layers)
    progress(f"shape {args.shape}: random weights")
    steps = Steps(config, device, getattr(torch, args.dtype), args.lora, args.chunk_size)
    weights = count_weights(steps.model)
    name = f"shape {args.shape}" + ("" if args.layers is None else f", layers: {args.layers}")
    packages = [] if args.lora is None else ["peft"]
    report = start_report("train", args, arguments, *packages, model={"name": name, "weights": weights})
    cells = [start_cell(args, config, weights, size, device) for size in zip(args.batch, args.length, strict=True)]
    report["rows"] = [row for _, _, rows in cells for row in rows.values()]
    save_report(report, args.json)
    for batches, work, rows in cells:
        run_cell(steps, batches, work, rows, args)
        save_report(report, args.json)
    print(header(report), table(report["rows"]), requirement_section([report]), sep="\n\n")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add_model_arguments(parser, shape="tiny", dtypes=("float32", "bfloat16"))
    add("--loss", nargs="+", choices=LOSSES, default=list(LOSSES), help="ways to the loss (all)")
    add(
        "--engine",
        nargs="+",
        type=parse_engine,
        default=list(ENGINES),
        help="how layers run (eager compiled); 'compiled, 3 kept' keeps the activations of the last three layers, and "
        "'compiled, all kept' those of all",
    )
    add("--micro-batches", type=int, nargs="+", default=[1], help="parts that a batch is split into (%(default)s)")
    add("--lora", type=int, metavar="R", help="train adapters of rank R on the seven projections (all weights)")
    add("--batch", type=int, nargs="+", default=[2], help="rows of a step, one for each length (%(default)s)")
    add("--length", type=int, nargs="+", default=[64], help="tokens of a row (%(default)s)")
    add("--chunk-size", type=int, default=1024, help="masked positions in the head at a time (%(default)s)")
    add("--warmup", type=int, default=2, help="untimed steps of each row, with the first one (%(default)s)")
    add("--repeats", type=int, default=4, help="timed steps of each row (%(default)s)")
    args = parser.parse_args(arguments)
    settle_device(parser, args)
    if len(args.batch) != len(args.length):
        parser.error(f"`--batch` and `--length` go together: got {len(args.batch)} and {len(args.length)} numbers.")
    for name in ("batch", "length", "micro_batches", "chunk_size", "warmup", "repeats", "lora", "layers"):
        values = getattr(args, name)
        if any(value < 1 for value in (values if isinstance(values, list) else [values]) if value is not None):
            parser.error(f"`--{name.replace('_', '-')}` must be positive, but got {values}.")
    uneven = [(batch, parts) for batch in args.batch for parts in args.micro_batches if batch % parts]
    if uneven:
        batch, parts = uneven[0]
        parser.error(f"`--micro-batches` must divide every `--batch`, but {parts} does not divide {batch}.")
    config = config_of(args.shape)
    check_layers(parser, args)
    num_layers = args.layers or config.num_hidden_layers
    too_many = [one for one in args.engine if Contender("all logits", one).kept_layers(num_layers) > num_layers]
    if too_many:
        parser.error(f"`--engine` can keep at most the {num_layers} layers of the model: {too_many[0]!r}.")
    if max(args.length) > config.max_position_embeddings:
        most = config.max_position_embeddings
        parser.error(f"`--length` must be at most {most}, the positions of `--shape {args.shape}`: {args.length}.")
    return args


def start_cell(
    args, config, weights: dict, size: tuple[int, int], device
) -> tuple[dict[int, list[Batch]], Work, dict[Contender, dict]]:
    """The batch of a cell in each number of parts, its work, and its rows with their expectations."""
    batches = {parts: draw_batch(config, *size, device, parts) for parts in args.micro_batches}
    parts = batches[args.micro_batches[0]]  # the rows are the same for each number of parts
    head_rows, num_masked = sum(len(part.positions) for part in parts), sum(part.num_masked for part in parts)
    work = Work(config, weights, *size, head_rows, args.chunk_size)
    is_known = device.type == "cuda" and args.dtype == "bfloat16" and "H100" in torch.cuda.get_device_name(device)
    rows = {
        contender: asdict(contender)
        | {"batch": size[0], "length": size[1]}
        | {"masked": num_masked, "head_rows": work.rows(contender.loss)}
        | {"expected": work.expect(contender) if is_known else None, "measured": None, "skipped": None}
        for contender in list_contenders(args.loss, args.engine, args.micro_batches)
    }
    return batches, work, rows


def run_cell(steps: Steps, batches: dict[int, list[Batch]], work: Work, rows: dict[Contender, dict], args) -> None:
    """Fills the rows of a cell."""
    num_masked = next(iter(rows.values()))["masked"]
    progress(f"batch {work.batch} x {work.length}, {num_masked} masked")
    works, peaks, firsts = {}, {}, {}

    def take_step(contender: Contender) -> None:
        peaks[contender] = steps.step(contender, batches[contender.micro_batches])

    for contender, row in rows.items():
        step = partial(take_step, contender)
        progress(f"  {contender}: first step")
        try:
            firsts[contender], _ = seconds_of(step, steps.device)
            for _ in range(args.warmup - 1):
                step()
            works[contender] = step
        except torch.OutOfMemoryError as error:
            row["skipped"] = f"out of memory: {first_line(error)}"
        if row["skipped"]:
            steps.free()
    progress(f"  {args.repeats} rounds")
    seconds = take_turns(works, args.repeats, steps.device)
    for contender in works:
        baseline = seconds[next(iter(works))] if next(iter(rows)) in works else None
        times = {"seconds": seconds[contender], "baseline": baseline, "first": firsts[contender]}
        rows[contender]["measured"] = measure(times, peaks[contender], work, contender.loss, num_masked, steps.device)


def measure(times: dict, peak: int | None, work: Work, loss: str, num_masked: int, device: torch.device) -> dict:
    """The measured values of a row, from seconds."""
    seconds = summary(times["seconds"])["median"]
    ratios = None
    if times["baseline"] is not None:
        ratios = summary([other / own for other, own in zip(times["baseline"], times["seconds"], strict=True)])
    values = {
        "ms_per_step": summary([1e3 * one for one in times["seconds"]]),
        "tokens_per_second": work.tokens / seconds,
        "masked_tokens_per_second": num_masked / seconds,
        "times_baseline": ratios,
        "peak_gib": None if peak is None else peak / GIB,
        "mfu_percent": 100 * work.operations(loss) / seconds / PEAK if device.type == "cuda" else None,
        "first_step_seconds": times["first"],
        "seconds": times["seconds"],
    }
    return rounded(values)


if __name__ == "__main__":
    main()
