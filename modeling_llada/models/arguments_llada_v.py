# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The checks of images and videos beside the tokens that stand for them."""

import torch

from .arguments_llada import check_shape
from .configuration_llada_v import LLaDAVConfig
from .images_llada_v import num_anyres_tiles


# The arguments that say what stands at the image tokens and the video tokens, as the processor returns them.
IMAGE_INPUTS = (
    "pixel_values",
    "image_sizes",
    "num_tiles",
    "batch_num_images",
    "pixel_values_videos",
    "num_frames",
)
PIXELS = {"image": "pixel_values", "video": "pixel_values_videos"}


def check_pixels(name: str, pixels: torch.Tensor, size: int) -> None:
    """Pixels are tiles of the size of the tower, normalized."""
    is_tensor = isinstance(pixels, torch.Tensor)
    if not is_tensor or pixels.shape[3:] != (size, size) or not pixels.is_floating_point():
        got = f"{pixels.dtype} of shape {tuple(pixels.shape)}" if is_tensor else type(pixels).__name__
        raise ValueError(
            f"`{name}` must be tiles of {size} x {size} pixels, a tensor of normalized floats of shape (number, tiles, channels, "
            f"{size}, {size}), but got {got}. Take the processor of this checkpoint."
        )


def check_all_given(where: dict[str, torch.BoolTensor], **pixels: torch.Tensor | None) -> None:
    """Where tokens of a kind stand, there must be pixels of that kind."""
    for kind, name in PIXELS.items():
        if pixels[name] is None and where[kind].any():
            raise ValueError(
                f"`{name}` is missing: `input_ids` hold {int(where[kind].sum())} {kind} tokens. Pass all that the processor "
                "returns: `model(**inputs)`."
            )


def check_counts(where: torch.BoolTensor, lengths: list[int], kind: str) -> None:
    """Each row must hold one token for each feature, and no image may begin in one row and end in the next."""
    ends = torch.tensor([0, *lengths]).cumsum(0)
    row_ends = where.sum(-1).cumsum(0).cpu()
    if row_ends[-1] != ends[-1] or not torch.isin(row_ends, ends).all():
        raise ValueError(
            f"`input_ids` must hold the {kind} token once for each feature, but its rows hold {where.sum(-1).tolist()}, and the "
            f"{len(lengths)} {kind}s of `{PIXELS[kind]}` have {lengths} features. Let the processor make both, and cut no prompt."
        )


def read_tiles(
    config: LLaDAVConfig,
    pixel_values: torch.Tensor,
    image_sizes: torch.LongTensor | None,
    num_tiles: torch.LongTensor | None,
    batch_num_images: torch.LongTensor | None,
) -> list[int]:
    """The number of tiles of each image: `num_tiles`, or what follows from its size and the number of images of its row."""
    tile_size = config.vision_config.image_size
    check_pixels("pixel_values", pixel_values, tile_size)
    if image_sizes is None:
        raise ValueError("`pixel_values` need `image_sizes`, the height and the width of each image in pixels.")
    check_shape("image_sizes", image_sizes, (len(pixel_values), 2), "height and width of each image")
    sizes = image_sizes.tolist()
    if any(side < 1 for size in sizes for side in size):
        raise ValueError(f"`image_sizes` must be at least 1 pixel, but got {sizes}. Pass what the processor returns.")
    if num_tiles is None:
        per_row = [1] * len(sizes) if batch_num_images is None else torch.as_tensor(batch_num_images).tolist()
        if sum(per_row) != len(sizes) or min(per_row, default=0) < 0:
            raise ValueError(
                f"`batch_num_images` must add up to the number of images in `pixel_values`, but got {per_row} for "
                f"{len(sizes)} images."
            )
        is_alone = [count == 1 for count in per_row for _ in range(count)]
        num_tiles = torch.tensor(
            [
                num_anyres_tiles(size, config.image_grid_pinpoints, tile_size) if alone else 1
                for size, alone in zip(sizes, is_alone, strict=True)
            ],
            dtype=torch.long,
        )
    return read_counts("num_tiles", num_tiles, pixel_values, "image")


def read_counts(name: str, counts: torch.LongTensor, pixels: torch.Tensor, kind: str) -> list[int]:
    """How many tiles (or frames) of each image are not filling."""
    check_shape(name, counts, pixels.shape[:1], f"one for each {kind}")
    counts, most = counts.tolist(), pixels.shape[1]
    if counts and not (min(counts) > 0 and max(counts) <= most):
        hint = "; without it, an image that is alone in its row has the tiles of its size" if kind == "image" else ""
        raise ValueError(
            f"`{name}` must be from 1 to {most}, as many as there are pixels for each {kind}, but got {counts}. Pass what the "
            f"processor returns{hint}."
        )
    return counts


__all__ = ["IMAGE_INPUTS"]
