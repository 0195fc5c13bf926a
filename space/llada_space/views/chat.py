# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Chat: with any model that has a chat template, or the adapter of one; each reply denoises before one's eyes."""

from collections.abc import Iterator

import gradio as gr

from llada_cli.poems import FORMS

from ..fields import OptionFields
from ..models import ModelCard
from ..player import make_player
from ..prompts import MASK_GLYPH, as_html, check_text, encode_chat, line_columns
from ..studio import MODEL_QUEUE, Studio, toast


MAX_TURNS = 40
INSTRUCTIONS = [  # in both languages: the next line, a poem, an acrostic, missing characters, the line before
    ["谁言寸草心，下一句"],
    ["写一首五言绝句《山中》"],
    ["写一首五言绝句，藏头：一帆风顺"],
    ["填空：锄禾日__，汗滴禾下_。"],
    ["What comes before 疑是地上霜?"],
    ["Write a quatrain of five-character lines titled 春夜"],
    ["Write the missing characters into 白日依山_，黄河入_流。"],
]


class ChatTab:
    """
    The tab; see [`GenerateTab`].
    """

    name = "chat"

    def __init__(self, studio: Studio, model: gr.Dropdown) -> None:
        self.studio = studio
        card = studio.models.chat_card(studio.models.names[0])
        with gr.Row(equal_height=False, elem_classes="ll-studio"):
            with gr.Column(elem_classes="ll-ask"):
                self.partner = gr.Markdown(describe_partner(card), elem_id="chat-partner")
                self.chat = gr.Chatbot(
                    label="Chat", height=260, elem_id="chat-messages", render_markdown=False, buttons=["copy"]
                )
                self.message = gr.Textbox(
                    label="Message",
                    info=describe_message(card),
                    value=first_message(card),
                    max_length=4000,
                    elem_id="chat-message",
                )
                with gr.Row():
                    self.go = gr.Button("Send", variant="primary", elem_id="chat-go", min_width=80)
                    self.stop = gr.Button("Stop", min_width=80)
                    self.clear = gr.Button("Clear", elem_id="chat-clear", min_width=80)
                with gr.Column(visible=card.base is not None) as self.examples:
                    gr.Examples(
                        INSTRUCTIONS, [self.message], label="Try", example_labels=[row[0] for row in INSTRUCTIONS]
                    )
                self.system = gr.Textbox(
                    label="System message",
                    info="Stays in front of all turns; llada-poet takes the form of the poem.",
                    max_length=1000,
                    visible=card.base is None,
                )
            with gr.Column(elem_classes="ll-show"):
                self.player = make_player(studio.save_run, "The reply will denoise here.", "chat-player", links=False)
            with gr.Column(elem_classes="ll-set"):
                self.fields = OptionFields(studio.models, model, length=card.new_tokens, preset=preset_of(card))
        self.run_name = gr.State()
        event = gr.on(
            [self.go.click, self.message.submit],
            self.run,
            [model, self.chat, self.message, self.system, *self.fields.inputs],
            [self.chat, self.message, self.player, self.run_name],
            show_progress="full",
            show_progress_on=[self.player],
            api_name="chat",
            **MODEL_QUEUE,
        )
        self.stop.click(
            studio.stop, self.run_name, self.player, cancels=[event], queue=False, api_visibility="private"
        )
        self.clear.click(lambda: ([], None), None, [self.chat, self.player], cancels=[event], api_visibility="private")
        model.change(
            self.on_model,
            model,
            [self.partner, self.message, self.examples, self.system, *self.fields.shown],
            queue=False,
            api_visibility="private",
        )

    @property
    def linked(self) -> dict[str, tuple[gr.components.Component, str]]:
        """Chats have no links."""
        return {}

    def run(self, model: str, history: list, message: str, system: str, *inputs) -> Iterator[tuple]:
        """Answers the button."""
        try:
            card = self.studio.models.chat_card(model)
            message, system = check_text("the message", message), check_text("the system message", system)
            if not message.strip():
                raise ValueError("there is no message: type one.")
            if len(history) > 2 * MAX_TURNS:
                raise ValueError(f"a chat has at most {MAX_TURNS} turns here: clear it.")
            wish = self.studio.read(card, *self.fields.values(inputs))
            system = "" if card.base else system.strip()
            task = wish.task(encode_chat(history, message, system, wish.network, wish.tokenizer, card))
            history = [*history, {"role": "user", "content": as_html(message)}]
            about = {
                "title": card.name,
                "columns": line_columns(form_named_in(message), message) if card.writes_poems else None,
                "label": wish.label(task),
                "link": "",
            }
            for [recording] in self.studio.play([task], [about]):
                reply = as_html(recording.answer(MASK_GLYPH)) or "…"
                turns = [*history, {"role": "assistant", "content": reply}]
                yield turns, "", recording.value(), recording.name
        except ValueError as error:
            raise toast(error) from error

    def on_model(self, model: str) -> list:
        """Each kind of model wants other messages, and other settings."""
        card = self.studio.models.chat_card(model)
        return [
            describe_partner(card),
            gr.update(value=first_message(card), info=describe_message(card)),
            gr.update(visible=card.base is not None),
            gr.update(visible=card.base is None),
            *self.fields.reset(preset_of(card), model, card.new_tokens),
        ]


def describe_partner(card: ModelCard) -> str:
    """Who answers."""
    if card.base is None:
        return f"**{card.name}** answers."
    return (
        f"**{card.name}** answers: {card.base} with an adapter that follows instructions about poems, in Chinese and English. "
        "Each message stands for itself; it does not see the turns before."
    )


def describe_message(card: ModelCard) -> str:
    """What to write."""
    if card.base:
        return "An instruction: a poem, an acrostic, missing characters, the next line or the line before."
    return "The beginning of a poem; the model completes it." if card.writes_poems else "What do you want to know?"


def first_message(card: ModelCard) -> str:
    """What stands in the field at first."""
    if card.base:
        return INSTRUCTIONS[0][0]
    return "床前明月光，" if card.writes_poems else ""


def preset_of(card: ModelCard) -> str:
    """
    One block suits answers of a fixed length, as the adapter was trained on, and most of it is EOS, which comes at once with
    a threshold; other answers end where the text ends.
    """
    return "parallel: threshold" if card.base else "semi-autoregressive"


def form_named_in(message: str) -> str | None:
    """The form of poem that a message asks for."""
    return next((form for form in FORMS if form in message), None)
