# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The pipelines of transformers, with the shipped poet, a tiny random model and the golden LLaDA-V."""

import re
from functools import partial

import pytest
import torch
from support.golden_v import FOLDER as LLADA_V
from support.golden_v import golden_image
from support.tiny_poet import SHIPPED_CHECKPOINT
from support.word_tokenizer import save_word_model, word_tokenizer
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    TextDiffusionStreamer,
    TextGenerationPipeline,
    TextStreamer,
    pipeline,
)

from modeling_llada import Constraint, LLaDAForMaskedLM, LLaDAVForConditionalGeneration, LLaDAVProcessor


LINE, NEXT_LINE = "床前明月光，", "疑是地上霜。"
PROMPTS = [LINE, "春眠不觉晓，", "白日"]


@pytest.fixture(scope="module")
def write():
    """The pipeline of the shipped poet, from the folder alone."""
    return pipeline("text-generation", model=str(SHIPPED_CHECKPOINT), dtype=torch.float32, device="cpu")


@pytest.fixture(scope="module")
def write_tiny(poet_folder):
    """The pipeline of a tiny random model."""
    return pipeline("text-generation", model=str(poet_folder), device="cpu")


@pytest.fixture(scope="module")
def fill():
    return pipeline("fill-mask", model=str(SHIPPED_CHECKPOINT), dtype=torch.float32, device="cpu")


@pytest.fixture(scope="module")
def look():
    """The pipeline of the golden LLaDA-V, from the folder alone."""
    return pipeline("image-text-to-text", model=str(LLADA_V), device="cpu")


def texts(answers):
    return [answer["generated_text"] for answer in answers]


class TestTextGeneration:
    def test_the_folder_gives_our_class(self, write):
        assert type(write.model) is LLaDAForMaskedLM

    def test_text(self, write):
        """EOS and pads are left out."""
        assert texts(write(LINE, max_new_tokens=12)) == [LINE + NEXT_LINE]

    def test_filled_masks_are_part_of_the_text(self, write):
        """Also at the end, and in a batch."""
        prompts = ["床前[MASK]月光，", "白日依山尽，黄[MASK]入[MASK]", LINE]
        expected = ["床前明月光，疑是地上霜。", "白日依山尽，黄河入海流。", LINE + NEXT_LINE]
        assert [texts(answer)[0] for answer in write(prompts, max_new_tokens=6, batch_size=3)] == expected
        assert texts(write(prompts[0], max_new_tokens=0)) == ["床前明月光，"]
        assert texts(write(prompts[0], max_new_tokens=6, return_full_text=False)) == [NEXT_LINE]

    def test_the_prompt_is_shown_as_it_was_typed(self, write_tiny):
        """With characters that the tokenizer does not know."""
        assert texts(write_tiny("床前😀明月", max_new_tokens=1))[0].startswith("床前😀明月")

    def test_only_the_completion(self, write):
        assert texts(write(LINE, max_new_tokens=12, return_full_text=False)) == [NEXT_LINE]

    def test_chat(self, write):
        chat = [{"role": "user", "content": LINE}]
        (answer,) = texts(write(chat, max_new_tokens=12))
        assert answer == [*chat, {"role": "assistant", "content": NEXT_LINE}]

    def test_chats_in_a_batch(self, write_tiny):
        chats = [[{"role": "user", "content": prompt}] for prompt in PROMPTS]
        answers = write_tiny(chats, max_new_tokens=12, batch_size=2)
        assert [texts(answer)[0][-1]["content"] for answer in answers] == [
            texts(write_tiny(prompt, max_new_tokens=12, return_full_text=False))[0] for prompt in PROMPTS
        ]

    @pytest.mark.parametrize("options", [{}, {"block_length": 4, "steps": 6}, {"confidence_threshold": 0.9}], ids=str)
    def test_prompts_of_different_lengths_in_a_batch(self, write_tiny, options):
        """Left padding changes nothing."""
        options = options | {"max_new_tokens": 12}
        assert write_tiny(PROMPTS, batch_size=2, **options) == [write_tiny(prompt, **options) for prompt in PROMPTS]

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"steps": 3},
            {"steps": 6, "block_length": 4},
            {"confidence_threshold": 0.5},
            {"remasking": "entropy", "cfg_scale": 0.5},
            {"stop_at_eos": False},
        ],
        ids=str,
    )
    def test_options_of_the_decoding(self, write_tiny, options):
        prompt = write_tiny.tokenizer(LINE, return_tensors="pt")
        sequences = write_tiny.model.generate(**prompt, max_new_tokens=12, **options)
        (answer,) = write_tiny(LINE, max_new_tokens=12, return_tensors=True, **options)
        assert answer["generated_token_ids"] == sequences[0].tolist()

    @pytest.mark.parametrize("batch_size", [1, 2])
    def test_constraint(self, write_tiny, batch_size):
        constraint = Constraint.from_regex("[^，。]{2}，[^，。]{2}。", write_tiny.tokenizer)
        options = {"max_new_tokens": 8, "return_full_text": False, "batch_size": batch_size}
        for answer in write_tiny(PROMPTS, constraint=constraint, **options):
            assert re.fullmatch(constraint.pattern, texts(answer)[0])

    def test_details_are_returned(self, write_tiny):
        (answer,) = write_tiny(LINE, max_new_tokens=12, steps=3, return_dict_in_generate=True)
        assert torch.tensor(answer["num_forward_passes"]).item() == 3  # transformers 5.17 gives a list of one

    def test_several_completions(self, write_tiny):
        torch.manual_seed(0)
        answers = texts(write_tiny(LINE, max_new_tokens=12, num_return_sequences=4, temperature=2.0))
        assert len(answers) == 4 and len(set(answers)) > 1
        assert all(answer.startswith(LINE) for answer in answers)

    def test_options_that_we_do_not_have_are_refused(self, write_tiny):
        with pytest.raises(ValueError, match="`model_kwargs` are not used by the model.*num_beams"):
            write_tiny(LINE, num_beams=4)

    def test_stop_sequence(self, write):
        """The pipeline passes it as `stop_strings`, with its tokenizer; that of transformers 5.17 as an EOS token."""
        assert texts(write(LINE, max_new_tokens=12, stop_sequence="上")) == [LINE + "疑是地上"]

    @pytest.mark.parametrize("streamer_class", [TextStreamer, TextDiffusionStreamer])
    def test_streamer(self, write, streamer_class, capsys):
        streamer = streamer_class(write.tokenizer, skip_prompt=True, skip_special_tokens=True)
        write(LINE, max_new_tokens=12, block_length=6, streamer=streamer)
        assert capsys.readouterr().out.rstrip().endswith(NEXT_LINE)


