# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A saved folder is complete: it loads, generates and saves again in a process that does not have this package."""

import json
import os
import subprocess
import sys

import pytest
import torch

from modeling_llada import LLaDAForMaskedLM, LLaDAModel


REMOTE_FILES = {
    "canvas_llada.py",
    "configuration_llada.py",
    "conversion_llada.py",
    "diffusion_llada.py",
    "generation_config_llada.py",
    "generation_llada.py",
    "guidance_llada.py",
    "likelihood_llada.py",
    "modeling_llada.py",
    "remasking_llada.py",
    "sampling_llada.py",
}
ELSEWHERE = """
import json, sys
sys.modules["modeling_llada"] = None  # an import of the package is an error

import torch, transformers

folder, again, auto_class, prompt = sys.argv[1:]
model = getattr(transformers, auto_class).from_pretrained(folder, trust_remote_code=True)
prompt = torch.tensor(json.loads(prompt))
if auto_class == "AutoModel" and not hasattr(model, "generate"):
    result = model(prompt).last_hidden_state.flatten().tolist()
else:
    result = model.generate(prompt, max_new_tokens=8, steps=4, block_length=4).tolist()
model.save_pretrained(again)
print(json.dumps([type(model).__module__, result]))
"""
PROMPT = [[5, 6, 7, 8]]


@pytest.fixture
def elsewhere(tmp_path):
    """Loads a folder in a process without this package; returns the module of the class and what the model gave."""

    def run(folder, auto_class):
        arguments = [str(folder), str(tmp_path / "again"), auto_class, json.dumps(PROMPT)]
        environment = {**os.environ, "PYTHONPATH": "", "HF_MODULES_CACHE": str(tmp_path / "modules")}
        process = subprocess.run(
            [sys.executable, "-c", ELSEWHERE, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout.splitlines()[-1])

    return run


def python_files(folder):
    return {path.name for path in folder.glob("*.py")}


@pytest.mark.parametrize("auto_class", ["AutoModel", "AutoModelForMaskedLM", "AutoModelForCausalLM"])
def test_mask_predictor(tiny_model, elsewhere, tmp_path, auto_class):
    model = tiny_model()
    model.save_pretrained(tmp_path / "saved")
    assert python_files(tmp_path / "saved") == REMOTE_FILES

    module, sequences = elsewhere(tmp_path / "saved", auto_class)
    assert module.startswith("transformers_modules.")
    assert sequences == model.generate(torch.tensor(PROMPT), max_new_tokens=8, steps=4, block_length=4).tolist()
    # Saved again over there, the folder still has all that it needs.
    assert python_files(tmp_path / "again") == REMOTE_FILES
    configs = [json.loads((tmp_path / name / "config.json").read_text()) for name in ("saved", "again")]
    assert configs[0]["auto_map"] == configs[1]["auto_map"]


def test_backbone(tiny_model, elsewhere, tmp_path):
    model = tiny_model(LLaDAModel)
    model.save_pretrained(tmp_path / "saved")
    auto_map = json.loads((tmp_path / "saved" / "config.json").read_text())["auto_map"]
    assert auto_map == {
        "AutoConfig": "configuration_llada.LLaDAConfig",
        "AutoModel": "modeling_llada.LLaDAModel",
    }
    _, hidden_states = elsewhere(tmp_path / "saved", "AutoModel")
    with torch.no_grad():
        expected = model(torch.tensor(PROMPT)).last_hidden_state.flatten()
    torch.testing.assert_close(torch.tensor(hidden_states), expected)


def test_here_the_registered_classes_win(tiny_model, tmp_path):
    from transformers import AutoModel

    tiny_model().save_pretrained(tmp_path)
    for trust_remote_code in (None, False, True):
        assert type(AutoModel.from_pretrained(tmp_path, trust_remote_code=trust_remote_code)) is LLaDAForMaskedLM
