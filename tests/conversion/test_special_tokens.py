# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Which token becomes the mask token, and which ones end a text."""

import json
import logging

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.autoregressive import autoregressive_model, chat_tokenizer, save_autoregressive
from transformers import AutoTokenizer

from modeling_llada.conversion import add_mask_token, from_autoregressive


RESERVED = "<|reserved_special_token_0|>"


@pytest.fixture
def folder(tmp_path):
    return save_autoregressive(tmp_path)


def remove_word(folder, word):
    """Leaves a gap between the ids of a tokenizer."""
    path = folder / "tokenizer.json"
    fields = json.loads(path.read_text())
    del fields["model"]["vocab"][word]
    path.write_text(json.dumps(fields))


def embedding(model):
    return model.get_input_embeddings().weight


class TestMaskToken:
    def test_a_new_row_is_the_mean_of_the_others(self, folder):
        tokenizer = chat_tokenizer()
        model = from_autoregressive(folder)
        assert model.config.mask_token_id == model.config.vocab_size - 1 == 40
        for module in (model.get_input_embeddings(), model.get_output_embeddings()):
            torch.testing.assert_close(module.weight[40], module.weight[:40].mean(0))
        add_mask_token(tokenizer, model)
        assert tokenizer.mask_token == "<|mdm_mask|>" and tokenizer.mask_token_id == 40
        assert tokenizer("the <|mdm_mask|> sat").input_ids[1] == 40

    def test_a_row_behind_the_tokens_is_used_before_one_is_added(self, tmp_path):
        """Embeddings are often padded to a round number."""
        folder = save_autoregressive(tmp_path, tokenizer=chat_tokenizer(num_words=30))
        model = from_autoregressive(folder)
        assert (model.config.mask_token_id, model.config.vocab_size) == (30, 40)
        torch.testing.assert_close(embedding(model)[30], embedding(autoregressive_model())[:30].mean(0))

    def test_a_tokenizer_with_more_tokens_than_rows(self, tmp_path):
        folder = save_autoregressive(tmp_path, tokenizer=chat_tokenizer(num_words=43))
        assert from_autoregressive(folder).config.vocab_size == 44
        assert from_autoregressive(folder, mask_token="<repo_name>").config.vocab_size == 43

    def test_a_reserved_token_comes_first(self, tmp_path):
        folder = save_autoregressive(tmp_path, tokenizer=chat_tokenizer(RESERVED))
        model = from_autoregressive(folder)
        assert AutoTokenizer.from_pretrained(folder).convert_ids_to_tokens(model.config.mask_token_id) == RESERVED
        assert torch.equal(embedding(model), embedding(autoregressive_model())), "no row is changed"

    def test_a_row_of_zeros_is_filled(self):
        """Those of the reserved tokens of Llama 3 are zero, and their gradients would drown out all others."""
        original = autoregressive_model()
        embedding(original).data[3] = 0
        model = from_autoregressive(original, mask_token_id=3)
        torch.testing.assert_close(embedding(model)[3], embedding(original).mean(0))
        assert torch.equal(embedding(model)[4:], embedding(original)[4:])

    def test_a_reserved_token_of_the_chat_template_is_in_use(self, tmp_path):
        tokenizer = chat_tokenizer(RESERVED)
        tokenizer.chat_template = RESERVED + tokenizer.chat_template
        assert from_autoregressive(save_autoregressive(tmp_path, tokenizer=tokenizer)).config.mask_token_id == 40

    @pytest.mark.parametrize("is_declared", [False, True])
    def test_a_mask_token_of_ours_is_taken(self, tmp_path, is_declared):
        """Tokenizers of LLaDA have it, but the official one does not declare it. A declared one in use is passed over."""
        tokenizer = chat_tokenizer("<|mdm_mask|>", RESERVED)
        if is_declared:
            tokenizer.mask_token = "<|im_end|>"
        model = from_autoregressive(save_autoregressive(tmp_path, tokenizer=tokenizer))
        assert tokenizer.convert_ids_to_tokens(model.config.mask_token_id) == "<|mdm_mask|>"

    def test_a_tokenizer_that_cannot_take_a_new_token(self, tmp_path):
        tokenizer = chat_tokenizer()
        tokenizer.add_tokens("<|mdm_mask|>")
        with pytest.raises(ValueError, match=r"has '<\|mdm_mask\|>' already. Give an unused special token"):
            from_autoregressive(save_autoregressive(tmp_path, tokenizer=tokenizer))

    def test_gaps_between_the_ids(self, tmp_path):
        """The library would give a new token an id that a word has."""
        folder = save_autoregressive(tmp_path)
        remove_word(folder, "word5")
        with pytest.raises(ValueError, match="has gaps between its ids. Give an unused special token"):
            from_autoregressive(folder)
        assert from_autoregressive(folder, mask_token="<repo_name>").config.vocab_size == 40
        with pytest.raises(ValueError, match="has gaps between its ids"):
            add_mask_token(
                AutoTokenizer.from_pretrained(folder), from_autoregressive(autoregressive_model(), mask_token_id=39)
            )

    def test_the_choice_is_reported(self, folder, caplog):
        logging.getLogger("transformers").propagate = True
        from_autoregressive(folder, mask_token="<repo_name>")
        assert "mask token" not in caplog.text
        from_autoregressive(folder)
        assert "chose the mask token: <|mdm_mask|> (40), new" in caplog.text

    @pytest.mark.parametrize("given", [{"mask_token": "<repo_name>"}, {"mask_token_id": 3}], ids=str)
    def test_an_unused_token(self, folder, given):
        model, tokenizer = from_autoregressive(folder, **given), chat_tokenizer()
        add_mask_token(tokenizer, model)
        assert (tokenizer.mask_token, len(tokenizer), model.config.vocab_size) == ("<repo_name>", 40, 40)

    @pytest.mark.parametrize(
        "given, reason",
        [
            ({"mask_token": "<nope>"}, "`mask_token` must be a token of the tokenizer"),
            ({"mask_token": "<|endoftext|>"}, "its `bos_token_id`"),
            ({"mask_token": "<|im_end|>"}, "its `eos_token_id`"),
            ({"mask_token": "<|im_start|>"}, "part of the chat template"),
            ({"mask_token": "<unk>"}, "its `unk_token_id`"),
            ({"mask_token": "cat"}, "a token of ordinary text"),
            ({"mask_token_id": 8}, "a token of ordinary text"),
            ({"mask_token_id": 40}, r"`mask_token_id` must be an integer in \[0, 39\]"),
            ({"mask_token_id": -1}, "`mask_token_id` must be an integer"),
            ({"mask_token": "<repo_name>", "mask_token_id": 4}, "must be the same token, but '<repo_name>' is 3"),
        ],
        ids=str,
    )
    def test_refused(self, folder, given, reason):
        with pytest.raises(ValueError, match=reason):
            from_autoregressive(folder, **given)


