# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Random JSON schemas, each with a value that validates."""

import datetime
import string

from hypothesis import strategies as st


PATTERNS = {
    "^[a-z]{2,4}$": ["ab", "wxyz"],
    r"\d": ["a1", "0", "1 \n"],
    '^"?a|b$': ['"ac', "xb"],
    r"^[^\s]+$": ['"\\', "é"],
}
LETTERS = string.ascii_letters + ' "\\/\n\té床😀'


@st.composite
def integers(draw):
    low, high = sorted(draw(st.tuples(*[st.integers(-150, 150)] * 2)))
    divisor = draw(st.sampled_from([1, 1, 2, 5, 7]))
    schema = {"type": "integer"}
    schema |= draw(st.sampled_from([{"minimum": low}, {"exclusiveMinimum": low - 1}, {}]))
    schema |= draw(st.sampled_from([{"maximum": high}, {"exclusiveMaximum": high + 0.5}, {}]))
    if high // divisor > (low - 1) // divisor and divisor > 1 and (divisor != 7 or len(schema) == 3):
        return schema | {"multipleOf": divisor}, high // divisor * divisor
    return schema, draw(st.integers(low, high))


@st.composite
def numbers(draw):
    low, value, high = sorted(draw(st.tuples(*[st.decimals(-100, 100, places=2)] * 3)))
    schema = {"type": "number"}
    schema |= draw(st.sampled_from([{"minimum": float(low)}, {"exclusiveMinimum": float(low - 1)}, {}]))
    schema |= draw(st.sampled_from([{"maximum": float(high)}, {"exclusiveMaximum": float(high + 1)}, {}]))
    return schema, float(value) or 0


@st.composite
def texts(draw):
    kind = draw(st.sampled_from(["plain", "length", "pattern", "date"]))
    if kind == "pattern":
        pattern = draw(st.sampled_from([*PATTERNS]))
        return {"type": "string", "pattern": pattern}, draw(st.sampled_from(PATTERNS[pattern]))
    if kind == "date":
        date = draw(st.dates(min_value=datetime.date(1000, 1, 1)))
        return {"type": "string", "format": "date"}, date.isoformat()
    value = draw(st.text(LETTERS, max_size=6))
    bounds = {"minLength": draw(st.integers(0, len(value))), "maxLength": len(value) + draw(st.integers(0, 3))}
    return {"type": "string"} | (bounds if kind == "length" else {}), value


constants = st.sampled_from([None, True, "é", 2, 2.5, [1, {"a": None}], {"b": [], "c": "x"}])
leaves = st.one_of(
    integers(),
    numbers(),
    texts(),
    st.sampled_from([({"type": "null"}, None), ({"type": "boolean"}, True)]),
    constants.map(lambda value: ({"const": value}, value)),
    st.lists(constants, min_size=1, max_size=3).map(lambda values: ({"enum": values}, values[-1])),
)


@st.composite
def arrays(draw, parts):
    item, value = draw(parts)
    first = draw(st.lists(parts, max_size=2))
    values = [value for _, value in first] + [value] * draw(st.integers(0, 2))
    schema = {"type": "array", "items": item}
    if first:
        schema["prefixItems"] = [part for part, _ in first]
    schema |= draw(st.sampled_from([{}, {"minItems": len(values)}, {"minItems": 1} if values else {}]))
    schema |= draw(st.sampled_from([{}, {"maxItems": len(values)}, {"maxItems": len(values) + 2}]))
    return schema, values


@st.composite
def objects(draw, parts):
    members = draw(st.dictionaries(st.text('ab"é', max_size=2), parts, max_size=3))
    required = [name for name in members if draw(st.booleans())]
    written = {name: value for name, (_, value) in members.items() if name in required or draw(st.booleans())}
    schema = {"type": "object", "properties": {name: part for name, (part, _) in members.items()}}
    schema |= draw(st.sampled_from([{"additionalProperties": False}, {"required": required}]))
    if "required" not in schema or not members:
        schema["additionalProperties"] = False
    return schema, written


@st.composite
def combinations(draw, parts):
    (first, value), (second, _) = draw(parts), draw(parts)
    kind = draw(st.sampled_from(["anyOf", "allOf", "oneOf", "dict"]))
    if kind == "anyOf":
        return {"anyOf": draw(st.permutations([first, second]))}, value
    if kind == "allOf":
        return {"allOf": [first, draw(st.sampled_from([{"title": "a"}, first]))]}, value
    if kind == "dict":
        return {"type": "object", "additionalProperties": first, "minProperties": 1}, {"a": value}
    tagged = [
        {"type": "object", "properties": {"kind": {"const": index}, "value": part}, "required": ["kind", "value"]}
        for index, part in enumerate((first, second))
    ]
    return {"oneOf": tagged}, {"kind": 0, "value": value}


def schemas_with_values() -> st.SearchStrategy:
    """Pairs of a schema and a value that validates, whose properties are in the order of the schema."""
    return st.recursive(
        leaves, lambda parts: st.one_of(arrays(parts), objects(parts), combinations(parts)), max_leaves=5
    )
