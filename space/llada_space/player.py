# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The player of the page: one component that draws a run while it happens, replays it and exports it."""

import json
from collections.abc import Callable

import gradio as gr

from modeling_llada.drawing.page import player_js, player_options

from .exports import FORMATS


# The template never changes, so Gradio does not touch the drawing of the player.
ON_LOAD = """
%(js)s
const player = LLaDAPlayer(element.querySelector(".ll-root"), {
    ...%(options)s,
    save: (run, format) => server.save_run({ run, format }),
});
watch("value", () => player.update(props.value));
player.update(props.value);
"""


def make_player(
    save: Callable, placeholder: str, elem_id: str, group: str | None = None, links: bool = True
) -> gr.HTML:
    """
    A player, whose values are those of [`Run.value`]. `save` takes `{"run": ..., "format": ...}` and returns a file,
    see `exports.py`. The players of a group scrub and play together. Without `links`, its runs have no links.
    """

    def save_run(request: dict) -> dict:  # Gradio sets an attribute on it, which a method does not allow
        return save(request)

    exports = [[name, form.label, form.help] for name, form in FORMATS.items()]
    options = player_options(placeholder=placeholder, exports=exports, links=links, group=group)
    return gr.HTML(
        value=None,
        html_template='<div class="ll-root"></div>',
        js_on_load=ON_LOAD % {"js": player_js(), "options": json.dumps(options, ensure_ascii=False)},
        server_functions=[save_run],
        apply_default_css=False,
        padding=False,
        elem_id=elem_id,
        elem_classes="ll-host",
    )
