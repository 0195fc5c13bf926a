# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Mixed batches of PEFT: each row keeps its adapter, whatever a forward pass holds."""

import pytest
import torch
from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model

from modeling_llada.models.adapters_llada import AdapterRows


ADAPTERS = ["one", "two", "__base__"]
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")


@pytest.fixture
def mixed(tiny_model):
    """A model with two random adapters. Keyword arguments are those of both."""

    def make(**options):
        options = {"task_type": "CAUSAL_LM", "r": 2, "target_modules": ["q_proj", "down_proj"]} | options
        model = get_peft_model(tiny_model(), LoraConfig(**options), adapter_name="one")
        model.add_adapter("two", LoraConfig(**options))
        torch.manual_seed(1)
        for name, parameter in model.named_parameters():
            if "lora_" in name or "delta" in name or "modules_to_save" in name:
                parameter.data += 0.5 * torch.randn_like(parameter)
        return model.eval()

    return make


@pytest.fixture
def prompts(random_ids):
    """The same prompt for all rows, so that only the adapters tell them apart; one row has more masks."""
    input_ids = random_ids(1, 6).repeat(3, 1)
    input_ids[:, 2] = input_ids[1, 3] = 98
    return input_ids


@pytest.fixture
def texts(random_ids):
    """The same text for all rows, without masks, which have no score."""
    return random_ids(1, 6).repeat(3, 1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_new_tokens": 0},
        {"confidence_threshold": 0.2, "block_length": 2},
        {"block_length": 2, "eos_token_id": list(range(2, 40))},
        {"draft_steps": 3, "cfg_scale": 1.0},
        {"block_cache": "dual", "block_length": 2, "confidence_threshold": 0.2},
        {"block_cache": "prefix", "block_length": 2, "cfg_scale": 1.0, "draft_steps": 2},
        {"suffix_window": 2, "block_length": 2},
    ],
    ids=str,
)
def test_each_row_keeps_its_adapter(mixed, prompts, options):
    model, options = mixed(), {"max_new_tokens": 4} | options

    def generate(rows, names):
        return model.generate(input_ids=prompts[rows], adapter_names=names, **options)

    together = generate([0, 1, 2], ADAPTERS)
    assert torch.equal(together, torch.cat([generate([row], [name]) for row, name in enumerate(ADAPTERS)]))
    assert not torch.equal(together, generate([0, 1, 2], ["one"] * 3)), "the adapters differ"
    with model.disable_adapter():
        assert torch.equal(together[2:], model.generate(input_ids=prompts[2:], **options))


@pytest.mark.parametrize("options", [{}, {"draft_steps": 2, "cfg_scale": 1.0}], ids=str)
def test_samples_have_the_adapter_of_their_prompt(mixed, prompts, options):
    model, options = mixed(), {"max_new_tokens": 4} | options
    samples = model.generate(input_ids=prompts, adapter_names=ADAPTERS, num_return_sequences=2, **options)
    once = model.generate(input_ids=prompts, adapter_names=ADAPTERS, **options)
    assert torch.equal(samples, once.repeat_interleave(2, dim=0))


@pytest.mark.parametrize(
    "adapted",
    [
        {"target_modules": ["q_proj", "lm_head"]},
        {"modules_to_save": ["lm_head"]},
        {"trainable_token_indices": {"lm_head": [5, 6]}},
    ],
    ids=str,
)
def test_an_adapted_head(mixed, prompts, adapted):
    """The head sees the masked positions of all rows, one after the other."""
    model = mixed(**adapted)
    together = model.generate(input_ids=prompts, max_new_tokens=4, cfg_scale=1.0, adapter_names=ADAPTERS)
    for row, name in enumerate(ADAPTERS):
        alone = model.generate(input_ids=prompts[[row]], max_new_tokens=4, cfg_scale=1.0, adapter_names=[name])
        assert torch.equal(together[row], alone[0]), name


