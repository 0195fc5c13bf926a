# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Loading and saving checkpoints: official keys on disk bit for bit, and no random weights without an error."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.saved_tensors import assert_same_tensors, stored
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    PreTrainedModel,
)

from modeling_llada import LLaDAConfig, LLaDAForMaskedLM, LLaDAModel


LAYER_KEYS = ("attn_norm", "ff_norm", "q_proj", "k_proj", "v_proj", "attn_out", "ff_proj", "up_proj", "ff_out")


def official_keys(num_layers, tied=False):
    """The parameter names of an official checkpoint."""
    keys = {f"model.transformer.blocks.{i}.{key}.weight" for i in range(num_layers) for key in LAYER_KEYS}
    keys |= {"model.transformer.wte.weight", "model.transformer.ln_f.weight"}
    return keys if tied else keys | {"model.transformer.ff_out.weight"}


@pytest.fixture
def checkpoint(golden_path, tmp_path):
    """A copy of the golden checkpoint (config and weights) that a test can damage."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(golden_path / name, folder / name)
    return folder


class TestOfficialCheckpoint:
    @pytest.mark.parametrize("auto_class", [AutoModel, AutoModelForMaskedLM, AutoModelForCausalLM, LLaDAForMaskedLM])
    def test_nothing_is_missing_and_nothing_unexpected(self, golden_path, auto_class):
        model, info = auto_class.from_pretrained(golden_path, output_loading_info=True)
        assert type(model) is LLaDAForMaskedLM
        assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]

    def test_the_backbone_alone_loads_from_it(self, golden_path, golden_model):
        model, info = LLaDAModel.from_pretrained(golden_path, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]
        assert_same_tensors(model.state_dict(), golden_model.model.state_dict())

    @pytest.mark.parametrize("max_shard_size", ["5GB", "100KB"], ids=["one file", "shards"])
    def test_saving_gives_the_official_state_dict_back(self, golden_path, golden_model, tmp_path, max_shard_size):
        golden_model.save_pretrained(tmp_path, max_shard_size=max_shard_size)
        assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (max_shard_size == "100KB")
        assert_same_tensors(stored(tmp_path), load_file(golden_path / "model.safetensors"))
        if max_shard_size == "100KB":
            index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
            assert index["weight_map"].keys() == official_keys(3)
        again, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]
        assert_same_tensors(again.state_dict(), golden_model.state_dict())

    def test_the_config_comes_back_too(self, golden_path, golden_model, tmp_path):
        golden_model.save_pretrained(tmp_path)
        before = json.loads((golden_path / "config.json").read_text())
        after = json.loads((tmp_path / "config.json").read_text())
        renamed = {"architectures", "auto_map", "torch_dtype", "transformers_version"}
        assert {name: after[name] for name in before.keys() - renamed} == {
            name: before[name] for name in before.keys() - renamed
        }
        assert after["architectures"] == ["LLaDAForMaskedLM"]

    def test_canonical_keys_load_as_well(self, checkpoint, golden_model):
        """A state dict that was saved with `torch.save(model.state_dict())` and converted by hand."""
        save_file(golden_model.state_dict(), checkpoint / "model.safetensors", metadata={"format": "pt"})
        model, info = AutoModel.from_pretrained(checkpoint, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]
        assert_same_tensors(model.state_dict(), golden_model.state_dict())

    def test_dtype(self, golden_path, golden_model):
        model = AutoModel.from_pretrained(golden_path, dtype=torch.bfloat16)
        assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
        assert torch.equal(model.lm_head.weight, golden_model.lm_head.weight.bfloat16())
        assert AutoModel.from_pretrained(golden_path, dtype="auto").dtype == torch.float32


class TestOwnCheckpoint:
    @pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
    @pytest.mark.parametrize("max_shard_size", ["5GB", "10KB"], ids=["one file", "shards"])
    def test_a_model_from_scratch_has_the_official_keys_on_disk(self, tiny_model, tmp_path, tied, max_shard_size):
        model = tiny_model(tie_word_embeddings=tied)
        model.save_pretrained(tmp_path, max_shard_size=max_shard_size)
        assert stored(tmp_path).keys() == official_keys(2, tied)
        again, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]
        assert_same_tensors(again.state_dict(), model.state_dict())

    def test_grouped_query_shapes_survive(self, tiny_model, tmp_path):
        model = tiny_model(num_attention_heads=4, num_key_value_heads=1)
        model.save_pretrained(tmp_path)
        assert stored(tmp_path)["model.transformer.blocks.0.k_proj.weight"].shape == (8, 32)
        assert AutoModel.from_pretrained(tmp_path).config.num_key_value_heads == 1

    def test_a_larger_embedding_than_vocabulary(self, tiny_model, tmp_path):
        model = tiny_model(vocab_size=90, embedding_size=99)
        assert model.get_input_embeddings().num_embeddings == model.lm_head.out_features == 99
        model.save_pretrained(tmp_path)
        written = json.loads((tmp_path / "config.json").read_text())
        assert (written["vocab_size"], written["embedding_size"]) == (90, 99)
        assert_same_tensors(AutoModel.from_pretrained(tmp_path).state_dict(), model.state_dict())

    def test_a_bare_backbone_reloads_as_such(self, tiny_model, tmp_path):
        """Its config.json names the class, so `AutoModel` does not add a random head."""
        model = tiny_model(LLaDAModel)
        model.save_pretrained(tmp_path)
        again, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
        assert type(again) is LLaDAModel
        assert not info["missing_keys"] and not info["unexpected_keys"]
        assert_same_tensors(again.state_dict(), model.state_dict())

    def test_a_head_can_be_put_on_a_bare_backbone(self, tiny_model, tmp_path):
        """The backbone is loaded. The head is new and random, as usual in transformers."""
        backbone = tiny_model(LLaDAModel)
        backbone.save_pretrained(tmp_path)
        model, info = LLaDAForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
        assert set(info["missing_keys"]) == {"lm_head.weight"}
        assert_same_tensors(model.model.state_dict(), backbone.state_dict())
        assert torch.isfinite(model.lm_head.weight).all()

    def test_a_state_dict_that_is_passed_in(self, tiny_model, tmp_path):
        model = tiny_model()
        again = LLaDAForMaskedLM.from_pretrained(None, config=model.config, state_dict=model.state_dict())
        assert_same_tensors(again.state_dict(), model.state_dict())

    def test_saving_a_state_dict_that_is_passed_in(self, tiny_model, tmp_path):
        """`Trainer` and accelerate collect the weights first and pass them."""
        model = tiny_model()
        doubled = {name: 2 * tensor for name, tensor in model.state_dict().items()}
        model.save_pretrained(tmp_path, state_dict=doubled)
        assert stored(tmp_path).keys() == official_keys(2)
        assert_same_tensors(AutoModel.from_pretrained(tmp_path).state_dict(), doubled)


class TestDamagedCheckpoint:
    """A mask predictor with a few random layers still writes plausible tokens, so missing weights are an error."""

    def drop(self, checkpoint, dropped):
        tensors = load_file(checkpoint / "model.safetensors")
        kept = {name: tensor for name, tensor in tensors.items() if not dropped(name)}
        assert len(kept) < len(tensors)
        save_file(kept, checkpoint / "model.safetensors", metadata={"format": "pt"})

    @pytest.mark.parametrize("auto_class", [AutoModel, LLaDAForMaskedLM, LLaDAModel])
    def test_a_missing_weight_is_named(self, checkpoint, auto_class):
        self.drop(checkpoint, lambda name: name == "model.transformer.blocks.1.up_proj.weight")
        with pytest.raises(ValueError, match=r"lacks 1 weights .*layers\.1\.mlp\.up_proj\.weight"):
            auto_class.from_pretrained(checkpoint)

    def test_a_mask_predictor_has_a_head(self, checkpoint):
        self.drop(checkpoint, lambda name: name == "model.transformer.ff_out.weight")
        with pytest.raises(ValueError, match=r"lacks 1 weights .*: lm_head\.weight"):
            AutoModel.from_pretrained(checkpoint)

    @pytest.mark.parametrize("name", ["blocks.0.q_proj.bias", "blocks.0.q_norm.weight", "blocks.3.q_proj.weight"])
    def test_a_weight_too_many(self, checkpoint, name):
        """The network that was trained had more parts: without them the model writes something else."""
        tensors = load_file(checkpoint / "model.safetensors") | {f"model.transformer.{name}": torch.ones(8)}
        save_file(tensors, checkpoint / "model.safetensors", metadata={"format": "pt"})
        for auto_class in (AutoModel, LLaDAModel):
            with pytest.raises(ValueError, match=r"has 1 weights too many: .*layers"):
                auto_class.from_pretrained(checkpoint)

    @pytest.mark.parametrize(
        "index",
        ["", "[]", "{}", "[" * 20_000, '{"weight_map": {}}']
        + [json.dumps({"metadata": {}, "weight_map": {"a": name}}) for name in (3, "", "../b", "/b")],
        ids=range(9),
    )
    def test_a_damaged_index(self, golden_model, tmp_path, index):
        golden_model.save_pretrained(tmp_path, max_shard_size="200KB")
        (tmp_path / "model.safetensors.index.json").write_text(index)
        with pytest.raises(OSError, match=f"'{tmp_path}' has a damaged model.safetensors.index.json"):
            AutoModel.from_pretrained(tmp_path)

    def test_integers_without_a_quantization_config(self, checkpoint):
        """The library would take them for weights in silence."""
        tensors = load_file(checkpoint / "model.safetensors")
        name = next(name for name in tensors if "attn_out" in name)
        tensors[name] = tensors[name].to(torch.int8)
        save_file(tensors, checkpoint / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ValueError, match=f"`{name}` in .* has the dtype I8"):
            AutoModel.from_pretrained(checkpoint)

    def test_up_to_ten_missing_weights_are_named(self, checkpoint):
        self.drop(checkpoint, lambda name: ".blocks.1." in name or ".blocks.2." in name)
        with pytest.raises(ValueError, match="lacks 18 weights") as error:
            AutoModel.from_pretrained(checkpoint)
        assert str(error.value).count("model.layers.") == 10

    def test_more_layers_in_the_config_than_in_the_weights(self, checkpoint):
        fields = json.loads((checkpoint / "config.json").read_text())
        (checkpoint / "config.json").write_text(json.dumps(fields | {"n_layers": 4}))
        with pytest.raises(ValueError, match="lacks 9 weights"):
            AutoModel.from_pretrained(checkpoint)

    def test_other_shapes_in_the_config_than_in_the_weights(self, checkpoint):
        fields = json.loads((checkpoint / "config.json").read_text())
        (checkpoint / "config.json").write_text(json.dumps(fields | {"mlp_hidden_size": 128}))
        with pytest.raises(ValueError, match=r"has 9 weights of another size.*\(64, 160\) instead of \(64, 128\)"):
            AutoModel.from_pretrained(checkpoint)

    def test_a_truncated_file(self, checkpoint):
        content = (checkpoint / "model.safetensors").read_bytes()
        (checkpoint / "model.safetensors").write_bytes(content[: len(content) // 2])
        with pytest.raises(OSError, match=f"{checkpoint.name}.*corrupt or truncated"):
            AutoModel.from_pretrained(checkpoint)

    @pytest.mark.parametrize("content", [b"", b"not a safetensors file", bytes(64)], ids=["empty", "text", "zeros"])
    def test_a_corrupt_file(self, checkpoint, content):
        (checkpoint / "model.safetensors").write_bytes(content)
        with pytest.raises(OSError, match=f"{checkpoint.name}.*corrupt or truncated"):
            AutoModel.from_pretrained(checkpoint)

    def test_no_weights_at_all(self, checkpoint):
        (checkpoint / "model.safetensors").unlink()
        with pytest.raises(OSError, match="model.safetensors"):
            AutoModel.from_pretrained(checkpoint)

    def test_a_missing_shard(self, golden_model, tmp_path):
        golden_model.save_pretrained(tmp_path, max_shard_size="100KB")
        sorted(tmp_path.glob("*.safetensors"))[1].unlink()
        with pytest.raises(OSError):
            AutoModel.from_pretrained(tmp_path)

    def test_another_family(self, checkpoint):
        """LLaDA-MoE also has `model_type: llada`, but not these fields."""
        fields = json.loads((checkpoint / "config.json").read_text())
        (checkpoint / "config.json").write_text(json.dumps(fields | {"architectures": ["LLaDAMoEModelLM"]}))
        with pytest.raises(ValueError, match="`d_model` is a field of another family"):
            AutoModel.from_pretrained(checkpoint)


class TestAutoClasses:
    def test_a_config_makes_the_mask_predictor(self, tiny_config):
        for auto_class in (AutoModel, AutoModelForMaskedLM, AutoModelForCausalLM):
            assert type(auto_class.from_config(tiny_config())) is LLaDAForMaskedLM
        assert type(AutoModel.from_config(tiny_config(architectures=["LLaDAModel"]))) is LLaDAModel

    @pytest.mark.parametrize("trust_remote_code", [None, False, True], ids=str)
    def test_registered_classes_win_over_remote_code(self, checkpoint, golden, trust_remote_code):
        """The official folders contain code that no longer runs. Here it would fail at once."""
        assert "auto_map" in json.loads((checkpoint / "config.json").read_text())
        for name in ("configuration_llada.py", "modeling_llada.py"):
            (checkpoint / name).write_text("raise RuntimeError('the remote code was executed')\n")
        kwargs = {} if trust_remote_code is None else {"trust_remote_code": trust_remote_code}
        assert type(AutoConfig.from_pretrained(checkpoint, **kwargs)) is LLaDAConfig
        for auto_class in (AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM):
            model = auto_class.from_pretrained(checkpoint, **kwargs)
            assert type(model) is LLaDAForMaskedLM
        with torch.no_grad():
            logits = model(golden.tensors["forward.input_ids"]).logits
        torch.testing.assert_close(logits, golden.tensors["forward.logits"], rtol=1e-4, atol=3e-5)

    def test_importing_twice_is_harmless(self):
        import importlib

        import modeling_llada

        importlib.reload(modeling_llada)
        assert modeling_llada.LLaDAForMaskedLM is LLaDAForMaskedLM

    def test_our_mixin_is_not_replaced_by_the_autoregressive_one(self, golden_model):
        """The official model on transformers 4.46 silently decoded from left to right."""
        from transformers import GenerationMixin

        assert isinstance(golden_model, PreTrainedModel) and not isinstance(golden_model, GenerationMixin)
        assert golden_model.can_generate()


class TestResize:
    @pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
    @pytest.mark.parametrize("rows", [120, 80], ids=["grow", "shrink"])
    def test_resize_save_reload(self, tiny_model, tmp_path, tied, rows):
        """The official class cannot load such a checkpoint, because its `embedding_size` is not updated."""
        model = tiny_model(tie_word_embeddings=tied, vocab_size=90, embedding_size=99, mask_token_id=50)
        before = model.get_input_embeddings().weight[:80].detach().clone()
        model.resize_token_embeddings(rows, mean_resizing=False)
        assert model.config.vocab_size == model.lm_head.out_features == rows
        model.save_pretrained(tmp_path)
        written = json.loads((tmp_path / "config.json").read_text())
        assert (written["vocab_size"], written["embedding_size"]) == (rows, rows)

        again, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]
        assert torch.equal(again.get_input_embeddings().weight[:80], before)
        assert_same_tensors(again.state_dict(), model.state_dict())
        assert (again.lm_head.weight is again.get_input_embeddings().weight) == tied
        assert again(torch.tensor([[1, 2, 50]])).logits.shape == (1, 3, rows)

    def test_asking_for_the_size_or_resizing_to_it_changes_nothing(self, tiny_model, tmp_path):
        model = tiny_model(vocab_size=90, embedding_size=99)
        model.resize_token_embeddings()
        model.resize_token_embeddings(99)
        model.save_pretrained(tmp_path)
        written = json.loads((tmp_path / "config.json").read_text())
        assert (written["vocab_size"], written["embedding_size"]) == (90, 99)
