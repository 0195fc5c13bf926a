# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Batches of rows with images: the pixels are read, and the image tokens repeated, when a batch is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedConfig

from ...models.images_llada_v import num_anyres_tiles, num_image_features
from ..masking.collator import MaskingCollator, stack_images
from ..masking.noise import RowNoise
from ..masking.row_order import NumberedRow, NumberedRows, RowKey
from .formats import IMAGE_DATA, IMAGE_LENGTHS, IMAGE_PATHS, IMAGE_SIZES, TURN_STARTS
from .messages import RowFault
from .vision_formats import open_image
from .vision_rows import repeats, row_lengths


IMAGE_INPUTS = ("pixel_values", "image_sizes", "num_tiles")
# Later than all turns: padding sees everything, and nothing sees padding.
PADDING_TURN = torch.iinfo(torch.int64).max


@dataclass
class RowPixels:
    """
    Makes the tiles of the images of a row, and counts their features beforehand.

    Args:
        processor (`ProcessorMixin`):
            The processor, of which the image processor is used.
        config ([`LLaDAVConfig`]):
            The config of the model.
        folder (`str`, *optional*):
            Where relative paths begin.
    """

    processor: "ProcessorMixin"  # noqa: F821
    config: PreTrainedConfig
    folder: str | None = None

    def count_features(self, sizes: Sequence[Sequence[int]]) -> list[int]:
        """The number of features of each image of a row, by the heights and widths of the images."""
        config, tower = self.config, self.config.vision_config
        aspect_ratio = self.processor.image_processor.image_aspect_ratio
        is_anyres = (aspect_ratio or ("anyres" if len(sizes) == 1 else "pad")) == "anyres"
        pinpoints, tile, side = config.image_grid_pinpoints, tower.image_size, tower.image_size // tower.patch_size
        tiles = [num_anyres_tiles(tuple(size), pinpoints, tile) if is_anyres else 1 for size in sizes]
        return [
            num_image_features(tuple(size), count, side, pinpoints, tile, config.max_tiles, config.patch_merge_type)
            for size, count in zip(sizes, tiles, strict=True)
        ]

    def __call__(self, row: dict[str, Any]) -> dict[str, torch.Tensor] | None:
        """The tiles of the images of a row, or `None` without images."""
        paths = row.get(IMAGE_PATHS)
        if not paths:
            return None
        data = row.get(IMAGE_DATA)
        in_column = iter([one for one in (data if isinstance(data, list) else [data]) if one is not None])
        images = [open_image(next(in_column) if path is None else path, self.folder) for path in paths]
        inputs = self.processor.image_processor([images], return_tensors="pt")
        found = inputs["image_sizes"].tolist()
        if found != row[IMAGE_SIZES]:
            raise RowFault(
                f"images of the sizes {row[IMAGE_SIZES]} that were measured before, not {found} (after files have changed, "
                "`dataset.cleanup_cache_files()` lets them be measured again)"
            )
        return {name: inputs[name] for name in IMAGE_INPUTS}


class NumberedVisionRows(NumberedRows):
    """[`NumberedRows`] whose images are read when a row is taken."""

    def __init__(self, dataset: Dataset, noise: RowNoise, filler: int, pixels: RowPixels):
        super().__init__(dataset, noise, filler)
        self.rows = as_stored(dataset)
        self.pixels = pixels

    def lengths(self) -> Sequence[int]:
        return row_lengths(self.rows).tolist()

    def __getitem__(self, key: RowKey) -> NumberedRow:
        if key.index is None:
            return super().__getitem__(key)
        row = expanded(self.rows, key.index, self.pixels)
        noise = self.noise.rate(key.epoch, key.position), self.noise.generator(key.epoch, key.index)
        return NumberedRow(row["input_ids"], row["labels"], *noise, row["images"], row["turns"])


def as_stored(dataset: Dataset) -> Dataset:
    """Rows as Arrow has them. Images are not decoded: they are opened where they were measured, and as they were."""
    return dataset.with_format("arrow")


def expanded(rows: Dataset, index: int, pixels: RowPixels) -> dict[str, Any]:
    """
    A row of those that are [`as_stored`], with a token for each feature of its images, the number of the turn of each token,
    its images and their lengths.
    """
    row = rows[index].to_pylist()[0]
    try:
        images = pixels(row)
    except (RowFault, OSError, ValueError) as error:
        raise ValueError(
            f"The images of row {index} (of the rows that were prepared) cannot be read: {error}. Repair the file, or drop "
            "the row."
        ) from error
    counts = repeats(row, pixels.config.image_token_id)
    turns = np.zeros(len(counts), dtype=np.int64)
    turns[row[TURN_STARTS]] = 1
    tokens, labels, turns = (
        np.repeat(values, counts).tolist() for values in (row["input_ids"], row["labels"], turns.cumsum())
    )
    return {"input_ids": tokens, "labels": labels, "turns": turns, "images": images} | {
        "image_lengths": row[IMAGE_LENGTHS],
        "image_token_id": pixels.config.image_token_id,
    }


@dataclass
class VisionCollator(MaskingCollator):
    """
    A [`MaskingCollator`] for rows with images, whose batches also hold `pixel_values`, `image_sizes` and `num_tiles` of all
    images, row by row. Without any, they are those of no image, for which the vision tower runs too: on several processes,
    all must do the same.

    Args:
        tile_shape (`tuple[int, int, int]`, *optional*, defaults to `(3, 384, 384)`):
            The channels, height and width of a tile.
        dialogue_mask (`bool`, *optional*, defaults to `False`):
            Whether `attention_mask` is `(rows, 1, length, length)`, and a turn does not see later ones.
        fills_all (`bool`, *optional*, defaults to `False`):
            Whether `eos_fill` also extends responses that do not end with EOS.
    """

    tile_shape: tuple[int, int, int] = (3, 384, 384)
    dialogue_mask: bool = False
    fills_all: bool = False

    def __call__(self, rows: Sequence[NumberedRow]) -> dict[str, torch.Tensor]:
        batch = super().__call__(rows)
        if self.dialogue_mask:
            batch["attention_mask"] = self._mask_of_turns(rows, batch["attention_mask"].bool())
        return batch | (stack_images([row.images for row in rows]) or self._no_images())

    def _no_images(self) -> dict[str, torch.Tensor]:
        counts = torch.zeros(0, dtype=torch.long)
        return {
            "pixel_values": torch.zeros(0, 1, *self.tile_shape),
            "image_sizes": counts.view(0, 2),
            "num_tiles": counts,
        }

    def _may_fill(self, labels: torch.Tensor) -> bool:
        return self.fills_all or super()._may_fill(labels)

    def _mask_of_turns(self, rows: Sequence[NumberedRow], is_token: torch.BoolTensor) -> torch.BoolTensor:
        """Which positions (last dimension) each position sees: those of its turn and of the turns before."""
        turns = torch.full(is_token.shape, PADDING_TURN)
        for row, places, seen in zip(rows, turns, is_token, strict=True):
            given = torch.tensor(row.turns or [0])
            places[seen] = given[-1]  # of EOS tokens that were added
            places[: len(given)] = given
        return turns[:, None, None, :] <= turns[:, None, :, None]
