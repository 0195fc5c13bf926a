# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The fields that checkpoints declare for the header of a prompt."""

import json
from operator import attrgetter

import gradio as gr

from modeling_llada.prompt_fields import MASK, PromptField

from .models import ModelCard, Models
from .options import NAMES
from .prompts import MASK_GLYPH, check_text


FIELD_LABEL = attrgetter("label")  # the name of a field for users
TAKEN = {"tab", "model", "prompt", "pattern", "seed", "run", "play", *NAMES}  # names of other inputs, and in links


class HeaderFields:
    """
    A group of fields. The page has those of all models, and shows those of the chosen one, which is `card` at first.
    With `only_choices`, fields with free text are left out.
    """

    def __init__(self, models: Models, card: ModelCard, only_choices: bool = False) -> None:
        self.models = models
        declared = {one.name: one for each in models.cards.values() for one in each.prompt.fields}
        if only_choices:
            declared = {name: one for name, one in declared.items() if one.choices}
        first = first_example(card)
        self.components: dict[str, gr.components.Component] = {}
        with gr.Column(visible=bool(card.prompt.fields), scale=2, min_width=300) as self.group, gr.Group(), gr.Row():
            for name, one in declared.items():
                self.components[name] = make_component(one, first.get(name, ""))

    @property
    def inputs(self) -> dict[str, gr.components.Component]:
        """The fields by their names in the API and in links."""
        return self.link(self.components)

    @property
    def linked(self) -> dict[str, tuple[gr.components.Component, str]]:
        """The fields that a link sets, each with the kind of its value."""
        return {name: (component, "text") for name, component in self.inputs.items()}

    @staticmethod
    def link(values: dict) -> dict:
        """Values by the names of the fields in links: a field may have a name that the page uses for something else."""
        return {f"field_{name}" if name in TAKEN else name: value for name, value in values.items()}

    def values(self, card: ModelCard, inputs: tuple) -> dict[str, str]:
        """The values of the fields that a model declares."""
        given = dict(zip(self.components, inputs, strict=True))
        return {
            one.name: check_text(one.label, given[one.name]).strip() for one in card.prompt.fields if one.name in given
        }

    def follow(self, model: gr.components.Component) -> None:
        """Lets the fields change with the model that is chosen on the page."""
        model.change(
            lambda name: self.update(self.models.card(name)),
            model,
            [self.group, *self.components.values()],
            queue=False,
            api_visibility="private",
        )

    def update(self, card: ModelCard) -> list:
        """Shows the fields of a model."""
        declared = {one.name: one for one in card.prompt.fields}
        updates = [gr.update(visible=bool(declared))]
        for name in self.components:
            one = declared.get(name)
            choices = {"choices": choices_of(one)} if one and one.choices else {}
            updates.append(gr.update(visible=one is not None, **choices))
        return updates


def make_component(one: PromptField, value: str) -> gr.components.Component:
    """The component of a field."""
    if one.choices:
        return gr.Dropdown(choices_of(one), value=value, label=one.label, min_width=380)
    return gr.Textbox(value, label=one.label, max_length=40, min_width=120)


def choices_of(one: PromptField) -> list[tuple[str, str]]:
    """The choices of a field, each with its meaning in English."""
    labels = [(f"{each.value} · {each.gloss}" if each.gloss else each.value, each.value) for each in one.choices]
    return [("any", ""), *labels]


def first_example(card: ModelCard, task: str = "complete") -> dict:
    """The example that the fields hold at first."""
    return next(iter(card.prompt.examples.get(task, [])), {})


def show_prompts(examples: list[dict], field: gr.Textbox) -> None:
    """Shows the prompts of examples below a field, which a click fills."""
    if examples:
        labels = [label_of(one, one["prompt"]) for one in examples]
        gr.Examples([[one["prompt"]] for one in examples], [field], label="Try", example_labels=labels)


def show_gloss(examples: list[dict], field: gr.Textbox) -> None:
    """Shows the translation of an example below a field while the field holds it. The browser looks it up."""
    glosses = {one["prompt"]: one["gloss"] for one in examples if one.get("prompt") and one.get("gloss")}
    if not glosses:
        return
    line = gr.Markdown(glosses.get(field.value, ""), elem_classes="ll-gloss")
    find = f"(text) => new Map({json.dumps(list(glosses.items()), ensure_ascii=False)}).get(text) ?? ''"
    field.change(None, field, line, js=find, api_visibility="private")


def label_of(example: dict, text: str) -> str:
    """The label of an example: its text in one line, and its meaning in English."""
    text = " ".join(text.replace(MASK, MASK_GLYPH).split())
    return f"{text} · {example['gloss']}" if example.get("gloss") else text
