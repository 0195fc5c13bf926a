# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Reads an image from a file, a URL, a data URL, an array or a PIL image, and refuses what would be read wrongly in silence.

Every image becomes RGB with 8 bits a channel, turned as its EXIF tag says. Transparency is dropped, as `convert("RGB")` of
PIL does and the published model was trained. 16 bits are scaled to 8. An animated picture is an error, since only one of its
frames would be seen; so are a damaged file and one with so many pixels that decoding it would fill the memory.
"""

import base64
import binascii
import io
import os
import reprlib
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps
import torch
from huggingface_hub.utils import httpx  # the package that the Hub's client uses, under one name


# Pillow warns above as many pixels, and refuses twice as many.
MAX_PIXELS = 89_478_485
# Not all that Pillow knows: it would run other programs for EPS, for instance.
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
URL_TIMEOUT = 30.0


def read_image(image: Any, allow_paths: bool = True, allow_urls: bool = True) -> PIL.Image.Image:
    """
    Reads an image as RGB.

    Args:
        image (`str`, `os.PathLike`, `PIL.Image.Image`, `np.ndarray` or `torch.Tensor`):
            A path, an `http(s)://` URL, a `data:image/...;base64,` URL, base64 text, a PIL image or an array. An array is
            `(height, width)`, `(height, width, channels)` or `(channels, height, width)` with 1, 3 or 4 channels: integers
            from 0 to 255, `uint16`, or floats from 0 to 1. Where both could be meant, NumPy arrays have their channels last
            and tensors first.
        allow_paths (`bool`, *optional*, defaults to `True`):
            Whether a text may be a path or base64 text. Not for texts that strangers send.
        allow_urls (`bool`, *optional*, defaults to `True`):
            Whether `http(s)://` URLs are fetched.

    Returns:
        `PIL.Image.Image`: The image in mode RGB. It is in memory: no file is kept open.

    Raises:
        `ValueError`: if it cannot be read, is not allowed, is animated, has more than 89 million pixels, or values whose
        range is unknown.

    Example:

    ```python
    >>> image = read_image("photo.jpg")
    ```
    """
    if isinstance(image, PIL.Image.Image):
        return _as_rgb(image, "The PIL image")
    if isinstance(image, (np.ndarray, torch.Tensor)):
        return _as_rgb(_from_array(image), "The array")
    if not isinstance(image, (str, os.PathLike)):
        raise ValueError(
            "`images` must be paths, URLs, PIL images, NumPy arrays or torch tensors, or lists of them, but got "
            f"{type(image).__name__}."
        )
    name, file = _open_source(image, allow_paths, allow_urls)
    with file, _attempt(name, _open, file) as opened:
        return _as_rgb(opened, name)


def nesting_of(images: Any) -> int:
    """How deep images are nested: 0 for one, 1 for a list of them or an array with one more dimension, 2 for a list of lists."""
    if isinstance(images, (list, tuple)):
        return 1 + max(map(nesting_of, images), default=0)
    return int(isinstance(images, (np.ndarray, torch.Tensor)) and images.ndim == 4)


def is_empty(images: Any) -> bool:
    """Whether these are lists, nested or not, without an image in any of them."""
    return isinstance(images, (list, tuple)) and all(map(is_empty, images))


def _open_source(source: str | os.PathLike, allow_paths: bool, allow_urls: bool) -> tuple[str, io.IOBase]:
    """What to call the source in errors, and the file with the bytes of the picture."""
    name = reprlib.repr(os.fspath(source))
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        if not allow_urls:
            raise ValueError(f"`images` must not be URLs of other servers here, but got {name}. Pass a data URL.")
        return name, io.BytesIO(_attempt(name, _fetch, source))
    if isinstance(source, str) and source.startswith("data:"):
        header, _, data = source.partition(",")
        if not header.endswith(";base64"):
            raise ValueError(f"`images`: a data URL must start with 'data:image/...;base64,', but got {name}.")
        return name, io.BytesIO(_attempt(name, _decode_base64, data))
    if not allow_paths:
        raise ValueError(f"`images` must not be paths here, but got {name}. Pass a data URL.")
    if isinstance(source, str) and not os.path.exists(source):
        try:
            return name, io.BytesIO(_decode_base64(source))
        except binascii.Error:
            raise ValueError(f"`images`: there is no file {name}, and it is no URL and no base64 text.") from None
    return name, _attempt(name, open, source, "rb")


def _fetch(url: str) -> bytes:
    return httpx.get(url, timeout=URL_TIMEOUT, follow_redirects=True).raise_for_status().content


def _decode_base64(text: str) -> bytes:
    return base64.b64decode("".join(text.split()).encode(), validate=True)


def _open(file: io.IOBase) -> PIL.Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)  # `_as_rgb` refuses those
            return PIL.Image.open(file, formats=known_formats())
    except PIL.UnidentifiedImageError:
        raise ValueError(f"it has none of the formats {', '.join(known_formats())}") from None


@cache
def known_formats() -> tuple[str, ...]:
    """Those that this build of Pillow has."""
    PIL.Image.init()
    return tuple(name for name in FORMATS if name in PIL.Image.OPEN)


def _attempt(name: str, function: Callable, *arguments: Any, **options: Any) -> Any:
    """Calls a function that meets bytes of unknown origin. Decoders raise errors of any class on damaged ones."""
    try:
        return function(*arguments, **options)
    except Exception as error:
        raise ValueError(
            f"`images`: {name} cannot be read as a picture. Is it damaged or cut off? ({error})"
        ) from error


def _as_rgb(image: PIL.Image.Image, name: str) -> PIL.Image.Image:
    width, height = image.size
    if min(width, height) < 1 or width * height > MAX_PIXELS:
        raise ValueError(
            f"`images`: {name} has {width} x {height} pixels, but there must be at least one and at most {MAX_PIXELS:,}. "
            "Scale it down first."
        )
    # The other pictures of an MPO file are small previews, or the view of the other eye.
    num_frames = 1 if image.format == "MPO" else _attempt(name, lambda: getattr(image, "n_frames", 1))
    if num_frames > 1:
        raise ValueError(
            f"`images`: {name} has {num_frames} frames, of which only one would be seen. Take one of them, with PIL by "
            "`image.seek(index)` and `image.convert('RGB')`. The processor takes a list of them as a video."
        )
    # Pillow would cut off the values above 255. Depending on its version, it reads 16 bits as mode `I` too.
    has_16_bits = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if image.mode in ("I", "F") and not has_16_bits:
        raise ValueError(
            f"`images`: {name} has values of 32 bits, whose range is unknown. Scale them to 8 bits: mode 'L' or 'RGB'."
        )
    image = _attempt(name, PIL.ImageOps.exif_transpose, image)
    if has_16_bits:
        return PIL.Image.fromarray(_to_bytes(_attempt(name, np.asarray, image).astype(np.uint16))).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = _attempt(name, image.convert, "RGBA")  # else Pillow warns
    return _attempt(name, image.convert, "RGB")


def _from_array(array: np.ndarray | torch.Tensor) -> PIL.Image.Image:
    channels_first = isinstance(array, torch.Tensor)
    if channels_first:
        array = array.detach().cpu()
        array = (array.float() if array.dtype == torch.bfloat16 else array).numpy()
    values, shape = array, array.shape
    if values.ndim == 3:
        first, last = (shape[axis] in (1, 3, 4) for axis in (0, 2))
        if first and (channels_first or not last):
            values = np.moveaxis(values, 0, 2)
    if values.ndim not in (2, 3) or values.size == 0 or (values.ndim == 3 and values.shape[2] not in (1, 3, 4)):
        raise ValueError(
            "`images`: an array must be (height, width), (height, width, channels) or (channels, height, width) with 1, 3 "
            f"or 4 channels, but got one of shape {shape}."
        )
    values = _to_bytes(values)
    return PIL.Image.fromarray(values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values)


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Values from 0 to 255. Nothing is guessed: floats are 0 to 1, and `uint16` 0 to 65535."""
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if values.dtype == np.uint16:
        return np.round(values / 257).astype(np.uint8)
    is_float = np.issubdtype(values.dtype, np.floating)
    top = 1 if is_float else 255
    if not is_float and not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"`images`: an array must hold integers or floats, but got {values.dtype}.")
    # Written so that NaN is refused too.
    if not (values.min() >= 0 and values.max() <= top):
        raise ValueError(
            f"`images`: an array of {values.dtype} must hold values from 0 to {top}, but got {values.min()} to "
            f"{values.max()}. Normalization is done by the image processor."
        )
    return np.round(values.astype(np.float64) * (255 / top)).astype(np.uint8)


__all__ = ["MAX_PIXELS", "is_empty", "known_formats", "nesting_of", "read_image"]
