# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Reads rows with images: which images a row has, how large they are, and where they stand in its texts.

Images are in a column `image` or `images`, as pictures or paths, or as paths in the parts of messages. They stand at the parts
of the type "image", or at the marks `<image>` of texts; without either, before the first message of the user. Only their
headers are read here. The pixels are read when a batch is made.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from accelerate import PartialState
from datasets import Dataset, Features, Json, List, Value, concatenate_datasets
from PIL import Image

from ...models.image_reading_llada_v import MAX_PIXELS, known_formats
from ..data_files import numbered_rows
from .configuration import LLaDASFTConfig
from .formats import COLUMNS, FAULT, IMAGE_DATA, IMAGE_PATHS, IMAGE_SIZES, TRAINED_TURNS, USES_TOOLS, read_rows
from .messages import REPAIR, RowFault


MARK = "<image>"
IMAGE_COLUMNS = ("image", "images")
VIDEO_COLUMNS = ("video", "videos")
# Where the file of an image part is named.
PATH_KEYS = ("image", "path", "url")
TALKS = ("messages", "prompt", "completion")
EXIF_ORIENTATION = 0x0112
ROWS_PER_BATCH = 100  # of rows whose images are in memory at a time
FEATURES = {IMAGE_PATHS: List(Value("string")), IMAGE_SIZES: List(List(Value("int64")))}


def read_vision_rows(dataset: Dataset, name: str, args: LLaDASFTConfig, mark: str = MARK) -> Dataset:
    """
    Checks rows that may have images, and turns them into columns that TRL reads, and those of `FEATURES`. Images that are no
    paths stay in the column `image_data`.
    """
    column = _image_column(dataset, name)
    has_tokens = "input_ids" in dataset.column_names
    if has_tokens and column is not None:
        raise ValueError(
            f"`{name}` has `input_ids` beside the column `{column}`, but the tokens of images are counted here. Give "
            f"{', '.join(kind for kind in COLUMNS if kind != 'tokens')} in their place."
        )
    if not has_tokens:  # columns of the user that have our names
        dataset = dataset.remove_columns([one for one in FEATURES if one in dataset.column_names])
    if column is None:
        return read_rows(dataset, name, args, RowImages(mark, args))
    pictures = dataset.select_columns(column)
    measured = _measure(pictures, name, column, args)
    rows = concatenate_datasets([dataset.remove_columns(column), measured], axis=1)
    rows = read_rows(rows, name, args, RowImages(mark, args))
    if _holds_paths(dataset, column):
        return rows
    return concatenate_datasets([rows, pictures.rename_column(column, IMAGE_DATA)], axis=1)


def refuse_images(dataset: Dataset, name: str) -> None:
    """Raises a `ValueError` for a dataset with images whose rows a `formatting_func` turns into texts."""
    column = _image_column(dataset, name)
    if column is not None:
        raise ValueError(
            f"`formatting_func` makes texts, so that the images of `{name}` in the column `{column}` would not be seen. Give "
            "rows with messages, or with a prompt and a completion, in its place, or drop the column."
        )


