# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Streamers that pass on the whole canvas of `generate`: to a function, to a loop, or to a record."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase
from transformers.generation.streamers import BaseStreamer

from .frames import CanvasFrame, TokenReader, TokenState, no_top_probabilities, no_top_tokens
from .records import DenoisingRecord


END = object()
POLL_SECONDS = 0.2  # how often a waiting loop checks that the generating thread is alive


class CanvasStreamer(BaseStreamer):
    """
    A streamer that calls a function with a [`CanvasFrame`] of all rows: the start, the canvas after each denoising step,
    and the result.

    The start arrives together with the first step, because the length of the canvas is not known before. One streamer
    can follow several calls, one after the other. An error that the function raises ends `generate`.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer of the model.
        mask_token_id (`int`):
            The mask token of the model. The official tokenizers do not declare it.
        callback (`Callable[[CanvasFrame], None]`, *optional*):
            The function. Subclasses may override `on_frame` instead.
        attention_mask (`torch.Tensor` of shape `(batch, prompt_length)`, *optional*):
            The attention mask of the call, to tell padding from text. By default the pad tokens at the start of a row
            are padding.
        eos_token_id (`int` or `list[int]`, *optional*):
            The tokens that end a row of the call. By default the EOS token of the tokenizer; `[]` with
            `stop_at_eos=False`.
        pad_token_id (`int`, *optional*):
            The pad token of the call. By default that of the tokenizer.

    Example:

    ```python
    >>> from modeling_llada.streaming import CanvasStreamer

    >>> lines = []
    >>> streamer = CanvasStreamer(tokenizer, model.config.mask_token_id, lambda frame: lines.append(frame.text(mask="_")))
    >>> output = model.generate(**tokenizer("床前明月光，", return_tensors="pt"), max_new_tokens=6, streamer=streamer)
    >>> lines[0], lines[-1]
    ('床前明月光，______', '床前明月光，疑是地上霜。')
    ```
    """

    takes_steps = True
    takes_probabilities = True

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        mask_token_id: int,
        callback: Callable[[CanvasFrame], None] | None = None,
        *,
        attention_mask: torch.Tensor | None = None,
        eos_token_id: int | list[int] | None = None,
        pad_token_id: int | None = None,
    ) -> None:
        eos_token_id = tokenizer.eos_token_id if eos_token_id is None else eos_token_id
        eos_token_ids = [eos_token_id] if isinstance(eos_token_id, Integral) else list(eos_token_id or [])
        pad_token_id = tokenizer.pad_token_id if pad_token_id is None else pad_token_id
        if pad_token_id is None and eos_token_ids:
            pad_token_id = eos_token_ids[0]
        self.callback = callback
        self.attention_mask = attention_mask
        self.eos_token_ids = torch.tensor(eos_token_ids, dtype=torch.long)
        self.pad_token_id = pad_token_id
        self.reader = TokenReader(tokenizer, mask_token_id)
        self.reset()

    def on_frame(self, frame: CanvasFrame) -> None:
        """Called with each frame, in the thread of `generate`."""
        if self.callback is not None:
            self.callback(frame)

    def reset(self) -> None:
        """Forgets an unfinished call, so that the streamer can follow another one."""
        self._prompt: torch.LongTensor | None = None  # known before the length of the canvas is
        self._frame: CanvasFrame | None = None
        self._num_confirmed = 0

    def put(self, value: torch.LongTensor) -> None:
        """Takes the prompts, once they have no masks left, and then each finished block."""
        value = value if value.ndim == 2 else value[None]
        if self._frame is None:
            self._check_new_call(self._prompt is None)
            self._prompt = value
            return
        start = self._num_confirmed
        block = slice(start, start + value.shape[1])
        self._check_new_call(value.shape == self._frame.tokens[:, block].shape)
        self._num_confirmed = block.stop
        tokens, confidence = self._frame.tokens.clone(), self._frame.confidence.clone()
        tokens[:, block] = value
        confidence[:, block][value != self._frame.tokens[:, block]] = torch.nan
        if start >= self._frame.prompt_length:
            confidence[:, block][self._find_pads(value, block)] = torch.nan
        self._frame = self._frame.advance(self._frame.step, tokens, confidence)

    def put_draft(
        self,
        value: torch.LongTensor,
        step: int,
        confidence: torch.FloatTensor,
        top_tokens: torch.LongTensor,
        top_probabilities: torch.FloatTensor | None = None,
    ) -> None:
        """Takes the canvas after a denoising step, without the prompts and blocks that `put` has taken."""
        if self._frame is None:
            self._start(value, confidence, top_tokens)
            self._emit(self._frame)
        before, start = self._frame, self._num_confirmed
        self._check_new_call(step > before.step and value.shape == before.tokens[:, start:].shape)
        block = slice(start, start + top_tokens.shape[1])
        all_top_tokens, all_probabilities = no_top_tokens(before.tokens), no_top_probabilities(before.tokens)
        all_top_tokens[:, block] = top_tokens
        if top_probabilities is not None:
            all_probabilities[:, block] = top_probabilities
        self._frame = before.advance(
            step,
            torch.cat([before.tokens[:, :start], value], dim=1),
            torch.cat([before.confidence[:, :start], confidence], dim=1),
            all_top_tokens,
            top_probabilities=all_probabilities,
        )
        self._emit(self._frame)

    def end(self) -> None:
        """Takes the end of the call. Masks that were never decoded are padding."""
        if self._frame is None:  # there were no steps
            self._check_new_call(self._prompt is not None)
            self._set_start(self._prompt, self._prompt.shape[1])
            self._emit(self._frame)
        last = self._frame
        tokens = last.tokens
        if (is_mask := last.states == TokenState.MASK).any():
            if self.pad_token_id is None:
                raise ValueError(
                    "`pad_token_id` must be given to the streamer, because the tokenizer has no pad token. Pass that of "
                    "the call."
                )
            tokens = tokens.masked_fill(is_mask, self.pad_token_id)
        final = last.advance(last.step, tokens, last.confidence, is_final=True)
        self.reset()
        self._emit(final)

    def _emit(self, frame: CanvasFrame) -> None:
        try:
            self.on_frame(frame)
        except BaseException:
            self.reset()  # the error ends the call
            raise

    def _start(self, value: torch.LongTensor, confidence: torch.FloatTensor, top_tokens: torch.LongTensor) -> None:
        """Restores the canvas before the first step: a position with a confidence was a mask."""
        tokens = value.masked_fill(~confidence.isnan(), self.reader.mask_token_id)
        if self._prompt is None:  # the prompt has masks, and they are the active block
            self._set_start(tokens, prompt_length=top_tokens.shape[1])
        else:
            self._num_confirmed = self._prompt.shape[1]
            self._set_start(torch.cat([self._prompt, tokens], dim=1), self._num_confirmed)

    def _set_start(self, tokens: torch.LongTensor, prompt_length: int) -> None:
        is_padding = torch.zeros(tokens.shape, dtype=torch.bool)
        is_padding[:, :prompt_length] = self._find_padding(tokens[:, :prompt_length])
        self._frame = CanvasFrame.start(tokens, is_padding, prompt_length, self.reader)

    def _find_padding(self, prompt: torch.LongTensor) -> torch.BoolTensor:
        """Which tokens of the prompts are padding."""
        if self.attention_mask is not None:
            repeats = len(prompt) // len(self.attention_mask)
            if (len(self.attention_mask) * repeats, self.attention_mask.shape[1]) != prompt.shape:
                raise ValueError(
                    "`attention_mask` of the streamer must be that of the call, but got "
                    f"{tuple(self.attention_mask.shape)} for prompts of shape {tuple(prompt.shape)}."
                )
            return self.attention_mask.cpu().repeat_interleave(repeats, dim=0) == 0
        if self.pad_token_id in (None, self.reader.mask_token_id):
            return torch.zeros(prompt.shape, dtype=torch.bool)
        return (prompt == self.pad_token_id).cumprod(-1).bool()

    def _find_pads(self, value: torch.LongTensor, block: slice) -> torch.BoolTensor:
        """The pads behind the first EOS of a finished block. Some replaced a committed token with the id of the pad."""
        # A row that a stopping criterion ended had masks, which are pads now; its tokens behind an EOS stay.
        states = self._frame.states[:, self._frame.prompt_length :]
        has_stopped = (states == TokenState.PAD).any(-1) | (self._frame.states[:, block] == TokenState.MASK).any(-1)
        is_eos = torch.isin(value, self.eos_token_ids) & ~has_stopped[:, None]
        is_behind = (is_eos.cumsum(-1) - is_eos.long()) > 0
        return is_behind & (value == self.pad_token_id)

    def _check_new_call(self, is_as_expected: bool) -> None:
        if not is_as_expected:
            raise ValueError(
                f"`{type(self).__name__}` got the tokens of a new call before the last call ended. Use one streamer for "
                "each call, or call `reset()` after an error."
            )


