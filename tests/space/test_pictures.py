# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tab Pictures of the Space, without a browser: samples, uploads, what the model sees, and its runs."""

import json
import re
import zlib
from base64 import b64decode
from urllib.parse import parse_qs

import pytest
from PIL import Image
from support.tiny_vision import SAMPLES, save_tiny_vision

from modeling_llada.drawing import Cell, Picture


pytest.importorskip("gradio", reason="needs gradio: pip install -e '.[space]'")

import gradio as gr
from llada_space import models as space_models
from llada_space import pictures
from llada_space.models import VISION, ModelCard, Models
from llada_space.pictures import Samples, Seen, look, read_upload
from llada_space.runner import Runner
from llada_space.views.pictures import NO_LINK, PicturesTab, is_right, words_of


SHORT, LONG = (style["label"] for style in SAMPLES["styles"])
FIRST_WAY = "one token a pass"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_tiny_vision(tmp_path_factory.mktemp("checkpoints") / VISION)


@pytest.fixture(scope="module")
def models(checkpoint):
    return Models([ModelCard(VISION, str(checkpoint), is_small=True)])


@pytest.fixture(scope="module")
def tab(models):
    with gr.Blocks():
        return PicturesTab(Runner(models), gr.Dropdown())


@pytest.fixture
def upload(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (90, 60), "olive").save(path)
    return str(path)


class TestWhereItIs:
    def test_only_where_the_checkpoint_has_samples(self, checkpoint, tmp_path, monkeypatch):
        monkeypatch.setattr(space_models, "HERE", tmp_path)
        assert space_models.find_own(VISION) is None
        (tmp_path / "checkpoints").symlink_to(checkpoint.parent)
        cards = {card.name: card for card in space_models.allowed_models("GSAI-ML/LLaDA-8B-Instruct", False)}
        assert cards[VISION].is_small and not cards[VISION].is_listed

    def test_the_processor_needs_no_weights(self, models, monkeypatch):
        monkeypatch.setattr(space_models, "load_with_processor", lambda *args: pytest.fail("it was loaded"))
        assert models.processor(VISION) is models.processor(VISION)


class TestSamples:
    @pytest.fixture
    def samples(self, checkpoint):
        return Samples.load(checkpoint)

    def test_questions_of_a_picture_come_before_those_for_any(self, samples):
        asked = [one["prompt"] for one in samples.questions_of("dots")]
        assert asked == ["How many dots?", "What is it?", "这是什么？"]
        assert [one["prompt"] for one in samples.questions_of("")] == asked[1:]

    def test_expected_answers(self, samples):
        dots = samples.find("dots")
        assert dots.answer("How many dots?") == "2" and dots.answer("What is it?") == dots.answer("?") == ""

    @pytest.mark.parametrize("name", ["", "../dots", "x" * 999, None, ["dots"]])
    def test_no_other_file_is_opened(self, samples, name):
        with pytest.raises(ValueError, match="there is no sample picture"):
            samples.find(name)

    def test_what_may_be_left_out(self, tmp_path):
        (tmp_path / "samples").mkdir()
        least = {"questions": [{"prompt": "?"}], "pictures": [{"file": "a.png", "label": "a"}]}
        (tmp_path / "samples/samples.json").write_text(json.dumps(least))
        samples = Samples.load(tmp_path)
        assert list(samples.styles) == [""] and samples.styles[""].max_new_tokens is None and samples.note == ""
        assert samples.questions_of("a") == least["questions"]


def animated(path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue", "green")]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])


def cut_off(path):
    Image.effect_noise((64, 64), 50).save(path, "PNG")
    path.write_bytes(path.read_bytes()[:900])


def bomb(path, side=30_000):
    """A PNG of a few kilobytes: its header promises more pixels than Pillow opens."""
    Image.new("1", (8, 8)).save(path, "PNG")
    data = bytearray(path.read_bytes())
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)


@pytest.fixture(scope="module")
def shipped():
    with gr.Blocks():
        return PicturesTab(Runner(Models(space_models.allowed_models(None, False))), gr.Dropdown())


@pytest.mark.skipif(space_models.find_own(VISION) is None, reason=f"{VISION} is not there")
class TestShippedSamples:
    def test_they_can_be_shown(self, shipped):
        for name, sample in shipped.samples.pictures.items():
            assert "image tokens" in shipped.draw(name) and sample.label
        for question in shipped.samples.glosses:
            assert question["prompt"].isascii() or question.get("gloss"), "all texts are in English, or have a gloss"
            assert question.get("style") in {None, *shipped.samples.styles}

    @pytest.mark.slow
    def test_most_expected_answers_are_given(self, shipped):
        """To the first question about each picture."""
        right = []
        for name, sample in shipped.samples.pictures.items():
            question = sample.questions[0]
            style = question.get("style") or next(iter(shipped.samples.styles))
            *_, (_, verdict, _) = shipped.run(None, name, question["prompt"], style, "all tokens that are sure (0.9)")
            right.append("Right" in verdict)
        assert sum(right) >= 0.75 * len(right)


