# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The denoising live in a terminal."""

import math
import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text
from transformers import PreTrainedTokenizerBase

from ..streaming.frames import CanvasFrame, TokenState
from ..streaming.streamers import CanvasStreamer
from .cells import picture_of
from .colors import confidence_color


MASK_GLYPH = "░░"  # as wide as a Han character
END_GLYPH = "·"
BAR_LENGTH = 24


class LiveDenoising(CanvasStreamer):
    """
    A streamer that draws the canvas of `generate` in a terminal. Given text is bold, a mask is a grey block, and a
    committed token has the colour of its confidence; the tokens of the last step are inverted.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer of the model.
        mask_token_id (`int`):
            The mask token of the model; official tokenizers do not name it.
        console (`Console`, *optional*):
            The console to draw on. By default the terminal.
        delay (`float`, *optional*, defaults to 0.0):
            The shortest time between two denoising steps in seconds, to slow down a small model.
        skip_prompt (`bool`, *optional*, defaults to `False`):
            Whether to draw only the completion.
        prompt_texts (`Sequence[str | None]`, *optional*, defaults to `()`):
            The texts of the given tokens as they were typed, where they differ from those of the tokenizer.
        kwargs:
            `callback`, `attention_mask`, `eos_token_id` and `pad_token_id` of [`CanvasStreamer`].

    Example:

    ```python
    >>> from modeling_llada.drawing import LiveDenoising

    >>> with LiveDenoising(tokenizer, model.config.mask_token_id, delay=0.1) as streamer:
    ...     output = model.generate(**inputs, streamer=streamer)
    ```
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        mask_token_id: int,
        console: Console | None = None,
        delay: float = 0.0,
        skip_prompt: bool = False,
        prompt_texts: Sequence[str | None] = (),
        **kwargs,
    ) -> None:
        super().__init__(tokenizer, mask_token_id, **kwargs)
        self.delay = delay
        self.skip_prompt = skip_prompt
        self.prompt_texts = prompt_texts
        self.seconds_waited = 0.0
        self.frame: CanvasFrame | None = None  # the frame on the screen
        self._live = Live(console=console or Console(), auto_refresh=False, transient=True)
        self._num_masks = 0  # at the start
        self._drawn_at = -math.inf

    def __enter__(self) -> "LiveDenoising":
        self._live.start()
        return self

    def __exit__(self, *exception) -> None:
        self._live.stop()

    def on_frame(self, frame: CanvasFrame) -> None:
        """Draws a step. The last frame clears the picture, since the caller shows the result."""
        self.frame = frame
        if frame.is_final:
            self._live.update("", refresh=True)
        elif frame.step < 0:
            self._num_masks = count_masks(frame)
        else:
            self._wait()
            self._live.update(self._draw(frame), refresh=True)
        super().on_frame(frame)

    def draw_text(self, row: int) -> Text:
        """A row of the last frame as coloured text. The text of the result shows no EOS."""
        start = self.frame.prompt_length if self.skip_prompt else 0
        return colored_text(self.frame, row, start, self.prompt_texts)

    def _draw(self, frame: CanvasFrame) -> Group:
        masks = count_masks(frame)
        filled = round((1 - masks / self._num_masks) * BAR_LENGTH)
        status = Text.assemble(
            (f"step {frame.step + 1:<4}", "bold"),
            ("━" * filled, confidence_color(1.0)),
            ("━" * (BAR_LENGTH - filled), "bright_black"),
            (f" {masks} mask{'s' if masks != 1 else ''} left", "bright_black"),
        )
        return Group(*self._visible_lines(), status)

    def _visible_lines(self) -> list[Text]:
        """The lines of all rows. Of more than the terminal has, those around the first mask."""
        console = self._live.console
        rows = [self.draw_text(row) for row in range(len(self.frame.tokens))]
        lines = [line for text in rows for line in text.wrap(console, console.width)]
        room = console.height - 1  # without the status
        first = next((place for place, line in enumerate(lines) if MASK_GLYPH in line.plain), len(lines))
        start = max(0, min(first - room // 2, len(lines) - room))
        return lines[start : start + room]

    def _wait(self) -> None:
        remaining = self._drawn_at + self.delay - time.monotonic()
        if remaining > 0:
            time.sleep(remaining)
            self.seconds_waited += remaining
        self._drawn_at = time.monotonic()


def count_masks(frame: CanvasFrame) -> int:
    """The number of masks that are left in all rows."""
    return int((frame.states == TokenState.MASK).sum())


def colored_text(frame: CanvasFrame, row: int, start: int = 0, prompt_texts: Sequence[str | None] = ()) -> Text:
    """
    A row of a frame from position `start` on. Special tokens are left out; one that was committed shows as a dot until
    the call ends.
    """
    text = Text()
    for position, cell in enumerate(picture_of(frame, row=row).cells[start:], start):
        if cell.state == "given" and position < len(prompt_texts):
            text.append(prompt_texts[position], style="bold")
        elif cell.state == "mask":
            text.append(MASK_GLYPH, style="bright_black")
        elif cell.is_special:
            is_open = cell.state in ("new", "committed") and not frame.is_final
            text.append(END_GLYPH if is_open else "", style="bright_black")
        elif cell.state == "given":
            text.append(cell.text, style="bold")
        elif cell.state == "new":
            text.append(cell.text, style=f"bold white on {confidence_color(cell.confidence)}")
        elif cell.state == "committed":
            text.append(cell.text, style=confidence_color(cell.confidence))
    return text
