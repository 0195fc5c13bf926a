# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Whoever reads a saved folder gets its weights: the logits are those of the saved model, or there is an error."""

import accelerate
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.saved_tensors import stored
from torch import nn
from transformers import AutoModel, Trainer, TrainingArguments
from transformers.trainer_utils import load_sharded_checkpoint

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.adapters import convert_adapter


FILES = {"adapter": "adapter_model.safetensors", "base": "model.safetensors"}
IDS = torch.arange(2, 14).view(2, 6)


def logits_of(model):
    with torch.no_grad():
        return model(IDS)[0]


both_heads = pytest.mark.parametrize("saved", [False, True], ids=["untied", "tied"], indirect=True)


@pytest.fixture(scope="module")
def made():
    """The saved models, for all tests."""
    return {}


@pytest.fixture
def saved(request, tiny_model, made, tmp_path_factory):
    """A saved model, untied by default, the parent of its two folders, and another model of the same shape."""
    tied = getattr(request, "param", False)
    if tied not in made:
        model, folder = tiny_model(tie_word_embeddings=tied), tmp_path_factory.mktemp("saved")
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(parameter.numel()))
        model.save_pretrained(folder / "one file")
        model.save_pretrained(folder / "shards", max_shard_size="70KB")
        made[tied] = model, folder
    return *made[tied], tiny_model(tie_word_embeddings=tied)


def test_the_other_model_is_another(saved):
    model, folder, other = saved
    assert not torch.equal(logits_of(other), logits_of(model))
    assert len(list((folder / "shards").glob("*.safetensors"))) > 1


def official(folder):
    return load_file(folder / "one file" / "model.safetensors")


def with_prefix(prefix, tensors):
    return {prefix + name: tensor for name, tensor in tensors.items()}


@both_heads
class TestStateDicts:
    @pytest.mark.parametrize("strict", [True, False])
    def test_of_a_file(self, saved, strict):
        model, folder, other = saved
        tensors = official(folder)
        if model.config.tie_word_embeddings:
            tensors["model.transformer.ff_out.weight"] = tensors[
                "model.transformer.wte.weight"
            ]  # strict: nothing lacks
        result = other.load_state_dict(tensors, strict=strict)
        assert not result.missing_keys and not result.unexpected_keys
        assert torch.equal(logits_of(other), logits_of(model))

    def test_a_tied_head_need_not_be_there(self, saved):
        model, folder, other = saved
        other.load_state_dict(official(folder), strict=False)
        assert torch.equal(logits_of(other), logits_of(model))

    def test_the_backbone_alone(self, saved):
        model, folder, other = saved
        other.model.load_state_dict(official(folder), strict=False)
        assert torch.equal(logits_of(other.model), logits_of(model.model))

    def test_the_backbone_has_no_place_for_a_head(self, saved):
        model, folder, other = saved
        if not model.config.tie_word_embeddings:
            with pytest.raises(RuntimeError, match='Unexpected key.*"lm_head.weight"'):
                other.model.load_state_dict(official(folder))

    def test_the_file_of_a_backbone(self, saved, tmp_path):
        """`LLaDAModel.save_pretrained` leaves the prefix `model.` away."""
        model, folder, other = saved
        model.model.save_pretrained(tmp_path / "backbone")
        tensors = load_file(tmp_path / "backbone" / "model.safetensors")
        assert "transformer.wte.weight" in tensors
        other.model.load_state_dict(tensors)
        assert torch.equal(logits_of(other.model), logits_of(model.model))
        whole = LLaDAForMaskedLM(model.config).eval()
        whole.load_state_dict(tensors, strict=False)
        assert torch.equal(logits_of(whole.model), logits_of(model.model))

    @pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "base_model.model."])
    def test_of_a_wrapped_model(self, saved, prefix):
        """DDP, `torch.compile` and PEFT put a prefix before all names."""
        model, folder, other = saved
        wrapper = other
        for name in reversed(prefix.split(".")[:-1]):
            inside, wrapper = wrapper, nn.Module()
            wrapper.add_module(name, inside)
        result = wrapper.load_state_dict(with_prefix(prefix, official(folder)), strict=False)
        assert not result.unexpected_keys
        assert torch.equal(logits_of(other), logits_of(model))

    def test_the_own_names_still_fit(self, saved, tmp_path):
        model, folder, other = saved
        torch.save(model.state_dict(), tmp_path / "state.pt")
        other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        assert torch.equal(logits_of(other), logits_of(model))

    def test_unknown_names_stay_an_error(self, saved):
        _, folder, other = saved
        with pytest.raises(RuntimeError, match="Unexpected key.*layers.0.self_attn.q_norm.weight"):
            other.load_state_dict(official(folder) | {"model.transformer.blocks.0.self_attn.q_norm.weight": IDS})

    @pytest.mark.parametrize("name", ["q_proj.weight.absmax", "attn_out.lora_A.weight", "unknown.weight"])
    def test_a_tensor_without_a_module_is_an_error(self, saved, name):
        """A quantized file, or an adapter whose config has the official names: a part of it would be used."""
        _, folder, other = saved
        with pytest.raises(RuntimeError, match="has no module for 1 official names, such as model.layers.1"):
            other.load_state_dict(official(folder) | {f"model.transformer.blocks.1.{name}": IDS}, strict=False)

    def test_saving_them_gives_the_same_file(self, saved, tmp_path):
        model, folder, other = saved
        other.save_pretrained(tmp_path / "again", state_dict=official(folder))
        assert stored(tmp_path / "again").keys() == official(folder).keys()
        assert torch.equal(logits_of(AutoModel.from_pretrained(tmp_path / "again")), logits_of(model))