class GenerationStopped(Exception):
    """Ends a call of `generate` when no more frames are wanted."""


class CanvasIteratorStreamer(CanvasStreamer):
    """
    A [`CanvasStreamer`] to iterate over while `generate` runs in another thread.

    `start` runs `generate` in a thread. The loop raises the errors of that thread, and leaving the loop early stops
    `generate` at its next step. You can also run `generate` in a thread of your own, as with `TextIteratorStreamer`.
    Leaving the loop early then only drops the remaining frames, and an error in your thread ends the loop with a
    `RuntimeError`; set a `timeout` for errors before the first step.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer of the model.
        mask_token_id (`int`):
            The mask token of the model.
        timeout (`float`, *optional*):
            The longest time to wait for a frame in seconds. By default there is no limit.
        kwargs:
            `callback`, `attention_mask`, `eos_token_id` and `pad_token_id` of [`CanvasStreamer`].

    Raises:
        `TimeoutError`: from the loop, if no frame arrives in time.

    Example:

    ```python
    >>> from modeling_llada.streaming import CanvasIteratorStreamer

    >>> streamer = CanvasIteratorStreamer(tokenizer, model.config.mask_token_id)
    >>> for frame in streamer.start(model.generate, **inputs, max_new_tokens=18):
    ...     show(frame.text(mask="_"))
    >>> sequences = streamer.output
    ```
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, mask_token_id: int, timeout: float | None = None, **kwargs
    ) -> None:
        super().__init__(tokenizer, mask_token_id, **kwargs)
        self.timeout = timeout
        self.output: Any = None
        self._frames: queue.SimpleQueue = queue.SimpleQueue()  # unbounded, so that `generate` never waits
        self._producer: threading.Thread | None = None
        self._is_own_thread = False
        self._is_closed = threading.Event()
        self._loop: Iterator[CanvasFrame] | None = None  # that of `next`

    def start(self, generate: Callable, **kwargs) -> "CanvasIteratorStreamer":
        """
        Runs `generate` in a thread with this streamer. After the loop its result is in `output`.

        Args:
            generate (`Callable`):
                `model.generate`.
            kwargs:
                Its arguments.

        Returns:
            [`CanvasIteratorStreamer`]: The streamer itself, to iterate over.

        Raises:
            `ValueError`: if the streamer follows another call that is still running.
        """
        if self._is_own_thread and self._is_closed.is_set():
            self._producer.join(self.timeout)  # it stops at its next step
        if self._producer is not None and self._producer.is_alive():
            raise ValueError("this streamer follows a call that is still running. Use another one for the next call.")
        self.reset()
        self.output, self._frames, self._is_own_thread = None, queue.SimpleQueue(), True
        self._loop = None
        self._is_closed.clear()
        self._producer = threading.Thread(target=self._run, args=(generate, kwargs), daemon=True)
        self._producer.start()
        return self

    def close(self) -> None:
        """Drops all further frames. A call that `start` runs stops at its next step."""
        self._is_closed.set()

    def on_frame(self, frame: CanvasFrame) -> None:
        if not self._is_own_thread:
            self._producer = threading.current_thread()
        super().on_frame(frame)
        if not self._is_closed.is_set():
            self._frames.put(frame)
        elif self._is_own_thread:
            raise GenerationStopped

    def end(self) -> None:
        super().end()
        if not self._is_own_thread:
            self._frames.put(END)
            self._producer = None  # the next call may run in another thread
            self._is_closed.clear()

    def __next__(self) -> CanvasFrame:
        self._loop = self._loop or iter(self)
        try:
            return next(self._loop)
        except BaseException:  # it is over
            self._loop = None
            raise

    def __iter__(self) -> Iterator[CanvasFrame]:
        try:
            while isinstance(item := self._next_item(), CanvasFrame):
                yield item
            if self._is_own_thread:
                self._producer.join()  # it has put its last item and is about to end
            if item is not END:
                raise item
        except BaseException:  # such as GeneratorExit, when the loop is left early
            self.close()
            raise

    def _run(self, generate: Callable, kwargs: dict) -> None:
        try:
            self.output = generate(**kwargs, streamer=self)
            self._frames.put(END)
        except GenerationStopped:
            self._frames.put(END)
        except BaseException as error:
            self._frames.put(error)

    def _next_item(self) -> Any:
        deadline = None if self.timeout is None else time.monotonic() + self.timeout
        while True:
            wait = POLL_SECONDS if deadline is None else min(POLL_SECONDS, deadline - time.monotonic())
            is_alive = self._producer is None or self._producer.is_alive()
            try:
                return self._frames.get(timeout=max(wait, 0))
            except queue.Empty:
                # `is_alive` was read before the wait, so a thread that had ended put its last item before.
                if not is_alive and self._is_own_thread:
                    return END
                if not is_alive:
                    self._producer = None
                    self.reset()
                    raise RuntimeError(
                        "the thread of `generate` ended before the result. See its traceback."
                    ) from None
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError(f"`generate` made no frame within `timeout={self.timeout}` seconds.") from None


class RecordingStreamer(CanvasStreamer):
    """
    A [`CanvasStreamer`] with the same arguments that keeps the frames of the last call in `record`, a
    [`DenoisingRecord`].

    Example:

    ```python
    >>> from modeling_llada.drawing import denoising_svg
    >>> from modeling_llada.streaming import RecordingStreamer

    >>> streamer = RecordingStreamer(tokenizer, model.config.mask_token_id)
    >>> output = model.generate(**inputs, max_new_tokens=18, streamer=streamer)
    >>> svg = denoising_svg(streamer.record)
    ```
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.record = DenoisingRecord([])

    def on_frame(self, frame: CanvasFrame) -> None:
        if frame.step < 0 and not frame.is_final:
            self.record = DenoisingRecord([])
        self.record.frames.append(frame)
        super().on_frame(frame)