@pytest.mark.parametrize("options", [{}, {"cfg_scale": 1.0}, {"batch_size": 5}], ids=str)
@pytest.mark.parametrize("target", ["q_proj", pytest.param("lm_head", marks=pytest.mark.slow)])
def test_likelihood(mixed, texts, options, target):
    model, labels = mixed(target_modules=[target]), texts.clone()
    labels[:, :3] = -100

    def score(rows, names, method="log_likelihood", **given):
        generators = [torch.Generator().manual_seed(row) for row in rows]
        options_of_call = {"num_samples": 4, "generator": generators, "adapter_names": names} | options | given
        result = getattr(model, method)(texts[rows], **options_of_call)
        return result if method == "perplexity" else result.log_likelihood

    for method, given in (("log_likelihood", {"labels": labels}), ("perplexity", {"window": 4})):
        together = score([0, 1, 2], ADAPTERS, method, **given)
        for row, name in enumerate(ADAPTERS):
            given = {"labels": labels[[row]]} if method == "log_likelihood" else given
            model.set_adapter(name if name != "__base__" else "one")
            alone = score([row], [name], method, **given)
            torch.testing.assert_close(together[row], alone[0])
            if name != "__base__":
                torch.testing.assert_close(score([row], None, method, **given), alone)
    assert len(set(together.tolist())) == 3


def test_likelihood_with_an_adapted_head_and_many_masks(mixed, texts):
    """The head sees them in chunks, the last of which is as long as the batch here."""
    model, mask = mixed(target_modules=["lm_head"]), torch.zeros(3, 400, dtype=torch.bool)
    texts = texts.repeat(1, 67)[:, :400]
    mask[0], mask[1], mask[2, :227] = True, True, True
    rows = torch.arange(3)
    together = model.masked_log_probs(texts, mask, adapter_rows=AdapterRows(rows, 3, ADAPTERS))
    for row in range(3):
        one = slice(row, row + 1)
        alone = model.masked_log_probs(texts[one], mask[one], adapter_rows=AdapterRows(rows[one], 3, ADAPTERS))
        torch.testing.assert_close(together[one], alone)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["one", "two"], "one name for each of the 3 rows, but got 2"),
        (["one", "two", "three"], "three"),
    ],
)
def test_wrong_names(mixed, prompts, texts, names, message):
    model = mixed()
    with pytest.raises(ValueError, match=f"`adapter_names`.*{message}"):
        model.log_likelihood(texts, labels=texts, adapter_names=names)
    assert not any(module._forward_pre_hooks for module in model.modules()), "no hook is left"
    with pytest.raises(ValueError, match=message):
        model.generate(input_ids=prompts, max_new_tokens=4, num_return_sequences=2, adapter_names=names)


def test_names_without_adapters(tiny_model, texts):
    with pytest.raises(ValueError, match=r"`adapter_names` must be LoRA adapters of the model, out of \['__base__'\]"):
        tiny_model().log_likelihood(texts, labels=texts, adapter_names=ADAPTERS)


class TestAdaptersOfPrompts:
    """Adapters that count on a prompt at the end of the input would have no effect, or one at the wrong place."""

    @pytest.mark.parametrize("kind", [PromptTuningConfig, PrefixTuningConfig])
    def test_virtual_tokens(self, tiny_model, prompts, kind):
        model = get_peft_model(tiny_model(), kind(task_type="CAUSAL_LM", num_virtual_tokens=2))
        with pytest.raises(ValueError, match="`generate` cannot use an adapter of prompt learning.*LoRA"):
            model.generate(input_ids=prompts, max_new_tokens=4)

    def test_activated_lora(self, mixed, prompts):
        model = mixed(alora_invocation_tokens=prompts[0, :2].tolist())
        with pytest.raises(ValueError, match="`alora_invocation_tokens`"):
            model.generate(input_ids=prompts, max_new_tokens=4)
