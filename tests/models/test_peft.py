# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""PEFT on the mask predictor: train, generate, save, reload, merge, without any change or registration in PEFT."""

import warnings

import pytest
import torch
from peft import (
    AutoPeftModelForCausalLM,
    IA3Config,
    LoHaConfig,
    LoraConfig,
    PeftModel,
    VeraConfig,
    get_peft_model,
    prepare_model_for_kbit_training,
)
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, BitsAndBytesConfig, TorchAoConfig

from modeling_llada import LLaDAForMaskedLM


PROJECTIONS = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")


@pytest.fixture
def base(tiny_model, tmp_path):
    """The folder of a checkpoint, which PEFT names in the adapters as their base."""
    tiny_model().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def adapted(base):
    """Puts a random adapter on the checkpoint, by default LoRA on all projections."""

    def make(config=None, folder=base, **options):
        model = LLaDAForMaskedLM.from_pretrained(folder)
        options = {"task_type": "CAUSAL_LM", "r": 4, "target_modules": "all-linear"} | options
        torch.manual_seed(0)
        return randomized(get_peft_model(model, config or LoraConfig(**options)))

    return make


def randomized(model):
    """New adapters have no effect. These have one."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


@torch.no_grad()
def logits(model, input_ids):
    return model(input_ids=input_ids).logits


class TestTargets:
    def test_all_linear_leaves_out_the_head(self, adapted):
        model = adapted()
        names = [name.removesuffix(".lora_A") for name, _ in model.named_modules() if name.endswith(".lora_A")]
        assert {name.rpartition(".")[2] for name in names} == PROJECTIONS
        assert len(names) == 2 * 7

    def test_names_of_llama(self, adapted):
        model = adapted(target_modules=["q_proj", "o_proj", "down_proj"])
        adapted_names = {name.split(".")[-4] for name, _ in model.named_parameters() if "lora_A" in name}
        assert adapted_names == {"q_proj", "o_proj", "down_proj"}

    def test_peft_knows_no_defaults(self, tiny_model):
        with pytest.raises(ValueError, match="specify `target_modules`"):
            get_peft_model(tiny_model(), LoraConfig(task_type="CAUSAL_LM"))


class TestUse:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"steps": 3, "block_length": 4},
            {"temperature": 0.8},
            {"cfg_scale": 1.0},
            {"confidence_threshold": 0.3},
            {"max_new_tokens": 0},
        ],
        ids=str,
    )
    def test_generate(self, adapted, random_ids, options):
        model = adapted()
        input_ids = random_ids(2, 6)
        input_ids[:, 2] = model.config.mask_token_id
        options = {"max_new_tokens": 8, **options}

        def generate(model):
            return model.generate(input_ids=input_ids, generator=torch.Generator().manual_seed(3), **options)

        completions = generate(model)
        assert completions.shape == (2, 6 + options["max_new_tokens"])
        assert not (completions == model.config.mask_token_id).any()
        assert torch.equal(completions, generate(model.get_base_model())), "the wrapper changes nothing"
        if options["max_new_tokens"]:
            with model.disable_adapter():
                assert not torch.equal(completions, generate(model)), "the adapter has a say"

    def test_likelihood(self, adapted, random_ids):
        model, input_ids = adapted(), random_ids(1, 10)

        def score(model):
            generator = torch.Generator().manual_seed(0)
            result = model.log_likelihood(input_ids, labels=input_ids, num_samples=8, generator=generator)
            perplexity = model.perplexity(input_ids, num_samples=8, generator=generator)
            return torch.stack([result.log_likelihood.sum(), torch.as_tensor(perplexity).sum()])

        scores = score(model)
        torch.testing.assert_close(scores, score(model.get_base_model()))
        with model.disable_adapter():
            assert not torch.allclose(scores, score(model), rtol=1e-3)


class TestTraining:
    @pytest.fixture
    def batch(self, random_ids):
        labels = random_ids(4, 12)
        input_ids = torch.where(random_ids(4, 12, seed=1, low=0, high=2).bool(), labels, 98)
        return {"input_ids": input_ids, "labels": labels}

    def test_a_step_moves_the_adapter_and_nothing_else(self, adapted, batch):
        model = adapted().train()
        before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
        first = model(**batch).loss
        first.backward()
        optimizer.step()
        moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
        assert moved == {name for name in before if "lora_" in name}
        assert model(**batch).loss < first

    @pytest.mark.parametrize("use_reentrant", [False, True])
    def test_gradient_checkpointing(self, adapted, batch, use_reentrant):
        def gradients(model):
            model.train()(**batch).loss.backward()
            return {name: p.grad for name, p in model.named_parameters() if p.requires_grad}

        expected, model = gradients(adapted()), adapted()
        model.enable_input_require_grads()  # as Trainer does: a reentrant checkpoint needs it for gradients
        model.activation_checkpointing_enable({"use_reentrant": use_reentrant})
        found = gradients(model)
        assert model.get_base_model().model.gradient_checkpointing
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, msg=name)

    @pytest.mark.parametrize("library", ["torchao", "bitsandbytes"])
    @pytest.mark.filterwarnings("ignore")
    def test_quantized_base(self, tiny_model, batch, tmp_path, library):
        """QLoRA: the layers have 8 or 4 bits, the head and the adapter full precision."""
        tiny_model(hidden_size=64, intermediate_size=64).save_pretrained(tmp_path / "base")

        def load():
            config = quantization_config(library)
            return LLaDAForMaskedLM.from_pretrained(tmp_path / "base", quantization_config=config)

        options = LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear")
        model = randomized(get_peft_model(prepare_model_for_kbit_training(load()), options))
        base = model.get_base_model()
        types = {name: type(module.weight) for name, module in base.named_modules() if name.endswith("base_layer")}
        assert len(types) == 14 and torch.nn.Parameter not in types.values(), "all are quantized"
        assert type(base.lm_head.weight) is torch.nn.Parameter
        model.train()(**batch).loss.backward()
        assert all(p.grad is not None and p.grad.any() for p in model.parameters() if p.requires_grad)

        model.eval().save_pretrained(tmp_path / "adapter")
        again = PeftModel.from_pretrained(load(), tmp_path / "adapter").eval()
        torch.testing.assert_close(logits(again, batch["input_ids"]), logits(model, batch["input_ids"]))


def quantization_config(library):
    if library == "bitsandbytes":
        return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    from torchao.quantization import Int8WeightOnlyConfig

    return TorchAoConfig(Int8WeightOnlyConfig())


class TestSaving:
    @pytest.mark.parametrize("way", ["PeftModel", "load_adapter", "AutoPeftModel", "AutoModel"])
    def test_reload(self, adapted, base, tmp_path, random_ids, way):
        model, input_ids = adapted(), random_ids(2, 10)
        model.save_pretrained(tmp_path / "adapter")
        if way == "PeftModel":
            again = PeftModel.from_pretrained(LLaDAForMaskedLM.from_pretrained(base), tmp_path / "adapter")
        elif way == "load_adapter":
            again = LLaDAForMaskedLM.from_pretrained(base)
            again.load_adapter(str(tmp_path / "adapter"))
        elif way == "AutoPeftModel":
            again = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter")
        else:
            again = AutoModelForMaskedLM.from_pretrained(tmp_path / "adapter")
        again.eval()
        torch.testing.assert_close(logits(again, input_ids), logits(model, input_ids))
        completions = [m.generate(input_ids=input_ids, max_new_tokens=6) for m in (again, model)]
        assert torch.equal(*completions)

    def test_merged_model_is_a_checkpoint_like_any_other(self, adapted, base, tmp_path, random_ids):
        model, input_ids = adapted(), random_ids(2, 10)
        expected = logits(model, input_ids)
        merged = model.merge_and_unload()
        assert type(merged) is LLaDAForMaskedLM
        torch.testing.assert_close(logits(merged, input_ids), expected, rtol=1e-4, atol=1e-4)

        merged.save_pretrained(tmp_path / "merged")
        assert {path.name for path in (tmp_path / "merged").iterdir()} == {path.name for path in base.iterdir()}
        before, after = (load_file(folder / "model.safetensors") for folder in (base, tmp_path / "merged"))
        assert before.keys() == after.keys() and "model.transformer.blocks.0.attn_out.weight" in after
        again, info = AutoModelForMaskedLM.from_pretrained(tmp_path / "merged", output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]
        torch.testing.assert_close(logits(again, input_ids), expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize(
        "config",
        [
            LoraConfig(target_modules="all-linear", use_dora=True),
            LoraConfig(target_modules=["q_proj"], use_rslora=True, layers_to_transform=[1]),
            LoraConfig(target_modules=["q_proj"], modules_to_save=["lm_head"]),
            LoraConfig(target_modules=["q_proj"], trainable_token_indices=[5, 6]),
            LoHaConfig(target_modules=["q_proj", "down_proj"], r=2),
            IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]),
            VeraConfig(target_modules=["q_proj", "o_proj"], r=4),
        ],
        ids=["DoRA", "one layer", "head", "tokens", "LoHa", "IA3", "VeRA"],
    )
    def test_other_adapters(self, adapted, base, tmp_path, random_ids, config):
        model, input_ids = adapted(config), random_ids(2, 10, low=4, high=20)
        expected = logits(model, input_ids)
        assert (expected - logits(LLaDAForMaskedLM.from_pretrained(base), input_ids)).abs().max() > 1e-3
        model.save_pretrained(tmp_path / "adapter")
        again = PeftModel.from_pretrained(LLaDAForMaskedLM.from_pretrained(base), tmp_path / "adapter").eval()
        torch.testing.assert_close(logits(again, input_ids), expected)
        merged = model.merge_and_unload()
        merged.save_pretrained(tmp_path / "merged")
        again = LLaDAForMaskedLM.from_pretrained(tmp_path / "merged")
        torch.testing.assert_close(logits(again, input_ids), expected, rtol=1e-4, atol=1e-4)


class TestTiedEmbeddings:
    """The head is the embedding, as in llada-poet."""

    @pytest.fixture
    def base(self, tiny_model, tmp_path):
        tiny_model(tie_word_embeddings=True).save_pretrained(tmp_path / "base")
        return tmp_path / "base"

    @pytest.mark.parametrize("is_tied, options", [(True, {"ensure_weight_tying": True}), (False, {})])
    @pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
    @pytest.mark.filterwarnings("ignore:Input and output embeddings are no longer tied")
    def test_a_trained_head(self, adapted, base, tmp_path, random_ids, is_tied, options):
        """Without `ensure_weight_tying` the merged checkpoint has a separate head, and its config says so."""
        model, input_ids = adapted(modules_to_save=["lm_head"], **options), random_ids(2, 10)
        expected = logits(model, input_ids)
        model.save_pretrained(tmp_path / "adapter")
        again = PeftModel.from_pretrained(LLaDAForMaskedLM.from_pretrained(base), tmp_path / "adapter").eval()
        torch.testing.assert_close(logits(again, input_ids), expected)

        model.merge_and_unload().save_pretrained(tmp_path / "merged")
        merged = LLaDAForMaskedLM.from_pretrained(tmp_path / "merged")
        assert merged.config.tie_word_embeddings is is_tied
        torch.testing.assert_close(logits(merged, input_ids), expected, rtol=1e-4, atol=1e-4)
        stored = load_file(tmp_path / "merged" / "model.safetensors").keys()
        assert ({"model.transformer.ff_out.weight", "lm_head.weight"} & stored == set()) is is_tied

    @pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
    def test_peft_warns_before_it_merges_both_ends(self, adapted, random_ids, target):
        """A LoRA of the head or the embedding is merged into the weight of both. `all-linear` leaves out both."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = adapted(target_modules=["q_proj", target])
        expected = logits(model, random_ids(2, 10))
        with pytest.warns(UserWarning, match="tied_target_modules"):
            merged = model.merge_and_unload()
        assert (logits(merged, random_ids(2, 10)) - expected).abs().max() > 0.1
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            model = adapted()
            expected = logits(model, random_ids(2, 10))
            merged = model.merge_and_unload()
        torch.testing.assert_close(logits(merged, random_ids(2, 10)), expected, rtol=1e-4, atol=1e-4)
