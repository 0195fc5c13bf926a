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
"""PyTorch LLaDA-V model (https://huggingface.co/papers/2505.16933).

LLaDA with pictures: a SigLIP vision tower and a projector turn the tiles of an image into features of the width of the
backbone, which stand in the sequence at the image tokens. Everything after that is LLaDA.
"""

import copy
import os

import torch
from torch import nn
from transformers import SiglipVisionModel
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BaseModelOutput, BaseModelOutputWithPooling, MaskedLMOutput

from .arguments_llada_v import (
    IMAGE_INPUTS,
    check_all_given,
    check_counts,
    check_pixels,
    read_counts,
    read_tiles,
)
from .configuration_llada_v import LLaDAVConfig
from .conversion_llada import register_weight_renamings
from .conversion_llada_v import BACKBONE_RENAMINGS, PublicFiles, count_entries, rename_public_keys
from .diffusion_llada import LLaDAMaskedLossOutput
from .embeddings_llada import GivenEmbeddings
from .generation_llada import LLaDAGenerationOutput
from .images_llada_v import pack_features, pack_video
from .modeling_llada import LLaDAForMaskedLM, LLaDAModel
from .parts_llada_v import check_projector, read_projector, read_tower


class LLaDAVProjector(nn.Module):
    """From the width of the vision tower to that of the backbone (`mlp2x_gelu`)."""

    def __init__(self, config: LLaDAVConfig):
        super().__init__()
        self.linear_1 = nn.Linear(config.vision_config.hidden_size, config.hidden_size)
        self.act = ACT2FN[config.projector_hidden_act]
        self.linear_2 = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.linear_2(self.act(self.linear_1(features)))


