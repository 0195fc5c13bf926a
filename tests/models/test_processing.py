# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""From messages and pictures to what the model takes: the ids of the reference, and as many tokens as features."""

import inspect
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from support.golden_v import CASES, FOLDER, GOLDEN, IMAGE, golden_image, golden_tensors
from transformers import AutoProcessor, AutoTokenizer, ProcessorMixin

from modeling_llada import LLaDAVConfig, LLaDAVImageProcessor, LLaDAVProcessor
from modeling_llada.models.processing_llada_v import PUBLIC_SYSTEM_PROMPT


IMAGE_ID, VIDEO_ID = 320, 321
CHAT_OPTIONS = inspect.signature(ProcessorMixin.apply_chat_template).parameters
# The images of the golden cases by their sizes.
NAMES = {tuple(image["size_width_height"]): name for name, image in GOLDEN["images"].items()}


@pytest.fixture(scope="module")
def processor():
    return LLaDAVProcessor.from_pretrained(FOLDER)


def image_part(name="A"):
    return {"type": "image", "image": golden_image(name)}


def text_part(text):
    return {"type": "text", "text": text}


def message(*parts, role="user"):
    return {"role": role, "content": [text_part(part) if isinstance(part, str) else part for part in parts]}


SYSTEM = {"role": "system", "content": "hi"}
PROMPTS = {
    "prompt_text.single_image": [message(image_part(), "What is it?")],
    "prompt_text.two_images": [SYSTEM, message("first ", image_part(), " second ", image_part(), "Compare.")],
    "prompt_text.no_image": [SYSTEM, {"role": "user", "content": "Say something."}],
}


def chat(processor, messages, **options):
    defaults = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
    return processor.apply_chat_template(messages, **defaults | options)


def collapse(ids):
    """Each run of image or video tokens as the one placeholder of the reference."""
    row = []
    for token in ids:
        token = IMAGE if token in (IMAGE_ID, VIDEO_ID) else token
        if token != IMAGE or row[-1:] != [IMAGE]:
            row.append(token)
    return row


def messages_of(case):
    """The messages of a golden generation case, and the aspect ratio of its images."""
    text = processor_free_decode(golden_tensors()[f"{case['name']}.input_ids"][0].tolist())
    system = text.split("<|end_header_id|>\n\n")[1].split("<|eot_id|>")[0]
    names = [NAMES.get(tuple(size)) for size in case.get("image_sizes_width_height", [])]
    if case["name"] == "video":
        video = {"type": "video", "video": [golden_image(name) for name in "ABCD"]}
        return [{"role": "system", "content": system}, message(video, "What moves?")]
    if len(names) == 2:
        parts = ["first ", image_part(names[0]), " second ", image_part(names[1]), "Compare."]
    elif names:
        parts = [image_part(names[0]), "What is it?"]
    else:
        parts = ["Say something."]
    return [{"role": "system", "content": system}, message(*parts)]


def processor_free_decode(ids):
    return AutoTokenizer.from_pretrained(FOLDER).decode([token for token in ids if token >= 0])


