# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The fields of the decoding options."""

import gradio as gr

from .models import Models
from .options import (
    DEFAULTS,
    MAX_SEED,
    OPTIONS,
    PRESETS,
    Option,
    bounds_of,
    choices_of,
    help_of,
    name_settings,
    preset_values,
    presets_of,
)


FIRST = ("max_new_tokens", "temperature")  # shown without unfolding
SLIDERS = (*FIRST, "cfg_scale")

WIDTH = 170  # of a field, in pixels
OWN_NOTE = "Your own settings. Their cost is shown below the run."


def make_field(option: Option, **changes) -> gr.components.Component:
    """The component of an option; `changes` are its value and its maximum, where they are not the usual ones."""
    value = changes.get("value", DEFAULTS[option.name])
    about = {"label": option.label, "info": help_of(option), "value": value}
    if option.kind == "choice":
        return gr.Dropdown(choices_of(option), filterable=False, min_width=WIDTH, **about)
    if option.kind == "bool":
        return gr.Checkbox(min_width=WIDTH, **about)
    minimum, maximum = bounds_of(option)
    about |= {"minimum": minimum, "maximum": changes.get("maximum", maximum)}
    about["step"] = 1 if option.kind == "int" else 0.05
    if option.name in SLIDERS:
        return gr.Slider(min_width=2 * WIDTH, **about)
    return gr.Number(precision=0 if option.kind == "int" else None, min_width=WIDTH, **about)


def make_seed() -> gr.Number:
    """The field of the seed."""
    return gr.Number(
        -1,
        label="Seed",
        info="-1: another one each time.",
        precision=0,
        minimum=-1,
        maximum=MAX_SEED - 1,
        min_width=WIDTH,
    )


def can_hold(field: gr.components.Component, value) -> bool:
    """Whether a field may hold a value of a link, which may come from anywhere. Texts are checked by the run."""
    if isinstance(field, (gr.Dropdown, gr.Radio)):
        return value in [choice for _, choice in field.choices]
    if isinstance(field, (gr.Number, gr.Slider)):
        return field.minimum <= value <= field.maximum
    return True


def follow_longest(models: Models, model: gr.Dropdown, length: gr.Slider) -> None:
    """Lets the slider of a length end where the chosen model does."""
    if len({card.max_new_tokens for card in models.cards.values() if card.is_listed}) < 2:
        return

    def limit(name: str, value: float) -> dict:
        longest = models.card(name).max_new_tokens
        return gr.update(maximum=longest, value=min(value, longest))

    # Without triggers it also runs when the page opens.
    gr.on(None, limit, [model, length], length, queue=False, show_progress="hidden", api_visibility="private")


class OptionFields:
    """
    The fields of a tab: presets, the options that are used most, and the others folded away. `model` is the field
    with the name of the model, and `length` the length at first.
    """

    def __init__(
        self,
        models: Models,
        model: gr.Dropdown,
        length: int = 64,
        with_length: bool = True,
        with_seed: bool = True,
        preset: str = PRESETS[0].name,
        label: str = "Preset",
    ) -> None:
        self.models = models
        card = models.card(models.names[0])
        chosen = preset_values(preset, card)
        values = DEFAULTS | chosen
        values["max_new_tokens"] = min(chosen.get("max_new_tokens", length), card.max_new_tokens)
        self.presets = gr.Radio(presets_of(card), value=preset, label=label, elem_classes="ll-presets")
        self.note = gr.Markdown(self._note(preset), elem_classes="ll-note-preset")
        self.components: dict[str, gr.components.Component] = {}
        first = [name for name in FIRST if with_length or name != "max_new_tokens"]
        others = [option.name for option in OPTIONS if option.name not in FIRST]
        with gr.Group(), gr.Row(equal_height=False):
            for name in first:
                self._add(name, values)
            self.seed = make_seed() if with_seed else None
        with gr.Accordion("All decoding options", open=False), gr.Row(equal_height=False):
            for name in others:
                self._add(name, values)
        if with_length:
            follow_longest(models, model, self.components["max_new_tokens"])
        self.presets.input(
            self._choose,
            [self.presets, model],
            [self.note, *self.components.values()],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
        # A changed field, or a link, may have left the preset.
        gr.on(
            [component.change for component in (model, *self.components.values())],
            self._recognize,
            [model, *self.components.values()],
            [self.presets, self.note],
            queue=False,
            show_progress="hidden",
            trigger_mode="always_last",
            api_visibility="private",
        )

    @property
    def names(self) -> list[str]:
        return list(self.components)

    @property
    def linked(self) -> dict[str, tuple[gr.components.Component, str]]:
        """The fields that a link sets, each with the kind of its value."""
        kinds = {option.name: option.kind for option in OPTIONS}
        fields = {name: (component, kinds[name]) for name, component in self.components.items()}
        return fields | ({"seed": (self.seed, "int")} if self.seed else {})

    @property
    def inputs(self) -> dict[str, gr.components.Component]:
        """The inputs of an event of the tab by name: the options, and the seed last."""
        return self.components | ({"seed": self.seed} if self.seed else {})

    @property
    def shown(self) -> list[gr.components.Component]:
        """The components that `reset` returns updates of."""
        return [self.presets, self.note, *self.components.values()]

    def reset(self, preset: str, model: str, length: int) -> list:
        """Updates to a preset and a length."""
        note, *values = self._choose(preset, model)
        return [
            preset,
            note,
            *(length if name == "max_new_tokens" else value for name, value in zip(self.names, values, strict=True)),
        ]

    def values(self, inputs: list) -> tuple[dict, object]:
        """The options by name and the seed, from the values that an event got for `inputs`."""
        *options, seed = inputs if self.seed else (*inputs, None)
        return dict(zip(self.names, options, strict=True)), seed

    def _add(self, name: str, values: dict) -> None:
        option = next(option for option in OPTIONS if option.name == name)
        changes = {"value": values[name]} | ({"maximum": self.models.longest} if name == "max_new_tokens" else {})
        self.components[name] = make_field(option, **changes)

    def _choose(self, preset: str, model: str) -> list:
        values = preset_values(preset, self.models.card(model))
        return [self._note(preset), *(values.get(name, gr.skip()) for name in self.names)]

    def _recognize(self, model: str, *values) -> tuple[dict, str]:
        card = self.models.card(model)
        name = name_settings(dict(zip(self.names, values, strict=True)), card)
        presets = presets_of(card)
        return gr.update(choices=presets, value=name if name in presets else None), self._note(name)

    @staticmethod
    def _note(name: str) -> str:
        return next((preset.note for preset in PRESETS if preset.name == name), OWN_NOTE)
