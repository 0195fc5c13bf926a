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
"""LLaDA-V model configuration."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import SiglipVisionConfig
from transformers.configuration_utils import PreTrainedConfig

from .configuration_llada import LLaDAConfig
from .conversion_llada_v import PUBLIC_VOCABULARY, is_public_config, read_public_folder
from .options_llada import SPECIAL_TOKENS, check_integer


PATCH_MERGE_TYPES = ("spatial_unpad", "flat")
# The tower of the public checkpoints: SigLIP 2, so400m, patch 14, 384 pixels, without its last layer and its head.
PUBLIC_VISION_SIZES = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 26,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 14,
}


def read_max_tiles(name: str, value: Any) -> int | None:
    """The number of tiles in `"anyres_max_N"`; `None` for `"anyres"`."""
    limit = value.removeprefix("anyres_max_") if isinstance(value, str) else ""
    is_number = limit != value and limit.isascii() and limit.isdecimal() and int(limit) > 0
    if value != "anyres" and not is_number:
        raise ValueError(
            f"`{name}` must be 'anyres' or 'anyres_max_N', where N tiles are as many features as an image may have, but got "
            f"{value!r}. The public checkpoints have 'anyres_max_4'."
        )
    return int(limit) if is_number else None


def check_merge_type(name: str, value: Any) -> None:
    if value not in PATCH_MERGE_TYPES:
        raise ValueError(f"`{name}` must be one of {', '.join(PATCH_MERGE_TYPES)}, but got {value!r}.")


def check_pinpoints(name: str, value: Any) -> None:
    is_list = isinstance(value, (list, tuple)) and len(value) > 0
    if not is_list or not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in value):
        raise ValueError(f"`{name}` must be a list of pairs (height, width) in pixels, but got {value!r}.")
    for side in (side for pair in value for side in pair):
        check_integer(name, side, minimum=1)


def check_vision_config(name: str, value: Any) -> None:
    kind = value.get("model_type") if isinstance(value, dict) else getattr(value, "model_type", type(value).__name__)
    if kind not in (SiglipVisionConfig.model_type, None):
        raise ValueError(
            f"`{name}` must be a `SiglipVisionConfig`, or a dict of its fields, but got one of the type {kind!r}. Of a "
            "`SiglipConfig` take its `vision_config`."
        )


FIELD_CHECKS: dict[str, Callable[[str, Any], None]] = LLaDAConfig.field_checks | {
    "vision_config": check_vision_config,
    "image_token_id": partial(check_integer, minimum=0),
    "video_token_id": partial(check_integer, minimum=0),
    "vision_aspect_ratio": read_max_tiles,
    "patch_merge_type": check_merge_type,
    "image_grid_pinpoints": check_pinpoints,
}


@strict
class LLaDAVConfig(LLaDAConfig):
    r"""
    The configuration of a [`LLaDAVForConditionalGeneration`]: all fields of a [`LLaDAConfig`], and those of the images.

    A public config.json, which has no sizes of the vision tower and no special tokens, is understood too. Then the sizes come
    from a vision_config.json beside it or from the tensors, and the tokens from the tokenizer.

    Args:
        vision_config (`SiglipVisionConfig` or `dict`, *optional*):
            The vision tower, of SigLIP's architecture. By default that of the public checkpoints: 26 layers and no head.
        image_token_id (`int`, *optional*):
            The placeholder in `input_ids`, once for each feature of an image. It is never generated, and never looked up in
            the embedding, so it may be the first id behind the table, which is the default. With the vocabulary of the
            public checkpoints it is 126349, their first unused row.
        video_token_id (`int`, *optional*):
            The same for the features of video frames. By default `image_token_id + 1`.
        vision_aspect_ratio (`str`, *optional*, defaults to `"anyres_max_4"`):
            `"anyres_max_N"`: the tiles of an image are resampled if they have more features than N tiles. `"anyres"`: never.
        image_grid_pinpoints (`list[list[int]]`, *optional*):
            The sizes (height, width) that an image may be resized to before it is cut into tiles. By default all grids of up
            to 6 times 6 tiles.
        patch_merge_type (`str`, *optional*, defaults to `"spatial_unpad"`):
            `"spatial_unpad"`: the padding of the tiles is cut off, and `image_newline` follows each row of features, or the
            features of an image with one tile. `"flat"`: an image is one tile and its features alone, as in stage 1.
        projector_hidden_act (`str`, *optional*, defaults to `"gelu"`):
            The activation between the two layers of the projector.

    Raises:
        `ValueError`: if a field has a value that it cannot have.

    Example:

    ```python
    >>> from modeling_llada import LLaDAVConfig, LLaDAVForConditionalGeneration

    >>> sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    >>> config = LLaDAVConfig(vocab_size=128, mask_token_id=127, eos_token_id=0, pad_token_id=0, **sizes,
    ...                       vision_config={**sizes, "image_size": 56, "patch_size": 14})
    >>> model = LLaDAVForConditionalGeneration(config)
    >>> config.image_token_id
    128
    ```
    """

    model_type = "llava_llada"
    own_architecture: ClassVar[str] = "LLaDAVForConditionalGeneration"
    field_checks: ClassVar[dict[str, Callable[[str, Any], None]]] = FIELD_CHECKS
    sub_configs: ClassVar[dict] = {"vision_config": SiglipVisionConfig}

    vision_config: dict | PreTrainedConfig | None = None
    image_token_id: int | None = None
    video_token_id: int | None = None
    vision_aspect_ratio: str = "anyres_max_4"
    image_grid_pinpoints: list | None = None
    patch_merge_type: str = "spatial_unpad"
    projector_hidden_act: str = "gelu"

    def __post_init__(self, **kwargs):
        sizes = self.vision_config
        if not isinstance(sizes, PreTrainedConfig) or getattr(sizes, "vision_use_head", True):
            sizes = sizes.to_dict() if isinstance(sizes, PreTrainedConfig) else PUBLIC_VISION_SIZES | (sizes or {})
            self.vision_config = SiglipVisionConfig(**sizes | {"vision_use_head": False})
        super().__post_init__(**kwargs)
        if self.image_token_id is None:
            is_public = self.vocab_size == PUBLIC_VOCABULARY["rows"]
            if is_public and self.tokenizer_vocab_size is None:
                self.tokenizer_vocab_size = PUBLIC_VOCABULARY["entries"]
            self.image_token_id = PUBLIC_VOCABULARY["entries"] if is_public else self.vocab_size
        if self.video_token_id is None:
            self.video_token_id = self.image_token_id + 1
        if self.image_grid_pinpoints is None:
            tile, counts = self.vision_config.image_size, range(1, 7)
            self.image_grid_pinpoints = [[tile * rows, tile * columns] for columns in counts for rows in counts]
        self.validate_placeholders()

    def validate_placeholders(self):
        """Part of `@strict`-powered validation. A placeholder stands for no text, and for one kind of pictures."""
        taken = {name: getattr(self, name) for name in (*SPECIAL_TOKENS, "video_token_id")}
        for placeholder in ("video_token_id", "image_token_id"):
            token_id = getattr(self, placeholder)
            for name, tokens in taken.items():
                if name != placeholder and token_id in (tokens if isinstance(tokens, list) else [tokens]):
                    raise ValueError(
                        f"`{placeholder}` must be a token of its own, but {token_id} is `{name}` too. Give another row that "
                        "stands for no text, or the first ids behind the embedding."
                    )

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs):
        """Reads a config.json; see [`PreTrainedConfig.from_dict`]. For a public one other files of its folder are read too."""
        if config_dict.get("model_type", cls.model_type) != cls.model_type:
            raise ValueError(
                f"`model_type` must be {cls.model_type!r}, but it is {config_dict['model_type']!r}: this checkpoint has no vision "
                "tower. Put one beside it with `LLaDAVForConditionalGeneration.from_parts`."
            )
        if is_public_config(config_dict):
            folder = kwargs.get("name_or_path", config_dict.get("_name_or_path"))
            options = {"revision": config_dict.get("_commit_hash"), **kwargs}
            config_dict = read_public_folder(config_dict, folder, options)
        if kwargs.get("dtype") == "auto":
            kwargs.pop("dtype")  # pipelines of transformers pass it on to the processor, which reads the config
        return super().from_dict(config_dict, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """Reads the config.json of a folder or a Hub id; see [`PreTrainedConfig.from_pretrained`]."""
        # `from_dict` is told nothing else of it.
        name = str(pretrained_model_name_or_path)
        kwargs.setdefault(
            "name_or_path", os.path.join(name, kwargs.get("subfolder") or "") if os.path.isdir(name) else name
        )
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    @classmethod
    def from_language_config(cls, config: LLaDAConfig, **fields) -> "LLaDAVConfig":
        """
        The configuration of a dense LLaDA that gets eyes: its own fields, and those of the images, such as `vision_config`.
        """
        if config.model_type != LLaDAConfig.model_type:
            raise ValueError(
                f"`config` must be that of a dense LLaDA, a `LLaDAConfig`, but got a `{type(config).__name__}`. LLaDA-V has no "
                "other language model."
            )
        own = config.to_dict()
        for name in ("architectures", "auto_map", "model_type", "transformers_version", "_name_or_path"):
            own.pop(name, None)
        return cls(**own | fields)

    @property
    def placeholder_token_ids(self) -> tuple[int, int]:
        """The ids that stand for features of images and videos. They are no text: never generated, and never scored."""
        return self.image_token_id, self.video_token_id

    @property
    def unused_token_ids(self) -> list[int]:
        """Rows of the embedding that stand for no text: placeholders, and rows behind the last entry of the tokenizer."""
        entries = self.vocab_size if self.tokenizer_vocab_size is None else self.tokenizer_vocab_size
        unused = {*range(entries, self.vocab_size), *self.placeholder_token_ids}
        return sorted(token for token in unused if token < self.vocab_size)

    @property
    def generation_defaults(self) -> dict[str, Any]:
        """How the public code generates from a folder of its own: up to EoT, never EOS."""
        suppressed = getattr(self, "suppressed_token_ids", None)  # only public folders have it
        if not suppressed or self.eot_token_id is None:
            return {}
        return {"eos_token_id": self.eot_token_id, "suppress_tokens": suppressed, "skip_after_eos": True}

    @property
    def num_input_ids(self) -> int:
        """The ids that `input_ids` may hold: the rows of the embedding, and placeholders behind it."""
        return max(self.vocab_size, *(token + 1 for token in self.placeholder_token_ids))

    @property
    def max_tiles(self) -> int | None:
        """The number of tiles whose features an image may have at most; `None` for no limit."""
        return read_max_tiles("vision_aspect_ratio", self.vision_aspect_ratio)

    def to_diff_dict(self) -> dict:
        """The content of config.json: canonical field names, as in the public files of LLaDA-V."""
        config_dict = self.without_neutral_fields(super(LLaDAConfig, self).to_diff_dict())
        # The library leaves out its own defaults, which can change.
        fields = ("tie_word_embeddings", "image_token_id", "video_token_id", "vision_aspect_ratio", "patch_merge_type")
        return config_dict | {name: getattr(self, name) for name in fields}


__all__ = ["LLaDAVConfig"]