def test_the_space_between_prompt_and_completion(tmp_path):
    """Decoded alone, the completion loses it with a SentencePiece tokenizer."""
    write = pipeline("text-generation", model=str(save_word_model(tmp_path)), device="cpu")
    options = {"max_new_tokens": 8, "stop_at_eos": False}
    (answer,) = write("city Paris", return_tensors=True, **options)
    text = write.tokenizer.decode(answer["generated_token_ids"], skip_special_tokens=True)
    assert text.startswith("city Paris ")
    assert texts(write("city Paris", **options)) == [text]
    assert texts(write("city Paris", return_full_text=False, **options)) == [text.removeprefix("city Paris")]


def test_other_models_keep_the_pipeline_of_transformers():
    sizes = {"n_layer": 1, "n_head": 1, "n_embd": 8, "vocab_size": 32, "bos_token_id": 0, "eos_token_id": 0}
    model, tokenizer = GPT2LMHeadModel(GPT2Config(**sizes)).eval(), word_tokenizer()
    options = {"max_new_tokens": 6, "do_sample": False}
    ours, theirs = (
        make(model=model, tokenizer=tokenizer)
        for make in (partial(pipeline, "text-generation"), TextGenerationPipeline)
    )
    assert ours("the cat", **options) == theirs("the cat", **options)


def test_a_pipeline_uses_the_options_of_the_checkpoint(poet_folder):
    """Also on transformers 5.17, whose pipelines look for a method `_prepare_generation_config` of the model."""
    tokenizer = AutoTokenizer.from_pretrained(poet_folder)
    model = AutoModelForCausalLM.from_pretrained(poet_folder)
    write = pipeline("text-generation", model=model, tokenizer=tokenizer)
    prompt = tokenizer("床前", return_tensors="pt")
    for options, length in [({}, 7), ({"max_new_tokens": 3, "steps": 2}, 3)]:
        (answer,) = write("床前", return_tensors=True, **options)
        sequences = model.generate(**prompt, **options)
        assert answer["generated_token_ids"] == sequences[0].tolist() and sequences.shape == (1, 2 + length)


