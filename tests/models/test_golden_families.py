# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The other families: their official folders load, give what the public code gave (tests/golden/*/README.md), and are
written back bit for bit."""

import json

import pytest
import torch
from safetensors.torch import load_file
from support.golden_families import CASES, FAMILIES, ON_WHOLE_ROWS, golden_of
from support.saved_tensors import assert_same_tensors, stored
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.export import export_checkpoint


@pytest.fixture(params=FAMILIES)
def family(request):
    return golden_of(request.param)


def each(cases):
    return pytest.mark.parametrize(("name", "case"), cases, ids=[f"{name}-{case['case']}" for name, case in cases])


class TestForward:
    def test_logits(self, family):
        with torch.no_grad():
            logits = family.model(family.tensors["forward.input_ids"], **family.forward_options).logits
        torch.testing.assert_close(logits, family.logits, rtol=0, atol=2e-4)

    def test_left_padded_logits(self, family):
        inputs = {
            name: family.tensors[f"forward_padded.{name}"] for name in ("input_ids", "attention_mask", "position_ids")
        }
        with torch.no_grad():
            logits = family.model(**inputs, **family.forward_options).logits
        kept = inputs["attention_mask"].bool()
        name = "logits" if family.forward_options else "logits_with_position_ids"
        expected = family.tensors[f"forward_padded.{name}"]
        assert not kept.all()
        torch.testing.assert_close(logits[kept], expected[kept], rtol=0, atol=2e-4)

    def test_the_loss_is_that_of_the_logits_not_shifted(self, family):
        input_ids, expected = family.tensors["forward.input_ids"], family.logits
        options = family.forward_options
        labels = input_ids.roll(1)
        positions = torch.tensor([1, 5, 30, -1])
        with torch.no_grad():
            loss = family.model(input_ids, labels=labels, **options).loss
            output = family.model(input_ids, labels=labels, masked_positions=positions, **options)
        expected, labels = expected.flatten(0, 1), labels.flatten()
        torch.testing.assert_close(loss, cross_entropy(expected, labels), rtol=1e-4, atol=1e-4)
        each_loss = cross_entropy(expected[positions[:3]], labels[positions[:3]], reduction="none")
        torch.testing.assert_close(output.losses[:3], each_loss, rtol=1e-4, atol=2e-4)


class TestGenerate:
    @each(CASES)
    def test_sequences_are_token_exact_with_as_many_forward_passes(self, name, case):
        golden = golden_of(name)
        prompt, attention_mask, sequences = golden.prompt_of(case)
        output = golden.model.generate(
            prompt, attention_mask=attention_mask, return_dict_in_generate=True, **golden.options_of(case)
        )
        assert torch.equal(output.sequences, sequences)
        assert output.num_forward_passes.tolist() == [case["forward_passes"]] * case["batch"]

    @each([(name, case) for name, case in CASES if case["batch"] > 1])
    def test_a_row_of_a_padded_batch_equals_the_row_by_itself(self, name, case):
        golden = golden_of(name)
        prompt, attention_mask, sequences = golden.prompt_of(case)
        for row, padding in enumerate(case["left_padding"]):
            assert int((attention_mask[row] == 0).sum()) == padding
            alone = golden.model.generate(prompt[row : row + 1, padding:], **golden.options_of(case))
            assert torch.equal(alone[0], sequences[row, padding:])

    @pytest.mark.parametrize("block_cache", ["prefix", "dual"])
    def test_block_caches(self, family, block_cache):
        options = family.options_of(family.values["cases"][0]) | {"steps": None, "block_cache": block_cache}
        prompt = family.prompt_of(family.values["cases"][0])[0]
        output = family.model.generate(prompt, **options)
        assert output.shape == (1, prompt.shape[1] + options["max_new_tokens"])
        assert not (output == family.model.config.mask_token_id).any()


class TestFiles:
    @pytest.mark.parametrize("auto_class", [AutoModel, AutoModelForMaskedLM, AutoModelForCausalLM])
    def test_nothing_is_missing_and_nothing_unexpected(self, family, auto_class):
        model, info = auto_class.from_pretrained(family.folder, output_loading_info=True)
        assert type(model) is family.model_class
        assert not any(info.values())

    def test_the_backbone_alone(self, family, tmp_path):
        backbone_class = family.model_class.backbone_class
        model, info = backbone_class.from_pretrained(family.folder, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]
        assert_same_tensors(model.state_dict(), family.model.model.state_dict())
        model.save_pretrained(tmp_path)
        assert type(AutoModel.from_pretrained(tmp_path)) is backbone_class

    @pytest.mark.parametrize("max_shard_size", ["5GB", "200KB"])
    def test_saving_gives_the_official_tensors_back(self, family, tmp_path, max_shard_size):
        family.model.save_pretrained(tmp_path, max_shard_size=max_shard_size)
        assert_same_tensors(stored(tmp_path), family.weights)
        assert type(AutoModel.from_pretrained(tmp_path)) is family.model_class

    def test_export_in_the_official_layout(self, family, tmp_path):
        source, out = tmp_path / "source", tmp_path / "exported"
        source.mkdir()
        before = json.loads((family.folder / "config.json").read_text())
        # The vocabulary of the golden checkpoint is too small for the mask token of the family.
        fields = before | {"mask_token_id": family.values["special_ids"]["mask"]}
        (source / "config.json").write_text(json.dumps(fields))
        (source / "model.safetensors").symlink_to(family.folder / "model.safetensors")
        export_checkpoint(source, out, layout="official", include_tokenizer=False)
        after = json.loads((out / "config.json").read_text())
        # `auto_map` names files that are not in the folder.
        kept = before.keys() - {"auto_map", "transformers_version"}
        assert {name: after.get(name, "absent") for name in kept} == {name: before[name] for name in kept}
        assert "auto_map" not in after and not list(out.glob("*.py"))
        assert_same_tensors(load_file(out / "model.safetensors"), family.weights)
        assert before["architectures"][0] in (out / "README.md").read_text()

    @pytest.mark.filterwarnings("ignore:Attempting to save a model with offloaded modules")
    def test_layers_on_the_disk(self, family, tmp_path):
        """They are read when they are used, and saved like the others."""
        parts = ("model.embed_tokens", "model.layers.0", "model.norm", "model.rotary_emb", "lm_head")
        device_map = dict.fromkeys(parts, "cpu") | {"model.layers.1": "disk", "model.layers.2": "disk"}
        options = {"device_map": device_map, "offload_folder": tmp_path / "offloaded", "dtype": torch.float32}
        model = AutoModelForMaskedLM.from_pretrained(family.folder, **options)
        with torch.no_grad():
            logits = model(family.tensors["forward.input_ids"], **family.forward_options).logits
        torch.testing.assert_close(logits, family.logits, rtol=0, atol=2e-4)
        model.save_pretrained(tmp_path / "saved")
        assert_same_tensors(stored(tmp_path / "saved"), family.weights)

    def test_half_precision(self, family):
        model = AutoModelForMaskedLM.from_pretrained(family.folder, dtype="bfloat16")
        assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
        assert model(family.tensors["forward.input_ids"]).logits.isfinite().all()


class TestFamilies:
    def test_the_config_class_follows_from_the_architectures(self, family):
        config = AutoConfig.from_pretrained(family.folder)
        assert type(config) is family.model_class.config_class
        assert config.architectures == json.loads((family.folder / "config.json").read_text())["architectures"]

    def test_the_class_of_another_family(self, family):
        for model_class in {LLaDAForMaskedLM, *FAMILIES.values()} - {family.model_class}:
            with pytest.raises(ValueError, match="is for .*`AutoModelForMaskedLM`"):
                model_class.from_pretrained(family.folder)

    def test_the_weights_of_another_family(self, family, golden_path, tmp_path):
        """The config of one family, and the weights of the dense one."""
        (tmp_path / "config.json").write_text((family.folder / "config.json").read_text())
        (tmp_path / "model.safetensors").symlink_to(golden_path / "model.safetensors")
        with pytest.raises(ValueError, match="its config.json describes another network"):
            AutoModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("family", ON_WHOLE_ROWS, indirect=True)
class TestLikelihood:
    def test_the_estimate_is_that_of_all_masks(self, family):
        """Eq. 6 by enumeration: an answer of two tokens has three sets of masks."""
        mask, input_ids = family.values["special_ids"]["mask"], family.tensors["forward.input_ids"][:1, :8].clone()
        input_ids[input_ids == mask] = 7
        labels = input_ids.clone()
        labels[:, :-2] = -100
        expected = 0.0
        for masked in ([6], [7], [6, 7]):
            noisy = input_ids.clone()
            noisy[0, masked] = mask
            with torch.no_grad():
                log_probs = family.model(noisy).logits[0].log_softmax(-1)
            expected += sum(log_probs[position, input_ids[0, position]].item() for position in masked) / 2
        generator = torch.Generator().manual_seed(0)
        result = family.model.log_likelihood(
            input_ids, labels=labels, num_samples=256, batch_size=256, generator=generator
        )
        assert abs(result.log_likelihood.item() - expected) < 4 * result.standard_error.item() + 1e-3
