# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The instructions of recipes/poems: their answers, their checks, and what is held out."""

import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest


pytest.importorskip("pypinyin", reason="rhymes are checked by their pronunciation")
pytest.importorskip("tqdm")

from recipes.poems import instruction_split, instruction_tasks, instruction_wordings, instructions, themes  # noqa: E402
from recipes.poems.alphabet import load_alphabet  # noqa: E402
from recipes.poems.instruction_checks import check_answer, make_check  # noqa: E402
from recipes.poems.instruction_collage import LinePool  # noqa: E402


ROOT = Path(__file__).parents[2]
JING_YE_SI = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"
NUM_TRAIN, NUM_TEST = 1500, 12


@pytest.fixture(scope="module")
def splits():
    return instruction_split.split_poems()


@pytest.fixture(scope="module")
def rows(splits):
    train, test = splits
    return {
        "train": instructions.training_rows(train, instructions.WEIGHTS, NUM_TRAIN, english=0.4, seed=0),
        "test": instructions.test_rows(train, test, NUM_TEST, seed=0),
    }


@pytest.fixture(scope="module")
def tokenizer():
    """The shipped tokenizer, with the chat template of the instructions."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ROOT / "checkpoints/llada-poet")
    template = ROOT / "recipes/poems/instruct_template.jinja"
    tokenizer.chat_template = template.read_text(encoding="utf-8")
    return tokenizer


def turns(row):
    return [message["content"] for message in row["messages"]]


# --- the rows ---


def test_a_seed_gives_the_same_files(tmp_path):
    written = []
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        options = ["--output", str(tmp_path / name), "--train", "150", "--test", "3", "--seed", seed]
        instructions.main(options)
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


def test_training_rows_are_distinct_and_mixed_as_weighted(rows):
    assert len({tuple(turns(row)) for row in rows["train"]}) == len(rows["train"])
    weights, counts = instructions.WEIGHTS, Counter(row["task"] for row in rows["train"])
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


def test_every_answer_passes_its_check(rows):
    for row in rows["train"] + rows["test"]:
        if row["items"] != "idiom":  # nobody wrote these poems yet
            assert check_answer(turns(row)[1], row["check"]) == {"shape": True, "correct": True}, row


def test_answers_of_other_rows_fail(rows):
    """But for the tasks that many answers are right in, and poets who are asked for twice."""
    by_task = {task: [row for row in rows["train"] if row["task"] == task] for task in ("next", "previous", "fill")}
    for task in ("title", "author"):
        by_task[task] = list(
            {row["check"]["answers"][0]: row for row in rows["train"] if row["task"] == task}.values()
        )
    for task, some in by_task.items():
        wrong = [
            check_answer(turns(other)[1], row["check"])["correct"]
            for row, other in zip(some, some[1:], strict=False)
            if turns(other)[1] != turns(row)[1]
        ]
        assert len(wrong) > 10
        assert sum(wrong) == 0, task


def test_no_row_is_longer_than_the_model_was_trained_on(rows):
    for row in rows["train"] + rows["test"]:
        assert len(turns(row)[1]) <= 64
        assert instructions.row_length(*turns(row)) <= 128


def test_weights_choose_the_tasks(tmp_path):
    weights = ["write=0", "acrostic=0", "fill=0", "next=3", "previous=1", "author=0", "title=0", "theme=0"]
    instructions.main(["--output", str(tmp_path), "--train", "40", "--test", "1", "--weights", *weights])
    lines = (tmp_path / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert Counter(json.loads(line)["task"] for line in lines) == {"next": 30, "previous": 10}


def test_a_pool_that_is_used_up_gives_fewer_rows(splits, monkeypatch):
    """A thousand themes of poems, in one wording."""
    one_wording = {"theme": {"zh": {"trained": [["{theme}"]]}}}
    monkeypatch.setattr(instruction_wordings, "phrasings", lambda: one_wording)
    rows = instructions.training_rows(splits[0], {"theme": 1.0}, 100_000, english=0.0, seed=0)
    assert 100 < len(rows) < 1_500


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weights", "rap=1"], "`--weights` must name tasks.*'rap=1'"),
        (["--weights", "next=-1"], "`--weights` must be numbers from 0"),
        (["--weights", "next=inf"], "`--weights` must be numbers from 0"),
        (["--weights", *(f"{task}=0" for task in instructions.WEIGHTS)], "at least one"),
        (["--english", "1.5"], "`--english` must be a share"),
        (["--train", "0"], "`--train` and `--test`"),
    ],
)
def test_bad_options_are_refused(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit):
        instructions.main(["--output", str(tmp_path / "out"), *options])
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


# --- what is held out ---


def test_no_line_of_the_test_is_in_training(rows, splits):
    held_out = instruction_split.lines_of(splits[1].famous)
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


def test_held_out_poems_share_no_line_with_training(splits):
    train, test = splits
    lines_of = instruction_split.lines_of
    assert not lines_of(train.famous) & lines_of(test.famous)
    assert 450 < len(train.famous) < 550 < 1055 - len(train.famous) + 20
    assert len(test.famous) > 500
    assert not train.themes & test.themes and len(test.themes) >= 5


def test_themes_of_the_test_are_never_asked_for(rows, splits):
    asked = {row["check"]["theme"] for row in rows["train"]} - {""}
    assert asked <= splits[0].themes
    tested = {row["check"]["theme"] for row in rows["test"] if row["items"] == "new theme"}
    assert tested and tested <= splits[1].themes


def test_idioms_are_the_heads_of_no_training_poem(rows):
    idioms = set(instruction_tasks.IDIOMS)
    assert all(len(set(idiom)) == 4 for idiom in idioms)
    assert not idioms & {row["check"]["heads"] for row in rows["train"]}


def test_acrostics_on_phrases_are_put_together_from_lines():
    """Half of the training acrostics have heads that are a phrase, as those of the test do."""
    texts = [
        JING_YE_SI,
        "春来江水绿，日暮海风香。客路行人远，归心入故乡。",
        "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。",
    ]
    poems = [
        {"text": text, "title": title, "form": "五言绝句"}
        for text, title in zip(texts, ("夜", "春日归心", "春晓"), strict=True)
    ]
    text = "两个黄鹂鸣翠柳，一行白鹭上青天。窗含西岭千秋雪，门泊东吴万里船。"
    poems.append({"text": text, "title": "绝句", "form": "七言绝句"})
    pool, rng = LinePool(poems), random.Random(0)
    assert {pool.draw_heads("七言绝句", rng) for _ in range(50)} == {"春日归心", "两个黄鹂"}
    assert pool.draw_heads("五言律诗", rng)[:4] in ("春日归心", "两个黄鹂")
    assert pool.compose("床日客低", "五言绝句", rng) == "床前明月光，日暮海风香。客路行人远，低头思故乡。"
    assert pool.compose("床处客低", "五言绝句", rng) is None, "鸟 and 乡 do not rhyme"
    assert pool.compose("日床客低", "五言绝句", rng) is None, "no second line begins with 床"
    assert pool.compose("床日客低", "七言绝句", rng) is None
    assert pool.compose("床日客归", "五言绝句", rng) == "床前明月光，日暮海风香。客路行人远，归心入故乡。"


def test_training_asks_for_acrostics_on_phrases(splits, monkeypatch):
    monkeypatch.setattr(LinePool, "compose", lambda *_: JING_YE_SI)
    rows = instructions.training_rows(splits[0], {"acrostic": 1.0}, 100, english=0.0, seed=0)
    on_phrases = [row for row in rows if turns(row)[1] == JING_YE_SI]
    assert 25 < len(on_phrases) < 75
    assert all(len(row["check"]["heads"]) in (4, 8) for row in on_phrases)


def test_the_corpus_gives_poems_to_write(tmp_path):
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
    instructions.main(options)
    rows = [json.loads(line) for line in (tmp_path / "out/train.jsonl").read_text(encoding="utf-8").splitlines()]
    answers = {turns(row)[1] for row in rows if row["task"] in ("write", "acrostic")}
    assert kept in answers and leaked not in answers
    rows = [json.loads(line) for line in (tmp_path / "out/test.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {turns(row)[1] for row in rows if row["task"] == "write"} == {held_out}
    assert {row["items"] for row in rows if row["task"] == "fill"} == {"famous", "corpus"}


def test_a_folder_that_is_no_corpus_is_refused(tmp_path):
    pytest.importorskip("datasets")
    with pytest.raises(ValueError, match="`corpus` must be the folder"):
        instruction_split.split_poems(tmp_path)


# --- words and tokens ---


SLOTS = {
    "next": {"line"},
    "previous": {"line"},
    "fill": {"pattern"},
    "author": {"couplet"},
    "title": {"couplet"},
    "acrostic": {"heads", "listed", "spaced", "form", "short", "kind", "shape"},
    "theme": {"theme", "theme_en"},
    "write form": {"form", "short", "kind", "shape"},
    "write title": {"form", "short", "kind", "shape", "title"},
    "write author": {"form", "short", "kind", "shape", "author"},
    "write all": {"form", "short", "kind", "shape", "title", "author"},
}
GROUPS = [(group, language) for group in SLOTS for language in ("zh", "en")]


def test_every_group_has_hundreds_of_wordings():
    counts = instruction_wordings.count_all()
    assert counts.keys() == SLOTS.keys()
    for group, language in GROUPS:
        count = counts[group][language]
        assert count["sentences"] >= (11 if group == "write form" else 15)
        assert count["wordings"] > 5_000
        assert count["new"] >= 6


@pytest.mark.parametrize(("group", "language"), GROUPS)
def test_wordings_are_well_formed(group, language):
    rng, alphabet = random.Random(0), set(load_alphabet())
    kinds = instruction_wordings.phrasings()[group][language]
    for sentence in kinds["trained"] + kinds["new"]:
        drawn = [instruction_wordings.draw(sentence, rng) for _ in range(50)]
        for text in [instruction_wordings.shortest(sentence), *drawn]:
            slots, bare = set(re.findall(r"\{(\w+)\}", text)), re.sub(r"\{\w+\}", "", text)
            assert slots and slots <= SLOTS[group], text
            assert alphabet.issuperset(bare), text
            assert not re.search(r"[][|<>]|  |，，|。。|[，：]\?|^ | $", text), text
            assert not re.search("[\u4e00-\u9fff]" if language == "en" else "[a-z]", bare), text


@pytest.mark.parametrize(("group", "language"), GROUPS)
def test_new_words_are_in_no_training_sentence(group, language):
    """Neither is a new sentence one of the training, nor has it one inside: 考考你，X的下一句是什么 would be an old one."""
    kinds = instruction_wordings.phrasings()[group][language]
    patterns = [re.compile(instruction_wordings.to_pattern(sentence), re.IGNORECASE) for sentence in kinds["trained"]]
    for sentence in kinds["new"]:
        text = instruction_wordings.draw(sentence, random.Random(0))
        for pattern in patterns:
            inside = [match[0] for match in pattern.finditer(text)]
            assert not [found for found in inside if len(re.sub(r"\{\w+\}|\W", "", found)) > 3], text


@pytest.mark.parametrize(
    "opener", ["考考你", "我忘了", "求", "话说", "老师", "quick", "my teacher", "help me", "surprise"]
)
def test_openers_of_the_test_are_in_no_training_sentence(opener):
    texts = Counter()
    for kinds in (kinds for languages in instruction_wordings.phrasings().values() for kinds in languages.values()):
        for name, sentences in kinds.items():
            texts[name] += sum(
                opener in instruction_wordings.to_pattern(sentence).replace("\\", "") for sentence in sentences
            )
    assert texts["new"] > 1 and texts["trained"] == 0


def test_a_sentence_stands_for_its_wordings():
    sentence = instruction_wordings.parse("<hi>[say|tell [me|us] of] {line}[.|]", {"hi": ["", "", "hi, "]})
    assert instruction_wordings.count_wordings(sentence) == 2 * 3 * 2
    drawn = {instruction_wordings.draw(sentence, random.Random(seed)) for seed in range(200)}
    assert len(drawn) == 12 and "hi, tell us of {line}." in drawn
    assert all(re.fullmatch(instruction_wordings.to_pattern(sentence), text) for text in drawn)
    assert instruction_wordings.shortest(sentence) == "say {line}"


def test_long_words_make_way_for_short_ones():
    slots = {"line": "床前明月光"}
    said = [instruction_wordings.say("next", "en", "trained", slots, 12, random.Random(seed)) for seed in range(20)]
    assert all(len(text) <= 12 and "床前明月光" in text for text in said) and len(set(said)) > 1
    assert instruction_wordings.say("next", "en", "trained", slots, 5, random.Random(0)) is None


def test_english_begins_with_a_capital_or_has_none():
    rng = random.Random(0)
    said = [
        instruction_wordings.say("theme", "en", "trained", {"theme": "雨", "theme_en": "rain"}, 99, rng)
        for _ in range(300)
    ]
    small = [text for text in said if text == text.lower()]
    assert 0.15 < len(small) / len(said) < 0.35
    assert all(text[0].isupper() for text in said if text not in small)


def test_no_row_has_an_unknown_token_and_lengths_are_tokens(rows, tokenizer):
    every = rows["train"] + rows["test"]
    encoded = tokenizer.apply_chat_template([row["messages"] for row in every], return_dict=True)["input_ids"]
    for row, ids in zip(every, encoded, strict=True):
        assert tokenizer.unk_token_id not in ids, row
        assert tokenizer.mask_token_id not in ids
        assert len(ids) == instructions.row_length(*turns(row))


def test_instructions_look_like_headers(tokenizer):
    """An instruction and its answer stand as a header and its poem do in the base model's training data, the last alone."""
    messages = [
        {"role": "user", "content": "谁写的：床前明月光"},
        {"role": "assistant", "content": "李白"},
        {"role": "user", "content": "写一首五言绝句"},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "写一首五言绝句\n"
    encoded = tokenizer.apply_chat_template(messages[:2], return_dict=True, return_assistant_tokens_mask=True)
    marked = [i for i, m in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if m]
    assert tokenizer.decode(marked) == "李白<|endoftext|>"


# --- checks ---


@pytest.mark.parametrize(
    ("answer", "shape", "title", "author"),
    [
        ("《咏怀·其二》阮籍\n夜中不能寐，起坐弹鸣琴。", True, True, True),
        ("《咏怀》阮籍", True, True, True),
        ("《咏怀·其三》阮籍\n夜中不能寐，起坐弹鸣琴。", True, False, True),
        ("《咏怀》嵇康", True, True, False),
        ("阮籍", False, False, False),
        ("《咏怀》\n夜中不能寐，", False, False, False),
        ("", False, False, False),
    ],
)
def test_check_of_a_source(answer, shape, title, author):
    asked = make_check("title", answers=["咏怀·其二", "咏怀"])
    assert check_answer(answer, asked) == {"shape": shape, "correct": title}
    assert check_answer(answer, make_check("author", answers=["阮籍"])) == {"shape": shape, "correct": author}


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
def test_check_of_gaps(answer, shape, correct):
    asked = make_check("fill", answers=["床前明月光，疑是地上霜。"], pattern="床前__光，疑是地上霜。")
    assert check_answer(answer, asked) == {"shape": shape, "correct": correct}


@pytest.mark.parametrize(
    ("answer", "shape", "correct"),
    [
        (JING_YE_SI, True, True),
        (JING_YE_SI.replace("故乡", "故人"), True, False),
        (JING_YE_SI[:12], False, False),
        ("", False, False),
    ],
)
def test_check_of_a_form(answer, shape, correct):
    assert check_answer(answer, make_check("form", form="五言绝句")) == {"shape": shape, "correct": correct}


@pytest.mark.parametrize(
    ("heads", "form", "shape", "correct"),
    [
        ("床疑举低", "五言绝句", True, True),
        ("床疑低举", "五言绝句", True, False),
        ("床疑举", "五言绝句", True, False),
        ("床疑举低", "七言绝句", False, False),
    ],
)
def test_check_of_an_acrostic(heads, form, shape, correct):
    check = make_check("acrostic", heads=heads, form=form)
    assert check_answer(JING_YE_SI, check) == {"shape": shape, "correct": correct}
    assert not check_answer("，，，。", check)["shape"]


def test_check_of_a_theme():
    asked = make_check("theme", theme="思乡")
    assert check_answer(JING_YE_SI, asked)["correct"]
    assert check_answer(JING_YE_SI[:12] + "春眠不觉晓，处处闻啼鸟。", asked)["correct"], "half of the lines are enough"
    assert check_answer(JING_YE_SI[:6] + "春眠不觉晓，处处闻啼鸟。", asked) == {"shape": True, "correct": False}
    assert not check_answer(JING_YE_SI, make_check("theme", theme="战争"))["correct"]
    assert check_answer("", asked) == {"shape": False, "correct": False}


# --- the themes ---


def test_themes_are_those_of_famous_poems():
    poems = themes.famous_themes()
    assert poems.keys() <= themes.THEMES.keys()
    assert all(len(some) >= themes.MIN_POEMS for some in poems.values())
    assert JING_YE_SI in {poem["text"] for poem in poems["思乡"]}


def test_tags_of_another_edition_count(monkeypatch):
    editions = [
        (["床前看月光", "疑是地上霜", "举头望山月", "低头思故乡"], {"思乡"}),
        (["疑是地上霜", "甲", "乙"], {"月亮"}),
    ]
    monkeypatch.setattr(themes, "MIN_POEMS", 1)
    assert themes.collect(iter(editions)) == {"思乡": ["床前明月光"]}


def test_tagged_poems_are_read_from_the_package(tmp_path):
    pytest.importorskip("opencc")
    (tmp_path / "quantangshi").mkdir()
    records = [
        {"paragraphs": ["牀前明月光，疑是地上霜。"], "tags": ["思乡", "唐诗三百首"]},
        {"paragraphs": ["□前。"], "tags": ["思乡"]},
        {"paragraphs": ["春眠不覺曉，處處聞啼鳥。"], "tags": ["写雨", "雨"]},
        {"paragraphs": ["春眠不覺曉，處處聞啼鳥。"]},
    ]
    (tmp_path / "quantangshi" / "poet.tang.0.json").write_text(json.dumps(records), encoding="utf-8")
    assert list(themes.tagged_poems(tmp_path)) == [
        (["床前明月光", "疑是地上霜"], {"思乡"}),
        (["春眠不觉晓", "处处闻啼鸟"], {"雨"}),
    ]
