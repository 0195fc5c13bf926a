# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""How many answers a second does the scheduler of the server give to several clients, and how long do they wait?

    python -m benchmarks.serving --checkpoint checkpoints/llada-poet --clients 1 8
    python -m benchmarks.serving --shape tiny --prompt 4 16 --answer 8 16 --block-length 8 --requests 16
    python -m benchmarks.serving --shape 8b --device cuda --prompt 128 --answer 256 --tokens-per-step 4 --clients 1 8 32 64

A client sends a request when its last one is answered (a closed loop), straight to the scheduler: HTTP is not part of it. The
rows named `generate` are static batches of the same requests, sorted by their lengths, on the same model; each batch is as slow as
its longest row. All rows take turns in one process.

With a checkpoint, requests are the beginnings of famous poems and end at EOS. Random weights get random prompts of `--prompt`
tokens and a forced schedule: each step commits `--tokens-per-step` tokens, and nothing stops at an EOS. Two numbers for `--prompt` or
`--answer` are the bounds of mixed lengths.

Expected on a CPU: a pass of blocks of 8 tokens reads all weights, as one row does, but is bound by products from a few rows on. So
8 clients get 1.2 to 3 times the answers of one, depending on how far one row fills the cores.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch
from transformers import AutoTokenizer
from transformers.generation.streamers import BaseStreamer

from benchmarks.report import add_model_arguments, check_layers, progress, save_report, settle_device, start_report
from benchmarks.shapes import config_of, load_checkpoint, random_model
from benchmarks.timing import seconds_of, summary
from modeling_llada.serving.job import Job
from modeling_llada.serving.scheduler import Scheduler
from reporting.markdown import report_table
from reporting.results import rounded


BEGINNINGS = (
    "床前明月光，",
    "白日依山尽，",
    "春眠不觉晓，",
    "红豆生南国，",
    "千山鸟飞绝，",
    "独在异乡为异客，",
    "故人西辞黄鹤楼，",
    "两个黄鹂鸣翠柳，",
)


class Request(NamedTuple):
    """A prompt, `(1, length)`, and the masks behind it."""

    input_ids: torch.LongTensor
    max_new_tokens: int


