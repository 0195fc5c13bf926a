# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Pictures: a model that sees answers a question about a picture, a sample or one of the visitor."""

import html
from functools import cache, partial
from pathlib import Path

import gradio as gr
from PIL import Image

from modeling_llada.drawing import Picture

from ..header import label_of, show_gloss
from ..links import write_link
from ..models import VISION
from ..pictures import THUMBNAIL, Samples, as_img, draw_seen, encode_question, find_template, look, read_upload
from ..player import make_player
from ..runner import Runner, as_message
from ..runs import Run
from ..stepping import Task
from .tab import RunTab


NOTE = "The picture becomes tokens of the prompt. The answer is denoised like any other text."
WAYS = {
    "one token a pass": {"steps": 0, "confidence_threshold": 0},
    "all tokens that are sure (0.9)": {"steps": 0, "confidence_threshold": 0.9},
    "a quarter of the answer": {"steps": 4, "confidence_threshold": 0},
}
NO_LINK = "A link cannot carry your own picture: save the run as a file instead."
MAX_WORDS = 12  # in the order of the words
# The template never changes, so Gradio keeps the buttons; their state is that of the value, the name of a sample.
PICKER = """
const mark = () => element.querySelectorAll("button").forEach((each) => each.setAttribute("aria-pressed", each.value === props.value));
element.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    props.value = button.value;
    trigger("input");
    setTimeout(mark);
});
watch("value", mark);
mark();
"""