class TestGolden:
    @pytest.mark.parametrize("name", PROMPTS)
    def test_rendered_prompts(self, processor, name):
        assert processor.apply_chat_template(PROMPTS[name], add_generation_prompt=True) == GOLDEN[name]

    @pytest.mark.parametrize("name", CASES)
    def test_generation_cases(self, processor, name):
        """Ids as the public inference makes them, and as many as the reference has after the images are put in."""
        case = CASES[name]
        ratio = case.get("image_aspect_ratio")
        options = {"drop_token_after_images": True, "image_aspect_ratio": "anyres" if ratio != "pad" else "pad"}
        inputs = chat(processor, messages_of(case), processor_kwargs=options)
        assert collapse(inputs["input_ids"][0].tolist()) == golden_tensors()[f"{name}.input_ids"][0].tolist()
        # One case has no `image_newline` after its two images, as public evaluations with several have it.
        expected = case["prompt_length_with_images"] + 2 * (name == "two_pad_stacked")
        assert inputs["input_ids"].shape == inputs["attention_mask"].shape == (1, expected)
        assert inputs["attention_mask"].all()

    @pytest.mark.parametrize(
        "name, messages",
        [
            (
                "sft_two_turns",
                [
                    SYSTEM,
                    message(image_part(), "What is it?"),
                    message("A square.", role="assistant"),
                    {"role": "user", "content": "Which colour?"},
                    {"role": "assistant", "content": "Red."},
                ],
            ),
            ("sft_text_only", [SYSTEM, message("Hello."), message("Good day.", role="assistant")]),
        ],
    )
    def test_training_keeps_the_token_after_an_image(self, processor, name, messages):
        inputs = chat(processor, messages, add_generation_prompt=False)
        expected = golden_tensors()[f"loss.{name}.input_ids"][0].tolist()
        assert collapse(inputs["input_ids"][0].tolist()) == expected
        assert inputs["input_ids"].shape[1] == golden_tensors()[f"loss.{name}.inputs_embeds"].shape[1]

    def test_stage_1(self):
        """Squashed images without line ends, an image token and a caption."""
        config = LLaDAVConfig.from_pretrained(FOLDER)
        config.patch_merge_type, config.image_aspect_ratio = "flat", "square"
        processor = LLaDAVProcessor.from_config(config, AutoTokenizer.from_pretrained(FOLDER))
        assert processor.image_processor.image_aspect_ratio == "square"
        inputs = processor(
            text=["<image>a red square on blue\n", "<image>noise\n"],
            images=[golden_image("A"), golden_image("B")],
            padding_side="right",
            return_tensors="pt",
        )
        expected = golden_tensors()["loss.stage1_plain.input_ids"]
        assert inputs["input_ids"].shape[1] == golden_tensors()["loss.stage1_plain.inputs_embeds"].shape[1]
        for row in range(2):
            assert collapse(inputs["input_ids"][row].tolist()) == expected[row].tolist()
        assert inputs["attention_mask"].sum(1).tolist() == [42, 25 + 6]


class TestTemplate:
    @pytest.mark.parametrize(
        "parts, text",
        [
            ([image_part(), "What?"], "<image>\nWhat?"),
            ([image_part(), image_part(), "What?"], "<image> <image>\nWhat?"),
            (["What?", image_part()], "What?\n<image>"),
            (["a ", image_part(), " b", image_part(), "\nc"], "a <image> b\n<image>\nc"),
            (["a", image_part(), "b"], "a\n<image>\nb"),
            (["a", "b"], "ab"),
            ([image_part()], "<image>"),
            ([image_part(), ""], "<image>"),
            ([{"type": "video", "video": []}, "What?"], "<video>\nWhat?"),
            ([{"type": "image_url", "image_url": {"url": "x.png"}}, "What?"], "<image>\nWhat?"),
            (["  a  "], "a"),
        ],
    )
    def test_parts(self, processor, parts, text):
        rendered = processor.apply_chat_template([SYSTEM, message(*parts)])
        expected = f"<|start_header_id|>user<|end_header_id|>\n\n{text}<|eot_id|>"
        assert (
            rendered.removeprefix("<|startoftext|><|start_header_id|>system<|end_header_id|>\n\nhi<|eot_id|>")
            == expected
        )

    def test_an_unknown_part(self, processor):
        with pytest.raises(Exception, match='must be of the type "text", "image" or "video", but got "audio"'):
            processor.apply_chat_template([message({"type": "audio", "audio": "x.wav"})])

    def test_the_system_prompt_of_a_public_folder(self, processor):
        messages = [{"role": "user", "content": "hi"}]
        system = f"<|start_header_id|>system<|end_header_id|>\n\n{PUBLIC_SYSTEM_PROMPT}<|eot_id|>"
        rendered = processor.apply_chat_template(messages)
        assert rendered.startswith("<|startoftext|>" + system)
        assert processor.apply_chat_template(messages, system_prompt="") == rendered.replace(system, "")
        other = processor.apply_chat_template(messages, system_prompt="Be brief.")
        assert other == rendered.replace(PUBLIC_SYSTEM_PROMPT, "Be brief.")

    def test_other_processors_have_no_system_prompt(self):
        processor = LLaDAVProcessor(LLaDAVImageProcessor(), AutoTokenizer.from_pretrained(FOLDER))
        rendered = processor.apply_chat_template([{"role": "user", "content": "hi"}])
        assert rendered == "<|startoftext|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>"

    @pytest.mark.parametrize("padding_side", ["left", "right"])
    def test_what_the_assistant_says_is_marked(self, processor, padding_side):
        """Two rows of different lengths, each with an image before what is marked."""
        answer = message("A square.", role="assistant")
        short = [message(image_part("A"), "What?"), answer]
        long = [message(image_part("B"), image_part("C"), "Compare."), answer, message("Why?"), answer]
        # transformers 5.17 loses the marks of rows that are padded on the right.
        options = {"padding": padding_side == "left", "padding_side": padding_side}
        inputs = processor.apply_chat_template(
            [short, long],
            tokenize=True,
            return_dict=True,
            return_tensors=None,
            return_assistant_tokens_mask=True,
            processor_kwargs=options,
        )
        expected = processor.tokenizer("A square.<|eot_id|>", add_special_tokens=False)["input_ids"]
        for row, count in enumerate((1, 2)):
            ids, mask = inputs["input_ids"][row], inputs["assistant_masks"][row]
            assert [token for token, marked in zip(ids, mask, strict=True) if marked] == expected * count


