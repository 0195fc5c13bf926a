# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The part of a page that a script writes, between two marks."""

import re
from collections.abc import Callable
from pathlib import Path

from modeling_llada.writing import write_atomically


FOLDER = Path(__file__).parent


def fill(page: str, marks: tuple[str, str], parts: list[str]) -> str:
    """The page with the parts, those that are not empty, between the two marks."""
    begin, end = (re.escape(mark) for mark in marks)
    if not re.search(f"{begin}.*{end}", page, flags=re.S):
        raise SystemExit(f"The page lacks the two lines {' and '.join(marks)}.")
    section = "\n".join([marks[0], "", *filter(None, parts), marks[1]])
    return re.sub(f"{begin}.*{end}", lambda _: section, page, flags=re.S)


def render_readme(render: Callable[[str, Path], str]) -> None:
    """Fills a part of `benchmarks/README.md` from the files in `results`."""
    path = FOLDER / "README.md"
    write_atomically(path, render(path.read_text(encoding="utf-8"), FOLDER / "results"))
