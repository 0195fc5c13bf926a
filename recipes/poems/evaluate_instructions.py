# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Asks a model the held-out instructions of instructions.py, and counts the right answers.

    python -m recipes.poems.evaluate_instructions --adapter checkpoints/llada-poet-instruct
    python -m recipes.poems.evaluate_instructions --chat-template recipes/poems/instruct_template.jinja --limit 5

Answers are decoded with the chat template, up to EOS, with one generator for each row, so that an answer depends only on the
row and the options. They are saved after each batch, and the same command continues from there; a larger `--limit` asks only the
missing rows. instruction_checks.py defines the right answers, and instructions.py what is held out.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from hashlib import sha256
from itertools import islice
from pathlib import Path

import torch
from tqdm.auto import tqdm
from transformers import AutoModel, AutoTokenizer

import modeling_llada  # noqa: F401  registers the classes
from modeling_llada.evaluation.intervals import wilson_interval
from modeling_llada.seeds import indexed_generator
from modeling_llada.training.scripts import run_script
from recipes.poems.instruction_checks import check_answer
from reporting.results import load, save


ROOT = Path(__file__).resolve().parents[2]
MAX_NEW_TOKENS = 65  # the longest answer and EOS
COLUMNS = (("zh", "trained"), ("zh", "new"), ("en", "trained"), ("en", "new"))


def main(arguments: list[str] | None = None) -> None:
    """Asks and counts as the command line says."""
    args = parse_arguments(arguments)
    rows = read_rows(args.instructions, args.limit)
    options = {"max_new_tokens": MAX_NEW_TOKENS} | args.options
    values = load(args.json, run_settings(args, options), results={})
    missing = [row for row in rows if row["id"] not in values["results"]]
    if missing:
        ask_all(*load_model(args), missing, options, values, args)
    scored = [score(row, values["results"][row["id"]]) for row in rows]
    values["scores"] = {
        "by_task": summarize(scored, ("task", "language")),
        "by_group": summarize(scored, ("task", "items", "language", "phrasing")),
    }
    save(args.json, values)
    print_table(values["scores"]["by_group"])
    print(f"{len(rows)} answers in {args.json}")


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "checkpoints/llada-poet"), help="folder of the checkpoint")
    parser.add_argument("--adapter", metavar="DIR", help="folder of a PEFT adapter of that checkpoint")
    parser.add_argument(
        "--chat-template", type=Path, metavar="FILE", help="by default that of the adapter, or of the checkpoint"
    )
    parser.add_argument(
        "--instructions",
        type=Path,
        default=Path("data/instructions/test.jsonl"),
        metavar="FILE",
        help="the test rows (%(default)s)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="rows of a task, language and phrasing, at most (all)")
    parser.add_argument("--batch-size", type=int, default=64, help="rows of a forward pass (%(default)s)")
    parser.add_argument("--device", default="cpu", help="where to run (%(default)s)")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="(%(default)s)")
    parser.add_argument("--json", type=Path, default=Path("instructions.json"), help="the results (%(default)s)")
    parser.add_argument(
        "--options", type=json.loads, default={}, metavar="JSON", help="decoding options, such as '{\"steps\": 65}'"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the sampling (%(default)s)")
    args = parser.parse_args(arguments)
    if args.batch_size < 1 or (args.limit is not None and args.limit < 1):
        parser.error("`--limit` and `--batch-size` must be at least 1.")
    if not args.instructions.is_file():
        parser.error(f"`--instructions` must name a file: there is no {args.instructions}. instructions.py writes it.")
    return args


def run_settings(args: argparse.Namespace, options: dict) -> dict:
    """The settings that the answers depend on. They must be the same in all calls for a file."""
    template = args.chat_template and args.chat_template.read_text(encoding="utf-8-sig")
    return {
        "model": Path(args.model).name,
        "adapter": args.adapter and Path(args.adapter).name,
        "chat_template": template,
        "instructions": sha256(args.instructions.read_bytes()).hexdigest()[:16],
        "dtype": args.dtype,
        "seed": args.seed,
        "options": options,
    }


def read_rows(path: Path, limit: int | None) -> list[dict]:
    """Reads the first rows of each group, with their places in the file."""
    groups = defaultdict(list)
    for place, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines()):
        row = json.loads(line) | {"place": place}
        groups[row["task"], row["items"], row["language"], row["phrasing"]].append(row)
    return [row for rows in groups.values() for row in islice(rows, limit)]


