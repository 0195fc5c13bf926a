# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The look of the page: the colours of paper, ink and seal, and fonts that every machine has."""

from pathlib import Path

import gradio as gr

from modeling_llada.drawing.page import player_css


SEAL = gr.themes.Color(
    c50="#fdf3f0", c100="#fae3dc", c200="#f3c4b7", c300="#e99f8b", c400="#dc7459", c500="#c24d31",
    c600="#a8321e", c700="#8a2818", c800="#6e2115", c900="#561c13", c950="#300d08", name="seal",
)  # fmt: skip
PAPER = gr.themes.Color(
    c50="#fffdf9", c100="#f8f4ec", c200="#ebe5d8", c300="#d8d0bf", c400="#a79f8f", c500="#7a7366",
    c600="#5b554b", c700="#3c3934", c800="#21262d", c900="#161b22", c950="#0d1117", name="paper",
)  # fmt: skip
SANS = ("ui-sans-serif", "system-ui", "sans-serif")


def make_theme() -> gr.themes.Base:
    """The theme for light and dark mode."""
    theme = gr.themes.Soft(primary_hue=SEAL, neutral_hue=PAPER, font=SANS, font_mono=("ui-monospace", "monospace"))
    return theme.set(
        body_background_fill="#f4f0e8",
        body_background_fill_dark="#0d1117",
        button_primary_background_fill="#a8321e",
        button_primary_background_fill_hover="#8a2818",
        button_primary_background_fill_dark="#a8321e",
        button_primary_background_fill_hover_dark="#c24d31",
        button_primary_text_color="#ffffff",
        button_secondary_background_fill_dark="#21262d",
        button_secondary_background_fill_hover_dark="#30363d",
        button_secondary_text_color_dark="#e6edf3",
        checkbox_label_background_fill_dark="#21262d",
        checkbox_label_background_fill_hover_dark="#30363d",
        block_title_background_fill="none",
        block_title_background_fill_dark="none",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_200",
        block_title_padding="0",
        block_title_text_weight="600",
        block_label_background_fill="none",
        block_label_background_fill_dark="none",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_info_text_color="#6f6a5f",
        block_info_text_color_dark="#9aa4af",
        block_shadow="none",
        block_background_fill="#fffdf9",
        block_background_fill_dark="#161b22",
        block_border_width="1px",
        block_border_color="#e6e1d6",
        block_border_color_dark="#30363d",
        input_background_fill="#ffffff",
        input_background_fill_dark="#0d1117",
        input_border_width="1px",
        input_border_color="#d8d0bf",
        input_border_color_dark="#30363d",
        input_shadow="none",
    )


def make_css() -> str:
    """The style of the page and of the players in it."""
    return player_css() + (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