class PicturesTab(RunTab):
    """The tab. Its arguments are those of [`GenerateTab`]."""

    name = "pictures"
    own_model = VISION

    def __init__(self, runner: Runner, model: gr.Dropdown) -> None:
        super().__init__(runner)
        self.samples = Samples.load(Path(self.card().source))
        self.draw = cache(self.draw_sample)
        first = next(iter(self.samples.pictures))
        questions, styles = self.samples.questions_of(first), list(self.samples.styles)
        gr.Markdown(f"{NOTE} {self.samples.note}", elem_classes="ll-lead")
        with gr.Row(equal_height=False, elem_classes="ll-tab"):
            with gr.Column(elem_classes="ll-ask"):
                self.sample = make_picker(self.samples, first)
                self.upload = gr.File(
                    label="A picture of your own",
                    show_label=False,
                    file_types=["image"],
                    height=96,
                    elem_id="pictures-upload",
                    elem_classes="ll-upload",
                )
                self.question = gr.Textbox(
                    questions[0]["prompt"],
                    label="Question",
                    info="In English or Chinese.",
                    max_length=400,
                    elem_id="pictures-question",
                )
                show_gloss(self.samples.glosses, self.question)
                with gr.Row():
                    go = gr.Button("Ask", variant="primary", elem_id="pictures-go")
                    stop = gr.Button("Stop", min_width=80)
                self.offered = gr.Dataset(**offer(questions), components=[self.question], label="Try", type="index")
            with gr.Column(elem_classes="ll-show"), gr.Row(equal_height=False, elem_classes="ll-beside"):
                self.panel = gr.HTML(
                    self.draw(first), apply_default_css=False, elem_id="pictures-panel", elem_classes="ll-host"
                )
                with gr.Column(min_width=280):
                    self.players = [make_player(runner.save_run, "The answer will appear here.", "pictures-player")]
                    verdict = gr.HTML(
                        "", apply_default_css=False, elem_id="pictures-verdict", elem_classes="ll-verdict"
                    )
            with gr.Column(elem_classes="ll-set"):
                self.style = gr.Radio(styles, value=styles[0], label="Answer", visible=len(styles) > 1)
                self.way = gr.Radio(list(WAYS), value=next(iter(WAYS)), label="Each forward pass commits")
        inputs = {"picture": self.upload, "sample": self.sample, "question": self.question, "style": self.style}
        event = self.connect([go.click, self.question.submit], inputs | {"way": self.way}, stop, [verdict])
        shown = [self.sample, self.upload, self.panel, self.offered, self.question, self.style, *self.players, verdict]
        # The last answer is about another picture.
        quiet = {"show_progress": "hidden", "cancels": [event], "api_visibility": "private"}
        self.sample.input(self.on_sample, [self.sample, self.question], shown, queue=False, **quiet)
        self.upload.clear(partial(self.on_sample, first), self.question, shown, queue=False, **quiet)
        self.upload.upload(self.on_upload, self.upload, shown, concurrency_limit=1, **quiet)  # only the queue can warn
        self.offered.click(
            self.on_question,
            [self.offered, self.sample],
            [self.question, self.style],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )

    def draw_sample(self, name: str) -> str:
        """A sample with the tiles that the model sees, as HTML."""
        sample = self.samples.find(name)
        with Image.open(sample.path) as opened:
            picture = opened.convert("RGB")
        return draw_seen(picture, sample.label, look(picture, self.runner.models.processor(VISION)))

    def on_sample(self, name: str, question: str) -> list:
        """Shows a sample, with a question for it and its style unless the visitor has typed one. The last answer goes."""
        sample = self.samples.find(name)
        known = {one["prompt"] for one in self.samples.glosses}
        is_kept = question and (question not in known or any(one["prompt"] == question for one in sample.questions))
        asked = [question, gr.skip()] if is_kept else self.on_question(0, name)
        return [name, None, self.draw(name), gr.Dataset(**offer(sample.questions)), *asked, None, ""]

    def on_upload(self, path: str) -> list:
        """Shows the picture of a visitor, or says why it cannot be read."""
        try:
            picture = read_upload(path)
            panel = draw_seen(picture, "your picture", look(picture, self.runner.models.processor(VISION)))
        except ValueError as error:
            gr.Warning(as_message(str(error)), title="This does not work")
            return [gr.skip(), None, *[gr.skip()] * 6]
        return ["", gr.skip(), panel, gr.Dataset(**offer(self.samples.questions)), gr.skip(), gr.skip(), None, ""]

    def on_question(self, index: int, name: str) -> list:
        """Takes a question that the page offers, with the style that suits it."""
        question = self.samples.questions_of(name)[index]
        return [question["prompt"], question.get("style", gr.skip())]

    @property
    def linked(self) -> dict[str, tuple[gr.components.Component, str]]:
        return {
            "sample": (self.sample, "text"),
            "question": (self.question, "text"),
            "style": (self.style, "choice"),
            "way": (self.way, "choice"),
        }

    @property
    def linkable(self) -> list[gr.components.Component]:
        return [*super().linkable, self.panel, self.offered]

    def read_fields(self, query) -> dict:
        values = super().read_fields(query)
        name = values.pop(self.sample, None)
        if name in self.samples.pictures:
            offered = gr.Dataset(**offer(self.samples.questions_of(name)))
            values |= {self.sample: name, self.panel: self.draw(name), self.offered: offered}
        return values

    def prepare(self, upload: str | None, name: str, question: str, style: str, way: str):
        if way not in WAYS:
            raise ValueError(f"the way must be one of {', '.join(WAYS)}.")
        if style not in self.samples.styles:
            raise ValueError(f"the style of the answer must be one of {', '.join(self.samples.styles)}.")
        chosen = self.samples.styles[style]
        sample = None if upload else self.samples.find(name)
        picture = read_upload(upload or str(sample.path))
        settings = self.runner.read(self.card(), WAYS[way], 0)
        inputs = encode_question(picture, question, chosen, self.runner.models.processor(VISION))
        length = chosen.max_new_tokens or settings.model.generation_config.max_new_tokens
        fields = {"sample": name, "question": question, "style": style, "way": way}
        about = {
            "title": question.strip(),
            "label": way,
            "link": write_link(self.name, fields) if sample else "",
            "no_link": NO_LINK if sample is None else "",
            "expected": sample.answer(question.strip()) if sample else "",
        }
        task = encode_task(settings, inputs, length)
        about["hidden"] = find_template(task.input_ids, self.runner.models.processor(VISION))
        return [task], [about]

    def summarize(self, runs: list[Run]) -> list:
        return [describe_answer(runs[0])]


