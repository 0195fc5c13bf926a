# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The public layout of LLaDA-V: the names of its tensors, and the facts that its config.json leaves out.

Its code (a fork of LLaVA-NeXT) has the sizes of the vision tower and the special tokens as constants. Here they come from
files beside config.json: an optional vision_config.json, the tensors, and the tokenizer.
"""

import json
import re
from pathlib import Path
from typing import Any

from safetensors import safe_open
from tokenizers import Tokenizer
from transformers.core_model_loading import WeightRenaming
from transformers.utils import cached_file


BACKBONE_RENAMINGS = [
    WeightRenaming(r"vision_tower\.vision_tower\.vision_model\.", r"vision_tower\."),
    WeightRenaming(r"mm_projector\.0\.", r"multi_modal_projector\.linear_1\."),
    WeightRenaming(r"mm_projector\.2\.", r"multi_modal_projector\.linear_2\."),
]

# Rows of the embedding, and entries of the tokenizer. The public loader cuts off the rows that are no entry.
PUBLIC_VOCABULARY = {"rows": 126464, "entries": 126349}
PUBLIC_TOKENS = {
    "<|startoftext|>": 126080,
    "<|endoftext|>": 126081,
    "<|mdm_mask|>": 126336,
    "<|start_header_id|>": 126346,
    "<|end_header_id|>": 126347,
    "<|eot_id|>": 126348,
}
TOKEN_FIELDS = {
    "bos_token_id": "<|startoftext|>",
    "eos_token_id": "<|endoftext|>",
    "pad_token_id": "<|endoftext|>",
    "mask_token_id": "<|mdm_mask|>",
    "eot_token_id": "<|eot_id|>",
}
# The public sampler rules these out always, since its training never made a model end by EOS.
SUPPRESSED_TOKENS = ("<|endoftext|>", "<|startoftext|>", "<|start_header_id|>", "<|end_header_id|>")
TOWER = "model.vision_tower.vision_tower.vision_model."
# SigLIP 2, so400m, and the fields that tell another tower.
PUBLIC_TOWER = {"width": 1152, "layers": 27}
VISION_SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "image_size",
    "patch_size",
)


def rename_public_keys(state_dict: dict, prefix: str) -> None:
    """Renames the public keys of the tower and the projector below a prefix, in place; `from_pretrained` does it for files."""
    for key in [key for key in state_dict if key.startswith((prefix + "vision_tower.", prefix + "mm_projector."))]:
        name = key.removeprefix(prefix)
        for renaming in BACKBONE_RENAMINGS:
            name, _ = renaming.rename_source_key(name)
        state_dict[prefix + name] = state_dict.pop(key)


def is_public_config(config_dict: dict) -> bool:
    """Whether a config.json is one of the public code."""
    return "mm_vision_tower" in config_dict and "vision_config" not in config_dict


def read_public_folder(config_dict: dict, folder: str | None, options: dict) -> dict:
    """
    Completes a public config.json with what its code has as constants.

    Args:
        config_dict (`dict`):
            The content of config.json.
        folder (`str`, *optional*):
            The folder or Hub id that it is from.
        options (`dict`):
            Options of the download, among other things.

    Raises:
        `ValueError`: if the projector, the merging of tiles, or the vision tower is another one.
    """
    check_public_fields(config_dict)
    files = PublicFiles(folder, options)
    fields = dict(config_dict)
    fields["architectures"] = ["LLaDAVForConditionalGeneration"]
    fields["vision_config"] = read_vision_config(files)
    tile = fields["vision_config"].get("image_size", 384)
    fields["image_grid_pinpoints"] = read_pinpoints(config_dict.get("image_grid_pinpoints"), tile)
    ratio = config_dict.get("image_aspect_ratio")
    fields["vision_aspect_ratio"] = ratio if str(ratio).startswith("anyres") else "anyres_max_4"
    fields["patch_merge_type"] = config_dict.get("mm_patch_merge_type") or "flat"

    tokens, entries = files.read_tokens(config_dict["vocab_size"])
    fields["official_bos_token_id"] = fields.pop("bos_token_id", None)  # a token of another vocabulary
    fields |= {name: tokens[token] for name, token in TOKEN_FIELDS.items() if token in tokens}
    fields["suppressed_token_ids"] = sorted(tokens[token] for token in SUPPRESSED_TOKENS if token in tokens)
    return fields | count_entries(tokens, entries, config_dict["vocab_size"])


def check_public_fields(config_dict: dict) -> None:
    """Refuses variants of LLaVA that LLaDA-V does not have."""
    supported = {
        "mm_projector_type": ("mlp2x_gelu",),
        "mm_patch_merge_type": ("spatial_unpad", "flat", None),
        "mm_resampler_type": (None,),
        "mm_vision_select_feature": ("patch", None),
        "mm_vision_select_layer": (-2, None),
        "mm_use_im_start_end": (False, None),
        "mm_newline_position": ("grid", None),
    }
    for name, values in supported.items():
        if config_dict.get(name) not in values:
            raise ValueError(
                f"`{name}` must be {values[0]!r}, as in the LLaDA-V checkpoints, but got {config_dict[name]!r}, which is not "
                "implemented. Load this checkpoint with the code that it was trained with."
            )


def read_pinpoints(pinpoints: Any, tile: int) -> list[list[int]] | None:
    """The grid of a public config as (height, width); there it is (width, height), or a range such as `(1x1),...,(6x6)`."""
    if isinstance(pinpoints, str):
        numbers = [int(number) for number in re.findall(r"\d+", pinpoints)]
        columns, rows = range(numbers[0], numbers[-2] + 1), range(numbers[1], numbers[-1] + 1)
        return [[tile * row, tile * column] for column in columns for row in rows]
    return None if pinpoints is None else [[height, width] for width, height in pinpoints]


def read_vision_config(files: "PublicFiles") -> dict:
    """The vision tower: vision_config.json, or else what its tensors say, or else the published sizes, `{}`."""
    fields = files.read_json("vision_config.json")
    if fields is not None:
        return without_last_layer(fields, files)
    shapes = files.read_shapes(TOWER)
    if not shapes:
        return {}
    width, channels, patch, _ = shapes["embeddings.patch_embedding.weight"]
    if width != PUBLIC_TOWER["width"]:
        raise ValueError(
            f"the vision tower of {files.folder} has a width of {width}, and no tensor tells its number of heads. Put a "
            "vision_config.json, that of the SigLIP tower, beside config.json."
        )
    side = round(shapes["embeddings.position_embedding.weight"][0] ** 0.5)
    layers = {int(name.split(".")[2]) for name in shapes if name.startswith("encoder.layers.")}
    return {
        "hidden_size": width,
        "num_channels": channels,
        "patch_size": patch,
        "image_size": 384 if (side, patch) == (27, 14) else side * patch,  # 384 pixels are 27.4 patches
        # A file may still have the last layer of the published tower, which LLaDA-V drops.
        "num_hidden_layers": len(layers) - (len(layers) == PUBLIC_TOWER["layers"]),
        "intermediate_size": shapes["encoder.layers.0.mlp.fc1.weight"][0],
    }


def without_last_layer(fields: dict, files: "PublicFiles") -> dict:
    """The checked fields of a vision_config.json, which counts the last layer. A config.json of SigLIP has them nested."""
    fields = dict(fields.get("vision_config") or fields)
    path = f"vision_config.json of {files.folder}"
    kind = fields.get("model_type", "siglip_vision_model")
    if kind != "siglip_vision_model":
        raise ValueError(
            f"`model_type` in the {path} must be 'siglip_vision_model', but got {kind!r}, which is another network."
        )
    missing = [name for name in VISION_SIZES if not isinstance(fields.get(name), int)]
    if missing:
        raise ValueError(f"the {path} lacks {', '.join(missing)}. Take that of the SigLIP tower.")
    for name in ("dtype", "torch_dtype"):  # that of the whole model counts
        fields.pop(name, None)
    return fields | {"num_hidden_layers": fields["num_hidden_layers"] - 1}


def count_entries(tokens: dict[str, int], entries: int, rows: int) -> dict[str, int]:
    """The fields that depend on the number of entries of the tokenizer, which may have the placeholders of a processor."""
    fields = {"image_token_id": tokens.get("<image>", entries)}
    return fields | {"tokenizer_vocab_size": entries} if entries < rows else fields


class PublicFiles:
    """The files of a public folder or Hub id; all of them may be missing."""

    def __init__(self, folder: str | None, options: dict) -> None:
        names = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")
        self.folder = folder
        self.options = {name: options[name] for name in names if options.get(name) is not None}

    def find(self, name: str) -> Path | None:
        if not self.folder:
            return None
        path = cached_file(
            self.folder,
            name,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
            **self.options,
        )
        return None if path is None else Path(path)

    def read_json(self, name: str) -> dict | None:
        path = self.find(name)
        return None if path is None else json.loads(path.read_text(encoding="utf-8"))

    def read_tokens(self, rows: int) -> tuple[dict[str, int], int]:
        """The ids of the special tokens and of a placeholder, and the number of entries of the tokenizer."""
        if rows == PUBLIC_VOCABULARY["rows"]:
            return PUBLIC_TOKENS, PUBLIC_VOCABULARY["entries"]
        path = self.find("tokenizer.json")
        if path is None:
            return {}, rows
        tokenizer = Tokenizer.from_file(str(path))
        ids = {token: tokenizer.token_to_id(token) for token in (*PUBLIC_TOKENS, "<image>")}
        return {token: id_ for token, id_ in ids.items() if id_ is not None}, tokenizer.get_vocab_size()

    def read_shapes(self, prefix: str) -> dict[str, list[int]]:
        """The shapes of the tensors below a prefix, from the headers of local safetensors files."""
        folder = Path(self.folder or "")
        shapes = {}
        for path in sorted(folder.glob("model*.safetensors")) if self.folder and folder.is_dir() else []:
            with safe_open(path, "pt") as tensors:
                names = [name for name in tensors.keys() if name.startswith(prefix)]  # noqa: SIM118
                shapes |= {name.removeprefix(prefix): tensors.get_slice(name).get_shape() for name in names}
        return shapes


__all__ = ["BACKBONE_RENAMINGS"]
