# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What the export of a LLaDA-V adds: its processor, or the files of the public layout."""

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from ..models.configuration_llada_v import PUBLIC_VISION_SIZES, LLaDAVConfig
from ..models.modeling_llada_v import LLaDAVForConditionalGeneration
from ..models.processing_llada_v import LLaDAVProcessor
from ..prompt_fields import find_file


PUBLIC_ARCHITECTURE = "LlavaLLaDAModelLM"
# Fields that the public code has as constants, or under another name.
OWN_FIELDS = (
    "auto_map",
    "bos_token_id",
    "dtype",
    "eot_token_id",
    "image_token_id",
    "mask_token_id",
    "official_bos_token_id",
    "pad_token_id",
    "patch_merge_type",
    "projector_hidden_act",
    "rope_parameters",
    "suppressed_token_ids",
    "tokenizer_vocab_size",
    "video_token_id",
    "vision_aspect_ratio",
    "vision_config",
)
# What the public code asks for, where a model does not come from it.
PUBLIC_FIELDS = {
    "add_faster_video": False,
    "add_time_instruction": False,
    "attention_bias": False,
    "faster_token_stride": 10,
    "force_sample": False,
    "image_crop_resolution": None,
    "image_split_resolution": None,
    "mm_newline_position": "grid",
    "mm_projector_type": "mlp2x_gelu",
    "mm_resampler_type": None,
    "mm_spatial_pool_mode": "bilinear",
    "mm_spatial_pool_stride": None,
    "mm_use_im_patch_token": False,
    "mm_use_im_start_end": False,
    "mm_vision_select_feature": "patch",
    "mm_vision_select_layer": -2,
    "mm_vision_tower": "google/siglip2-so400m-patch14-384",
    "rope_scaling": None,
    "tokenizer_model_max_length": 8192,
    "tokenizer_padding_side": "right",
    "use_mm_proj": True,
    "vision_tower_pretrained": None,
}


def load_processor(source: str, config: LLaDAVConfig, tokenizer: PreTrainedTokenizerBase) -> LLaDAVProcessor:
    """
    The processor of a checkpoint, or the one that its config and tokenizer make.

    Raises:
        `ValueError`: if it does not fit the model, or cannot be read.
    """
    try:
        if find_file(source, "processor_config.json") is None:
            processor = LLaDAVProcessor.from_config(config, tokenizer)
            tokenizer.padding_side = "left"
        else:
            processor = LLaDAVProcessor.from_pretrained(source)
    except (OSError, TypeError) as error:
        raise ValueError(f"`source={source!r}` has a processor that cannot be read: {error}") from error
    ours = {
        "image_token_id": processor.image_token_id,
        "video_token_id": processor.video_token_id,
        "vision_aspect_ratio": processor.vision_aspect_ratio,
        "patch_merge_type": processor.patch_merge_type,
    }
    for name, value in ours.items():
        if value != getattr(config, name):
            raise ValueError(
                f"`source={source!r}` has a processor with `{name}={value!r}`, but the model has {getattr(config, name)!r}. "
                "Remove processor_config.json, and one that fits is made."
            )
    tile, size = config.vision_config.image_size, processor.image_processor.size["height"]
    if size != tile:
        raise ValueError(
            f"`source={source!r}` has a processor that makes tiles of {size} pixels, but those of the model have {tile}. "
            "Remove processor_config.json, and one that fits is made."
        )
    return processor


def stored_tensors(model: LLaDAVForConditionalGeneration, layout: str) -> dict[str, Any]:
    """The tensors to save. The public layout of stage 1, where no rows end, has no `image_newline`."""
    tensors = model.state_dict()
    if layout == "official" and model.config.patch_merge_type == "flat":
        del tensors["model.image_newline"]
    return tensors


