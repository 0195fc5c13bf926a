# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""JSON schemas as regular expressions: what matches validates, and what people write matches."""

import datetime
import itertools
import json
import re
from enum import Enum
from typing import Literal

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from support.byte_texts import ByteTexts
from support.expressions import NUM_CASES
from support.schemas import schemas_with_values

from modeling_llada.compilers.json_schemas import schema_to_regex


def texts_of(schema, **options) -> ByteTexts:
    return ByteTexts(schema_to_regex(schema, **options))


def compact(value) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def check(schema, value, seed):
    """The value is accepted in both usual ways of writing it, and all samples validate."""
    validator, texts = Draft202012Validator(schema), texts_of(schema)
    validator.validate(value)
    assert compact(value) in texts and json.dumps(value, ensure_ascii=False) in texts
    for offset in range(3):
        validator.validate(json.loads(texts.sample(seed + offset)))


@given(schemas_with_values(), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_values_are_accepted_and_samples_validate(pair, seed):
    check(*pair, seed)


@pytest.mark.slow
@given(schemas_with_values(), st.integers(0, 2**32))
@settings(max_examples=4 * NUM_CASES, deadline=None)
def test_values_are_accepted_and_samples_validate_for_many_schemas(pair, seed):
    check(*pair, seed)


class Color(Enum):
    RED = "red"
    BLUE = 'bl"ue'


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int = pydantic.Field(ge=0, le=9)


class Dog(pydantic.BaseModel):
    kind: Literal["dog"] = "dog"
    name: str = pydantic.Field(pattern="^[A-Z][a-z]*$")


class Thing(pydantic.BaseModel):
    color: Color
    size: Literal[1, "large", True]
    count: int = pydantic.Field(7, ge=-3, lt=12)
    pet: Cat | Dog | None = pydantic.Field(None, discriminator="kind")
    price: pydantic.PositiveFloat = 1
    ratios: list[float] = pydantic.Field([], max_length=2)
    words: dict[str, bool] = {}
    point: tuple[int, float] = (0, 0.0)
    born: datetime.date | datetime.datetime | None = None
    took: datetime.timedelta | None = None


def test_pydantic_models():
    texts = texts_of(Thing)
    thing = {
        "color": "red",
        "size": 1,
        "count": -3,
        "pet": {"kind": "dog", "name": "Rex"},
        "price": 0.5,
        "ratios": [1.5, -2e-3],
        "point": [1, 2.5],
        "born": "2024-02-29",
        "took": "P1DT2H",
    }
    Thing.model_validate(thing)
    assert compact(thing) in texts and json.dumps(thing) in texts
    assert '{"color":"red","size":"large","ratios":[]}' in texts  # the others have defaults
    assert '{"color":"red"}' not in texts
    others = {
        "color": "green",
        "size": 2,
        "count": 12,
        "price": 0,
        "ratios": [1, 2, 3],
        "point": [1],
        "born": "2023-02-29",
    }
    for name, value in others.items():
        assert compact(thing | {name: value}) not in texts
    for seed in range(40):
        Thing.model_validate_json(texts.sample(seed))


@pytest.mark.parametrize(
    ("format", "good", "bad"),
    [
        ("date", ["2026-11-30", "2024-02-29", "2000-02-29"], ["2026-11-31", "2026-13-01", "1900-02-29", "26-1-1"]),
        ("time", ["23:59:59Z", "00:00:00.5+08:00"], ["24:00:00Z", "1:00:00Z", "00:00:00"]),
        ("date-time", ["2026-11-30T12:00:00Z"], ["2026-11-30", "2026-02-30T12:00:00Z"]),
        ("duration", ["P1D", "PT1H30M", "P2DT5S", "P3W"], ["P", "PT", "1D", "P1DT", "PT1H5"]),
        ("email", ["a.b+c@mail.example.com"], ["a@b", "a..b@c.de", "a@-b.de"]),
        ("hostname", ["example.com"], ["example-.com", "a..b"]),
        ("ipv4", ["127.0.0.1", "255.255.255.255"], ["256.0.0.1", "01.0.0.1", "1.1.1"]),
        ("ipv6", ["2001:db8:0:0:0:0:0:1"], ["1:2", "12345:0:0:0:0:0:0:0"]),
        ("uri", ["https://example.com", "http://a.b.org:8080/x/y?a=1&b=2"], ["example.com", "https://x"]),
        ("uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567"]),
    ],
)
def test_formats(format, good, bad):
    texts = texts_of({"type": "string", "format": format})
    assert all(f'"{text}"' in texts for text in good)
    assert not any(f'"{text}"' in texts for text in bad)


