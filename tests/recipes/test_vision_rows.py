# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""recipes/vision: rows about pictures, what is held out, and when an answer is right."""

import pickle
import re
from random import Random

import pytest
from PIL import Image
from support.vision_archive import small_archive

from recipes.vision import lists, measure, sheet, tasks, two_step
from recipes.vision.archive import load_archive
from recipes.vision.checks import blind_answers, is_right, scores
from recipes.vision.dialogues import DIALOGUES, MOST, about_corners, about_presence
from recipes.vision.draw import WORDINGS, Draw, held_out_numbers, held_out_style, is_held_out_layout, is_held_out_text
from recipes.vision.rows import STAGE_1, STAGE_2, TWO_STEP, VisionRows


ALL_MAKERS = [maker for maker in {**STAGE_1, **STAGE_2, **TWO_STEP} if maker not in {**DIALOGUES, about_corners: 0}]
READ = (tasks.read_sign, tasks.read_line, tasks.caption_sign)


@pytest.fixture(scope="module")
def archive():
    return small_archive()


def draw_of(archive, split, seed, language="en"):
    return Draw(archive, split, language, Random(seed), 64)


def question_of(row):
    return row["messages"][0]["content"][-1]["text"]


def answer_of(row):
    return row["messages"][1]["content"][0]["text"]


@pytest.mark.parametrize("stage", (1, 2, 3))
def test_rows_depend_on_their_place_alone(archive, stage):
    rows = VisionRows(archive, "train", stage, size=100, seed=3)
    again = VisionRows(archive, "train", stage, size=100, seed=3)
    for index in (7, 2):
        first, second = rows[index], again[index]
        assert [image.tobytes() for image in first.pop("images")] == [
            image.tobytes() for image in second.pop("images")
        ]
        assert first == second
    other = VisionRows(archive, "train", stage, size=100, seed=4)
    assert [answer_of(rows[index]) for index in range(8)] != [answer_of(other[index]) for index in range(8)]


def test_rows_are_messages_with_as_many_image_parts_as_images(archive):
    rows = VisionRows(archive, "train", 2, size=200)
    for index in range(40):
        row = rows[index]
        parts = [part["type"] for part in row["messages"][0]["content"]]
        assert parts == ["image"] * len(row["images"]) + ["text"]
        assert all(image.mode == "RGB" for image in row["images"])
        assert row["answer"] == answer_of(row)
    with pytest.raises(IndexError):
        rows[200]


@pytest.mark.parametrize("maker", ALL_MAKERS, ids=lambda maker: maker.__name__)
def test_layouts_and_wordings_of_tests_are_never_trained_on(archive, maker):
    texts, layouts = {}, {}
    for split in ("train", "test"):
        asked = [maker(draw_of(archive, split, seed)) for seed in range(6)]
        draws = [draw_of(archive, split, seed) for seed in range(6)]
        layouts[split] = {one.layout for one in asked}
        texts[split] = {draw.wording(one.kind, one.slots) for draw, one in zip(draws, asked, strict=True)}
        assert all(is_held_out_layout(layout) == (split == "test") for layout in layouts[split])
    assert layouts["train"].isdisjoint(layouts["test"]) and texts["train"].isdisjoint(texts["test"])


@pytest.mark.parametrize("maker", DIALOGUES, ids=lambda maker: maker.__name__)
def test_dialogues_ask_different_questions_about_the_same_pictures(archive, maker):
    lengths = set()
    for seed in range(20):
        asked = maker(draw_of(archive, "train", seed))
        lengths.add(len(asked))
        assert all(one.images is asked[0].images or one.images[0] is asked[0].images[0] for one in asked)
        assert len({(one.kind, *one.slots.values()) for one in asked}) == len(asked)
        assert not any(is_held_out_layout(one.layout) for one in asked)
    assert max(lengths) > 1 and max(lengths) <= MOST


def test_what_is_asked_for_is_there_as_often_as_not(archive):
    asked = [one for seed in range(30) for one in about_presence(draw_of(archive, "train", seed))]
    answers = [one.answer for one in asked]
    assert set(answers) == {"yes", "no"} and answers.count("yes") == answers.count("no")


def test_lists_have_each_thing_with_its_place(archive):
    for seed in range(10):
        scene, _ = tasks.placed(draw_of(archive, "train", seed))
        draw = draw_of(archive, "train", seed)
        asked = lists.list_places(draw, scene)
        pairs = dict(part.split(": ") for part in asked.answer.removesuffix(".").split(". "))
        names = {draw.name(number): draw.place(*cell) for cell, number in scene.numbers.items()}
        assert pairs in (names, {place: name for name, place in names.items()})


def test_each_kind_of_question_has_wordings_of_its_own_to_test_with():
    for kinds in WORDINGS.values():
        for wordings in kinds.values():
            assert len(wordings["train"]) >= 3 and len(wordings["test"]) >= 2
            assert set(wordings["train"]).isdisjoint(wordings["test"])


