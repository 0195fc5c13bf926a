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
"""The processor of LLaDA-V: text, images and videos to what the model takes."""

import inspect
from collections.abc import Iterator
from typing import Any

from transformers import AddedToken, AutoTokenizer, BatchFeature, PreTrainedTokenizerBase
from transformers.processing_utils import ProcessorMixin
from transformers.tokenization_utils_base import VERY_LARGE_INTEGER

from .configuration_llada_v import LLaDAVConfig, check_merge_type, read_max_tiles
from .conversion_llada_v import PublicFiles
from .image_processing_llada_v import LLaDAVImageProcessor
from .image_reading_llada_v import is_empty, nesting_of
from .images_llada_v import num_image_features, num_video_features


PUBLIC_SYSTEM_PROMPT = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user provides, "
    "and assist the user with a variety of tasks using natural language."
)
# The variable `system_prompt` is that of a chat without a system message; '' leaves the message out.
CHAT_TEMPLATE = r"""
{#- The chat format of LLaDA with images. Of neighbors, images have a space between them; an image and a text a line break, unless the text has white space there. -#}
{%- macro text_of(content) -%}
    {%- if content is string -%}
        {{- content -}}
    {%- else -%}
        {%- set last = namespace(text='\n', is_image=false) -%}
        {%- for part in content -%}
            {%- if part['type'] in ('image', 'image_url', 'video') -%}
                {{- ' ' if last.is_image else ('' if last.text[-1].isspace() else '\n') -}}
                {{- '<video>' if part['type'] == 'video' else '<image>' -}}
                {%- set last.is_image = true -%}
            {%- elif part['type'] != 'text' -%}
                {{- raise_exception('a part of a message must be of the type "text", "image" or "video", but got "' + part['type'] + '"') -}}
            {%- elif part['text'] -%}
                {{- '\n' if last.is_image and not part['text'][0].isspace() -}}
                {{- part['text'] -}}
                {%- set last.text = part['text'] -%}
                {%- set last.is_image = false -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{%- set opening = system_prompt | default(DEFAULT_SYSTEM_PROMPT) -%}
{{- bos_token -}}
{%- if opening and messages[0]['role'] != 'system' -%}
    {{- '<|start_header_id|>system<|end_header_id|>\n\n' + opening + '<|eot_id|>' -}}
{%- endif -%}
{%- for message in messages -%}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' -}}
    {%- if message['role'] == 'assistant' -%}
        {%- generation -%}
        {{- text_of(message['content']) | trim + '<|eot_id|>' -}}
        {%- endgeneration -%}
    {%- else -%}
        {{- text_of(message['content']) | trim + '<|eot_id|>' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}
{%- endif -%}
""".strip()
# What padding is, in each list that a tokenizer returns for a row. All else is 0.
FILLING = {"offset_mapping": (0, 0), "special_tokens_mask": 1}


