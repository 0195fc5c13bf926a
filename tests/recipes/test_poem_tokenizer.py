# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The shipped character tokenizer of llada-poet."""

import json
import random
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from recipes.poems.alphabet import load_alphabet
from recipes.poems.build_tokenizer import build_tokenizer, token_list


ROOT = Path(__file__).parents[2]
POEMS = ROOT / "recipes" / "poems"
CHECKPOINT = ROOT / "checkpoints" / "llada-poet"
JING_YE_SI = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(CHECKPOINT)


SPECIALS = ["<|endoftext|>", "<|startoftext|>", "[MASK]", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]


def test_special_tokens_have_fixed_ids(tokenizer):
    assert tokenizer.convert_tokens_to_ids([*SPECIALS, "<|unk|>", "\n"]) == list(range(8))
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id) == (0, 0, 1)
    assert (tokenizer.mask_token, tokenizer.mask_token_id) == ("[MASK]", 2)
    assert tokenizer.unk_token_id == 6
    assert len(tokenizer) == tokenizer.vocab_size == 6400
    assert (tokenizer.padding_side, tokenizer.model_max_length) == ("left", 1024)


class TestChatTemplate:
    MESSAGES = [
        {"role": "system", "content": "五言绝句《春夜》"},
        {"role": "user", "content": "床前明月光，"},
        {"role": "assistant", "content": "疑是地上霜。"},
        {"role": "user", "content": "春眠不觉晓，"},
    ]

    def test_poems_stand_one_after_the_other_as_in_training(self, tokenizer):
        text = tokenizer.apply_chat_template(self.MESSAGES, tokenize=False, add_generation_prompt=True)
        assert text == "五言绝句《春夜》\n床前明月光，疑是地上霜。<|endoftext|><|startoftext|>春眠不觉晓，"

    def test_the_answer_is_marked(self, tokenizer):
        encoded = tokenizer.apply_chat_template(self.MESSAGES, return_dict=True, return_assistant_tokens_mask=True)
        marked = [i for i, m in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if m]
        assert tokenizer.decode(marked) == "疑是地上霜。<|endoftext|>"


def test_ids_follow_the_alphabet(tokenizer):
    alphabet = load_alphabet()
    assert tokenizer.convert_tokens_to_ids(alphabet) == list(range(7, 7 + len(alphabet)))
    assert len(set(alphabet)) == len(alphabet)


def test_text_survives_the_round_trip(tokenizer):
    alphabet = [*load_alphabet(), *SPECIALS]
    rng = random.Random(0)
    pieces = lambda: [rng.choice(alphabet) if rng.random() < 0.7 else rng.choice(" \n[]<|>") for _ in range(40)]  # noqa: E731
    texts = [
        "",
        " ",
        "  two  spaces  ",
        "Hello, world! n't 's [x] <|y|> ~ ~",
        " [MASK] [MASK]",
        "[MASK][MASK]，疑是地上霜。",
    ]
    for text in [*texts, *("".join(pieces()) for _ in range(200))]:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_one_token_a_character_and_none_added(tokenizer):
    assert len(tokenizer.encode(JING_YE_SI)) == len(JING_YE_SI)
    pieces = ["床", "[MASK]", "前", " ", "[MASK]", "\n"]
    assert tokenizer.encode("".join(pieces)) == tokenizer.convert_tokens_to_ids(pieces)
    assert tokenizer.encode("[mask]")[0] == tokenizer.convert_tokens_to_ids("[")


def test_unknown_characters_are_one_unknown_token(tokenizer):
    assert tokenizer.encode("\U0002a6d6é\t") == [tokenizer.unk_token_id] * 3


def test_special_tokens_can_be_skipped(tokenizer):
    ids = tokenizer.encode("<|startoftext|>春[MASK]眠<|eot_id|><|endoftext|><|endoftext|>")
    assert tokenizer.decode(ids, skip_special_tokens=True) == "春眠"
    assert tokenizer.decode([len(tokenizer) - 1], skip_special_tokens=True) == ""


def test_batches_are_padded_on_the_left(tokenizer):
    batch = tokenizer(["春", "春眠不"], padding=True)
    assert batch["input_ids"][0][:2] == [tokenizer.pad_token_id] * 2
    assert batch["attention_mask"] == [[0, 0, 1], [1, 1, 1]]
    assert set(batch) == {"input_ids", "attention_mask"}


def test_tokenizer_can_be_built_again(tokenizer):
    built = build_tokenizer(load_alphabet())
    assert built.get_vocab() == tokenizer.get_vocab()
    shipped = json.loads((CHECKPOINT / "tokenizer.json").read_text(encoding="utf-8"))
    assert json.loads(built.backend_tokenizer.to_str()) == shipped
    assert built.chat_template == tokenizer.chat_template


def test_alphabet_with_a_doubled_character_is_refused():
    with pytest.raises(ValueError, match="`alphabet`.*春"):
        token_list(["春", "眠", "春"])
