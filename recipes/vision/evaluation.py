# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Answers held-out questions with a checkpoint, and scores them by task."""

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from modeling_llada import LLaDAVForConditionalGeneration, LLaDAVProcessor
from modeling_llada.evaluation.intervals import wilson_interval
from modeling_llada.training.sft.vision_batches import stack_images
from recipes.vision import tasks
from recipes.vision.archive import Archive, load_archive
from recipes.vision.checks import is_right
from recipes.vision.feeding import IMAGE_INPUTS, RowReader
from recipes.vision.rows import STAGE_2, TWO_STEP, VisionRows
from recipes.vision.scores import ONE_TOKEN
from reporting.results import describe_machine, find_versions, save


# The questions of each task. Two steps are asked twice: with the reasoning and without.
ASKED = {
    "naming": (tasks.name,),
    "finding": (tasks.what,),
    "position": (tasks.where, tasks.relation),
    "count": (tasks.count_all, tasks.count_kind),
    "colour": (tasks.ground_colour, tasks.shape_colour, tasks.colour_shape),
    "reading": (tasks.read_sign, tasks.read_line),
    "table": (tasks.read_cell, tasks.find_row),
    "chart": (tasks.extreme_bar, tasks.read_bar),
    "describe": (tasks.describe,),
    "compare": (tasks.more, tasks.common, tasks.only_one, tasks.which_picture),
    "two-step": tuple(TWO_STEP),
}
# How answers are written, by the mark at the end of the question: one token in each pass, in blocks from left to right.
SETTINGS = {
    "/no_think": {"max_new_tokens": 32, "block_length": 16},
    "/think": {"max_new_tokens": 64, "block_length": 16},
}
# The ways of decoding that are timed: that of the scores, and the default of `llada generate` and `llada chat`.
WAYS = {ONE_TOKEN: {}, "threshold 0.9": {"confidence_threshold": 0.9}}


class Questions(Dataset):
    """Rows of the test split with the inputs of their questions."""

    def __init__(self, rows: VisionRows, reader: RowReader):
        self.rows, self.reader = rows, reader

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        row = self.rows[index]
        inputs = self.reader.prompt(row)
        kept = {key: row[key] for key in ("task", "kind", "language", "answer")}
        return kept | {"question": row["messages"][0]["content"][-1]["text"], "inputs": inputs}


def questions_of(
    archive: Archive, reader: RowReader, task: str, think: bool, count: int, seed: int, tile: int, stage: int = 3
) -> Questions:
    shares = TWO_STEP if task == "two-step" else STAGE_2
    makers = {maker: shares[maker] for maker in ASKED[task]}
    return Questions(VisionRows(archive, "test", stage, count, seed, tile, think=think, makers=makers), reader)


def collate(rows: list[dict], filler: int) -> dict:
    """Prompts filled up on the left, with the images of all rows."""
    width = max(row["inputs"]["input_ids"].shape[1] for row in rows)
    ids, mask = torch.full((len(rows), width), filler), torch.zeros(len(rows), width, dtype=torch.long)
    for number, row in enumerate(rows):
        tokens = row["inputs"]["input_ids"][0]
        ids[number, width - len(tokens) :], mask[number, width - len(tokens) :] = tokens, 1
    images = stack_images([{name: row["inputs"][name] for name in IMAGE_INPUTS} for row in rows])
    # A worker hands each tensor over as a file, of which a process has so many: so none but those of the batch.
    rows = [{key: value for key, value in row.items() if key != "inputs"} for row in rows]
    return {"rows": rows, "inputs": {"input_ids": ids, "attention_mask": mask} | images}


@torch.no_grad()
def answers(
    model: LLaDAVForConditionalGeneration, processor: LLaDAVProcessor, loader: DataLoader, settings: dict
) -> Iterator[tuple[dict, str, int]]:
    """The row, the answer and the forward passes of each question."""
    for batch in loader:
        inputs = {name: value.to(model.device) for name, value in batch["inputs"].items()}
        with torch.autocast(model.device.type, torch.bfloat16, enabled=model.device.type == "cuda"):
            output = model.generate(**inputs, **settings, return_dict_in_generate=True)
        completions = output.sequences[:, inputs["input_ids"].shape[1] :]
        texts = processor.tokenizer.batch_decode(completions, skip_special_tokens=True)
        passes = torch.as_tensor(output.num_forward_passes).expand(len(texts)).tolist()
        yield from zip(batch["rows"], texts, passes, strict=True)


