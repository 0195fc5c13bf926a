# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Preference optimisation refuses what would train nothing, or something else, before it starts, and names the way out."""

import pytest
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM


pytest.importorskip("trl", reason="TRL is not part of this environment")

from datasets import Dataset, IterableDataset
from peft import LoraConfig, get_peft_model
from support.vrpo_runs import PAIRS, vrpo_trainer
from trl import DPOConfig

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.training import LLaDAVRPOConfig, LLaDAVRPOTrainer


@pytest.fixture
def refused(poet_folder, tmp_path):
    """Asserts that a trainer with these settings is refused with a message."""

    def check(message, *args, **settings):
        with pytest.raises(ValueError, match=message):
            vrpo_trainer(poet_folder, tmp_path / "run", *args, **settings)

    return check


QUESTION, ANSWER, OTHER = (
    {"role": role, "content": text} for role, text in (("user", "明"), ("assistant", "月"), ("assistant", "日"))
)


def pairs(prompt="明", chosen="月", rejected="日"):
    """Three pairs, the second of which has these values."""
    values = {"prompt": ["春", prompt, "山"], "chosen": ["月", chosen, "水"], "rejected": ["日", rejected, "人"]}
    return Dataset.from_dict(values, on_mixed_types="use_json")


def talks(prompt, chosen, rejected):
    return Dataset.from_list([{"prompt": prompt, "chosen": chosen, "rejected": rejected}])


class TestPairs:
    @pytest.mark.parametrize("missing", ["chosen", "rejected"])
    def test_a_missing_column(self, refused, missing):
        refused("`train_dataset` must have the columns `chosen` and `rejected`", PAIRS.remove_columns(missing))

    def test_of_the_evaluation(self, refused):
        refused(r"`eval_dataset\['a'\]` must have the columns", eval_dataset={"a": PAIRS.remove_columns("chosen")})

    def test_nothing_to_train_on(self, refused):
        refused("`train_dataset` must be given", None)
        refused("`train_dataset` must have rows, but it is empty", PAIRS.select([]))
        refused("`train_dataset` must be a `datasets.Dataset`", IterableDataset.from_generator(lambda: iter(PAIRS)))

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"rejected": "月"}, r"two different responses in each row, but 1 of 3 rows \(1\)"),
            ({"chosen": " "}, r"answers that are not empty, but 1 of 3 rows \(1\)"),
            ({"rejected": None}, r"something in the column `rejected`, but 1 of 3 rows \(1\)"),
            ({"prompt": None}, r"something in the column `prompt`, but 1 of 3 rows \(1\)"),
            ({"chosen": [ANSWER]}, r"of one kind: texts or lists of messages, but 1 of 3 rows \(1\)"),
            ({"chosen": "月[MASK]"}, r'`train_dataset\["chosen"\]` must have no mask token.* 1 of 3 rows \(1\)'),
        ],
        ids=str,
    )
    def test_values(self, refused, values, message):
        refused(message, pairs(**values))

    def test_without_a_prompt_a_response_is_what_both_begin_with(self, refused):
        rows = Dataset.from_dict({"chosen": ["明月 "], "rejected": ["明月 光"]})
        refused("answers that are not empty", rows)

    def test_messages(self, refused):
        refused("of one kind", talks([QUESTION], "月", [OTHER]))
        refused("an answer of the assistant at the end of `chosen`", talks([QUESTION], [QUESTION], [OTHER]))
        refused("two different responses", talks([QUESTION], [ANSWER], [ANSWER]))
        refused("messages with a `role`", talks([QUESTION], [{"role": "assistant", "content": None}], [OTHER]))

    def test_images(self, refused):
        refused("texts without images, but 10 of 10 rows", PAIRS.add_column("image", ["moon.png"] * 10))

    def test_cut_away(self, refused):
        refused(r'`train_dataset\["chosen"\]` must have a response.*`max_length=6`.*Raise `max_length`', max_length=6)

    def test_equal_after_the_cut(self, refused):
        rows = Dataset.from_dict({"prompt": ["明"], "chosen": ["月光月"], "rejected": ["月光日"]})
        refused(r"two different responses.*1 of 1 rows \(0\) have the same.*`max_length=3`", rows, max_length=3)

    def test_longer_than_the_context(self, refused):
        refused(r"fit into the 128 tokens that `model` reads, but 1 of 3 rows \(1\)", pairs(prompt="明" * 200))
        refused("fit into the 128 tokens", pairs(), eos_fill=200, max_length=100)


class TestTokenizer:
    def test_no_chat_template(self, refused, poet_folder):
        tokenizer = AutoTokenizer.from_pretrained(poet_folder)
        tokenizer.chat_template = None
        rows = talks([QUESTION], [ANSWER], [OTHER])
        refused(
            "`processing_class` must have a chat template, because `train_dataset`", rows, processing_class=tokenizer
        )

    def test_tools_that_the_template_does_not_write(self, refused):
        tool = {"type": "function", "function": {"name": "weather", "parameters": {}}}
        rows = Dataset.from_list([talks([QUESTION], [ANSWER], [OTHER])[0] | {"tools": [tool]}])
        refused(r"`train_dataset` has `tools`.*1 of 1 rows \(0\)", rows)

    def test_a_template_that_refuses(self, refused, poet_folder):
        tokenizer = AutoTokenizer.from_pretrained(poet_folder)
        tokenizer.chat_template = "{{ raise_exception('no users here') }}"
        rows = talks([QUESTION], [ANSWER], [OTHER])
        refused("chat template.*it refuses one: no users here", rows, processing_class=tokenizer)

    def test_no_mask_token(self, refused, poet_folder):
        tokenizer = AutoTokenizer.from_pretrained(poet_folder)
        tokenizer.mask_token = None
        refused("`processing_class` must have a mask token", processing_class=tokenizer)