class TestUploads:
    @pytest.mark.parametrize(
        ("write", "message"),
        [
            (animated, "this picture is animated, and the model sees one picture: drop one of its 3 frames"),
            (cut_off, "cannot be read as a picture: drop a PNG, JPEG"),
            (bomb, "at most 25 million pixels"),
            (lambda path: bomb(path, 6000), "25 million pixels here: make it smaller. This one has 6000 × 6000."),
            (lambda path: path.write_bytes(b""), "cannot be read as a picture"),
            (lambda path: path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>"), "cannot be read as a picture"),
            (lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "cannot be read"),
            (lambda path: None, "this picture is no longer kept here: drop it again"),
        ],
        ids=["animated", "cut off", "bomb", "large", "empty", "SVG", "EPS", "gone"],
    )
    def test_what_is_refused(self, tmp_path, write, message):
        write(tmp_path / "upload.png")
        with pytest.raises(ValueError, match=re.escape(message)) as caught:
            read_upload(str(tmp_path / "upload.png"))
        assert str(tmp_path) not in str(caught.value), "nobody needs to know where uploads are kept"

    def test_a_photo_is_turned_as_it_was_taken(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6  # a quarter turn
        Image.new("CMYK", (40, 20)).save(tmp_path / "photo.jpg", exif=exif)
        read = read_upload(str(tmp_path / "photo.jpg"))
        assert (read.size, read.mode) == ((20, 40), "RGB")


class TestSeen:
    """The golden model has tiles of 70 pixels with 5 x 5 features."""

    def test_what_the_model_sees(self, models):
        """The grid of 8 x 25 features without padding is made smaller, to no more than four tiles have; rows end in a newline."""
        seen = look(Image.new("RGB", (300, 100)), models.processor(VISION))
        assert seen == Seen(width=300, height=100, rows=2, columns=5, tile_size=70, num_tokens=25 + 5 * (17 + 1))
        assert seen.describe() == (
            "300 × 100 pixels. The model sees the whole picture squashed to 70 × 70 pixels, and 2 × 5 tiles of that size: "
            "115 image tokens."
        )

    def test_lines_are_where_tiles_meet(self):
        """300 x 100 is enlarged to 350 x 117 in 350 x 140 pixels, with 11 rows of padding above."""
        columns, rows = Seen(300, 100, 2, 5, 70, 99).lines
        assert columns == [60.0, 120.0, 180.0, 240.0]
        assert rows == [round((70 - 11) / 117 * 100, 1)]

    def test_one_tile_has_no_lines(self):
        assert Seen(70, 70, 1, 1, 70, 55).lines == ([], [])
        assert Seen(70, 70, 0, 0, 70, 26).lines == ([], [])

    def test_a_label_is_text(self, models):
        drawn = pictures.draw_seen(Image.new("RGB", (60, 60)), '"><script>', Seen(60, 60, 1, 1, 70, 51))
        assert "<script>" not in drawn and 'alt="&quot;&gt;&lt;script&gt;"' in drawn


class TestRuns:
    def play(self, tab, upload=None, sample="dots", question="How many dots?", style=SHORT, way=FIRST_WAY):
        *_, (value, verdict, _) = tab.run(upload, sample, question, style, way)
        return value, verdict

    def test_a_question_about_a_sample(self, tab):
        value, verdict = self.play(tab)
        assert value["status"] == "done" and value["cost"][0] == ["8", "forward passes"]
        assert "Expected: <b>2</b>" in verdict
        cells = value["recording"]["cells"]
        drawn = [cell for place, cell in enumerate(cells) if not any(a <= place < b for a, b in value["hidden"])]
        text = "".join(cell["text"] for cell in drawn)
        assert text.startswith("[image]\nHow many dots? /no_think\n") and text.count("image") == 1
        assert sum(cell["state"] == "mask" for cell in drawn) == 8

    def test_exports_leave_out_the_chat_template(self, tab):
        """All but the JSON file, which is for programs."""
        *_, (value, _, run) = tab.run(None, "dots", "How many dots?", SHORT, FIRST_WAY)
        saved = {
            name: b64decode(tab.runner.save_run({"run": run, "format": name})["data"]).decode()
            for name in ("svg", "html", "json")
        }
        assert "[image]" in saved["svg"] and "start_header_id" not in saved["svg"] + saved["html"]
        record = json.loads(saved["json"])
        assert len(record["tokens"][0]) == len(value["recording"]["cells"])

    def test_its_link_shows_the_run(self, tab):
        value, _ = self.play(tab, sample="sign", question="宽吗？", way="all tokens that are sure (0.9)")
        query = {name: values[0] for name, values in parse_qs(value["link"][1:]).items()}
        fields = tab.read_fields(query)
        assert fields[tab.sample] == "sign" and "a wide sign" in fields[tab.panel]
        shown = tab.open_run(query, fields)[tab.players[0]]
        assert (shown["status"], shown["cost"]) == ("done", value["cost"])
        assert shown["recording"]["frames"][-1]["step"] == value["recording"]["frames"][-1]["step"]
        assert tab.sample not in tab.read_fields(query | {"sample": "../x"})

    def test_its_link_shows_the_run_whatever_the_page_has_chosen(self, tab, models, monkeypatch):
        value, _ = self.play(tab)
        query = {name: values[0] for name, values in parse_qs(value["link"][1:]).items()}
        monkeypatch.setattr(models, "cards", {"large": ModelCard("large", "large"), **models.cards})
        assert tab.open_run(query, tab.read_fields(query))[tab.players[0]]["status"] == "done"

    def test_a_picture_of_ones_own_has_no_link(self, tab, upload):
        value, verdict = self.play(tab, upload=upload, sample="")
        assert value["link"] == "" and value["no_link"] == NO_LINK and "Expected" not in verdict

    def test_an_image_token_in_a_question_is_text(self, tab):
        value, _ = self.play(tab, question="<image> <|mdm_mask|>")
        assert value["title"] == "<image> <|mdm_mask|>" and value["status"] == "done"

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"question": " "}, "there is no question"),
            ({"question": "x" * 5000}, "at most 4000"),
            ({"question": "x" * 900}, "the picture and the question have"),
            ({"sample": "x"}, "there is no sample picture 'x'"),
            ({"style": "x"}, "the style of the answer must be one of answer only"),
            ({"way": "x"}, "the way must be one of one token a pass"),
        ],
    )
    def test_bad_values(self, tab, changes, message):
        with pytest.raises(ValueError, match=message):
            self.play(tab, **changes)


