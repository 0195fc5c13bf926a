# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""recipes/vision: which emoji and words are chosen, how pictures are cut, and the tokenizer."""

import pytest
from PIL import Image, ImageDraw
from support.vision_archive import small_archive

from recipes.packages import fetch
from recipes.vision.build_tokenizer import SPECIAL_TOKENS, build_tokenizer
from recipes.vision.names import Emoji, choose_emoji, choose_words, read_names, write_names
from recipes.vision.prepare import SIDE, fit
from recipes.vision.rows import VisionRows
from recipes.vision.sources import CLDR, PACKAGES


ENGLISH = {
    "🍎": {"tts": ["red apple"], "default": ["apple", "fruit", "red"]},
    "🍏": {"tts": ["green apple"], "default": ["apple", "fruit", "green"]},
    "❤": {"tts": ["red heart"], "default": ["love", "T-shirt"]},
    "🆗": {"tts": ["OK button"], "default": ["OK"]},
    "🐶": {"tts": ["dog"], "default": ["pet"]},
    "🐕": {"tts": ["Dog"], "default": ["pet"]},
}
CHINESE = {
    character: {"tts": [name], "default": ["红色", "色红", "红红色", "色色红", "红色红", "雪"]}
    for character, name in zip("🍎🍏❤🆗🐶🐕", ("红苹果", "青 苹果", "红心", "OK按钮", "狗", "小狗"), strict=True)
}


def test_emoji_are_chosen_whose_names_are_clear_and_distinct():
    codes = ["1f34e", "1f34f", "2764-fe0f", "1f197", "1f436", "1f415", "1f1e8-1f1f3", "1f600"]
    chosen = choose_emoji(codes, ENGLISH, CHINESE)
    assert chosen == [
        Emoji("1f34e", "red apple", "红苹果"),
        Emoji("1f34f", "green apple", "青苹果"),
        Emoji("2764-fe0f", "red heart", "红心"),
    ]
    assert read_names(write_names(chosen)) == chosen


def test_words_are_chosen_whose_characters_are_in_several():
    words = choose_words(ENGLISH, CHINESE)
    assert words["en"] == ["apple", "fruit", "green", "love", "pet", "red"]
    assert words["zh"] == sorted(["红色", "色红", "红红色", "色色红", "红色红"])


def test_pictures_are_cut_to_what_is_visible():
    large = Image.new("RGBA", (100, 100))
    ImageDraw.Draw(large).rectangle((5, 35, 84, 54), fill="red")
    assert fit(large).size == (SIDE, SIDE)
    assert fit(large).getchannel("A").getbbox()[0] == 0 and fit(large).getchannel("A").getbbox()[2] == SIDE
    dot = Image.new("RGBA", (100, 100))
    ImageDraw.Draw(dot).rectangle((45, 45, 54, 54), fill="red")
    left, _, right, _ = fit(dot).getchannel("A").getbbox()
    assert right - left < SIDE / 3


def test_an_archive_of_a_package_that_is_not_the_published_one_is_refused(tmp_path):
    (tmp_path / CLDR.pattern).write_bytes(b"not it")
    with pytest.raises(ValueError, match="is not the published one"):
        fetch(CLDR, tmp_path)


def test_a_missing_package_without_its_client_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="cldr-annotations-full-48.2.0.tgz where npm is not installed"):
        fetch(CLDR, tmp_path)


def test_each_package_has_a_licence_and_a_source():
    assert all(package.licence and package.source.startswith("http") for package in PACKAGES)


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(small_archive())


@pytest.mark.parametrize(
    "text", ("What is at the top left? /no_think", "这是什么？", "EXIT 12:30\nB47", "naïve 🍎 <0xF0>")
)
def test_text_comes_back_from_its_tokens(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_questions_are_words_and_signs_are_letters(tokenizer):
    def tokens(text):
        return tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])

    assert tokens("What is it? EXIT") == ["What", " is", " it", "?", " ", *"EXIT"]
    assert tokens("这是 12") == ["这", "是", " ", "1", "2"]
    assert tokens("é") == ["<0xC3>", "<0xA9>"]


def test_special_tokens_come_first_and_reserved_ones_last(tokenizer):
    assert tokenizer.convert_ids_to_tokens(range(len(SPECIAL_TOKENS))) == list(SPECIAL_TOKENS)
    assert len(tokenizer) % 64 == 0 and tokenizer.padding_side == "left"
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|startoftext|>", "<|endoftext|>")


def test_rows_need_no_bytes(tokenizer):
    texts = [
        message["content"][-1]["text"]
        for stage in (1, 2, 3)
        for split in ("train", "test")
        for index in range(20)
        for message in VisionRows(small_archive(), split, stage, size=20)[index]["messages"]
    ]
    # The words on the signs of the small archive have rare characters.
    texts = [text for text in texts if text.isascii()]
    assert len(texts) > 50
    tokens = tokenizer.convert_ids_to_tokens([token for text in texts for token in tokenizer(text)["input_ids"]])
    assert not [token for token in tokens if token.startswith("<0x") or token == "<|unk|>"]
