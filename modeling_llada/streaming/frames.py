# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Frames: the canvas of a call after each denoising step."""

from dataclasses import dataclass, field
from enum import IntEnum
from itertools import islice

import torch
from transformers import PreTrainedTokenizerBase

from ..completion import BROKEN, completion_text


class TokenState(IntEnum):
    """
    The content of a position: a token of the prompt, a mask, a token committed at this step (or changed by it, or moved to
    here), a token committed before, a pad, which is left of the prompt or behind the end of the completion, or a further token of
    an image: its first token is a given one and stands for all.
    """

    GIVEN = 0
    MASK = 1
    NEW = 2
    COMMITTED = 3
    PAD = 4
    IMAGE = 5


UNCHANGED = torch.tensor([TokenState.GIVEN, TokenState.PAD, TokenState.IMAGE], dtype=torch.uint8)
WITHOUT_TEXT = (TokenState.MASK, TokenState.PAD, TokenState.IMAGE)
# What stands for the tokens of an image in texts and drawings. The processor of LLaDA-V adds these tokens to its tokenizer.
PLACEHOLDERS = {"<image>": "[image]", "<video>": "[video]"}


class TokenReader:
    """
    Decodes single tokens and remembers their texts.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer of the model.
        mask_token_id (`int`):
            The mask token of the model. The official tokenizers do not declare it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, mask_token_id: int) -> None:
        self.tokenizer = tokenizer
        self.mask_token_id = mask_token_id
        added = getattr(tokenizer, "get_added_vocab", dict)()
        self.placeholders = {added[token]: text for token, text in PLACEHOLDERS.items() if token in added}
        # Those that `decode` leaves out. A tokenizer need not name all of them: EoT and the headers of a chat have no name.
        unnamed = {token for token, entry in getattr(tokenizer, "added_tokens_decoder", {}).items() if entry.special}
        self.special_ids = frozenset({*tokenizer.all_special_ids, *unnamed} - self.placeholders.keys())
        self._known: dict[int, str] = dict(self.placeholders)

    def text_of(self, token: int) -> str:
        """The text of one token inside a text: with a space in front if it begins a word."""
        if token not in self._known:
            self._known[token] = self.text_behind([token])
        return self._known[token]

    def text_behind(self, tokens: list[int], skip_special_tokens: bool = False) -> str:
        """The text of tokens that follow others. Decoded alone, they would lose the space before their first word."""
        alone = self.tokenizer.decode(tokens[:1])
        # Their own first token stands for what is before them, unless it is a piece of a character.
        before = [] if BROKEN in alone else tokens[:1]
        return completion_text(self.tokenizer, before + tokens, len(before), skip_special_tokens)

    def texts_of(self, tokens: list[int | None]) -> list[str]:
        """
        A text for each position, `""` where the token is `None`. Where several tokens spell one character, the first
        of them gets it and the others get `""`, so that the texts can be joined.
        """
        texts = ["" if token is None else self.text_of(token) for token in tokens]
        no_text = {None, *self.special_ids, *self.placeholders}
        visible = (place for place, token in enumerate(tokens) if token not in no_text)
        for place in islice(visible, 1):  # a space before the first word is none of the text
            texts[place] = self.tokenizer.decode([tokens[place]])
        start = 0
        while start < len(texts):
            end = start + 1
            if BROKEN in texts[start]:
                text = texts[start]
                while BROKEN in text and end < len(texts) and BROKEN in texts[end]:
                    end += 1
                    text = self.tokenizer.decode(tokens[start:end])
                texts[start:end] = [text] + [""] * (end - start - 1)
            start = end
        return texts

    def find_images(self, tokens: torch.LongTensor) -> torch.BoolTensor:
        """Which tokens of `(batch, length)` repeat the placeholder before them: all tokens of an image but the first."""
        is_placeholder = torch.isin(tokens, torch.tensor(list(self.placeholders), dtype=torch.long))
        return is_placeholder & (tokens == tokens.roll(1, dims=1)) & (torch.arange(tokens.shape[1]) > 0)


@dataclass(frozen=True, eq=False)
class CanvasFrame:
    """
    The canvas of a call at one moment. Its tensors are on the CPU, and later steps do not change them.

    Args:
        step (`int`):
            The last denoising step before this frame, from 0; -1 at the start.
        is_final (`bool`):
            Whether this is the result, so that `tokens` is what `generate` returns.
        prompt_length (`int`):
            The first position of the completion.
        tokens (`torch.LongTensor` of shape `(batch, length)`):
            Prompt and completion.
        states (`torch.ByteTensor` of shape `(batch, length)`):
            The [`TokenState`] of each position.
        confidence (`torch.FloatTensor` of shape `(batch, length)`):
            The confidence of the committed tokens, NaN elsewhere.
        top_tokens (`torch.LongTensor` of shape `(batch, length, 3)`):
            The three most probable tokens for each mask of the active block (with edits, also for its committed tokens), as
            this step predicted them; -1 elsewhere, and in place of tokens that a logits processor or an option excluded.
        top_probabilities (`torch.FloatTensor` of shape `(batch, length, 3)`):
            The probabilities of `top_tokens` at the positions that this step committed, NaN elsewhere.
        reader ([`TokenReader`]):
            The decoder of the tokens.
    """

    step: int
    is_final: bool
    prompt_length: int
    tokens: torch.LongTensor
    states: torch.ByteTensor
    confidence: torch.FloatTensor
    top_tokens: torch.LongTensor
    top_probabilities: torch.FloatTensor
    reader: TokenReader = field(repr=False)

    @classmethod
    def start(
        cls, tokens: torch.LongTensor, is_padding: torch.BoolTensor, prompt_length: int, reader: TokenReader
    ) -> "CanvasFrame":
        """The canvas before the first step: given tokens, images, masks, and the padding of the prompt."""
        states = torch.where(tokens == reader.mask_token_id, int(TokenState.MASK), int(TokenState.GIVEN))
        states = states.masked_fill(reader.find_images(tokens), TokenState.IMAGE)
        return cls(
            step=-1,
            is_final=False,
            prompt_length=prompt_length,
            tokens=tokens,
            states=states.masked_fill(is_padding, TokenState.PAD).byte(),
            confidence=torch.full(tokens.shape, torch.nan),
            top_tokens=no_top_tokens(tokens),
            top_probabilities=no_top_probabilities(tokens),
            reader=reader,
        )

    def advance(
        self,
        step: int,
        tokens: torch.LongTensor,
        confidence: torch.FloatTensor,
        top_tokens: torch.LongTensor | None = None,
        is_final: bool = False,
        top_probabilities: torch.FloatTensor | None = None,
    ) -> "CanvasFrame":
        """The frame after this one. This frame, the new tokens and the confidences determine the new states."""
        # A mask that became a token without a confidence was not predicted: it is a pad.
        written = torch.where(tokens == self.tokens, int(TokenState.COMMITTED), int(TokenState.NEW))
        states = written.masked_fill(confidence.isnan(), TokenState.PAD)
        states = states.masked_fill(tokens == self.reader.mask_token_id, TokenState.MASK).byte()
        stays = torch.isin(self.states, UNCHANGED)
        return CanvasFrame(
            step=step,
            is_final=is_final,
            prompt_length=self.prompt_length,
            tokens=tokens,
            states=torch.where(stays, self.states, states),
            confidence=confidence,
            top_tokens=no_top_tokens(tokens) if top_tokens is None else top_tokens,
            top_probabilities=no_top_probabilities(tokens) if top_probabilities is None else top_probabilities,
            reader=self.reader,
        )

    def texts(self, row: int = 0) -> list[str]:
        """
        The text of each position of a row; `""` for masks and pads. An image is `"[image]"` at its first position and `""` at
        the others.

        Where several tokens spell one character, the first of them gets it; while some of them are still masks, it is
        U+FFFD.
        """
        return self.reader.texts_of(self._visible_tokens(row))

    def text(self, row: int = 0, mask: str = "", skip_special_tokens: bool = True) -> str:
        """
        The text of a whole row, with `[image]` for each image.

        Args:
            row (`int`, *optional*, defaults to 0):
                The row.
            mask (`str`, *optional*, defaults to `""`):
                The text of a mask.
            skip_special_tokens (`bool`, *optional*, defaults to `True`):
                Whether to leave out special tokens such as BOS and EOS.

        Returns:
            `str`: The text, without pads.
        """
        between, runs = [], [[]]  # masks and images, and the tokens between them
        for token, state in zip(self._visible_tokens(row), self.states[row].tolist(), strict=True):
            if state == TokenState.MASK or token in self.reader.placeholders:
                between.append(self.reader.placeholders.get(token, mask))
                runs.append([])
            elif token is not None:
                runs[-1].append(token)
        text = self.reader.tokenizer.decode(runs[0], skip_special_tokens=skip_special_tokens)
        for other, run in zip(between, runs[1:], strict=True):
            text += other + (self.reader.text_behind(run, skip_special_tokens) if run else "")
        return text

    def _visible_tokens(self, row: int) -> list[int | None]:
        pairs = zip(self.tokens[row].tolist(), self.states[row].tolist(), strict=True)
        return [None if state in WITHOUT_TEXT else token for token, state in pairs]


def no_top_tokens(tokens: torch.LongTensor) -> torch.LongTensor:
    """The `top_tokens` of a frame without predictions."""
    return torch.full((*tokens.shape, 3), -1)


def no_top_probabilities(tokens: torch.LongTensor) -> torch.FloatTensor:
    """The `top_probabilities` of a frame that committed nothing."""
    return torch.full((*tokens.shape, 3), torch.nan)
