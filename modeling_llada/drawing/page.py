# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A web page that plays the denoising."""

import json
from html import escape
from importlib.resources import files

from .cells import Picture, recording_to_dict
from .colors import CONFIDENCE_COLORS


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 0; padding: 4vmin; background: #f4f0e8 }}
@media (prefers-color-scheme: dark) {{ body {{ background: #0d1117 }} }}
main {{ max-width: 860px; margin: 0 auto }}
{css}
</style>
<main></main>
<script>
{js}
const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
document.documentElement.classList.toggle("dark", isDark);
LLaDAPlayer(document.querySelector("main"), {options}).update({value});
</script>
</html>
"""


def player_js() -> str:
    """The script that defines `LLaDAPlayer`, which plays a denoising in a browser."""
    return files(__package__).joinpath("player.js").read_text(encoding="utf-8")


def player_css() -> str:
    """The style sheet of the player."""
    return files(__package__).joinpath("player.css").read_text(encoding="utf-8")


def player_options(**options) -> dict:
    """The options of `LLaDAPlayer`, with the colours that all drawings share."""
    return {"colors": CONFIDENCE_COLORS, **options}


def denoising_page(
    pictures: list[Picture], title: str = "", cost: list[tuple[str, str]] = (), columns: int | None = None
) -> str:
    """
    A web page that plays a denoising. It loads nothing else.

    Args:
        pictures (`list[Picture]`):
            The pictures, from `pictures_of`.
        title (`str`, *optional*):
            The heading.
        cost (`list[tuple[str, str]]`, *optional*):
            Numbers to show below the canvas, each with its name.
        columns (`int`, *optional*):
            The number of Han characters in a line, for verse. By default lines are as wide as the page.

    Returns:
        `str`: The HTML document.

    Example:

    ```python
    >>> from modeling_llada.drawing import denoising_page, pictures_of
    >>> from modeling_llada.writing import write_atomically

    >>> write_atomically("denoising.html", denoising_page(pictures_of(streamer.record.frames), title="静夜思"))
    ```
    """
    value = {
        "run": "page",
        "status": "done",
        "recording": recording_to_dict(pictures),
        "title": title,
        "cost": list(cost),
        "columns": columns,
    }
    return PAGE.format(
        title=escape(title or "denoising"),
        css=player_css(),
        js=player_js(),
        options=script_json(player_options()),
        value=script_json(value),
    )


def script_json(value) -> str:
    """JSON that is safe in a script element, whatever its texts are."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")