class TestBatches:
    def test_rows_of_different_images(self, processor):
        """Padded on the left; each row is what it is alone."""
        rows = [
            [message(image_part("A"), "What is it?")],
            [message("Say something.")],
            [message(image_part("B"), image_part("C"), "Compare.")],
            [message({"type": "video", "video": [golden_image("A"), golden_image("B")]}, "What moves?")],
        ]
        batch = chat(processor, rows, processor_kwargs={"padding": True})
        assert batch["num_tiles"].tolist() == [3, 1, 1] and batch["num_frames"].tolist() == [2]
        assert batch["image_sizes"].tolist() == [[60, 100], [140, 45], [64, 64]]
        for row, messages in enumerate(rows):
            alone = chat(processor, messages)
            ids = batch["input_ids"][row][batch["attention_mask"][row].bool()]
            assert torch.equal(ids, alone["input_ids"][0])
            assert batch["attention_mask"][row].tolist() == sorted(batch["attention_mask"][row].tolist())
        assert (batch["input_ids"][~batch["attention_mask"].bool()] == processor.tokenizer.pad_token_id).all()
        alone = chat(processor, rows[2])
        torch.testing.assert_close(batch["pixel_values"][1:, :1], alone["pixel_values"])
        assert not batch["pixel_values"][1:, 1:].any()

    def test_flat_and_nested_images_are_the_same(self, processor):
        texts = ["<image> <image>\nCompare.", "no image", "<image>\nWhat?"]
        a, b, c = (golden_image(name) for name in "ABC")
        flat = processor(text=texts, images=[a, b, c], return_tensors="pt")
        nested = processor(text=texts, images=[[a, b], [], [c]], return_tensors="pt")
        assert flat.keys() == nested.keys()
        assert all(torch.equal(flat[name], nested[name]) for name in flat)
        assert flat["num_tiles"].tolist() == [1, 1, 2]

    def test_one_image_as_anything(self, processor, tmp_path):
        image = golden_image("A")
        image.save(tmp_path / "a.png")
        array = np.array(image)
        expected = processor(text="<image>", images=[[image]], return_tensors="pt")
        tensor = torch.from_numpy(array).permute(2, 0, 1)
        for one in (
            image,
            [image],
            array,
            array[None],
            [array[None]],
            tensor,
            tmp_path / "a.png",
            str(tmp_path / "a.png"),
        ):
            inputs = processor(text="<image>", images=one, return_tensors="pt")
            assert all(torch.equal(inputs[name], expected[name]) for name in expected)
        for part in ("image", "path", "url"):
            inputs = chat(processor, [message({"type": "image", part: str(tmp_path / "a.png")}, "What?")])
            assert torch.equal(inputs["pixel_values"], expected["pixel_values"])

    def test_one_video_as_anything(self, processor):
        frames = [golden_image("A")] * 3
        array = np.stack([np.array(frame) for frame in frames])
        expected = processor(text="<video>", videos=[[frames]], return_tensors="pt")
        assert expected["input_ids"].tolist() == [[VIDEO_ID] * 3 * 3 * 4]
        for one in (frames, [frames], array, [array], [[array]]):
            inputs = processor(text="<video>", videos=one, return_tensors="pt")
            assert all(torch.equal(inputs[name], expected[name]) for name in expected)

    def test_images_and_videos_in_one_prompt(self, processor):
        frames = [golden_image("A"), golden_image("B")]
        inputs = processor(
            text="<video> <image> <video>", videos=[frames, frames[:1]], images=golden_image("C"), return_tensors="pt"
        )
        ids = inputs["input_ids"][0]
        assert ((ids == VIDEO_ID).sum(), (ids == IMAGE_ID).sum()) == ((2 + 1) * 12, 55)
        assert ids.tolist().index(IMAGE_ID) == 2 * 12 + 1
        assert inputs["pixel_values_videos"].shape == (2, 2, 3, 70, 70)
        assert inputs["num_frames"].tolist() == [2, 1]

    def test_text_alone_is_that_of_the_tokenizer(self, processor):
        inputs = processor(text="Say something.", return_tensors="pt")
        assert inputs.keys() == {"input_ids", "attention_mask"}
        assert inputs["input_ids"].tolist() == [processor.tokenizer("Say something.")["input_ids"]]

    @pytest.mark.parametrize("empty", [[], [[]], [[], []], ()])
    def test_no_images_in_any_row(self, processor, empty):
        """Datasets have an empty list where a row has none."""
        expected = processor(text=["a", "b"], return_tensors="pt")
        assert processor(text=["a", "b"], images=empty, videos=empty, return_tensors="pt").keys() == expected.keys()

    def test_rows_with_and_without_a_list(self, processor):
        a, b = golden_image("A"), golden_image("B")
        for kind, one, other in (("image", a, b), ("video", [a, b], [a])):
            texts = [f"<{kind}>", f"<{kind}>", "none"]
            lists, mixed = (
                processor(text=texts, **{f"{kind}s": rows}) for rows in ([[one], [other], []], [one, [other], []])
            )
            assert lists["input_ids"] == mixed["input_ids"]

    def test_padding_options(self, processor):
        texts = ["a", "a longer text"]
        lengths = [len(ids) for ids in processor.tokenizer(texts)["input_ids"]]
        assert [len(ids) for ids in processor(text=texts)["input_ids"]] == lengths
        for options in (
            {"padding": True},
            {"padding": "max_length", "max_length": 30},
            {"padding": True, "pad_to_multiple_of": 16, "padding_side": "right"},
        ):
            expected = processor.tokenizer(texts, return_tensors="pt", return_token_type_ids=False, **options)
            inputs = processor(text=texts, return_tensors="pt", **options)
            assert inputs.keys() == expected.keys()
            assert all(torch.equal(inputs[name], expected[name]) for name in expected)

    def test_drop_token_after_images_as_an_attribute(self, processor):
        prompt, image = GOLDEN["prompt_text.single_image"], golden_image("A")
        kept, dropped = (
            processor(text=prompt, images=image, drop_token_after_images=drop)["input_ids"][0]
            for drop in (False, True)
        )
        end = len(kept) - kept[::-1].index(IMAGE_ID)
        assert dropped == kept[:end] + kept[end + 1 :]
        # Only prompts that start with BOS, as in the reference.
        kept, dropped = (
            processor(text="<image>\nWhat?", images=image, drop_token_after_images=drop)["input_ids"]
            for drop in (False, True)
        )
        assert kept == dropped
        other = LLaDAVProcessor.from_pretrained(FOLDER, drop_token_after_images=True)
        assert len(other(text=prompt, images=image)["input_ids"][0]) == 191

    @pytest.mark.parametrize("drop", [False, True])
    def test_prompts_that_are_ids_already(self, processor, drop, monkeypatch):
        monkeypatch.setattr(processor, "drop_token_after_images", drop)
        texts = ["<|startoftext|><image>\nWhat?", "No image.", "<image> or <image>?"]
        images = [[golden_image("A")], [], [golden_image("B"), golden_image("C")]]
        expected = processor(text=texts, images=images)
        rows = [processor.tokenizer(text).input_ids for text in texts]
        repeated = processor.repeat_image_tokens(rows, expected["image_sizes"], expected["num_tiles"])
        assert repeated == expected["input_ids"]


