# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""From an image to its place in the prompt: the tiles that it is cut into, and the features that are packed for it.

The tower sees square tiles. With any-resolution tiles, an image is the whole image squashed to one tile, then the tiles of a
grid that fits its shape, row by row; with one tile, it is padded or squashed. Each tile gives side x side features, and
`pack_features` joins those of an image into what is put at its image tokens. The processor must write as many image tokens
before any feature is there: `num_image_features` packs features of one component and counts.
"""

import functools
import itertools
import math

import torch
from torch import nn
from transformers.models.llava_onevision.modeling_llava_onevision import get_anyres_image_grid_shape, unpad_image

from .configuration_llada_v import check_merge_type


# The grid may hold this many times more features than `max_tiles` tiles, along each side, before it is resampled.
RESAMPLING_SLACK = 1.1


def num_anyres_tiles(image_size: tuple[int, int], grid_pinpoints: list[list[int]], tile_size: int) -> int:
    """The tiles of an image, `(height, width)`, with any-resolution tiles: the whole image and the grid."""
    rows, columns = get_anyres_image_grid_shape(_as_pair(image_size), grid_pinpoints, tile_size)
    return 1 + rows * columns


def pack_features(
    features: list[torch.FloatTensor],
    image_sizes: torch.LongTensor | list[tuple[int, int]],
    image_newline: torch.FloatTensor | None,
    grid_pinpoints: list[list[int]],
    tile_size: int,
    max_tiles: int | None = 4,
    merge_type: str = "spatial_unpad",
) -> list[torch.FloatTensor]:
    """
    Joins the features of each image into what is put at its image tokens.

    With `"spatial_unpad"`, an image of several tiles becomes the features of the whole image, then those of the grid as one
    picture, without the ones that only saw padding, scaled down where they are more than `max_tiles` tiles have, and with
    `image_newline` at the end of each of its rows. An image of one tile becomes its features and one `image_newline`. With
    `"flat"` all features follow each other, and `image_newline` is not used.

    Args:
        features (`list[torch.FloatTensor]`):
            The projected features of each image, `(tiles, side * side, hidden_size)`: the whole image first, then the grid
            row by row. No tiles that only fill up a batch.
        image_sizes (`torch.LongTensor` of shape `(num_images, 2)`, or a list of pairs):
            The height and width in pixels of each image before it was made into tiles.
        image_newline (`torch.FloatTensor` of shape `(hidden_size,)`, *optional*):
            The learned end of a row. Needed for `"spatial_unpad"`.
        grid_pinpoints (`list[list[int]]`):
            The sizes in pixels that a grid may have, as pairs of height and width.
        tile_size (`int`):
            The side of a tile in pixels.
        max_tiles (`int`, *optional*, defaults to 4):
            How many tiles' features the grid may keep. `None`: all of them.
        merge_type (`str`, *optional*, defaults to `"spatial_unpad"`):
            `"spatial_unpad"` or `"flat"`.

    Returns:
        `list[torch.FloatTensor]`: The packed features of each image, `(num_features, hidden_size)`.

    Raises:
        `ValueError`: if the number of tiles of an image does not fit its size, or `merge_type` is another one.
    """
    check_merge_type("merge_type", merge_type)
    if len(features) != len(image_sizes):
        raise ValueError(
            f"`image_sizes` must hold one size for each image, but there are {len(features)} images and "
            f"{len(image_sizes)} sizes."
        )
    if merge_type == "flat":
        return [tiles.flatten(0, 1) for tiles in features]
    if image_newline is None:
        raise ValueError("`image_newline` must be given for the merge type 'spatial_unpad'.")
    layout = (tuple(map(tuple, grid_pinpoints)), tile_size, max_tiles)
    orders = [
        _feature_order(_as_pair(size), len(tiles), tiles.shape[1], *layout)
        for tiles, size in zip(features, image_sizes, strict=True)
    ]
    if any(order is None for order in orders):
        return [
            _pack_image(tiles, _as_pair(size), image_newline, *layout)
            for tiles, size in zip(features, image_sizes, strict=True)
        ]
    # Nothing is resampled, so a batch is one selection. Image by image it would be dozens of small operations each.
    starts = [0, *itertools.accumulate(tiles.shape[0] * tiles.shape[1] for tiles in features)]
    table = torch.cat([*(tiles.flatten(0, 1) for tiles in features), image_newline[None].to(features[0])])
    index = torch.cat(
        [torch.where(order < 0, starts[-1], order + start) for order, start in zip(orders, starts, strict=False)]
    )
    return list(table[index.to(table.device)].split([len(order) for order in orders]))


@functools.lru_cache(maxsize=4096)
def _feature_order(
    image_size: tuple[int, int],
    num_tiles: int,
    num_features: int,
    pinpoints: tuple,
    tile_size: int,
    max_tiles: int | None,
) -> torch.LongTensor | None:
    """
    Which of the features of an image's tiles, counted through, are packed in which order; -1 stands for `image_newline`. `None`
    if the grid is resampled.
    """
    numbers = torch.arange(num_tiles * num_features, dtype=torch.double, device="cpu").view(num_tiles, num_features, 1)
    if num_tiles > 1:
        picture = _unpadded_grid(numbers[1:], image_size, pinpoints, tile_size)
        if _resampled_size(picture, num_features, max_tiles) is not None:
            return None
    newline = torch.full((1,), -1, dtype=torch.double, device="cpu")
    return _pack_image(numbers, image_size, newline, pinpoints, tile_size, max_tiles).flatten().long()


def pack_video(features: torch.FloatTensor, image_newline: torch.FloatTensor | None) -> torch.FloatTensor:
    """
    Joins the features of the frames of a video into what is put at its video tokens. The features of a frame are pooled to
    half of the side, rounded up, and each of its rows ends with `image_newline`.

    Args:
        features (`torch.FloatTensor` of shape `(frames, side * side, hidden_size)`):
            The projected features of each frame, squashed to one tile.
        image_newline (`torch.FloatTensor` of shape `(hidden_size,)`, *optional*):
            The learned end of a row. `None` for the merge type `"flat"`: rows have no end.

    Returns:
        `torch.FloatTensor` of shape `(num_features, hidden_size)`.
    """
    frames = _as_picture(features[:, None, None])
    pooled_side = math.ceil(frames.shape[-1] / 2)
    pooled = nn.functional.interpolate(frames, size=(pooled_side, pooled_side), mode="bilinear")
    return torch.cat([_end_rows(frame, image_newline) for frame in pooled])


def num_image_features(
    image_size: tuple[int, int],
    num_tiles: int,
    side: int,
    grid_pinpoints: list[list[int]],
    tile_size: int,
    max_tiles: int | None = 4,
    merge_type: str = "spatial_unpad",
) -> int:
    """
    How many features `pack_features` gives for an image, and so the number of its image tokens.

    Args:
        image_size (`tuple[int, int]`):
            The height and width of the image in pixels.
        num_tiles (`int`):
            Its number of tiles.
        side (`int`):
            The features along one side of a tile: 27 in the published model.
        grid_pinpoints (`list[list[int]]`), tile_size (`int`), max_tiles (`int`, *optional*), merge_type (`str`):
            As in `pack_features`.

    Returns:
        `int`: The number of packed features.

    Example:

    ```python
    >>> pinpoints = [[384 * rows, 384 * columns] for rows in range(1, 7) for columns in range(1, 7)]
    >>> num_image_features((768, 1024), 7, 27, pinpoints, 384)
    3627
    ```
    """
    check_merge_type("merge_type", merge_type)
    if merge_type == "flat":
        return num_tiles * side * side
    layout = (tuple(map(tuple, grid_pinpoints)), tile_size, max_tiles)
    order = _feature_order(_as_pair(image_size), num_tiles, side * side, *layout)
    if order is not None:
        return len(order)
    features, image_newline = torch.empty(num_tiles, side * side, 1, device="cpu"), torch.empty(1, device="cpu")
    return len(_pack_image(features, _as_pair(image_size), image_newline, *layout))


def num_video_features(num_frames: int, side: int, merge_type: str = "spatial_unpad") -> int:
    """How many features `pack_video` gives for so many frames: 210 a frame in the published model."""
    image_newline = None if merge_type == "flat" else torch.empty(1, device="cpu")
    return len(pack_video(torch.empty(num_frames, side * side, 1, device="cpu"), image_newline))


def _pack_image(
    tiles: torch.FloatTensor,
    image_size: tuple[int, int],
    image_newline: torch.FloatTensor,
    grid_pinpoints: tuple,
    tile_size: int,
    max_tiles: int | None,
) -> torch.FloatTensor:
    """The tiles of an image, `(tiles, side * side, hidden_size)`, as packed features."""
    if len(tiles) == 1:
        return torch.cat([tiles[0], image_newline[None].to(tiles)])
    picture = _unpadded_grid(tiles[1:], image_size, grid_pinpoints, tile_size)
    size = _resampled_size(picture, tiles.shape[1], max_tiles)
    if size is not None:
        picture = nn.functional.interpolate(picture[None], size=size, mode="bilinear")[0]
    return torch.cat([tiles[0], _end_rows(picture, image_newline)])


def _unpadded_grid(
    tiles: torch.FloatTensor, image_size: tuple[int, int], grid_pinpoints: tuple, tile_size: int
) -> torch.FloatTensor:
    """The tiles of the grid as one picture, `(hidden_size, height, width)`, without the features that only saw padding."""
    rows, columns = get_anyres_image_grid_shape(image_size, list(grid_pinpoints), tile_size)
    if rows * columns != len(tiles):
        raise ValueError(
            f"An image of {image_size[0]} x {image_size[1]} pixels (height x width) has {1 + rows * columns} tiles, but "
            f"there are features of {1 + len(tiles)}. Were `num_tiles`, `image_sizes` and the grid made by the image "
            "processor of this model?"
        )
    return unpad_image(_as_picture(tiles.unflatten(0, (1, rows, columns)))[0], image_size)


def _resampled_size(picture: torch.FloatTensor, num_features: int, max_tiles: int | None) -> tuple[int, int] | None:
    """The size of a grid with more features than `max_tiles` tiles of `num_features`; `None` for one that keeps its size."""
    height, width = picture.shape[1:]
    factor = 0.0 if max_tiles is None else math.sqrt(height * width / (max_tiles * num_features))
    return (max(int(height // factor), 1), max(int(width // factor), 1)) if factor > RESAMPLING_SLACK else None


def _as_picture(tiles: torch.FloatTensor) -> torch.FloatTensor:
    """`(pictures, rows, columns, side * side, hidden_size)` to `(pictures, hidden_size, rows * side, columns * side)`."""
    side = math.isqrt(tiles.shape[3])
    tiles = tiles.unflatten(3, (side, side))
    return tiles.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


def _end_rows(picture: torch.FloatTensor, image_newline: torch.FloatTensor | None) -> torch.FloatTensor:
    """`(hidden_size, height, width)` to `(features, hidden_size)`, with `image_newline` after each row."""
    if image_newline is not None:
        newlines = image_newline[:, None, None].to(picture).expand(-1, picture.shape[1], 1)
        picture = torch.cat([picture, newlines], dim=-1)
    return picture.flatten(1).T


def _as_pair(image_size) -> tuple[int, int]:
    """A height and a width as Python numbers: with those of a tensor, the grid would be another one."""
    height, width = image_size.tolist() if hasattr(image_size, "tolist") else image_size
    return int(height), int(width)


__all__ = [
    "num_anyres_tiles",
    "num_image_features",
    "num_video_features",
    "pack_features",
    "pack_video",
]
