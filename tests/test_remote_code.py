# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A saved or exported folder is complete: it loads, generates and saves again in a process without this package."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import torch
from tiny_poet import save_tiny_poet
from transformers import AutoModel, AutoTokenizer

import modeling_llada
from modeling_llada import LLaDAForMaskedLM, LLaDAModel
from modeling_llada.export import export_checkpoint


# Every flat file: one that `modeling_llada.py` does not reach by its imports would not be copied.
REMOTE_FILES = {path.name for path in Path(modeling_llada.__file__).parent.glob("*_llada.py")}
MODEL_CLASSES = ("AutoModel", "AutoModelForMaskedLM", "AutoModelForCausalLM")
SITE_PACKAGES = sysconfig.get_paths()["purelib"]
# `-S` leaves out the .pth files, by which an editable install is found; a regular one lies in the folder itself.
WITHOUT_THE_PACKAGE = f"""
import importlib.util, json, sys
sys.path.append({SITE_PACKAGES!r})
spec = importlib.util.find_spec("modeling_llada")
assert spec is None or spec.origin.startswith({SITE_PACKAGES!r}), spec
sys.modules["modeling_llada"] = None  # an import of the package is an error

import torch, transformers
"""
SAVED = """
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
EXPORTED = """
folder, again, text, *model_classes = sys.argv[1:]
config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=True)
tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
without_code = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
assert config.mask_token_id == tokenizer.mask_token_id == without_code.mask_token_id
result = {"AutoConfig": type(config).__module__}
for auto_class in model_classes:
    model = getattr(transformers, auto_class).from_pretrained(folder, trust_remote_code=True)
    output = model.generate(**tokenizer(text, return_tensors="pt"))
    result[auto_class] = [type(model).__module__, type(model).__name__, tokenizer.decode(output[0])]
    # The next class loads what this one saved.
    folder = f"{again}/{auto_class}"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
print(json.dumps(result))
"""
PROMPT = [[5, 6, 7, 8]]


@pytest.fixture
def elsewhere(tmp_path):
    """Runs code in a process without this package, with arguments, and returns the last line that it prints."""

    def run(code, *arguments):
        process = subprocess.run(
            [sys.executable, "-S", "-c", WITHOUT_THE_PACKAGE + code, *map(str, arguments)],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": "", "HF_MODULES_CACHE": str(tmp_path / "modules")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout.splitlines()[-1]

    return run


def python_files(folder):
    return {path.name for path in folder.glob("*.py")}


def auto_map(folder):
    return json.loads((folder / "config.json").read_text())["auto_map"]


def test_the_package_is_not_there(elsewhere):
    code = "try: import modeling_llada\nexcept ImportError: print('not there')"
    assert elsewhere(code) == "not there"


class TestSaved:
    @pytest.mark.parametrize("auto_class", MODEL_CLASSES)
    def test_mask_predictor(self, tiny_model, elsewhere, tmp_path, auto_class):
        model = tiny_model()
        saved, again = tmp_path / "saved", tmp_path / "again"
        model.save_pretrained(saved)
        assert python_files(saved) == REMOTE_FILES

        module, sequences = json.loads(elsewhere(SAVED, saved, again, auto_class, PROMPT))
        assert module.startswith("transformers_modules.")
        assert sequences == model.generate(torch.tensor(PROMPT), max_new_tokens=8, steps=4, block_length=4).tolist()
        # Saved again over there, the folder still has all that it needs.
        assert python_files(again) == REMOTE_FILES
        assert auto_map(again) == auto_map(saved)

    def test_backbone(self, tiny_model, elsewhere, tmp_path):
        model = tiny_model(LLaDAModel)
        model.save_pretrained(tmp_path / "saved")
        assert auto_map(tmp_path / "saved") == {
            "AutoConfig": "configuration_llada.LLaDAConfig",
            "AutoModel": "modeling_llada.LLaDAModel",
        }
        _, hidden_states = json.loads(elsewhere(SAVED, tmp_path / "saved", tmp_path / "again", "AutoModel", PROMPT))
        with torch.no_grad():
            expected = model(torch.tensor(PROMPT)).last_hidden_state.flatten()
        torch.testing.assert_close(torch.tensor(hidden_states), expected)


class TestExported:
    TEXT = "床前明月光，"

    @pytest.fixture
    def exported(self, tmp_path):
        return export_checkpoint(save_tiny_poet(tmp_path / "poet"), tmp_path / "exported").folder

    def test_every_auto_class(self, exported, elsewhere, tmp_path):
        """Each class also saves again, and the next one loads that."""
        assert python_files(exported) == REMOTE_FILES
        result = json.loads(elsewhere(EXPORTED, exported, tmp_path / "again", self.TEXT, *MODEL_CLASSES))
        assert result.pop("AutoConfig").startswith("transformers_modules.exported")

        tokenizer = AutoTokenizer.from_pretrained(exported)
        output = AutoModel.from_pretrained(exported).generate(**tokenizer(self.TEXT, return_tensors="pt"))
        assert output.shape[1] == tokenizer(self.TEXT, return_tensors="pt").input_ids.shape[1] + 7
        assert result.keys() == set(MODEL_CLASSES)
        for module, name, text in result.values():
            assert module.startswith("transformers_modules.") and name == "LLaDAForMaskedLM"
            assert text == tokenizer.decode(output[0])

        names = {path.name for path in exported.iterdir()} - {"README.md"}
        for auto_class in MODEL_CLASSES:
            folder = tmp_path / "again" / auto_class
            assert {path.name for path in folder.iterdir()} == names
            assert auto_map(folder) == auto_map(exported)
            for name in REMOTE_FILES | {"model.safetensors", "tokenizer.json"}:
                assert (folder / name).read_bytes() == (exported / name).read_bytes()

    def test_the_snippet_of_the_model_card(self, exported, elsewhere):
        snippet = (exported / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
        assert 'AutoModel.from_pretrained("exported"' in snippet  # relative to the working folder
        module = elsewhere(snippet + "\nprint(type(model).__module__)")
        assert module.startswith("transformers_modules.exported")


def test_here_the_registered_classes_win(tiny_model, tmp_path):
    tiny_model().save_pretrained(tmp_path)
    for trust_remote_code in (None, False, True):
        assert type(AutoModel.from_pretrained(tmp_path, trust_remote_code=trust_remote_code)) is LLaDAForMaskedLM
