# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Values of an adapter's folder that cannot be, which PEFT takes in silence or refuses without the name."""

import json

import pytest
import torch
from peft import LoraConfig, OFTConfig, ShiraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.adapters import convert_adapter
from modeling_llada.adapters.checks import check_config, check_weights
from modeling_llada.loading import load_checkpoint


pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")

NAN = float("nan")
BAD_VALUES = {
    "alpha_pattern": ({"q_proj": NAN}, {"q_proj": "x"}, []),
    "base_model_name_or_path": (3, []),
    "bias": ("x", 3),
    "fan_in_fan_out": ("x", 1),
    "inference_mode": ("x",),
    "layers_to_transform": ("x", [-1], 1.5),
    "lora_alpha": (NAN, float("inf"), "x", True),
    "lora_dropout": (NAN, -1, 1.5, "x", True, []),
    "modules_to_save": ([3], 3, {}),
    "peft_type": ("NOPE", 3),
    "r": (0, -1, 1.5, "x", True, NAN),
    "rank_pattern": ({"q_proj": NAN}, {"q_proj": 0}, 3),
    "target_modules": ([3], 3),
    "task_type": ("NOPE", 3),
    "use_dora": ("x", 3),
    "use_rslora": ("x", 3),
}


@pytest.mark.parametrize("name, value", [(n, value) for n, values in BAD_VALUES.items() for value in values], ids=str)
def test_field_that_cannot_be(name, value):
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "bias": "none"}
    check_config(config)
    with pytest.raises(ValueError, match=f"`{name}"):
        check_config(config | {name: value})


@pytest.mark.parametrize(
    "config",
    [
        OFTConfig(r=0, oft_block_size=4, bias="oft_only", target_modules=["q_proj"]),
        ShiraConfig(r=2, target_modules=["q_proj"]),  # its weights have indices, which are integers
    ],
    ids=lambda config: config.peft_type.value,
)
def test_types_that_give_fields_another_meaning(poet_folder, tmp_path, config):
    adapted = get_peft_model(LLaDAForMaskedLM.from_pretrained(poet_folder), config)
    adapted.save_pretrained(tmp_path)
    check_config(json.loads((tmp_path / "adapter_config.json").read_text()))
    check_weights(load_file(tmp_path / "adapter_model.safetensors"))
    check_config({"peft_type": "ADALORA", "rank_pattern": {"model.layers.0.self_attn.q_proj.lora_E": [True, False]}})


@pytest.mark.parametrize("damage", ["dropout", "weights", "integers", "modules", "generation config"])
def test_it_is_neither_merged_nor_converted(poet_folder, tmp_path, damage):
    (tmp_path / "base").symlink_to(poet_folder)
    base = LLaDAForMaskedLM.from_pretrained(tmp_path / "base")
    get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "adapter")
    config, weights = tmp_path / "adapter" / "adapter_config.json", tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(weights)
    broken = {"weights": lambda tensor: tensor * NAN, "integers": lambda tensor: tensor.to(torch.int8)}.get(damage)
    if broken:
        save_file({name: broken(tensor) for name, tensor in tensors.items()}, weights, metadata={"format": "pt"})
    fields = {"dropout": {"lora_dropout": NAN}, "modules": {"modules_to_save": ["nope"]}}.get(damage, {})
    config.write_text(json.dumps(json.loads(config.read_text()) | fields))
    if damage == "generation config":
        (tmp_path / "adapter" / "generation_config.json").write_text("{")
    message = (
        f"`{list(fields)[0]}`" if fields else "no finite floating numbers" if broken else "generation_config.json"
    )
    with pytest.raises(ValueError, match=message):
        load_checkpoint(tmp_path / "adapter", "cpu")
    if damage in ("dropout", "weights"):
        with pytest.raises(ValueError, match=message):
            convert_adapter(tmp_path / "adapter", tmp_path / "converted", to="official")
        assert not (tmp_path / "converted").exists()
