# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Completes the prompts of large files on several GPUs or machines, by Ray Data: a `BatchedDecoder` for each GPU.

    pip install torch==2.13.0 -e ".[ray]" -c constraints.txt
    python examples/ray_batch.py --file prompts.jsonl --output answers --model GSAI-ML/LLaDA-8B-Instruct --workers 8
    python examples/ray_batch.py --file prompts.jsonl --output answers --num_gpus 0 --workers 2  # llada-poet on the CPU

    --file PATH           JSONL or Parquet files, or a folder of them: rows have an "id" of their own and a "prompt", perhaps
                          a "seed" and options of `generate` by their names
    --output FOLDER       gets JSONL files, each with the answers of some rows; all machines must see it
    --model NAME          a folder or a Hub id that every machine can read (checkpoints/llada-poet)
    --options JSON        options of `generate` for all rows, as in '{"block_length": 32, "block_cache": "dual"}'
    --workers N           copies of the model (1)
    --num_gpus N          GPUs of a copy (1); 0 for the CPU
    --batch_size N        rows that a copy is at, at once (8)
    --rows_per_file N     rows of an output file, which are written together (256)
    --seed N              rows without a seed get one from this number and their id (0)

A file is complete or absent. Rows that a dead worker was at go to another one. After the end of a whole run, by whatever cause, the same
command goes on with the rows that have no answer yet.
"""

import argparse
import hashlib
import json
from pathlib import Path

import ray
from ray.data import ActorPoolStrategy, Dataset


class Worker:
    """A model that answers the rows of a block, and writes a file of them."""

    def __init__(self, args: argparse.Namespace) -> None:
        from modeling_llada.loading import load_checkpoint
        from modeling_llada.serving import BatchedDecoder

        model, tokenizer = load_checkpoint(args.model)
        self.decoder = BatchedDecoder(model, tokenizer, batch_size=args.batch_size, **args.options)
        self.folder, self.seed = Path(args.output), args.seed

    def __call__(self, table):
        """The ids of the rows, when their answers are written."""
        from modeling_llada.seeds import content_generator
        from modeling_llada.writing import write_atomically

        # A column is empty in rows that do not have it.
        rows = [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]
        for row in rows:
            row.setdefault("seed", content_generator(self.seed, row["id"]).initial_seed())
        prompts = [{name: value for name, value in row.items() if name != "id"} for row in rows]
        lines = [
            json.dumps({**row, **described(answer)}, ensure_ascii=False)
            for row, answer in zip(rows, self.decoder.generate(prompts), strict=True)
        ]
        ids = json.dumps([row["id"] for row in rows])
        name = hashlib.sha256(ids.encode()).hexdigest()[:16]  # whoever writes these rows again writes the same file
        write_atomically(self.folder / f"{name}.jsonl", "\n".join(lines) + "\n")
        return table.select(["id"])


def described(answer) -> dict:
    """The fields of a line that an answer adds. What is not the fault of the row, such as a lack of memory, ends the run."""
    if isinstance(answer.error, ValueError):
        return {"error": str(answer.error)}
    if answer.error is not None:
        raise answer.error
    return {"completion": answer.text, "num_forward_passes": answer.output.num_forward_passes.item()}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args = parse(parser, arguments)
    try:
        check(args)
        rows = read(args.file)
        ids = unique_ids(rows)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    folder = Path(args.output)
    folder.mkdir(parents=True, exist_ok=True)
    done = ids & written_ids(folder)
    print(f"{len(done)} of {len(ids)} rows have an answer.")
    if len(done) < len(ids):
        answer(rows, done, len(ids), args)
    num_failed = sum("error" in line for line in written_lines(folder))
    print(f"{folder} has the answers to {len(ids)} rows; {num_failed} of them are errors.")


def parse(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    parser.add_argument("--file", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--model", default="checkpoints/llada-poet")
    parser.add_argument("--options", default={}, type=json.loads)
    parser.add_argument("--num_gpus", default=1.0, type=float)
    for name, default in (("--workers", 1), ("--batch_size", 8), ("--rows_per_file", 256), ("--seed", 0)):
        parser.add_argument(name, default=default, type=int)
    args = parser.parse_args(arguments)
    args.output = str(Path(args.output).resolve())  # workers have folders of their own
    args.model = str(Path(args.model).resolve()) if Path(args.model).is_dir() else args.model
    return args


def check(args: argparse.Namespace) -> None:
    """Checks the arguments before any work."""
    from modeling_llada import LLaDAGenerationConfig

    for name in ("workers", "batch_size", "rows_per_file"):
        if getattr(args, name) < 1:
            raise ValueError(f"`--{name}` must be at least 1, but got {getattr(args, name)}.")
    if not isinstance(args.options, dict):
        raise ValueError(f"`--options` must be a JSON object of decoding options, but got {args.options!r}.")
    LLaDAGenerationConfig(**args.options)


def read(path: str) -> Dataset:
    """The rows of JSONL or Parquet files."""
    files = [path, *map(str, Path(path).glob("*"))]
    is_parquet = any(name.endswith(".parquet") for name in files)
    return ray.data.read_parquet(path) if is_parquet else ray.data.read_json(path)


def unique_ids(rows: Dataset) -> set:
    """The ids of all rows. Raises a `ValueError` if they do not tell the rows apart."""
    if not {"id", "prompt"} <= set(rows.columns()):
        raise ValueError(f'`--file` must have rows with an "id" and a "prompt", but these have {rows.columns()}.')
    ids = [row["id"] for row in rows.select_columns(["id"]).iter_rows()]
    if len(set(ids)) < len(ids) or None in ids:
        raise ValueError('`--file` must have an "id" of its own in each row, but some share one or have none.')
    return set(ids)


def written_lines(folder: Path):
    """The lines of the output."""
    for path in sorted(folder.glob("*.jsonl")):
        yield from map(json.loads, path.read_text(encoding="utf-8").splitlines())


def written_ids(folder: Path) -> set:
    """The ids of the rows that have an answer."""
    return {line["id"] for line in written_lines(folder)}


def answer(rows: Dataset, done: set, num_rows: int, args: argparse.Namespace) -> None:
    """Lets workers answer the rows that have no answer yet."""
    known = ray.put(done)
    blocks = rows.filter(lambda row: row["id"] not in ray.get(known)).repartition(
        target_num_rows_per_block=args.rows_per_file
    )
    written = blocks.map_batches(
        Worker,
        fn_constructor_args=(args,),
        batch_size=None,  # a block
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=args.workers),
        num_gpus=args.num_gpus,
        num_cpus=0,  # of those that Ray counts: the tasks that read have to get some
    )
    num_done = len(done)
    for batch in written.iter_batches(batch_size=None, prefetch_batches=0):
        num_done += len(batch["id"])
        print(f"{num_done} of {num_rows}", flush=True)


if __name__ == "__main__":
    main()
