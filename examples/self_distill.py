# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
r"""Lets a model answer prompts, and writes the rows with which it learns to answer them in fewer steps.

    python examples/self_distill.py prompts.jsonl data/distilled.jsonl --max-new-tokens 18 --block-length 6
    python examples/self_distill.py prompts.jsonl data/distilled.jsonl --max-new-tokens 18 --keep-right

    python examples/sft.py --model_name_or_path checkpoints/llada-poet --dataset_name data/distilled.jsonl \
        --mask_source trajectory --confidence_weight 2 --loss_weighting none --learning_rate 2e-5 --output_dir runs/fast

Each line of the prompts is a JSON object with a `prompt`. With `--keep-right` it also has a `completion`, and only answers that
equal it are kept. A written row has `input_ids`, `labels` and `commit_steps`, the denoising step that committed each token.
Decode carefully, by default one token a step: these answers are the teacher.

Answers are kept in a file beside the output until all are there. A run that was interrupted goes on where it ended.
"""

import argparse
import json
from hashlib import sha256
from pathlib import Path

import torch

from modeling_llada.loading import load_checkpoint
from modeling_llada.training.data_files import read_splits
from modeling_llada.training.scripts import run_script
from modeling_llada.writing import check_writable, write_atomically


SHIPPED = Path(__file__).parent.parent / "checkpoints/llada-poet"
OPTIONS = ("max_new_tokens", "block_length", "steps", "confidence_threshold")


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    check_writable(args.output)
    rows = read_splits(str(args.prompts), argument="prompts")["train"].to_list()
    check_rows(rows, args.keep_right)
    answered = Path(f"{args.output}.partial")
    prompts = json.dumps([row["prompt"] for row in rows])
    settings = {"model": str(args.model), "prompts": sha256(prompts.encode()).hexdigest()} | options_of(args)
    lines = read_answers(answered, settings)
    model, tokenizer = load_checkpoint(args.model)
    with answered.open("a", encoding="utf-8") as file:
        for start in range(len(lines), len(rows), args.batch_size):
            prompts = [row["prompt"] for row in rows[start : start + args.batch_size]]
            for line in answer(model, tokenizer, prompts, args):
                file.write(json.dumps(line) + "\n")
                lines.append(line)
            file.flush()
            print(f"\r{len(lines)} of {len(rows)} prompts", end="", flush=True)
    kept = [
        line
        for line, row in zip(lines, rows, strict=True)
        if not args.keep_right or text_of(line, tokenizer) == row["completion"]
    ]
    if not kept:
        raise ValueError(
            "`--keep-right` keeps no row, because no answer is the `completion` of its row. Leave it out."
        )
    write_atomically(args.output, "".join(json.dumps(line) + "\n" for line in kept))
    answered.unlink()
    print(f"\nWrote {args.output}: {len(kept)} of {len(rows)} answers.")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompts", type=Path, help="a file of rows with a `prompt`")
    parser.add_argument("output", type=Path, help="the .jsonl file to write")
    parser.add_argument("--model", default=SHIPPED, help="folder or Hub id (checkpoints/llada-poet)")
    parser.add_argument("--max-new-tokens", type=int, default=128, help="masks after each prompt (%(default)s)")
    parser.add_argument("--block-length", type=int, help="length of the blocks; left out, one block")
    parser.add_argument("--steps", type=int, help="denoising steps; left out, one a mask")
    parser.add_argument("--confidence-threshold", type=float, help="commit what is at least this probable")
    parser.add_argument("--batch-size", type=int, default=16, help="prompts of a forward pass (%(default)s)")
    parser.add_argument("--keep-right", action="store_true", help="keep only answers that equal the `completion`")
    args = parser.parse_args(arguments)
    if args.batch_size < 1:
        raise ValueError(f"`--batch-size` must be at least 1, but got {args.batch_size}.")
    return args


def options_of(args: argparse.Namespace) -> dict:
    """The options of `generate`."""
    return {name: getattr(args, name) for name in OPTIONS}


def check_rows(rows: list[dict], keeps_right: bool) -> None:
    for column in ("prompt", "completion") if keeps_right else ("prompt",):
        wrong = [number for number, row in enumerate(rows) if not (isinstance(row.get(column), str) and row[column])]
        if wrong:
            raise ValueError(f"`prompts` must have a text `{column}` in every row, but row {wrong[0]} has none.")


def read_answers(path: Path, settings: dict) -> list[dict]:
    """The answers of an interrupted run with the same settings. A line that was cut off is taken out of the file."""
    content = path.read_text(encoding="utf-8") if path.exists() else ""
    first, *lines = content.split("\n")[:-1] or [json.dumps(settings)]
    if json.loads(first) != settings:
        raise ValueError(
            f"`output` must be that of an interrupted run with the same prompts and options, but {path} has those of another one. "
            "Delete it, or name another output."
        )
    write_atomically(path, "".join(line + "\n" for line in (first, *lines)))
    return [json.loads(line) for line in lines]


def answer(model, tokenizer, prompts: list[str], args: argparse.Namespace) -> list[dict]:
    """The row of each prompt."""
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left").to(model.device)
    output = model.generate(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        return_dict_in_generate=True,
        output_trajectory=True,
        **options_of(args),
    )
    length, rows = inputs["input_ids"].shape[1], []
    for tokens, steps, is_real in zip(output.sequences, output.trajectory[0], inputs["attention_mask"], strict=True):
        prompt, is_answer = tokens[:length][is_real.bool()], steps[length:] >= 0  # what follows the end is pads
        written = tokens[length:][is_answer]
        rows.append(
            {
                "input_ids": torch.cat([prompt, written]).tolist(),
                "labels": [-100] * len(prompt) + written.tolist(),
                "commit_steps": [-1] * len(prompt) + steps[length:][is_answer].tolist(),
            }
        )
    return rows


def text_of(row: dict, tokenizer) -> str:
    """The text of an answer."""
    return tokenizer.decode([token for token in row["labels"] if token >= 0], skip_special_tokens=True)


if __name__ == "__main__":
    run_script(main)
