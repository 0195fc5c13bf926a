# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Constraints: regular expressions, choices and JSON schemas compiled for tokenizers of each kind."""

import itertools
import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.automata import accepts
from support.byte_level_tokenizer import byte_level_tokenizer
from support.tiny_poet import SHIPPED_CHECKPOINT
from support.word_tokenizer import word_tokenizer
from tokenizers import Tokenizer, decoders, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import modeling_llada
from modeling_llada import Constraint
from modeling_llada.compilers.token_texts import token_texts
from modeling_llada.models.constraints_llada import Lattice, RowAutomata


pydantic = pytest.importorskip("pydantic", reason="needs the extra `constraints`")
pytest.importorskip("outlines_core", reason="needs the extra `constraints`")

BYTES = byte_level_tokenizer()
CHARACTERS = AutoTokenizer.from_pretrained(SHIPPED_CHECKPOINT)
WORDS = word_tokenizer()


def accepts_text(constraint: Constraint, text: str, tokenizer) -> bool:
    token_ids = tokenizer(text, add_special_tokens=False).input_ids
    return bool(accepts(constraint.automaton, torch.tensor([token_ids], dtype=torch.long)))


def random_answer(constraint: Constraint, tokenizer, seed: int, length: int) -> str:
    """A random text: the best completion of random scores, with an EOS where it ends."""
    automaton = constraint.automaton.with_ending([tokenizer.eos_token_id], tokenizer.pad_token_id)
    batch = RowAutomata([automaton], len(tokenizer))
    scores = 3 * torch.randn(length, len(tokenizer), generator=torch.Generator().manual_seed(seed))
    lattice = Lattice(batch, batch.start(), torch.zeros(1, length, dtype=torch.long), scores, torch.arange(length))
    tokens, score = lattice.best()
    assert score > -torch.inf
    return tokenizer.decode(tokens[0], skip_special_tokens=True)


@given(
    st.integers(0, 2**32),
    st.sampled_from(["a{2,5}|the( the)*", "é+[^a]", "(?i)the|x.y", r"[0-9]{1,3}(\.[0-9]+)?", "床|é", ""]),
)
@settings(max_examples=60)
def test_answers_of_a_byte_level_tokenizer_match_the_pattern(seed, pattern):
    constraint = Constraint.from_regex(pattern, BYTES)
    assert re.fullmatch(pattern, random_answer(constraint, BYTES, seed, length=10))


@pytest.mark.parametrize(
    "pattern",
    ["a|ab", "(ab)?", "a(bb)?", "a*?b?", "(a|ab)(b|ba)?", "(ab|b){1,2}", "a.{0,2}b", "a+(ba+)*", "", "[ab]{3}"],
)
def test_all_texts_that_match_are_accepted_and_no_others(pattern):
    """Also those that go on where a shorter one could end."""
    constraint = Constraint.from_regex(pattern, BYTES)
    for length in range(6):
        for text in map("".join, itertools.product("ab", repeat=length)):
            assert accepts_text(constraint, text, BYTES) == bool(re.fullmatch(pattern, text)), text


def test_the_states_of_a_long_pattern_are_not_many():
    """A text can hold the beginning of the pattern in 60 places."""
    constraint = Constraint.from_regex("a.{0,60}b", BYTES)
    assert len(constraint.automaton.table) < 60 * 10


def test_each_tokenization_of_a_text_is_accepted():
    constraint = Constraint.from_regex("the true é", BYTES)
    assert accepts_text(constraint, "the true é", BYTES)
    one_by_one = BYTES.convert_tokens_to_ids([*"theĠtrueĠÃ©"])
    assert accepts(constraint.automaton, torch.tensor([one_by_one]))
    assert constraint.min_length == 5  # the, Ġ, true, Ġ, é
    assert not accepts_text(constraint, "the true", BYTES)


def test_single_characters():
    constraint = Constraint.from_regex("[^，。]{5}，[^，。]{5}。", CHARACTERS)
    assert constraint.min_length == 12
    assert accepts_text(constraint, "床前明月光，疑是地上霜。", CHARACTERS)
    assert not accepts_text(constraint, "床前明月，疑是地上霜。", CHARACTERS)
    for seed in range(3):
        assert re.fullmatch("[^，。]{5}，[^，。]{5}。", random_answer(constraint, CHARACTERS, seed, length=14))
    assert not constraint.automaton.token_class[CHARACTERS.all_special_ids].any()


