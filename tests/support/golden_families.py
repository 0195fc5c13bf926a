# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The golden checkpoints of the other families, with their generation cases under our names of the options."""

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

from modeling_llada import ILLaDAForMaskedLM, LLaDA2MoeForMaskedLM, LLaDAMoeForMaskedLM


FOLDER = Path(__file__).parents[1] / "golden"
SAME_OPTIONS = ("steps", "block_length", "cfg_scale")
FAMILIES = {"illada": ILLaDAForMaskedLM, "llada-moe": LLaDAMoeForMaskedLM, "llada2": LLaDA2MoeForMaskedLM}
ON_WHOLE_ROWS = ("illada", "llada-moe")  # with the sampler and the likelihood of LLaDA


@dataclass(frozen=True)
class Golden:
    """A golden checkpoint: its folder, its class, the tensors that the reference returned, and the generation cases."""

    name: str
    folder: Path
    model_class: type
    tensors: dict = field(repr=False)
    values: dict = field(repr=False)

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return load_file(self.folder / "model.safetensors")

    @functools.cached_property
    def model(self):
        """
        The model. Shared by the tests of a session: do not change it. The vocabulary of a golden checkpoint can be too small
        for the mask token of its family, so this one has the mask token that the cases used.
        """
        mask = self.values["special_ids"]["mask"]
        return AutoModelForMaskedLM.from_pretrained(self.folder, dtype=torch.float32, mask_token_id=mask).eval()

    @property
    def forward_options(self) -> dict[str, int]:
        """What the forward passes of the reference have beside the tokens: the length of blocks where there are any."""
        return self.values.get("forward", {})

    @property
    def logits(self) -> torch.Tensor:
        return self.tensors["forward.logits_block_causal" if self.forward_options else "forward.logits"]

    def options_of(self, case):
        options = {name: case[name] for name in SAME_OPTIONS if name in case} | {"max_new_tokens": case["gen_length"]}
        options |= {"confidence_threshold": case["threshold"]} if "threshold" in case else {}
        return options | {"stop_at_eos": False}

    def prompt_of(self, case):
        name = f"case{case['case']}"
        mask = self.tensors.get(f"{name}.attention_mask")
        return self.tensors[f"{name}.prompt"], mask, self.tensors.get(f"{name}.sequences")


@functools.cache
def golden_of(name: str) -> Golden:
    folder = FOLDER / name
    values = json.loads((folder / "golden.json").read_text())
    return Golden(name, folder, FAMILIES[name], load_file(folder / "golden.safetensors"), values)


CASES = [
    (name, case) for name in ON_WHOLE_ROWS for case in json.loads((FOLDER / name / "golden.json").read_text())["cases"]
]
