# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Converted adapters give the same logits as with the official modules."""

import json
import warnings

import pytest
import torch
from peft import AutoPeftModel, AutoPeftModelForCausalLM, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from support.official_model import OfficialModel
from transformers import AutoModelForMaskedLM

from llada_cli import main
from modeling_llada import LLaDAConfig, LLaDAForMaskedLM
from modeling_llada.adapters import convert_adapter


ALL_SEVEN = ["q_proj", "k_proj", "v_proj", "attn_out", "ff_proj", "up_proj", "ff_out"]
LLAMA_NAMES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
HEAD = "transformer.ff_out"
FIRST_LAYER = "base_model.model.model.transformer.blocks.0"


pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")


@pytest.fixture
def folder(tiny_model, tmp_path_factory):
    """A tiny checkpoint."""
    folder = tmp_path_factory.mktemp("base")
    tiny_model(num_hidden_layers=3).save_pretrained(folder)
    return folder


@pytest.fixture
def base(folder):
    """The same weights in the official modules."""
    official = OfficialModel(LLaDAConfig.from_pretrained(folder)).eval()
    official.load_state_dict(load_file(folder / "model.safetensors"))  # strict: these are the official names
    return official


@pytest.fixture
def train(base, folder, tmp_path):
    """Saves a random adapter of the official modules, and returns its folder and its model."""

    def train(**options):
        torch.manual_seed(1)
        model = get_peft_model(base, LoraConfig(r=2, **options)).eval()
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.1 * torch.randn_like(parameter)
        model.peft_config["default"].base_model_name_or_path = str(folder)
        model.peft_config["default"].task_type = "CAUSAL_LM"
        model.save_pretrained(tmp_path / "official")
        return tmp_path / "official", model

    return train


def read_config(folder):
    return json.loads((folder / "adapter_config.json").read_text())


def edit_config(folder, **changes):
    (folder / "adapter_config.json").write_text(json.dumps(read_config(folder) | changes))


def edit_tensors(folder, change):
    """Replaces the tensors by `change(tensors)`."""
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file(change(tensors), folder / "adapter_model.safetensors")


@torch.no_grad()
def logits(model, input_ids):
    output = model(input_ids=input_ids)
    return output if isinstance(output, torch.Tensor) else output.logits


