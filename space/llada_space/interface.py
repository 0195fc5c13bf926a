# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The page."""

import gradio as gr

from .fields import can_hold
from .links import read_value
from .runner import Runner
from .theme import make_css, make_theme
from .views.chat import ChatTab
from .views.compare import CompareTab
from .views.generate import GenerateTab
from .views.infill import InfillTab
from .views.reverse import ReverseTab


MAX_WAITING = 64  # people in the queue; the page asks the next one to come back later
MASTHEAD = """
<div class="ll-masthead">
<h1>LLaDA, live</h1>
<p>A language model that does not write from left to right. It starts from a canvas of masks and commits, step by step, the
tokens that it is most sure of. Watch a run, scrub through it, and point at a token to see the other candidates.</p>
</div>
"""
TABS = (GenerateTab, ChatTab, InfillTab, ReverseTab, CompareTab)


def build(runner: Runner) -> gr.Blocks:
    """Builds the page. Launch it with `launch_options()`."""
    names = runner.models.names
    with gr.Blocks(title="LLaDA, live", analytics_enabled=False) as page:
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                gr.HTML(MASTHEAD, apply_default_css=False, padding=False)
            with gr.Column(scale=1, min_width=220):
                model = gr.Dropdown(names, value=names[0], label="Model", elem_id="model", filterable=False)
        with gr.Tabs(elem_id="tabs") as tabs:
            views = {}
            for view in TABS:
                with gr.Tab(view.name.capitalize(), id=view.name):
                    views[view.name] = view(runner, model)
        linked = [(tab, name, *field) for tab, view in views.items() for name, field in view.linked.items()]

        def open_link(request: gr.Request):
            query = dict(request.query_params) if request else {}
            tab = query.get("tab")
            chosen = query.get("model")
            values = [
                read_field(field, query[name], kind) if tab == owner and name in query else gr.skip()
                for owner, name, field, kind in linked
            ]
            return [
                gr.Tabs(selected=tab) if tab in views else gr.skip(),
                chosen if chosen in names else gr.skip(),
                *values,
            ]

        page.load(
            open_link,
            None,
            [tabs, model, *(field for _, _, field, _ in linked)],
            queue=False,
            api_visibility="private",
        )
    return page.queue(max_size=MAX_WAITING, default_concurrency_limit=4)


def read_field(field: gr.components.Component, text: str, kind: str):
    """The value of a field in a link. A value that the field cannot hold changes nothing."""
    value = read_value(text, kind)
    return gr.skip() if value is None or not can_hold(field, value) else value


def launch_options() -> dict:
    """The options of `launch`. Gradio reads the address from GRADIO_SERVER_NAME and GRADIO_SERVER_PORT."""
    return {
        "theme": make_theme(),
        "css": make_css(),
        "footer_links": ["api", "gradio", "settings"],
        "ssr_mode": False,
        "max_file_size": "1mb",
        "show_error": True,
    }
