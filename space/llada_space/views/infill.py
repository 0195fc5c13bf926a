# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Infill: fill the masks of a text, wherever they are; what is given stays."""

from collections.abc import Iterator

import gradio as gr

from ..fields import OptionFields
from ..links import write_link
from ..player import make_player
from ..prompts import check_text, line_columns, open_masks
from ..studio import MODEL_QUEUE, Studio, toast


EXAMPLES = [
    ["床前[MASK][MASK]光，疑是地上[MASK]。"],
    ["[MASK][MASK][MASK][MASK][MASK]，黄河入海流。欲穷千里目，[MASK][MASK][MASK][MASK][MASK]。"],
    ["春[[眠不觉]]晓，处处闻啼鸟。夜来[[风雨声]]，花落知多少。"],
    ["五言绝句《[MASK][MASK]》\n千山鸟飞绝，万径人踪灭。孤舟蓑笠翁，独钓寒江雪。"],
]
TEXT_ID = "infill-text"
# Wraps what is selected in the text field. Runs in the browser, where the selection is.
REOPEN_SELECTION = """(text) => {
    const area = document.querySelector("#%s textarea");
    const start = area.selectionStart, end = area.selectionEnd;
    if (start === end) return text;
    return area.value.slice(0, start) + "[[" + area.value.slice(start, end) + "]]" + area.value.slice(end);
}"""


class InfillTab:
    """
    The tab; see [`GenerateTab`].
    """

    name = "infill"

    def __init__(self, studio: Studio, model: gr.Dropdown) -> None:
        self.studio = studio
        card = studio.models.card(studio.models.names[0])
        with gr.Row(equal_height=False, elem_classes="ll-studio"):
            with gr.Column(elem_classes="ll-ask"):
                self.text = gr.Textbox(
                    EXAMPLES[0][0] if card.writes_poems else "Paris is the [MASK] of France.",
                    label="Text",
                    info="[MASK] stands for a token that is missing; words in [[ ]] are opened again and written anew.",
                    lines=4,
                    max_length=4000,
                    elem_id=TEXT_ID,
                )
                with gr.Row():
                    self.go = gr.Button("Fill", variant="primary", elem_id="infill-go")
                    self.reopen = gr.Button("Re-open selection", elem_id="infill-reopen", min_width=140)
                    self.stop = gr.Button("Stop", min_width=80)
                if card.writes_poems:
                    gr.Examples(EXAMPLES, [self.text], label="Try", example_labels=[row[0] for row in EXAMPLES])
            with gr.Column(elem_classes="ll-show"):
                self.player = make_player(studio.save_run, "The gaps will fill here.", "infill-player")
                self.result = gr.Textbox(
                    label="Filled text", buttons=["copy"], interactive=False, elem_id="infill-result"
                )
                self.again = gr.Button("Take it as the text", size="sm")
            with gr.Column(elem_classes="ll-set"):
                self.fields = OptionFields(studio.models, model, with_length=False)
        self.run_name = gr.State()
        event = gr.on(
            [self.go.click, self.text.submit],
            self.run,
            [model, self.text, *self.fields.inputs],
            [self.player, self.result, self.run_name],
            show_progress="full",
            show_progress_on=[self.player],
            api_name="infill",
            **MODEL_QUEUE,
        )
        self.stop.click(
            studio.stop, self.run_name, self.player, cancels=[event], queue=False, api_visibility="private"
        )
        self.reopen.click(None, self.text, self.text, js=REOPEN_SELECTION % TEXT_ID, api_visibility="private")
        self.again.click(lambda text: text, self.result, self.text, queue=False, api_visibility="private")

    @property
    def linked(self) -> dict[str, tuple[gr.components.Component, str]]:
        """The fields that a link sets."""
        return {"text": (self.text, "text")} | self.fields.linked

    def run(self, model: str, text: str, *inputs) -> Iterator[tuple]:
        """Answers the button."""
        try:
            card = self.studio.models.card(model)
            text = check_text("the text", text)
            wish = self.studio.read(card, *self.fields.values(inputs))
            opened = open_masks(text, wish.tokenizer)
            task = wish.task(wish.encode(opened), max_new_tokens=0)
            about = {
                "title": "infilling",
                "columns": line_columns(None, opened.replace("[MASK]", "口")) if card.writes_poems else None,
                "label": wish.label(task),
                "link": write_link(self.name, {"text": text, "model": model, **wish.values, "seed": wish.seed}),
            }
            for [recording] in self.studio.play([task], [about]):
                yield recording.value(), recording.text(mask="░"), recording.name
        except ValueError as error:
            raise toast(error) from error
