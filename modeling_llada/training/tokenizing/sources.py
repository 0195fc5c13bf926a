# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Where the documents of a corpus come from: text files, JSONL, Parquet and `datasets`, read from any document on.

Nothing is parsed here: a document is the raw text of a file or of a line, or the value of a row. What is wrong with it is found
where it is encoded, by several processes at a time.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple


# Encoding a document takes about a hundred times its size in memory.
MAX_DOCUMENT_SIZE = 2**23
CHUNK_SIZE = 2**20  # characters, that are read or encoded at a time
MAX_BATCH = 10_000  # documents
SAMPLE_SIZE = 2**16  # bytes at both ends of a file, by which it is known again
TOO_LONG = "\ud800"  # stands for the characters of a part that is too long. No file has it
DATASET_FILES = ("dataset_dict.json", "state.json")


@dataclass(frozen=True)
class SourceOptions:
    """
    How sources are read.

    Args:
        text_field (`str`, *optional*, defaults to `"text"`):
            The field with the text, in JSONL, Parquet and datasets.
        separator (`str`, *optional*):
            What stands between the documents of a text file. By default a file is a document.
        split (`str`, *optional*, defaults to `"train"`):
            The split of datasets.
        config_name (`str`, *optional*):
            The configuration of a dataset of the Hub.
    """

    text_field: str = "text"
    separator: str | None = None
    split: str = "train"
    config_name: str | None = None


@dataclass(frozen=True)
class Source:
    """A file or a dataset. `unit` is what error messages count: 1 for lines and documents, rows begin at 0."""

    name: str
    options: SourceOptions

    unit = "row"

    @property
    def num_bytes(self) -> int | None:
        """The size of a file; unknown for datasets."""
        return os.path.getsize(self.name)

    def bytes_of(self, content: Any) -> float:
        """How much of the size a raw document takes."""
        return len(content.encode(errors="surrogatepass")) + 1

    def fingerprint(self) -> str | None:
        """By what other content is noticed, without reading a whole file; unknown for datasets of the Hub."""
        with open(self.name, "rb") as file:
            sample = file.read(SAMPLE_SIZE)
            file.seek(max(self.num_bytes - SAMPLE_SIZE, 0))
            return hashlib.sha256(sample + file.read()).hexdigest()

    def check(self) -> None:
        """Raises a `ValueError` for what can be seen without reading the documents."""

    def read(self, start: int) -> Iterator[Any]:
        """The raw documents from number `start` on."""
        raise NotImplementedError

    def place(self, number: int) -> str:
        """How messages call a document."""
        return f"{self.unit} {number if self.unit == 'row' else number + 1} of {self.name}"


class TextFile(Source):
    """A document, or several with a separator between them. Line ends become `\\n`."""

    unit = "document"

    def read(self, start: int) -> Iterator[str]:
        return islice(parts_of(self.name, self.options.separator), start, None)

    def place(self, number: int) -> str:
        return self.name if self.options.separator is None else super().place(number)


class JsonLines(Source):
    """A JSON object a line, still as text."""

    unit = "line"

    def read(self, start: int) -> Iterator[str]:
        return islice(parts_of(self.name, "\n"), start, None)


