# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Chat: with any model that has a chat template; each reply denoises before one's eyes."""

from collections.abc import Iterator

import gradio as gr

from ..fields import OptionFields
from ..models import ModelCard
from ..options import name_settings, read_options
from ..player import make_player
from ..prompts import check_text, encode_chat, line_columns
from ..running import Task
from ..studio import MODEL_QUEUE, Studio, choose_seed, toast


MASK_GLYPH = "░"
MAX_TURNS = 40


class ChatTab:
    """
    The tab; see [`GenerateTab`].
    """

    name = "chat"

    def __init__(self, studio: Studio, model: gr.Dropdown) -> None:
        self.studio = studio
        card = studio.models.card(studio.models.names[0])
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300):
                self.chat = gr.Chatbot(
                    label="Chat", height=340, elem_id="chat-messages", render_markdown=False, buttons=["copy"]
                )
                self.message = gr.Textbox(
                    label="Message",
                    info=describe_message(card),
                    value="床前明月光，" if card.writes_poems else "",
                    max_length=4000,
                    elem_id="chat-message",
                )
                with gr.Row():
                    self.go = gr.Button("Send", variant="primary", elem_id="chat-go")
                    self.stop = gr.Button("Stop", min_width=80)
                    self.clear = gr.Button("Clear", min_width=80)
                self.system = gr.Textbox(
                    label="System message",
                    info="Stays in front of all turns; llada-poet takes the form of the poem.",
                    max_length=1000,
                )
                self.fields = OptionFields(studio.models, model, preset="semi-autoregressive")
            with gr.Column(scale=3, min_width=320):
                self.player = make_player(studio.save_run, "The reply will denoise here.", "chat-player")
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
        model.change(self.on_model, model, self.message, queue=False, api_visibility="private")

    @property
    def linked(self) -> dict[str, tuple[gr.components.Component, str]]:
        """Chats have no links."""
        return {}

    def run(self, model: str, history: list, message: str, system: str, *inputs) -> Iterator[tuple]:
        """Answers the button."""
        try:
            card = self.studio.models.card(model)
            values, seed = self.fields.values(inputs)
            options, seed = read_options(values, card.max_new_tokens), choose_seed(seed)
            message, system = check_text("the message", message), check_text("the system message", system)
            if not message.strip():
                raise ValueError("there is no message: type one.")
            if len(history) > 2 * MAX_TURNS:
                raise ValueError(f"a chat has at most {MAX_TURNS} turns here: clear it.")
            network, tokenizer = self.studio.models.load(model)
            ids = encode_chat(history, message, system.strip(), network, tokenizer, card)
            task = Task(model, ids, options, seed)
            history = [*history, {"role": "user", "content": message}]
            about = {
                "title": model,
                "columns": line_columns(None, message) if card.writes_poems else None,
                "label": name_settings(values, card.block_length),
                "link": "",
            }
            for [recording] in self.studio.play([task], [about]):
                reply = recording.answer(MASK_GLYPH) or "…"
                turns = [*history, {"role": "assistant", "content": reply}]
                yield turns, "", recording.value(), recording.name
        except ValueError as error:
            raise toast(error) from error

    def on_model(self, model: str) -> dict:
        """Each kind of model wants other messages."""
        return gr.update(info=describe_message(self.studio.models.card(model)))


def describe_message(card: ModelCard) -> str:
    """What to write."""
    return "The beginning of a poem; the model completes it." if card.writes_poems else "What do you want to know?"
