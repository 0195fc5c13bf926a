# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The line that stands before a poem: what it is, what it is called, who wrote it."""

MAX_TITLE_LENGTH = 16


def poem_header(form: str | None = None, title: str | None = None, author: str | None = None) -> str:
    """Writes the header of a poem, as `checkpoints/llada-poet/prompt_fields.json` declares it. Empty parts are left out."""
    line = (form or "") + (f"《{title}》" if title else "") + (author or "")
    return line + "\n" if line else ""


def header_variants(form: str, title: str | None = None, author: str | None = None) -> list[str]:
    """Lists the headers that a poem is trained with, so that users may leave parts out.

    There is always a title between form and author, because otherwise the end of the form would be unclear.
    """
    variants = [poem_header(form)]
    if title:
        variants += [poem_header(form, title), poem_header(title=title)]
    if title and author:
        variants += [poem_header(form, title, author), poem_header(title=title, author=author)]
    return variants