def encode_task(settings, inputs: dict, length: int) -> Task:
    """The task for the inputs that a processor has made."""
    [ids] = inputs["input_ids"].tolist()
    longest = settings.model.config.max_position_embeddings
    if len(ids) + length > longest:
        raise ValueError(
            f"the picture and the question have {len(ids)} tokens and the answer {length}, and {settings.card.name} reads "
            f"{longest}: ask less, or make the picture less wide."
        )
    pictures = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask")}
    return settings.task(tuple(ids), max_new_tokens=length, pictures=pictures)


def make_picker(samples: Samples, first: str) -> gr.HTML:
    """The sample pictures as buttons. Its value is the name of the chosen one, `""` for none."""
    buttons = []
    for sample in samples.pictures.values():
        label = html.escape(sample.label)
        with Image.open(sample.path) as opened:
            thumbnail = as_img(opened, "", 2 * THUMBNAIL)
        buttons.append(
            f'<button type="button" value="{sample.name}" title="{label}" aria-label="{label}">{thumbnail}</button>'
        )
    return gr.HTML(
        first,
        html_template=f'<div class="ll-samples" role="group" aria-label="sample pictures">{"".join(buttons)}</div>',
        js_on_load=PICKER,
        apply_default_css=False,
        padding=False,
        elem_id="pictures-samples",
        elem_classes="ll-host",
    )


def offer(questions: list[dict]) -> dict:
    """Questions for the list below the field, with their translations."""
    labels = [label_of(one, one["prompt"]) for one in questions]
    return {"samples": [[one["prompt"]] for one in questions], "sample_labels": labels}


def describe_answer(run: Run) -> str:
    """What the answer of a run that is over should be, and in which order its words were written, as HTML."""
    if run.cost is None:
        return ""
    lines, expected = [], run.about["expected"]
    if expected:
        lines.append(
            "<b>Right.</b>" if is_right(run.answer(), expected) else f"Expected: <b>{html.escape(expected)}</b>"
        )
    words = sorted(words_of(run.pictures[-1]), key=lambda word: word[1])
    if len(words) > 1:
        shown = [f"<b>{html.escape(text)}</b> <small>{step + 1}</small>" for text, step in words[:MAX_WORDS]]
        more = " …" if len(words) > MAX_WORDS else ""
        lines.append(f"Written in this order, with the step of each: {' → '.join(shown)}{more}")
    return "".join(f"<p>{line}</p>" for line in lines)


def is_right(answer: str, expected: str) -> bool:
    """Whether an answer is the expected one. Reasoning may come before it, with a colon between them."""
    answer, expected = simplify(answer), simplify(expected)
    return answer.endswith(expected) and answer.removesuffix(expected).rstrip()[-1:] in ("", ":", "：")


def simplify(answer: str) -> str:
    """An answer without what does not matter when two are compared."""
    return " ".join(answer.split()).rstrip(".。").casefold()


def words_of(picture: Picture) -> list[tuple[str, int]]:
    """The words and numbers of an answer, each with the step that completed it."""
    words, before = [], None
    for cell in picture.cells:
        if cell.step is None or cell.state == "pad" or cell.is_special:
            continue
        is_same_word = before and cell.word is not None and cell.word == before.word
        if is_same_word or (before and before.text[-1:].isdecimal() and cell.text[:1].isdecimal()):
            words[-1] = (words[-1][0] + cell.text, max(words[-1][1], cell.step))
        else:
            words.append((cell.text, cell.step))
        before = cell
    return [(text.strip(), step) for text, step in words if any(character.isalnum() for character in text)]
