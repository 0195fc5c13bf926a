# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Fine-tuning refuses what would train nothing, or something else, before it starts, and names the way out."""

import numpy as np
import pytest
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


pytest.importorskip("trl", reason="TRL is not part of this environment")

from accelerate import ParallelismConfig
from datasets import Dataset, IterableDataset
from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from support.sft_runs import MESSAGES, PROMPTS_AND_COMPLETIONS, sft_trainer
from trl import SFTConfig

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.training import LLaDASFTConfig, LLaDASFTTrainer


@pytest.fixture
def refused(poet_folder, tmp_path):
    """Asserts that a trainer with these settings is refused with a message."""

    def check(message, *args, error=ValueError, **settings):
        with pytest.raises(error, match=message):
            sft_trainer(poet_folder, tmp_path / "run", *args, **settings)

    return check


def split_rows(name):
    """A config of accelerate that splits rows. Before 1.12 it has no argument `sp_size`."""
    config = ParallelismConfig()
    vars(config)[name] = 2
    return config


@pytest.fixture
def tokenizer(poet_folder):
    return AutoTokenizer.from_pretrained(poet_folder)


QUESTION, ANSWER = {"role": "user", "content": "明"}, {"role": "assistant", "content": "月"}
PREPARED = pytest.mark.parametrize("options", [{}, {"dataset_kwargs": {"skip_prepare_dataset": True}}], ids=str)


def talk(*messages):
    return Dataset.from_list([{"messages": list(messages)}])


