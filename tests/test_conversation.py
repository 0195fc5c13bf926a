# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Chats on the tokenizer and the chat template of the shipped checkpoint."""

import pytest
from support.golden_v import golden_image
from transformers import AutoTokenizer

from modeling_llada.conversation import Conversation


class TestConversation:
    @pytest.fixture
    def conversation(self, poet_folder):
        """One with room for twelve tokens; a turn takes six, with EOS and BOS."""
        tokenizer = AutoTokenizer.from_pretrained(poet_folder)
        conversation = Conversation(tokenizer, tokenizer.mask_token_id, max_prompt_length=12)
        conversation.add("床前", "明月")
        return conversation

    def decode(self, conversation, text):
        prompt = conversation.prompt_for(text)
        assert prompt["attention_mask"].all()
        return conversation.tokenizer.decode(prompt["input_ids"][0], skip_special_tokens=True)

    def test_oldest_turns_are_dropped(self, conversation):
        assert self.decode(conversation, "疑是地上霜。") == "床前明月疑是地上霜。"
        assert conversation.num_dropped == 0
        assert self.decode(conversation, "疑是地上霜。疑") == "疑是地上霜。疑"
        assert conversation.num_dropped == 1
        # They are still part of the transcript.
        assert [message["content"] for message in conversation.messages] == ["床前", "明月"]

    def test_system_message_stays(self, poet_folder):
        tokenizer = AutoTokenizer.from_pretrained(poet_folder)
        conversation = Conversation(tokenizer, tokenizer.mask_token_id, max_prompt_length=12, system="五言诗")
        conversation.add("床前", "明月")
        assert self.decode(conversation, "疑是地上霜。") == "五言诗\n疑是地上霜。"

    def test_undo_brings_dropped_turns_back(self, conversation):
        conversation.prompt_for("疑是地上霜。疑")
        conversation.add("疑是地上霜。疑", "是")
        assert conversation.undo() and conversation.num_dropped == 0
        assert conversation.undo() and not conversation.undo()

    def test_a_message_that_does_not_fit_at_all(self, conversation):
        with pytest.raises(ValueError, match="the message has 13 tokens, .* only 12 fit before the reply"):
            conversation.prompt_for("霜" * 13)
        assert conversation.num_dropped == 0

    def test_parts_of_a_message_are_joined(self, conversation):
        message = [{"type": "text", "text": "疑是"}, {"type": "text", "text": "地上霜。"}]
        assert self.decode(conversation, message) == "床前明月疑是地上霜。"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("床\udcff", "a message is not UTF-8 text"),
            ("床前[MASK]", "a message must not hold mask tokens"),
            (3, "`content` must be a text or a list of parts, but got '3'"),
            ([{"type": "image_url", "text": "床"}], "a part of `content` must be a text"),
        ],
    )
    def test_messages_that_are_refused(self, conversation, text, message):
        with pytest.raises(ValueError, match=message):
            conversation.prompt_for(text)


class TestImages:
    @pytest.fixture
    def conversation(self, llada_v):
        """One with room for two images of one tile, with the system message and the chat template."""
        model, processor = llada_v
        conversation = Conversation(processor, model.config.mask_token_id, max_prompt_length=160, system="Look.")
        conversation.add(question("A", "What is this?"), "A cat.")
        return conversation

    def test_the_oldest_turns_go_with_their_images(self, conversation):
        prompt = conversation.prompt_for(question("B", "And this?"))
        assert (len(prompt["pixel_values"]), conversation.num_dropped) == (2, 0)
        prompt = conversation.prompt_for(question("BC", "And these, which I describe at length?"))
        assert (len(prompt["pixel_values"]), conversation.num_dropped) == (2, 1)

    def test_one_that_does_not_fit(self, conversation):
        with pytest.raises(
            ValueError, match="only 160 fit before the reply: .*, use fewer or smaller images, or lower"
        ):
            conversation.prompt_for(question("AAAAAAAA", "What?"))

    def test_text_alone(self, conversation):
        conversation.clear()
        prompt = conversation.prompt_for([{"type": "text", "text": "Hi"}])
        assert set(prompt) == {"input_ids", "attention_mask"}

    def test_a_text_model(self, tiny_poet):
        conversation = Conversation(tiny_poet[1], tiny_poet[1].mask_token_id, max_prompt_length=12)
        with pytest.raises(ValueError, match="a message has an image, but the model is for text alone"):
            conversation.prompt_for(question("A", "床前"))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ([{"type": "image", "image": "nothing.png"}], "there is no file 'nothing.png'"),
            ([{"type": "image", "image": golden_image("A")}, {"type": "audio"}], "a part of `content` must be a text"),
            ([{"type": "image", "image": golden_image("A")}, {"type": "text", "text": "\udcff"}], "not UTF-8 text"),
        ],
    )
    def test_messages_that_are_refused(self, conversation, content, message):
        with pytest.raises(ValueError, match=message):
            conversation.prompt_for(content)


def question(names, text):
    """The content of a message with golden images."""
    return [*({"type": "image", "image": golden_image(name)} for name in names), {"type": "text", "text": text}]