class TestBadInput:
    """Each is an error with a way out; the public code drops rows and uses images again without a word."""

    @pytest.mark.parametrize(
        "text, images, message",
        [
            ("<image>", None, r"`text` has 1 `<image>` tokens, but 0 images were passed\. Write `<image>` once"),
            ("<image> <image>", 1, "`text` has 2 `<image>` tokens, but 1 images were passed"),
            ("<image>", 2, "`text` has 1 `<image>` tokens, but 2 images were passed"),
            ("no image", 1, "`text` has 0 `<image>` tokens, but 1 images were passed"),
            (["<image>", "<image>"], [1, 0], "`text` 1 has 1 `<image>` tokens, but 0 images were passed for it"),
            (["<image>", "none"], [0, 1], "`text` 0 has 1 `<image>` tokens, but 0 images were passed for it"),
            (["<image>", "<image>"], [2], "`images` must be one list for each of 2 texts, but got 1 lists"),
        ],
    )
    def test_wrong_number_of_images(self, processor, text, images, message):
        image = golden_image("A")
        if isinstance(images, list):
            images = [[image] * count for count in images]
        elif images is not None:
            images = [image] * images
        with pytest.raises(ValueError, match=message):
            processor(text=text, images=images)

    def test_wrong_number_of_videos(self, processor):
        with pytest.raises(ValueError, match="`text` has 2 `<video>` tokens, but 1 videos were passed"):
            processor(text="<video><video>", videos=[golden_image("A")])

    def test_a_video_that_is_no_list_of_frames(self, processor):
        with pytest.raises(ValueError, match="`videos` must be lists of frames"):
            processor(text="<video>", videos=golden_image("A"))

    def test_an_image_without_text(self, processor):
        with pytest.raises(
            ValueError, match="`text` must be a prompt .* For pixels alone call `processor.image_processor`"
        ):
            processor(images=golden_image("A"))
        inputs = chat(processor, [message(image_part("A"))])
        assert (inputs["input_ids"] == IMAGE_ID).sum() == 70

    @pytest.mark.parametrize("text", [[], [["a"]], 5, [None]])
    def test_no_text(self, processor, text):
        with pytest.raises(ValueError, match="`text` must be a prompt or a list of prompts"):
            processor(text=text)

    @pytest.mark.parametrize("name", ["return_length", "return_overflowing_tokens"])
    def test_what_a_tokenizer_would_return_beside_rows(self, processor, name):
        with pytest.raises(ValueError, match=f"`{name}` must be left out"):
            processor(text="<image> a b", images=golden_image("A"), max_length=2, **{name: True})

    def test_audio(self, processor):
        with pytest.raises(ValueError, match="`audio` must be left out"):
            processor(text="a", audio=np.zeros(3))

    def test_an_image_token_that_a_user_typed(self, processor):
        messages = [message(image_part("A"), "What does <image> mean?")]
        with pytest.raises(ValueError, match=r"has 2 `<image>` tokens, but 1 images.*`sanitize_control_tokens=True`"):
            chat(processor, messages)

    @pytest.mark.skipif("sanitize_control_tokens" not in CHAT_OPTIONS, reason="transformers is too old")
    def test_an_image_token_that_a_user_typed_as_plain_text(self, processor):
        messages = [message(image_part("A"), "What does <image> mean?")]
        inputs = chat(processor, messages, sanitize_control_tokens=True)
        assert (inputs["input_ids"] == IMAGE_ID).sum() == 70
        assert "What does <image> mean?" in processor.decode(inputs["input_ids"][0], skip_special_tokens=True)

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_truncation_never_cuts_an_image(self, processor, side, monkeypatch):
        monkeypatch.setattr(processor.tokenizer, "truncation_side", side)
        text = "<image> ab" if side == "right" else "ab <image>"
        whole = processor(text=text, images=golden_image("A"))["input_ids"][0]
        options = {"images": golden_image("A"), "truncation": True}
        cut = processor(text=text, max_length=71, **options)["input_ids"][0]
        assert cut == (whole[:71] if side == "right" else whole[-71:]) and cut.count(IMAGE_ID) == 70
        assert processor(text=text, max_length=500, **options)["input_ids"][0] == whole
        for length in (69, 1, 0):
            with pytest.raises(ValueError, match=f"`max_length` of {length} tokens cuts off an image"):
                processor(text=text, max_length=length, **options)

    def test_truncation_behind_an_image(self, processor):
        """The image would be gone, and its pixels left over."""
        with pytest.raises(ValueError, match="cuts off an image or a part of one: the prompt has"):
            processor(text="ab <image>", images=golden_image("A"), max_length=2, truncation=True)

    def test_truncation_of_text_is_that_of_the_tokenizer(self, processor):
        for options in ({"truncation": True, "max_length": 4}, {"truncation": False}, {"truncation": True}):
            expected = processor.tokenizer("a longer text", **options)["input_ids"]
            assert processor(text="a longer text", **options)["input_ids"] == [expected]
        assert len(processor(text="a longer text", max_length=4)["input_ids"][0]) == 4

    def test_padding_without_a_pad_token(self):
        tokenizer = AutoTokenizer.from_pretrained(FOLDER)
        tokenizer.pad_token = None
        processor = LLaDAVProcessor(LLaDAVImageProcessor(), tokenizer)
        assert processor(text="a", return_tensors="pt")["input_ids"].shape == (1, 1)
        with pytest.raises(ValueError, match="`padding` needs a tokenizer with a pad token"):
            processor(text=["a", "b c"], return_tensors="pt")

    def test_padding_to_no_length(self, processor):
        with pytest.raises(ValueError, match="`padding='max_length'` needs a `max_length`"):
            processor(text="a", padding="max_length")

    def test_a_damaged_image(self, processor, tmp_path):
        path = tmp_path / "a.png"
        golden_image("A").save(path)
        path.write_bytes(path.read_bytes()[:500])
        with pytest.raises(ValueError, match="a.png' cannot be read as a picture. Is it damaged or cut off?"):
            chat(processor, [message({"type": "image", "path": str(path)}, "What?")])

    @pytest.mark.parametrize(
        "options, message",
        [
            ({"vision_aspect_ratio": "anyres_4"}, "`vision_aspect_ratio` must be"),
            ({"patch_merge_type": "spatial"}, "`patch_merge_type` must be one of"),
        ],
    )
    def test_bad_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            LLaDAVProcessor(LLaDAVImageProcessor(), AutoTokenizer.from_pretrained(FOLDER), **options)