@dataclass
class RowImages:
    """Puts the images of a row to their places. `mark` is the text of the image token."""

    mark: str
    args: LLaDASFTConfig

    def columns(self, columns: dict[str, Any]) -> dict[str, Any]:
        """The columns of rows with images, from those of their texts."""
        if self.args.plain_captions:
            columns = {self.args.dataset_text_field: Value("string")}
        return columns | FEATURES

    def read_content(self, content: Any) -> str | list[dict]:
        """The content of a message that may have images."""
        if isinstance(content, str):
            return content.replace(MARK, self.mark)
        if not isinstance(content, list):
            raise RowFault(f"a text or a list of parts as the `content` of messages, not {str(content)[:80]!r}")
        return [self._part(part) for part in content]

    def _part(self, part: Any) -> dict[str, Any]:
        """A part of a message: a text, or the place of an image with its path, if it has one."""
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            return {"type": "text", "text": part["text"].replace(MARK, self.mark)}
        if kind != "image":
            raise RowFault(
                f'parts {{"type": "text", "text": "Hello!"}} or {{"type": "image"}} in messages, not {str(part)[:80]!r}'
            )
        path = next((part[key] for key in PATH_KEYS if part.get(key) is not None), None)
        if path is not None and not isinstance(path, str):
            raise RowFault(f"a path in an image part, or none if a column has the image, not {str(part)[:80]!r}")
        return {"type": "image"} | ({} if path is None else {"path": path})

    def place(self, values: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        """
        The values of a row with its images in order: their `image_paths`, `None` for those in the column, and `image_sizes`.
        """
        given = list(zip(row.get(IMAGE_PATHS) or [], row.get(IMAGE_SIZES) or [], strict=True))
        talks = [values[column] for column in TALKS if isinstance(values.get(column), list)]
        if talks:
            places = self._places_in_messages([message for talk in talks for message in talk], len(given))
        else:
            places = self._places_in_texts(values, len(given))
        if places.count(None) != len(given):
            raise RowFault(
                f"one image for each {MARK} of its texts",
                f"There are {places.count(None)} places without a path of their own and {len(given)} images in the columns "
                f"{' or '.join(IMAGE_COLUMNS)}. " + REPAIR,
            )
        columns = iter(given)
        images = [next(columns) if path is None else (path, size_of(path, self.args.image_folder)) for path in places]
        if self.args.plain_captions:
            values = self._caption(values, len(images))
        return values | {IMAGE_PATHS: [path for path, _ in images], IMAGE_SIZES: [list(size) for _, size in images]}

    def _places_in_messages(self, messages: list[dict], num_given: int) -> list[str | None]:
        """The places of images in messages, in order: the path of each, or `None`. Paths are taken out of the parts."""
        answers = [message["content"] for message in messages if message["role"] == "assistant"]
        if any(self.mark in answer for answer in answers):
            raise RowFault(f"no {MARK} in answers, because the model writes texts", "Take it out. " + REPAIR)
        contents = [message["content"] for message in messages]
        if num_given and not any(self._num_places(content) for content in contents):
            asked = next((message for message in messages if message["role"] == "user"), None)
            if asked is None:
                raise RowFault("a message of the user, which images come before")
            text = asked["content"]
            text = [{"type": "text", "text": text}] if isinstance(text, str) else text
            asked["content"] = [{"type": "image"}] * num_given + text
        return [place for message in messages for place in self._take_places(message["content"])]

    def _num_places(self, content: str | list[dict]) -> int:
        return len(self._take_places(content, keep=True))

    def _take_places(self, content: str | list[dict], keep: bool = False) -> list[str | None]:
        if isinstance(content, str):
            return [None] * content.count(self.mark)
        places = []
        for part in content:
            if part["type"] == "image":
                places.append(part.get("path") if keep else part.pop("path", None))
            else:
                places += [None] * part["text"].count(self.mark)
        return places

    def _places_in_texts(self, values: dict[str, Any], num_given: int) -> list[None]:
        """The places of images in a prompt, or a text; marks are put in front if there are none."""
        column = "prompt" if "prompt" in values else self.args.dataset_text_field
        values[column] = values[column].replace(MARK, self.mark)
        if MARK in values.get("completion", ""):
            raise RowFault(f"no {MARK} in a completion, because the model writes texts", "Take it out. " + REPAIR)
        if num_given and self.mark not in values[column]:
            values[column] = self.mark * num_given + "\n" + values[column]
        return [None] * values[column].count(self.mark)

    def _caption(self, values: dict[str, Any], num_images: int) -> dict[str, Any]:
        """A row of images and their caption. What is asked is left out."""
        if num_images == 0:
            raise RowFault("an image in every row for `plain_captions=True`", "Drop the rows without one.")
        field = self.args.dataset_text_field
        caption = values.get("completion", values.get("messages", values.get(field)))
        caption = caption if isinstance(caption, str) else caption[-1]["content"]
        text = self.mark * num_images + caption.replace(self.mark, "").strip() + "\n"
        return {field: text, TRAINED_TURNS: [True], USES_TOOLS: False}


def _image_column(dataset: Dataset, name: str) -> str | None:
    videos = [column for column in VIDEO_COLUMNS if column in dataset.column_names]
    if videos:
        raise ValueError(
            f"`{name}` has a column `{videos[0]}`, but videos are not trained on. Give some of their frames as `images`, or "
            "drop the column."
        )
    found = [column for column in IMAGE_COLUMNS if column in dataset.column_names]
    if len(found) > 1:
        raise ValueError(f"`{name}` must have its images in one column, `image` or `images`, but has both. Join them.")
    return found[0] if found else None


def _holds_paths(dataset: Dataset, column: str) -> bool:
    """Whether a column has paths, and not images. A column without any value counts as one of paths."""
    kind = dataset.data.schema.field(column).type
    kind = getattr(kind, "value_type", kind)  # of a list
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)


