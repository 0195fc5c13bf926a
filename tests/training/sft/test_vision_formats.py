# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Rows with images: where images come from, where they stand, how rows are cut, and what is refused."""

import json
import logging
from pathlib import Path

import pytest


pytest.importorskip("trl", reason="TRL is not part of this environment")

from datasets import Dataset, List
from datasets import Image as ImageFeature
from PIL import Image
from support.golden_v import golden_image
from support.vision_runs import LENGTHS, PADDED_LENGTH, asked, golden_processor, vision_rows, vision_trainer

from modeling_llada.training.data_files import read_splits
from modeling_llada.training.masking.noise import RowNoise
from modeling_llada.training.masking.row_order import RowKey
from modeling_llada.training.sft.messages import RowFault
from modeling_llada.training.sft.vision_formats import size_of


@pytest.fixture
def trainer_of(tmp_path):
    return lambda *args, **settings: vision_trainer(tmp_path / "run", *args, **settings)


@pytest.fixture
def refused(trainer_of):
    def refused(message, rows, **settings):
        rows = rows if isinstance(rows, Dataset) else Dataset.from_list(rows)
        with pytest.raises(ValueError, match=message):
            trainer_of(rows, **settings)

    return refused


@pytest.fixture
def picture(tmp_path):
    golden_image("A").save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


def texts(trainer, row=0):
    """What is asked and answered, as text, without the system message."""
    tokens = trainer.train_dataset[row]["input_ids"]
    return trainer.processing_class.tokenizer.decode(tokens).partition("user<|end_header_id|>\n\n")[2]


ASKED = (
    "<image>\nWhat is it?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA square.<|eot_id|><|endoftext|>"
)


def lengths_of(trainer):
    return trainer.numbered_rows(trainer.train_dataset, None).lengths()