class TestModels:
    def test_another_family(self, refused, poet_folder):
        sizes = {
            "vocab_size": 99,
            "hidden_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 1,
            "intermediate_size": 8,
        }
        bert = BertForMaskedLM(BertConfig(**sizes))
        refused("`model` must be a LLaDA mask predictor", model=bert)
        refused("`ref_model` must be a LLaDA mask predictor", ref_model=bert)

    def test_one_that_sees_images(self, refused, llada_v):
        refused("`model` must be a model of texts", model=llada_v[0])

    def test_references(self, refused, poet_folder, tiny_model):
        model = LLaDAForMaskedLM.from_pretrained(poet_folder)
        refused("`ref_model` must be another object than `model`", model=model, ref_model=model)
        refused("`ref_model` must have the `vocab_size` of `model`", ref_model=tiny_model())

    def test_adapters(self, refused, poet_folder):
        lora = LoraConfig(r=2, target_modules=["q_proj"])
        adapted = get_peft_model(LLaDAForMaskedLM.from_pretrained(poet_folder), lora)
        refused("`peft_config` would put an adapter on `model`, which has one", model=adapted, peft_config=lora)
        refused("`sync_ref_model=True` needs a reference of its own", peft_config=lora, sync_ref_model=True)
        refused("`target_modules` must name modules", peft_config=LoraConfig(target_modules=["attn_out"]))

    def test_dropout(self, refused, poet_folder):
        model = LLaDAForMaskedLM.from_pretrained(poet_folder)
        model.config.attention_dropout = 0.1
        refused("`model` must have no dropout", model=model)

    def test_blocks_of_a_model_without_them(self, refused):
        refused("`block_length` is for models of blocks", block_length=8)


class TestArguments:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (
                {"precompute_ref_log_probs": True},
                "`precompute_ref_log_probs=True` is not supported: the noise of a pair",
            ),
            ({"ld_alpha": 0.5}, "`ld_alpha=0.5` is not supported: it weighs log-probabilities of single tokens"),
            ({"use_weighting": True}, "`use_weighting=True` is not supported"),
            ({"padding_free": True}, "`padding_free=True` is not supported"),
            ({"use_liger_kernel": True}, "`use_liger_kernel=True` is not supported"),
            ({"label_smoothing_factor": 0.1}, "`label_smoothing_factor=0.1` is not supported"),
            ({"router_aux_loss_coef": 0.1}, "`router_aux_loss_coef=0.1` is not supported"),
            ({"disable_dropout": False}, "`disable_dropout` must be true"),
            ({"truncation_mode": "keep_end"}, '`truncation_mode` must be "keep_start"'),
            ({"loss_type": ["sigmoid", "kto"]}, "`loss_type` must be some of sigmoid, .*, sft, but got"),
            ({"loss_type": "exo_pair"}, r"`label_smoothing` must be in \(0, 1\) for the loss exo_pair"),
            ({"loss_type": "robust", "label_smoothing": 0.5}, r"`label_smoothing` must be in \[0, 0.5\)"),
            ({"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0]}, "`loss_weights` must have the same length"),
            ({"num_noise_samples": 3}, "`num_noise_samples` must be even with `antithetic_masks=True`"),
            ({"num_noise_samples": 0}, "`num_noise_samples` must be an integer of at least 1, but got 0"),
            ({"num_noise_samples": 2.5}, "`num_noise_samples` must be an integer"),
            ({"loss_chunk_size": 0}, "`loss_chunk_size` must be an integer of at least 1"),
            ({"max_length": 1.5}, "`max_length` must be an integer"),
            ({"eos_fill": "block"}, '`eos_fill` must be `None`, "longest" or a positive number'),
            ({"eos_fill": 10}, "`eos_fill` must be at least `max_length`, 1024"),
            ({"beta": 0}, "`beta` must be positive, but got 0"),
            ({"model_init_kwargs": "{dtype"}, "`model_init_kwargs` must be JSON"),
        ],
        ids=str,
    )
    def test_of_the_config(self, tmp_path, settings, message):
        with pytest.raises(ValueError, match=message):
            LLaDAVRPOConfig(str(tmp_path), use_cpu=True, **settings)

    def test_of_the_trainer(self, refused, poet_folder, tmp_path):
        refused("`compute_metrics` is not supported: it would need logits of next tokens", compute_metrics=print)
        refused(
            "`train_sampling_strategy='batch_rebalance'` is not supported", train_sampling_strategy="batch_rebalance"
        )
        refused("`activation_offloading=True` is not supported", activation_offloading=True)
        with pytest.raises(ValueError, match="`args` must be a `LLaDAVRPOConfig`, but got DPOConfig"):
            args = DPOConfig(str(tmp_path), use_cpu=True, bf16=False)
            LLaDAVRPOTrainer(str(poet_folder), args=args, train_dataset=PAIRS)
        with pytest.raises(ValueError, match="`data_collator` is not supported"):
            LLaDAVRPOTrainer(
                str(poet_folder), args=LLaDAVRPOConfig(str(tmp_path)), train_dataset=PAIRS, data_collator=print
            )