def _measure(pictures: Dataset, name: str, column: str, args: LLaDASFTConfig) -> Dataset:
    """The paths and the sizes of the images in a column. Images are read as they are stored, without decoding them."""

    is_json = isinstance(pictures.features[column], Json)  # one path here, a list of paths there
    folder = args.image_folder  # alone, so that sizes that were measured stay in the cache when other arguments change

    def measure(table: pa.Table) -> dict[str, list]:
        values = table[column].to_pylist()
        values = [json.loads(value) if is_json and value is not None else value for value in values]
        rows = [_read_images(value, folder) for value in values]
        return {key: [row[key] for row in rows] for key in (*FEATURES, FAULT)}

    with PartialState().main_process_first():
        measured = pictures.with_format("arrow").map(
            measure,
            batched=True,
            batch_size=ROWS_PER_BATCH,
            remove_columns=column,
            features=Features(FEATURES | {FAULT: Value("string")}),
            num_proc=args.dataset_num_proc,
            desc=f"Measuring the images of {name}",
        )
    measured = measured.with_format(None)
    faults = measured[FAULT][:]
    wrong = [number for number, fault in enumerate(faults) if fault is not None]
    if wrong:
        raise ValueError(
            f"`{name}` must have images that can be read in the column `{column}`, but {numbered_rows(wrong, pictures)} have "
            f"not. The first: {faults[wrong[0]]}. Repair or drop these rows."
        )
    return measured.remove_columns(FAULT)


def _read_images(value: Any, folder: str | None) -> dict[str, Any]:
    """The paths and sizes of the images of a row, or why one cannot be read."""
    images = [one for one in (value if isinstance(value, list) else [value]) if one is not None]
    try:
        sizes = [list(size_of(image, folder)) for image in images]
    except RowFault as fault:
        return {IMAGE_PATHS: None, IMAGE_SIZES: None, FAULT: fault.rule}
    paths = [image if isinstance(image, str) else None for image in images]
    return {IMAGE_PATHS: paths, IMAGE_SIZES: sizes, FAULT: None}


def size_of(image: str | bytes | dict[str, Any], folder: str | None = None) -> tuple[int, int]:
    """
    The height and the width of an image as it is seen, from its header: EXIF may say that it lies on its side.

    Raises:
        `RowFault`: if there is no such file, or it is no image that the processor reads.
    """
    with open_image(image, folder) as opened:
        try:
            return _seen_size(opened)
        except RowFault:
            raise
        except Exception as error:  # decoders raise errors of any class on damaged files
            raise RowFault(f"images that can be read ({error})") from error


def _seen_size(opened: Image.Image) -> tuple[int, int]:
    width, height = opened.size
    # The other pictures of an MPO file are previews.
    if opened.format != "MPO" and getattr(opened, "n_frames", 1) > 1:
        raise RowFault(f"images that are not animated (one has {opened.n_frames} frames)")
    if width * height > MAX_PIXELS:
        raise RowFault(f"images of at most {MAX_PIXELS:,} pixels (one has {width} x {height})")
    # The EXIF data of a PNG would be looked for behind its pixels.
    may_turn = opened.format != "PNG" or {"exif", "Raw profile type exif"} & opened.info.keys()
    if may_turn and opened.getexif().get(EXIF_ORIENTATION, 1) in (5, 6, 7, 8):
        width, height = height, width
    return height, width


def open_image(image: str | bytes | dict[str, Any], folder: str | None = None) -> Image.Image:
    """
    Opens an image, a path or what a dataset stores, without reading its pixels.

    Raises:
        `RowFault`: if there is no such file, or it is no image.
    """
    kinds = {bytes: "bytes", str: "path"}
    stored = {kinds[type(image)]: image} if type(image) in kinds else image
    data, path = (stored.get(key) for key in ("bytes", "path")) if isinstance(stored, dict) else (None, None)
    if data is None and not isinstance(path, str):
        raise RowFault(f"images or paths, not {str(image)[:80]}")
    if data is None and "://" in path:
        raise RowFault(f"images that are files, not {path[:80]!r}", "Download them first.")
    try:
        file = Path(folder or "", path).expanduser() if data is None else io.BytesIO(data)
        return Image.open(file, formats=known_formats())
    except Exception as error:  # as above
        raise RowFault(f"images that can be read ({(path or 'bytes')[:80]}: {str(error)[:200]})") from error