class LLaDAVProcessor(ProcessorMixin):
    """
    Prepares text, images and videos for LLaDA-V: an image processor and a tokenizer with the tokens `<image>` and `<video>`,
    which are added if they are missing. In `input_ids`, each of them stands once for each feature of its image or video.

    Args:
        image_processor (`LLaDAVImageProcessor`):
            Makes images and frames into tiles.
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer of the language model.
        chat_template (`str`, *optional*):
            By default the format of LLaDA, without a system prompt of its own.
        patch_size (`int`, *optional*, defaults to 14):
            The patches of the vision tower, in pixels.
        vision_aspect_ratio (`str`, *optional*, defaults to `"anyres_max_4"`):
            As in [`LLaDAVConfig`].
        patch_merge_type (`str`, *optional*, defaults to `"spatial_unpad"`):
            As in [`LLaDAVConfig`].
        drop_token_after_images (`bool`, *optional*, defaults to `False`):
            Whether prompts are as the inference of the public LLaDA-V code makes them: in a prompt that starts with BOS, the
            token after each image is left out, usually the line break. In its training the token is there, and so it is here
            by default.

    Raises:
        `ValueError`: if an option is unknown.

    Example:

    ```python
    >>> processor = LLaDAVProcessor.from_pretrained("GSAI-ML/LLaDA-V")
    >>> content = [{"type": "image", "image": "photo.jpg"}, {"type": "text", "text": "What is in the picture?"}]
    >>> inputs = processor.apply_chat_template(
    ...     [{"role": "user", "content": content}],
    ...     add_generation_prompt=True,
    ...     tokenize=True,
    ...     return_dict=True,
    ...     return_tensors="pt",
    ... )
    >>> answer = model.generate(**inputs, max_new_tokens=32, steps=16)
    ```
    """

    image_token = "<image>"
    video_token = "<video>"

    def __init__(
        self,
        image_processor: LLaDAVImageProcessor | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        chat_template: str | None = None,
        patch_size: int = 14,
        vision_aspect_ratio: str = "anyres_max_4",
        patch_merge_type: str = "spatial_unpad",
        drop_token_after_images: bool = False,
    ):
        super().__init__(image_processor, tokenizer, chat_template=chat_template or write_chat_template())
        read_max_tiles("vision_aspect_ratio", vision_aspect_ratio)
        check_merge_type("patch_merge_type", patch_merge_type)
        self.patch_size = patch_size
        self.vision_aspect_ratio = vision_aspect_ratio
        self.patch_merge_type = patch_merge_type
        self.drop_token_after_images = drop_token_after_images
        tokens = (self.image_token, self.video_token)
        missing = [token for token in tokens if token not in tokenizer.get_vocab()]
        tokenizer.add_tokens([AddedToken(token, normalized=False, special=True) for token in missing])
        self.image_token_id, self.video_token_id = tokenizer.convert_tokens_to_ids(tokens)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str, **kwargs: Any) -> "LLaDAVProcessor":
        """
        Loads a processor. A folder without files of a processor, such as the public one, has all that is needed in its
        config.json and its tokenizer.

        Args:
            pretrained_model_name_or_path (`str`):
                A folder or a Hub id.
            kwargs (*optional*):
                Options of the download, and arguments of this class that replace saved ones.

        Returns:
            `LLaDAVProcessor`: The processor. One that is made from config.json pads on the left, and that of a public folder
            has the public system prompt for chats without one.

        Raises:
            `ValueError`: if the tokenizer does not give the image token the id that it has in config.json.
        """
        files = PublicFiles(str(pretrained_model_name_or_path), kwargs)
        if files.find("processor_config.json") or files.find("preprocessor_config.json"):
            return super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        config = LLaDAVConfig.from_pretrained(pretrained_model_name_or_path, **files.options)
        allowed = {name: kwargs[name] for name in ("trust_remote_code",) if name in kwargs}
        tokenizer = AutoTokenizer.from_pretrained(pretrained_model_name_or_path, **files.options, **allowed)
        options = {name: kwargs[name] for name in inspect.signature(cls.__init__).parameters if name in kwargs}
        processor = cls.from_config(config, tokenizer, **options)
        tokenizer.padding_side = "left"
        return processor

    def save_pretrained(self, save_directory: str, **kwargs: Any) -> list[str]:
        """
        Saves the processor.

        Args:
            save_directory (`str`):
                The folder.
            kwargs (*optional*):
                As in transformers: `push_to_hub` and options of the upload.

        Returns:
            `list[str]`: The files.
        """
        # A tokenizer saves only what its files named when it was loaded.
        self.tokenizer.init_kwargs["padding_side"] = self.tokenizer.padding_side
        return super().save_pretrained(save_directory, **kwargs)

    @classmethod
    def _get_arguments_from_pretrained(cls, pretrained_model_name_or_path: str, processor_dict: dict, **kwargs: Any):
        """The parts of a saved processor. Older releases of transformers need torchvision to find the image processor."""
        tokenizer = AutoTokenizer.from_pretrained(pretrained_model_name_or_path, **kwargs)
        kwargs.pop("trust_remote_code", None)
        return [LLaDAVImageProcessor.from_pretrained(pretrained_model_name_or_path, **kwargs), tokenizer]

    @classmethod
    def from_config(cls, config: LLaDAVConfig, tokenizer: PreTrainedTokenizerBase, **kwargs: Any) -> "LLaDAVProcessor":
        """
        Makes the processor of a model.

        Args:
            config (`LLaDAVConfig`):
                The configuration of the model.
            tokenizer (`PreTrainedTokenizerBase`):
                Its tokenizer.
            kwargs (*optional*):
                Arguments of this class that replace those from the configuration.

        Raises:
            `ValueError`: if the tokenizer does not give the image token the id that it has in the configuration.
        """
        vision = config.vision_config
        mode = getattr(config, "image_aspect_ratio", None)  # of the public config.json: "square" in stage 1
        options = {
            "image_processor": LLaDAVImageProcessor(
                size={"height": vision.image_size, "width": vision.image_size},
                image_grid_pinpoints=[list(pair) for pair in config.image_grid_pinpoints],
                image_aspect_ratio=mode if mode in ("pad", "square") else None,
            ),
            "patch_size": vision.patch_size,
            "vision_aspect_ratio": config.vision_aspect_ratio,
            "patch_merge_type": config.patch_merge_type,
        }
        own = tokenizer.chat_template
        if isinstance(own, str) and cls.image_token in own:  # an exported folder in the public layout keeps it there
            options["chat_template"] = own
        elif hasattr(config, "mm_vision_tower"):
            options["chat_template"] = write_chat_template(PUBLIC_SYSTEM_PROMPT)
        num_entries = len(tokenizer)
        processor = cls(tokenizer=tokenizer, **options | kwargs)
        ids = processor.image_token_id, processor.video_token_id
        if ids != config.placeholder_token_ids:
            raise ValueError(
                f"`tokenizer` gives the tokens of images and videos the ids {ids}, but they are "
                f"{config.placeholder_token_ids} in the config: it "
                f"has {num_entries} entries. Pass the tokenizer that the model was trained with."
            )
        return processor

    def __call__(
        self,
        images: Any = None,
        text: str | list[str] | None = None,
        videos: Any = None,
        audio: None = None,
        drop_token_after_images: bool | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """
        Prepares prompts with their images and videos.

        Args:
            images (an image, a `list` of them, or a `list` of `list`s of them, *optional*):
                For each `<image>` in the text one image, in order: a path, URL, PIL image, array or tensor (see `read_image`).
                A list of lists has one list for each text.
            text (`str` or `list[str]`):
                The prompts, with `<image>` and `<video>` where images and videos are.
            videos (a `list` of frames, of such lists, or of lists of them, *optional*):
                The same for each `<video>`. A video is a list of images or an array with one more dimension.
            drop_token_after_images (`bool`, *optional*):
                As of the class, for this call.
            kwargs (*optional*):
                Options of the tokenizer (`padding`, `truncation`, `max_length`, ...), of the image processor
                (`image_aspect_ratio`, ...), and `return_tensors`. Without `padding`, rows are padded if tensors are asked for.

        Returns:
            `BatchFeature` with `input_ids` and `attention_mask`; `pixel_values`, `image_sizes` and `num_tiles` if there are
            images; `pixel_values_videos` and `num_frames` if there are videos.

        Raises:
            `ValueError`: if there are not as many images as image tokens in a row, an image cannot be read, or truncation
            would cut one off.

        Example:

        ```python
        >>> inputs = processor(text="<image>\\nWhat is it?", images="photo.jpg", return_tensors="pt")
        ```
        """
        if audio is not None:
            raise ValueError("`audio` must be left out: LLaDA-V has images and videos.")
        texts = [text] if isinstance(text, str) else text
        if not isinstance(texts, (list, tuple)) or not texts or not all(isinstance(one, str) for one in texts):
            raise ValueError(
                f"`text` must be a prompt or a list of prompts, with `{self.image_token}` for each image, but got {text!r}. For "
                "pixels alone call `processor.image_processor`."
            )
        if drop_token_after_images is None:
            drop_token_after_images = self.drop_token_after_images
        options = self._merge_kwargs(
            self.valid_processor_kwargs, tokenizer_init_kwargs=self.tokenizer.init_kwargs, **kwargs
        )
        text_options, image_options = options["text_kwargs"], options["images_kwargs"]
        return_tensors = text_options.pop("return_tensors", None)
        image_options["return_tensors"] = return_tensors

        rows = self._tokenize(list(texts), text_options)
        image_rows = self._sort_into_rows("image", images, rows)
        video_rows = self._sort_into_rows("video", videos, rows)
        data, lengths = {}, {self.image_token_id: iter(()), self.video_token_id: iter(())}
        if any(image_rows):
            data |= self.image_processor(image_rows, **image_options)
            lengths[self.image_token_id] = self._count_image_features(data)
        if any(video_rows):
            frames = [list(video) for row in video_rows for video in row]
            data |= self.image_processor.preprocess_videos(frames, **image_options)
            lengths[self.video_token_id] = self._count_video_features(data)
        rows = [self._repeat_placeholders(row, lengths, drop_token_after_images) for row in rows]
        rows = self._pad(self._truncate(rows, text_options), text_options, return_tensors)
        return BatchFeature({name: [row[name] for row in rows] for name in rows[0]} | data, tensor_type=return_tensors)

    def repeat_image_tokens(
        self, rows: list[list[int]], image_sizes: list[tuple[int, int]], num_tiles: list[int]
    ) -> list[list[int]]:
        """
        Prompts that are token ids already, in which each image is one token, with that token once for each feature. The
        images are those of all rows, as the image processor returns them.
        """
        lengths = self._count_image_features({"image_sizes": image_sizes, "num_tiles": num_tiles})
        return [
            self._repeat_placeholders(
                {"input_ids": row}, {self.image_token_id: lengths}, self.drop_token_after_images
            )["input_ids"]
            for row in rows
        ]

    @property
    def model_input_names(self) -> list[str]:
        return [*super().model_input_names, "pixel_values_videos", "num_frames"]

    def _tokenize(self, texts: list[str], options: dict[str, Any]) -> list[dict[str, list]]:
        """What the tokenizer returns for each text, not padded and not cut. Each image is one token."""
        own = ("padding", "truncation", "max_length", "pad_to_multiple_of", "padding_side", "stride")
        # The spans of characters stay those of the text that was given.
        unused = ("return_text_replacement_offsets", "return_mm_token_type_ids")
        for name in ("return_length", "return_overflowing_tokens"):
            if options.get(name):
                raise ValueError(
                    f"`{name}` must be left out: `input_ids` say how long a row is, and rows are not split."
                )
        options = {name: value for name, value in options.items() if name not in (*own, *unused)}
        encoding = self.tokenizer(texts, **{"return_token_type_ids": False} | options)
        return [{name: encoding[name][row] for name in encoding} for row in range(len(texts))]

    def _sort_into_rows(self, kind: str, items: Any, rows: list[dict[str, list]]) -> list[list]:
        """The images (or videos) of each row, as many as it has tokens."""
        token, token_id = getattr(self, f"{kind}_token"), getattr(self, f"{kind}_token_id")
        counts = [row["input_ids"].count(token_id) for row in rows]
        items, of_one = None if is_empty(items) else items, int(kind == "video")  # a video is a list itself
        depth = 0 if items is None else nesting_of(items) - of_one
        if depth not in (0, 1, 2):
            raise ValueError(
                f"`videos` must be lists of frames, or lists of such lists, but got {type(items).__name__}."
            )
        way_out = (
            f"Write `{token}` once for each {kind}, or pass parts of the type '{kind}' to `apply_chat_template`; there, "
            "`sanitize_control_tokens=True` makes a token that a user typed plain text."
        )
        if depth == 2:
            if len(items) != len(rows):
                raise ValueError(
                    f"`{kind}s` must be one list for each of {len(rows)} texts, but got {len(items)} lists."
                )
            items = [list(row) if is_empty(row) or nesting_of(row) > of_one else [row] for row in items]
            wrong = [row for row, (one, count) in enumerate(zip(items, counts, strict=True)) if len(one) != count]
            if wrong:
                raise ValueError(
                    f"`text` {wrong[0]} has {counts[wrong[0]]} `{token}` tokens, but {len(items[wrong[0]])} {kind}s were "
                    f"passed for it. {way_out}"
                )
            return items
        flat = [] if items is None else [items] if depth == 0 else list(items)
        if len(flat) != sum(counts):
            raise ValueError(
                f"`text` has {sum(counts)} `{token}` tokens, but {len(flat)} {kind}s were passed. {way_out}"
            )
        flat = iter(flat)
        return [[next(flat) for _ in range(count)] for count in counts]

    def _count_image_features(self, data: dict[str, Any]) -> Iterator[int]:
        tile_size = self.image_processor.size["height"]
        for size, num_tiles in zip(data["image_sizes"], data["num_tiles"], strict=True):
            yield num_image_features(
                size,
                int(num_tiles),
                tile_size // self.patch_size,
                self.image_processor.image_grid_pinpoints,
                tile_size,
                read_max_tiles("vision_aspect_ratio", self.vision_aspect_ratio),
                self.patch_merge_type,
            )

    def _count_video_features(self, data: dict[str, Any]) -> Iterator[int]:
        side = self.image_processor.size["height"] // self.patch_size
        for num_frames in data["num_frames"]:
            yield num_video_features(int(num_frames), side, self.patch_merge_type)

    def _repeat_placeholders(
        self, row: dict[str, list], lengths: dict[int, Iterator[int]], drop_token_after: bool
    ) -> dict[str, list]:
        """The row with each placeholder once for each feature."""
        ids = row["input_ids"]
        drop_token_after = drop_token_after and ids[:1] == [self.tokenizer.bos_token_id]
        sources = []
        for position, token in enumerate(ids):
            if token in lengths:
                sources += [position] * next(lengths[token])
            elif not (drop_token_after and position and ids[position - 1] in lengths):
                sources.append(position)
        return {name: [values[source] for source in sources] for name, values in row.items()}

    def _truncate(self, rows: list[dict[str, list]], options: dict[str, Any]) -> list[dict[str, list]]:
        """Cuts rows to `max_length` as a tokenizer does, but never through or behind an image."""
        truncation, max_length = options.get("truncation"), options.get("max_length")
        if truncation is None:
            # As transformers does it: a length is a request to cut, unless it is one to pad.
            truncation = max_length is not None and options.get("padding") != "max_length"
        if truncation in (False, "do_not_truncate"):
            return rows
        max_length = self.tokenizer.model_max_length if max_length is None else max_length
        is_left = self.tokenizer.truncation_side == "left"
        placeholders = (self.image_token_id, self.video_token_id)
        cut_rows = []
        for row in rows:
            length = len(row["input_ids"])
            kept = slice(max(length - max_length, 0), None) if is_left else slice(0, min(length, max_length))
            cut = {name: values[kept] for name, values in row.items()}
            if any(row["input_ids"].count(token) != cut["input_ids"].count(token) for token in placeholders):
                raise ValueError(
                    f"`max_length` of {max_length} tokens cuts off an image or a part of one: the prompt has {length} tokens. "
                    "Raise it, shorten the text, or choose `image_aspect_ratio='pad'`, which takes fewer tokens."
                )
            cut_rows.append(cut)
        return cut_rows

    def _pad(
        self, rows: list[dict[str, list]], options: dict[str, Any], return_tensors: str | None
    ) -> list[dict[str, list]]:
        """Pads rows as a tokenizer does, with the spans of characters too."""
        padding = options.get("padding")
        padding = return_tensors is not None if padding is None else padding
        if padding in (False, "do_not_pad"):
            return rows
        lengths = [len(row["input_ids"]) for row in rows]
        width = max(lengths)
        if padding == "max_length":
            max_length = options.get("max_length")
            max_length = self.tokenizer.model_max_length if max_length is None else max_length
            if max_length >= VERY_LARGE_INTEGER:
                raise ValueError("`padding='max_length'` needs a `max_length`, since the tokenizer has none.")
            width = max(width, max_length)
        multiple = options.get("pad_to_multiple_of") or 1
        width = -(-width // multiple) * multiple
        if min(lengths) == width:
            return rows
        is_left = (options.get("padding_side") or self.tokenizer.padding_side) == "left"
        pad_token_id = self.tokenizer.pad_token_id
        if pad_token_id is None:
            raise ValueError("`padding` needs a tokenizer with a pad token. Set `processor.tokenizer.pad_token`.")
        filling = FILLING | {"input_ids": pad_token_id}
        padded_rows = []
        for row in rows:
            padded = {}
            for name, values in row.items():
                fill = [filling.get(name, 0)] * (width - len(values))
                padded[name] = [*fill, *values] if is_left else [*values, *fill]
            padded_rows.append(padded)
        return padded_rows


def write_chat_template(default_system_prompt: str = "") -> str:
    """The chat template, with the system prompt of chats that have none."""
    quoted = "'" + default_system_prompt.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return CHAT_TEMPLATE.replace("DEFAULT_SYSTEM_PROMPT", quoted)


__all__ = ["LLaDAVProcessor"]


LLaDAVProcessor.register_for_auto_class()
