# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Compare: two settings on the same prompt with the same seed, in step."""

from collections.abc import Iterator

import gradio as gr

from llada_cli.poems import FORMS

from ..fields import OptionFields, make_seed
from ..links import write_link
from ..options import PRESETS, choose_seed
from ..player import make_player
from ..prompts import check_text, form_length, line_columns, write_header
from ..recordings import Recording
from ..studio import MODEL_QUEUE, Studio, toast


SIDES = {"a": ("A", PRESETS[0].name), "b": ("B", PRESETS[2].name)}


class CompareTab:
    """
    The tab; see [`GenerateTab`].
    """

    name = "compare"

    def __init__(self, studio: Studio, model: gr.Dropdown) -> None:
        self.studio = studio
        card = studio.models.card(studio.models.names[0])
        with gr.Row(equal_height=False):
            self.form = gr.Dropdown(
                [("any", ""), *FORMS], value="五言绝句" if card.writes_poems else "", label="Form", min_width=150,
                visible=card.writes_poems,
            )  # fmt: skip
            self.prompt = gr.Textbox(
                "床前明月光，" if card.writes_poems else "Paris is",
                label="Prompt",
                max_length=4000,
                scale=3,
                min_width=240,
                elem_id="compare-prompt",
            )
            self.length = gr.Slider(1, card.max_new_tokens, value=64, step=1, label="Length (masks)", min_width=160)
            self.seed = make_seed()
        with gr.Row():
            self.go = gr.Button("Compare", variant="primary", elem_id="compare-go")
            self.stop = gr.Button("Stop", min_width=80)
        self.verdict = gr.Markdown("", elem_id="compare-verdict")
        self.players, self.fields = [], []
        with gr.Row(equal_height=False):
            for side, (title, preset) in SIDES.items():
                with gr.Column(min_width=300):
                    self.players.append(make_player(studio.save_run, title, f"compare-{side}", group="compare"))
                    self.fields.append(
                        OptionFields(studio.models, model, with_length=False, with_seed=False, preset=preset,
                            label=f"Preset of {title}",
                        )
                    )  # fmt: skip
        self.run_names = [gr.State(), gr.State()]
        options = [component for fields in self.fields for component in fields.inputs]
        event = gr.on(
            [self.go.click, self.prompt.submit],
            self.run,
            [model, self.form, self.prompt, self.length, self.seed, *options],
            [*self.players, self.verdict, *self.run_names],
            show_progress="full",
            show_progress_on=self.players,
            api_name="compare",
            **MODEL_QUEUE,
        )
        self.stop.click(
            studio.stop_all, self.run_names, self.players, cancels=[event], queue=False, api_visibility="private"
        )
        model.change(
            lambda name: gr.update(visible=studio.models.card(name).writes_poems),
            model,
            self.form,
            queue=False,
            api_visibility="private",
        )

    @property
    def linked(self) -> dict[str, tuple[gr.components.Component, str]]:
        """The fields that a link sets; the options of the sides begin with their letter."""
        shared = {
            "form": (self.form, "text"),
            "prompt": (self.prompt, "text"),
            "max_new_tokens": (self.length, "int"),
            "seed": (self.seed, "int"),
        }
        for side, fields in zip(SIDES, self.fields, strict=True):
            shared |= {f"{side}.{name}": field for name, field in fields.linked.items()}
        return shared

    def run(self, model: str, form: str, prompt: str, length: float, seed, *inputs) -> Iterator[tuple]:
        """Answers the button."""
        try:
            card = self.studio.models.card(model)
            seed = choose_seed(seed)
            count = len(self.fields[0].inputs)
            values = [self.fields[0].values(inputs[:count])[0], self.fields[1].values(inputs[count:])[0]]
            prompt = check_text("the prompt", prompt)
            header = write_header(form, "", "") if card.writes_poems else ""
            wishes = [self.studio.read(card, each | {"max_new_tokens": length}, seed) for each in values]
            fixed = form_length(form, prompt, wishes[0].tokenizer) if card.writes_poems else None
            changes = {"max_new_tokens": fixed} if fixed else {}
            ids = wishes[0].encode(header + prompt)
            tasks = [wish.task(ids, **changes) for wish in wishes]
            fields = {"form": form, "prompt": prompt, "max_new_tokens": length, "seed": seed, "model": model}
            for side, each in zip(SIDES, values, strict=True):
                fields |= {f"{side}.{name}": value for name, value in each.items()}
            about = {
                "columns": line_columns(form, prompt) if card.writes_poems else None,
                "link": write_link(self.name, fields),
            }
            abouts = [about | {"title": title} for title, _ in SIDES.values()]
            for sides in self.studio.play(tasks, abouts):
                yield *(side.value() for side in sides), compare(*sides), *(side.name for side in sides)
        except ValueError as error:
            raise toast(error) from error


def compare(first: Recording, second: Recording) -> str:
    """What the second setting costs beside the first, when both are done."""
    if first.cost is None or second.cost is None:
        return ""
    parts = [
        f"**{title}**: {side.cost['passes']} passes, {side.cost['seconds']:.2f} s"
        for (title, _), side in zip(SIDES.values(), (first, second), strict=True)
    ]
    same = "the same text" if first.text() == second.text() else "another text"
    return " · ".join([*parts, compare_passes(first.cost["passes"], second.cost["passes"]), same])


def compare_passes(first: int, second: int) -> str:
    """Which side takes fewer passes."""
    if first == second:
        return "as many passes"
    winner = "B" if second < first else "A"
    return f"{winner} takes {max(first, second) / max(min(first, second), 1):.1f} times fewer passes"
