# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The instructions of examples/poems: their answers, their checks, and what is held out."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest


pytest.importorskip("pypinyin", reason="rhymes are checked by their pronunciation")
pytest.importorskip("tqdm")

ROOT = Path(__file__).resolve().parents[1]
JING_YE_SI = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"
NUM_TRAIN, NUM_TEST = 1500, 12


@pytest.fixture(scope="module")
def splits(load):
    return load("instruction_split").split_poems()


@pytest.fixture(scope="module")
def rows(load, splits):
    train, test = splits
    instructions = load("instructions")
    return {
        "train": instructions.training_rows(train, instructions.WEIGHTS, NUM_TRAIN, english=0.4, seed=0),
        "test": instructions.test_rows(train, test, NUM_TEST, seed=0),
    }


@pytest.fixture(scope="module")
def check(load):
    return load("instruction_checks").check_answer


@pytest.fixture(scope="module")
def make_check(load):
    return load("instruction_checks").make_check


@pytest.fixture(scope="module")
def tokenizer():
    """The shipped tokenizer, with the chat template of the instructions."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ROOT / "checkpoints/llada-poet")
    template = ROOT / "examples/poems/instruct_template.jinja"
    tokenizer.chat_template = template.read_text(encoding="utf-8")
    return tokenizer


def turns(row):
    return [message["content"] for message in row["messages"]]


# --- the rows ---


def test_a_seed_gives_the_same_files(load, tmp_path):
    written = []
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        options = ["--output", str(tmp_path / name), "--train", "150", "--test", "3", "--seed", seed]
        load("instructions").main(options)
        written.append([(tmp_path / name / f"{part}.jsonl").read_bytes() for part in ("train", "test")])
        assert {path.name for path in (tmp_path / name).iterdir()} == {"train.jsonl", "test.jsonl", "statistics.json"}
    assert written[0] == written[1] != written[2]


def test_rows_have_one_schema(rows):
    for row in rows["train"] + rows["test"]:
        assert list(row) == ["id", "task", "language", "phrasing", "items", "messages", "check"]
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
        assert list(row["check"]) == ["kind", "answers", "pattern", "form", "heads", "theme"]
    assert len({row["id"] for row in rows["train"]}) == len(rows["train"])
    assert len({row["id"] for row in rows["test"]}) == len(rows["test"])


def test_training_rows_are_distinct_and_mixed_as_weighted(load, rows):
    assert len({tuple(turns(row)) for row in rows["train"]}) == len(rows["train"])
    weights, counts = load("instructions").WEIGHTS, Counter(row["task"] for row in rows["train"])
    assert counts == {task: round(NUM_TRAIN * weight) for task, weight in weights.items()}
    assert 0.35 < sum(row["language"] == "en" for row in rows["train"]) / len(rows["train"]) < 0.45
    assert len({row["task"] for row in rows["train"][:50]}) == len(weights), "the order is random"


def test_the_test_asks_the_same_in_all_languages_and_words(rows):
    asked = Counter((row["task"], row["items"], row["language"], row["phrasing"]) for row in rows["test"])
    for task in ("next", "previous", "fill", "author", "title"):
        assert {asked[task, "famous", *group] for group in (("zh", "new"), ("zh", "trained"), ("en", "new"))} == {12}
    assert asked["acrostic", "idiom", "zh", "new"] == 12
    assert asked["theme", "new theme", "zh", "trained"] > 5
    assert asked["theme", "famous", "zh", "trained"] == 0, "training asks for these themes in these words"
    checks = [
        [row["check"] for row in rows["test"] if row["id"].startswith(f"fill-famous-{way}")]
        for way in ("zh-new", "en-trained")
    ]
    assert checks[0] == checks[1]


def test_every_answer_passes_its_check(rows, check):
    for row in rows["train"] + rows["test"]:
        if row["items"] != "idiom":  # nobody wrote these poems yet
            assert check(turns(row)[1], row["check"]) == {"shape": True, "correct": True}, row


def test_answers_of_other_rows_fail(rows, check):
    """But for the tasks that many answers are right in, and poets who are asked for twice."""
    by_task = {task: [row for row in rows["train"] if row["task"] == task] for task in ("next", "previous", "fill")}
    by_task["title"] = list({turns(row)[1]: row for row in rows["train"] if row["task"] == "title"}.values())
    by_task["author"] = list({turns(row)[1]: row for row in rows["train"] if row["task"] == "author"}.values())
    for task, some in by_task.items():
        wrong = [
            check(turns(other)[1], row["check"])["correct"]
            for row, other in zip(some, some[1:], strict=False)
            if turns(other)[1] != turns(row)[1]
        ]
        assert len(wrong) > 10
        assert sum(wrong) == 0, task


def test_no_row_is_longer_than_the_model_was_trained_on(load, rows):
    instructions = load("instructions")
    for row in rows["train"] + rows["test"]:
        assert len(turns(row)[1]) <= 64
        assert instructions.row_length(*turns(row)) <= 128


def test_weights_choose_the_tasks(load, tmp_path):
    weights = ["write=0", "acrostic=0", "fill=0", "next=3", "previous=1", "author=0", "title=0", "theme=0"]
    load("instructions").main(["--output", str(tmp_path), "--train", "40", "--test", "1", "--weights", *weights])
    lines = (tmp_path / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert Counter(json.loads(line)["task"] for line in lines) == {"next": 30, "previous": 10}


def test_a_pool_that_is_used_up_gives_fewer_rows(load, splits):
    rows = load("instructions").training_rows(splits[0], {"theme": 1.0}, 100_000, english=0.0, seed=0)
    assert 500 < len(rows) < 5_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weights", "rap=1"], "`--weights` must name tasks.*'rap=1'"),
        (["--weights", "next=-1"], "`--weights` must be numbers from 0"),
        (["--weights", "next=inf"], "`--weights` must be numbers from 0"),
        (
            [
                "--weights",
                *(
                    f"{task}=0"
                    for task in ["write", "acrostic", "fill", "next", "previous", "author", "title", "theme"]
                ),
            ],
            "at least one",
        ),
        (["--english", "1.5"], "`--english` must be a part"),
        (["--train", "0"], "`--train` and `--test`"),
    ],
)
def test_bad_options_are_refused(load, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit):
        load("instructions").main(["--output", str(tmp_path / "out"), *options])
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


# --- what is held out ---


def test_no_line_of_the_test_is_in_training(load, rows, splits):
    held_out = load("instruction_split").lines_of(splits[1].famous)
    answers = {line for row in rows["train"] for line in re.split("[，。？！；：]", turns(row)[1])}
    assert not held_out & answers
    # A short line may also be a part of a longer one of another poem: 一年春好处 and 最是一年春好处.
    everything = "\n".join(turn for row in rows["train"] for turn in turns(row))
    assert not [line for line in held_out if len(line) >= 7 and line in everything]


def test_no_test_instruction_is_asked_in_training(rows):
    """But for poems of a form with neither title nor poet, in words of the training."""
    trained = {turns(row)[0] for row in rows["train"]}
    again = [row for row in rows["test"] if turns(row)[0] in trained]
    assert {(row["task"], row["phrasing"]) for row in again} <= {("write", "trained")}
    assert not any("《" in turns(row)[0] for row in again)


def test_held_out_poems_share_no_line_with_training(load, splits):
    train, test = splits
    lines_of = load("instruction_split").lines_of
    assert not lines_of(train.famous) & lines_of(test.famous)
    assert 450 < len(train.famous) < 550 < 1055 - len(train.famous) + 20
    assert len(test.famous) > 500
    assert not train.themes & test.themes and len(test.themes) >= 5


def test_themes_of_the_test_are_never_asked_for(rows, splits):
    asked = {row["check"]["theme"] for row in rows["train"]} - {""}
    assert asked <= splits[0].themes
    tested = {row["check"]["theme"] for row in rows["test"] if row["items"] == "new theme"}
    assert tested and tested <= splits[1].themes


def test_idioms_are_the_heads_of_no_training_poem(load, rows):
    idioms = set(load("instruction_tasks").IDIOMS)
    assert all(len(set(idiom)) == 4 for idiom in idioms)
    assert not idioms & {row["check"]["heads"] for row in rows["train"]}


def test_the_corpus_gives_poems_to_write(load, tmp_path):
    datasets = pytest.importorskip("datasets")

    def poem(text, form="五言绝句"):
        return {"text": text, "title": "春夜", "author": "李白", "form": form, "source": "x", "headers": []}

    kept = "春来江水绿，日暮海风香。客路行人远，归心入故乡。"
    leaked = "秋来江水碧，日落海风长。客路行人少，孤舟入夕阳。"
    held_out = "秋来江水碧，日落海风凉。月照千山静，孤舟过夜郎。"
    folder = tmp_path / "poems"
    splits = {"train": [poem(kept), poem(leaked), poem(JING_YE_SI)], "test": [poem(held_out)]}
    datasets.DatasetDict({k: datasets.Dataset.from_list(v) for k, v in splits.items()}).save_to_disk(folder)
    options = ["--output", str(tmp_path / "out"), "--corpus", str(folder), "--train", "60", "--test", "2"]
    load("instructions").main(options)
    rows = [json.loads(line) for line in (tmp_path / "out/train.jsonl").read_text(encoding="utf-8").splitlines()]
    answers = {turns(row)[1] for row in rows if row["task"] in ("write", "acrostic")}
    assert kept in answers and leaked not in answers
    rows = [json.loads(line) for line in (tmp_path / "out/test.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {turns(row)[1] for row in rows if row["task"] == "write"} == {held_out}
    assert {row["items"] for row in rows if row["task"] == "fill"} == {"famous", "corpus"}


def test_a_folder_that_is_no_corpus_is_refused(load, tmp_path):
    pytest.importorskip("datasets")
    with pytest.raises(ValueError, match="`corpus` must be the folder"):
        load("instruction_split").split_poems(tmp_path)


# --- words and tokens ---


def test_phrasings(load):
    slots = {
        "next": {"line"},
        "previous": {"line"},
        "fill": {"pattern"},
        "author": {"couplet"},
        "title": {"couplet"},
        "acrostic": {"heads", "form", "shape"},
        "theme": {"theme", "theme_en"},
        "write form": {"form", "shape"},
        "write title": {"form", "shape", "title"},
        "write author": {"form", "shape", "author"},
        "write all": {"form", "shape", "title", "author"},
    }
    phrasings = load("instruction_tasks").phrasings()
    assert phrasings.keys() == slots.keys()
    for group, languages in phrasings.items():
        assert list(languages) == ["zh", "en"]
        for language, ways in languages.items():
            assert len(ways["trained"]) >= 4 and len(ways["new"]) >= 2
            words = ways["trained"] + ways["new"]
            assert len(set(words)) == len(words)
            for way in words:
                assert set(re.findall(r"\{(\w+)\}", way)) <= slots[group]
                bare = re.sub(r"\{\w+\}", "", way)
                assert bool(re.search("[a-z]", bare)) == (language == "en") or way == "{line}，"
                if language == "en":
                    assert not re.search("[\u4e00-\u9fff]", bare)


def test_no_row_has_an_unknown_token_and_lengths_are_tokens(load, rows, tokenizer):
    every = rows["train"] + rows["test"]
    encoded = tokenizer.apply_chat_template([row["messages"] for row in every], return_dict=True)["input_ids"]
    for row, ids in zip(every, encoded, strict=True):
        assert tokenizer.unk_token_id not in ids, row
        assert tokenizer.mask_token_id not in ids
        assert len(ids) == load("instructions").row_length(*turns(row))


def test_instructions_look_like_headers(tokenizer):
    """An instruction and its answer stand as a header and its poem do in the base model's training data."""
    messages = [
        {"role": "user", "content": "谁写的：床前明月光"},
        {"role": "assistant", "content": "李白"},
        {"role": "user", "content": "写一首五言绝句"},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "谁写的：床前明月光\n李白<|endoftext|><|startoftext|>写一首五言绝句\n"
    encoded = tokenizer.apply_chat_template(messages[:2], return_dict=True, return_assistant_tokens_mask=True)
    marked = [i for i, m in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if m]
    assert tokenizer.decode(marked) == "李白<|endoftext|>"


# --- checks ---


@pytest.mark.parametrize(
    ("answer", "shape", "correct"),
    [
        ("疑是地上霜。", True, True),
        ("疑是地上霜", True, True),
        ("疑似地上霜。", True, False),
        ("疑是地上", False, False),
        ("疑是地上霜，举头望明月。", False, False),
        ("abcde", False, False),
        ("", False, False),
    ],
)
def test_check_of_a_line(check, make_check, answer, shape, correct):
    assert check(answer, make_check("line", answers=["疑是地上霜。"])) == {"shape": shape, "correct": correct}


@pytest.mark.parametrize(
    ("answer", "correct"), [("《咏怀·其二》", True), ("咏怀", True), ("咏怀·其三", False), ("", False), ("?", False)]
)
def test_check_of_a_name(check, make_check, answer, correct):
    assert check(answer, make_check("name", answers=["咏怀·其二", "咏怀"]))["correct"] is correct


@pytest.mark.parametrize(
    ("answer", "shape", "correct"),
    [
        ("床前明月光，疑是地上霜。", True, True),
        ("床前看月光，疑是地上霜。", True, False),
        ("床前看月亮，疑是地上霜。", False, False),
        ("床前__光，疑是地上霜。", False, False),
        ("床前明月光，疑是地上霜。举头", False, False),
        ("明月", False, False),
    ],
)
def test_check_of_gaps(check, make_check, answer, shape, correct):
    asked = make_check("fill", answers=["床前明月光，疑是地上霜。"], pattern="床前__光，疑是地上霜。")
    assert check(answer, asked) == {"shape": shape, "correct": correct}


@pytest.mark.parametrize(
    ("answer", "shape", "correct"),
    [
        (JING_YE_SI, True, True),
        (JING_YE_SI.replace("故乡", "故人"), True, False),
        (JING_YE_SI[:12], False, False),
        ("", False, False),
    ],
)
def test_check_of_a_form(check, make_check, answer, shape, correct):
    assert check(answer, make_check("form", form="五言绝句")) == {"shape": shape, "correct": correct}


@pytest.mark.parametrize(
    ("heads", "form", "shape", "correct"),
    [
        ("床疑举低", "五言绝句", True, True),
        ("床疑低举", "五言绝句", True, False),
        ("床疑举", "五言绝句", True, False),
        ("床疑举低", "七言绝句", False, False),
    ],
)
def test_check_of_an_acrostic(check, make_check, heads, form, shape, correct):
    assert check(JING_YE_SI, make_check("acrostic", heads=heads, form=form)) == {"shape": shape, "correct": correct}
    assert not check("，，，。", make_check("acrostic", heads=heads, form=form))["shape"]


def test_check_of_a_theme(check, make_check):
    asked = make_check("theme", theme="思乡")
    assert check(JING_YE_SI, asked)["correct"]
    assert check(JING_YE_SI[:12] + "春眠不觉晓，处处闻啼鸟。", asked)["correct"], "half of the lines are enough"
    assert check(JING_YE_SI[:6] + "春眠不觉晓，处处闻啼鸟。", asked) == {"shape": True, "correct": False}
    assert not check(JING_YE_SI, make_check("theme", theme="战争"))["correct"]
    assert check("", asked) == {"shape": False, "correct": False}


# --- the themes ---


def test_themes_are_those_of_famous_poems(load):
    themes = load("themes")
    poems = themes.famous_themes()
    assert poems.keys() <= themes.THEMES.keys()
    assert all(len(some) >= themes.MIN_POEMS for some in poems.values())
    assert JING_YE_SI in {poem["text"] for poem in poems["思乡"]}


def test_tags_of_another_edition_count(load):
    editions = [
        (["床前看月光", "疑是地上霜", "举头望山月", "低头思故乡"], {"思乡"}),
        (["疑是地上霜", "甲", "乙"], {"月亮"}),
    ]
    themes = load("themes")
    minimum, themes.MIN_POEMS = themes.MIN_POEMS, 1
    try:
        assert themes.collect(iter(editions)) == {"思乡": ["床前明月光"]}
    finally:
        themes.MIN_POEMS = minimum


def test_tagged_poems_are_read_from_the_package(load, tmp_path):
    pytest.importorskip("opencc")
    (tmp_path / "quantangshi").mkdir()
    records = [
        {
            "title": "靜夜思",
            "author": "李白",
            "paragraphs": ["牀前明月光，疑是地上霜。"],
            "tags": ["思乡", "唐诗三百首"],
        },
        {"title": "壞", "author": "李白", "paragraphs": ["□前。"], "tags": ["思乡"]},
        {"title": "春", "author": "李白", "paragraphs": ["春眠不覺曉，處處聞啼鳥。"], "tags": ["写雨", "雨"]},
        {"title": "無", "author": "李白", "paragraphs": ["春眠不覺曉，處處聞啼鳥。"]},
    ]
    (tmp_path / "quantangshi" / "poet.tang.0.json").write_text(json.dumps(records), encoding="utf-8")
    assert list(load("themes").tagged_poems(tmp_path)) == [
        (["床前明月光", "疑是地上霜"], {"思乡"}),
        (["春眠不觉晓", "处处闻啼鸟"], {"雨"}),
    ]