def test_a_date_is_a_day_of_the_calendar():
    texts = texts_of({"type": "string", "format": "date"})
    for year in (1900, 2000, 2023, 2024, 2100, 2400, 9996):
        for month, day in itertools.product(range(14), range(33)):
            try:
                exists = bool(datetime.date(year, month, day))
            except ValueError:
                exists = False
            assert (f'"{year}-{month:02}-{day:02}"' in texts) == exists


def in_python(pattern: str) -> str:
    """There, `$` also stands before a last newline."""
    return re.sub(r"\$(?=\||$)", r"\\Z", pattern)


CHARACTERS = ["a", '"', "\\", "\n", "-", "1", "é", "٣", "_", "/"]
STRINGS = ["".join(text) for length in range(4) for text in itertools.product(CHARACTERS, repeat=length)]


@pytest.mark.parametrize(
    "pattern",
    [
        "^a*$",
        "a",
        "^a|1$",
        '^["a-]+$',
        r"^[^a\n]{2}$",
        r"^.\.?$",
        "",
        "^$",
        r'^\\["\x61]$',
        r"^(?:a|\n)\u00e9?$",
        "^[--1]$",
        "[]a]",
    ],
)
def test_patterns_of_strings(pattern):
    """A pattern holds for the string and not for its JSON, and may match anywhere in it."""
    texts = texts_of({"type": "string", "pattern": pattern})
    for string in STRINGS:
        assert (compact(string) in texts) == bool(re.search(in_python(pattern), string)), string


@pytest.mark.parametrize(
    "pattern", [r"^\d$", r"^\D$", r"^[\w-]$", r"^\W$", r"^\S\s?$", r"^[^\d]$", r"^[^\w]$", r"^[^\s]$"]
)
def test_shorthands_of_patterns(pattern):
    """JavaScript and Python do not agree on other letters and digits, which are left out then."""
    texts = texts_of({"type": "string", "pattern": pattern})
    accepted = [string for string in STRINGS if compact(string) in texts]
    pattern = in_python(pattern)
    assert accepted == [
        string for string in STRINGS if re.search(pattern, string) and re.search(pattern, string, re.ASCII)
    ]


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"minimum": 3}, ["3", "3.5"], ["2.9", "-4", '"a"']),
        ({"type": ["integer", "null"], "maximum": 2}, ["2", "null"], ["3", "2.0"]),
        ({"type": "number", "multipleOf": 5}, ["10", "-5"], ["3"]),
        ({"allOf": [{"type": "number"}, {"type": "integer", "minimum": 2}], "maximum": 3}, ["2", "3"], ["2.5", "4"]),
        ({"allOf": [{"enum": [1, 2, "a"]}, {"enum": [2.0, "a"]}], "type": "string"}, ['"a"'], ["2", "1"]),
        ({"allOf": [{"multipleOf": 2}, {"multipleOf": 3}], "minimum": 0, "maximum": 9}, ["0", "6"], ["2", "3", "9"]),
        (
            {
                "oneOf": [
                    {"type": "string"},
                    {"type": "integer", "exclusiveMaximum": 0},
                    {"type": "number", "minimum": 0},
                ]
            },
            ["-1", "0"],
            [],
        ),
        (
            {"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": False},
            ["[]", "[1]", "[1,2]"],
            ["[2]"],
        ),
        ({"type": "array", "items": {"const": 0}, "uniqueItems": True, "maxItems": 1}, ["[]", "[0]"], ["[0,0]"]),
        ({"type": "array", "items": False}, ["[]"], ["[0]"]),
        ({"type": "object", "additionalProperties": {"const": 1}, "required": ["a"]}, ['{"a":1}'], ["{}", '{"b":1}']),
        (
            {"type": "object", "additionalProperties": {"const": 1}, "maxProperties": 1},
            ["{}", '{"é":1}'],
            ['{"a":1,"b":1}'],
        ),
        (
            {
                "properties": {"a": {"minimum": 0}},
                "allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}],
            },
            ['{"a":0}'],
            ["{}", '{"a":0.5}', '{"a":-1}'],
        ),
        (
            {
                "allOf": [
                    {"properties": {"a": {"const": 1}}, "additionalProperties": False},
                    {"properties": {"b": {"const": 1}}},
                ]
            },
            ["{}", '{"a":1}'],
            ['{"b":1}'],
        ),
        (
            {"$ref": "#/$defs/a~1b%20c", "minLength": 2, "$defs": {"a/b c": {"type": "string", "maxLength": 2}}},
            ['"ab"'],
            ['"a"'],
        ),
        ({"type": "string", "pattern": "^[a-z]{2,5}$", "minLength": 1, "maxLength": 5}, ['"abcde"'], ['"a"']),
        ({"type": "array", "items": {"type": "string", "minLength": 1.0}, "maxItems": 1.0}, ['["a"]'], ['[""]']),
        ({"type": "string", "format": "uuid", "maxLength": 36}, [], ['""']),
    ],
)
def test_keywords_together(schema, good, bad):
    texts = texts_of(schema)
    assert all(text in texts for text in good)
    assert not any(text in texts for text in bad)
    for seed in range(10):
        Draft202012Validator(schema).validate(json.loads(texts.sample(seed)))


