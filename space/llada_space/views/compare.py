# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Compare: two settings with the same prompt and the same seed, in lockstep."""

import gradio as gr

from modeling_llada.prompt_fields import count_tokens

from ..fields import OptionFields, follow_longest, make_seed
from ..header import FIELD_LABEL, HeaderFields, first_example, show_gloss
from ..links import write_link
from ..options import PRESETS, choose_seed
from ..player import make_player
from ..prompts import check_text
from ..runner import Runner
from ..runs import Run
from ..stepping import Task
from .tab import RunTab


SIDES = {"a": ("A", PRESETS[0].name), "b": ("B", PRESETS[2].name)}


class CompareTab(RunTab):
    """The tab. Its arguments are those of [`GenerateTab`]."""

    name = "compare"

    def __init__(self, runner: Runner, model: gr.Dropdown) -> None:
        super().__init__(runner)
        card = runner.models.card(runner.models.names[0])
        with gr.Row(equal_height=False):
            self.header = HeaderFields(runner.models, card, only_choices=True)
            self.prompt = gr.Textbox(
                first_example(card).get("prompt", "Paris is"),
                label="Prompt",
                max_length=4000,
                scale=3,
                min_width=240,
                elem_id="compare-prompt",
            )
            longest = runner.models.longest
            self.length = gr.Slider(
                1, longest, value=min(64, card.max_new_tokens), step=1, label="Length (masks)", min_width=160
            )
            follow_longest(runner.models, model, self.length)
            self.seed = make_seed()
        show_gloss(card.prompt.examples.get("complete", []), self.prompt)
        with gr.Row():
            self.go = gr.Button("Compare", variant="primary", elem_id="compare-go")
            self.stop = gr.Button("Stop", min_width=80)
        verdict = gr.Markdown("", elem_id="compare-verdict")
        self.fields, options = [], {}
        with gr.Row(equal_height=False):
            for side, (title, preset) in SIDES.items():
                with gr.Column(min_width=300):
                    self.players.append(make_player(runner.save_run, title, f"compare-{side}", group="compare"))
                    label = f"Preset of {title}"
                    fields = OptionFields(
                        runner.models, model, with_length=False, with_seed=False, preset=preset, label=label
                    )
                    self.fields.append(fields)
                    options |= {f"{side}_{name}": field for name, field in fields.components.items()}
        shared = {"prompt": self.prompt, "max_new_tokens": self.length, "seed": self.seed}
        self.connect(
            [self.go.click, self.prompt.submit],
            {"model": model, **self.header.inputs, **shared, **options},
            self.stop,
            [verdict],
        )
        self.header.follow(model)

    @property
    def linked(self) -> dict[str, tuple[gr.components.Component, str]]:
        """The names of the options begin with the letter of their side."""
        shared = self.header.linked | {
            "prompt": (self.prompt, "text"),
            "max_new_tokens": (self.length, "int"),
            "seed": (self.seed, "int"),
        }
        for side, fields in zip(SIDES, self.fields, strict=True):
            shared |= {f"{side}.{name}": field for name, field in fields.linked.items()}
        return shared

    def prepare(self, model: str, *inputs) -> tuple[list[Task], list[dict]]:
        card = self.runner.models.card(model)
        count = len(self.header.components)
        header_values, (prompt, length, seed, *options) = self.header.values(card, inputs[:count]), inputs[count:]
        prompt, seed = check_text("the prompt", prompt), choose_seed(seed)
        half = len(options) // 2
        values = [
            fields.values(side)[0] for fields, side in zip(self.fields, (options[:half], options[half:]), strict=True)
        ]
        both = [self.runner.read(card, each | {"max_new_tokens": length}, seed) for each in values]
        fixed = card.prompt.answer_length(header_values, count_tokens(prompt, both[0].tokenizer), FIELD_LABEL)
        input_ids = both[0].encode(card.prompt.header(header_values, FIELD_LABEL) + prompt)
        tasks = [settings.task(input_ids, **({"max_new_tokens": fixed} if fixed else {})) for settings in both]
        link = {
            **self.header.link(header_values),
            "prompt": prompt,
            "max_new_tokens": length,
            "seed": seed,
            "model": model,
        }
        for side, each in zip(SIDES, values, strict=True):
            link |= {f"{side}.{name}": value for name, value in each.items()}
        about = {
            "columns": card.prompt.columns(header_values, prompt),
            "note": card.prompt.note_on_script(prompt),
            "link": write_link(self.name, link),
        }
        return tasks, [about | {"title": title} for title, _ in SIDES.values()]

    def summarize(self, runs: list[Run]) -> list:
        return [compare(*runs)]


def compare(first: Run, second: Run) -> str:
    """Compares the costs and the texts of two runs that are over."""
    if first.cost is None or second.cost is None:
        return ""
    parts = [
        f"**{title}**: {run.cost['passes']} passes, {run.cost['seconds']:.2f} s"
        for (title, _), run in zip(SIDES.values(), (first, second), strict=True)
    ]
    same = "the same text" if first.text() == second.text() else "different texts"
    return " · ".join([*parts, compare_passes(first.cost["passes"], second.cost["passes"]), same])


def compare_passes(first: int, second: int) -> str:
    """Compares numbers of forward passes."""
    if first == second:
        return "equally many passes"
    winner = "B" if second < first else "A"
    return f"{winner} takes {max(first, second) / max(min(first, second), 1):.1f} times fewer passes"
