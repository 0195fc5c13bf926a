# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Writes the tables of decoding options in README.md and docs/decoding.md from the table of the package.

make evidence
"""

import json
import sys
from pathlib import Path

from modeling_llada.models.options_llada import EXCLUSIONS, OPTIONS, PARALLEL_RULES, Option
from modeling_llada.writing import write_atomically
from reporting.markdown import fill, table


ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/decoding.md")


def main() -> None:
    for path in PAGES:
        write_atomically(ROOT / path, render((ROOT / path).read_text(encoding="utf-8")))
    sys.stdout.write(f"Wrote the options of {' and '.join(PAGES)}.\n")


def render(page: str) -> str:
    """A page with the parts that it has marks for."""
    for name, make in {"goals": goals, "options": reference, "exclusions": exclusions}.items():
        if f"<!-- {name}: begin -->" in page:
            page = fill(page, name, make() + "\n")
    return page


def goals() -> str:
    """A row for each option with a purpose: what to set for it."""
    by_name = {option.name: option for option in OPTIONS}
    rows = []
    for option in OPTIONS:
        if option.purpose is not None:
            settings = ", ".join(setting(by_name[name]) for name in (*option.beside, option.name))
            rows.append([option.purpose, f"`{settings}`", option.default_text])
    return table(["you want", "you set", "default"], rows)


def setting(option: Option) -> str:
    """An option at its example, as it is typed."""
    value = json.dumps(option.example) if isinstance(option.example, str) else option.example
    return f"{option.name}={value}"


def reference() -> str:
    """A row for each option."""
    rows = [
        [
            f"`{option.name}`",
            values_of(option),
            option.default_text,
            option.help.replace("[`", "`").replace("`]", "`"),
            option.published or "",
        ]
        for option in OPTIONS
    ]
    return table(["option", "values", "default", "what it does", "published name"], rows)


def values_of(option: Option) -> str:
    """The values of an option in words."""
    if option.kind == "choice":
        return ", ".join(f'`"{choice}"`' for choice in option.choices) + (f", or {option.also}" if option.also else "")
    if option.kind == "int":
        return f"integer ≥ {option.minimum}" + (f", at most {option.maximum}" if option.maximum else "")
    if option.kind == "float":
        return f"≥ {option.minimum:g}" if option.maximum is None else f"{option.minimum:g} to {option.maximum:g}"
    kinds = {
        "bool": "`True`, `False`",
        "token": "a token id",
        "tokens": "one or several token ids",
        "strings": "one or several texts",
    }
    return kinds.get(option.kind, f"a `{option.kind}`")


def exclusions() -> str:
    """A line for each combination that is an error."""
    lines = [f"At most one of the parallel rules: {', '.join(f'`{name}`' for name in PARALLEL_RULES)}."]
    for option in OPTIONS:
        if option.refines is not None:
            lines.append(f"`{option.name}` needs `{option.refines}`{', and has to be below it' * bool(option.below)}.")
    lines += [f"`{first}` excludes `{second}`: {reason}." for first, second, reason in EXCLUSIONS]
    return "\n".join(f"- {line}" for line in lines)


if __name__ == "__main__":
    main()
