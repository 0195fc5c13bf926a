# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Chat: with a model that has a chat template, or with its adapter. Each reply is denoised on the page."""

from collections.abc import Iterator

import gradio as gr

from ..fields import OptionFields
from ..header import first_example, show_prompts
from ..models import ModelCard
from ..player import make_player
from ..prompts import MASK_GLYPH, as_html, check_text, encode_chat
from ..runner import Runner


MAX_TURNS = 40


class ChatTab:
    """The tab. Its arguments are those of [`GenerateTab`]."""

    name = "chat"

    def __init__(self, runner: Runner, model: gr.Dropdown) -> None:
        self.runner = runner
        card = runner.models.chat_card(runner.models.names[0])
        examples = card.prompt.examples.get("chat", [])
        with gr.Row(equal_height=False, elem_classes="ll-tab"):
            with gr.Column(elem_classes="ll-ask"):
                partner = gr.Markdown(describe_partner(card), elem_id="chat-partner")
                self.chat = gr.Chatbot(
                    show_label=False, height=320, elem_id="chat-messages", render_markdown=False, buttons=["copy"]
                )
                self.message = gr.Textbox(
                    label="Message",
                    info=describe_message(card),
                    value=first_message(card),
                    max_length=4000,
                    elem_id="chat-message",
                )
                with gr.Row():
                    go = gr.Button("Send", variant="primary", elem_id="chat-go", min_width=80)
                    stop = gr.Button("Stop", min_width=80)
                    clear = gr.Button("Clear", elem_id="chat-clear", min_width=80)
                with gr.Column(visible=bool(examples)) as shown_examples:
                    show_prompts(examples, self.message)
                self.system = gr.Textbox(
                    label="System message", info=describe_system(card), max_length=1000, visible=card.base is None
                )
            with gr.Column(elem_classes="ll-show"):
                self.player = make_player(runner.save_run, "The reply will appear here.", "chat-player", links=False)
            with gr.Column(elem_classes="ll-set"):
                self.fields = OptionFields(runner.models, model, length=card.new_tokens, preset=preset_of(card))
        run_name = gr.State()
        event = runner.connect(
            self.name,
            [go.click, self.message.submit],
            self.run,
            {
                "model": model,
                "history": self.chat,
                "message": self.message,
                "system": self.system,
                **self.fields.inputs,
            },
            [self.chat, self.message, self.player, run_name],
            [self.player],
            [run_name],
            stop,
        )
        clear.click(lambda: ([], None), None, [self.chat, self.player], cancels=[event], api_visibility="private")

        def on_model(name: str) -> list:
            """Sets what depends on the model."""
            chosen = runner.models.chat_card(name)
            return [
                describe_partner(chosen),
                gr.update(value=first_message(chosen), info=describe_message(chosen)),
                gr.update(visible=bool(examples) and chosen.name == card.name),
                gr.update(visible=chosen.base is None, info=describe_system(chosen)),
                *self.fields.reset(preset_of(chosen), name, chosen.new_tokens),
            ]

        model.change(
            on_model,
            model,
            [partner, self.message, shown_examples, self.system, *self.fields.shown],
            queue=False,
            api_visibility="private",
        )

    @property
    def linked(self) -> dict[str, tuple[gr.components.Component, str]]:
        """Chats have no links."""
        return {}

    def run(self, model: str, history: list, message: str, system: str, *options) -> Iterator[tuple]:
        """Answers the button."""
        card = self.runner.models.chat_card(model)
        message, system = check_text("the message", message), check_text("the system message", system)
        if not message.strip():
            raise ValueError("there is no message: type one.")
        if len(history) > 2 * MAX_TURNS:
            raise ValueError(f"a chat has at most {MAX_TURNS} turns here: clear it.")
        settings = self.runner.read(card, *self.fields.values(options))
        system = "" if card.base else system.strip()
        task = settings.task(encode_chat(history, message, system, settings.model, settings.tokenizer, card))
        history = [*history, {"role": "user", "content": as_html(message)}]
        about = {
            "title": card.name,
            "columns": card.prompt.columns(card.prompt.values_named_in(message), message),
            "label": settings.label(task),
            "note": card.prompt.note_on_script(message),
        }
        for [run] in self.runner.play([task], [about]):
            reply = as_html(run.answer(MASK_GLYPH)) or "…"
            yield [*history, {"role": "assistant", "content": reply}], "", run.value(), run.name


def describe_partner(card: ModelCard) -> str:
    """Names the model that answers."""
    below = f", an adapter of {card.base}" if card.base else ""
    return f"**{card.name}** answers{below}. {card.prompt.notes.get('chat', '')}".rstrip()


def describe_message(card: ModelCard) -> str:
    """Says what a message may be."""
    return card.prompt.notes.get("message", "What do you want to know?")


def describe_system(card: ModelCard) -> str:
    """Says what a system message may be."""
    return card.prompt.notes.get("system", "It comes before all turns.")


def first_message(card: ModelCard) -> str:
    """The message in the field at first."""
    return first_example(card, "chat").get("prompt", "")


def preset_of(card: ModelCard) -> str:
    """
    The preset at first. An adapter was trained on one block of a fixed length, and most of an answer is EOS, which a
    threshold commits at once. Other answers end where the text ends.
    """
    return "parallel: threshold" if card.base else "semi-autoregressive"