def measure(
    model: LLaDAVForConditionalGeneration,
    processor: LLaDAVProcessor,
    archive: Archive,
    count: int,
    blind: bool = False,
    seed: int = 0,
    batch_size: int = 250,
    workers: int = 0,
    only: list[str] | None = None,
    stage: int = 3,
) -> dict:
    """
    Scores a model on `count` held-out questions of each task. After stage 2, which knows neither questions of two steps nor
    `/no_think`, these are left out.

    Returns:
        `dict`: for each task, and each kind of question as `task/kind`, the number of `rows`, the share that is `right` with its
        95% `interval`, and `passes`; three wrong answers of each task; and the seconds.
    """
    began, reader, found = time.monotonic(), RowReader(processor, blind), []
    tile, filler = model.config.vision_config.image_size, processor.tokenizer.pad_token_id
    was_training = model.training
    model.eval()
    for mark, settings in SETTINGS.items():
        chosen = [task for task in only or ASKED if (stage == 3 if task == "two-step" else mark == "/no_think")]
        if not chosen:
            continue
        asked = ConcatDataset(
            [questions_of(archive, reader, task, mark == "/think", count, seed, tile, stage) for task in chosen]
        )
        # Rows of a batch have prompts of similar lengths, because they have similar pictures.
        loader = DataLoader(asked, batch_size, num_workers=workers, collate_fn=lambda rows: collate(rows, filler))
        for row, text, passes in answers(model, processor, loader, settings):
            name = row["task"] + (" " + mark if row["task"] == "two-step" else "")
            found.append((name, row, text, passes, is_right(row["task"], text, row["answer"])))
    model.train(was_training)
    return {
        "scores": scores_of(found),
        "wrong": wrong_answers(found),
        "rows": count,
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
    }


def scores_of(found: list[tuple]) -> dict[str, dict]:
    groups: dict[str, list] = {}
    for name, row, _, passes, right in found:
        for key in (name, f"{name}/{row['kind']}", f"{name}/{row['language']}"):
            groups.setdefault(key, []).append((right, passes))
    result = {}
    for key, group in groups.items():
        right, number = sum(one for one, _ in group), len(group)
        result[key] = {
            "rows": number,
            "right": round(right / number, 4),
            "interval": [round(bound, 4) for bound in wilson_interval(right, number)],
            "passes": round(sum(passes for _, passes in group) / number, 1),
        }
    return result


def wrong_answers(found: list[tuple], most: int = 3) -> dict[str, list[dict]]:
    result: dict[str, list] = {}
    for name, row, text, _, right in found:
        if not right and len(result.setdefault(name, [])) < most:
            result[name].append({"question": row["question"], "answer": text, "right": row["answer"]})
    return result


def evaluate(
    model: Path,
    archive: Path,
    output: Path,
    rows: int,
    blind: bool,
    device: str | None,
    batch_size: int,
    workers: int,
    seed: int,
) -> None:
    """Scores a checkpoint and writes the results."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    network = LLaDAVForConditionalGeneration.from_pretrained(model, dtype=torch.float32).to(device)
    processor = LLaDAVProcessor.from_pretrained(model)
    result = measure(network, processor, load_archive(archive), rows, blind, seed, batch_size, workers)
    result |= {
        "blind": blind,
        "settings": SETTINGS,
        "parameters": network.num_parameters(),
        "machine": describe_machine(device),
        "versions": find_versions(),
    }
    save(output, result)
    for task, score in result["scores"].items():
        if "/" not in task.replace(" /", ""):
            print(f"{task:22} {score['right']:.1%} of {score['rows']:,}, {score['passes']} passes", flush=True)
    print(f"wrote {output} after {result['seconds']} s")


def time_answers(
    network: LLaDAVForConditionalGeneration, processor: LLaDAVProcessor, archive: Archive, number: int, **options
) -> dict[str, float]:
    """Seconds for one question, picture included, on this machine: the median of so many, behind one that is not counted."""
    reader, tile = RowReader(processor), network.config.vision_config.image_size
    result = {}
    for mark, settings in SETTINGS.items():
        times = []
        rows = questions_of(archive, reader, "two-step", mark == "/think", number + 1, 1, tile)
        for index in range(number + 1):
            began = time.perf_counter()
            inputs = {name: value.to(network.device) for name, value in rows[index]["inputs"].items()}
            network.generate(**inputs, **settings, **options).tolist()
            times.append(time.perf_counter() - began)
        result[mark] = round(median(times[1:]), 3)
    return result


def time_checkpoint(model: Path, archive: Path, output: Path, questions: int, device: str) -> None:
    """Times answers of a checkpoint in each of `WAYS`, and writes the seconds."""
    network = LLaDAVForConditionalGeneration.from_pretrained(model, dtype=torch.float32).to(device)
    processor, began = LLaDAVProcessor.from_pretrained(model), time.monotonic()
    result = {"machine": describe_machine(device), "versions": find_versions(), "questions": questions, "answers": {}}
    for way, options in WAYS.items():
        seconds = time_answers(network, processor, load_archive(archive), questions, **options)
        result["answers"][way] = seconds
        print(f"{way}: {', '.join(f'{value} s {mark}' for mark, value in seconds.items())}", flush=True)
    save(output, result | {"seconds": round(time.monotonic() - began, 1)})
    print(f"wrote {output}")