def test_a_space_that_decoding_removes_may_stand_first():
    constraint = Constraint.from_regex("the cat|the 床|k", WORDS)
    assert accepts_text(constraint, "the cat", WORDS) and constraint.min_length == 1
    answers = {random_answer(constraint, WORDS, seed, length=8) for seed in range(20)}
    assert answers <= {"the cat", "the 床", "k"} and len(answers) > 1
    spaced = Constraint.from_regex(" ?the", WORDS)
    assert {random_answer(spaced, WORDS, seed, length=4) for seed in range(20)} <= {"the", " the"}


def test_added_tokens_spell_what_they_are_decoded_to():
    """A byte-level decoder takes `é` for a byte, as in other tokens."""
    tokenizer = byte_level_tokenizer()
    tokenizer.add_tokens([" as", "é", "床"])
    for token in (" as", "é", "床"):
        index = tokenizer.convert_tokens_to_ids(token)
        texts = [text for text, token_ids in token_texts(tokenizer).tokens.items() if index in token_ids]
        assert [text.decode(errors="replace") for text in texts] == [tokenizer.decode([index])]


def test_choices_are_texts_and_not_patterns():
    choices = ["a+b", "(", "é", "a|b", "a b\n"]
    constraint = Constraint.from_choices(choices, BYTES)
    assert all(accepts_text(constraint, choice, BYTES) for choice in choices)
    assert not any(accepts_text(constraint, text, BYTES) for text in ("aab", "a", "b", "((", ""))
    # A choice that no tokens spell leaves the others.
    assert accepts_text(Constraint.from_choices(["床", "😀"], CHARACTERS), "床", CHARACTERS)
    # One choice is the beginning of another.
    assert accepts_text(Constraint.from_choices(["疑是", "疑是地上霜"], CHARACTERS), "疑是地上霜", CHARACTERS)


def test_a_vocabulary_with_ids_that_are_no_tokens():
    backend = Tokenizer(models.WordLevel({"a": 0, "b": 2, "c": 300}))
    backend.decoder = decoders.Fuse()
    constraint = Constraint.from_regex("ac|b", PreTrainedTokenizerFast(tokenizer_object=backend))
    texts = torch.tensor([[0, 300], [0, 2], [2, 2]])
    assert accepts(constraint.automaton, texts).tolist() == [True, False, False]
    assert accepts(constraint.automaton, torch.tensor([[2]]))


class Thing(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=1, max_length=4)
    count: int | None = pydantic.Field(None, ge=-3, lt=12)


SCHEMAS = {
    "model": Thing,
    "array": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3},
    "text": '{"type": "string", "title": "as JSON", "pattern": "^[a-z]\\\\d*$"}',
}


@pytest.mark.parametrize("tokenizer", [BYTES, CHARACTERS, WORDS], ids=["bytes", "characters", "words"])
@pytest.mark.parametrize("name", SCHEMAS)
def test_answers_validate_against_the_schema(name, tokenizer):
    """Tokens that cannot be used in JSON leave the others."""
    try:
        constraint = Constraint.from_json_schema(SCHEMAS[name], tokenizer)
    except ValueError as error:
        assert "`schema` must match a text that tokens of the vocabulary spell" in str(error)
        assert tokenizer is not BYTES
        return
    for seed in range(4):
        answer = json.loads(random_answer(constraint, tokenizer, seed, length=constraint.min_length + 30))
        if name == "model":
            Thing.model_validate(answer)
        elif name == "array":
            assert len(answer) in (2, 3) and all(type(value) is int for value in answer)
        else:
            assert re.fullmatch(r"[a-z]\d*", answer)


@pytest.mark.parametrize("pattern", ["(", ")(", "a)|(b", "(?=a)b", r"(a)\1", "^a$", "a$", r"\bthe"])
def test_patterns_that_are_refused(pattern):
    with pytest.raises(
        ValueError,
        match=re.escape(
            f"`pattern` must be a regular expression without look-around, back references and anchors (it always matches the whole answer), but got {pattern!r}"
        ),
    ):
        Constraint.from_regex(pattern, BYTES)