def test_recursion_to_a_depth():
    node = {
        "type": "object",
        "properties": {"value": {"type": "integer"}, "next": {"$ref": "#"}},
        "required": ["value"],
        "additionalProperties": False,
    }
    assert '{"value":1}' in texts_of(node, max_depth=0) and '{"value":1,"next":{"value":2}}' not in texts_of(
        node, max_depth=0
    )
    texts = texts_of(node, max_depth=2)
    for depth in range(5):
        text = '{"value":1,"next":' * depth + '{"value":1}' + "}" * depth
        assert (text in texts) == (depth <= 2)
    for seed in range(10):
        Draft202012Validator(node).validate(json.loads(texts.sample(seed)))
    tree = {"type": "array", "items": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}
    assert "[null,[[null],[]]]" in texts_of(tree, max_depth=2)
    with pytest.raises(ValueError, match="at # allows no value: #/properties/next.* is deeper than `max_depth`"):
        schema_to_regex({**node, "required": ["next"]}, max_depth=2)


def test_values_of_any_kind_to_a_depth():
    texts = texts_of({"type": "object"}, max_depth=2)
    assert '{"a": {"b": [1, "x", null]}, "c": true}' in texts
    assert '{"a": {"b": [[1]]}}' not in texts and "[]" not in texts
    assert all(isinstance(json.loads(texts.sample(seed, length=80)), dict) for seed in range(30))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("{", "cannot be read"),
        ('{"const": 1e999}', "must be JSON, but it has a value that is not: Out of range float values"),
        ({"type": "integer", "maximum": float("inf")}, "must be JSON, but it has a value that is not"),
        ([1], "`schema` at # is not valid: [1] is not of type 'object', 'boolean'"),
        (False, "at # allows no value"),
        ({}, "at # allows a value of any kind. Give a `type`, or `max_depth`"),
        ({"type": "array"}, "at #/items allows a value of any kind"),
        ({"type": "object", "required": ["a"]}, "at #/properties/a allows a value of any kind"),
        ({"type": {}}, "at #/type is not valid"),
        ({"type": "object", "properties": {"a": {"enum": "ab"}}}, "at #/properties/a/enum is not valid: 'ab' is not"),
        ({"anyOf": []}, "at #/anyOf is not valid"),
        ({"type": "string", "minLength": -1}, "at #/minLength is not valid"),
        ({"not": {"type": "null"}}, "has the keyword 'not', which is not supported"),
        ({"type": "object", "properties": {"a": {"if": {}}}}, "at #/properties/a has the keyword 'if'"),
        ({"type": "object", "patternProperties": {}}, "has the keyword 'patternProperties'"),
        (
            {"type": "array", "items": {"const": 1}, "uniqueItems": True},
            "`uniqueItems`, which a regular expression cannot",
        ),
        ({"type": "string", "format": "regex"}, "must have a `format` of date, time"),
        ({"type": "string", "format": "date", "pattern": "a"}, "has both `pattern` and `format`"),
        (
            {"type": "string", "format": "date", "maxLength": 9},
            "has a `format` of 10 to 10 characters, and a length of 0 to 9",
        ),
        (
            {"type": "string", "pattern": "a", "maxLength": 9},
            "has a `pattern` of 1 to any number of characters, and a length",
        ),
        (
            {"type": "string", "pattern": "(?=a)b"},
            "has the `pattern` '(?=a)b', which has '(?=', which is not supported",
        ),
        ({"type": "string", "pattern": r"a\b"}, r"has '\\b'"),
        ({"type": "string", "pattern": "a++"}, "which has '+'"),
        ({"type": "string", "pattern": "[a"}, "at #/pattern is not valid: '[a' is not a 'regex'"),
        ({"allOf": [{"pattern": "a"}, {"pattern": "b"}]}, "has 'a' and 'b' as `pattern` of the same value"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "at # `minLength` is 3 and `maxLength` is 2"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "at # the bounds 3 and 2 hold no integer"),
        ({"type": "integer", "multipleOf": 0.5}, "has 0.5 as `multipleOf`. Only whole numbers are supported"),
        ({"type": "integer", "multipleOf": 7}, "may hold many multiples of 7"),
        ({"type": "number", "minimum": 0.12345678901234567}, "must have bounds with at most 15 digits"),
        ({"type": "number", "minimum": 1, "exclusiveMaximum": 1}, "the bounds hold no number"),
        ({"type": "integer", "enum": ["a"]}, "has no value in `enum` or `const` that fits"),
        ({"type": "array", "items": False, "minItems": 1}, "has room for 0 items and asks for 1"),
        ({"type": "object", "minProperties": 1, "properties": {"a": {"const": 1}}}, "has 0 to 1 properties"),
        ({"additionalProperties": {"const": 1}, "minProperties": 2}, "cannot tell whether names are different"),
        (
            {"oneOf": [{"type": "integer"}, {"type": "number"}]},
            "has parts 0 and 1 in `oneOf` that may hold for the same value",
        ),
        ({"oneOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 1}}}]}, "parts 0 and 1"),
        ({"type": "array", "items": {"$ref": "#"}}, "at #/items is recursive: '#' contains itself"),
        ({"$ref": "#"}, "refers to '#', which refers to itself"),
        ({"$ref": "#/$defs/a"}, "which is not in the schema"),
        (
            {"enum": [{"a": 1}], "properties": {"a": {"$ref": "#/$defs/a"}}},
            "refers to '/$defs/a', which is not in the schema",
        ),
        ({"$ref": "https://example.com/schema.json"}, "which is not in the schema"),
    ],
)
def test_schemas_that_are_refused(schema, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        schema_to_regex(schema)


def test_schemas_that_grow_are_refused_at_once():
    levels = {f"l{i}": {"type": "array", "items": {"$ref": f"#/$defs/l{i + 1}"}, "minItems": 2} for i in range(40)}
    with pytest.raises(ValueError, match="is too large as a regular expression"):
        schema_to_regex({"$ref": "#/$defs/l0", "$defs": {**levels, "l40": {"type": "string"}}})
    tangle = {
        f"d{i}": {"type": "array", "items": {"anyOf": [{"$ref": f"#/$defs/d{j}"} for j in range(9)]}} for i in range(9)
    }
    with pytest.raises(ValueError, match="is too large as a regular expression"):
        schema_to_regex({"$ref": "#/$defs/d0", "$defs": tangle}, max_depth=0)
    parts = [{"anyOf": [{"minimum": i}, {"maximum": -i}]} for i in range(1, 40)]
    with pytest.raises(ValueError, match="has more than 500 alternatives"):
        schema_to_regex({"allOf": parts})
    nested = '{"type": "array", "items": ' * 2000 + "{}" + "}" * 2000
    with pytest.raises(ValueError, match="has parts inside each other that are too deep to read"):
        schema_to_regex(nested)
    with pytest.raises(ValueError, match="`max_depth` must be a whole number from 0 on, but got -1"):
        schema_to_regex({}, max_depth=-1)
