# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The text of a completion, with tokenizers whose tokens do not stand alone."""

import pytest
from support.word_tokenizer import word_tokenizer
from transformers import AutoTokenizer

from modeling_llada.completion import completion_text, typed_and_written, typed_texts


@pytest.fixture(scope="module")
def words():
    return word_tokenizer()


@pytest.fixture(scope="module")
def poet_tokenizer(poet_folder):
    return AutoTokenizer.from_pretrained(poet_folder)


class TestCompletionText:
    def test_the_first_word_keeps_its_space(self, words):
        tokens = words("city Paris is a city</s>").input_ids
        assert completion_text(words, tokens, 2) == " is a city"
        assert words.decode(tokens[2:], skip_special_tokens=True) == "is a city"  # decoded alone

    @pytest.mark.parametrize("prompt_length", [2, 3, 4])
    def test_a_character_that_begins_in_the_prompt(self, words, prompt_length):
        tokens = words.convert_tokens_to_ids(["▁a", "<0xE5>", "<0xBA>", "<0x8A>"])
        completion = "" if prompt_length == 4 else "床"
        assert completion_text(words, tokens, prompt_length) == completion

    def test_special_tokens(self, words):
        tokens = words.convert_tokens_to_ids(["</s>", "</s>", "▁city", "▁cat", "</s>"])  # the prompt is padded
        assert completion_text(words, tokens, 3) == " cat"
        assert completion_text(words, tokens, 3, skip_special_tokens=False) == " cat</s>"

    def test_without_a_prompt(self, words):
        assert completion_text(words, words("city cat").input_ids, 0) == "city cat"


class TestTypedAndWritten:
    def test_characters_that_the_tokenizer_does_not_know_stay(self, poet_tokenizer):
        prompt = "床前[MASK]月光😀，"
        tokens = poet_tokenizer("床前明月光😀，疑是<|endoftext|>").input_ids
        pieces = typed_and_written(poet_tokenizer, prompt, tokens, poet_tokenizer.mask_token_id)
        assert pieces == [("床前", False), ("明", True), ("月光😀，", False), ("疑是", True)]

    def test_words(self, words):
        prompt = "the [MASK][MASK] sat on 😀 a mat"
        tokens = words(prompt).input_ids
        start = tokens.index(words.mask_token_id)
        tokens[start : start + 2] = words.convert_tokens_to_ids(["P", "▁cat"])
        tokens += words.convert_tokens_to_ids(["▁is", "."])
        pieces = typed_and_written(words, prompt, tokens, words.mask_token_id)
        assert pieces == [("the ", False), ("P cat", True), (" sat on 😀 a mat", False), (" is.", True)]

    def test_each_typed_character_belongs_to_one_token(self, words, poet_tokenizer):
        for tokenizer, prompt in ((words, "the cat😀 sat é"), (poet_tokenizer, "床😀 <|endoftext|>前 x")):
            texts = typed_texts(tokenizer, prompt, tokenizer.mask_token_id)
            assert "".join(texts) == prompt and len(texts) == len(tokenizer(prompt).input_ids)