class TestFillMask:
    def test_the_most_probable_characters(self, fill):
        best, *others = fill("床前[MASK]月光，疑是地上霜。", top_k=3)
        assert (best["token_str"], best["sequence"]) == ("明", "床前明月光，疑是地上霜。")
        assert best["score"] > 0.9 and len(others) == 2
        assert 1 > best["score"] > others[0]["score"] > others[1]["score"]

    def test_it_is_the_proposal_of_generate(self, fill):
        """Unshifted: the logits at a mask are those of its own token."""
        text = "白日依山尽，黄[MASK]入海流。"
        (best,) = fill(text, top_k=1)
        filled = fill.model.generate(**fill.tokenizer(text, return_tensors="pt"), max_new_tokens=0)
        assert best["sequence"] == fill.tokenizer.decode(filled[0]) == "白日依山尽，黄河入海流。"

    def test_several_masks(self, fill):
        """Each by itself: one forward pass, in which the others stay masked."""
        answers = fill("床前明月光，疑是[MASK]上[MASK]。", top_k=1)
        assert [best["token_str"] for (best,) in answers] == ["地", "霜"]

    def test_texts_of_different_lengths_in_a_batch(self, fill):
        lines = ["床前[MASK]月光，", "春眠不觉[MASK]，处处闻啼鸟。"]
        together = fill(lines, top_k=1, batch_size=2)
        assert [best["token_str"] for (best,) in together] == ["明", "晓"]
        for (best,), line in zip(together, lines, strict=True):
            assert best["score"] == pytest.approx(fill(line, top_k=1)[0]["score"], rel=1e-4)

    def test_a_choice_of_characters(self, fill):
        assert [answer["token_str"] for answer in fill("床前[MASK]月光，", targets=["暗", "明"])] == ["明", "暗"]


class TestImages:
    """`image-text-to-text`."""

    @pytest.fixture
    def expected(self, llada_v):
        """The answer of `generate`."""
        model, processor = llada_v

        def answer(messages, **options):
            inputs = processor.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            )
            tokens = model.generate(**inputs, max_new_tokens=8, **options)
            return processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

        return answer

    @staticmethod
    def ask(names):
        images = [{"type": "image", "image": golden_image(name)} for name in names]
        return [{"role": "user", "content": [*images, {"type": "text", "text": "What is it?"}]}]

    def test_a_public_folder_is_enough(self, look):
        assert type(look.model) is LLaDAVForConditionalGeneration and type(look.processor) is LLaDAVProcessor

    @pytest.mark.parametrize("names", ["A", "AB"])
    def test_a_chat(self, look, expected, names):
        messages = self.ask(names)
        [answer] = look(text=messages, max_new_tokens=8)
        reply = {"role": "assistant", "content": expected(messages)}
        assert answer["generated_text"] == [*messages, reply]
        assert texts(look(text=messages, max_new_tokens=8, return_full_text=False)) == [reply["content"]]

    def test_several_chats(self, look, expected):
        chats = [self.ask(names) for names in ("A", "B", "CD")]
        answers = look(text=chats, max_new_tokens=8, return_full_text=False)
        assert [answer[0]["generated_text"] for answer in answers] == [expected(chat) for chat in chats]

    def test_text_with_placeholders(self, look, llada_v):
        model, processor = llada_v
        inputs = processor(text="<image> Hi", images=golden_image("A"), return_tensors="pt")
        tokens = model.generate(**inputs, max_new_tokens=8)[0, inputs["input_ids"].shape[1] :]
        answers = look(images=golden_image("A"), text="<image> Hi", max_new_tokens=8, return_full_text=False)
        assert texts(answers) == [processor.decode(tokens, skip_special_tokens=True)]

    def test_text_alone(self, look):
        [answer] = look(text="Hi", max_new_tokens=8)
        assert answer["generated_text"].startswith("Hi") and len(answer["generated_text"]) > 2

    def test_decoding_options(self, look, expected):
        messages = self.ask("A")
        options = {"steps": 2, "block_length": 4, "cfg_scale": 1.0}
        assert texts(look(text=messages, max_new_tokens=8, return_full_text=False, **options)) == [
            expected(messages, **options)
        ]
        assert expected(messages, **options) != expected(messages)

    def test_constraint(self, look):
        constraint = Constraint.from_choices(["ab", "ba"], look.tokenizer)
        [answer] = texts(look(text=self.ask("A"), max_new_tokens=8, return_full_text=False, constraint=constraint))
        assert answer in ("ab", "ba")

    def test_options_of_the_processor(self, look, expected):
        """They go where they went before."""
        padded = look(text=self.ask("A"), max_new_tokens=1, return_tensors=True, image_aspect_ratio="pad")
        tiles = look(text=self.ask("A"), max_new_tokens=1, return_tensors=True)
        assert len(padded[0]["generated_token_ids"]) < len(tiles[0]["generated_token_ids"])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"steps": 0}, "`steps` must be an integer of at least 1"),
            ({"steps": 2, "generate_kwargs": {"steps": 3}}, "`steps` is given twice"),
            ({"batch_size": 2}, "`batch_size` must be 1 in a pipeline with images, but got 2"),
        ],
    )
    def test_bad_options(self, look, options, message):
        with pytest.raises(ValueError, match=message):
            look(text=[self.ask("A"), self.ask("B")], max_new_tokens=8, **options)
