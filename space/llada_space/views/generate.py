# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Generate: completes a text, after a header if the checkpoint declares one."""

from dataclasses import replace

import gradio as gr

from modeling_llada.prompt_fields import count_tokens

from ..fields import OptionFields
from ..header import FIELD_LABEL, HeaderFields, first_example, label_of, show_gloss
from ..links import write_link
from ..patterns import check_pattern, make_pattern
from ..player import make_player
from ..prompts import check_text
from ..runner import Runner
from ..stepping import Task
from .tab import RunTab


PLACEHOLDER = "The masks will appear here and become text."


class GenerateTab(RunTab):
    """The tab. `model` is the field with the name of the model."""

    name = "generate"

    def __init__(self, runner: Runner, model: gr.Dropdown) -> None:
        super().__init__(runner)
        card = runner.models.card(runner.models.names[0])
        with gr.Row(equal_height=False, elem_classes="ll-tab"):
            with gr.Column(elem_classes="ll-ask"):
                self.header = HeaderFields(runner.models, card)
                self.prompt = gr.Textbox(
                    first_example(card).get("prompt", "Paris is"),
                    label="Prompt",
                    info="The beginning of the text. [MASK] stands for a token to fill.",
                    lines=2,
                    max_length=4000,
                    elem_id="generate-prompt",
                )
                show_gloss(card.prompt.examples.get("complete", []), self.prompt)
                with gr.Row():
                    self.go = gr.Button("Generate", variant="primary", elem_id="generate-go")
                    self.stop = gr.Button("Stop", elem_id="generate-stop", min_width=80)
                self._add_examples(card)
                self.pattern = make_pattern()
            with gr.Column(elem_classes="ll-show"):
                self.players = [make_player(runner.save_run, PLACEHOLDER, "generate-player")]
            with gr.Column(elem_classes="ll-set"):
                self.fields = OptionFields(runner.models, model)
        self.connect(
            [self.go.click, self.prompt.submit],
            {
                "model": model,
                **self.header.inputs,
                "prompt": self.prompt,
                "pattern": self.pattern,
                **self.fields.inputs,
            },
            self.stop,
        )
        self.header.follow(model)

    def _add_examples(self, card) -> None:
        examples = card.prompt.examples.get("complete", [])
        if not examples:
            return
        names = [*self.header.components, "prompt"]
        texts = [
            card.prompt.header({name: one.get(name) for name in self.header.components}) + one.get("prompt", "")
            for one in examples
        ]
        gr.Examples(
            [[one.get(name, "") for name in names] for one in examples],
            [*self.header.components.values(), self.prompt],
            label="Try",
            example_labels=[label_of(one, text) for one, text in zip(examples, texts, strict=True)],
        )

    @property
    def linked(self) -> dict[str, tuple[gr.components.Component, str]]:
        texts = {"prompt": (self.prompt, "text"), "pattern": (self.pattern, "text")}
        return self.header.linked | texts | self.fields.linked

    def prepare(self, model: str, *inputs) -> tuple[list[Task], list[dict]]:
        card = self.runner.models.card(model)
        count = len(self.header.components)
        values, (prompt, pattern, *options) = self.header.values(card, inputs[:count]), inputs[count:]
        header = card.prompt.header(values, FIELD_LABEL)
        prompt = check_text("the prompt", prompt)
        settings = self.runner.read(card, *self.fields.values(options))
        length = card.prompt.answer_length(values, count_tokens(prompt, settings.tokenizer), FIELD_LABEL)
        task = settings.task(settings.encode(header + prompt), **({"max_new_tokens": length} if length else {}))
        room = task.options.get("max_new_tokens", settings.model.generation_config.max_new_tokens)
        task = replace(task, pattern=check_pattern(pattern, settings.tokenizer, room))
        texts = {"prompt": prompt, "pattern": task.pattern or None}
        link = {**self.header.link(values), **texts, "model": model, **settings.values, "seed": settings.seed}
        about = {
            "title": " · ".join(filter(None, (header.strip(), card.prompt.gloss(values)))) or model,
            "columns": card.prompt.columns(values, prompt),
            "label": settings.label(task),
            "note": card.prompt.note_on_script(prompt),
            "link": write_link(self.name, link),
        }
        return [task], [about]