class TestData:
    def test_a_response_that_was_cut_off(self, refused):
        message = r"(?s)1 of 10 rows \(6\).*`max_length=18`.*Raise `max_length`"
        refused(message, MESSAGES, max_length=18)
        refused(r"`eval_dataset`.*1 of 10 rows \(6\)", MESSAGES.select([0]), eval_dataset=MESSAGES, max_length=18)

    def test_an_empty_response(self, refused):
        rows = Dataset.from_list([{"prompt": "明", "completion": answer} for answer in ("月", "", "日", "")])
        refused(r"2 of 4 rows \(1, 3\)", rows)

    def test_rows_that_nothing_has_prepared(self, refused):
        rows = Dataset.from_dict({"input_ids": [[10, 11]], "labels": [[-100, -100]]})
        refused(r"1 of 1 rows \(0\)", rows, dataset_kwargs={"skip_prepare_dataset": True})

    def test_messages_without_roles(self, refused):
        refused("`role` and a `content`.*`messages`.*The first is", talk({"speaker": "me", "text": "明"}))
        refused("lists of messages in the column `messages`", Dataset.from_dict({"messages": ["明"]}))
        refused("`role` and a `content`", Dataset.from_dict({"messages": [[]]}))

    @pytest.mark.parametrize(
        ("column", "bad", "message"),
        [
            ("messages", None, "something in the column `messages`"),
            ("messages", [], "messages with a `role` and a `content`.* in the column `messages`"),
            ("messages", [QUESTION, {"role": None, "content": "月"}], "messages with a `role` and a `content`"),
            ("messages", [QUESTION, {"role": "assistant", "content": None}], "messages with a `role` and a `content`"),
            ("text", None, "something in the column `text`"),
            ("prompt", None, "something in the column `prompt`"),
            ("completion", None, "something in the column `completion`"),
        ],
        ids=str,
    )
    def test_later_rows(self, refused, column, bad, message):
        values = [[QUESTION, ANSWER]] * 3 if column == "messages" else ["明月"] * 3
        values[1] = bad
        columns = {"prompt": ["明"] * 3, "completion": ["月"] * 3} if column in ("prompt", "completion") else {}
        refused(rf"must have {message}.*1 of 3 rows \(1\)", Dataset.from_dict(columns | {column: values}))

    @pytest.mark.parametrize("other", ["prompt", "completion"])
    def test_texts_beside_messages(self, refused, other):
        columns = {"prompt": [[QUESTION]], "completion": [[ANSWER]]} | {other: ["明"]}
        refused("one kind, two texts or two lists of messages", Dataset.from_dict(columns))

    @pytest.mark.parametrize("assistant_only_loss", [False, True])
    def test_roles_of_other_tools(self, refused, assistant_only_loss):
        rows = talk({"role": "human", "content": "明"}, {"role": "gpt", "content": "月"})
        refused(
            r"1 of 1 rows \(0\).*\['gpt', 'human'\].*must be called \"assistant\"",
            rows,
            assistant_only_loss=assistant_only_loss,
        )

    def test_texts_have_no_marks(self, refused):
        refused("`train_dataset` has texts", PROMPTS_AND_COMPLETIONS, assistant_only_loss=True)
        refused("`eval_dataset` has texts", MESSAGES, PROMPTS_AND_COMPLETIONS, assistant_only_loss=True)

    def test_messages_without_a_last_answer(self, refused):
        refused(
            r"end with an answer of the assistant.*1 of 1 rows \(0\).*assistant_only_loss",
            talk(QUESTION, ANSWER, QUESTION),
        )
        refused("after at least one other", talk(ANSWER))

    def test_unknown_columns(self, refused):
        refused(
            r"messages: messages.*prompt, completion.*\['poem'\].*formatting_func", Dataset.from_dict({"poem": ["明"]})
        )

    def test_images(self, refused):
        refused(
            "texts without images, but 1 of 2 rows", Dataset.from_dict({"text": ["明"] * 2, "image": [None, "a.png"]})
        )

    def test_no_rows_and_streams(self, refused):
        refused("`train_dataset` must have rows", MESSAGES.select([]))
        refused(
            "must be a `datasets.Dataset`.*IterableDataset", IterableDataset.from_generator(lambda: iter(MESSAGES))
        )

    @PREPARED
    @pytest.mark.parametrize("packed", [{}, {"seq_lengths": [[1, 1], [2]]}], ids=str)
    def test_padded_rows(self, refused, options, packed):
        rows = {"input_ids": [[10, 11], [0, 11]], "attention_mask": [[1, 1], [0, 1]]} | packed
        refused(r"must not be padded.*1 of 2 rows \(1\).*row 1 on the left", Dataset.from_dict(rows), **options)

    @PREPARED
    @pytest.mark.parametrize("column", ["labels", "completion_mask", "assistant_masks", "attention_mask"])
    def test_columns_of_other_lengths(self, refused, column, options):
        rows = {"input_ids": [[10, 11], [10, 11]], column: [[1, 1], [1, 1, 1]]}
        refused(rf"values in `{column}`.*1 of 2 rows \(1\)", Dataset.from_dict(rows), **options)

    def test_rows_without_tokens(self, refused):
        refused("must have a column `input_ids`", MESSAGES, dataset_kwargs={"skip_prepare_dataset": True})

    def test_a_mask_token_in_a_response(self, refused):
        rows = Dataset.from_list([{"prompt": "明[MASK]", "completion": it} for it in ("月", "月[MASK]光")])
        refused(r"no mask token in a response.*1 of 2 rows \(1\).*'\[MASK\]'", rows)

    def test_ids_outside_of_the_embedding(self, refused):
        refused(r"ids from 0 to 6399.*1 of 2 rows \(1\)", Dataset.from_dict({"input_ids": [[10], [6400]]}))

    @PREPARED
    def test_packed_documents_without_a_response(self, refused, options):
        rows = {
            "input_ids": [[10, 11, 12], [10, 11, 12]],
            "labels": [[10, 11, 12], [-100, -100, 12]],
            "seq_lengths": [[2, 1]] * 2,
        }
        refused(r"1 of 2 rows \(1\) the response of a document is empty", Dataset.from_dict(rows), **options)

    @PREPARED
    def test_packed_rows_that_cannot_be_taken_apart(self, refused, options):
        rows = {"input_ids": [[10, 11, 12]] * 3, "labels": [[10, 11, 12]] * 3, "seq_lengths": [[2, 1], [2], [0, 3]]}
        refused(r"add up to the length of the row.*2 of 3 rows \(1, 2\)", Dataset.from_dict(rows), **options)
        rows["seq_lengths"] = [[2, 1]] * 3
        refused("`eos_fill='longest'`.*packed", Dataset.from_dict(rows), eos_fill="longest", **options)


