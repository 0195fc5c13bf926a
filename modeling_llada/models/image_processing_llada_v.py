# Copyright 2026 The modeling_llada authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""The image processor of LLaDA-V: images to square tiles, with PIL and NumPy alone."""

from typing import Any

import numpy as np
from transformers import BatchFeature
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import SizeDict
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
    LlavaOnevisionImageProcessorKwargs,
    LlavaOnevisionImageProcessorPil,
)
from transformers.utils import TensorType

from .image_reading_llada_v import MAX_PIXELS, nesting_of, read_image


ASPECT_RATIOS = ("anyres", "pad", "square")
# The published grids have up to 6 x 6 tiles.
MAX_GRID_SIDE = 6


class LLaDAVImageProcessorKwargs(LlavaOnevisionImageProcessorKwargs, total=False):
    image_aspect_ratio: str | None


class LLaDAVImageProcessor(LlavaOnevisionImageProcessorPil):
    """
    Makes images into the tiles that LLaDA-V sees. It is the image processor of LLaVA-OneVision in transformers, with the
    sizes and colors of SigLIP, a choice of the aspect ratio for all images, and the number of tiles of each.

    Args:
        image_aspect_ratio (`str`, *optional*):
            How an image becomes tiles: `"anyres"` is the whole image squashed to one tile, then a grid of tiles that fits its
            shape; `"pad"` is one tile, padded with grey to a square; `"square"` is one tile, squashed. By default an image
            that is alone in its row is `"anyres"` and several are `"pad"`, as in the training of the published model.
        size (`dict[str, int]`, *optional*, defaults to `{"height": 384, "width": 384}`):
            The size of a tile in pixels.
        image_grid_pinpoints (`list[list[int]]`, *optional*):
            The sizes in pixels that a grid may have, as pairs of height and width. By default all from 1 x 1 to 6 x 6 tiles.
        kwargs (*optional*):
            Those of `LlavaOnevisionImageProcessorPil`, for instance `image_mean`.

    Raises:
        `ValueError`: for an unknown `image_aspect_ratio`, tiles that are not square, or a grid of no whole tiles.

    Example:

    ```python
    >>> image_processor = LLaDAVImageProcessor()
    >>> inputs = image_processor("photo.jpg", return_tensors="pt")
    >>> inputs["pixel_values"].shape  # of a photo of 1,024 x 768 pixels
    torch.Size([1, 7, 3, 384, 384])
    ```
    """

    model_input_names = ["pixel_values", "image_sizes", "num_tiles"]
    valid_kwargs = LLaDAVImageProcessorKwargs
    image_mean = [0.5, 0.5, 0.5]
    image_std = [0.5, 0.5, 0.5]
    image_grid_pinpoints = None
    image_aspect_ratio = None

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        tile_size = tile_size_of(self.size)
        if self.image_grid_pinpoints is None:
            sides = range(tile_size, (MAX_GRID_SIDE + 1) * tile_size, tile_size)
            # In the order of the reference: where two grids fit equally well, the first one is taken.
            self.image_grid_pinpoints = [[height, width] for width in sides for height in sides]
        self._check(self.image_aspect_ratio, self.image_grid_pinpoints, tile_size)

    def preprocess(self, images: Any, **kwargs: Any) -> BatchFeature:
        """
        Makes images into tiles.

        Args:
            images (an image, a `list` of them, or a `list` of `list`s of them):
                Paths, URLs, PIL images, arrays or tensors, see `read_image`. A list of lists are the rows of a batch; in a
                list, each image is in a row of its own. A row may be empty.
            kwargs (*optional*):
                Options of this class for this call, and `return_tensors`.

        Returns:
            `BatchFeature` with the images of all rows one after the other:
                - **pixel_values** `(num_images, max_tiles, 3, size, size)`: the tiles of each image, filled up with zeros.
                - **image_sizes** `(num_images, 2)`: height and width before.
                - **num_tiles** `(num_images,)`: how many tiles of each are its own.

        Raises:
            `ValueError`: if an image cannot be read (see `read_image`), there is none, or an option is out of bounds.
        """
        if kwargs.get("input_data_format") is not None:
            raise ValueError(
                "`input_data_format` is not used: NumPy arrays have their channels last and tensors first, where both could be "
                "meant. Transpose the array."
            )
        rows = as_rows(images)
        pictures = [read_image(image) for row in rows for image in row]
        if not pictures:
            raise ValueError("`images` holds no image. Leave it out for a prompt without images.")
        is_alone = [len(row) == 1 for row in rows for _ in row]
        return PilBackend.preprocess(self, pictures, is_alone, **kwargs)

    def preprocess_videos(self, videos: list[list[Any]], **kwargs: Any) -> BatchFeature:
        """
        Makes the frames of videos into tiles, each frame squashed to one.

        Args:
            videos (`list[list]`):
                The frames of each video, as images.
            kwargs (*optional*):
                As in `preprocess`.

        Returns:
            `BatchFeature`:
                - **pixel_values_videos** `(num_videos, max_frames, 3, size, size)`: the frames, filled up with zeros.
                - **num_frames** `(num_videos,)`: how many frames each video has.

        Raises:
            `ValueError`: as in `preprocess`, or if a video has no frames.
        """
        num_frames = [len(frames) for frames in videos]
        if not num_frames or min(num_frames) == 0:
            raise ValueError(f"`videos` must have at least one frame each, but got {num_frames} frames.")
        return_tensors = kwargs.pop("return_tensors", None)
        options = kwargs | {"image_aspect_ratio": "square"}
        frames = [np.concatenate(self.preprocess(video, **options)["pixel_values"]) for video in videos]
        data = {"pixel_values_videos": self._pad_for_batching(frames), "num_frames": num_frames}
        return BatchFeature(data, tensor_type=return_tensors)

    def _preprocess(
        self,
        images: list[np.ndarray],
        is_alone: list[bool],
        image_aspect_ratio: str | None,
        image_grid_pinpoints: list[list[int]],
        do_pad: bool | None,
        return_tensors: str | TensorType | None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Makes arrays of shape `(3, height, width)` into tiles."""
        tile_size = tile_size_of(kwargs["size"])
        self._check(image_aspect_ratio, image_grid_pinpoints, tile_size)
        pixel_values = []
        for image, alone in zip(images, is_alone, strict=True):
            aspect_ratio = image_aspect_ratio or ("anyres" if alone else "pad")
            tiles = self._cut(image, aspect_ratio, image_grid_pinpoints, tile_size, kwargs["resample"])
            prepared = super(LlavaOnevisionImageProcessorPil, self)._preprocess(
                tiles, do_pad=False, return_tensors=None, **kwargs
            )
            pixel_values.append(np.stack(prepared["pixel_values"]))
        data = {
            "pixel_values": self._pad_for_batching(pixel_values) if do_pad else pixel_values,
            "image_sizes": [image.shape[-2:] for image in images],
            "num_tiles": [len(tiles) for tiles in pixel_values],
        }
        return BatchFeature(data, tensor_type=return_tensors)

    def resize(self, image: np.ndarray, size: SizeDict, *args: Any, **kwargs: Any) -> np.ndarray:
        """As in the parent, but a tile that has its size already is not taken through PIL again."""
        return image if image.shape[-2:] == (size.height, size.width) else super().resize(image, size, *args, **kwargs)

    def _cut(
        self, image: np.ndarray, aspect_ratio: str, pinpoints: list[list[int]], tile_size: int, resample: Any
    ) -> list[np.ndarray]:
        """The tiles of an image, not all of them at the size of a tile yet."""
        if aspect_ratio == "square":
            return [image]
        if aspect_ratio == "anyres":
            return self.get_image_patches(image, pinpoints, (tile_size, tile_size), tile_size, resample)
        height, width = image.shape[-2:]
        if max(height, width) ** 2 > MAX_PIXELS:
            raise ValueError(
                f"`images`: an image of {width} x {height} pixels would be padded to {max(height, width)} x "
                f"{max(height, width)}, more than {MAX_PIXELS:,} pixels. Scale it down, or choose another "
                "`image_aspect_ratio`."
            )
        return [self.pad_to_square(image, tuple(int(mean * 255) for mean in self.image_mean))]

    @staticmethod
    def _check(image_aspect_ratio: str | None, pinpoints: list[list[int]], tile_size: int) -> None:
        if image_aspect_ratio is not None and image_aspect_ratio not in ASPECT_RATIOS:
            raise ValueError(
                f"`image_aspect_ratio` must be one of {ASPECT_RATIOS} or None, but got {image_aspect_ratio!r}. How many "
                "features the grid keeps ('anyres_max_4') is the `vision_aspect_ratio` of the model and its processor."
            )
        if not pinpoints or any(side % tile_size or side < tile_size for pair in pinpoints for side in pair):
            raise ValueError(
                f"`image_grid_pinpoints` must be pairs of multiples of the tile size {tile_size}, but got {pinpoints}. Leave "
                "it out for all grids up to 6 x 6 tiles."
            )


def tile_size_of(size: SizeDict) -> int:
    """The side of a tile in pixels."""
    if size.height is None or size.height != size.width:
        raise ValueError(f"`size` must have the same 'height' and 'width', but got {dict(size)}.")
    return size.height


def as_rows(images: Any) -> list[list[Any]]:
    """Sorts images into rows: a list of lists is one, and in a list each image is in a row of its own."""
    nesting = nesting_of(images)
    if nesting > 2:
        raise ValueError(
            f"`images` must be an image, a list of them or a list of lists, but got lists {nesting} deep."
        )
    if nesting == 0:
        return [[images]]
    return [list(row) if nesting_of(row) else [row] for row in images]


__all__ = ["LLaDAVImageProcessor"]


LLaDAVImageProcessor.register_for_auto_class()
