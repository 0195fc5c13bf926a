# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Reverse: the line before a line, beside the line after it."""

import gradio as gr

from modeling_llada.prompt_fields import MASK

from ..fields import OptionFields
from ..header import first_example, show_gloss, show_prompts
from ..links import write_link
from ..player import make_player
from ..prompts import check_text, neighbours
from ..runner import Runner
from ..stepping import Task
from .tab import RunTab


NOTE = (
    "A model that writes from left to right cannot do this, because it was not trained to predict the line before. "
    "Masked diffusion learns both directions at once."
)
TITLES = ("the line before", "the line after")


class ReverseTab(RunTab):
    """The tab. Its arguments are those of [`GenerateTab`]."""

    name = "reverse"

    def __init__(self, runner: Runner, model: gr.Dropdown) -> None:
        super().__init__(runner)
        card = runner.models.card(runner.models.names[0])
        gr.Markdown(NOTE, elem_classes="ll-lead")
        with gr.Row(equal_height=False):
            self.line = gr.Textbox(
                first_example(card, "reverse").get("prompt", ""),
                label="Line",
                max_length=400,
                scale=3,
                elem_id="reverse-line",
            )
            self.length = gr.Number(
                0,
                label="Tokens of the other line",
                info="0: as many as this line has.",
                precision=0,
                minimum=0,
                maximum=64,
                min_width=150,
            )
        show_gloss(card.prompt.examples.get("reverse", []), self.line)
        with gr.Row():
            self.go = gr.Button("Write both", variant="primary", elem_id="reverse-go")
            self.stop = gr.Button("Stop", min_width=80)
        show_prompts(card.prompt.examples.get("reverse", []), self.line)
        with gr.Row(equal_height=False):
            for title, elem_id in zip(TITLES, ("reverse-before", "reverse-after"), strict=True):
                with gr.Column(min_width=300):
                    self.players.append(make_player(runner.save_run, title, elem_id, group="reverse"))
        self.fields = OptionFields(runner.models, model, with_length=False)
        self.connect(
            [self.go.click, self.line.submit],
            {"model": model, "line": self.line, "length": self.length, **self.fields.inputs},
            self.stop,
        )

    @property
    def linked(self) -> dict[str, tuple[gr.components.Component, str]]:
        return {"line": (self.line, "text"), "length": (self.length, "int")} | self.fields.linked

    def prepare(self, model: str, line: str, length: float, *options) -> tuple[list[Task], list[dict]]:
        card = self.runner.models.card(model)
        line = check_text("the line", line)
        settings = self.runner.read(card, *self.fields.values(options))
        texts = neighbours(line, int(length or 0), settings.tokenizer, card.prompt)
        link = {"line": line, "length": length, "model": model, **settings.values, "seed": settings.seed}
        tasks = [settings.task(settings.encode(text), max_new_tokens=0) for text in texts]
        # Both lines in one row, if lines of verse have a length.
        columns = (len(texts[0].replace(MASK, "口")) + 1) // 2 * 2 if card.prompt.fields else None
        note = card.prompt.note_on_script(line)
        about = {"columns": columns, "note": note, "link": write_link(self.name, link)}
        return tasks, [about | {"title": title} for title in TITLES]