class TestTokenizer:
    def test_without_a_mask_token(self, refused, tokenizer):
        tokenizer.mask_token = None
        refused(r"its `mask_token` is not set.*`tokenizer.mask_token = '\[MASK\]'`", processing_class=tokenizer)

    def test_with_another_mask_token(self, refused, tokenizer):
        tokenizer.mask_token = tokenizer.convert_ids_to_tokens(77)
        refused("`config.mask_token_id=2`.*is 77", processing_class=tokenizer)

    def test_with_more_tokens_than_the_model(self, refused, tokenizer):
        tokenizer.add_tokens(["one more"])
        refused("6401 tokens and the embedding 6400 rows.*resize_token_embeddings", processing_class=tokenizer)

    def test_without_eos(self, refused, tokenizer):
        tokenizer.eos_token = None
        refused("EOS token", processing_class=tokenizer)

    def test_that_pads_with_the_mask_token(self, refused, tokenizer):
        tokenizer.pad_token = tokenizer.mask_token
        refused("must not pad with the mask token", processing_class=tokenizer)

    @pytest.mark.parametrize("assistant_only_loss", [False, True])
    def test_without_a_chat_template(self, refused, tokenizer, assistant_only_loss):
        tokenizer.chat_template = None
        refused(
            "must have a chat template.*`prompt` and `completion`",
            MESSAGES,
            processing_class=tokenizer,
            assistant_only_loss=assistant_only_loss,
        )

    def test_without_a_chat_template_for_evaluation(self, refused, tokenizer, poet_folder, tmp_path):
        tokenizer.chat_template = None
        refused("must have a chat template", PROMPTS_AND_COMPLETIONS, MESSAGES, processing_class=tokenizer)
        trainer = sft_trainer(poet_folder, tmp_path, PROMPTS_AND_COMPLETIONS, processing_class=tokenizer)
        with pytest.raises(ValueError, match="must have a chat template"):
            trainer.evaluate(MESSAGES)

    def test_with_a_chat_template_that_marks_no_answers(self, refused, tokenizer):
        tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
        refused("`{% generation %}`", MESSAGES, processing_class=tokenizer, assistant_only_loss=True)

    def test_without_a_pad_token_uses_eos(self, poet_folder, tmp_path, tokenizer):
        tokenizer.pad_token = None
        trainer = sft_trainer(poet_folder, tmp_path, processing_class=tokenizer)
        assert trainer.data_collator.pad_token_id == tokenizer.eos_token_id

    def test_that_pads_on_the_left_for_generation_is_fine(self, poet_folder, tmp_path, tokenizer):
        assert tokenizer.padding_side == "left"
        trainer = sft_trainer(poet_folder, tmp_path, processing_class=tokenizer)
        assert next(iter(trainer.get_train_dataloader()))["attention_mask"][:, 0].all()


class TestModel:
    def test_that_is_no_llada(self, tmp_path):
        """It is refused before the tokenizer is looked for."""
        config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
        args = LLaDASFTConfig(str(tmp_path), use_cpu=True)
        with pytest.raises(ValueError, match="LLaDA mask predictor.*BertForMaskedLM"):
            LLaDASFTTrainer(BertForMaskedLM(config), args, train_dataset=MESSAGES)

    def test_that_is_a_backbone(self, refused, poet_folder):
        refused("LLaDA mask predictor.*LLaDAModel", model=LLaDAForMaskedLM.from_pretrained(poet_folder).model)

    def test_whose_attention_cannot_keep_documents_apart(self, refused, poet_folder, monkeypatch):
        monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "unmasked", ALL_ATTENTION_FUNCTIONS["sdpa"])
        model = LLaDAForMaskedLM.from_pretrained(poet_folder, attn_implementation="unmasked")
        message = 'attn_implementation="unmasked"`.*`attn_implementation="sdpa"`'
        refused(message, model=model, packing=True)
        refused(message, model=model, packing=False, eval_packing=True)
        refused(message, Dataset.from_dict({"input_ids": [[10, 11]], "seq_lengths": [[1, 1]]}), model=model)

    def test_without_a_mask_token(self, refused, poet_folder):
        model = LLaDAForMaskedLM.from_pretrained(poet_folder)
        model.config.mask_token_id = None
        refused("`config.mask_token_id`", model=model)

    def test_with_virtual_tokens(self, refused, poet_folder):
        config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
        model = get_peft_model(LLaDAForMaskedLM.from_pretrained(poet_folder), config)
        refused("`model` must not have an adapter of prompt learning.*PromptTuningConfig", model=model)

    def test_that_is_the_folder_of_an_adapter(self, poet_folder, tmp_path):
        model = LLaDAForMaskedLM.from_pretrained(poet_folder)
        get_peft_model(model, LoraConfig(target_modules=["q_proj"])).save_pretrained(tmp_path / "adapter")
        AutoTokenizer.from_pretrained(poet_folder).save_pretrained(tmp_path / "adapter")
        args = LLaDASFTConfig(str(tmp_path / "run"), use_cpu=True, report_to="none")
        with pytest.raises(ValueError, match="`model` has no weights that would be trained"):
            LLaDASFTTrainer(str(tmp_path / "adapter"), args, train_dataset=MESSAGES)
        with pytest.raises(ValueError, match="`peft_config` would replace the adapter of `model`.*is_trainable=True"):
            LLaDASFTTrainer(str(tmp_path / "adapter"), args, train_dataset=MESSAGES, peft_config=LoraConfig(r=2))


