# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Loading, saving and resizing: an incomplete checkpoint is an error, and a saved folder carries its own code."""

import json
import os
import re
import sys
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from .conversion_llada import rename_official_keys
from .families_llada import check_network


BACKBONE_KEY = re.compile(
    r"(model\.)?(transformer|layers|embed_tokens|norm|vision_tower|mm_projector|multi_modal_projector)\."
)


class LLaDACheckpointingMixin:
    """The guards that [`LLaDAPreTrainedModel`] puts around the methods of [`PreTrainedModel`]."""

    stores_own_names = False  # whether the weights have the same names in files as here

    def __init__(self, config: PreTrainedConfig, *args, **kwargs):
        check_network(type(self), config)
        super().__init__(config, *args, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """
        Loads a model from an official checkpoint or from one of ours, or an adapter with the checkpoint below it; see
        [`PreTrainedModel.from_pretrained`].

        Raises:
            `ValueError`: if the checkpoint lacks weights, or has others of the backbone, such as biases or more layers, or
                weights of other shapes. A mask predictor with a few random layers still writes plausible tokens, so a
                warning would not be enough. The head may be missing in a checkpoint of [`LLaDAModel`] or [`LLaDAVModel`].
                Also if weights are integers without a `quantization_config`.
            `OSError`: if a safetensors file or the index of the shards is damaged.
        """
        check_index(pretrained_model_name_or_path, kwargs.get("subfolder", ""))
        cls._check_stored(pretrained_model_name_or_path, kwargs.get("subfolder", ""))
        source = f"`pretrained_model_name_or_path={str(pretrained_model_name_or_path)!r}`"
        try:
            loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        except SafetensorError as error:
            raise OSError(
                f"{source} has a safetensors file that is corrupt or truncated: {error}. Fetch the checkpoint again."
            ) from error
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        if getattr(model.config, "quantization_config", None) is None:
            check_dtypes(pretrained_model_name_or_path, kwargs.get("subfolder", ""))
        return loaded

    @classmethod
    def _check_stored(cls, folder: str | os.PathLike | None, subfolder: str) -> None:
        """What a family checks in the files of a local folder before they are loaded."""

    @staticmethod
    def _load_pretrained_model(model, *args, **kwargs) -> tuple:
        info, offloaded = PreTrainedModel._load_pretrained_model(model, *args, **kwargs)
        # A parameter of two modules is stored once, as that of tokens which an adapter trains in the embedding and in a
        # tied head. transformers would report the other name as missing and newly initialized.
        if model._hf_peft_config_loaded:
            parameters = dict(model.named_parameters(remove_duplicate=False))
            stored = {id(parameter) for name, parameter in parameters.items() if name not in info.missing_keys}
            info.missing_keys = {name for name in info.missing_keys if id(parameters.get(name)) not in stored}
        return info, offloaded

    @staticmethod
    def _finalize_model_loading(model, load_config, loading_info):
        # Not in `from_pretrained`, which tells only of the weights of an adapter if there is one.
        if loading_info.mismatched_keys and not load_config.ignore_mismatched_sizes:
            shapes = [
                f"{key} {tuple(got)} instead of {tuple(ours)}" for key, got, ours in loading_info.mismatched_keys
            ]
            tower = " The sizes of a vision tower may be those of a vision_config.json beside it."
            raise ValueError(
                f"`pretrained_model_name_or_path={str(load_config.pretrained_model_name_or_path)!r}` has {len(shapes)} weights "
                f"of another size than its config.json says: {', '.join(sorted(shapes)[:5])}{', ...' * (len(shapes) > 5)}. "
                f"It describes another network.{tower * hasattr(model.config, 'vision_config')}"
            )
        info = PreTrainedModel._finalize_model_loading(model, load_config, loading_info)
        may_lack_head = any(name.endswith("Model") for name in model.config.architectures or ["LLaDAModel"])
        missing = [key for key in info.missing_keys if not (may_lack_head and key.startswith("lm_head."))]
        unexpected = [key for key in info.unexpected_keys if BACKBONE_KEY.match(key)]
        for keys, problem in ((missing, "lacks {} weights of the model"), (unexpected, "has {} weights too many")):
            if keys:
                raise ValueError(
                    f"`pretrained_model_name_or_path={str(load_config.pretrained_model_name_or_path)!r}` "
                    f"{problem.format(len(keys))}: {', '.join(sorted(keys)[:10])}{', ...' * (len(keys) > 10)}. "
                    "Either the checkpoint is damaged (fetch it again), or its config.json describes another network."
                )
        return info

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        # `from_pretrained` renames the official keys of a file. Everyone else who reads it comes through here.
        names = rename_official_keys(state_dict, prefix, backbone=self.base_model is self)
        super()._load_from_state_dict(state_dict, prefix, *args)
        modules = dict(self.named_modules()) if names else {}
        lost = [name for name in names if name.rpartition(".")[0] not in {"lm_head", *modules}]
        if lost:
            error_messages = args[-1]  # they are raised also with `strict=False`, where unexpected keys are not
            error_messages.append(
                f"{type(self).__name__} has no module for {len(lost)} official names, such as {lost[0]}. Load quantized "
                "weights with `from_pretrained`, and rename an adapter with `llada convert-adapter`."
            )

    def load_adapter(self, *args, **kwargs):
        """
        Loads a PEFT adapter; see `load_adapter` of [`PreTrainedModel`].

        Raises:
            `ValueError`: if the adapter has weights for modules that it does not name, as one with the official names has,
                or lacks weights for modules that it names.
        """
        info = super().load_adapter(*args, **kwargs)
        if info.unexpected_keys:
            raise ValueError(
                f"the adapter has {len(info.unexpected_keys)} weights that its config has no modules for, such as "
                f"{min(info.unexpected_keys)}. If it was trained with the official code, rename them with "
                "`llada convert-adapter`."
            )
        if info.missing_keys:
            raise ValueError(
                f"the adapter lacks {len(info.missing_keys)} weights of modules that its config names, such as "
                f"{min(info.missing_keys)}. Fetch it again."
            )
        return info

    def state_dict(self, *args, **kwargs) -> dict[str, torch.Tensor]:
        """
        See [`torch.nn.Module.state_dict`].

        Raises:
            `ValueError`: if `load_checkpoint_in_model` of accelerate asks for it with a `device_map`. It would then skip
                all tensors with official names, and only warn.
        """
        caller = sys._getframe(1)  # nothing else of the model is asked before the tensors are skipped
        while caller.f_code.co_name == "state_dict":  # of a model around this one
            caller = caller.f_back
        is_accelerate = caller.f_code.co_name == "load_checkpoint_in_model" and not self.stores_own_names
        if is_accelerate and caller.f_locals.get("device_map") is not None:
            raise ValueError(
                "`device_map` makes accelerate look for tensors by the names of the modules, but files of LLaDA have the "
                "official names. Load the folder with `from_pretrained(folder, device_map=...)`, or leave `device_map` "
                "out and call `dispatch_model` afterwards."
            )
        return super().state_dict(*args, **kwargs)

    def save_pretrained(self, save_directory, **kwargs):
        """
        Saves a folder that also loads where this package is not installed, with `trust_remote_code=True`; see
        [`PreTrainedModel.save_pretrained`].
        """
        # FSDP replaces the class of the model by one of its own, which nobody could load.
        sharded = type(self)
        self.__class__ = next(base for base in sharded.__mro__ if not base.__name__.startswith("FSDP"))
        try:
            self.config.auto_map = auto_map_of(self)
            # Otherwise only the names that were official in the loaded checkpoint would become official again.
            self._weight_conversions = None
            if kwargs.get("state_dict") is not None and self.config.tie_word_embeddings:
                # In a state dict that was collected from several processes, a tied head is a copy of the embedding.
                tied = self._tied_weights_keys or {}
                kwargs["state_dict"] = {key: value for key, value in kwargs["state_dict"].items() if key not in tied}
            super().save_pretrained(save_directory, **kwargs)
        finally:
            self.__class__ = sharded

    @property
    def device(self) -> torch.device:
        """`torch.device`: The device of the inputs. Offloaded weights are on no device until they are used."""
        device = super().device
        if device.type != "meta":
            return device
        execution_device = getattr(getattr(self, "_hf_hook", None), "execution_device", None)
        return device if execution_device is None else torch.device(execution_device)

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Embedding:
        """
        Resizes the token embedding and the output head; see [`PreTrainedModel.resize_token_embeddings`].

        Raises:
            `ValueError`: if the mask token, or another special token of the config, would lose its row.
        """
        rows = self.get_input_embeddings().weight.shape[0]
        if new_num_tokens is not None:
            check_special_tokens_keep_their_rows(self.config, rows, new_num_tokens, pad_to_multiple_of or 1)
        embeddings = super().resize_token_embeddings(new_num_tokens, pad_to_multiple_of, mean_resizing)
        # The official `vocab_size` described the tokenizer of the old embedding.
        if embeddings.weight.shape[0] != rows:
            self.config.tokenizer_vocab_size = None
        return embeddings

    def activation_checkpointing_enable(self, activation_checkpointing_kwargs: dict | None = None, **kwargs) -> None:
        """[`PreTrainedModel.activation_checkpointing_enable`], also where transformers is older than that name."""
        new = getattr(super(), "activation_checkpointing_enable", None)
        enable = self.gradient_checkpointing_enable if new is None else new
        enable(activation_checkpointing_kwargs, **kwargs)


def check_index(folder: str | os.PathLike | None, subfolder: str) -> None:
    """Raises an `OSError` if a local folder has an index of shards that cannot be read, or one of files elsewhere."""
    path = Path(folder or "", subfolder, "model.safetensors.index.json")
    if folder is None or not path.is_file():
        return
    try:
        index = json.loads(path.read_bytes())
        is_whole = isinstance(index["metadata"], dict) and all(
            isinstance(it, str) and it and Path(it).name == it for it in index["weight_map"].values()
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        is_whole = False
    if not is_whole:
        raise OSError(f"{str(path.parent)!r} has a damaged {path.name}. Fetch the checkpoint again.")


def weight_files(folder: str | os.PathLike | None, subfolder: str) -> list[Path]:
    """The files of weights of a local folder."""
    return [] if folder is None else sorted(Path(folder, subfolder).glob("model[.-]*safetensors"))


def check_dtypes(folder: str | os.PathLike | None, subfolder: str) -> None:
    """Raises a `ValueError` for integers in a local folder, which the library would take for weights: those of a quantized
    model without its `quantization_config`."""
    for path in weight_files(folder, subfolder):
        with safe_open(path, "pt") as weights:
            dtypes = {name: weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118
        for name, dtype in dtypes.items():
            if "F" not in dtype:  # F32, F16, BF16, F8_E4M3
                raise ValueError(
                    f"`{name}` in {path} has the dtype {dtype}, but weights are floating numbers. If they are quantized, "
                    "config.json lacks its `quantization_config`; fetch the checkpoint again."
                )


def auto_map_of(model: nn.Module) -> dict[str, str]:
    """The Auto classes that load a model, and where its folder has the code. Only a mask predictor has a head."""
    auto_classes = ["AutoModel"] + ["AutoModelForMaskedLM", "AutoModelForCausalLM"] * model.can_generate()
    return {"AutoConfig": reference_of(type(model.config))} | dict.fromkeys(auto_classes, reference_of(type(model)))


def reference_of(cls: type) -> str:
    """How an `auto_map` names a class: its file and its name."""
    return f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}"


def check_special_tokens_keep_their_rows(
    config: PreTrainedConfig, rows: int, new_num_tokens: int, multiple: int
) -> None:
    """
    Refuses an embedding that is too small for the special tokens.

    The library would resize it silently. Then generation would fail, or write another token in the place of the mask.
    """
    new_rows = -(-new_num_tokens // multiple) * multiple
    for name in ("mask_token_id", "eos_token_id", "eot_token_id", "bos_token_id", "pad_token_id"):
        tokens = getattr(config, name)
        ids = tokens if isinstance(tokens, list) else [tokens]
        lost = [token for token in ids if token is not None and new_rows <= token < rows]
        if lost:
            raise ValueError(
                f"`new_num_tokens` must be at least {max(lost) + 1}, so that `{name}={tokens}` keeps its row of the "
                f"embedding, but got {new_num_tokens}. Keep more rows, or first move the token to a smaller id: its "
                f"rows of the embedding and the head, the tokenizer, and `config.{name}`."
            )


__all__ = ["LLaDACheckpointingMixin"]
