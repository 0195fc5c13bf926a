# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The golden checkpoint of LLaDA-V, loaded, and its generation cases with inputs and options under our names."""

from functools import cache

import torch
from torch.nn import functional as F

from modeling_llada import LLaDAVForConditionalGeneration
from support.golden_v import FOLDER, IMAGE, golden_tensors


IMAGE_OF_SIZE = {(100, 60): "A", (45, 140): "B", (64, 64): "C", (200, 130): "D"}
MASK, BOS, EOS, EOT, START_HEADER, END_HEADER = 319, 300, 301, 302, 303, 304


@cache
def golden_llada_v() -> LLaDAVForConditionalGeneration:
    """The golden checkpoint, loaded. Shared by the tests of a process: do not change it."""
    return LLaDAVForConditionalGeneration.from_pretrained(FOLDER).eval()


def images_of(case: dict) -> dict[str, torch.Tensor]:
    """The images of a case, made of the recorded pixels."""
    tensors, sizes = golden_tensors(), [tuple(size) for size in case.get("image_sizes_width_height", [])]
    if case["name"] == "video":
        return {"pixel_values_videos": torch.stack([tensors[f"pixel_values.square.{name}"] for name in "ABCD"])[None]}
    names = [IMAGE_OF_SIZE[size] for size in sizes]
    if case.get("image_aspect_ratio") == "pad":
        return stack_images([tensors[f"pixel_values.pad.{name}"][None] for name in names], sizes)
    return stack_images([tensors[f"pixel_values.anyres.{name}"] for name in names], sizes)


def stack_images(tiles: list[torch.Tensor], sizes: list[tuple[int, int]]) -> dict[str, torch.Tensor]:
    """The tiles of some images, `(tiles, channels, size, size)` each, as arguments; the sizes are (width, height)."""
    if not tiles:
        return {}
    most = max(map(len, tiles))
    return {
        "pixel_values": torch.stack([F.pad(image, (0, 0, 0, 0, 0, 0, 0, most - len(image))) for image in tiles]),
        "image_sizes": torch.tensor([(height, width) for width, height in sizes]),
        "num_tiles": torch.tensor([len(image) for image in tiles]),
    }


def write_placeholders(model, input_ids: list[int], images: dict[str, torch.Tensor]) -> list[int]:
    """A public prompt, with the image token once for each packed feature."""
    lengths, token = [], model.config.image_token_id
    if "pixel_values" in images:
        lengths = [len(features) for features in model.get_image_features(**images).pooler_output]
    if "pixel_values_videos" in images:
        lengths = [len(features) for features in model.model.get_video_features(**images).pooler_output]
        token = model.config.video_token_id
    counts = iter(lengths)
    return [one for id_ in input_ids for one in ([token] * next(counts) if id_ == IMAGE else [id_])]


def options_of(case: dict) -> dict:
    """The options of a case under our names."""
    settings = case["settings"]
    options = {name: settings[name] for name in ("steps", "block_length", "cfg_scale")}
    options |= {"max_new_tokens": settings["gen_length"], "suppress_tokens": [EOS, BOS, START_HEADER, END_HEADER]}
    if "prefix_refresh_interval" in settings:
        options |= {"block_cache": "prefix", "cache_refresh_interval": settings["prefix_refresh_interval"]}
    if "threshold" in settings:
        options |= {"confidence_factor": float(settings["threshold"]), "steps": None}
    if "stopping_criteria" in settings:
        stops = [int(stop) for stop in settings["stopping_criteria"] if "," not in stop]
        return options | {"eos_token_id": stops, "skip_after_eos": True}
    return options | {"stop_at_eos": False}


def answer_to(model, processor, messages, **options):
    """The answer of `generate` to messages, and the number of tokens of the prompt."""
    inputs = processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    length = inputs["input_ids"].shape[1]
    tokens = model.generate(**inputs, **options)
    return processor.decode(tokens[0, length:], skip_special_tokens=True), length