class TestModelObject:
    """Its tokenizer is not known."""

    def test_by_default_a_new_row(self):
        assert from_autoregressive(autoregressive_model()).config.mask_token_id == 40

    def test_a_tokenizer_that_does_not_reach_the_new_row(self):
        model = from_autoregressive(autoregressive_model())
        with pytest.raises(ValueError, match="Convert with `mask_token_id=30`"):
            add_mask_token(chat_tokenizer(num_words=30), model)

    @pytest.mark.parametrize(
        "given, reason",
        [
            ({"mask_token": "<repo_name>"}, "needs the tokenizer"),
            ({"mask_token_id": 0}, "its `bos_token_id`"),
            ({"mask_token_id": 40}, r"in \[0, 39\]"),
            ({"mask_token_id": True}, "must be an integer"),
        ],
        ids=str,
    )
    def test_refused(self, given, reason):
        with pytest.raises(ValueError, match=reason):
            from_autoregressive(autoregressive_model(), **given)


def test_missing_special_tokens_of_the_tokenizer_are_those_of_the_model(folder):
    """The tokenizers of Qwen have no BOS, which the trainers need, although the config names one."""
    tokenizer = chat_tokenizer()
    tokenizer.bos_token = None
    add_mask_token(tokenizer, from_autoregressive(folder))
    assert (tokenizer.bos_token, tokenizer.pad_token) == ("<|endoftext|>", "<|endoftext|>")


def test_an_adapter_does_not_name_the_autoregressive_model(folder):
    for source in (folder, autoregressive_model()):
        model = from_autoregressive(source, mask_token_id=3)
        adapted = get_peft_model(model, LoraConfig(target_modules=["q_proj"]))
        assert not adapted.peft_config["default"].base_model_name_or_path


def test_a_model_without_a_chat_template_ends_at_eos_alone(tmp_path):
    tokenizer = chat_tokenizer()
    tokenizer.chat_template = None
    model = from_autoregressive(save_autoregressive(tmp_path, tokenizer=tokenizer))
    assert model.config.eos_token_id == model.config.pad_token_id == 0


def test_ordinary_text_and_unknown_ids_end_no_text(tmp_path):
    """A config may have the ids of another tokenizer, or the defaults of the library: BOS 1 and EOS 2 for each Llama."""
    tokenizer = chat_tokenizer()
    tokenizer.bos_token = None
    folder = save_autoregressive(tmp_path, tokenizer=tokenizer)
    fields = json.loads((folder / "config.json").read_text()) | {"bos_token_id": 8, "eos_token_id": [9, 99, 2]}
    (folder / "config.json").write_text(json.dumps(fields))
    (folder / "generation_config.json").write_text(json.dumps({"bos_token_id": 3, "eos_token_id": {"id": 0}}))
    config = from_autoregressive(folder).config
    assert (config.bos_token_id, config.eos_token_id) == (3, [0, 2])