def test_names_of_an_adapter(tiny_model):
    """A state dict of PEFT has the names of adapted modules with more parts in and behind them."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    first, second = (peft.get_peft_model(tiny_model(), config) for _ in range(2))
    names = {"layers": "transformer.blocks", ".self_attn.q_proj": ".q_proj", ".mlp.down_proj": ".ff_out"}
    tensors = {}
    for name, tensor in first.state_dict().items():
        for canonical, official_name in names.items():
            name = name.replace(canonical, official_name)
        tensors[name] = tensor
    second.load_state_dict(tensors)
    assert torch.equal(logits_of(second), logits_of(first))


@pytest.mark.parametrize("targets", [["q_proj"], ["q_proj", "attn_out"]], ids=["same names", "other names"])
def test_an_adapter_with_official_names(tiny_model, tmp_path, targets):
    """PEFT finds the modules whose official name is the canonical one, and would leave the rest of the adapter out."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "o_proj"][: len(targets)], init_lora_weights=False)
    model = peft.get_peft_model(tiny_model(), config)
    model.save_pretrained(tmp_path / "canonical")
    convert_adapter(tmp_path / "canonical", tmp_path / "official", to="official")
    readers = (
        (lambda: peft.PeftModel.from_pretrained(tiny_model(), tmp_path / "official"), RuntimeError),
        (
            lambda: load_natively(tiny_model(), tmp_path / "official"),
            ValueError,
        ),
    )
    for read, error in readers:
        if targets == ["q_proj"]:
            assert torch.equal(logits_of(read()), logits_of(model))
        else:
            with pytest.raises(error, match="`llada convert-adapter`"):
                read()


def test_an_adapter_or_its_base_lacks_weights(saved, tmp_path):
    """transformers tells only of the adapter's weights when it loads both."""
    peft = pytest.importorskip("peft")
    base = LLaDAForMaskedLM.from_pretrained(saved[1] / "one file")
    base.save_pretrained(tmp_path / "base")
    base.name_or_path = str(tmp_path / "base")
    peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "adapter")
    weights = {name: tmp_path / name / file for name, file in FILES.items()}
    for name, problem in (("adapter", "the adapter lacks 1 weights.*lora_A"), ("base", r"lacks 1 weights.*lm_head")):
        assert isinstance(AutoModel.from_pretrained(tmp_path / "adapter"), LLaDAForMaskedLM)
        whole = load_file(weights[name])
        one = next(key for key in sorted(whole) if "lora_A" in key or key.endswith("transformer.ff_out.weight"))
        save_file({key: tensor for key, tensor in whole.items() if key != one}, weights[name], {"format": "pt"})
        with pytest.raises(ValueError, match=problem):
            AutoModel.from_pretrained(tmp_path / "adapter")
        save_file(whole, weights[name], {"format": "pt"})


