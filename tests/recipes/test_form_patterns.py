# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Poem forms as regular expressions, and the study of what they are worth as constraints."""

import json
import re

import pytest


pytest.importorskip("pypinyin")

from modeling_llada import Constraint
from recipes.poems import constraint_study, form_patterns
from recipes.poems.check_form import SHAPES, check_form
from recipes.poems.couplets import famous_poems
from recipes.poems.form_patterns import form_pattern


MOONLIGHT = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"


@pytest.mark.parametrize("form", SHAPES)
def test_the_form_is_that_of_the_check(form):
    """Where each line has a mark behind it."""
    texts = [poem["text"] for poem in famous_poems()[:300]]
    texts += [MOONLIGHT, MOONLIGHT[:12], MOONLIGHT[:-1], MOONLIGHT.replace("床", "x"), f"{MOONLIGHT}\n", ""]
    for text in texts:
        fits = re.fullmatch(form_pattern(form), text) is not None
        assert fits == (check_form(text, form).shape and not text.endswith(("乡", "\n"))), text


def test_rhyme():
    """The even lines end in 霜 shuāng and 乡 xiāng."""
    assert re.fullmatch(form_pattern("五言绝句", rhyme="江阳"), MOONLIGHT)
    assert re.fullmatch(form_pattern("五言绝句", rhyme="any"), MOONLIGHT)
    for rhyme, text in (("言前", MOONLIGHT), ("any", MOONLIGHT.replace("乡", "国"))):
        assert not re.fullmatch(form_pattern("五言绝句", rhyme=rhyme), text)


def test_acrostics():
    heads = form_pattern("五言绝句", heads="床疑举低")
    assert re.fullmatch(heads, MOONLIGHT) and not re.fullmatch(heads, MOONLIGHT.replace("举", "抬"))
    assert re.fullmatch(form_pattern("五言诗", heads="床疑", rhyme="江阳"), MOONLIGHT[:12])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["词"], "`form` must be one of 五言绝句"),
        (["五言绝句", "ang"], "`rhyme` must be 'any' or one of 发花"),
        (["五言诗", "any"], "`rhyme` needs a form with a number of lines"),
        (["五言绝句", None, "春夏秋"], "a Chinese character for each line, 4 of them for 五言绝句, but got '春夏秋'"),
        (["五言诗", None, "a春"], "at least 2 of them for 五言诗"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        form_pattern(*arguments)


def test_the_program_prints_the_expression(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["form_patterns", "五言绝句", "--heads", "春夏秋冬"])
    form_patterns.main()
    assert capsys.readouterr().out == form_pattern("五言绝句", heads="春夏秋冬") + "\n"


def test_a_poem_of_the_model(tiny_poet):
    """Also one with random weights keeps the form, rhymes, and begins its lines as it should."""
    model, tokenizer = tiny_poet
    pattern = form_pattern("五言绝句", rhyme="江阳", heads="春夏秋冬")
    inputs = tokenizer("五言绝句\n", return_tensors="pt")
    constraint = Constraint.from_regex(pattern, tokenizer)
    output = model.generate(**inputs, max_new_tokens=25, remasking="random", steps=6, constraint=constraint)
    text = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert re.fullmatch(pattern, text) and check_form(text, "五言绝句").passed


@pytest.mark.slow
def test_study(poet_folder, tmp_path, monkeypatch, capsys):
    """In small: the constraint keeps every form, and a second run reads what the first one wrote."""
    file = tmp_path / "poems.json"
    options = ["--form", "五言绝句", "--prompts", "3", "--noise-samples", "2", "--json", str(file)]
    monkeypatch.setattr("sys.argv", ["study", "--model", str(poet_folder), *options])
    constraint_study.main()
    results = json.loads(file.read_text(encoding="utf-8"))
    found = results["summary"]["五言绝句"]["ways"]
    assert found["constraint"]["shape"]["mean"] == found["constraint with rhyme"]["passed"]["mean"] == 1
    assert found["rejection"]["passes"]["mean"] == 4 * found["free"]["passes"]["mean"] == 100, "nothing passes"
    first = capsys.readouterr().out
    constraint_study.main()
    assert capsys.readouterr().out == first and json.loads(file.read_text(encoding="utf-8")) == results
