# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Fine-tuning of adapters: on a quantized base, in the variants of LoRA, begun elsewhere, and beside a tied head."""

import importlib.util
import logging
import re

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BitsAndBytesConfig, TorchAoConfig, pipeline


pytest.importorskip("trl", reason="TRL is not part of this environment")

from peft import AutoPeftModelForCausalLM, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from support.official_model import OfficialModel
from support.sft_runs import MESSAGES, losses_of, sft_trainer, weights_of

from modeling_llada import LLaDAConfig, LLaDAForMaskedLM
from modeling_llada.adapters import convert_adapter
from modeling_llada.loading import load_checkpoint


INPUT_IDS = torch.arange(10, 30)[None]


@pytest.fixture(autouse=True)
def quiet():
    """bitsandbytes says at every layer that it casts the inputs."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


@pytest.fixture(scope="module")
def base(poet_folder, tmp_path_factory):
    """A checkpoint of sizes that the 4-bit kernels of a CPU accept, with a tied head."""
    torch.manual_seed(0)
    config = LLaDAConfig.from_pretrained(poet_folder)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = {name: getattr(config, name) for name in ("vocab_size", "mask_token_id", "eos_token_id", "pad_token_id")}
    folder = tmp_path_factory.mktemp("base")
    model = LLaDAForMaskedLM(LLaDAConfig(**sizes, **ids, tie_word_embeddings=True, initializer_range=0.1))
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(poet_folder).save_pretrained(folder)
    return folder


@pytest.fixture
def trainer_of(base, tmp_path):
    """Makes a trainer of the adapter of a model that is loaded by the trainer, or given; settings are arguments."""

    def make(quantization_config=None, model=None, **settings):
        if quantization_config is not None:
            model, settings["quantization_config"] = str(base), quantization_config
        return sft_trainer(base, tmp_path / "run", MESSAGES, eval_dataset=MESSAGES, model=model, **settings)

    return make


def load(base, quantization_config=None):
    return LLaDAForMaskedLM.from_pretrained(base, quantization_config=quantization_config)


@torch.no_grad()
def logits(model):
    return model.eval()(INPUT_IDS).logits


def assert_only_the_adapter_has_changed(trainer, before):
    for name, value in weights_of(trainer).items():
        values = [it.dequantize() if hasattr(it, "qdata") else it for it in (value, before[name])]
        assert torch.equal(*values) != ("lora_" in name), name


def adapted_modules(model):
    return {name.split(".")[-4] for name, _ in model.named_parameters() if "lora_A" in name}


def nf4(**options):
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", **options)


def int8():
    return BitsAndBytesConfig(load_in_8bit=True)


def torchao_int8():
    from torchao.quantization import Int8WeightOnlyConfig

    return TorchAoConfig(Int8WeightOnlyConfig())


def needs(library):
    missing = importlib.util.find_spec(library) is None
    return pytest.mark.skipif(missing, reason=f"{library} is not part of this environment")


QUANTIZATIONS = [
    pytest.param(nf4, marks=needs("bitsandbytes")),
    pytest.param(int8, marks=needs("bitsandbytes")),
    pytest.param(torchao_int8, marks=needs("torchao")),
]


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
class TestQuantizedBase:
    """QLoRA: the projections in 4 or 8 bits, all else in the precision that it was loaded in."""

    def test_trains_the_adapter_alone(self, trainer_of, quantization):
        trainer = trainer_of(
            quantization(), peft_config=LoraConfig(r=4), max_steps=30, gradient_checkpointing=True, logging_steps=30
        )
        model = trainer.model.get_base_model()
        layers = {name: module for name, module in model.named_modules() if name.endswith("base_layer")}
        assert len(layers) == 2 * 7 and not any(type(it.weight) is torch.nn.Parameter for it in layers.values())
        for exact in (
            model.lm_head,
            model.model.embed_tokens,
            model.model.norm,
            model.model.layers[0].input_layernorm,
        ):
            assert type(exact.weight) is torch.nn.Parameter and exact.weight.dtype == torch.float32
        assert model.lm_head.weight is model.model.embed_tokens.weight
        before, loss = weights_of(trainer), trainer.evaluate()["eval_loss"]
        trainer.train()
        assert_only_the_adapter_has_changed(trainer, before)
        assert trainer.evaluate()["eval_loss"] < loss - 0.3

    def test_an_evaluation_changes_nothing(self, trainer_of, quantization):
        """On some CPUs bitsandbytes repacks 4-bit weights in an evaluation; gradients do not get through those."""
        plain, evaluated = (trainer_of(quantization(), peft_config=LoraConfig(r=4)) for _ in range(2))
        evaluated.evaluate()
        plain.train()
        evaluated.train()
        assert losses_of(evaluated) == losses_of(plain)

    def test_saved_reloaded_and_merged(self, trainer_of, base, tmp_path, quantization):
        trainer = trainer_of(quantization(), peft_config=LoraConfig(r=4))
        trainer.train()
        trainer.save_model(str(tmp_path / "adapter"))
        expected = logits(trainer.model)
        again = PeftModel.from_pretrained(load(base, quantization()), tmp_path / "adapter")
        # PEFT loads into float32 what was trained in bfloat16.
        assert (logits(again) - expected).norm() < 0.03 * expected.norm()

        exact = PeftModel.from_pretrained(load(base), tmp_path / "adapter")
        adapted = logits(exact)
        change = (adapted - logits(load(base))).norm()
        assert (adapted - expected).norm() < 0.5 * expected.norm()
        assert change > 0.1 * adapted.norm(), "or the adapter might be missing"
        merged = exact.merge_and_unload()
        merged.save_pretrained(tmp_path / "merged")
        torch.testing.assert_close(logits(load(tmp_path / "merged")), adapted, rtol=1e-4, atol=1e-4)

    def test_resumes(self, trainer_of, quantization, tmp_path):
        settings = {"max_steps": 4, "lr_scheduler_type": "constant", "save_strategy": "steps", "save_steps": 2}
        whole = trainer_of(quantization(), peft_config=LoraConfig(r=4), **settings)
        whole.train()
        resumed = trainer_of(quantization(), peft_config=LoraConfig(r=4), **settings)
        resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
        assert losses_of(resumed) == pytest.approx(losses_of(whole), rel=1e-5)

    def test_without_an_adapter(self, trainer_of, quantization):
        with pytest.raises(ValueError, match="attach trainable adapters"):
            trainer_of(quantization())


@needs("bitsandbytes")
class TestPrecision:
    """TRL calls no `prepare_model_for_kbit_training`; it casts LoRA matrices on bitsandbytes to bfloat16, as QLoRA."""

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_of_the_adapter_and_the_base(self, trainer_of, dtype):
        trainer = trainer_of(
            nf4(bnb_4bit_compute_dtype=dtype),
            peft_config=LoraConfig(r=4, use_dora=True),
            bf16=dtype == "bfloat16",
            model_init_kwargs={"dtype": dtype},
        )
        found = ((re.search(r"lora_(\w+)", name), value.dtype) for name, value in trainer.model.named_parameters())
        types = {match[1]: dtype for match, dtype in found if match}
        assert types == {"A": torch.bfloat16, "B": torch.bfloat16, "magnitude_vector": torch.float32}
        layer = trainer.model.get_base_model().model.layers[0]
        assert layer.input_layernorm.weight.dtype == getattr(torch, dtype)
        assert layer.self_attn.q_proj.base_layer.compute_dtype == getattr(torch, dtype)
        assert trainer.train().training_loss > 0

    def test_a_model_whose_weights_are_repacked(self, trainer_of, base):
        model = load(base, nf4()).eval()
        if not model.model.layers[0].mlp.up_proj.support_avx512bf16_for_cpu:
            pytest.skip("this CPU has no AVX-512 BF16")
        logits(model)
        with pytest.raises(ValueError, match="`model` was called before training.*Load it again"):
            trainer_of(model=model, peft_config=LoraConfig(r=4))


class TestVariants:
    @pytest.mark.parametrize("variant", ["use_dora", "use_rslora"])
    def test_on_all_projections_saved_reloaded_and_merged(self, trainer_of, base, tmp_path, variant):
        trainer = trainer_of(peft_config=LoraConfig(r=4, lora_alpha=8, **{variant: True}), max_steps=10)
        assert adapted_modules(trainer.model) == {
            *("q_proj", "k_proj", "v_proj", "o_proj"),
            *("gate_proj", "up_proj", "down_proj"),
        }
        torch.testing.assert_close(logits(trainer.model), logits(load(base)), rtol=1e-4, atol=1e-5)
        before = weights_of(trainer)
        trainer.train()
        assert_only_the_adapter_has_changed(trainer, before)
        trainer.save_model(str(tmp_path / "adapter"))
        expected = logits(trainer.model)
        again = PeftModel.from_pretrained(load(base), tmp_path / "adapter")
        torch.testing.assert_close(logits(again), expected, rtol=1e-5, atol=1e-5)
        again.merge_and_unload().save_pretrained(tmp_path / "merged")
        torch.testing.assert_close(logits(load(tmp_path / "merged")), expected, rtol=1e-4, atol=1e-4)


class TestBegunElsewhere:
    """Adapters that were trained on the official modules."""

    @pytest.fixture
    def official(self, base, tmp_path):
        def save(*target_modules):
            model = OfficialModel(LLaDAConfig.from_pretrained(base))
            model.load_state_dict(load_file(base / "model.safetensors"), strict=False)  # the head is tied
            torch.manual_seed(1)
            model = get_peft_model(model, LoraConfig(r=4, target_modules=list(target_modules)))
            for name, parameter in model.named_parameters():
                parameter.data += 0.05 * torch.randn_like(parameter) * ("lora_B" in name)
            model.peft_config["default"].task_type = "CAUSAL_LM"
            model.save_pretrained(tmp_path / "official")
            return tmp_path / "official"

        return save

    def test_goes_on_with_a_converted_one(self, trainer_of, base, official, tmp_path):
        convert_adapter(official("q_proj", "attn_out", "ff_proj"), tmp_path / "adapter")
        model = PeftModel.from_pretrained(load(base), tmp_path / "adapter", is_trainable=True)
        begun = logits(model)
        assert (begun - logits(load(base))).abs().max() > 0.1
        trainer = trainer_of(model=model, max_steps=30)
        assert adapted_modules(model) == {"q_proj", "o_proj", "gate_proj"}
        assert torch.equal(logits(trainer.model), begun)
        before, loss = weights_of(trainer), trainer.evaluate()["eval_loss"]
        trainer.train()
        assert_only_the_adapter_has_changed(trainer, before)
        assert trainer.evaluate()["eval_loss"] < loss - 0.3

    @pytest.mark.filterwarnings("ignore:Found missing adapter keys")
    def test_not_without_conversion(self, base, official):
        """Without the check of the state dict, PEFT would only warn that nothing was loaded."""
        with pytest.raises(RuntimeError, match="no module for 8 official names.*llada convert-adapter"):
            PeftModel.from_pretrained(load(base), official("q_proj", "attn_out", "ff_proj"), is_trainable=True)

    def test_not_without_trainable_weights(self, trainer_of, base, official, tmp_path):
        convert_adapter(official("q_proj"), tmp_path / "adapter")
        with pytest.raises(ValueError, match="is_trainable=True"):
            trainer_of(model=PeftModel.from_pretrained(load(base), tmp_path / "adapter"))


class TestTargets:
    @pytest.mark.parametrize(
        ("targets", "message"),
        [
            (["attn_out", "ff_proj"], "no attn_out, ff_proj.*q_proj, k_proj.*are o_proj, gate_proj and down_proj"),
            (["q_proj", "c_attn"], "`target_modules` must name modules of the model, which has no c_attn"),
            ([r"layers.7.self_attn.q_proj"], "no layers.7.self_attn.q_proj"),
            (r".*\.c_attn", "c_attn.*not found in the base model"),
        ],
        ids=str,
    )
    def test_that_match_nothing(self, trainer_of, targets, message):
        with pytest.raises(ValueError, match=message):
            trainer_of(peft_config=LoraConfig(target_modules=targets))

    @pytest.mark.parametrize("targets", [["layers.1.mlp.up_proj", "q_proj"], r".*layers\.0\..*up_proj", "all-linear"])
    def test_that_match(self, trainer_of, targets):
        trainer = trainer_of(peft_config=LoraConfig(r=4, target_modules=targets))
        assert adapted_modules(trainer.model) >= {"up_proj"}


class TestTiedHead:
    @pytest.mark.parametrize(
        ("target", "message"), [("lm_head", "`lm_head` is not supported"), ("embed_tokens", "ties")]
    )
    def test_an_adapter_on_one_end(self, trainer_of, target, message):
        """It would be merged into both."""
        with pytest.raises(ValueError, match=message):
            trainer_of(peft_config=LoraConfig(target_modules=["q_proj", target]))

    @pytest.mark.parametrize(
        ("options", "is_tied"),
        [
            ({"trainable_token_indices": [5, 6, 30]}, True),
            ({"modules_to_save": ["lm_head"]}, False),
            ({"modules_to_save": ["lm_head"], "ensure_weight_tying": True}, True),
            ({"modules_to_save": ["embed_tokens"]}, False),
            ({"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}, True),
        ],
        ids=str,
    )
    @pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`", "ignore:.*no longer tied")
    def test_what_is_trained_as_a_whole_is_merged_right(self, trainer_of, base, tmp_path, options, is_tied):
        trainer = trainer_of(peft_config=LoraConfig(r=4, **options))
        trainer.train()
        expected = logits(trainer.model)
        trainer.save_model(str(tmp_path / "adapter"))
        again = PeftModel.from_pretrained(load(base), tmp_path / "adapter")
        torch.testing.assert_close(logits(again), expected)
        again.merge_and_unload().save_pretrained(tmp_path / "merged")
        merged = load(tmp_path / "merged")
        assert merged.config.tie_word_embeddings is is_tied
        torch.testing.assert_close(logits(merged), expected, rtol=1e-4, atol=1e-4)


class TestReaders:
    """What the trainer saves is read by every class that reads adapters, with equal logits."""

    @pytest.mark.parametrize("begun", ["by the trainer", pytest.param("by the user", marks=pytest.mark.slow)])
    def test_all(self, trainer_of, base, tmp_path, begun):
        config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
        if begun == "by the user":
            trainer = trainer_of(model=get_peft_model(load(base), config))
        else:
            trainer = trainer_of(peft_config=config)
        folder = str(tmp_path / "adapter")
        trainer.save_model(folder)
        expected = logits(trainer.model)
        assert not torch.allclose(expected, logits(load(base))), "the adapter has an effect"

        loaded = load(base)
        loaded.load_adapter(folder)
        for model in (
            loaded,
            PeftModel.from_pretrained(load(base), folder),
            AutoPeftModelForCausalLM.from_pretrained(folder),
            AutoModel.from_pretrained(folder),
            pipeline("text-generation", model=folder, tokenizer=folder).model,
            load_checkpoint(folder, "cpu")[0],
        ):
            torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-4)


def test_a_new_adapter_follows_from_the_seed_alone(trainer_of):
    """Not from what was drawn before, which depends on how the weights were loaded."""
    adapters = []
    for draws in (0, 7):
        torch.rand(draws)
        trainer = trainer_of(peft_config=LoraConfig(r=2))
        adapters.append(
            {name: one.detach().clone() for name, one in trainer.model.named_parameters() if "lora_A" in name}
        )
    assert adapters[0] and all(torch.equal(adapters[0][name], adapters[1][name]) for name in adapters[0])