class TestForms:
    """The same row, however it is written."""

    def test_columns_and_parts(self, trainer_of, picture, tmp_path):
        part, answer = {"type": "image"}, {"role": "assistant", "content": "A square."}
        text = {"type": "text", "text": "What is it?"}
        talk = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A square."}]
        question = {"role": "user", "content": [part, text]}
        at_path = {"role": "user", "content": [{"type": "image", "path": picture}, text]}
        without_column = {"messages": asked("What is it?", "A square.")["messages"]}
        forms = {
            "images": [asked("What is it?", "A square.", golden_image("A"))],
            "image": [without_column | {"image": golden_image("A")}],
            "bytes": [without_column | {"image": Path(picture).read_bytes()}],
            "a stored file": [without_column | {"image": {"bytes": Path(picture).read_bytes(), "path": None}}],
            "a stored path": [without_column | {"image": {"bytes": None, "path": "a.png"}}],
            "a mark": [asked("<image>\nWhat is it?", "A square.", golden_image("A"))],
            "a path": [{"conversations": talk, "image": "a.png"}],
            "a part": [{"messages": [question, answer], "image": picture}],
            "a path in a part": [{"messages": [at_path, answer]}],
            "two columns": [{"prompt": [question], "completion": [answer], "images": [picture]}],
        }
        for form, rows in forms.items():
            dataset = Dataset.from_list(rows, on_mixed_types="use_json")
            trainer = trainer_of(dataset, image_folder=str(tmp_path))
            assert texts(trainer) == ASKED, form
            assert trainer.train_dataset[0]["image_lengths"] == [LENGTHS["A"]], form
            row = trainer.numbered_rows(trainer.train_dataset, RowNoise(0, "train"))[RowKey(0, 0, 0)]
            assert row.images["num_tiles"].tolist() == [3], form

    @pytest.mark.parametrize("column", ["image", "images"])
    def test_images_that_are_not_decoded(self, trainer_of, column):
        row = asked("What is it?", "A square.", golden_image("A"))
        image, feature = row.pop("images"), ImageFeature(decode=False)
        image, feature = (image, List(feature)) if column == "images" else (image[0], feature)
        rows = Dataset.from_list([row | {column: image}]).cast_column(column, feature)
        assert trainer_of(rows, max_steps=1).train().global_step == 1

    def test_a_path_in_one_row_and_several_in_another(self, trainer_of, picture, tmp_path):
        """As the files of LLaVA have them."""
        talk = [{"from": "human", "value": "What is it?"}, {"from": "gpt", "value": "A square."}]
        rows = [{"image": "a.png"}, {"image": ["a.png", "a.png"]}, {}]
        lines = [json.dumps(row | {"conversations": talk}) for row in rows]
        (tmp_path / "rows.json").write_text(f"[{','.join(lines)}]")
        rows = read_splits(str(tmp_path / "rows.json"))["train"]
        trainer = trainer_of(rows, image_folder=str(tmp_path))
        assert trainer.train_dataset["image_lengths"][:] == [[LENGTHS["A"]], [PADDED_LENGTH] * 2, []]

    def test_other_columns_are_not_read(self, trainer_of):
        """Whatever they are called."""
        others = {"image_sizes": [1, 2], "image_paths": "a.png", "image_data": "a", "row_number": 7, "fault": "none"}
        row = asked("What is it?", "A square.", golden_image("A"))
        trainer = trainer_of(Dataset.from_list([row | others]))
        assert texts(trainer) == ASKED and lengths_of(trainer) == lengths_of(trainer_of(Dataset.from_list([row])))

    def test_texts_without_a_template(self, trainer_of):
        rows = [{"prompt": "What is it?", "completion": " A square.", "image": golden_image("A")}]
        trainer = trainer_of(Dataset.from_list(rows))
        tokens = trainer.processing_class.tokenizer.decode(trainer.train_dataset[0]["input_ids"])
        assert tokens == "<image>\nWhat is it? A square.<|endoftext|>"

    def test_nothing_is_asked_of_image_tokens(self, trainer_of):
        """Also where a whole text is trained on."""
        rows = [{"text": "<image> A square.", "image": golden_image("A")}]
        trainer = trainer_of(Dataset.from_list(rows))
        image = trainer.model.config.image_token_id
        row = trainer.train_dataset[0]
        marked = [label != -100 for label in row["labels"]]
        assert marked == [token != image for token in row["input_ids"]]

    def test_rows_of_tokens(self, trainer_of):
        trainer = trainer_of(Dataset.from_dict({"input_ids": [[5, 6, 301]], "labels": [[-100, 6, 301]]}), max_steps=1)
        assert trainer.train().global_step == 1

    def test_turns_of_an_assistant(self, trainer_of):
        row = asked("What is it?", "A square.", golden_image("A"), golden_image("B"))
        row["messages"] += [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes."}]
        trainer = trainer_of(Dataset.from_list([row]), assistant_only_loss=True)
        labels = [label for label in trainer.train_dataset[0]["labels"] if label != -100]
        decode = trainer.processing_class.tokenizer.decode
        assert decode(labels) == "A square.<|eot_id|>Yes.<|eot_id|><|endoftext|>"
        assert trainer.train_dataset[0]["image_lengths"] == [PADDED_LENGTH] * 2

    def test_how_an_image_lies(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        golden_image("A").save(tmp_path / "a.jpg", exif=exif)
        golden_image("A").save(tmp_path / "a.png", exif=exif)
        read = golden_processor().image_processor
        for name in ("a.jpg", "a.png"):
            assert size_of(name, str(tmp_path)) == (100, 60)
            assert read(str(tmp_path / name), return_tensors="pt")["image_sizes"].tolist() == [[100, 60]]


class TestLength:
    def test_rows_whose_images_do_not_fit_are_dropped_and_counted(self, trainer_of, caplog):
        """And those whose answer is cut are, too; the longest image is seen as a whole."""
        caplog.set_level(logging.WARNING)
        with_a, with_none = vision_rows().select([0]), vision_rows().select([3])
        limit = lengths_of(trainer_of(with_a))[0] - 4
        long = Dataset.from_list([asked("Compare.", "Same.", *[golden_image("B")] * 6)])
        rows = [*with_a, *with_none, *long]
        trainer = trainer_of(Dataset.from_list(rows), max_length=limit)
        assert len(trainer.train_dataset) == 2
        assert "1 of 3 rows (2) of `train_dataset` have images that `max_length=" in caplog.text
        assert "1 of 3 rows (0) of `train_dataset` are longer than `max_length=" in caplog.text
        numbered = trainer.numbered_rows(trainer.train_dataset, RowNoise(0, "train"))
        row = numbered[RowKey(0, 0, 0)]
        assert row.images["image_sizes"].tolist() == [[60, 100]] and len(row.input_ids) == limit

    def test_a_later_turn_may_be_cut_off(self, trainer_of):
        row = asked("What is it?", "A square.", golden_image("A"))
        row["messages"] += [{"role": "user", "content": "Are you sure?"}, {"role": "assistant", "content": "Yes."}]
        settings = {"dialogue_mask": True, "assistant_only_loss": True}
        rows = Dataset.from_list([row])
        trainer = trainer_of(rows, **settings)
        images = LENGTHS["A"] - 1
        start = trainer.train_dataset[0]["turn_starts"][0]
        trainer = trainer_of(rows, **settings, max_length=start + images - 2)
        row = trainer.numbered_rows(trainer.train_dataset, RowNoise(0, "train"))[RowKey(0, 0, 0)]
        assert len(row.input_ids) == start + images - 2 and set(row.turns) == {0}

    def test_no_row_is_left(self, refused):
        refused("`max_length=50` is too short for the images of all 1 rows", vision_rows().select([0]), max_length=50)

    def test_no_answer_is_left(self, trainer_of, refused):
        rows = vision_rows().select([0, 3])
        trainer = trainer_of(rows)
        answer = sum(label != -100 for label in trainer.train_dataset[0]["labels"])
        limit = lengths_of(trainer)[0] - answer
        refused(r"must have a response in every row, but in 1 of 2 rows \(0\)", rows, max_length=limit)

    def test_rows_longer_than_they_are_filled(self, refused):
        refused("at most `eos_fill=200` tokens, but", vision_rows(), eos_fill=200, max_length=None)


class TestBadInput:
    def test_as_many_images_as_marks(self, refused):
        refused(
            "one image for each <image> of its texts, but 1 of 1 rows.*2 places without a path of their own and 1 images",
            [asked("<image> and <image>", "Same.", golden_image("A"))],
        )
        refused("1 places without a path of their own and 0 images", [asked("<image>\nWhat?", "A square.")])
        refused(
            "There are 1 places.* and 2 images",
            [asked("<image>\nWhat?", "A square.", golden_image("A"), golden_image("B"))],
        )

    def test_images_in_answers(self, refused):
        refused("no <image> in answers", [asked("What is it?", "<image>", golden_image("A"))])
        rows = [{"prompt": "What is it?", "completion": "<image>", "image": golden_image("A")}]
        refused("no <image> in a completion", rows)

    def test_files(self, refused, tmp_path):
        (tmp_path / "text.png").write_text("no picture")
        golden_image("A").save(
            tmp_path / "two.gif", save_all=True, append_images=[golden_image("B").resize((100, 60))]
        )
        Image.new("1", (20_000, 5_000)).save(tmp_path / "large.png")
        golden_image("A").save(tmp_path / "page.tif")
        tiff = bytearray((tmp_path / "page.tif").read_bytes())
        start = int.from_bytes(tiff[4:8], "little")
        end = start + 2 + 12 * int.from_bytes(tiff[start : start + 2], "little")
        tiff[end : end + 4] = len(tiff).to_bytes(4, "little")  # where a second page is, which has nothing
        (tmp_path / "page.tif").write_bytes(tiff + bytes(6))
        for path, reason in (
            ("missing.png", "No such file"),
            ("page.tif", ""),  # Pillow says it in other words in each version
            ("text.png", "cannot identify image file"),
            ("two.gif", "images that are not animated .one has 2 frames."),
            ("large.png", "images of at most 89,478,485 pixels .one has 20000 x 5000."),
            ("https://example.org/a.png", "images that are files, not 'https"),
        ):
            refused(
                rf"images that can be read in the column `image`, but 1 of 1 rows \(0\).*{reason}",
                [{"messages": asked("What is it?", "A square.")["messages"], "image": path}],
                image_folder=str(tmp_path),
            )

    def test_a_file_that_is_cut_off(self, trainer_of, tmp_path):
        """Its header is whole, so it is noticed when its pixels are read."""
        golden_image("A").save(tmp_path / "a.png")
        whole = (tmp_path / "a.png").read_bytes()
        rows = Dataset.from_list([{"messages": asked("What?", "A square.")["messages"], "image": "a.png"}])
        trainer = trainer_of(rows, image_folder=str(tmp_path))
        (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match="images of row 0.*cannot be read.*damaged or cut off"):
            trainer.train()
        golden_image("B").save(tmp_path / "a.png")
        with pytest.raises(ValueError, match=r"sizes \[\[60, 100\]\] that were measured before, not \[\[140, 45\]\]"):
            trainer.train()

    def test_columns(self, refused):
        row = asked("What is it?", "A square.", golden_image("A"))
        refused("its images in one column, `image` or `images`, but has both", [row | {"image": golden_image("A")}])
        refused("has a column `videos`, but videos are not trained on", [row | {"videos": ["a.mp4"]}])
        tokens = [{"input_ids": [5, 6], "image": golden_image("A")}]
        refused("has `input_ids` beside the column `image`", tokens)

    def test_parts(self, refused):
        audio = [{"role": "user", "content": [{"type": "audio", "text": None}]}, {"role": "assistant", "content": []}]
        refused('must have parts {"type": "text".* in messages, not .*audio', [{"messages": audio}])
        bare = [{"role": "user", "content": [{"type": "image", "image": 7}]}, {"role": "assistant", "content": "A."}]
        refused(
            "must have a path in an image part", Dataset.from_list([{"messages": bare}], on_mixed_types="use_json")
        )

    def test_columns_of_no_format(self, refused):
        """They are named as they were given."""
        refused(r"columns of one format .* but has \['label'\]", [{"image": golden_image("A"), "label": 0}])

    def test_texts_of_a_function(self, refused):
        rows = [{"question": "What?", "image": golden_image("A")}]
        refused(
            "`formatting_func` makes texts, so that the images of `train_dataset` in the column `image`",
            rows,
            formatting_func=lambda row: row["question"],
        )

    def test_placeholders_of_what_is_not_there(self, refused):
        """Such as the name of a tag of HTML."""
        message = r"must have no tokens of images or videos that are not there.*1 of 2 rows \(1\)"
        for other in (
            asked("What does <video> do?", "It plays."),
            asked("Which tag?", "A <video>.", golden_image("B")),
        ):
            refused(message, [asked("What is it?", "A square.", golden_image("A")), other])
        refused(message, [{"input_ids": [5, 6], "labels": [-100, 6]}, {"input_ids": [320, 6], "labels": [-100, 6]}])

    def test_captions_without_an_image(self, refused):
        refused("an image in every row for `plain_captions=True`, but 1 of 5", vision_rows(), plain_captions=True)

    def test_a_template_that_leaves_images_out(self, refused):
        processor = golden_processor()
        processor.chat_template = (
            "{% for message in messages %}{{ message['role'] }}: "
            "{% if message['content'] is string %}{{ message['content'] }}"
            "{% else %}{{ message['content'][-1]['text'] }}{% endif %}{% endfor %}"
        )
        refused(
            r"rows whose images the chat template.*3 of 5 rows \(0, 1, 4\) have 1 images, but.* writes 0",
            vision_rows(),
            processing_class=processor,
        )

    def test_no_image(self):
        with pytest.raises(RowFault, match="images or paths, not 7"):
            size_of(7)