def make_public(folder: Path, config: LLaDAVConfig) -> list[str]:
    """
    Makes a saved folder one of the public code: a config.json with its fields, no code of ours, and no placeholders in the
    tokenizer. Returns notes for the user.
    """
    for path in folder.glob("*_llada*.py"):
        path.unlink()
    path = folder / "config.json"
    write_json(path, to_public_fields(json.loads(path.read_text(encoding="utf-8")), config))
    lift_bans(folder, config)
    remove_placeholders(folder, config)
    vision = config.vision_config
    if all(getattr(vision, name) == size for name, size in PUBLIC_VISION_SIZES.items()):
        return []
    # The last layer, which LLaDA-V drops, is counted there.
    fields = vision.to_diff_dict() | {name: getattr(vision, name) for name in PUBLIC_VISION_SIZES}
    for name in ("_name_or_path", "dtype", "transformers_version", "vision_use_head"):
        fields.pop(name, None)
    fields |= {"model_type": vision.model_type, "num_hidden_layers": vision.num_hidden_layers + 1}
    write_json(folder / "vision_config.json", fields)
    return ["vision_config.json: written, since the vision tower is not the published one"]


def lift_bans(folder: Path, config: LLaDAVConfig) -> None:
    """
    Writes down that a model may propose EOS. A public folder bans it by itself, where its generation_config.json does not
    say otherwise.
    """
    path = folder / "generation_config.json"
    if path.is_file():
        # The mask token is never proposed anyway. A list of tokens must not be empty.
        without = {"skip_after_eos": False, "suppress_tokens": [config.mask_token_id]}
        write_json(path, without | json.loads(path.read_text(encoding="utf-8")))


def to_public_fields(fields: dict[str, Any], config: LLaDAVConfig) -> dict[str, Any]:
    """The content of a public config.json, made of ours."""
    public = {name: value for name, value in fields.items() if name not in OWN_FIELDS}
    merge_type, ratio = config.patch_merge_type, public.get("image_aspect_ratio")
    if ratio is None or ratio.startswith("anyres"):
        ratio = config.vision_aspect_ratio
    public |= {
        "architectures": [PUBLIC_ARCHITECTURE],
        "bos_token_id": getattr(config, "official_bos_token_id", config.bos_token_id),
        "image_aspect_ratio": ratio,
        "image_grid_pinpoints": [[width, height] for height, width in config.image_grid_pinpoints],
        "mm_hidden_size": config.vision_config.hidden_size,
        "rope_theta": config.rope_parameters["rope_theta"],
        # The public code needs the field name of transformers 4. Version 5 reads both.
        "torch_dtype": fields["dtype"],
    }
    if (public.get("mm_patch_merge_type") or "flat") != merge_type:
        public["mm_patch_merge_type"] = merge_type
    return dict(sorted((PUBLIC_FIELDS | public).items()))


def remove_placeholders(folder: Path, config: LLaDAVConfig) -> None:
    """
    Removes the placeholders of a processor from the files of a tokenizer. The public one does not have them. Where tokens were
    added behind them they stay, since an entry that is missing would move those.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        return
    placeholders = {
        LLaDAVProcessor.image_token: config.image_token_id,
        LLaDAVProcessor.video_token: config.video_token_id,
    }
    fields = json.loads(path.read_text(encoding="utf-8"))
    if any(token["id"] > config.video_token_id for token in fields["added_tokens"]):
        placeholders = {}
    fields["added_tokens"] = [
        token for token in fields["added_tokens"] if placeholders.get(token["content"]) != token["id"]
    ]
    path.write_text(json.dumps(fields, indent=2, ensure_ascii=False), encoding="utf-8")
    path = folder / "tokenizer_config.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    for name in ("additional_special_tokens", "extra_special_tokens"):
        if isinstance(fields.get(name), list):
            fields[name] = [token for token in fields[name] if token not in placeholders]
    for token_id in placeholders.values():
        fields.get("added_tokens_decoder", {}).pop(str(token_id), None)
    for name in ("auto_map", "padding_side", "processor_class"):  # those of a processor
        fields.pop(name, None)
    write_json(path, fields)


def write_json(path: Path, fields: dict[str, Any]) -> None:
    path.write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