class ParquetFile(Source):
    """The rows of a Parquet file, of which a batch is in memory at a time."""

    def check(self) -> None:
        parquet = import_extra("pyarrow.parquet")
        try:
            names = parquet.read_schema(self.name).names
        except Exception as error:  # of many kinds
            raise ValueError(f"{self.name} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
        check_field(self.options.text_field, names, self.name)

    @cached_property
    def bytes_of_row(self) -> float:
        return self.num_bytes / max(import_extra("pyarrow.parquet").read_metadata(self.name).num_rows, 1)

    def bytes_of(self, content: Any) -> float:
        return self.bytes_of_row

    def read(self, start: int) -> Iterator[Any]:
        try:
            with import_extra("pyarrow.parquet").ParquetFile(self.name, memory_map=True) as file:
                for batch in file.iter_batches(100, columns=[self.options.text_field]):
                    yield from map(value_of, batch.column(0).slice(min(start, len(batch))))
                    start = max(start - len(batch), 0)
        except Exception as error:  # of many kinds
            raise OSError(f"{self.name} cannot be read any further: {error}") from error


class DatasetSource(Source):
    """A dataset of the Hub, which is streamed, or a folder of `save_to_disk`."""

    @property
    def num_bytes(self) -> None:
        return None

    def bytes_of(self, content: Any) -> int:
        return 0

    def fingerprint(self) -> str | None:
        return getattr(self._load(), "_fingerprint", None)

    def check(self) -> None:
        names = self._load().column_names
        if names is not None:  # else they are known when the first row is there
            check_field(self.options.text_field, names, self.name)

    def read(self, start: int) -> Iterator[Any]:
        try:
            dataset = self._load()
            if dataset.column_names is not None:  # others may be images, which are slow to read
                dataset = dataset.select_columns([self.options.text_field])
            if start and start == getattr(dataset, "num_rows", None):  # which `skip` refuses
                return
            for row in dataset.skip(start):
                yield row.get(self.options.text_field)
        except Exception as error:  # of the network, or of a builder
            raise OSError(f"{self.name} cannot be read any further: {error}. The same command goes on.") from error

    def _load(self):
        datasets, split = import_extra("datasets"), self.options.split
        try:
            if not Path(self.name).is_dir():
                return datasets.load_dataset(self.name, self.options.config_name, split=split, streaming=True)
            dataset = datasets.load_from_disk(self.name)
        except Exception as error:  # each builder has errors of its own
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(
                f"a source must be a file or folder, or a dataset that can be loaded, but {self.name!r} is none: {reason}"
            ) from error
        if not isinstance(dataset, datasets.DatasetDict):
            return dataset
        if split not in dataset:
            raise ValueError(f"`split` must be one of {', '.join(dataset)}, as {self.name} has, but got {split!r}.")
        return dataset[split]


KINDS = {".txt": TextFile, ".jsonl": JsonLines, ".parquet": ParquetFile}


def find_sources(name: str, options: SourceOptions, output: Path) -> list[Source]:
    """
    The files of a source in a fixed order, or the dataset of this name.

    Args:
        name (`str`):
            A file, a folder with files at any depth, a folder of `save_to_disk`, or a dataset of the Hub.
        options ([`SourceOptions`]):
            How they are read.
        output (`Path`):
            The folder of the tokens, which is no source.

    Raises:
        `ValueError`: if there is nothing of this name, or a file cannot be read.
    """
    path = Path(name).expanduser()
    if path.is_dir() and any((path / file).is_file() for file in DATASET_FILES):
        found = [DatasetSource(str(path), options)]
    elif path.is_dir():
        found = [KINDS[file.suffix.lower()](str(file), options) for file in files_of(path, output)]
    elif path.is_file() and path.suffix.lower() in KINDS:
        found = [KINDS[path.suffix.lower()](str(path), options)]
    elif path.is_file() or path.suffix.lower() in KINDS or name.startswith((".", "/", "~")):
        raise ValueError(
            f"a source must be a {', '.join(KINDS)} file or a folder with such files, but {name} "
            + ("is another file." if path.is_file() else "does not exist.")
        )
    else:
        found = [DatasetSource(name, options)]
    for source in found:
        source.check()
    return found


def files_of(folder: Path, output: Path) -> list[Path]:
    """The files of a folder and its subfolders that can be read, in a fixed order."""
    files = [path for path in all_files(folder, output) if path.suffix.lower() in KINDS and path.is_file()]
    if not files:
        raise ValueError(f"a source must have {', '.join(KINDS)} files, but the folder {folder} has none.")
    return sorted(files)


def other_files(name: str, output: Path) -> list[str]:
    """The files of a source that are left out, since they are of other kinds, or links to nothing."""
    folder = Path(name).expanduser()
    if not folder.is_dir() or any((folder / file).is_file() for file in DATASET_FILES):
        return []
    files = all_files(folder, output)
    return sorted(str(path) for path in files if path.suffix.lower() not in KINDS or not path.is_file())


def all_files(folder: Path, output: Path) -> Iterator[Path]:
    """The files of a folder and its subfolders, also behind links. Hidden ones are left out."""
    seen = {output.resolve()}
    for root, folders, names in os.walk(folder, onerror=raise_error, followlinks=True):
        real = Path(root).resolve()
        if real in seen:  # a link to a folder that was read
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in names if not name.startswith("."))


def raise_error(error: OSError) -> None:
    raise error


def import_extra(name: str) -> ModuleType:
    """Imports a module of the extra `train`. Raises a `ValueError` if it is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"this source needs the package {error.name!r}, which is not installed: pip install -e '.[train]'"
        ) from error


def check_field(field: str, names: list[str], source: str) -> None:
    """Raises a `ValueError` if a table has no column of this name, or several."""
    if names.count(field) > 1:
        raise ValueError(
            f"`text_field` must be one field of the source, but {source} has several of the name {field!r}."
        )
    if field not in names:
        raise ValueError(
            f"`text_field` must be a field of the source, but {source} has {', '.join(names)}, and no {field!r}."
        )


def value_of(scalar) -> Any:
    """The value in a column of Arrow. Bytes that are not UTF-8 stay in the text as lone surrogates."""
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return scalar.as_buffer().to_pybytes().decode(errors="surrogateescape")


def parts_of(path: str, separator: str | None) -> Iterator[str]:
    """
    The parts of a text file between separators. Bytes that are not UTF-8 stay in the text as lone surrogates, and of a part that is
    too long only so much that this is seen.
    """
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        if separator is None:
            yield file.read(MAX_DOCUMENT_SIZE + 1)
            return
        rest = ""
        while chunk := file.read(CHUNK_SIZE):
            *parts, rest = (rest + chunk).split(separator)
            yield from parts
            if len(rest) > MAX_DOCUMENT_SIZE:
                # The end may be the beginning of a separator.
                rest = TOO_LONG * MAX_DOCUMENT_SIZE + rest[-len(separator) :]
        if rest:
            yield rest


class Document(NamedTuple):
    """A raw document, and where it is: the number within its source."""

    source: Source
    number: int
    content: Any


class Position(NamedTuple):
    """How far reading is: the number of a source, of its next document, and the bytes of this source so far."""

    source: int = 0
    document: int = 0
    bytes: float = 0


class Batch(NamedTuple):
    """Documents to encode at a time, and the position behind them."""

    documents: list[Document]
    end: Position


def read_batches(sources: list[Source], start: Position = Position()) -> Iterator[Batch]:  # noqa: B008 (it is constant)
    """Documents of all sources in order, in batches of about a MiB, from a position on."""
    documents, size = [], 0
    for index in range(start.source, len(sources)):
        source = sources[index]
        first, num_bytes = (start.document, start.bytes) if index == start.source else (0, 0)
        for number, content in enumerate(source.read(first), start=first):
            documents.append(Document(source, number, content))
            size += len(content) + 1 if isinstance(content, str) else 1
            num_bytes += source.bytes_of(content)
            if size >= CHUNK_SIZE or len(documents) == MAX_BATCH:
                yield Batch(documents, Position(index, number + 1, num_bytes))
                documents, size = [], 0
    if documents:
        yield Batch(documents, Position(len(sources)))
