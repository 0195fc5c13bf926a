# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Training on rewards refuses what would train nothing, or something else, before the first answer, and names the way out."""

import math

import pytest


pytest.importorskip("trl", reason="TRL is not part of this environment")

from datasets import Dataset
from peft import LoraConfig
from support.expert_runs import new_llada2, tokens_of
from support.grpo_runs import PROMPTS, grpo_trainer
from transformers import AutoTokenizer
from trl import GRPOConfig

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.training import LLaDAGRPOConfig, LLaDAGRPOTrainer


@pytest.fixture
def refused(poet_folder, tmp_path):
    """Asserts that a trainer with these settings is refused with a message."""

    def check(message, *args, **settings):
        with pytest.raises(ValueError, match=message):
            grpo_trainer(poet_folder, tmp_path / "run", *args, **settings)

    return check


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_vllm": True}, "`use_vllm=True` is not supported: vLLM does not know the models"),
        ({"use_transformers_continuous_batching": True}, "is not supported: an answer is not written token by token"),
        ({"entropy_coef": 0.1}, "`entropy_coef=0.1` is not supported"),
        ({"mask_truncated_completions": True}, "`mask_truncated_completions=True` is not supported"),
        ({"off_policy_mask_threshold": 1.0}, "`off_policy_mask_threshold=1.0` is not supported"),
        ({"top_entropy_quantile": 0.2}, "`top_entropy_quantile` must be 1.0"),
        ({"likelihood": "exact"}, "`likelihood` must be one of elbo, one_step, coupled, trace, but got 'exact'"),
        ({"num_noise_samples": 3}, '`num_noise_samples` must be even with `likelihood="elbo"`'),
        ({"num_noise_samples": 0}, "`num_noise_samples` must be an integer of at least 1, but got 0"),
        (
            {"importance_sampling_level": "token"},
            '`importance_sampling_level` must be "sequence" with `likelihood="elbo"`',
        ),
        ({"loss_type": "dapo"}, '`loss_type` must be "grpo" or "sapo" with `likelihood="elbo"`'),
        ({"generation_kwargs": None}, "`generation_kwargs` must say how answers are written, by one of steps"),
        (
            {"generation_kwargs": {"steps": 2, "stepz": 3}},
            "`generation_kwargs` must be options of `generate`, but got stepz",
        ),
        ({"generation_kwargs": {"confidence_threshold": 2.0}}, "`confidence_threshold`"),
        *(
            ({"generation_kwargs": {"steps": 2, name: value}}, f"`generation_kwargs` must not have `{name}`: {reason}")
            for name, value, reason in (
                ("temperature", 1.5, "it is an argument of its own"),
                ("max_new_tokens", 4, "set `max_completion_length`"),
                ("num_return_sequences", 2, "set `num_generations`"),
                ("do_sample", False, "answers that are not sampled are all equal"),
                ("return_dict_in_generate", True, "the trainer sets it"),
                ("eos_token_id", 5, "it is that of the tokenizer"),
                ("stop_strings", ["。"], "an answer ends with EOS"),
                ("draft_steps", 2, "it guesses the next steps, which are random"),
            )
        ),
        ({"temperature": 0.0}, "`temperature` must be above 0, but got 0.0"),
        ({"top_p": 1.5}, "`top_p`"),
        ({"repetition_penalty": 1.2}, "`repetition_penalty` must be 1.0, but got 1.2"),
        ({"beta": float("nan")}, "`beta` must not be negative, but got nan"),
        ({"likelihood": "coupled", "loss_type": "ppo"}, "`loss_type` must be one of grpo, .*, but got 'ppo'"),
        (
            {"likelihood": "coupled", "importance_sampling_level": "word"},
            '`importance_sampling_level` must be "sequence" or "token", but got \'word\'',
        ),
    ],
    ids=str,
)
def test_arguments(tmp_path, settings, message):
    defaults = {"use_cpu": True, "per_device_train_batch_size": 8, "generation_kwargs": {"steps": 2}}
    with pytest.raises(ValueError, match=message):
        LLaDAGRPOConfig(str(tmp_path), **defaults | settings)


def test_defaults_follow_from_the_likelihood(tmp_path):
    settings = {"use_cpu": True, "generation_kwargs": {"steps": 2}}
    bound, coupled = (LLaDAGRPOConfig(str(tmp_path), likelihood=name, **settings) for name in ("elbo", "coupled"))
    assert (bound.importance_sampling_level, bound.epsilon) == ("sequence", 0.2)
    assert (coupled.importance_sampling_level, coupled.epsilon) == ("token", 0.5)


def test_prompts(refused, poet_folder):
    refused("`train_dataset` must be given", None)
    few = "must have at least the 2 prompts of a generation batch of 8 answers, but has 1: nothing would be trained"
    refused(few, PROMPTS.select([0]))
    refused("`train_dataset` must have a column `prompt`", PROMPTS.rename_column("prompt", "question"))
    refused("`train_dataset` must have no columns `image`", PROMPTS.add_column("image", ["moon.png"] * 10))
    rows = Dataset.from_dict({"prompt": ["明", "", "明[MASK]", "明" * 123]})
    refused(r"hold prompts that are not empty, but 1 of 4 rows \(1\)", rows)
    refused(r"all have mask tokens, or none, but 1 of 3 rows \(1\)", rows.select([0, 2, 3]))
    refused(r"at most 122 tokens.*context of `model`, 128, but 1 of 2 rows \(1\)", rows.select([0, 3]))
    refused(r"hold at most `max_completion_length=6` masks", Dataset.from_dict({"prompt": ["[MASK]" * 7] * 2}))
    tokenizer = AutoTokenizer.from_pretrained(poet_folder)
    tokenizer.chat_template = None
    talk = Dataset.from_list([{"prompt": [{"role": "user", "content": "明"}]}] * 2)
    refused("`processing_class` must have a chat template", talk, processing_class=tokenizer)


def test_models(refused, poet_folder, llada_v):
    refused("`model` must be a model of texts without blocks", model=llada_v[0])
    tokens = tokens_of(AutoTokenizer.from_pretrained(poet_folder))
    refused("`model` must be a model of texts without blocks", model=new_llada2(**tokens))
    refused("`beta` must be 0 for a model without an adapter", beta=0.1)
    refused("`target_modules` must name modules", peft_config=LoraConfig(target_modules=["attn_out"]))
    model = LLaDAForMaskedLM.from_pretrained(poet_folder)
    model.config.attention_dropout = 0.1
    refused("`model` must have no dropout", model=model)


def test_of_the_trainer(refused, poet_folder, tmp_path):
    refused("`tools` is not supported: answers are written by `generate`, without tools", tools=[print])
    with pytest.raises(ValueError, match="`args` must be a `LLaDAGRPOConfig`, but got GRPOConfig"):
        LLaDAGRPOTrainer(str(poet_folder), print, GRPOConfig(str(tmp_path), use_cpu=True, bf16=False), PROMPTS)


def test_infinite_rewards(poet_folder, tmp_path):
    """They would make all weights NaN."""
    trainer = grpo_trainer(poet_folder, tmp_path, reward_funcs=lambda completions, **_: [math.inf] * len(completions))
    with pytest.raises(
        ValueError, match="`reward_funcs` must return finite numbers.*'<lambda>' returned an infinite one"
    ):
        trainer.train()
