# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Poems as the checkpoint llada-poet knows them: the header line, the forms, lines."""

FORM_LENGTHS = {"五言绝句": 24, "七言绝句": 32, "五言律诗": 48, "七言律诗": 64}  # characters, punctuation among them
FORMS = (*FORM_LENGTHS, "五言诗", "七言诗", "六言诗", "四言诗", "词", "曲", "杂言诗", "古文")
LINE_ENDS = "，。？！；：、"


def poem_header(form: str | None = None, title: str | None = None, author: str | None = None) -> str:
    """Writes the header of a poem; a part that is `None` or empty is left out.

    Args:
        form (`str`, *optional*):
            The form, such as `"五言绝句"`.
        title (`str`, *optional*):
            The title without its marks; a 词 names its tune first (`"水调歌头"`).
        author (`str`, *optional*):
            The poet.

    Returns:
        `str`: One line that ends with a newline, or `""` when every part is absent.

    Example:

    ```python
    >>> poem_header("五言绝句", "静夜思", "李白")
    '五言绝句《静夜思》李白\\n'
    ```
    """
    line = (form or "") + (f"《{title}》" if title else "") + (author or "")
    return line + "\n" if line else ""


def first_line(text: str) -> str:
    """The text before its first mark of punctuation."""
    end = min((index for index, character in enumerate(text) if character in LINE_ENDS), default=len(text))
    return text[:end]


def end_line(text: str) -> str:
    """The text with a full stop, unless it ends with punctuation already."""
    return text if text.endswith(tuple(LINE_ENDS)) else text + "。"
