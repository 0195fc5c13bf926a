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
"""The experts of mixture-of-experts families, as transformers stores and computes them: all experts of a layer in one tensor.

Files have one tensor for each expert. They are merged when a checkpoint is loaded, and split when it is saved.
"""

import os
import re
from contextlib import suppress
from inspect import unwrap
from typing import ClassVar

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import initialization as init
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import Concatenate, MergeModulelist, WeightConverter, WeightRenaming
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeExperts, Qwen3MoeTopKRouter

from .checkpointing_llada import weight_files


BY_DEVICE = "by_device"
EXPERT_KEY = re.compile(r"(?P<experts>.*\.mlp\.experts\.)(?P<index>\d+)\.(?P<name>gate|up|down)_proj\.weight")


class LLaDAExperts(Qwen3MoeExperts):
    """The experts of a layer, `gate_up_proj (experts, 2 * width, hidden_size)` and `down_proj`."""


def experts_by_device(
    experts: nn.Module, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
) -> torch.Tensor:
    """
    The default of `experts_implementation`: on a CPU the loop over the experts of the official code, in the same order of
    sums; elsewhere `grouped_mm`, which does not wait for the device, so that a step can be recorded.
    """
    if hidden_states.device.type == "cpu":
        loop = unwrap(Qwen3MoeExperts.forward)
        return loop(experts, hidden_states, top_k_index, top_k_weights)
    return ALL_EXPERTS_FUNCTIONS["grouped_mm"](experts, hidden_states, top_k_index, top_k_weights)


class MixtureOfExpertsMixin:
    """What the models with experts have beside those without: an implementation of the experts, and their initial weights."""

    # From the names in files to those here, beside those of the experts.
    weight_renamings: ClassVar[list[WeightRenaming]] = []

    @classmethod
    def _can_set_experts_implementation(cls) -> bool:
        return True  # transformers looks for its decorator in the file of the model

    def get_correct_experts_implementation(self, requested_experts: str | None) -> str:
        """The name of the implementation, by default [`experts_by_device`]. Raises a `ValueError` for an unknown one."""
        return super().get_correct_experts_implementation(requested_experts or BY_DEVICE)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        std = self.config.initializer_range
        if isinstance(module, LLaDAExperts):
            init.normal_(module.gate_up_proj, mean=0.0, std=std)
            init.normal_(module.down_proj, mean=0.0, std=std)
        elif isinstance(module, Qwen3MoeTopKRouter):
            init.normal_(module.weight, mean=0.0, std=std)
            if getattr(module, "expert_bias", None) is not None:
                init.zeros_(module.expert_bias)

    @classmethod
    def _check_stored(cls, folder: str | os.PathLike | None, subfolder: str) -> None:
        super()._check_stored(folder, subfolder)
        keys = []
        for path in weight_files(folder, subfolder):
            with suppress(SafetensorError), safe_open(path, "pt") as weights:  # a damaged file is an error of its own
                keys += weights.keys()
        check_experts(keys, str(folder))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        # `from_pretrained` merges the experts of a file. Everyone else who reads it comes through here.
        for key in [key for key in state_dict if key.startswith(prefix)]:
            name = key.removeprefix(prefix)
            for renaming in self.weight_renamings:
                name, _ = renaming.rename_source_key(name)
            if prefix + name != key:
                state_dict[prefix + name] = state_dict.pop(key)
        merge_experts(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)


def check_experts(keys: list[str], folder: str) -> None:
    """
    Raises a `ValueError` if files lack experts: the library merges those that are there, and one that is missing between two
    others would shift all that follow.
    """
    matches = [match for match in map(EXPERT_KEY.fullmatch, keys) if match]
    count = 1 + max((int(match["index"]) for match in matches), default=-1)
    stored = {match.string for match in matches}
    missing = [
        f"{experts}{index}.{name}_proj.weight"
        for experts in sorted({match["experts"] for match in matches})
        for index in range(count)
        for name in ("gate", "up", "down")
        if f"{experts}{index}.{name}_proj.weight" not in stored
    ]
    if missing:
        raise ValueError(
            f"`pretrained_model_name_or_path={folder!r}` lacks {len(missing)} weights of experts: {', '.join(missing[:5])}"
            f"{', ...' * (len(missing) > 5)}. The checkpoint is damaged: fetch it again."
        )


def merge_experts(state_dict: dict, prefix: str) -> None:
    """Merges the tensors of single experts below a prefix, in place. Those of an incomplete layer stay as they are."""
    found: dict[str, dict[str, dict[int, torch.Tensor]]] = {}
    for key in state_dict:
        match = EXPERT_KEY.fullmatch(key) if key.startswith(prefix) else None
        if match:
            found.setdefault(match["experts"], {}).setdefault(match["name"], {})[int(match["index"])] = state_dict[key]
    for experts, tensors in found.items():
        count = len(tensors.get("gate", {}))
        if any(sorted(tensors.get(name, {})) != list(range(count)) for name in ("gate", "up", "down")):
            continue
        gate, up, down = (torch.stack([tensors[name][i] for i in range(count)]) for name in ("gate", "up", "down"))
        state_dict[f"{experts}gate_up_proj"], state_dict[f"{experts}down_proj"] = torch.cat([gate, up], dim=1), down
        for name, of_name in tensors.items():
            for index in of_name:
                del state_dict[f"{experts}{index}.{name}_proj.weight"]


def register_expert_conversions(model_type: str, others: list[WeightRenaming | WeightConverter]) -> None:
    """
    Registers how the weights of a family are stored, its experts and `others`, for `from_pretrained` and `save_pretrained`.
    The `model_type` must be one that no official file has: an entry for another one would also rewrite the weights of the
    official remote code.
    """
    experts = [
        WeightConverter(
            source_patterns=["mlp.experts.*.gate_proj.weight", "mlp.experts.*.up_proj.weight"],
            target_patterns="mlp.experts.gate_up_proj",
            operations=[MergeModulelist(dim=0), Concatenate(dim=1)],
        ),
        WeightConverter(
            source_patterns="mlp.experts.*.down_proj.weight",
            target_patterns="mlp.experts.down_proj",
            operations=[MergeModulelist(dim=0)],
        ),
    ]
    register_checkpoint_conversion_mapping(model_type, [*others, *experts], overwrite=True)


ALL_EXPERTS_FUNCTIONS.register(BY_DEVICE, experts_by_device)

__all__ = ["LLaDAExperts", "MixtureOfExpertsMixin", "register_expert_conversions"]