class TestArguments:
    def test_integers_of_numpy(self, tmp_path):
        args = LLaDASFTConfig(tmp_path, use_cpu=True, max_length=np.percentile([30, 40], 90).astype(int))
        assert type(args.max_length) is int

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"packing": True, "max_length": None}, "`packing=True` needs `max_length`"),
            ({"eval_packing": True, "max_length": None}, "`packing=True` needs `max_length`"),
            (
                {"packing": True, "eos_fill": "longest"},
                "`packing=True` is not supported with `eos_fill='longest'`.*Leave one",
            ),
            (
                {"packing": True, "dataset_kwargs": {"skip_prepare_dataset": True}},
                "`packing=True` has no effect.*`seq_lengths`",
            ),
            ({"padding_free": True}, "`padding_free=True` is not supported.*`packing=True`"),
            ({"use_liger_kernel": True}, "`use_liger_kernel=True`.*next tokens"),
            ({"label_smoothing_factor": 0.1}, "`label_smoothing_factor=0.1`"),
            ({"loss_type": "dft"}, "`loss_type='dft'`"),
            ({"train_sampling_strategy": "batch_rebalance"}, "`train_sampling_strategy='batch_rebalance'`"),
            ({"accelerator_config": {"dispatch_batches": True}}, "`dispatch_batches=True`"),
            ({"activation_offloading": True}, "`activation_offloading=True`.*of the CPU already"),
            ({"loss_normalization": "batch"}, '`loss_normalization` must be "token" or "sequence"'),
            ({"rate_eps": 1.0}, "`rate_eps`"),
            ({"eos_fill": "all"}, "`eos_fill` must be `None`"),
            ({"eos_fill": 0}, "`eos_fill` must be `None`"),
            ({"max_length": "x"}, "`max_length` must be an integer, but got 'x'"),
            ({"loss_chunk_size": 2.5}, "`loss_chunk_size` must be an integer, but got 2.5"),
            ({"eval_num_samples": True}, "`eval_num_samples` must be an integer, but got True"),
            ({"rate_eps": "x"}, "`rate_eps` must be a number"),
            ({"sample_every": 1, "sample_kwargs": "{a"}, "`sample_kwargs` must be JSON, but got {a"),
            ({"max_length": 0}, "`max_length` must be `None` or at least 2"),
            ({"max_length": 1}, "`max_length` must be `None` or at least 2"),
            ({"truncation_mode": "keep_middle"}, '`truncation_mode` must be "keep_start" or "keep_end"'),
            ({"peft_config": LoraConfig(modules_to_save=["nonexistent"])}, "`modules_to_save`.*has no nonexistent"),
            ({"peft_config": LoraConfig(rank_pattern={"x_proj": 2})}, "`rank_pattern`.*has no x_proj"),
            ({"peft_config": LoraConfig(alpha_pattern={"x_proj": 2})}, "`alpha_pattern`.*has no x_proj"),
            (
                {"peft_config": LoraConfig(trainable_token_indices=[5, 6400])},
                "`trainable_token_indices` must be token ids from 0 to 6399.*6400",
            ),
            (
                {"peft_config": LoraConfig(trainable_token_indices={"wte": [5]})},
                "`trainable_token_indices`.*has no wte",
            ),
            ({"eos_fill": 100}, "`eos_fill` must be at least `max_length`, 1024"),
            ({"loss_chunk_size": 0}, "`loss_chunk_size` must be a positive integer"),
            ({"eval_num_samples": 0}, "`eval_num_samples` must be a positive integer"),
            ({"peft_config": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)}, "prompt learning"),
            ({"parallelism_config": split_rows("cp_size")}, "`cp_size=2` is not supported.*whole rows.*FSDP"),
            ({"parallelism_config": split_rows("sp_size")}, "`sp_size=2` is not supported"),
        ],
        # Not of the values: a set has another order in each process.
        ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
    )
    def test_settings(self, refused, settings, message):
        refused(message, **settings)

    @pytest.mark.parametrize(
        "name", ["data_collator", "compute_loss_func", "compute_metrics", "preprocess_logits_for_metrics"]
    )
    def test_functions_that_would_not_be_called(self, poet_folder, tmp_path, name):
        with pytest.raises(ValueError, match=f"`{name}` is not supported"):
            LLaDASFTTrainer(
                LLaDAForMaskedLM.from_pretrained(poet_folder),
                LLaDASFTConfig(str(tmp_path), use_cpu=True),
                train_dataset=PROMPTS_AND_COMPLETIONS,
                **{name: len},
            )

    def test_arguments_of_another_trainer(self, poet_folder, tmp_path):
        args = SFTConfig(str(tmp_path), use_cpu=True, bf16=False)
        with pytest.raises(ValueError, match="`args` must be a `LLaDASFTConfig`, but got SFTConfig"):
            LLaDASFTTrainer(str(poet_folder), args, train_dataset=MESSAGES)

    def test_the_command_line_gives_texts(self, tmp_path):
        assert LLaDASFTConfig(str(tmp_path), use_cpu=True, eos_fill="2048").eos_fill == 2048