def load(adapter, base):
    """The adapter on the checkpoint `base`. A missing or unused tensor is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Found missing adapter keys")
        model = PeftModel.from_pretrained(LLaDAForMaskedLM.from_pretrained(base), adapter).eval()
    keys = load_file(adapter / "adapter_model.safetensors").keys()
    parameters = {name.replace(".default", "").replace(".modules_to_save", "") for name, _ in model.named_parameters()}
    stored = {key for key in keys if not key.endswith("lora_magnitude_vector")}
    assert stored <= parameters, stored - parameters
    return model


class TestSameLogits:
    """Adapters that PEFT made for an independent copy of the official modules."""

    @pytest.mark.parametrize(
        "options",
        [
            {"target_modules": ["q_proj", "v_proj"]},
            {"target_modules": ALL_SEVEN, "use_rslora": True},
            {"target_modules": ["ff_out"]},
            {"target_modules": ["q_proj", "ff_out"], "exclude_modules": [HEAD]},
            {"target_modules": "all-linear"},
            {"target_modules": r".*blocks\.[12]\.(attn_out|ff_proj)"},
            {"target_modules": r".*\.(wte|ff_out)", "exclude_modules": r".*blocks\.1\..*"},
            {"target_modules": ["model.transformer.blocks.0.ff_out", "blocks.2.q_proj", HEAD]},
            {"target_modules": ["attn_out", "ff_out"], "layers_to_transform": [0, 2], "layers_pattern": "blocks"},
            {"target_modules": ["attn_out"], "layers_to_transform": 1},
            {
                "target_modules": ALL_SEVEN,
                "rank_pattern": {"blocks.0.ff_out": 5, "up_proj": 3},
                "alpha_pattern": {"attn_out": 16, r"blocks\.[01]\.q_proj": 32},
            },
            {"target_modules": ["q_proj", "attn_out", "ff_out", "wte"], "use_dora": True},
            {"target_modules": ["wte", HEAD]},
            {"target_modules": ["up_proj", "ff_out"], "lora_bias": True},
            {"target_modules": ["q_proj", "ff_out"], "modules_to_save": [HEAD, "wte", "ff_norm"]},
            {"target_modules": ["k_proj"], "modules_to_save": ["ln_f"]},
            {"target_modules": ["v_proj"], "trainable_token_indices": {"wte": [5, 9]}},
            {"target_modules": ["v_proj"], "trainable_token_indices": [5, 9]},
        ],
        ids=lambda options: " ".join(str(value) for value in options.values())[:60],
    )
    @pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`", "ignore:`lora_bias=True` was passed")
    @pytest.mark.filterwarnings("ignore:Adapter 'default'")
    def test_after_conversion(self, train, folder, tmp_path, random_ids, options):
        source, official = train(**options)
        report = convert_adapter(source, tmp_path / "converted")
        assert report.warnings == []
        assert report.num_tensors == len(load_file(source / "adapter_model.safetensors"))

        input_ids = random_ids(2, 12)
        expected, model = logits(official, input_ids), load(tmp_path / "converted", folder)
        torch.testing.assert_close(logits(model, input_ids), expected, rtol=1e-4, atol=1e-4)
        with official.disable_adapter():
            assert (logits(official, input_ids) - expected).abs().max() > 0.1, "the adapter does something"

        again = convert_adapter(tmp_path / "converted", tmp_path / "back", to="official")
        assert again.num_tensors == report.num_tensors
        before, after = (load_file(path / "adapter_model.safetensors") for path in (source, tmp_path / "back"))
        assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)

    def test_through_every_way_of_loading(self, train, folder, tmp_path, random_ids):
        source, official = train(target_modules=ALL_SEVEN)
        convert_adapter(source, tmp_path / "converted")
        input_ids = random_ids(2, 12)
        expected = logits(official, input_ids)
        injected = LLaDAForMaskedLM.from_pretrained(folder)
        injected.load_adapter(str(tmp_path / "converted"))
        for model in (
            AutoPeftModelForCausalLM.from_pretrained(tmp_path / "converted"),
            AutoModelForMaskedLM.from_pretrained(tmp_path / "converted"),
            injected,
        ):
            torch.testing.assert_close(logits(model.eval(), input_ids), expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")
    def test_an_adapter_of_ours_and_back(self, folder, tmp_path, random_ids):
        """PEFT stores the base weights of adapted embeddings with the adapter, and they are converted too."""
        options = LoraConfig(task_type="CAUSAL_LM", target_modules=["embed_tokens", "lm_head", "down_proj"])
        model = get_peft_model(LLaDAForMaskedLM.from_pretrained(folder), options).eval()
        for name, parameter in model.named_parameters():
            parameter.data += 0.1 * torch.randn_like(parameter) if "lora_" in name else 0
        model.save_pretrained(tmp_path / "ours")
        report = convert_adapter(tmp_path / "ours", tmp_path / "official", to="official")
        assert "base_model.model.model.transformer.wte.base_layer.weight" in load_file(
            tmp_path / "official" / "adapter_model.safetensors"
        )
        assert report.targets == {"down_proj": ["ff_out"], "embed_tokens": ["wte"], "lm_head": ["ff_out"]}
        convert_adapter(tmp_path / "official", tmp_path / "back")
        again = load(tmp_path / "back", folder)
        assert torch.equal(logits(again, random_ids(2, 12)), logits(model, random_ids(2, 12)))

    def test_the_official_modules_load_what_is_converted_for_them(self, train, base, tmp_path, random_ids):
        source, official = train(target_modules=["q_proj", "ff_out"], exclude_modules=[HEAD])
        expected = logits(official, random_ids(2, 12))
        convert_adapter(source, tmp_path / "converted")
        convert_adapter(tmp_path / "converted", tmp_path / "back", to="official")
        edit_config(tmp_path / "back", task_type=None)
        model = PeftModel.from_pretrained(official.unload(), tmp_path / "back").eval()
        assert not hasattr(model.base_model.model.model.transformer.ff_out, "lora_A")
        torch.testing.assert_close(logits(model, random_ids(2, 12)), expected)


class TestConfig:
    """The fields of adapter_config.json after the conversion."""

    @pytest.mark.parametrize(
        "options, expected",
        [
            ({"target_modules": ["q_proj", "attn_out"]}, {"target_modules": ["o_proj", "q_proj"]}),
            ({"target_modules": ["ff_out"]}, {"target_modules": ["down_proj", "lm_head"]}),
            (
                {"target_modules": ["ff_out"], "exclude_modules": [HEAD]},
                {"target_modules": ["down_proj"], "exclude_modules": None},
            ),
            (
                {"target_modules": ["ff_proj"], "layers_to_transform": [1], "layers_pattern": ["blocks"]},
                {"target_modules": ["gate_proj"], "layers_to_transform": [1], "layers_pattern": "layers"},
            ),
            # A pattern may have left out the last layers of a larger model, so the layers are named
            (
                {"target_modules": r".*\.(wte|attn_out)"},
                {"target_modules": ["model.embed_tokens", "o_proj"], "layers_to_transform": [0, 1, 2]},
            ),
            (
                {"target_modules": ["blocks.0.ff_out", "blocks.2.q_proj"]},
                {"target_modules": ["model.layers.0.mlp.down_proj", "model.layers.2.self_attn.q_proj"]},
            ),
            (
                {"target_modules": ["up_proj", "ff_out"], "rank_pattern": {"ff_out": 4, "blocks.1.up_proj": 3}},
                {"rank_pattern": {"down_proj": 4, "lm_head": 4, "model.layers.1.mlp.up_proj": 3}},
            ),
            (
                {"target_modules": ["q_proj"], "modules_to_save": ["wte", HEAD]},
                {"modules_to_save": ["embed_tokens", "lm_head"]},
            ),
            ({"target_modules": ["q_proj"], "modules_to_save": ["ln_f"]}, {"modules_to_save": ["model.norm"]}),
            (
                {"target_modules": ["q_proj"], "trainable_token_indices": {"wte": [3]}},
                {"trainable_token_indices": {"embed_tokens": [3]}},
            ),
        ],
        ids=str,
    )
    @pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")
    def test_fields(self, train, tmp_path, options, expected):
        source, _ = train(**options)
        convert_adapter(source, tmp_path / "converted")
        converted = read_config(tmp_path / "converted")
        assert {name: converted[name] for name in expected} == expected

    def test_the_head_alone(self, train, tmp_path):
        """In official names, `ff_out` alone would adapt the blocks too."""
        source, _ = train(target_modules=[HEAD])
        convert_adapter(source, tmp_path / "converted")
        assert read_config(tmp_path / "converted")["target_modules"] == ["lm_head"]
        convert_adapter(tmp_path / "converted", tmp_path / "back", to="official")
        assert read_config(tmp_path / "back")["target_modules"] == ["model.transformer.ff_out"]

    def test_all_linear_stays(self, train, tmp_path):
        source, _ = train(target_modules=ALL_SEVEN, exclude_modules=[HEAD])
        edit_config(source, target_modules="all-linear", exclude_modules=None)
        convert_adapter(source, tmp_path / "converted")
        assert read_config(tmp_path / "converted")["target_modules"] == "all-linear"

    def test_the_rest_is_kept(self, train, folder, tmp_path):
        source, _ = train(target_modules=["q_proj"], lora_alpha=7, lora_dropout=0.25)
        edit_config(source, a_field_of_tomorrow={"x": 1})
        convert_adapter(source, tmp_path / "converted")
        before, after = read_config(source), read_config(tmp_path / "converted")
        assert after == before
        assert after["base_model_name_or_path"] == str(folder) and after["a_field_of_tomorrow"] == {"x": 1}

    def test_an_old_config_without_newer_fields(self, train, folder, tmp_path, random_ids):
        source, official = train(target_modules=["attn_out"])
        kept = ("peft_type", "r", "lora_alpha", "lora_dropout", "target_modules", "task_type", "bias")
        old = {name: value for name, value in read_config(source).items() if name in kept}
        (source / "adapter_config.json").write_text(json.dumps(old))
        convert_adapter(source, tmp_path / "converted")
        assert read_config(tmp_path / "converted") == old | {"target_modules": ["o_proj"]}
        model = load(tmp_path / "converted", folder)
        torch.testing.assert_close(
            logits(model, random_ids(1, 9)), logits(official, random_ids(1, 9)), rtol=1e-4, atol=1e-4
        )

    def test_the_class_of_an_adapter_without_a_task(self, train, folder, tmp_path):
        source, _ = train(target_modules=["q_proj"])
        mapping = {"base_model_class": "LLaDAModelLM", "parent_library": "transformers_modules.modeling_llada"}
        for case, known in (("a class", mapping), ("no class", None)):
            edit_config(source, auto_mapping=known, task_type=None)
            convert_adapter(source, tmp_path / case)
            for auto_class in (AutoPeftModel, AutoPeftModelForCausalLM):
                model = auto_class.from_pretrained(tmp_path / case)
                assert type(model.base_model.model) is LLaDAForMaskedLM


class TestReport:
    def test_says_what_became_of_what(self, train, tmp_path):
        source, _ = train(target_modules=["q_proj", "ff_out"])
        report = convert_adapter(source, tmp_path / "converted")
        assert report.num_tensors == 14
        assert report.targets == {"ff_out": ["down_proj", "lm_head"], "q_proj": ["q_proj"]}
        assert sorted(report.modules) == [
            ("model.transformer.blocks.*.ff_out", "model.layers.*.mlp.down_proj", [0, 1, 2], 6),
            ("model.transformer.blocks.*.q_proj", "model.layers.*.self_attn.q_proj", [0, 1, 2], 6),
            ("model.transformer.ff_out", "lm_head", [], 2),
        ]
        assert "model.transformer.ff_out -> lm_head: 2 tensors" in str(report)

    def test_llama_names_that_adapted_nothing(self, train, tmp_path):
        """Three of them are no official modules. In our config they would adapt modules without trained matrices."""
        source, _ = train(target_modules=LLAMA_NAMES)
        report = convert_adapter(source, tmp_path / "converted")
        assert read_config(tmp_path / "converted")["target_modules"] == ["k_proj", "q_proj", "up_proj", "v_proj"]
        assert len(report.warnings) == 3
        for name in ("o_proj", "gate_proj", "down_proj"):
            assert report.targets[name] == []
            assert any(f"names {name}, but" in warning for warning in report.warnings)

    def test_a_gap_between_the_layers(self, train, tmp_path):
        source, _ = train(target_modules=["q_proj"])
        edit_tensors(source, lambda tensors: {key: t for key, t in tensors.items() if "blocks.1." not in key})
        report = convert_adapter(source, tmp_path / "converted")
        assert report.warnings == ["model.transformer.blocks.*.q_proj has no tensors in the layers 1"]
        assert read_config(tmp_path / "converted")["layers_to_transform"] == [0, 2]

    def test_a_gap_in_what_a_pattern_names(self, train, tmp_path):
        source, _ = train(target_modules=r".*\.(q_proj|ff_out)")
        edit_tensors(source, lambda tensors: {key: t for key, t in tensors.items() if "blocks.0.ff_out" not in key})
        report = convert_adapter(source, tmp_path / "converted")
        assert report.warnings == ["model.transformer.blocks.*.ff_out has no tensors in the layers 0"]
        assert len(read_config(tmp_path / "converted")["target_modules"]) == 3 + 2 + 1

    def test_layers_that_the_model_did_not_have(self, train, tmp_path):
        source, _ = train(target_modules=["q_proj"], layers_to_transform=[1, 7])
        report = convert_adapter(source, tmp_path / "converted")
        assert report.warnings == ["model.transformer.blocks.*.q_proj has no tensors in the layers 7"]
        assert read_config(tmp_path / "converted")["layers_to_transform"] == [1]

    def test_patterns_and_saved_modules_without_tensors(self, train, tmp_path):
        source, _ = train(target_modules=["q_proj"])
        edit_config(source, alpha_pattern={"mlp": 3}, modules_to_save=["score"])
        warnings = convert_adapter(source, tmp_path / "converted").warnings
        assert [warning.split(",")[0] for warning in warnings] == [
            "`alpha_pattern` names mlp",
            "`modules_to_save` names score",
        ]
        assert read_config(tmp_path / "converted")["modules_to_save"] is None


class TestFiles:
    def test_the_tokenizer_goes_along_and_the_optimizer_does_not(self, train, tmp_path):
        source, _ = train(target_modules=["q_proj"])
        for name in ("tokenizer.json", "chat_template.jinja", "optimizer.pt", "trainer_state.json"):
            (source / name).write_text(name)
        report = convert_adapter(source, tmp_path / "new" / "converted")
        assert {path.name for path in (tmp_path / "new" / "converted").iterdir()} == {
            *("README.md", "adapter_config.json", "adapter_model.safetensors"),
            *("chat_template.jinja", "tokenizer.json"),
        }
        assert report.not_copied == ["optimizer.pt", "trainer_state.json"]
        assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "converted"]

    def test_a_bin_file(self, train, tmp_path):
        source, _ = train(target_modules=["q_proj"])
        convert_adapter(source, tmp_path / "expected")
        torch.save(load_file(source / "adapter_model.safetensors"), source / "adapter_model.bin")
        (source / "adapter_model.safetensors").unlink()
        convert_adapter(source, tmp_path / "converted")
        expected, found = (load_file(tmp_path / n / "adapter_model.safetensors") for n in ("expected", "converted"))
        assert expected.keys() == found.keys() and all(torch.equal(expected[key], found[key]) for key in expected)

    def test_a_bin_file_cannot_run_code(self, train, tmp_path):
        source, _ = train(target_modules=["q_proj"])
        (source / "adapter_model.safetensors").unlink()
        torch.save({"x": print}, source / "adapter_model.bin")
        with pytest.raises(OSError, match="damaged or unsafe file adapter_model.bin"):
            convert_adapter(source, tmp_path / "converted")

    def test_overwrite(self, train, tmp_path):
        source, _ = train(target_modules=["q_proj"])
        destination = tmp_path / "converted"
        convert_adapter(source, destination)
        (destination / "old.txt").write_text("of the last conversion")
        with pytest.raises(ValueError, match="must be new or empty.*`overwrite=True`"):
            convert_adapter(source, destination)
        with pytest.raises(ValueError, match="must not contain the source"):
            convert_adapter(source, source, overwrite=True)
        assert (destination / "old.txt").exists()
        convert_adapter(source, destination, overwrite=True)
        assert not (destination / "old.txt").exists()

    def test_into_the_source_and_through_a_link(self, train, tmp_path):
        source, _ = train(target_modules=["q_proj"])
        assert convert_adapter(source, source / "converted").not_copied == []
        (tmp_path / "link").symlink_to(source / "converted")
        convert_adapter(source, tmp_path / "link", overwrite=True)
        assert (tmp_path / "link").is_symlink() and (tmp_path / "link" / "adapter_config.json").exists()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "official"]

    def test_an_interrupted_conversion_leaves_nothing(self, train, tmp_path, monkeypatch):
        from modeling_llada.adapters import conversion

        source, _ = train(target_modules=["q_proj"])
        convert_adapter(source, tmp_path / "converted")
        before = sorted(path.name for path in tmp_path.iterdir())

        def interrupted(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(conversion, "copy_other_files", interrupted)
        with pytest.raises(KeyboardInterrupt):
            convert_adapter(source, tmp_path / "converted", overwrite=True)
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        assert (tmp_path / "converted" / "README.md").exists(), "the adapter that was there still is"


def without(part):
    return lambda tensors: {key: tensor for key, tensor in tensors.items() if key != f"{FIRST_LAYER}.{part}"}


def with_tensor(key, *shape):
    return lambda tensors: tensors | {key: torch.ones(shape)}


class TestErrors:
    """An error writes nothing."""

    @pytest.mark.parametrize(
        "change, message",
        [
            (without("q_proj.lora_B.weight"), "blocks.0.q_proj has lora_A.weight, but no lora_B.weight"),
            (without("q_proj.lora_A.weight"), "blocks.0.q_proj has lora_B.weight, but no lora_A.weight"),
            (
                with_tensor(f"{FIRST_LAYER}.q_proj.lora_A.weight", 5, 32),
                r"shapes \(5, 32\) and \(32, 2\), but the rank 2",
            ),
            (with_tensor(f"{FIRST_LAYER}.q_proj.lora_B.weight", 16, 2), r"blocks.\*.q_proj has other shapes in other"),
            (
                with_tensor(f"{FIRST_LAYER}.q_proj.lora_C.weight", 2, 2),
                "1 tensors that do not belong to a LoRA adapter",
            ),
            (with_tensor("q_proj.lora_A.weight", 2, 2), "do not belong to a LoRA adapter: q_proj.lora_A.weight"),
            (with_tensor(f"{FIRST_LAYER}.att_proj.lora_A.weight", 2, 2), "1 modules that the model does not have"),
            (with_tensor("base_model.model.lm_head.lora_A.weight", 2, 2), "not have: lm_head"),
            (with_tensor(f"{FIRST_LAYER}.q_proj.lora_magnitude_vector", 32), "`use_dora=False`"),
            (
                with_tensor(f"{FIRST_LAYER}.k_proj.base_layer.weight", 32, 32),
                "base_layer.weight, but no LoRA matrices",
            ),
            (with_tensor(f"{FIRST_LAYER}.ff_norm.weight", 32), "weights that `modules_to_save` does not name"),
            (lambda tensors: {}, "has no tensors"),
        ],
    )
    def test_tensors(self, train, tmp_path, change, message):
        source, _ = train(target_modules=["q_proj"])
        edit_tensors(source, change)
        with pytest.raises(ValueError, match=message):
            convert_adapter(source, tmp_path / "converted")
        assert [path.name for path in tmp_path.iterdir()] == ["official"]

    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"peft_type": "LOHA"}, "`peft_type` 'LOHA'"),
            ({"target_modules": ["k_proj"]}, "tensors that `target_modules` does not name"),
            ({"target_modules": r".*blocks\.0\..*"}, "does not name.*: model.transformer.blocks.1.q_proj"),
            ({"exclude_modules": ["q_proj"]}, "tensors that `target_modules` does not name"),
            ({"r": 4}, "but the rank 4"),
            ({"rank_pattern": {"blocks.0.q_proj": 4}}, "blocks.0.q_proj has matrices .* but the rank 4"),
            ({"use_dora": True}, "has no lora_magnitude_vector, but `use_dora=True`"),
            ({"target_parameters": ["wte.weight"]}, "uses target_parameters"),
            ({"trainable_token_indices": {"wte": [1]}}, "no tensor for 'wte' in `trainable_token_indices`"),
        ],
        ids=str,
    )
    def test_config(self, train, tmp_path, changes, message):
        source, _ = train(target_modules=["q_proj"])
        edit_config(source, **changes)
        with pytest.raises(ValueError, match=message):
            convert_adapter(source, tmp_path / "converted")
        assert [path.name for path in tmp_path.iterdir()] == ["official"]

    def test_nothing_to_convert(self, train, tmp_path):
        source, _ = train(target_modules=["ff_out"])
        convert_adapter(source, tmp_path / "converted")
        for folder, to in ((tmp_path / "converted", "canonical"), (source, "official")):
            with pytest.raises(ValueError, match="there is nothing to convert"):
                convert_adapter(folder, tmp_path / "again", to=to)

    def test_no_adapter(self, golden_path, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no adapter_config.json.*hf download"):
            convert_adapter(golden_path, tmp_path / "converted")

    def test_damaged_files(self, train, tmp_path):
        source, _ = train(target_modules=["q_proj"])
        weights = source / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-10])
        with pytest.raises(OSError, match=r"damaged or unsafe file adapter_model.safetensors"):
            convert_adapter(source, tmp_path / "converted")
        weights.unlink()
        with pytest.raises(FileNotFoundError, match="none of the files adapter_model.safetensors and"):
            convert_adapter(source, tmp_path / "converted")
        (source / "adapter_config.json").write_text("{")
        with pytest.raises(ValueError, match="adapter_config.json must be a JSON file"):
            convert_adapter(source, tmp_path / "converted")

    def test_direction(self, tmp_path):
        with pytest.raises(ValueError, match="`to` must be 'canonical' or 'official', but got 'hf'"):
            convert_adapter(tmp_path, tmp_path / "converted", to="hf")


class TestCommand:
    def test_report(self, train, tmp_path, capsys):
        source, _ = train(target_modules=["q_proj", "ff_out", "down_proj"])
        assert main(["convert-adapter", str(source), str(tmp_path / "converted")]) == 0
        out, err = capsys.readouterr()
        lines = out.splitlines()
        assert lines[0] == "14 tensors renamed:"
        assert "  model.transformer.blocks.*.ff_out -> model.layers.*.mlp.down_proj: layers 0-2, 6 tensors" in lines
        assert "  ff_out -> down_proj, lm_head" in lines and "  down_proj -> dropped: no tensors" in lines
        assert lines[-1] == f"written to {tmp_path / 'converted'}"
        assert err.startswith("llada: warning: `target_modules` names down_proj, but") and err.count("\n") == 1

    def test_options(self, train, tmp_path, capsys):
        source, _ = train(target_modules=["q_proj"])
        converted = str(tmp_path / "converted")
        assert main(["convert-adapter", str(source), converted]) == 0
        assert main(["convert-adapter", str(source), converted]) == 2
        err = capsys.readouterr().err
        assert err.startswith("llada: error: `destination` ") and err.count("\n") == 1
        assert main(["convert-adapter", str(source), converted, "--overwrite"]) == 0
        assert main(["convert-adapter", converted, str(tmp_path / "back"), "--to", "official"]) == 0
        assert "layers.*.self_attn.q_proj -> model.transformer.blocks.*.q_proj" in capsys.readouterr().out
