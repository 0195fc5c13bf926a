# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tokenizer that is trained on a corpus: any text, LLaDA's special tokens, and its chat format."""

import pytest
from transformers import AutoTokenizer

from modeling_llada.training import tokenize_corpus
from modeling_llada.training.tokenizing import tokenizer as module
from modeling_llada.training.tokenizing.sources import SourceOptions, find_sources
from modeling_llada.training.tokenizing.tokenizer import SPECIAL_TOKENS, cut_long_words, sample_texts, train_tokenizer


TEXTS = [f"The cat {word} on the mat, and the dog {word} with it." for word in ("sat", "slept", "ran", "sang")] * 5


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, 330)


def test_knows_any_text(tokenizer):
    for text in ("The cat sat on the mat", "床前明月光", " two  spaces\n\n", "🌙\x00\t"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert not {*tokenizer.all_special_ids} & {*ids}
    assert len(tokenizer("The cat sat on the mat")["input_ids"]) == 6, "words of the text are tokens"


def test_special_tokens(tokenizer):
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == [0, 1, 2, 3, 4, 5]
    assert tokenizer.mask_token == "<|mdm_mask|>" and tokenizer.pad_token == tokenizer.eos_token == "<|endoftext|>"
    assert tokenizer.padding_side == "left"
    assert len(tokenizer) <= 330


def test_chats_in_the_format_of_llada(tokenizer):
    messages = [{"role": "user", "content": "Who sat?"}, {"role": "assistant", "content": "The cat."}]
    prompt = tokenizer.apply_chat_template(messages[:1], add_generation_prompt=True, tokenize=False)
    header = "<|start_header_id|>{}<|end_header_id|>\n\n"
    assert prompt == f"<|startoftext|>{header.format('user')}Who sat?<|eot_id|>{header.format('assistant')}"
    marked = tokenizer.apply_chat_template(messages, return_assistant_tokens_mask=True, return_dict=True)
    answer = [one for one, mark in zip(marked["input_ids"], marked["assistant_masks"], strict=True) if mark]
    assert tokenizer.decode(answer) == "The cat.<|eot_id|><|endoftext|>"


def test_a_prompt_is_the_beginning_of_its_conversation():
    """Token by token. A tokenizer that has seen empty lines could join those before an answer with it."""
    tokenizer = train_tokenizer([f"{text}\n\n{text}" for text in TEXTS], 330)
    assert tokenizer.decode(tokenizer("\n\nThe")["input_ids"][0]) == "\n\n"
    messages = [{"role": "user", "content": "Who sat?"}, {"role": "assistant", "content": "The cat."}]
    prompt = tokenizer.apply_chat_template(messages[:1], add_generation_prompt=True, return_dict=True)["input_ids"]
    assert tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"][: len(prompt)] == prompt


def test_long_words_are_cut_for_training():
    """A word of a million letters took minutes."""
    text = f"A word and {'acgt' * 600}, and another."
    words = cut_long_words(text).split()
    assert "".join(words) == text.replace(" ", "") and max(map(len, words)) == 1000
    assert cut_long_words("A word\n\nand another.") == "A word\n\nand another."
    assert max(map(len, train_tokenizer([text], 330).get_vocab())) == 1 + 1000, "a space and a part of it"


def test_is_the_same_each_time(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(TEXTS))
    folders = [
        tokenize_corpus([str(tmp_path / "a.txt")], tmp_path / name, train_tokenizer=330).tokenizer for name in "bc"
    ]
    assert (folders[0] / "tokenizer.json").read_bytes() == (folders[1] / "tokenizer.json").read_bytes()
    assert AutoTokenizer.from_pretrained(folders[0]).chat_template


def test_of_much_text_a_part_is_drawn(tmp_path, monkeypatch):
    """From all of it."""
    monkeypatch.setattr("modeling_llada.training.tokenizing.sources.CHUNK_SIZE", 100)
    monkeypatch.setattr(module, "TRAINING_BYTES", 2_000)
    (tmp_path / "a.txt").write_text("\n".join(f"{line:05d} words" for line in range(2_000)))
    sources = find_sources(str(tmp_path / "a.txt"), SourceOptions(separator="\n"), tmp_path)
    numbers = [int(text[:5]) for text in sample_texts(sources)]
    assert 100 < len(numbers) < 350
    assert numbers == sorted(numbers) and numbers[0] < 200 and numbers[-1] > 1_800
