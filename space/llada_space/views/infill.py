# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Infill: fills the masks of a text; given tokens stay."""

import gradio as gr

from modeling_llada.prompt_fields import MASK

from ..fields import OptionFields
from ..header import first_example, show_gloss, show_prompts
from ..links import write_link
from ..player import make_player
from ..prompts import check_text, open_masks
from ..runner import Runner
from ..runs import Run
from ..stepping import Task
from .tab import RunTab


TEXT_ID = "infill-text"
# Puts brackets around the selection in the text field. It runs in the browser, which has the selection.
REOPEN_SELECTION = """(text) => {
    const area = document.querySelector("#%s textarea");
    const start = area.selectionStart, end = area.selectionEnd;
    if (start === end) return text;
    return area.value.slice(0, start) + "[[" + area.value.slice(start, end) + "]]" + area.value.slice(end);
}"""


class InfillTab(RunTab):
    """The tab. Its arguments are those of [`GenerateTab`]."""

    name = "infill"

    def __init__(self, runner: Runner, model: gr.Dropdown) -> None:
        super().__init__(runner)
        card = runner.models.card(runner.models.names[0])
        with gr.Row(equal_height=False, elem_classes="ll-tab"):
            with gr.Column(elem_classes="ll-ask"):
                self.text = gr.Textbox(
                    first_example(card, "infill").get("prompt", "Paris is the [MASK] of France."),
                    label="Text",
                    info="[MASK] stands for a missing token. The model writes words in [[ ]] again.",
                    lines=4,
                    max_length=4000,
                    elem_id=TEXT_ID,
                )
                show_gloss(card.prompt.examples.get("infill", []), self.text)
                with gr.Row():
                    self.go = gr.Button("Fill", variant="primary", elem_id="infill-go")
                    self.reopen = gr.Button("Re-open selection", elem_id="infill-reopen", min_width=140)
                    self.stop = gr.Button("Stop", min_width=80)
                show_prompts(card.prompt.examples.get("infill", []), self.text)
            with gr.Column(elem_classes="ll-show"):
                self.players = [make_player(runner.save_run, "The model fills the gaps here.", "infill-player")]
                self.result = gr.Textbox(
                    label="Filled text", buttons=["copy"], interactive=False, elem_id="infill-result"
                )
                self.again = gr.Button("Use it as the text", size="sm")
            with gr.Column(elem_classes="ll-set"):
                self.fields = OptionFields(runner.models, model, with_length=False)
        self.connect(
            [self.go.click, self.text.submit],
            {"model": model, "text": self.text, **self.fields.inputs},
            self.stop,
            [self.result],
        )
        self.reopen.click(None, self.text, self.text, js=REOPEN_SELECTION % TEXT_ID, api_visibility="private")
        self.again.click(lambda text: text, self.result, self.text, queue=False, api_visibility="private")

    @property
    def linked(self) -> dict[str, tuple[gr.components.Component, str]]:
        return {"text": (self.text, "text")} | self.fields.linked

    def prepare(self, model: str, text: str, *options) -> tuple[list[Task], list[dict]]:
        card = self.runner.models.card(model)
        text = check_text("the text", text)
        settings = self.runner.read(card, *self.fields.values(options))
        opened = open_masks(text, settings.tokenizer)
        task = settings.task(settings.encode(opened), max_new_tokens=0)
        link = {"text": text, "model": model, **settings.values, "seed": settings.seed}
        about = {
            "title": "infilling",
            "columns": card.prompt.columns({}, opened.replace(MASK, "口")),
            "label": settings.label(task),
            "note": card.prompt.note_on_script(text),
            "link": write_link(self.name, link),
        }
        return [task], [about]

    def summarize(self, runs: list[Run]) -> list:
        return [runs[0].text(mask="░")]
