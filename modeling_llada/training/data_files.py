# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Reads datasets from files, folders and the Hub. Errors name the file and the line, counted from 1."""

import glob
import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from datasets import Dataset, DatasetDict, Features, Value, load_dataset, load_from_disk
from datasets.exceptions import DatasetGenerationError
from datasets.utils import logging as datasets_logging


READERS = {".json": "json", ".jsonl": "json", ".csv": "csv", ".parquet": "parquet"}
# The column with the number of a row's line, which `numbered_rows` reads.
LINE = "__line__"


def read_splits(name: str, config: str | None = None, argument: str = "dataset_name") -> DatasetDict:
    """
    Loads a dataset. Files and datasets without splits get one, `train`.

    Args:
        name (`str`):
            A .json, .jsonl, .csv or .parquet file, a folder of `save_to_disk`, or a Hub name.
        config (`str`, *optional*):
            Configuration of a dataset of the Hub.
        argument (`str`, *optional*, defaults to `"dataset_name"`):
            How error messages call the name.

    Returns:
        `DatasetDict`: The splits. Rows of a .jsonl file have a further column, `__line__`.

    Raises:
        `ValueError`: if it does not exist, cannot be read, or has no rows.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return DatasetDict(train=_read_file(path, argument))
    if path.is_dir() and any((path / file).is_file() for file in ("dataset_dict.json", "state.json")):
        dataset = load_from_disk(str(path))
        return dataset if isinstance(dataset, DatasetDict) else DatasetDict(train=dataset)
    if not path.is_dir() and (path.suffix.lower() in READERS or path.is_absolute()):
        raise ValueError(f"`{argument}` must be a file that exists, but there is no {name}.")
    try:
        return load_dataset(name, config)
    except Exception as error:  # each builder has errors of its own
        raise ValueError(
            f"`{argument}` must be a file ({', '.join(READERS)}), a folder of `save_to_disk`, or a dataset of the Hub, but "
            f"{name!r} is no file, and cannot be loaded: {_reason(error)}"
        ) from error


def _read_file(path: Path, argument: str) -> Dataset:
    kind = READERS.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"`{argument}` must be a {', '.join(READERS)} file, but got {str(path)!r}.")
    lines = [number for number, _ in _lines(path)] if kind == "json" else []
    verbosity = datasets_logging.get_verbosity()
    datasets_logging.set_verbosity(datasets_logging.CRITICAL)  # it would log errors that are raised here
    try:
        options = _options_of_csv(path) if kind == "csv" else {}
        dataset = load_dataset(kind, data_files=glob.escape(str(path)), **options)["train"]
    except Exception as error:
        if kind != "json":
            raise ValueError(f"{path} cannot be read: {_reason(error)}") from error
        # Or the error of its first bad line. datasets 4.7 takes no BOM, for example.
        dataset = _from_rows(_parsed(path))
    finally:
        datasets_logging.set_verbosity(verbosity)
    if not dataset.num_rows or not dataset.num_columns:
        raise ValueError(f"`{argument}` must have rows, but {path} has none.")
    if path.suffix.lower() == ".jsonl" and len(lines) == len(dataset):
        dataset = dataset.add_column(LINE, lines)
    return dataset


def _options_of_csv(path: Path) -> dict:
    """Cells are texts, also `42`, `NA` and empty ones."""
    first = pd.read_csv(path, nrows=1)
    if first.empty:
        raise ValueError("it has no rows")
    return {"features": Features(dict.fromkeys(first.columns, Value("string"))), "keep_default_na": False}


def _from_rows(rows: list[dict]) -> Dataset:
    columns = dict.fromkeys(column for row in rows for column in row)
    return Dataset.from_dict(
        {column: [row.get(column) for row in rows] for column in columns}, on_mixed_types="use_json"
    )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, without a byte order mark, and their numbers."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                raise ValueError(f"line {number} of {path} is not UTF-8. Save the file as UTF-8.") from error


def _parsed(path: Path) -> list[dict]:
    """The objects of a file with one object a line, or with one list of objects."""
    rows = []
    for number, line in _lines(path):
        is_whole_file = path.suffix.lower() == ".json" and line.startswith("[")
        try:
            row = json.loads(path.read_text(encoding="utf-8-sig") if is_whole_file else line)
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"line {number} of {path} has half of a character, as text that was cut inside an emoji. Repair or remove it."
            ) from error
        except json.JSONDecodeError as error:
            place = error.lineno if is_whole_file else number
            raise ValueError(
                f"line {place} of {path} is not JSON: {error.msg} at character {error.colno}. Repair or remove it."
            ) from error
        found = row if is_whole_file else [row]
        if not all(isinstance(one, dict) for one in found):
            raise ValueError(
                f'line {number} of {path} must be a JSON object, as in {{"text": "Hello!"}}, but is {line[:40]}.'
            )
        rows += found
        if is_whole_file:
            break
    return rows


def _reason(error: BaseException) -> str:
    if isinstance(error, DatasetGenerationError):  # it says only that there was an error
        error = error.__cause__ or error
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def numbered_rows(numbers: list[int], dataset: Dataset) -> str:
    """Names rows in an error message: by the lines of their file where they are known, else by their numbers."""
    kind = ""
    if LINE in dataset.column_names:
        kind = "line " if len(numbers) == 1 else "lines "
        numbers = sorted(dataset.select(numbers)[LINE])
    listed = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
    return f"{len(numbers)} of {len(dataset)} rows ({kind}{listed})"
