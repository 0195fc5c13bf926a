# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""How fast do the families with experts decode, and how far is that from reading each expert once?

    python -m benchmarks.experts --json benchmarks/results/experts.json
    python -m benchmarks.experts --shape llada2-mini --batch 1 --engine graph compiled eager
    python -m benchmarks.experts --shape tiny-llada2 tiny-llada-moe --device cpu --prompt 16 --answer 32 --block-length 8

Weights are random, drawn on the device in the shape of LLaDA2.0-mini (16B) and of LLaDA-MoE-7B-A1B. Masks without a trained network
are nearly equal to each other, and would all be sent to the same experts. So each token is sent to experts that were drawn at random,
after the router has computed its own choice. A step commits `--tokens-per-step` tokens, and nothing stops at an EOS. Keys and values
of the prefix are reused: LLaDA2 computes the active block, LLaDA-MoE also what is behind it, or with `--mode dual` the block alone.

The expectation is written to the JSON file before the first run: of E experts in a layer, T tokens with k experts each touch
E (1 - (1 - k/E)^T), which are read once, beside all other weights, keys and values. *ms a step* is a pass inside a block, as in
`decode.py`: the time of a call minus that of a call with one step for each block, divided by the difference of their passes.
"""

import argparse
import gc
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import torch
from torch import nn
from transformers import CompileConfig, PreTrainedModel

from benchmarks.decode_tables import circumstances, table_of_differences
from benchmarks.report import (
    add_model_arguments,
    check_layers,
    progress,
    save_report,
    settle_device,
    shown,
    start_report,
)
from benchmarks.roofline import GATES, HIDDEN_STATES, Rates, find_rates, window_lengths
from benchmarks.shapes import EXPERT_SHAPES, config_of, model_class_of, num_bytes, random_model
from benchmarks.timing import count_synchronizations, seconds_of, summary, take_turns, with_peak_memory
from modeling_llada import LLaDAConfig
from modeling_llada.models.engine_llada import LENGTH_MULTIPLE
from modeling_llada.models.experts_llada_moe import LLaDAExperts
from reporting.markdown import joined
from reporting.results import rounded


# Tokens a second of LLaDA2.1-mini at batch 1 on an H20, as SGLang has published them.
PUBLISHED = {"llada2-mini": 592}
ENGINES = {
    "graph": {},
    "compiled": {"compile_config": CompileConfig()},
    "eager": {"disable_compile": True},
}


@dataclass(frozen=True)
class Cell:
    """A model, a batch and its lengths."""

    shape: str
    mode: str
    experts: str
    batch: int
    prompt: int
    answer: int
    block_length: int
    tokens_per_step: int

    @property
    def num_blocks(self) -> int:
        return self.answer // self.block_length

    @property
    def steps_of_block(self) -> int:
        return -(-self.block_length // self.tokens_per_step)

    @property
    def passes(self) -> int:
        return self.num_blocks * self.steps_of_block


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    rates = find_rates(device, getattr(torch, args.dtype))
    report = start_report("experts", args, arguments, rates=asdict(rates) | {"text": str(rates)})
    cells = [
        Cell(shape, mode, experts, batch, args.prompt, args.answer, args.block_length, args.tokens_per_step)
        for shape in args.shape
        for mode in (args.mode if config_of(shape).model_type == "llada_moe" else ["prefix"])
        for experts in args.experts
        for batch in args.batch
    ]
    rows = {cell: [start_row(cell, engine, args, rates) for engine in args.engine] for cell in cells}
    report["rows"] = [row for cell in cells for row in rows[cell]]
    save_report(report, args.json)
    for cell in cells:
        progress(f"{cell.shape}, {cell.mode}, {cell.experts}, batch {cell.batch}")
        try:
            run_cell(cell, rows[cell], args, device)
        except torch.OutOfMemoryError:  # `batched_mm` copies the weights of the experts of each token
            progress("  not enough memory")
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        save_report(report, args.json)
    print(circumstances(report))
    print(table_of_differences([texts_of(row) for row in report["rows"]], {}, aligned=True))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    shapes = {"choices": tuple(EXPERT_SHAPES), "nargs": "+"}
    add_model_arguments(parser, shape=["llada2-mini", "llada-moe"], dtypes=("float32", "bfloat16"), **shapes)
    add("--mode", nargs="+", choices=("prefix", "dual"), default=["prefix"], help="LLaDA-MoE's cache (%(default)s)")
    add("--engine", nargs="+", choices=tuple(ENGINES), default=["graph"], help="as in decode.py (%(default)s)")
    experts = {"choices": ("by_device", "grouped_mm", "batched_mm", "eager"), "default": ["by_device"]}
    add("--experts", nargs="+", help="implementations of the experts (%(default)s)", **experts)
    add("--batch", type=int, nargs="+", default=[1, 8, 32], help="rows (%(default)s)")
    add("--prompt", type=int, default=128, help="length of the prompts (%(default)s)")
    add("--answer", type=int, default=256, help="length of the answers (%(default)s)")
    add("--block-length", type=int, default=32, help="(%(default)s)")
    add("--tokens-per-step", type=int, default=3, help="the forced schedule (%(default)s)")
    add("--repeats", type=int, default=5, help="timed runs of each row (%(default)s)")
    args = parser.parse_args(arguments)
    settle_device(parser, args)
    check_layers(parser, args)
    for name in ("prompt", "answer"):
        if getattr(args, name) % args.block_length:
            parser.error(
                f"`--{name}` must be a multiple of `--block-length {args.block_length}`, but got {getattr(args, name)}."
            )
    if not 1 <= args.tokens_per_step < args.block_length:
        parser.error(
            f"`--tokens-per-step` must be at least 1 and below `--block-length {args.block_length}`: {args.tokens_per_step}."
        )
    return args


def start_row(cell: Cell, engine: str, args: argparse.Namespace, rates: Rates) -> dict:
    """A row with its expectation, before it is measured."""
    config = config_of(cell.shape, args.layers)
    element_bytes = 4 if args.dtype == "float32" else 2
    return (
        {"engine": engine} | asdict(cell) | {"expected": expect(config, cell, rates, element_bytes), "measured": None}
    )


def expect(config: LLaDAConfig, cell: Cell, rates: Rates, element_bytes: int) -> dict:
    """The shortest time of a step, the mean over the blocks: each part takes the time for its bytes or for its products."""
    with torch.device("meta"):
        model = model_class_of(config)(config)
    sparse = [module for module in model.modules() if isinstance(module, LLaDAExperts)]
    in_experts = sum(parameter.numel() for layer in sparse for parameter in layer.parameters())
    head, embedding = model.lm_head.weight.numel(), model.model.embed_tokens.weight.numel()
    total = sum(parameter.numel() for parameter in model.parameters())
    others = (
        total - in_experts - embedding - (head if model.lm_head.weight is not model.model.embed_tokens.weight else 0)
    )
    one_expert = in_experts / len(sparse) / config.num_experts
    share = config.num_experts_per_tok / config.num_experts
    is_alone = model.block_geometry.is_block_causal or cell.mode == "dual"
    windows = window_lengths("dual" if is_alone else cell.mode, cell.prompt, cell.answer, cell.block_length)
    length, kv_width = cell.prompt + cell.answer, config.num_key_value_heads * config.head_dim

    def step(window: int) -> dict[str, float]:
        tokens = cell.batch * window
        touched = config.num_experts * (1 - (1 - share) ** tokens)
        pairs = tokens * length * config.num_attention_heads * config.head_dim * config.num_hidden_layers
        width = config.num_experts_per_tok * config.moe_intermediate_size
        between = tokens * (HIDDEN_STATES * config.hidden_size + GATES * width) * config.num_hidden_layers
        parts = {  # numbers that are read or written, and products
            "experts": (
                len(sparse) * touched * one_expert,
                len(sparse) * tokens * config.num_experts_per_tok * one_expert,
            ),
            "other weights": (others, others * tokens),
            "attention": (2 * config.num_hidden_layers * cell.batch * length * kv_width, 2 * pairs),
            "head": (head, head * cell.batch * cell.block_length),
            "between": (between, 0),
        }
        seconds = [
            max(numbers * element_bytes / rates.memory, 2 * products / rates.product)
            for numbers, products in parts.values()
        ]
        return {
            "experts_touched": touched,
            "expert_gb": parts["experts"][0] * element_bytes / 1e9,
            "all_gb": sum(numbers for numbers, _ in parts.values()) * element_bytes / 1e9,
            "roofline_ms": 1e3 * sum(seconds),
        }

    steps = [step(window) for window in windows]
    return rounded({"parameters": total} | {name: sum(one[name] for one in steps) / len(steps) for name in steps[0]})


def run_cell(cell: Cell, rows: list[dict], args: argparse.Namespace, device: torch.device) -> None:
    """Fills the rows of a cell, whose engines take turns."""
    config = config_of(cell.shape, args.layers)
    model = random_model(config, device, getattr(torch, args.dtype), model_class_of(config))
    model.set_experts_implementation(cell.experts)
    length = cell.prompt + cell.answer
    spread_tokens(model, cell.batch * (length + -length % LENGTH_MULTIPLE))  # recorded steps compute padded canvases
    prompts = torch.randint(
        config.mask_token_id, (cell.batch, cell.prompt), generator=torch.Generator().manual_seed(0)
    )
    works, firsts, turns = {}, {}, {}
    for row in rows:
        engine = row["engine"]
        progress(f"  {engine}: first call")
        works[engine] = bind(model, prompts.to(device), cell, **ENGINES[engine])
        firsts[engine] = first_call(works[engine], model, cell, device)
        turns |= {engine: works[engine], f"{engine}, first steps": partial(works[engine], steps_of_block=1)}
        turns[f"{engine}, first steps"]()
    progress(f"  {args.repeats} rounds")
    seconds = take_turns(turns, args.repeats, device)
    for row in rows:
        times = seconds[row["engine"]], seconds[f"{row['engine']}, first steps"]
        row["measured"] = measure(*times, firsts[row["engine"]], cell, row["expected"])


def spread_tokens(model: PreTrainedModel, num_tokens: int) -> None:
    """Lets the routers send each token to experts that were drawn at random, once their own choice is computed."""
    config = model.config
    for module in model.modules():
        if isinstance(getattr(module, "experts", None), LLaDAExperts):
            drawn = torch.rand(num_tokens, config.num_experts, device=model.device)
            index = drawn.topk(config.num_experts_per_tok, dim=-1).indices
            module.gate.forward = partial(drawn_experts, module.gate.forward, index)


def drawn_experts(router: Callable, index: torch.LongTensor, hidden_states: torch.Tensor, **routing) -> tuple:
    logits, weights, own = router(hidden_states, **routing)
    return logits, weights, index[: len(own)]


def bind(model: nn.Module, prompts: torch.LongTensor, cell: Cell, **options) -> Callable[..., object]:
    """A function that runs the generation, with all steps of the schedule or with the given ones of each block."""
    in_whole_call = 1 if model.block_geometry.whole_block(cell.block_length) is not None else cell.num_blocks
    options |= {"max_new_tokens": cell.answer, "block_length": cell.block_length, "block_cache": cell.mode}
    options |= {"stop_at_eos": False, "return_dict_in_generate": True}

    def work(steps_of_block: int = cell.steps_of_block):
        return model.generate(prompts, steps=steps_of_block * in_whole_call, **options)

    return work


def first_call(work: Callable, model: nn.Module, cell: Cell, device: torch.device) -> dict:
    """Times the first call, which may record, and counts the host synchronizations of a second one."""
    seconds, (output, growth) = seconds_of(lambda: with_peak_memory(work, device), device)
    if (passes := int(output.num_forward_passes.max())) != cell.passes:
        raise RuntimeError(f"The schedule has {cell.passes} passes, but the call made {passes}.")
    syncs = count_synchronizations(work, device)
    return {"seconds": seconds, "syncs": syncs, "peak": None if growth is None else num_bytes(model) + growth}


def measure(seconds: list[float], first_steps: list[float], first: dict, cell: Cell, expected: dict) -> dict:
    """The measured values of a row, from seconds."""
    inside = cell.passes - cell.num_blocks
    ms = summary([1e3 * (all_ - some) / inside for all_, some in zip(seconds, first_steps, strict=True)])
    median = summary(seconds)["median"]
    values = {
        "ms_a_step": ms,
        "ms_a_pass": summary([1e3 * one / cell.passes for one in seconds]),
        "roofline_percent": 100 * expected["roofline_ms"] / ms["median"],
        "tokens_per_second": cell.batch * cell.answer / median,
        "syncs_a_pass": None if first["syncs"] is None else first["syncs"] / cell.passes,
        "peak_gib": None if first["peak"] is None else first["peak"] / 2**30,
        "first_call_seconds": max(0.0, first["seconds"] - median),
        "seconds": seconds,
    }
    if cell.shape in PUBLISHED and cell.batch == 1:
        values["tokens_a_pass_of_published_speed"] = PUBLISHED[cell.shape] * median / cell.passes
    return rounded(values)


def sections(reports: list[dict]) -> list[str]:
    """A section in Markdown for each report."""
    parts = []
    for report in reports:
        arguments, texts = report["arguments"], [texts_of(row) for row in report["rows"]]
        title = f"{joined(arguments['shape'])} on {report['machine']['name']}: batch {joined(arguments['batch'])}"
        table = table_of_differences(texts, {}, aligned=False)
        parts.append(f"## {title}\n\n{circumstances(report)}\n\n`{report['command']}`\n\n{table}\n")
    return parts


def texts_of(row: dict) -> dict[str, str]:
    """The columns of the table."""
    expected, measured = row["expected"], row["measured"] or {}
    texts = {name: str(row[name]) for name in ("shape", "mode", "experts", "engine", "batch")}
    texts["prompt + answer"] = f"{row['prompt']} + {row['answer']}"
    texts["tokens a step"] = str(row["tokens_per_step"])
    texts["of experts"] = f"{expected['experts_touched']:.0f}"
    texts["GB a step"] = f"{expected['all_gb']:.3g}"
    texts["roofline ms"] = f"{expected['roofline_ms']:.3g}"
    columns = {"ms_a_step": "ms a step", "ms_a_pass": "ms a pass", "roofline_percent": "% of roofline"}
    columns |= {"tokens_per_second": "tokens/s", "syncs_a_pass": "syncs a pass", "peak_gib": "peak GiB"}
    columns |= {"first_call_seconds": "first call s", "tokens_a_pass_of_published_speed": "tokens a pass for 592/s"}
    return texts | {title: shown(measured, name, ",.4g") for name, title in columns.items()}


if __name__ == "__main__":
    main()
