# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""JSON schemas as regular expressions, for constraints.

Each text that matches validates against the schema. The other way round, the expression asks for one way of writing: the
properties in the order of the schema, no other properties, and at most one space after a colon or comma. A keyword that
the expression would not keep is refused.
"""

import json
import math
from collections import Counter
from decimal import Decimal

from jsonschema import Draft202012Validator, SchemaError
from referencing.exceptions import Unresolvable

from .automata import Expression
from .expressions import MAX_CHARACTERS, Size, size_of, union
from .numbers import NUMBER, Bound, integers_between, multiples_between, numbers_between
from .schema_parts import KEYWORDS_OF_TYPES, Alternative, SchemaParts, item_of, property_of, refusal
from .strings import CHARACTER, FORMATS, literal, pattern_in_json


MAX_PARTS = 20_000  # alternatives of parts, each at its places inside others
ANY = "a value of any kind"
NUMBER_KEYWORDS = KEYWORDS_OF_TYPES["number"]


def schema_to_regex(schema, max_depth: int | None = None) -> str:
    """
    The regular expression of a JSON schema.

    Args:
        schema (`dict`, `str` or a pydantic model):
            The schema, or its text.
        max_depth (`int`, *optional*):
            How often a definition may be inside itself, and a value of any kind inside another one. By default both are
            refused.

    Raises:
        `ValueError`: if the schema is not valid, or has a keyword or a combination that is not supported. It names the place.

    Example:

    ```python
    >>> schema_to_regex({"enum": ["red", "blue"]})
    '(?:"red"|"blue")'
    ```
    """
    if max_depth is not None and (not isinstance(max_depth, int) or isinstance(max_depth, bool) or max_depth < 0):
        raise ValueError(f"`max_depth` must be a whole number from 0 on, but got {max_depth!r}.")
    if hasattr(schema, "model_json_schema"):
        schema = schema.model_json_schema()
    try:
        if isinstance(schema, str):
            schema = json.loads(schema)
        check_numbers(schema)
        Draft202012Validator.check_schema(schema)
        return SchemaWriter(schema, max_depth).write()
    except json.JSONDecodeError as error:
        raise ValueError(f"`schema` must be a JSON schema, but its text cannot be read: {error}.") from error
    except SchemaError as error:
        raise refusal(
            "/".join(["#", *map(str, error.absolute_path)]), f"is not valid: {error.message[:200]}"
        ) from error
    except Unresolvable as error:
        raise refusal("#", f"refers to {error.ref!r}, which is not in the schema") from error
    except RecursionError as error:
        raise refusal("#", "has parts inside each other that are too deep to read. Make it flat") from error


def check_numbers(schema) -> None:
    """Raises a `ValueError` for numbers that are no JSON: NaN and infinity, also where a text says `1e999`."""
    try:
        json.dumps(schema, allow_nan=False, default=str)
    except ValueError as error:
        raise ValueError(f"`schema` must be JSON, but it has a value that is not: {error}.") from error


class SchemaWriter:
    """Writes the expressions of the parts of one schema. `None` as an expression says that no value fits."""

    def __init__(self, root: dict | bool, max_depth: int | None):
        self.parts, self.max_depth = SchemaParts(root), max_depth
        self.reason = ""  # why the last part had no value
        self.num_parts, self.num_characters = 0, 0  # that were written
        self.alternatives = {}

    def write(self) -> str:
        expression = self.convert(self.parts.root, "#", Counter({"#": 1}))
        if expression is None:
            raise refusal("#", f"allows no value{self.reason}")
        return expression

    def convert(self, schema: dict | bool, place: str, depth: Counter) -> str | None:
        """The expression of the part at a place. `depth` counts the references that led there."""
        expressions = []
        if id(schema) not in self.alternatives:  # kept with the schema, so that no other one gets its id
            self.alternatives[id(schema)] = schema, self.parts.alternatives(schema, place)
        _, alternatives = self.alternatives[id(schema)]
        self.num_parts += len(alternatives)
        for alternative in alternatives:
            is_any = not {"type", "enum"}.union(*KEYWORDS_OF_TYPES.values()) & set(alternative.keywords)
            references = alternative.references | ({ANY} if is_any else set())
            if self.is_shallow(references, place, depth):
                expressions.append(self.convert_alternative(alternative, place, depth + Counter(references)))
        expressions = [expression for expression in expressions if expression is not None]
        self.num_characters += sum(map(len, expressions))
        if self.num_characters > MAX_CHARACTERS or self.num_parts > MAX_PARTS:
            raise refusal(place, "is too large as a regular expression. Ask for less, or with less depth, or in parts")
        return union(expressions) if expressions else None

    def is_shallow(self, references: set[str], place: str, depth: Counter) -> bool:
        """Whether definitions are not inside themselves too often."""
        if self.max_depth is None and ANY in references:
            raise refusal(place, f"allows {ANY}. Give a `type`, or `max_depth`")
        recursive = [reference for reference in references if depth[reference] > (self.max_depth or 0)]
        if recursive and self.max_depth is None:
            raise refusal(
                place,
                f"is recursive: {recursive[0]!r} contains itself, and a regular expression has no unlimited depth. Give `max_depth`",
            )
        if recursive:
            self.reason = f": {place} is deeper than `max_depth`"
        return not recursive

    def convert_alternative(self, alternative: Alternative, place: str, depth: Counter) -> str | None:
        keywords = alternative.keywords
        if "enum" in keywords:
            values = self.parts.values(alternative)
            self.reason = self.reason if values else f": {place} has no value in `enum` or `const` that fits"
            return union(map(literal, values)) if values else None
        types = alternative.types
        expressions = [
            getattr(self, f"convert_{name}")(keywords, place, depth)
            for name in types
            if name != "integer" or "number" not in types
        ]
        expressions = [expression for expression in expressions if expression is not None]
        return union(expressions) if expressions else None

    def convert_string(self, keywords: dict, place: str, depth: Counter) -> str | None:
        low, high = keywords.get("minLength", 0), keywords.get("maxLength", math.inf)
        names = [name for name in ("pattern", "format") if name in keywords]
        if low > high:
            self.reason = f": at {place} `minLength` is {low} and `maxLength` is {high}"
            return None
        if len(names) == 2:
            raise refusal(place, "has both `pattern` and `format`, which one expression cannot say. Leave one out")
        if not names:
            return f'"{CHARACTER}{repeat(low, high)}"'
        expression, size = self.pattern(keywords, place) if names == ["pattern"] else self.format(keywords, place)
        if size.shortest < low or size.longest > high:
            longest = "any number of" if size.longest == math.inf else size.longest
            raise refusal(
                place,
                f"has a `{names[0]}` of {size.shortest} to {longest} characters, and a length of {low} to {high}, which one "
                "expression cannot say. Write the length into the pattern, as in '^[a-z]{1,8}$', or leave it out",
            )
        return f'"{expression}"'

    def pattern(self, keywords: dict, place: str) -> tuple[str, Size]:
        try:
            expression, size = pattern_in_json(keywords["pattern"])
        except ValueError as error:
            raise refusal(place, f"has the `pattern` {keywords['pattern']!r}, which {error}") from error
        Expression(expression, "schema").check_size()
        return expression, size

    def format(self, keywords: dict, place: str) -> tuple[str, Size]:
        if keywords["format"] not in FORMATS:
            raise refusal(place, f"must have a `format` of {', '.join(FORMATS)}, but got {keywords['format']!r}")
        expression = FORMATS[keywords["format"]]
        return expression, size_of(expression)

    def convert_integer(self, keywords: dict, place: str, depth: Counter) -> str | None:
        low, high = bounds(keywords)
        # A bound that is excluded or has a fraction is moved to the next integer.
        if low is not None:
            low = math.ceil(low.value) + (not low.is_included and low.value == math.ceil(low.value))
        if high is not None:
            high = math.floor(high.value) - (not high.is_included and high.value == math.floor(high.value))
        divisor = keywords.get("multipleOf", 1)
        if divisor != int(divisor):
            raise refusal(place, f"has {divisor} as `multipleOf`. Only whole numbers are supported")
        try:
            result = integers_between(low, high) if divisor == 1 else multiples_between(low, high, int(divisor))
        except ValueError as error:
            raise refusal(place, str(error)) from error
        self.reason = self.reason if result else f": at {place} the bounds {low} and {high} hold no integer that fits"
        return result

    def convert_number(self, keywords: dict, place: str, depth: Counter) -> str | None:
        if "multipleOf" in keywords:
            return self.convert_integer(keywords, place, depth)
        if not NUMBER_KEYWORDS & set(keywords):
            return NUMBER
        low, high = bounds(keywords)
        try:
            result = numbers_between(low, high)
        except ValueError as error:
            raise refusal(place, str(error)) from error
        self.reason = self.reason if result else f": at {place} the bounds hold no number"
        return result

    def convert_boolean(self, keywords: dict, place: str, depth: Counter) -> str:
        return "(?:true|false)"

    def convert_null(self, keywords: dict, place: str, depth: Counter) -> str:
        return "null"

    def convert_array(self, keywords: dict, place: str, depth: Counter) -> str | None:
        least, most = keywords.get("minItems", 0), keywords.get("maxItems", math.inf)
        if keywords.get("uniqueItems") and most > 1:
            raise refusal(
                place, "has `uniqueItems`, which a regular expression cannot say. List the arrays in an `enum`"
            )
        first = []
        for index in range(len(keywords.get("prefixItems", []))):
            first.append(self.convert(item_of(keywords, index), f"{place}/prefixItems/{index}", depth))
        rest = self.convert(keywords.get("items", True), f"{place}/items", depth) if most > len(first) else None
        items = first[: first.index(None)] if None in first else first
        if len(items) < len(first) or rest is None:
            most = min(most, len(items))
        if least > most:
            self.reason = f": {place} has room for {most} items and asks for {least}{self.reason}"
            return None
        return rf"\[{array_items(items, rest, least, most)}\]"

    def convert_object(self, keywords: dict, place: str, depth: Counter) -> str | None:
        required = set(keywords.get("required", []))
        described = list(dict.fromkeys([*keywords.get("properties", {}), *keywords.get("required", [])]))
        if not described and keywords.get("additionalProperties", True) is not False:
            return self.convert_dict(keywords, place, depth)
        members = {}
        for name in described:
            value = self.convert(property_of(keywords, name), f"{place}/properties/{name}", depth)
            if value is not None:
                members[name] = f"{literal(name)}: ?{value}"
            elif name in required:
                return None
        least, most = keywords.get("minProperties", 0), keywords.get("maxProperties", math.inf)
        if least > len(required) or most < len(members):
            raise refusal(
                place,
                f"has {len(required)} to {len(members)} properties, and `minProperties` or `maxProperties` asks for another "
                "number, which one expression cannot say. Change `required`",
            )
        return rf"\{{{object_members(members, required)}\}}"

    def convert_dict(self, keywords: dict, place: str, depth: Counter) -> str | None:
        """An object with any names."""
        least, most = keywords.get("minProperties", 0), keywords.get("maxProperties", math.inf)
        if least > 1:
            raise refusal(
                place,
                f"has {least} as `minProperties`, but a regular expression cannot tell whether names are different. Name the "
                "properties, or ask for one at least",
            )
        value = self.convert(keywords.get("additionalProperties", True), f"{place}/additionalProperties", depth)
        if value is None:
            most = 0
        if least > most:
            self.reason = f": {place} has no property that fits"
            return None
        member = f'"{CHARACTER}*": ?{value}'
        return rf"\{{{array_items([], member, least, most)}\}}"


def bounds(keywords: dict) -> tuple[Bound | None, Bound | None]:
    """The bounds of a number. Of two on one side the narrower one counts."""
    lows = [
        Bound(Decimal(str(keywords[name])), name == "minimum")
        for name in ("minimum", "exclusiveMinimum")
        if name in keywords
    ]
    highs = [
        Bound(Decimal(str(keywords[name])), name == "maximum")
        for name in ("maximum", "exclusiveMaximum")
        if name in keywords
    ]
    return (
        max(lows, key=lambda bound: (bound.value, not bound.is_included), default=None),
        min(highs, key=lambda bound: (bound.value, bound.is_included), default=None),
    )


def repeat(low: int, high: float) -> str:
    return f"{{{int(low)},{'' if high == math.inf else int(high)}}}"


def array_items(first: list[str], rest: str | None, least: int, most: float) -> str:
    """The items of an array: some that stand first, and others that are alike."""
    if most == 0:
        return ""
    if not first:
        items = f"{rest}(?:, ?{rest}){repeat(max(0, least - 1), most - 1)}"
        return items if least else f"(?:{items})?"
    following = ""
    if most > len(first):
        following = f"(?:, ?{rest}){repeat(max(0, least - len(first)), most - len(first))}"
    for index in reversed(range(min(len(first), int(min(most, len(first)))))):
        following = f"{', ?' if index else ''}{first[index]}{following}"
        if index >= least:
            following = f"(?:{following})?"
    return following


def object_members(members: dict[str, str], required: set[str]) -> str:
    """The members of an object, in their order, with commas between them."""
    names, following, alternatives = list(members), "", []
    needed = [index for index, name in enumerate(names) if name in required]
    for index in reversed(range(needed[0] + 1 if needed else 0, len(names))):
        name = names[index]
        alternatives.append(f"{members[name]}{following}")
        following = f", ?{members[name]}{following}" if name in required else f"(?:, ?{members[name]})?{following}"
    if needed:
        before = "".join(f"(?:{members[name]}, ?)?" for name in names[: needed[0]])
        return f"{before}{members[names[needed[0]]]}{following}"
    return f"(?:{union(reversed(alternatives))})?" if members else ""


__all__ = ["schema_to_regex"]
