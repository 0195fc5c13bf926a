# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A JSON schema as alternatives without `$ref`, `allOf`, `anyOf` and `oneOf`.

An alternative is one dict of keywords that all hold for a value. A schema is the union of its alternatives.
"""

import itertools
import math
from dataclasses import dataclass, field
from urllib.parse import unquote

from jsonschema import Draft202012Validator


ANNOTATIONS = {
    "$comment",
    "$defs",
    "$schema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "discriminator",
    "examples",
    "readOnly",
    "title",
    "writeOnly",
}
KEYWORDS_OF_TYPES = {
    "string": {"minLength", "maxLength", "pattern", "format"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "boolean": set(),
    "null": set(),
    "array": {"items", "prefixItems", "minItems", "maxItems", "uniqueItems"},
    "object": {"properties", "required", "additionalProperties", "minProperties", "maxProperties"},
}
APPLICATORS = {"$ref", "allOf", "anyOf", "oneOf"}
SUPPORTED = {"type", "enum", "const"}.union(APPLICATORS, *KEYWORDS_OF_TYPES.values())
LARGER_WINS = {"minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties"}
SMALLER_WINS = {"maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties"}
MAX_ALTERNATIVES = 500


@dataclass(frozen=True, eq=False)  # with a hash
class Alternative:
    """
    An alternative of a schema.

    Args:
        keywords (`dict`): What holds. It has no `const` and none of the keywords that combine schemas.
        references (`frozenset[str]`): The definitions that it was put together from.
    """

    keywords: dict
    references: frozenset[str] = field(default_factory=frozenset)

    @property
    def types(self) -> list[str]:
        """The types that the texts of the alternative have: those it names, or those that its keywords speak of."""
        if "type" in self.keywords:
            return self.keywords["type"]
        names = [name for name, keywords in KEYWORDS_OF_TYPES.items() if keywords & set(self.keywords)]
        names = names or list(KEYWORDS_OF_TYPES)
        return [name for name in names if name != "integer"] if "number" in names else names


class SchemaParts:
    """The alternatives of the parts of one schema, which may refer to its definitions."""

    def __init__(self, root: dict):
        self.root = root
        self.validator = Draft202012Validator(root, format_checker=Draft202012Validator.FORMAT_CHECKER)
        self.known_values, self.known_validators = {}, {}

    def alternatives(
        self, schema: dict | bool, place: str, followed: frozenset[str] = frozenset()
    ) -> list[Alternative]:
        """
        The alternatives of the part at a place; none if nothing fits. `followed` are the references that led there from the
        same value.

        Raises:
            `ValueError`: if the part has a keyword that is not supported, or a combination that cannot be said.
        """
        if isinstance(schema, bool):
            return [Alternative({})] if schema else []
        unknown = sorted(set(schema) - SUPPORTED - ANNOTATIONS - ({"$id"} if schema is self.root else set()))
        if unknown:
            raise refusal(
                place,
                f"has the keyword {unknown[0]!r}, which is not supported. Leave it out, or write a regular expression",
            )
        keywords = {name: value for name, value in schema.items() if name not in ANNOTATIONS | APPLICATORS | {"$id"}}
        if "const" in keywords:
            values = keywords.pop("const")
            keywords = merge_keywords(keywords, {"enum": [values]}, place) if "enum" in keywords else keywords
            keywords.setdefault("enum", [values])
        if isinstance(keywords.get("type"), str):
            keywords["type"] = [keywords["type"]]
        groups = []
        if "$ref" in schema:
            groups.append(self.alternatives_of_reference(schema["$ref"], place, followed))
        for index, part in enumerate(schema.get("allOf", [])):
            groups.append(self.alternatives(part, f"{place}/allOf/{index}", followed))
        # A keyword of OpenAPI, which pydantic writes: this property tells the parts apart.
        tag = schema.get("discriminator")
        tag = tag.get("propertyName") if isinstance(tag, dict) else None
        tagged = Alternative({"required": [tag]} if isinstance(tag, str) else {})
        for name in (name for name in ("anyOf", "oneOf") if name in schema):
            parts = [
                [
                    merge(alternative, tagged, place)
                    for alternative in self.alternatives(part, f"{place}/{name}/{index}", followed)
                ]
                for index, part in enumerate(schema[name])
            ]
            if sum(map(len, parts)) > MAX_ALTERNATIVES:
                raise too_many_alternatives(place)
            if name == "oneOf":
                self.check_apart(parts, place)
            groups.append([alternative for part in parts for alternative in part])
        result = [Alternative(keywords)]
        for group in groups:
            if len(result) * len(group) > MAX_ALTERNATIVES:
                raise too_many_alternatives(place)
            result = [merge(first, second, place) for first in result for second in group]
            result = [alternative for alternative in result if alternative is not None]
        return result

    def alternatives_of_reference(self, reference: str, place: str, followed: frozenset[str]) -> list[Alternative]:
        if reference in followed:
            raise refusal(place, f"refers to {reference!r}, which refers to itself and says nothing more")
        part = self.root
        try:
            start, *names = reference.split("/")
            for name in names:
                name = unquote(name).replace("~1", "/").replace("~0", "~")
                part = part[int(name) if isinstance(part, list) else name]
        except (KeyError, IndexError, ValueError, TypeError):
            start = None
        if start != "#" or not isinstance(part, dict | bool):
            raise refusal(place, f"refers to {reference!r}, which is not in the schema")
        return [
            Alternative(alternative.keywords, alternative.references | {reference})
            for alternative in self.alternatives(part, place, followed | {reference})
        ]

    def values(self, alternative: Alternative) -> list:
        """The values of `enum` that the other keywords allow."""
        if alternative not in self.known_values:
            others = {name: value for name, value in alternative.keywords.items() if name != "enum"}
            is_valid = self.validator.evolve(schema=others).is_valid
            self.known_values[alternative] = [value for value in alternative.keywords["enum"] if is_valid(value)]
        return self.known_values[alternative]

    def validator_of(self, alternative: Alternative) -> Draft202012Validator:
        if alternative not in self.known_validators:
            self.known_validators[alternative] = self.validator.evolve(schema=alternative.keywords)
        return self.known_validators[alternative]

    # `oneOf`

    def check_apart(self, parts: list[list[Alternative]], place: str) -> None:
        """Raises a `ValueError` unless no text of a part of `oneOf` can fit another part."""
        for (i, first), (j, second) in itertools.permutations(enumerate(parts), 2):
            if not all(self.never_fits(a, b, place) for a in first for b in second):
                raise refusal(
                    place,
                    f"has parts {i} and {j} in `oneOf` that may hold for the same value, and then neither counts. Write "
                    "`anyOf` if both may hold, or tell them apart by a type, a bound, or a required property with a `const`",
                )

    def never_fits(self, text: Alternative, other: Alternative, place: str, depth: int = 3) -> bool:
        """Whether no text of an alternative validates against another one. `False` if that is not known."""
        if "enum" in text.keywords:
            return not any(map(self.validator_of(other).is_valid, self.values(text)))
        if "enum" in other.keywords:
            return not any(map(self.validator_of(text).is_valid, self.values(other)))
        types = set(other.keywords.get("type", KEYWORDS_OF_TYPES))
        types |= {"integer"} & set(text.types) if "number" in types else set()
        common = types & set(text.types) | ({"number"} & set(text.types) if "integer" in types else set())
        return all(self.never_fits_as(name, text.keywords, other.keywords, place, depth) for name in common)

    def never_fits_as(self, name: str, text: dict, other: dict, place: str, depth: int) -> bool:
        if name in ("integer", "number"):
            (low, low_out), (high, high_out) = number_bounds(text)
            (other_low, other_low_out), (other_high, other_high_out) = number_bounds(other)
            return (
                high < other_low
                or other_high < low
                or (high == other_low and (high_out or other_low_out))
                or (other_high == low and (low_out or other_high_out))
            )
        if name in ("string", "array"):
            kind = "Length" if name == "string" else "Items"
            low, high = text.get(f"min{kind}", 0), text.get(f"max{kind}", math.inf)
            return high < other.get(f"min{kind}", 0) or other.get(f"max{kind}", math.inf) < low
        if name == "object" and depth > 0:
            return self.objects_never_fit(text, other, place, depth - 1)
        return False

    def objects_never_fit(self, text: dict, other: dict, place: str, depth: int) -> bool:
        """A text has all properties that are required, and none that is not described."""
        described, required = text.get("properties"), text.get("required", [])
        if described is not None and set(other.get("required", [])) - set(described) - set(required):
            return True
        for name in required:
            first = self.alternatives(property_of(text, name), place)
            second = self.alternatives(property_of(other, name), place)
            if all(self.never_fits(a, b, place, depth) for a in first for b in second):
                return True
        return False


def number_bounds(keywords: dict) -> tuple[tuple[float, bool], tuple[float, bool]]:
    """The bounds of a number, each with whether it is excluded."""
    low = max(
        (keywords.get("minimum", -math.inf), False),
        (keywords.get("exclusiveMinimum", -math.inf), "exclusiveMinimum" in keywords),
    )
    high, is_included = min(
        (keywords.get("maximum", math.inf), True),
        (keywords.get("exclusiveMaximum", math.inf), "exclusiveMaximum" not in keywords),
    )
    return low, (high, not is_included)


# `allOf`


def merge(first: Alternative, second: Alternative, place: str) -> Alternative | None:
    """What both alternatives allow, `None` if nothing fits both."""
    keywords = merge_keywords(first.keywords, second.keywords, place)
    if keywords.get("type") == [] or keywords.get("enum") == []:
        return None
    return Alternative(keywords, first.references | second.references)


def merge_keywords(first: dict, second: dict, place: str) -> dict:
    result = {**first, **second}
    for name in set(first) & set(second):
        if first[name] == second[name]:
            continue
        if name in LARGER_WINS:
            result[name] = max(first[name], second[name])
        elif name in SMALLER_WINS:
            result[name] = min(first[name], second[name])
        elif name == "type":
            result[name] = common_types(first[name], second[name])
        elif name == "enum":
            is_common = Draft202012Validator({"enum": second[name]}).is_valid
            result[name] = [value for value in first[name] if is_common(value)]
        elif name == "required":
            result[name] = list(dict.fromkeys([*first[name], *second[name]]))
        elif name == "uniqueItems":
            result[name] = True
        elif name == "multipleOf" and isinstance(first[name], int) and isinstance(second[name], int):
            result[name] = math.lcm(first[name], second[name])
        elif name not in ("items", "prefixItems", "properties", "additionalProperties"):
            raise refusal(
                place,
                f"has {first[name]!r} and {second[name]!r} as `{name}` of the same value, which one expression cannot say. Write "
                "one that says both",
            )
    names = list(dict.fromkeys([*first.get("properties", {}), *second.get("properties", {})]))
    if names:
        result["properties"] = {name: both(property_of(first, name), property_of(second, name)) for name in names}
    result |= merge_rest(first, second, "additionalProperties")
    num_items = max(len(keywords.get("prefixItems", [])) for keywords in (first, second))
    if num_items:
        result["prefixItems"] = [both(item_of(first, i), item_of(second, i)) for i in range(num_items)]
    return result | merge_rest(first, second, "items")


def merge_rest(first: dict, second: dict, name: str) -> dict:
    return {name: both(first.get(name, True), second.get(name, True))} if name in {*first, *second} else {}


def property_of(keywords: dict, name: str) -> dict | bool:
    """What holds for a property."""
    return keywords.get("properties", {}).get(name, keywords.get("additionalProperties", True))


def item_of(keywords: dict, index: int) -> dict | bool:
    """What holds for an item."""
    first = keywords.get("prefixItems", [])
    return first[index] if index < len(first) else keywords.get("items", True)


def both(first: dict | bool, second: dict | bool) -> dict | bool:
    """The schema of what fits two schemas."""
    if first is False or second is False:
        return False
    if first in (True, {}) or first == second:
        return second
    return first if second in (True, {}) else {"allOf": [first, second]}


def common_types(first: list[str], second: list[str]) -> list[str]:
    """An integer is a number too."""
    common = [name for name in first if name in second or (name == "integer" and "number" in second)]
    return common + [name for name in second if name == "integer" and "number" in first and name not in common]


def too_many_alternatives(place: str) -> ValueError:
    return refusal(
        place, f"has more than {MAX_ALTERNATIVES} alternatives. Divide it, or write `enum` instead of many `const`"
    )


def refusal(place: str, reason: str) -> ValueError:
    return ValueError(f"`schema` at {place} {reason}.")


__all__ = ["Alternative", "SchemaParts", "item_of", "refusal"]