class FirstBlock(BaseStreamer):
    """Notes when the first block is finished."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        pass


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    device, dtype = torch.device(args.device), getattr(torch, args.dtype)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    if args.checkpoint is not None:
        model, tokenizer = (
            load_checkpoint(args.checkpoint, device, dtype),
            AutoTokenizer.from_pretrained(args.checkpoint),
        )
        requests = poems(tokenizer, args, device)
    else:
        model = random_model(config_of(args.shape, args.layers), device, dtype)
        requests = random_requests(model, args, device)
    options = {
        "block_length": args.block_length,
        "block_cache": args.cache,
        "stop_at_eos": args.checkpoint is not None,
    }
    if args.checkpoint is None:
        options["min_commits"] = args.tokens_per_step
    report = start_report("serving", args, arguments, threads=torch.get_num_threads())
    works = {}
    for clients in args.clients:
        works[f"{clients} clients"] = lambda clients=clients: closed_loop(model, requests, options, clients)
        works[f"generate, batch {clients}"] = lambda clients=clients: static_batches(model, requests, options, clients)
    report["rows"] = measure(works, args.repeats, device)
    save_report(report, args.json)
    print(table(report["rows"]))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add_model_arguments(parser, shape="poet", dtypes=("float32", "bfloat16"))
    add("--checkpoint", type=Path, metavar="DIR", help="a checkpoint of poems instead of random weights")
    add("--clients", type=int, nargs="+", default=[1, 8], help="how many send requests at once (%(default)s)")
    add("--requests", type=int, default=32, help="requests in all (%(default)s)")
    add("--prompt", type=int, nargs="+", default=[128], help="length of the prompts, or two bounds (%(default)s)")
    add("--answer", type=int, nargs="+", help="length of the answers, or two bounds (32 with a checkpoint, else 256)")
    add("--block-length", type=int, help="(8 with a checkpoint, else 32)")
    add("--tokens-per-step", type=int, default=1, help="the forced schedule of random weights (%(default)s)")
    add("--cache", choices=("prefix", "dual", "vicinity"), default="dual", help="the block cache (%(default)s)")
    add("--repeats", type=int, default=3, help="timed runs of each row (%(default)s)")
    args = parser.parse_args(arguments)
    settle_device(parser, args)
    check_layers(parser, args)
    has_text = args.checkpoint is not None
    args.answer = args.answer or [32 if has_text else 256]
    args.block_length = args.block_length or (8 if has_text else 32)
    if min(*args.clients, args.requests, args.repeats, *args.prompt, *args.answer, args.block_length) < 1:
        parser.error("Numbers of clients, requests, repeats and tokens must be at least 1.")
    if max(len(args.prompt), len(args.answer)) > 2:
        parser.error("`--prompt` and `--answer` take one length, or the two bounds of mixed lengths.")
    return args


def poems(tokenizer, args: argparse.Namespace, device: torch.device) -> list[Request]:
    """Requests that begin as famous poems do."""
    chance = Random(0)
    return [
        Request(
            tokenizer(BEGINNINGS[index % len(BEGINNINGS)], return_tensors="pt")["input_ids"].to(device),
            chance.randint(args.answer[0], args.answer[-1]),
        )
        for index in range(args.requests)
    ]


def random_requests(model, args: argparse.Namespace, device: torch.device) -> list[Request]:
    """Requests with random tokens."""
    chance, requests = Random(0), []
    generator = torch.Generator().manual_seed(0)
    for _ in range(args.requests):
        length = chance.randint(args.prompt[0], args.prompt[-1])
        input_ids = torch.randint(model.config.mask_token_id, (1, length), generator=generator).to(device)
        requests.append(Request(input_ids, chance.randint(args.answer[0], args.answer[-1])))
    return requests


def closed_loop(model, requests: list[Request], options: dict, num_clients: int) -> dict:
    """Answers requests of several clients, each of which sends the next one when its last one is answered."""
    scheduler = Scheduler(model, batch_size=num_clients)
    waiting, num_tokens, passes = iter(requests), [], []
    latencies, first_blocks = [], []

    def ask() -> None:
        request = next(waiting, None)
        if request is None:
            return
        streamer, started = FirstBlock(), time.perf_counter()

        def prepare():
            arguments = {**options, "max_new_tokens": request.max_new_tokens, "output_trajectory": True}
            return model._prepare_call(request.input_ids, None, None, None, None, streamer, None, None, arguments)

        def done(job: Job) -> None:
            if job.error is not None:
                raise job.error
            latencies.append(time.perf_counter() - started)
            first_blocks.append(streamer.times[1] - started)
            num_tokens.append(int((job.output.trajectory[0] >= 0).sum()))
            passes.append(int(job.output.num_forward_passes))
            ask()

        scheduler.submit(Job(prepare, done))

    for _ in range(num_clients):
        ask()
    while scheduler.step():
        pass
    counts = scheduler.counts
    return {
        "tokens": sum(num_tokens),
        "passes": counts.passes,
        "refreshes": counts.refreshes,
        "rows_a_pass": counts.rows / counts.passes,
        "passes_of_rows": sum(passes),
        "latencies": latencies,
        "first_blocks": first_blocks,
    }


def static_batches(model, requests: list[Request], options: dict, batch_size: int) -> dict:
    """Answers requests by `generate` in batches of similar lengths."""
    ordered = sorted(requests, key=lambda request: (request.max_new_tokens, request.input_ids.shape[1]))
    num_tokens, passes_of_rows, latencies = 0, 0, []
    for start in range(0, len(ordered), batch_size):
        batch, started = ordered[start : start + batch_size], time.perf_counter()
        longest = max(request.input_ids.shape[1] for request in batch)
        paddings = [longest - request.input_ids.shape[1] for request in batch]
        pad = torch.nn.functional.pad
        output = model.generate(
            torch.cat([pad(one.input_ids, (by, 0)) for one, by in zip(batch, paddings, strict=True)]),
            attention_mask=torch.cat(
                [pad(torch.ones_like(one.input_ids), (by, 0)) for one, by in zip(batch, paddings, strict=True)]
            ),
            max_new_tokens=max(request.max_new_tokens for request in batch),
            return_dict_in_generate=True,
            output_trajectory=True,
            **options,
        )
        answers = output.trajectory[0][:, longest:].tolist()
        num_tokens += sum(
            sum(step >= 0 for step in steps[: request.max_new_tokens])
            for steps, request in zip(answers, batch, strict=True)
        )
        passes_of_rows += int(output.num_forward_passes.sum())
        latencies += [time.perf_counter() - started] * len(batch)
    return {"tokens": num_tokens, "passes_of_rows": passes_of_rows, "latencies": latencies}


def measure(works: dict[str, Callable], repeats: int, device: torch.device) -> list[dict]:
    """The numbers of each row: rates over the rounds, waiting times of all requests of all rounds."""
    rounds = {name: [] for name in works}
    for name in works:
        progress(f"{name}: first call")
        works[name]()
    for index in range(repeats):
        progress(f"round {index + 1}")
        for name in list(works) if index % 2 == 0 else reversed(works):
            seconds, result = seconds_of(works[name], device)
            rounds[name].append((seconds, result))
    return [{"name": name, **describe(results)} for name, results in rounds.items()]


def describe(results: list[tuple[float, dict]]) -> dict:
    """The numbers of a row."""
    first = results[0][1]
    row = {
        "answers_per_second": summary([len(one["latencies"]) / seconds for seconds, one in results]),
        "tokens_per_second": summary([one["tokens"] / seconds for seconds, one in results]),
        "passes_of_rows": first["passes_of_rows"],
    }
    row |= {name: rounded(first[name]) for name in ("passes", "refreshes", "rows_a_pass") if name in first}
    for name in ("latencies", "first_blocks"):
        if name in first:
            values = torch.tensor([value for _, one in results for value in one[name]], dtype=torch.double)
            row[f"{name}_p50"], row[f"{name}_p99"] = rounded(
                values.quantile(torch.tensor([0.5, 0.99]).double()).tolist()
            )
    return row


def table(rows: list[dict]) -> str:
    """The rows for the terminal. Answers of the scheduler are compared with `generate` at the same batch."""
    rates = {row["name"]: row["answers_per_second"]["median"] for row in rows}
    cells = []
    for row in rows:
        static = rates.get(f"generate, batch {row['name'].split()[0]}")
        cells.append(
            {
                "": row["name"],
                "answers/s": f"{rates[row['name']]:.2f}",
                "tokens/s": f"{row['tokens_per_second']['median']:.1f}",
                "% of generate": "" if static is None else f"{100 * rates[row['name']] / static:.0f}",
                "rows a pass": f"{row['rows_a_pass']:.2f}" if "rows_a_pass" in row else "",
                "% refreshes": f"{100 * row['refreshes'] / row['passes']:.0f}" if "passes" in row else "",
                "median s": f"{row['latencies_p50']:.3f}",
                "99th s": f"{row['latencies_p99']:.3f}",
                "first block s": f"{row['first_blocks_p50']:.3f}" if "first_blocks_p50" in row else "",
            }
        )
    return report_table(cells, {})


if __name__ == "__main__":
    main()