class TestFolders:
    def test_a_public_folder(self, processor):
        """It has no files of a processor: all comes from config.json and the tokenizer."""
        assert type(AutoProcessor.from_pretrained(FOLDER)) is LLaDAVProcessor
        assert processor.image_processor.size["height"] == 70
        assert (processor.vision_aspect_ratio, processor.patch_merge_type) == ("anyres_max_4", "spatial_unpad")
        assert (processor.image_token_id, processor.video_token_id) == (IMAGE_ID, VIDEO_ID)
        assert processor.tokenizer.padding_side == "left"

    def test_the_ids_are_those_of_the_config(self, processor):
        config = LLaDAVConfig.from_pretrained(FOLDER)
        assert (config.image_token_id, config.video_token_id) == (processor.image_token_id, processor.video_token_id)

    def test_a_tokenizer_that_does_not_fit(self):
        tokenizer = AutoTokenizer.from_pretrained(FOLDER)
        tokenizer.add_tokens(["<more>"])
        with pytest.raises(
            ValueError, match=r"`tokenizer` gives .* the ids \(321, 322\), but they are \(320, 321\).*has 321"
        ):
            LLaDAVProcessor.from_config(LLaDAVConfig.from_pretrained(FOLDER), tokenizer)

    def test_a_folder_with_a_tokenizer_that_does_not_fit(self, tmp_path):
        for name in ("config.json", "vision_config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(FOLDER / name, tmp_path / name)
        config = json.loads((tmp_path / "config.json").read_text()) | {"vocab_size": 126464}
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match=r"the ids \(320, 321\), but they are \(126349, 126350\) in the config"):
            LLaDAVProcessor.from_pretrained(tmp_path)

    def test_saved_and_loaded(self, processor, tmp_path):
        processor.save_pretrained(tmp_path)
        loaded = AutoProcessor.from_pretrained(tmp_path)
        assert type(loaded) is LLaDAVProcessor
        before, after = (one.to_dict() for one in (processor, loaded))
        before.pop("auto_map"), after.pop("auto_map", None)  # set by saving
        assert after == before
        assert (loaded.image_token_id, loaded.tokenizer.padding_side) == (IMAGE_ID, "left")
        before, after = (chat(one, PROMPTS["prompt_text.single_image"]) for one in (processor, loaded))
        assert all(torch.equal(before[name], after[name]) for name in before)
        other = LLaDAVProcessor.from_pretrained(tmp_path, vision_aspect_ratio="anyres")
        assert other.vision_aspect_ratio == "anyres"

    def test_the_padding_side_is_saved(self, tmp_path):
        """Also where the files of the tokenizer name none, as those of a public folder that was exported."""
        public = shutil.copytree(FOLDER, tmp_path / "public", ignore=shutil.ignore_patterns("golden*", "model*"))
        path = public / "tokenizer_config.json"
        fields = json.loads(path.read_text())
        del fields["padding_side"]
        path.write_text(json.dumps(fields))
        for side in ("left", "right"):
            processor = LLaDAVProcessor.from_pretrained(public)
            assert processor.tokenizer.padding_side == "left"
            processor.tokenizer.padding_side = side
            processor.save_pretrained(tmp_path / side)
            assert LLaDAVProcessor.from_pretrained(tmp_path / side).tokenizer.padding_side == side

    def test_a_tokenizer_with_the_tokens_is_left_as_it_is(self, processor):
        entries = len(processor.tokenizer)
        LLaDAVProcessor(processor.image_processor, processor.tokenizer)
        assert len(processor.tokenizer) == entries


class TestOutput:
    def test_decoding(self, processor):
        inputs = processor(text=["<image>\nWhat is it?"] * 2, images=[golden_image("A")] * 2, return_tensors="pt")
        for decode in (processor.post_process_image_text_to_text, processor.batch_decode):
            assert decode(inputs["input_ids"], skip_special_tokens=True) == ["\nWhat is it?"] * 2
        assert processor.decode(inputs["input_ids"][0], skip_special_tokens=True) == "\nWhat is it?"

    def test_what_the_model_takes(self, processor):
        video = [Image.new("RGB", (8, 8))]
        inputs = processor(text="<image><video>", images=golden_image("A"), videos=video, return_tensors="pt")
        assert set(inputs) <= set(processor.model_input_names)
