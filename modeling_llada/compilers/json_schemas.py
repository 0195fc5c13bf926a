# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""JSON schemas as regular expressions, for constraints.

Each text that matches validates against the schema. The other way round, the expression asks for one way of writing: the
properties in the order of the schema, no other properties, and at most one space after a colon or comma. A keyword that
the expression would not keep is refused.
"""

import json
import re


ANNOTATIONS = {
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "examples",
    "title",
}
BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
KEYWORDS = {
    "string": {"minLength", "maxLength", "format"},
    "integer": BOUNDS,
    "number": set(),
    "boolean": set(),
    "null": set(),
    "array": {"items", "minItems", "maxItems"},
    "object": {"properties", "required", "additionalProperties"},
}
# Of the keywords whose values are not checked where they are read
SHAPES = {"$ref": str, "anyOf": list, "enum": list, "properties": dict, "required": list}
PYTHON_TYPES = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "null": type(None),
    "array": list,
    "object": dict,
}

CHARACTER = r'(?:[^"\\\x00-\x1f\x7f]|\\["\\/bfnrt])'
INTEGER = "-?(?:0|[1-9][0-9]*)"
NUMBER = rf"{INTEGER}(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{{1,2}})?"
# Days that each year has, so that every date exists.
DATE = (
    "[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?Z"
FORMATS = {
    "date": DATE,
    "time": TIME,
    "date-time": f"{DATE}T{TIME}",
    "uuid": "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
}


def schema_to_regex(schema) -> str:
    """
    The regular expression of a JSON schema.

    Args:
        schema (`dict`, `str` or a pydantic model):
            The schema, or its text.

    Raises:
        `ValueError`: if the schema has a keyword that is not supported, or is recursive. It names the place.

    Example:

    ```python
    >>> schema_to_regex({"enum": ["red", "blue"]})
    '(?:"red"|"blue")'
    ```
    """
    if hasattr(schema, "model_json_schema"):
        schema = schema.model_json_schema()
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except ValueError as error:
            raise ValueError(f"`schema` must be a JSON schema, but its text cannot be read: {error}.") from error
    return SchemaReader(schema).convert(schema, "#", ("#",))


class SchemaReader:
    """Converts the parts of one schema, which may refer to its definitions."""

    def __init__(self, root):
        self.root = root

    def convert(self, schema, place: str, parents: tuple[str, ...]) -> str:
        """The expression of the part at a place. `parents` are the references that led there."""
        if not isinstance(schema, dict):
            raise refusal(place, f"must be an object, but got {str(schema)[:80]}")
        for name, kind in SHAPES.items():
            if not isinstance(schema.get(name, kind()), kind):
                raise refusal(place, f"must have a {kind.__name__} as `{name}`, but got {str(schema[name])[:80]}")
        if "$ref" in schema:
            check_keywords(schema, {"$ref"}, place)
            return self.follow(schema["$ref"], place, parents)
        if "anyOf" in schema:
            check_keywords(schema, {"anyOf"}, place)
            if not schema["anyOf"]:
                raise refusal(place, "must have a part in `anyOf`")
            return union(
                self.convert(part, f"{place}/anyOf/{index}", parents) for index, part in enumerate(schema["anyOf"])
            )
        if "enum" in schema or "const" in schema:
            return convert_values(schema, place)
        types = schema.get("type")
        types = types if isinstance(types, list) else [types]
        unknown = [name for name in types if not isinstance(name, str) or name not in KEYWORDS]
        if unknown or not types:
            raise refusal(place, f"must have a `type` of {', '.join(KEYWORDS)}, but got {schema.get('type')!r}")
        check_keywords(schema, {"type"}.union(*(KEYWORDS[name] for name in types)), place)
        return union(getattr(self, f"convert_{name}")(schema, place, parents) for name in types)

    def follow(self, reference: str, place: str, parents: tuple[str, ...]) -> str:
        """The expression of a definition."""
        if reference in parents:
            raise refusal(
                place, f"is recursive: {reference!r} contains itself, and a regular expression has no unlimited depth"
            )
        part = self.root
        try:
            start, *names = reference.split("/")
            for name in names:
                part = part[name.replace("~1", "/").replace("~0", "~")]
        except (KeyError, TypeError):
            start = None
        if start != "#":
            raise refusal(place, f"refers to {reference!r}, which is not in the schema")
        return self.convert(part, place, (*parents, reference))

    def convert_string(self, schema: dict, place: str, parents: tuple[str, ...]) -> str:
        if "format" not in schema:
            return f'"{CHARACTER}{repeat(schema, "minLength", "maxLength", place)}"'
        if schema["format"] not in FORMATS or {"minLength", "maxLength"} & set(schema):
            raise refusal(
                place, f"must have a `format` of {', '.join(FORMATS)} and no length, but got {schema['format']!r}"
            )
        return f'"{FORMATS[schema["format"]]}"'

    def convert_integer(self, schema: dict, place: str, parents: tuple[str, ...]) -> str:
        if not all(isinstance(schema[name], int) for name in BOUNDS & set(schema)):
            raise refusal(place, "must have integers as bounds")
        lows = [schema[name] + shift for name, shift in (("minimum", 0), ("exclusiveMinimum", 1)) if name in schema]
        highs = [schema[name] - shift for name, shift in (("maximum", 0), ("exclusiveMaximum", 1)) if name in schema]
        low, high = max(lows, default=None), min(highs, default=None)
        if low is not None and high is not None and low > high:
            raise refusal(place, f"allows no integer: the bounds are {low} and {high}")
        return integers_between(low, high)

    def convert_number(self, schema: dict, place: str, parents: tuple[str, ...]) -> str:
        return NUMBER

    def convert_boolean(self, schema: dict, place: str, parents: tuple[str, ...]) -> str:
        return "(?:true|false)"

    def convert_null(self, schema: dict, place: str, parents: tuple[str, ...]) -> str:
        return "null"

    def convert_array(self, schema: dict, place: str, parents: tuple[str, ...]) -> str:
        if "items" not in schema:
            raise refusal(place, "must say in `items` what the array holds")
        item = self.convert(schema["items"], f"{place}/items", parents)
        least, most = limits(schema, "minItems", "maxItems", place)
        if most == 0:
            return r"\[\]"
        rest = f"{{{max(0, least - 1)},{'' if most is None else most - 1}}}"
        items = f"{item}(?:, ?{item}){rest}"
        return rf"\[{items}\]" if least else rf"\[(?:{items})?\]"

    def convert_object(self, schema: dict, place: str, parents: tuple[str, ...]) -> str:
        required, others = schema.get("required", []), schema.get("additionalProperties")
        if "properties" not in schema and isinstance(others, dict) and not required:
            value = self.convert(others, f"{place}/additionalProperties", parents)
            member = f'"{CHARACTER}*": ?{value}'
            return rf"\{{(?:{member}(?:, ?{member})*)?\}}"
        if "properties" not in schema and others is not False:
            raise refusal(place, "must say in `properties` what the object holds")
        properties = schema.get("properties", {})
        missing = [name for name in required if name not in properties]
        if missing:
            raise refusal(place, f"must describe in `properties` what is `required`, but {missing[0]!r} is not there")
        members = {
            name: f"{literal(name)}: ?{self.convert(part, f'{place}/properties/{name}', parents)}"
            for name, part in properties.items()
        }
        # From the last property on: what may follow if one was written before, and what may be written if none was.
        following, first = "", ""
        for name, member in reversed(members.items()):
            if name in required:
                following, first = f", ?{member}{following}", f"{member}{following}"
            else:
                following, first = f"(?:, ?{member})?{following}", f"(?:{member}{following}|{first})"
        return rf"\{{{first}\}}"


def convert_values(schema: dict, place: str) -> str:
    """The expression of `enum` or `const`, of which those values count that have the type."""
    keyword = "enum" if "enum" in schema else "const"
    check_keywords(schema, {"type", keyword}, place)
    values = schema["enum"] if keyword == "enum" else [schema["const"]]
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        values = [value for value in values if any(has_type(value, name) for name in types)]
    if not values:
        raise refusal(place, f"allows no value: no one of `{keyword}` has the type")
    return union(literal(value) for value in values)


def has_type(value, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, PYTHON_TYPES.get(name, ()))


def literal(value) -> str:
    """The expression that matches one JSON value."""
    return re.escape(json.dumps(value, ensure_ascii=False))


def union(parts) -> str:
    parts = list(dict.fromkeys(parts))
    return parts[0] if len(parts) == 1 else f"(?:{'|'.join(parts)})"


def limits(schema: dict, least: str, most: str, place: str) -> tuple[int, int | None]:
    low, high = schema.get(least, 0), schema.get(most)
    if (
        not isinstance(low, int)
        or not (high is None or isinstance(high, int))
        or not 0 <= low <= (low if high is None else high)
    ):
        raise refusal(
            place, f"must have whole numbers as `{least}` and `{most}`, not in reverse, but got {low} and {high}"
        )
    return low, high


def repeat(schema: dict, least: str, most: str, place: str) -> str:
    low, high = limits(schema, least, most, place)
    return f"{{{low},{'' if high is None else high}}}"


def integers_between(low: int | None, high: int | None) -> str:
    """The integers from `low` to `high`; `None` is no bound."""
    if low is None and high is None:
        return INTEGER
    parts = []
    if low is None or low < 0:
        parts.append(f"-{naturals_between(1 if high is None or high >= 0 else -high, None if low is None else -low)}")
    if high is None or high >= 0:
        parts.append(naturals_between(0 if low is None else max(0, low), high))
    return union(parts)


def naturals_between(low: int, high: int | None) -> str:
    """The natural numbers from `low` to `high`, by their number of digits."""
    num_digits = len(str(low if high is None else high))
    parts = []
    for length in range(len(str(low)), num_digits + 1):
        first, last = 0 if length == 1 else 10 ** (length - 1), 10**length - 1
        parts.append(digits_between(str(max(low, first)), str(last if high is None else min(high, last))))
    if high is None:
        parts.append(f"[1-9][0-9]{{{num_digits},}}")
    return union(parts)


def digits_between(low: str, high: str) -> str:
    """The numbers from `low` to `high`, both of the same number of digits."""
    rest = len(low) - 1
    if low == high:
        return low
    if not rest:
        return f"[{low}-{high}]"
    if low[0] == high[0]:
        return low[0] + digits_between(low[1:], high[1:])
    if set(low[1:]) == {"0"} and set(high[1:]) == {"9"}:
        return f"[{low[0]}-{high[0]}][0-9]{{{rest}}}"
    parts = [low[0] + digits_between(low[1:], "9" * rest), high[0] + digits_between("0" * rest, high[1:])]
    if int(low[0]) + 1 < int(high[0]):
        parts.append(f"[{int(low[0]) + 1}-{int(high[0]) - 1}][0-9]{{{rest}}}")
    return union(parts)


def check_keywords(schema: dict, supported: set[str], place: str) -> None:
    unknown = sorted(set(schema) - supported - ANNOTATIONS)
    if unknown:
        raise refusal(
            place,
            f"has the keyword {unknown[0]!r}, which is not supported there. Leave it out, or write a regular expression",
        )


def refusal(place: str, reason: str) -> ValueError:
    return ValueError(f"`schema` at {place} {reason}.")


__all__ = ["schema_to_regex"]