class LLaDAVModel(LLaDAModel):
    """
    The backbone of LLaDA with a vision tower and a projector, without the output head.

    Args:
        config ([`LLaDAVConfig`]):
            The configuration.
    """

    config: LLaDAVConfig
    config_class = LLaDAVConfig

    def __init__(self, config: LLaDAVConfig):
        super().__init__(config)
        self.vision_tower = SiglipVisionModel(config.vision_config)
        self.multi_modal_projector = LLaDAVProjector(config)
        # Drawn here: that of LLaDA has initialized this module before it had the parameter.
        self.image_newline = nn.Parameter(torch.randn(config.hidden_size) * config.hidden_size**-0.5)
        # Files may still have the last layer and the head of SigLIP.
        dropped = rf"vision_tower\.(head|encoder\.layers\.{config.vision_config.num_hidden_layers})\."
        self._keys_to_ignore_on_load_unexpected = {*self._keys_to_ignore_on_load_unexpected, dropped}
        # CODEPATH: "flat" is stage 1, whose files have no `image_newline`, since no rows end; all others have it.
        self._keys_to_ignore_on_load_missing = ["image_newline"] if config.patch_merge_type == "flat" else []

        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self:
            nn.init.normal_(self.image_newline, std=self.config.hidden_size**-0.5)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        rename_public_keys(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        image_sizes: torch.LongTensor | None = None,
        num_tiles: torch.LongTensor | None = None,
        batch_num_images: torch.LongTensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        num_frames: torch.LongTensor | None = None,
        **kwargs,
    ) -> BaseModelOutput:
        """See [`LLaDAVForConditionalGeneration.forward`] for the images, and [`LLaDAModel.forward`] for the rest."""
        if inputs_embeds is None and input_ids is not None:
            given = self.embed_images(
                input_ids, pixel_values, image_sizes, num_tiles, batch_num_images, pixel_values_videos, num_frames
            )
            if given is not None:
                inputs_embeds, input_ids = given.put_into(self.embed_tokens, input_ids), None
        elif pixel_values is not None or pixel_values_videos is not None:
            raise ValueError(
                "`pixel_values` need `input_ids`, which say where the images stand, but got `inputs_embeds`. Leave one of "
                "them out."
            )
        return super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            **kwargs,
        )

    def embed_images(
        self,
        input_ids: torch.LongTensor,
        pixel_values: torch.FloatTensor | None = None,
        image_sizes: torch.LongTensor | None = None,
        num_tiles: torch.LongTensor | None = None,
        batch_num_images: torch.LongTensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        num_frames: torch.LongTensor | None = None,
    ) -> GivenEmbeddings | None:
        """
        The packed features of images and video frames, at their places in the sequence. `None` for text alone. The arguments
        are those of [`LLaDAVForConditionalGeneration.forward`].

        Raises:
            `ValueError`: if the images and the image tokens do not match.
        """
        where = {
            "image": input_ids == self.config.image_token_id,
            "video": input_ids == self.config.video_token_id,
        }
        check_all_given(where, pixel_values=pixel_values, pixel_values_videos=pixel_values_videos)
        features = {}
        if pixel_values is not None:
            images = self.get_image_features(pixel_values, image_sizes, num_tiles, batch_num_images)
            features["image"] = images.pooler_output
        if pixel_values_videos is not None:
            features["video"] = self.get_video_features(pixel_values_videos, num_frames).pooler_output
        if not features:
            return None
        # Offloaded weights have a dtype, but no device.
        device, dtype = input_ids.device, self.embed_tokens.weight.dtype
        embeddings = torch.zeros(*input_ids.shape, self.config.hidden_size, device=device, dtype=dtype)
        for kind, packed in features.items():
            check_counts(where[kind], [len(one) for one in packed], kind)
            embeddings = embeddings.masked_scatter(where[kind][..., None], torch.cat(packed).to(device, dtype))
        return GivenEmbeddings(where["image"] | where["video"], embeddings)

    def get_image_features(
        self,
        pixel_values: torch.FloatTensor,
        image_sizes: torch.LongTensor,
        num_tiles: torch.LongTensor | None = None,
        batch_num_images: torch.LongTensor | None = None,
    ) -> BaseModelOutputWithPooling:
        """
        The packed features of each image.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(num_images, max_tiles, channels, size, size)`):
                The tiles of the images, the whole image first. With no image, the tower sees a tile of zeros whose features
                are not used, which sharded weights need where other processes have images.
            image_sizes (`torch.LongTensor` of shape `(num_images, 2)`):
                The height and the width of each image in pixels.
            num_tiles (`torch.LongTensor` of shape `(num_images,)`, *optional*):
                The number of tiles of each image; the others are filling.
            batch_num_images (`torch.LongTensor` of shape `(batch,)`, *optional*):
                The number of images of each row, which tells the tiles if `num_tiles` is not given: an image that is alone in
                its row has those of its size, and several have one each.

        Returns:
            [`BaseModelOutputWithPooling`]: `pooler_output` is a list with the packed features of each image,
            `(num_features, hidden_size)`.
        """
        tiles = read_tiles(self.config, pixel_values, image_sizes, num_tiles, batch_num_images)
        if not tiles:
            return BaseModelOutputWithPooling(pooler_output=[self._no_features(pixel_values)])
        features = self.get_tile_features(without_filling(pixel_values, tiles)).split(tiles)
        vision = self.config.vision_config
        packed = pack_features(
            features,
            image_sizes.tolist(),
            self.image_newline.to(features[0].device),
            grid_pinpoints=self.config.image_grid_pinpoints,
            tile_size=vision.image_size,
            max_tiles=self.config.max_tiles,
            merge_type=self.config.patch_merge_type,
        )
        return BaseModelOutputWithPooling(pooler_output=packed)

    def _no_features(self, pixel_values: torch.FloatTensor) -> torch.FloatTensor:
        """
        An empty tensor that depends on all that images depend on. With texts on one process and images on another, all of them
        must gather the same weights and have gradients of the same ones.
        """
        tile = pixel_values.new_zeros(1, *pixel_values.shape[2:])
        features = self.get_tile_features(tile).flatten(0, 1)
        # CODEPATH: "flat" is the layout of stage 1, which has no rows; all public checkpoints have "spatial_unpad".
        if self.config.patch_merge_type != "flat":
            features = torch.cat([features, self.image_newline[None].to(features)])
        return features[:0]

    def get_video_features(
        self, pixel_values_videos: torch.FloatTensor, num_frames: torch.LongTensor | None = None
    ) -> BaseModelOutputWithPooling:
        """
        The packed features of each video: each frame is pooled to half its sides, with `image_newline` after each row.

        Args:
            pixel_values_videos (`torch.FloatTensor` of shape `(num_videos, max_frames, channels, size, size)`):
                The frames of the videos.
            num_frames (`torch.LongTensor` of shape `(num_videos,)`, *optional*):
                The number of frames of each video; the others are filling. By default all.

        Returns:
            [`BaseModelOutputWithPooling`]: `pooler_output` is a list with the packed features of each video,
            `(num_features, hidden_size)`.
        """
        check_pixels("pixel_values_videos", pixel_values_videos, self.config.vision_config.image_size)
        frames = [pixel_values_videos.shape[1]] * len(pixel_values_videos)
        if num_frames is not None:
            frames = read_counts("num_frames", num_frames, pixel_values_videos, "video")
        if not frames:
            return BaseModelOutputWithPooling(pooler_output=[self._no_features(pixel_values_videos)])
        features = self.get_tile_features(without_filling(pixel_values_videos, frames))
        # CODEPATH: "flat" is the layout of stage 1, which has no rows; all public checkpoints have "spatial_unpad".
        newline = None if self.config.patch_merge_type == "flat" else self.image_newline.to(features.device)
        packed = [pack_video(video, newline) for video in features.split(frames)]
        return BaseModelOutputWithPooling(pooler_output=packed)

    def get_tile_features(self, pixel_values: torch.FloatTensor) -> torch.FloatTensor:
        """The projected features of tiles, `(num_tiles, channels, size, size)` -> `(num_tiles, num_features, hidden_size)`."""
        tower = self.vision_tower
        # Where a tower is offloaded, the hooks of accelerate take the pixels to it.
        device = pixel_values.device if tower.device.type == "meta" else tower.device
        outputs = tower(pixel_values.to(device, tower.dtype), output_hidden_states=True)
        # The state before the norm at the end of the tower, as the public code takes it.
        return self.multi_modal_projector(outputs.hidden_states[-1])