def load_model(args: argparse.Namespace):
    """Loads the checkpoint, with the adapter merged into it, and the tokenizer with the chat template."""
    model = AutoModel.from_pretrained(args.model, dtype=getattr(torch, args.dtype))
    folder = args.model
    if args.adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, args.adapter).merge_and_unload()
        folder = args.adapter if (Path(args.adapter) / "tokenizer_config.json").exists() else folder
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    if args.chat_template:
        tokenizer.chat_template = args.chat_template.read_text(encoding="utf-8-sig")
    if tokenizer.chat_template is None:
        sys.exit(f"`--chat-template` must be given: {folder} has none.")
    return model.to(args.device).eval(), tokenizer


def ask_all(model, tokenizer, rows: list[dict], options: dict, values: dict, args: argparse.Namespace) -> None:
    """Asks rows of similar length together, and saves after each batch."""
    rows = sorted(rows, key=lambda row: len(row["messages"][0]["content"]))
    with tqdm(total=len(rows), desc="ask", unit=" rows") as bar:
        for start in range(0, len(rows), args.batch_size):
            batch = rows[start : start + args.batch_size]
            started = time.monotonic()
            answers = ask(model, tokenizer, batch, options, args)
            values["seconds"] = round(values["seconds"] + time.monotonic() - started, 1)
            values["results"] |= {row["id"]: answer for row, answer in zip(batch, answers, strict=True)}
            save(args.json, values)
            bar.update(len(batch))


def ask(model, tokenizer, rows: list[dict], options: dict, args: argparse.Namespace) -> list[dict]:
    """Asks some rows at once.

    Returns:
        `list[dict]`: The `text` of each answer, whether it has an EOS (`is_ended`), and its `forward_passes`.
    """
    inputs = tokenizer.apply_chat_template(
        [row["messages"][:1] for row in rows],
        add_generation_prompt=True,
        padding=True,
        return_tensors="pt",
        return_dict=True,
    ).to(model.device)
    output = model.generate(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        generator=[indexed_generator(args.seed, row["place"], args.device) for row in rows],
        return_dict_in_generate=True,
        **options,
    )
    answers = output.sequences[:, inputs["input_ids"].shape[1] :].tolist()
    passes = output.num_forward_passes.tolist()
    return [read(tokenizer, ids) | {"forward_passes": number} for ids, number in zip(answers, passes, strict=True)]


def read(tokenizer, ids: list[int]) -> dict:
    """The text up to EOS."""
    is_ended = tokenizer.eos_token_id in ids
    end = ids.index(tokenizer.eos_token_id) if is_ended else len(ids)
    return {"text": tokenizer.decode(ids[:end], skip_special_tokens=True), "is_ended": is_ended}


def score(row: dict, answer: dict) -> dict:
    """Checks an answer."""
    keys = {key: row[key] for key in ("task", "items", "language", "phrasing")}
    return keys | check_answer(answer["text"], row["check"]) | answer


def summarize(scored: list[dict], keys: tuple[str, ...]) -> list[dict]:
    """Counts the right answers of each group, with the 95% interval of their rate."""
    groups = defaultdict(list)
    for answer in scored:
        groups[tuple(answer[key] for key in keys)].append(answer)
    return [dict(zip(keys, group, strict=True)) | count(answers) for group, answers in groups.items()]


def count(answers: list[dict]) -> dict:
    number = len(answers)
    rates = {}
    for name in ("correct", "shape"):
        hits = sum(answer[name] for answer in answers)
        low, high = wilson_interval(hits, number)
        rates[name] = {"rate": round(hits / number, 4), "low": round(low, 4), "high": round(high, 4)}
    ended = sum(answer["is_ended"] for answer in answers) / number
    passes = sum(answer["forward_passes"] for answer in answers) / number
    return {"number": number, **rates, "ended": round(ended, 4), "forward_passes": round(passes, 2)}


def print_table(groups: list[dict]) -> None:
    """Prints a line for each task and source of items, with a column for each language and phrasing."""
    cells = {(g["task"], g["items"], g["language"], g["phrasing"]): cell(g) for g in groups}
    print("right answers in %, their 95% interval, and after / the answers of the right shape in %")
    print(f"{'task':<10}{'items':<11}" + "".join(f"{' '.join(column):>21}" for column in COLUMNS))
    for task, items in dict.fromkeys((group["task"], group["items"]) for group in groups):
        columns = [cells.get((task, items, *column), "") for column in COLUMNS]
        print(f"{task:<10}{items:<11}" + "".join(f"{text:>21}" for text in columns))


def cell(group: dict) -> str:
    correct, shape = group["correct"], group["shape"]
    return f"{correct['rate']:.0%} [{100 * correct['low']:.0f}, {100 * correct['high']:.0f}] / {shape['rate']:.0%}"


if __name__ == "__main__":
    run_script(main)
