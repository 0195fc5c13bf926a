# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tables of decoding options in the pages are those that `make evidence` writes."""

import pytest

from evidence.options_table import PAGES, ROOT, render
from modeling_llada.models.options_llada import OPTIONS


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_as_written(path):
    page = (ROOT / path).read_text(encoding="utf-8")
    assert render(page) == page, "run `make evidence`"


def test_the_guide_has_every_option():
    guide = (ROOT / "docs/decoding.md").read_text(encoding="utf-8")
    assert all(f"\n| `{option.name}` |" in guide for option in OPTIONS)


def test_a_page_without_marks_stays_as_it_is():
    assert render("# A page\n") == "# A page\n"
