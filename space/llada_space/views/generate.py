# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Generate: complete a text, or write a poem to a header."""

from collections.abc import Iterator

import gradio as gr

from llada_cli.poems import FORMS

from ..fields import OptionFields
from ..links import write_link
from ..player import make_player
from ..prompts import check_text, form_length, line_columns, write_header
from ..studio import MODEL_QUEUE, Studio, toast


POEM_EXAMPLES = [
    ["五言绝句", "", "", "床前明月光，"],
    ["七言绝句", "春江", "", ""],
    ["", "", "", "白日依山尽，"],
    ["五言律诗", "山居", "王维", ""],
    ["", "", "", "春眠不觉晓，[MASK][MASK][MASK][MASK][MASK]。"],
]
PLACEHOLDER = "A canvas of masks will stand here, and become text."


class GenerateTab:
    """
    The tab.

    Args:
        studio ([`Studio`]):
            Runs the tasks.
        model (`gr.Dropdown`):
            The field with the name of the model.
    """

    name = "generate"

    def __init__(self, studio: Studio, model: gr.Dropdown) -> None:
        self.studio = studio
        card = studio.models.card(studio.models.names[0])
        with gr.Row(equal_height=False, elem_classes="ll-studio"):
            with gr.Column(elem_classes="ll-ask"):
                with gr.Group(visible=card.writes_poems) as self.header, gr.Row():
                    self.form = gr.Dropdown(
                        [("any", ""), *FORMS],
                        value="五言绝句" if card.writes_poems else "",
                        label="Form",
                        info="Verse has a length of its own.",
                        min_width=130,
                        scale=2,
                    )
                    self.title = gr.Textbox("", label="Title", max_length=40, min_width=90)
                    self.author = gr.Textbox("", label="Poet", max_length=20, min_width=90)
                self.prompt = gr.Textbox(
                    "床前明月光，" if card.writes_poems else "Paris is",
                    label="Prompt",
                    info="The beginning of the text. [MASK] stands for a token to fill.",
                    lines=2,
                    max_length=4000,
                    elem_id="generate-prompt",
                )
                with gr.Row():
                    self.go = gr.Button("Generate", variant="primary", elem_id="generate-go")
                    self.stop = gr.Button("Stop", elem_id="generate-stop", min_width=80)
                if card.writes_poems:
                    gr.Examples(
                        POEM_EXAMPLES,
                        [self.form, self.title, self.author, self.prompt],
                        label="Try",
                        example_labels=[" ".join((write_header(*row[:3]) + row[3]).split()) for row in POEM_EXAMPLES],
                    )
            with gr.Column(elem_classes="ll-show"):
                self.player = make_player(studio.save_run, PLACEHOLDER, "generate-player")
            with gr.Column(elem_classes="ll-set"):
                self.fields = OptionFields(studio.models, model)
        self.run_name = gr.State()
        inputs = [model, self.form, self.title, self.author, self.prompt, *self.fields.inputs]
        event = gr.on(
            [self.go.click, self.prompt.submit],
            self.run,
            inputs,
            [self.player, self.run_name],
            show_progress="full",
            show_progress_on=[self.player],
            api_name="generate",
            **MODEL_QUEUE,
        )
        self.stop.click(
            studio.stop, self.run_name, self.player, cancels=[event], queue=False, api_visibility="private"
        )
        model.change(self.on_model, model, [self.header], queue=False, api_visibility="private")

    @property
    def linked(self) -> dict[str, tuple[gr.components.Component, str]]:
        """The fields that a link sets: each with what kind of value it has."""
        texts = {"form": self.form, "title": self.title, "author": self.author, "prompt": self.prompt}
        return {name: (field, "text") for name, field in texts.items()} | self.fields.linked

    def run(self, model: str, form: str, title: str, author: str, prompt: str, *inputs) -> Iterator[tuple]:
        """Answers the button."""
        try:
            card = self.studio.models.card(model)
            header = write_header(form, title, author) if card.writes_poems else ""
            prompt = check_text("the prompt", prompt)
            wish = self.studio.read(card, *self.fields.values(inputs))
            length = form_length(form, prompt, wish.tokenizer) if card.writes_poems else None
            changes = {"max_new_tokens": length} if length else {}
            task = wish.task(wish.encode(header + prompt), **changes)
            fields = {
                "form": form,
                "title": title,
                "author": author,
                "prompt": prompt,
                "model": model,
                **wish.values,
                "seed": wish.seed,
            }
            about = {
                "title": header.strip() or model,
                "columns": line_columns(form, prompt) if card.writes_poems else None,
                "label": wish.label(task),
                "link": write_link(self.name, fields),
            }
            yield from self.studio.play_one(task, about)
        except ValueError as error:
            raise toast(error) from error

    def on_model(self, model: str) -> dict:
        """Poems have a header, other texts have none."""
        return gr.update(visible=self.studio.models.card(model).writes_poems)
