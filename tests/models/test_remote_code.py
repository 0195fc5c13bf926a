# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A saved or exported folder is complete: it loads, generates and saves again in a process without this package."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import TINY
from support.autoregressive import autoregressive_model
from support.golden_families import FAMILIES, golden_of
from support.golden_v import FOLDER as GOLDEN_V
from support.golden_v import golden_image
from support.saved_tensors import assert_same_tensors, stored
from support.tiny_poet import save_tiny_poet
from transformers import AutoModel, AutoTokenizer, pipeline

import modeling_llada
from modeling_llada import (
    LLaDAConfig,
    LLaDAForMaskedLM,
    LLaDAModel,
    LLaDAVForConditionalGeneration,
    LLaDAVProcessor,
)
from modeling_llada.conversion import from_autoregressive
from modeling_llada.export import export_checkpoint


# All files of the folder but those of images and of other families. One that `modeling_llada.py` does not import, directly or not, would not be
# copied.
MODELS = Path(modeling_llada.models.__file__).parent
REMOTE_FILES = {path.name for path in MODELS.glob("*_llada.py")}
REMOTE_FILES_WITH_IMAGES = REMOTE_FILES | {path.name for path in MODELS.glob("*_llada_v.py")}
MODEL_CLASSES = ("AutoModel", "AutoModelForMaskedLM", "AutoModelForCausalLM")
SITE_PACKAGES = sysconfig.get_paths()["purelib"]
# `-S` leaves out the .pth files, by which Python finds an editable install. A regular install is in the folder itself.
WITHOUT_THE_PACKAGE = f"""
import importlib.util, json, sys
sys.path.append({SITE_PACKAGES!r})
spec = importlib.util.find_spec("modeling_llada")
assert spec is None or spec.origin.startswith({SITE_PACKAGES!r}), spec
sys.modules["modeling_llada"] = None  # importing the package is an error
"""
# Two processes do all the work, because starting one takes longer than everything that it does.
SAVED = """
import torch, transformers
predictor, backbone, vision, converted, again, prompt, messages, *families = sys.argv[1:]
prompt, result = torch.tensor(json.loads(prompt)), {}
for auto_class in ("AutoModel", "AutoModelForMaskedLM", "AutoModelForCausalLM"):
    model = getattr(transformers, auto_class).from_pretrained(predictor, trust_remote_code=True)
    sequences = model.generate(prompt, max_new_tokens=8, steps=4, block_length=4).tolist()
    result[auto_class] = [type(model).__module__, sequences]
    model.save_pretrained(f"{again}/{auto_class}")
model = transformers.AutoModel.from_pretrained(backbone, trust_remote_code=True)
result["backbone"] = [type(model).__name__, model(prompt).last_hidden_state.flatten().tolist()]
model = transformers.AutoModelForMaskedLM.from_pretrained(converted, trust_remote_code=True)
causal = torch.ones(prompt.shape[1], prompt.shape[1], dtype=torch.bool).tril()[None, None]
result["converted"] = model(prompt, attention_mask=causal).logits.flatten().tolist()
processor = transformers.AutoProcessor.from_pretrained(vision, trust_remote_code=True)
model = transformers.AutoModelForImageTextToText.from_pretrained(vision, trust_remote_code=True)
options = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
inputs = processor.apply_chat_template(json.loads(messages), **options)
sequences = model.generate(**inputs, max_new_tokens=8, steps=4).tolist()
parts = (model, processor, processor.image_processor)
result["vision"] = [sorted(inputs), sequences, processor.decode(sequences[0]), [type(part).__module__ for part in parts]]
model.save_pretrained(f"{again}/vision")
processor.save_pretrained(f"{again}/vision")
for folder in families:
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder, trust_remote_code=True)
    sequences = model.generate(prompt, max_new_tokens=8, steps=4, block_length=4).tolist()
    result[type(model).__name__] = [type(model).__module__, sequences]
    model.save_pretrained(f"{again}/{type(model).__name__}")
print(json.dumps(result))
"""
EXPORTED = """
import transformers
folder, again, text, snippet, vision_snippet, *model_classes = sys.argv[1:]
config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=True)
tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
without_code = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
assert config.mask_token_id == tokenizer.mask_token_id == without_code.mask_token_id
result = {"AutoConfig": type(config).__module__, "models": {}, "pipelines": []}
next_folder = folder
for auto_class in model_classes:
    model = getattr(transformers, auto_class).from_pretrained(next_folder, trust_remote_code=True)
    output = model.generate(**tokenizer(text, return_tensors="pt"))
    result["models"][auto_class] = [type(model).__module__, type(model).__name__, tokenizer.decode(output[0])]
    # The next class loads the folder that this one saved.
    next_folder = f"{again}/{auto_class}"
    model.save_pretrained(next_folder)
    tokenizer.save_pretrained(next_folder)
for task, options in (("text-generation", {}), ("fill-mask", {"top_k": 1})):
    run = transformers.pipeline(task, model=folder, trust_remote_code=True, device="cpu")
    result["pipelines"].append([type(run.model).__module__, run(text + "[MASK]" * (task == "fill-mask"), **options)])
names = {}
exec(snippet, names)
result["snippet"] = type(names["model"]).__module__
exec(vision_snippet, names)
result["vision"] = [type(names[part]).__module__ for part in ("model", "processor")] + [names["output"].tolist()]
print(json.dumps(result))
"""
PROMPT = [[5, 6, 7, 8]]
TEXT = "床前明月光，"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Runs code in a process without this package, with arguments, and returns the last line that it prints."""

    def run(code, *arguments, cwd=None):
        process = subprocess.run(
            [sys.executable, "-S", "-c", WITHOUT_THE_PACKAGE + code, *map(str, arguments)],
            cwd=cwd or tmp_path_factory.mktemp("elsewhere"),
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": "", "HF_MODULES_CACHE": str(tmp_path_factory.mktemp("modules"))},
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


def tiny(model_class):
    torch.manual_seed(0)
    return model_class(LLaDAConfig(**TINY)).eval()


@pytest.fixture(scope="module")
def saved(elsewhere, tmp_path_factory):
    """A folder with saved models, a folder with what the other process saved again, and the results of that process."""
    folder, again = tmp_path_factory.mktemp("saved"), tmp_path_factory.mktemp("again")
    tiny(LLaDAForMaskedLM).save_pretrained(folder / "predictor")
    tiny(LLaDAModel).save_pretrained(folder / "backbone")
    golden_image("A").save(folder / "picture.png")
    picture = {"type": "image", "path": str(folder / "picture.png")}
    messages = [{"role": "user", "content": [picture, {"type": "text", "text": "What is it?"}]}]
    for part in (LLaDAVForConditionalGeneration, LLaDAVProcessor):
        part.from_pretrained(GOLDEN_V).save_pretrained(folder / "vision")
    from_autoregressive(autoregressive_model("qwen3"), mask_token_id=3).save_pretrained(folder / "converted")
    for name in FAMILIES:
        golden_of(name).model.save_pretrained(folder / name)
    folders = [folder / name for name in ("predictor", "backbone", "vision", "converted")]
    families = [folder / name for name in FAMILIES]
    result = elsewhere(SAVED, *folders, again, PROMPT, json.dumps(messages), *families)
    return SimpleNamespace(folder=folder, again=again, messages=messages, result=json.loads(result))


class TestSaved:
    @pytest.mark.parametrize("auto_class", MODEL_CLASSES)
    def test_mask_predictor(self, saved, auto_class):
        folder, again = saved.folder / "predictor", saved.again / auto_class
        module, sequences = saved.result[auto_class]
        assert module.startswith("transformers_modules.")
        expected = tiny(LLaDAForMaskedLM).generate(torch.tensor(PROMPT), max_new_tokens=8, steps=4, block_length=4)
        assert sequences == expected.tolist()
        # The folder that the other process saved is complete too.
        assert python_files(folder) == python_files(again) == REMOTE_FILES
        assert auto_map(again) == auto_map(folder)

    def test_backbone(self, saved):
        assert auto_map(saved.folder / "backbone") == {
            "AutoConfig": "configuration_llada.LLaDAConfig",
            "AutoModel": "modeling_llada.LLaDAModel",
        }
        name, hidden_states = saved.result["backbone"]
        with torch.no_grad():
            expected = tiny(LLaDAModel)(torch.tensor(PROMPT)).last_hidden_state.flatten()
        assert name == "LLaDAModel"
        torch.testing.assert_close(torch.tensor(hidden_states), expected)

    def test_a_converted_model(self, saved):
        with torch.no_grad():
            expected = autoregressive_model("qwen3")(torch.tensor(PROMPT)).logits.flatten()
        assert torch.equal(torch.tensor(saved.result["converted"]), expected)

    @pytest.mark.parametrize("family", FAMILIES)
    def test_another_family(self, saved, family):
        golden = golden_of(family)
        name = golden.model_class.__name__
        module, sequences = saved.result[name]
        assert module.startswith("transformers_modules.")
        expected = golden.model.generate(torch.tensor(PROMPT), max_new_tokens=8, steps=4, block_length=4)
        assert sequences == expected.tolist()
        endings = {"llada2": ("llada2_moe", "llada_moe")}.get(family, (family.replace("-", "_"),))
        own_files = {path.name for ending in endings for path in MODELS.glob(f"*_{ending}.py")}
        assert python_files(saved.folder / family) == python_files(saved.again / name) == REMOTE_FILES | own_files
        assert auto_map(saved.folder / family) == auto_map(saved.again / name)
        assert_same_tensors(stored(saved.again / name), golden.weights)

    def test_a_question_about_a_picture(self, saved):
        names, sequences, text, modules = saved.result["vision"]
        assert all(module.startswith("transformers_modules.") for module in modules)
        processor = LLaDAVProcessor.from_pretrained(saved.folder / "vision")
        model = LLaDAVForConditionalGeneration.from_pretrained(saved.folder / "vision")
        options = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
        inputs = processor.apply_chat_template(saved.messages, **options)
        assert names == sorted(inputs)
        assert sequences == model.generate(**inputs, max_new_tokens=8, steps=4).tolist()
        assert text == processor.decode(sequences[0])
        for folder in (saved.folder / "vision", saved.again / "vision"):
            assert python_files(folder) == REMOTE_FILES_WITH_IMAGES
            fields = json.loads((folder / "processor_config.json").read_text())
            assert fields["auto_map"] == {"AutoProcessor": "processing_llada_v.LLaDAVProcessor"}
            image_processor = fields["image_processor"]["auto_map"]["AutoImageProcessor"]
            assert image_processor == "image_processing_llada_v.LLaDAVImageProcessor"


@pytest.fixture(scope="module")
def exported(elsewhere, tmp_path_factory):
    """The same for an exported folder."""
    work, again = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("again")
    folder = export_checkpoint(save_tiny_poet(work / "poet"), work / "exported").folder
    shutil.copytree(GOLDEN_V, work / "public", ignore=shutil.ignore_patterns("README.md", "golden*"))
    vision = export_checkpoint(work / "public", work / "exported_vision").folder
    golden_image("A").save(work / "picture.png")
    snippets = [snippet_of(folder), snippet_of(vision)]
    result = elsewhere(EXPORTED, folder, again, TEXT, *snippets, *MODEL_CLASSES, cwd=work)
    return SimpleNamespace(folder=folder, again=again, work=work, snippets=snippets, result=json.loads(result))


def snippet_of(folder):
    """The first code block of a model card."""
    return (folder / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]


class TestExported:
    def test_every_auto_class(self, exported):
        assert python_files(exported.folder) == REMOTE_FILES
        assert exported.result["AutoConfig"].startswith("transformers_modules.exported")
        tokenizer = AutoTokenizer.from_pretrained(exported.folder)
        prompt = tokenizer(TEXT, return_tensors="pt")
        output = AutoModel.from_pretrained(exported.folder).generate(**prompt)
        assert output.shape[1] == prompt.input_ids.shape[1] + 7
        assert exported.result["models"].keys() == set(MODEL_CLASSES)
        for module, name, text in exported.result["models"].values():
            assert module.startswith("transformers_modules.") and name == "LLaDAForMaskedLM"
            assert text == tokenizer.decode(output[0])

    @pytest.mark.parametrize("auto_class", MODEL_CLASSES)
    def test_saved_again_it_is_still_complete(self, exported, auto_class):
        folder = exported.again / auto_class
        before, after = ({path.name for path in path.iterdir()} for path in (exported.folder, folder))
        # The model card, and the fields that only the command `llada` reads.
        assert before - after == {"README.md", "prompt_fields.json"} and after < before
        assert auto_map(folder) == auto_map(exported.folder)
        for name in REMOTE_FILES | {"model.safetensors", "tokenizer.json"}:
            assert (folder / name).read_bytes() == (exported.folder / name).read_bytes()

    @pytest.mark.parametrize("number, task", [(0, "text-generation"), (1, "fill-mask")])
    def test_pipelines(self, exported, number, task):
        module, answer = exported.result["pipelines"][number]
        assert module.startswith("transformers_modules.exported")
        run = pipeline(task, model=str(exported.folder), device="cpu")
        (got,) = answer
        (expected,) = run(TEXT) if task == "text-generation" else run(f"{TEXT}[MASK]", top_k=1)
        assert got.keys() == expected.keys()
        assert all(got[key] == pytest.approx(value) for key, value in expected.items())

    def test_the_snippet_of_the_model_card(self, exported):
        assert 'AutoModel.from_pretrained("exported"' in exported.snippets[0]  # relative to the working folder
        assert exported.result["snippet"].startswith("transformers_modules.exported")

    def test_the_snippet_about_a_picture(self, exported, monkeypatch):
        *modules, sequences = exported.result["vision"]
        assert all(module.startswith("transformers_modules.exported_vision") for module in modules)
        names = {}
        monkeypatch.chdir(exported.work)
        exec(exported.snippets[1], names)
        assert type(names["model"]) is LLaDAVForConditionalGeneration and type(names["processor"]) is LLaDAVProcessor
        assert sequences == names["output"].tolist()


def test_here_the_registered_classes_win(tiny_model, tmp_path):
    tiny_model().save_pretrained(tmp_path)
    for trust_remote_code in (None, False, True):
        assert type(AutoModel.from_pretrained(tmp_path, trust_remote_code=trust_remote_code)) is LLaDAForMaskedLM
