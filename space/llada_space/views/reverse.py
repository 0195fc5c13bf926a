# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Reverse: the line before a given one, beside the line behind it."""

from collections.abc import Iterator

import gradio as gr

from ..fields import OptionFields
from ..links import write_link
from ..player import make_player
from ..prompts import check_text, neighbours
from ..studio import MODEL_QUEUE, Studio, toast


EXAMPLES = [
    ["疑是地上霜。"],
    ["黄河入海流。"],
    ["处处闻啼鸟。"],
    ["海内存知己，"],
    ["天涯若比邻。"],
    ["轻舟已过万重山。"],
]
NOTE = (
    "A model that writes from left to right cannot do this: the line before is not what it was trained to predict. "
    "Masked diffusion learns both directions at once."
)


class ReverseTab:
    """
    The tab; see [`GenerateTab`].
    """

    name = "reverse"

    def __init__(self, studio: Studio, model: gr.Dropdown) -> None:
        self.studio = studio
        card = studio.models.card(studio.models.names[0])
        gr.Markdown(NOTE, elem_classes="ll-lead")
        with gr.Row(equal_height=False):
            self.line = gr.Textbox(
                EXAMPLES[0][0] if card.writes_poems else "",
                label="Line",
                max_length=400,
                scale=3,
                elem_id="reverse-line",
            )
            self.length = gr.Number(
                0,
                label="Tokens of the other line",
                info="0: as many.",
                precision=0,
                minimum=0,
                maximum=64,
                min_width=150,
            )
        with gr.Row():
            self.go = gr.Button("Write both", variant="primary", elem_id="reverse-go")
            self.stop = gr.Button("Stop", min_width=80)
        if card.writes_poems:
            gr.Examples(EXAMPLES, [self.line], label="Try", example_labels=[row[0] for row in EXAMPLES])
        with gr.Row(equal_height=False):
            with gr.Column(min_width=300):
                self.before = make_player(studio.save_run, "the line before", "reverse-before", group="reverse")
            with gr.Column(min_width=300):
                self.behind = make_player(studio.save_run, "the line behind", "reverse-behind", group="reverse")
        self.fields = OptionFields(studio.models, model, with_length=False)
        self.run_names = [gr.State(), gr.State()]
        players = [self.before, self.behind]
        event = gr.on(
            [self.go.click, self.line.submit],
            self.run,
            [model, self.line, self.length, *self.fields.inputs],
            [*players, *self.run_names],
            show_progress="full",
            show_progress_on=players,
            api_name="reverse",
            **MODEL_QUEUE,
        )
        self.stop.click(
            studio.stop_all, self.run_names, players, cancels=[event], queue=False, api_visibility="private"
        )

    @property
    def linked(self) -> dict[str, tuple[gr.components.Component, str]]:
        """The fields that a link sets."""
        return {"line": (self.line, "text"), "length": (self.length, "int")} | self.fields.linked

    def run(self, model: str, line: str, length: float, *inputs) -> Iterator[tuple]:
        """Answers the button."""
        try:
            card = self.studio.models.card(model)
            line = check_text("the line", line)
            wish = self.studio.read(card, *self.fields.values(inputs))
            texts = neighbours(line, int(length or 0), wish.tokenizer, card.writes_poems)
            fields = {"line": line, "length": length, "model": model, **wish.values, "seed": wish.seed}
            link = write_link(self.name, fields)
            tasks = [wish.task(wish.encode(text), max_new_tokens=0) for text in texts]
            columns = (len(texts[0].replace("[MASK]", "口")) + 1) // 2 * 2 if card.writes_poems else None
            abouts = [
                {"title": title, "columns": columns, "link": link} for title in ("the line before", "the line behind")
            ]
            for before, behind in self.studio.play(tasks, abouts):
                yield before.value(), behind.value(), before.name, behind.name
        except ValueError as error:
            raise toast(error) from error
