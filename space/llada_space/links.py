# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Links with the settings of a run."""

from collections.abc import Mapping
from urllib.parse import urlencode


MAX_LINK = 6000  # characters; browsers and proxies cut longer ones


def write_link(tab: str, fields: Mapping[str, object]) -> str:
    """
    The query of a link that opens a tab, with its `?`, or `""` if it is too long for a link. `fields` has the values
    of all fields of the tab, because a field that is missing in a link has its first value. `None` is left out.
    """
    kept = {name: write_value(value) for name, value in fields.items() if value is not None}
    link = "?" + urlencode({"tab": tab} | kept)
    return link if len(link) <= MAX_LINK else ""


def write_value(value: object) -> str:
    """A value as text: flags as 1 and 0, whole numbers without a decimal point."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return str(value)


def read_value(text: str, kind: str):
    """
    The inverse, for the kinds of [`Option`] and `"text"`. `None` if it cannot be read: a link may come from anywhere.
    """
    if kind in ("text", "choice"):
        return text
    if kind == "bool":
        return {"1": True, "0": False}.get(text)
    try:
        value = float(text)
    except ValueError:
        return None
    if value != value or abs(value) == float("inf"):
        return None
    return int(value) if kind == "int" and value == int(value) else value
