# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The page."""

import os

import gradio as gr

from .pictures import MAX_FILE
from .runner import Runner, as_message
from .theme import make_css, make_theme
from .views.chat import ChatTab
from .views.compare import CompareTab
from .views.generate import GenerateTab
from .views.infill import InfillTab
from .views.pictures import PicturesTab
from .views.reverse import ReverseTab
from .views.sudoku import SudokuTab
from .views.tab import RunTab


MAX_WAITING = 64  # people in the queue; the page asks the next one to come back later
MASTHEAD = """
<div class="ll-masthead">
<h1>LLaDA, live</h1>
<p>A language model that does not write from left to right. It starts from a canvas of masks and commits, step by step, the
tokens that it is most sure of. Watch a run, scrub through it, and point at a token to see the other candidates.</p>
</div>
"""
TABS = (GenerateTab, ChatTab, InfillTab, ReverseTab, CompareTab)
OWN_TABS = (PicturesTab, SudokuTab)  # of models that may be missing
KEPT_SECONDS = 3600  # of uploads


def build(runner: Runner) -> gr.Blocks:
    """Builds the page. Launch it with `launch_options()`."""
    names = runner.models.names
    tabs_here = [*TABS, *(view for view in OWN_TABS if view.own_model in runner.models.cards)]
    kept = (KEPT_SECONDS // 6, KEPT_SECONDS)
    with gr.Blocks(title="LLaDA, live", analytics_enabled=False, delete_cache=kept) as page:
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                gr.HTML(MASTHEAD, apply_default_css=False, padding=False)
            with gr.Column(scale=1, min_width=220):
                model = gr.Dropdown(names, value=names[0], label="Model", elem_id="model", filterable=False)
        with gr.Tabs(elem_id="tabs") as tabs:
            views = {}
            for view in tabs_here:
                with gr.Tab(view.name.capitalize(), id=view.name):
                    views[view.name] = view(runner, model)
        trouble = gr.Textbox(visible="hidden")  # the change of a state would not start an event
        views = {name: view for name, view in views.items() if isinstance(view, RunTab)}

        def open_link(request: gr.Request) -> dict:
            """The values of a link. A run that cannot be shown leaves the fields of its link, and a message says why."""
            query = dict(request.query_params) if request else {}
            view = views.get(query.get("tab"))
            if view is None:
                return {tabs: gr.skip()}
            values = view.read_fields(query)
            try:
                values |= view.open_run(query, values)
            except ValueError as error:
                values[trouble] = str(error)
            return {tabs: gr.Tabs(selected=view.name), **values}

        linked = {component for view in views.values() for component in view.linkable}
        page.load(
            open_link,
            None,
            [tabs, model, trouble, *linked],
            queue=False,
            show_progress="hidden",  # it would cover the run that the page opens on
            api_visibility="private",
        )
        # Only an event in the queue can warn.
        trouble.change(warn, trouble, concurrency_limit=None, api_visibility="private")
        if runner.models.card(names[0]).is_small and not os.environ.get("SPACES_ZERO_GPU"):
            views[GenerateTab.name].record_first_run()
    return page.queue(max_size=MAX_WAITING, default_concurrency_limit=4)


def warn(message: str) -> None:
    """Shows a message of the page."""
    gr.Warning(as_message(message), title="This does not work")


def launch_options() -> dict:
    """The options of `launch`. Gradio reads the address from GRADIO_SERVER_NAME and GRADIO_SERVER_PORT."""
    return {
        "theme": make_theme(),
        "css": make_css(),
        "footer_links": ["api", "gradio", "settings"],
        "ssr_mode": False,
        "max_file_size": MAX_FILE,
        "show_error": True,
    }
