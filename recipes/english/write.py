# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Plain English written by SmolLM2-135M-Instruct: sampled in parts, filtered, and written compressed."""

import json
import lzma
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from modeling_llada.loading import find_device
from modeling_llada.writing import write_atomically
from recipes.english.filtering import kept_text
from recipes.english.prepare import WRITTEN
from recipes.english.prompts import Prompt, chat_text, make_prompt
from recipes.english.sampling import RowSampler, Sample
from recipes.smollm2.weights import GGUF, extract_gguf, load_original, load_tokenizer


STARTED = time.monotonic()
OPTIONS = "options.json"  # of the sampling, beside the parts


def write(
    packages: Path,
    output: Path,
    parts: int,
    prompts: int,
    rows: int,
    length: int,
    temperature: float,
    min_p: float,
    presence_penalty: float,
    seed: int,
    device: str | None,
    max_minutes: float | None,
) -> None:
    """Writes the parts that are not there yet. No part is begun for which the time limit leaves too little."""
    options = {"prompts": prompts, "length": length, "temperature": temperature, "min_p": min_p}
    check_options(output, options | {"presence_penalty": presence_penalty, "seed": seed})
    todo = [number for number in range(parts) if not part_path(output, number).is_file()]
    if not todo:
        print(f"{output / WRITTEN} has all {parts} parts.")
        return
    if not (output / GGUF).is_file():
        extract_gguf(packages, output / GGUF)
    device = find_device(device)
    model = load_original(output).to(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    tokenizer = load_tokenizer(output / GGUF)
    sampler = RowSampler(model, rows, length, temperature, min_p, presence_penalty, tokenizer.eos_token_id)
    print(f"ready after {time.monotonic() - STARTED:.0f} s", flush=True)
    seconds, written = 0.0, []
    with ThreadPoolExecutor(1) as writer:  # compresses a part while the next one is sampled
        for number in todo:
            if max_minutes is not None and time.monotonic() - STARTED + seconds > 60 * max_minutes:
                print(f"stopped before part {number}: the same command goes on")
                break
            started = time.monotonic()
            # The same prompts give the same part on the same machine, whatever was written before.
            torch.manual_seed(seed * 1000 + number)
            asked = [make_prompt(seed, number * prompts + index) for index in range(prompts)]
            encoded = tokenizer([chat_text(prompt) for prompt in asked], add_special_tokens=False)["input_ids"]
            samples = list(sampler.sample(encoded))
            seconds = time.monotonic() - started
            written.append(writer.submit(write_part, part_path(output, number), asked, samples, tokenizer, seconds))
    for part in written:
        part.result()  # its error, if it has one
    there = sum(part_path(output, number).is_file() for number in range(parts))
    print(f"{there} of {parts} parts are written after {time.monotonic() - STARTED:.0f} s")


def check_options(output: Path, options: dict[str, float]) -> None:
    """Refuses options with which the parts that are there were not written, and keeps those of the first part."""
    folder = output / WRITTEN
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("*.jsonl.xz")) and (folder / OPTIONS).is_file():
        known = json.loads((folder / OPTIONS).read_text(encoding="utf-8"))
        different = [f"`--{name.replace('_', '-')} {known[name]}`" for name in options if known[name] != options[name]]
        if different:
            raise ValueError(
                f"`--output` must not mix texts of different options, but the parts in {folder} were written with "
                f"{', '.join(different)}. Give the same, or another folder."
            )
    write_atomically(folder / OPTIONS, json.dumps(options) + "\n")


def part_path(output: Path, number: int) -> Path:
    return output / WRITTEN / f"part-{number:03}.jsonl.xz"


def write_part(path: Path, prompts: list[Prompt], samples: list[Sample], tokenizer, seconds: float) -> None:
    """Filters the samples of a part, and writes those that are kept."""
    texts = tokenizer.batch_decode([sample.tokens for sample in samples], skip_special_tokens=True)
    rows, asked = [], Counter(prompt.kind for prompt in prompts)
    for sample, continuation in sorted(zip(samples, texts, strict=True), key=lambda pair: pair[0].number):
        prompt = prompts[sample.number]
        kept = kept_text(prompt.beginning, continuation, sample.log_likelihood, sample.has_ended)
        if kept is not None:
            text, nats = kept
            rows.append({"kind": prompt.kind, "question": prompt.question, "text": text, "nats": round(nats, 3)})
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_atomically(path, lzma.compress(lines.encode()))
    tokens = sum(len(sample.tokens) for sample in samples)
    kept = Counter(row["kind"] for row in rows)
    shares = ", ".join(f"{kind} {kept[kind] / count:.0%}" for kind, count in sorted(asked.items()))
    print(
        f"{path.name}: {len(rows):,} of {len(prompts):,} texts kept ({shares}), {path.stat().st_size / 1e6:.1f} MB; "
        f"{tokens:,} tokens in {seconds:.0f} s, {tokens / seconds:,.0f} tokens/s",
        flush=True,
    )