def load_natively(model, folder):
    model.load_adapter(str(folder))
    return model


class TestAccelerate:
    @pytest.mark.parametrize("saved", [True], ids=["tied"], indirect=True)
    def test_load_checkpoint_in_model(self, saved):
        model, folder, other = saved
        accelerate.load_checkpoint_in_model(other, folder / "shards")
        assert torch.equal(logits_of(other), logits_of(model))

    def test_a_device_map_is_refused(self, saved):
        """Accelerate would skip all tensors, with a warning."""
        model, folder, other = saved
        with pytest.raises(ValueError, match=r"`device_map` makes accelerate look .* `from_pretrained\(folder"):
            accelerate.load_checkpoint_in_model(other, folder / "one file", device_map={"": "cpu"})
        with pytest.raises(ValueError, match="`device_map` makes accelerate look"):
            accelerate.load_checkpoint_in_model(nn.Sequential(other), folder / "one file", device_map={"": "cpu"})
        with accelerate.init_empty_weights():
            empty = LLaDAForMaskedLM(model.config)
        with pytest.raises(ValueError, match="`device_map` makes accelerate look"):
            accelerate.load_checkpoint_and_dispatch(empty, folder / "shards", device_map="auto")

    def test_save_model(self, saved, tmp_path):
        model, folder, other = saved
        accelerate.Accelerator(cpu=True).save_model(model, tmp_path / "accelerate")
        accelerate.load_checkpoint_in_model(other, tmp_path / "accelerate")
        assert torch.equal(logits_of(other), logits_of(model))
        model.config.save_pretrained(tmp_path / "accelerate")
        assert torch.equal(logits_of(LLaDAForMaskedLM.from_pretrained(tmp_path / "accelerate")), logits_of(model))


class TestPlainTrainer:
    """Trainer of transformers, which knows nothing of the official names."""

    def trainer(self, model, folder, **settings):
        rows = [{"input_ids": row, "labels": row} for row in IDS]
        arguments = TrainingArguments(
            folder, save_strategy="steps", report_to="none", use_cpu=True, disable_tqdm=True, **settings
        )
        return Trainer(model, arguments, train_dataset=rows, eval_dataset=rows)

    @pytest.mark.parametrize("saved", [True], ids=["tied"], indirect=True)
    def test_resume(self, saved, tmp_path):
        _, folder, other = saved
        model = AutoModel.from_pretrained(folder / "one file")
        self.trainer(model, tmp_path / "run", max_steps=1, save_steps=1, learning_rate=0.1).train()
        self.trainer(other, tmp_path / "run", max_steps=1, save_steps=1).train(resume_from_checkpoint=True)
        assert torch.equal(logits_of(other.eval()), logits_of(model.eval()))

    def test_the_best_model(self, saved, tmp_path):
        other = saved[-1]
        best = {"load_best_model_at_end": True, "metric_for_best_model": "loss", "greater_is_better": True}
        steps = {"max_steps": 2, "save_steps": 1, "eval_strategy": "steps", "eval_steps": 1}
        trainer = self.trainer(other, tmp_path / "run", learning_rate=1e-3, **steps, **best)
        trainer.train()
        assert trainer.state.best_model_checkpoint.endswith("checkpoint-1")
        best, last = (AutoModel.from_pretrained(tmp_path / "run" / name) for name in ("checkpoint-1", "checkpoint-2"))
        assert torch.equal(logits_of(other.eval()), logits_of(best))
        assert not torch.equal(logits_of(last), logits_of(best))


def test_load_sharded_checkpoint(saved):
    model, folder, other = saved
    load_sharded_checkpoint(other, folder / "shards", strict=False)
    assert torch.equal(logits_of(other), logits_of(model))