class LLaDAVForConditionalGeneration(LLaDAForMaskedLM):
    """
    LLaDA-V: the mask predictor of LLaDA, which also sees images.

    Args:
        config ([`LLaDAVConfig`]):
            The configuration.
    """

    config: LLaDAVConfig
    config_class = LLaDAVConfig
    input_modalities = ("image", "text")
    backbone_class = LLaDAVModel
    embedded_inputs = IMAGE_INPUTS
    embedders = ("model.vision_tower", "model.multi_modal_projector")

    @classmethod
    def from_parts(
        cls,
        language_model: str | os.PathLike | LLaDAForMaskedLM,
        vision_model: str | os.PathLike | SiglipVisionModel,
        **fields,
    ) -> "LLaDAVForConditionalGeneration":
        """
        Puts a LLaDA and a vision tower together. The projector and `image_newline` are new: stage 1 trains them.

        Args:
            language_model (`str` or [`LLaDAForMaskedLM`]):
                The language model, or its folder or Hub id. A given one is not copied: both share its weights.
            vision_model (`str` or `SiglipVisionModel`):
                The vision tower, or the folder or Hub id of a `SiglipVisionModel` or a `SiglipModel`. If it has a head, then
                the head and the layer below are left out, as in the public code.
            fields:
                Fields of [`LLaDAVConfig`], such as `patch_merge_type`.

        Raises:
            `ValueError`: if weights are missing, or a field has a value that it cannot have.

        Example:

        ```python
        >>> model = LLaDAVForConditionalGeneration.from_parts(
        ...     "GSAI-ML/LLaDA-8B-Instruct", "google/siglip2-so400m-patch14-384"
        ... )
        ```
        """
        language = language_model
        if not isinstance(language, LLaDAForMaskedLM):
            language = LLaDAForMaskedLM.from_pretrained(language_model, dtype="auto")
            rows = language.config.vocab_size
            fields = count_entries(*PublicFiles(str(language_model), {}).read_tokens(rows), rows) | fields
        tower = read_tower(vision_model, language.dtype)
        config = LLaDAVConfig.from_language_config(language.config, vision_config=tower.config.to_dict(), **fields)
        config.vision_config, config._attn_implementation = tower.config, language.config._attn_implementation
        with torch.device("meta"):
            model = cls(config)
        # The layers read the config of the whole, and have the same weights.
        shared = {id(tensor): tensor for tensor in (*language.parameters(), *language.buffers())}
        for name in ("embed_tokens", "layers", "norm", "rotary_emb"):
            module = copy.deepcopy(getattr(language.model, name), shared | {id(language.config): config})
            setattr(model.model, name, module)
        model.lm_head, model.model.vision_tower = language.lm_head, tower.to(language.device)
        model.model.multi_modal_projector = LLaDAVProjector(config).to(language.device, language.dtype)
        newline = torch.randn(config.hidden_size) * config.hidden_size**-0.5
        model.model.image_newline = nn.Parameter(newline.to(language.device, language.dtype))
        model.generation_config = language.generation_config
        return model.train(language.training)

    @torch.no_grad()
    def load_projector(self, path: str | os.PathLike) -> None:
        """
        Loads a projector that stage 1 has trained.

        Args:
            path (`str`):
                The mm_projector.bin of the public code, the same as a safetensors file, or a folder with either. No code of a
                pickle is run.

        Raises:
            `ValueError`: if there is no such file, it is damaged or holds something else, or its sizes are others.
        """
        projector = self.model.multi_modal_projector
        weights = read_projector(path)
        check_projector(path, weights, projector)
        for name, parameter in projector.named_parameters():
            parameter.copy_(weights[name])

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        image_sizes: torch.LongTensor | None = None,
        num_tiles: torch.LongTensor | None = None,
        batch_num_images: torch.LongTensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        num_frames: torch.LongTensor | None = None,
        labels: torch.LongTensor | None = None,
        **kwargs,
    ) -> MaskedLMOutput | LLaDAMaskedLossOutput:
        r"""
        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*):
                Token ids, including mask tokens, and `config.image_token_id` once for each packed feature of an image.
            attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*):
                1 for tokens, 0 for padding, on either side.
            position_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*):
                Positions, by default 0, 1, 2...
            pixel_values (`torch.FloatTensor` of shape `(num_images, max_tiles, channels, size, size)`, *optional*):
                The tiles of all images of the batch, row by row.
            image_sizes (`torch.LongTensor` of shape `(num_images, 2)`, *optional*):
                The height and the width of each image in pixels.
            num_tiles (`torch.LongTensor` of shape `(num_images,)`, *optional*):
                The number of tiles of each image; the others are filling.
            batch_num_images (`torch.LongTensor` of shape `(batch,)`, *optional*):
                The number of images of each row, which tells the tiles if `num_tiles` is not given.
            pixel_values_videos (`torch.FloatTensor` of shape `(num_videos, max_frames, channels, size, size)`, *optional*):
                The frames of all videos of the batch.
            num_frames (`torch.LongTensor` of shape `(num_videos,)`, *optional*):
                The number of frames of each video. By default all.
            labels (`torch.LongTensor` of shape `(batch, length)`, *optional*):
                The original tokens, and -100 where they have no loss.
            kwargs (`dict`, *optional*):
                The other arguments of [`LLaDAForMaskedLM.forward`].

        Returns:
            [`MaskedLMOutput`]: as of [`LLaDAForMaskedLM.forward`].

        Raises:
            `ValueError`: if the features of the images are not as many as the image tokens.
        """
        return super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            pixel_values=pixel_values,
            image_sizes=image_sizes,
            num_tiles=num_tiles,
            batch_num_images=batch_num_images,
            pixel_values_videos=pixel_values_videos,
            num_frames=num_frames,
            labels=labels,
            **kwargs,
        )

    def generate(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        pixel_values: torch.FloatTensor | None = None,
        image_sizes: torch.LongTensor | None = None,
        num_tiles: torch.LongTensor | None = None,
        batch_num_images: torch.LongTensor | None = None,
        pixel_values_videos: torch.FloatTensor | None = None,
        num_frames: torch.LongTensor | None = None,
        **kwargs,
    ) -> LLaDAGenerationOutput | torch.LongTensor:
        r"""
        Answers prompts with images. The features of the images are computed once. Their positions are never masked or
        changed, but for the unconditional half of a guided pass; see `cfg_text_only`.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, prompt_length)`):
                The prompts, with the image token once for each packed feature.
            attention_mask (`torch.Tensor` of shape `(batch, prompt_length)`, *optional*):
                0 for padding, which has to be on the left.
            pixel_values, image_sizes, num_tiles, batch_num_images, pixel_values_videos, num_frames:
                The images, as the processor returns them; see [`~LLaDAVForConditionalGeneration.forward`].
            kwargs:
                The other arguments and the options of [`~LLaDAForMaskedLM.generate`].

        Returns:
            What [`~LLaDAForMaskedLM.generate`] returns.

        Raises:
            `ValueError`: if the images and the prompts do not match, or as [`~LLaDAForMaskedLM.generate`] does.

        Example:

        ```python
        >>> messages = [{"role": "user", "content": [
        ...     {"type": "image", "image": "cat.png"}, {"type": "text", "text": "What is in the picture?"}]}]
        >>> inputs = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=True,
        ...                                        return_dict=True, return_tensors="pt")
        >>> output = model.generate(**inputs, max_new_tokens=32, steps=16, block_length=32)
        ```
        """
        return super().generate(
            input_ids,
            attention_mask,
            pixel_values=pixel_values,
            image_sizes=image_sizes,
            num_tiles=num_tiles,
            batch_num_images=batch_num_images,
            pixel_values_videos=pixel_values_videos,
            num_frames=num_frames,
            **kwargs,
        )

    def embed_given(self, input_ids: torch.LongTensor, model_inputs: dict) -> GivenEmbeddings | None:
        return self.model.embed_images(input_ids, **model_inputs)

    def get_image_features(self, *args, **kwargs) -> BaseModelOutputWithPooling:
        """See [`LLaDAVModel.get_image_features`]."""
        return self.model.get_image_features(*args, **kwargs)


def without_filling(pixel_values: torch.FloatTensor, counts: list[int]) -> torch.FloatTensor:
    """The first `counts` tiles of each image, one after the other: `(num_tiles, channels, size, size)`."""
    most = pixel_values.shape[1]
    index = [image * most + tile for image, count in enumerate(counts) for tile in range(count)]
    return pixel_values.flatten(0, 1)[torch.tensor(index, device=pixel_values.device)]


register_weight_renamings("LLaDAVModel", BACKBONE_RENAMINGS)

LLaDAVConfig.register_for_auto_class()
LLaDAVModel.register_for_auto_class("AutoModel")
LLaDAVForConditionalGeneration.register_for_auto_class("AutoModelForImageTextToText")


__all__ = ["LLaDAVForConditionalGeneration", "LLaDAVModel"]