def test_other_arguments_that_are_refused():
    with pytest.raises(ValueError, match="none spell one that matches '😀床'"):
        Constraint.from_regex("😀床", CHARACTERS)
    with pytest.raises(ValueError, match="`pattern` must be a string"):
        Constraint.from_regex(re.compile("a"), BYTES)
    for tokenizer in (None, str(SHIPPED_CHECKPOINT)):
        with pytest.raises(ValueError, match="`tokenizer` must be a fast tokenizer, but got"):
            Constraint.from_regex("a", tokenizer)
    for pattern in ("a?+", "(ab)*+b", "a{2}{3}", "a**"):
        with pytest.raises(
            ValueError, match="`pattern` must have no repetition of a repetition, and none that is poss"
        ):
            Constraint.from_regex(pattern, BYTES)
    for choices in ("abc", [], [1], iter(["a"])):
        with pytest.raises(ValueError, match="`choices` must be a list of at least one string"):
            Constraint.from_choices(choices, BYTES)
    with pytest.raises(ValueError, match="`max_new_tokens` must be at least 12.* but got 11"):
        Constraint.from_regex("[^，。]{5}，[^，。]{5}。", CHARACTERS).check_length(11)
    backend = Tokenizer(models.WordLevel({"a": 0}))
    with pytest.raises(ValueError, match="its decoder has .*nothing"):
        Constraint.from_regex("a", PreTrainedTokenizerFast(tokenizer_object=backend))


def test_a_pattern_is_compiled_once():
    assert Constraint.from_regex("a+", BYTES) is Constraint.from_regex("a+", byte_level_tokenizer())
    assert Constraint.from_regex("a+", BYTES) is not Constraint.from_regex("a+", WORDS)
    tokenizer = byte_level_tokenizer()
    before = Constraint.from_regex("a+", tokenizer)
    tokenizer.add_tokens(["aaaa"])
    assert Constraint.from_regex("aaaa", tokenizer).min_length == 1 and before is not Constraint.from_regex(
        "a+", tokenizer
    )


def test_the_cache_has_a_limit_of_bytes(monkeypatch):
    """The last one used goes last, and one that is larger than the limit is not kept."""
    first, second = (Constraint.from_regex(pattern, BYTES) for pattern in ("first", "second"))
    monkeypatch.setattr(modeling_llada.constraints, "CACHE_BYTES", first.num_bytes + second.num_bytes)
    Constraint.from_regex("first", BYTES)
    Constraint.from_regex("x", BYTES)
    assert Constraint.from_regex("first", BYTES) is first
    assert Constraint.from_regex("second", BYTES) is not second
    monkeypatch.setattr(modeling_llada.constraints, "CACHE_BYTES", first.num_bytes - 1)
    assert Constraint.from_regex("first", BYTES) is first
    assert Constraint.from_regex("first", BYTES) is not first


def test_threads_compile_at_the_same_time(monkeypatch):
    """The cache holds one constraint, so that each thread throws out that of another."""
    monkeypatch.setattr(modeling_llada.constraints, "CACHE_SIZE", 1)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            compiled = threads.map(lambda i: Constraint.from_choices(["abc"[i % 3]], BYTES), range(400))
            assert [constraint.pattern for constraint in compiled] == ["abc"[i % 3] for i in range(400)]
    finally:
        sys.setswitchinterval(interval)


def test_saved_constraints(tmp_path):
    constraint, path = Constraint.from_regex("the (true|é)", BYTES), tmp_path / "constraint.safetensors"
    constraint.save(path)
    loaded = Constraint.load(path, BYTES)
    assert loaded.pattern == constraint.pattern and accepts_text(loaded, "the é", BYTES)
    for name in ("token_class", "table", "accepting"):
        assert torch.equal(getattr(loaded.automaton, name), getattr(constraint.automaton, name))
    with pytest.raises(ValueError, match="`tokenizer` must have the vocabulary"):
        Constraint.load(path, WORDS)
    for content in (None, b"no constraint"):
        other = tmp_path / str(content)
        if content:
            other.write_bytes(content)
        with pytest.raises(ValueError, match="`path` must be a file that `Constraint.save` wrote"):
            Constraint.load(other, BYTES)


@pytest.mark.parametrize(
    ("package", "compile_one"),
    [
        ("outlines_core", lambda: Constraint.from_regex("not compiled before", BYTES)),
        ("jsonschema", lambda: Constraint.from_json_schema({"type": "null"}, BYTES)),
        ("lark", lambda: Constraint.from_grammar('start: "a"', BYTES)),
    ],
)
def test_the_missing_package_is_named(package, compile_one, monkeypatch, tmp_path):
    """A compiled constraint does without it."""
    constraint = Constraint.from_regex("the", BYTES)
    constraint.save(tmp_path / "constraint.safetensors")
    for module in ("json_schemas", "schema_parts", "grammars"):
        monkeypatch.delitem(sys.modules, f"modeling_llada.compilers.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"the package '{package}'.*pip install -e '\.\[constraints\]'"):
        compile_one()
    assert Constraint.load(tmp_path / "constraint.safetensors", BYTES).min_length == constraint.min_length