class TestChoosing:
    def test_a_sample_brings_a_question_and_its_style_unless_one_was_typed(self, tab):
        for typed, expected, expected_style in (
            ("How many dots?", "Is the sign wide?", LONG),
            ("mine", "mine", gr.skip()),
            ("What is it?", "What is it?", gr.skip()),
        ):
            name, upload, panel, offered, question, style, player, verdict = tab.on_sample("sign", typed)
            assert (name, upload, question, style) == ("sign", None, expected, expected_style)
            assert (player, verdict) == (None, "")
            assert "300 × 100 pixels" in panel and offered.sample_labels[0] == "Is the sign wide?"

    def test_a_question_brings_its_style(self, tab):
        assert tab.on_question(0, "sign") == ["Is the sign wide?", LONG]
        assert tab.on_question(1, "")[0] == "这是什么？"

    def test_an_upload_replaces_the_sample(self, tab, upload):
        name, _, panel, offered, *_ = tab.on_upload(upload)
        assert (
            name == ""
            and "90 × 60 pixels" in panel
            and offered.sample_labels == ["What is it?", "这是什么？ · What is it?"]
        )

    def test_an_upload_that_cannot_be_read_goes_with_a_warning(self, tab, tmp_path, monkeypatch):
        warnings = []
        monkeypatch.setattr(gr, "Warning", lambda message, title: warnings.append(message))
        (tmp_path / "x.png").write_bytes(b"x")
        assert tab.on_upload(str(tmp_path / "x.png"))[1] is None
        assert warnings[0].startswith("This file cannot be read as a picture")


@pytest.mark.parametrize("answer", ["2", " 2.", "One and one. Answer: 2", "一加一。答案：2"])
def test_right_answers(answer):
    assert is_right(answer, "2") and not is_right(answer, "3")


@pytest.mark.parametrize("answer", ["", "12", "not 2", "2 or 3", "Answer: 12"])
def test_other_answers(answer):
    assert not is_right(answer, "2")


def test_the_order_of_the_words():
    def cell(text, step, word=None, **more):
        return Cell(text, "committed", step=step, word=word, **more)

    cells = (
        Cell("given", "given", word=0),
        cell("red", 3, word=1),
        cell("dish", 1, word=1),
        cell(",", 0),
        cell(" cat", 2, word=4),
        cell("猫", 4),
        cell("4", 6),
        cell("7", 5),
        cell("", 0, is_special=True),
        Cell("", "pad", step=0),
    )
    assert words_of(Picture(4, True, cells)) == [("reddish", 3), ("cat", 2), ("猫", 4), ("47", 6)]