def test_a_style_of_a_part_of_the_emoji_is_only_named_in_tests(archive, monkeypatch):
    held_out = {(number, held_out_style(archive, number)) for number in held_out_numbers(archive)}
    assert 0.2 < len(held_out) / len(archive.emoji) < 0.5
    shown = []
    picture = archive.picture
    monkeypatch.setattr(archive, "picture", lambda *item: shown.append(item) or picture(*item))
    for maker in ALL_MAKERS:
        for seed in range(10):
            maker(draw_of(archive, "train", seed))
    assert shown and held_out.isdisjoint(shown)
    shown.clear()
    for seed in range(10):
        tasks.name(draw_of(archive, "test", seed))
    assert held_out.issuperset(shown)


@pytest.mark.parametrize("maker", READ, ids=lambda maker: maker.__name__)
def test_words_on_signs_belong_to_one_split(archive, maker):
    for split in ("train", "test"):
        answers = " ".join(maker(draw_of(archive, split, seed)).answer for seed in range(30))
        words = [word.lower() for word in re.findall("[A-Z]{5}", answers)]
        assert words and all(is_held_out_text(word) == (split == "test") for word in words)


def test_no_answer_to_where_or_how_many_is_frequent(archive):
    for maker, most in ((tasks.where, 0.25), (tasks.count_all, 0.25), (two_step.sum_count, 0.3)):
        answers = [maker(draw_of(archive, "test", seed)).answer for seed in range(60)]
        assert max(answers.count(answer) for answer in set(answers)) / 60 <= most


def test_reasoning_ends_with_what_gives_the_answer(archive):
    thinking = VisionRows(archive, "train", 3, size=100, think=True, makers=TWO_STEP)
    for index in range(30):
        row = thinking[index]
        assert question_of(row).endswith(" /think") and len(answer_of(row)) > len(row["answer"])
        assert is_right(row["task"], answer_of(row), row["answer"])
        sums = re.findall(r"(\d+) ([+-]) (\d+) = (\d+)", answer_of(row))
        assert all(int(a) + int(b) * (1 if sign == "+" else -1) == int(c) for a, sign, b, c in sums)
    plain = VisionRows(archive, "train", 3, size=100, think=False)
    assert all(
        question_of(row).endswith(" /no_think") and answer_of(row) == row["answer"]
        for row in map(plain.__getitem__, range(20))
    )


def test_small_print_is_lost_in_one_tile_and_fits_four(archive):
    for seed in range(20):
        image = tasks.read_sign(draw_of(archive, "train", seed)).images[0]
        assert image.width * image.height <= 4.5 * 64**2
        larger = tasks.read_sign(Draw(archive, "train", "en", Random(seed), 128)).images[0]
        assert larger.width == pytest.approx(2 * image.width, abs=2)


@pytest.mark.parametrize(
    ("task", "answer", "truth", "expected"),
    (
        ("naming", "The red apple.", "red apple", True),
        ("naming", "apple", "red apple", False),
        ("position", "Upper left", "top left", True),
        ("position", "在左上。", "左上", False),
        ("position", "左上。", "左上", True),
        ("colour", "Gray", "grey", True),
        ("reading", "exit 12：30", "EXIT 12:30", True),
        ("reading", "出口 12", "出口12", True),
        ("reading", "1 2", "12", False),
        ("two-step", "tea: 3. bread: 4. 3 + 4 = 7. Answer: 7", "7", True),
        ("two-step", "茶：3。3 + 4 = 7。答案：8", "7", False),
    ),
)
def test_an_answer_is_right(task, answer, truth, expected):
    assert is_right(task, answer, truth) is expected


def test_scores_by_task_and_kind(archive):
    rows = [VisionRows(archive, "test", 2, size=100)[index] for index in range(40)]
    right = scores(rows, [row["answer"] for row in rows])
    assert all(part["right"] == 1 for part in right.values())
    assert sum(part["rows"] for key, part in right.items() if "/" not in key) == 40
    assert "position/where" in right
    blind = scores(rows, blind_answers(rows, rows))
    assert 0 < sum(part["right"] * part["rows"] for key, part in blind.items() if "/" not in key) < 40


def test_an_archive_is_one_file(archive, tmp_path):
    archive.save(tmp_path / "vision.zip")
    again = load_archive(tmp_path / "vision.zip")
    assert again.emoji == archive.emoji and again.words == archive.words and again.about == archive.about
    assert again.pictures == archive.pictures and again.fonts == archive.fonts
    rows = [VisionRows(one, "train", 2, size=10)[3] for one in (archive, pickle.loads(pickle.dumps(again)))]
    assert rows[0]["images"][0].tobytes() == rows[1]["images"][0].tobytes()
    with pytest.raises(ValueError, match="`archive` must be the file"):
        load_archive(tmp_path / "no.zip")


def test_rows_can_be_looked_at_and_measured(archive, tmp_path, capsys):
    archive.save(tmp_path / "vision.zip")
    sheet.main(["--archive", str(tmp_path / "vision.zip"), "--rows", "6", "--output", str(tmp_path / "sheet.png")])
    assert Image.open(tmp_path / "sheet.png").width == sheet.ACROSS * sheet.WIDTH
    measure.main(["--archive", str(tmp_path / "vision.zip"), "--rows", "20"])
    assert re.search(r"\d+ rows/s.*\n.*% of the rows, a blind guess is right in", capsys.readouterr().out)


def test_bad_options_are_named(archive):
    with pytest.raises(ValueError, match="`split`"):
        VisionRows(archive, "validation", 1, size=1)
    with pytest.raises(ValueError, match="`stage`"):
        VisionRows(archive, "train", 4, size=1)
