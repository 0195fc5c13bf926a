# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""How LLaDA and autoregressive models are asked for a line, and how they score one.

|  | LLaDA | autoregressive model |
|---|---|---|
| `question` | both directions | both directions |
| the text itself | `infill`: masks in place of the line, both directions | `continuation`: the next line alone |
| log-likelihood of a line | eq. 6 of the paper, given the text on both sides | of the line and the text after it, given the text before |

An autoregressive model cannot write the previous line, but it can rank candidates for it: by Bayes, the likelihood of a
line and the text after it is proportional to the probability of the line given that text.
"""

from collections.abc import Callable, Iterator
from functools import cache
from math import comb

import torch
from torch.nn import functional as F

from ..models.likelihood_noise_llada import draw_noise
from .reversal import Templates, asked_line


MAX_ENUMERATED = 8  # all 255 masks of a line of 8 tokens are scored; for longer lines, masks are sampled
NUM_SAMPLES = 128


class Lines:
    """
    What both kinds of models share: a tokenizer, templates and batches.

    Args:
        model ([`PreTrainedModel`]):
            The model.
        tokenizer (`PreTrainedTokenizerBase`):
            Its tokenizer.
        templates ([`Templates`], *optional*):
            The words around the lines.
        max_new_tokens (`int`, *optional*, defaults to 28):
            The largest number of tokens in the answer to a question.
        batch_size (`int`, *optional*, defaults to 64):
            The number of sequences in a forward pass.
        chat_template (`bool`, *optional*, defaults to `False`):
            Whether a question is a chat.
    """

    tasks: tuple[tuple[str, str], ...]

    def __init__(
        self,
        model,
        tokenizer,
        templates: Templates | None = None,
        max_new_tokens: int = 28,
        batch_size: int = 64,
        chat_template: bool = False,
    ):
        self.model, self.tokenizer = model, tokenizer
        self.templates = templates or Templates()
        self.max_new_tokens = max_new_tokens
        self.batch_size = batch_size
        self.chat_template = chat_template

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, without special tokens."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []

    def decode(self, ids: torch.Tensor) -> str:
        """The text before the first EOS."""
        ids = ids.tolist()
        end = self.tokenizer.eos_token_id
        return self.tokenizer.decode(ids[: ids.index(end)] if end in ids else ids, skip_special_tokens=True)

    def question(self, pair: tuple[str, str], direction: str) -> list[int]:
        """The tokens of a question."""
        text = self.templates.question(pair, direction)
        if not self.chat_template:
            return self.start() + self.encode(text)
        messages = [{"role": "user", "content": text}]
        # With `tokenize=True` the return type depends on the version of transformers.
        return self.encode(self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))

    def start(self) -> list[int]:
        """The tokens before any text."""
        return []

    def answer(
        self, form: str, direction: str, pairs: list[tuple[str, str]]
    ) -> Iterator[tuple[list[tuple[str, str]], list[str]]]:
        """Asks for a line of each pair, greedily. Yields some of the pairs, and the answers for them."""
        rows = [(pair, *self.prompt(form, direction, pair)) for pair in pairs]
        for batch in batches_of_equal(rows, lambda row: (len(row[1]), row[2]), self.batch_size):
            ids = torch.tensor([row[1] for row in batch], device=self.model.device)
            yield [row[0] for row in batch], [self.decode(line) for line in self.generate(ids, *batch[0][2])]

    def prompt(self, form: str, direction: str, pair: tuple[str, str]) -> tuple[list[int], tuple[int, int]]:
        """The tokens of the prompt, and the first position and the length of the answer in the output."""
        if form == "question":
            ids = self.question(pair, direction)
            return ids, (len(ids), self.max_new_tokens)
        return self.text_prompt(direction, pair)

    def text_prompt(self, direction: str, pair: tuple[str, str]) -> tuple[list[int], tuple[int, int]]:
        """The same for the text itself instead of a question."""
        raise NotImplementedError

    def generate(self, ids: torch.Tensor, start: int, length: int) -> torch.Tensor:
        """The tokens of the answers."""
        raise NotImplementedError

    def sides(self, form: str, direction: str, pair: tuple[str, str]) -> tuple[list[int], list[int]]:
        """The tokens before and after the line that is asked for, in its text or as the answer to a question."""
        if form == "question":
            return self.question(pair, direction), self.ending(len(self.encode(asked_line(pair, direction))))
        before, after = self.templates.around(pair, direction)
        return self.start() + self.encode(before), self.encode(after)

    def ending(self, length: int) -> list[int]:
        """The tokens after an answer of this length."""
        raise NotImplementedError

    def score(self, before: list[int], lines: list[str], after: list[int], seed: int = 0) -> list[float]:
        """
        The log-likelihoods of lines between other tokens, in nats, up to a constant that all lines share. All
        candidates of the same length share the noise.
        """
        rows = [(index, self.encode(line)) for index, line in enumerate(lines)]
        scores = [0.0] * len(lines)
        for batch in batches_of_equal(rows, lambda row: len(row[1]), len(rows)):
            texts = torch.tensor([before + ids + after for _, ids in batch], device=self.model.device)
            values = self.score_tokens(texts, len(before), len(batch[0][1]), seed)
            for (index, _), value in zip(batch, values.tolist(), strict=True):
                scores[index] = value
        return scores

    def score_tokens(self, texts: torch.Tensor, start: int, length: int, seed: int) -> torch.Tensor:
        """The scores of lines at the same position of texts of equal length."""
        raise NotImplementedError


class LLaDALines(Lines):
    """
    A LLaDA model that is asked for lines. See [`Lines`] for the other arguments.

    Args:
        num_samples (`int`, *optional*):
            The number of noise samples for the likelihood of a line, which must be even. By default 128 for lines of
            more than 8 tokens; shorter lines get the exact expectation of eq. 6 over all masks.
        options (`dict`, *optional*):
            Other arguments of `generate`. By default one token a step is decoded by confidence, greedily.

    Example:

    ```python
    >>> from transformers import AutoModel, AutoTokenizer
    >>> from modeling_llada.evaluation.reversal_models import LLaDALines

    >>> tokenizer = AutoTokenizer.from_pretrained("checkpoints/llada-poet")
    >>> poet = LLaDALines(AutoModel.from_pretrained("checkpoints/llada-poet", dtype="float32"), tokenizer)
    >>> [(_, answers)] = poet.answer("infill", "previous", [("床前明月光", "疑是地上霜")])
    >>> answers
    ['床前明月光']
    ```
    """

    tasks = (("question", "next"), ("question", "previous"), ("infill", "next"), ("infill", "previous"))

    def __init__(self, model, tokenizer, *args, num_samples: int | None = None, options: dict | None = None, **kwargs):
        super().__init__(model, tokenizer, *args, **kwargs)
        self.num_samples = num_samples
        self.options = options or {}

    def text_prompt(self, direction, pair):
        before, after = self.sides("text", direction, pair)
        length = len(self.encode(asked_line(pair, direction)))
        return before + [self.model.config.mask_token_id] * length + after, (len(before), length)

    def ending(self, length):
        # An answer ends with EOS up to the end of the canvas on which the model writes it.
        return [self.tokenizer.eos_token_id] * max(self.max_new_tokens - length, 0)

    def generate(self, ids, start, length):
        new = max(start + length - ids.shape[1], 0)
        return self.model.generate(ids, **{**self.options, "max_new_tokens": new})[:, start : start + length]

    @torch.no_grad()
    def score_tokens(self, texts, start, length, seed):
        mask, weights = self.noise(length, seed)
        mask = F.pad(mask, (start, texts.shape[1] - start - length)).to(texts.device)
        weights = weights.to(texts.device)
        places = torch.cartesian_prod(torch.arange(len(texts)), torch.arange(len(mask))).to(texts.device)
        scores = []
        for part in places.split(self.batch_size):
            row, noise = part.unbind(-1)
            log_probs = self.model.masked_log_probs(texts[row], mask[noise])
            scores.append(weights[noise] * log_probs)
        return torch.cat(scores).view(len(texts), len(mask)).sum(-1)

    def noise(self, length: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Masks of a line, `(masks, length)`, and their weights in the estimate of eq. 6."""
        if self.num_samples is None and length <= MAX_ENUMERATED:
            return all_masks(length)
        number = self.num_samples or NUM_SAMPLES
        scored = torch.ones(length, dtype=torch.bool)
        mask, weights = draw_noise(scored, number, True, torch.Generator().manual_seed(seed))
        return mask, weights / number


class CausalLines(Lines):
    """
    An autoregressive model that is asked for lines. See [`Lines`] for the arguments.

    Raises:
        `ValueError`: if the model has no `config.bos_token_id`, from which the first token of a text is predicted.
    """

    tasks = (("question", "next"), ("question", "previous"), ("continuation", "next"))

    def __init__(self, model, tokenizer, *args, **kwargs):
        if getattr(model.config, "bos_token_id", None) is None:
            raise ValueError(
                "`model` must have a `config.bos_token_id`, from which the first token of a text is predicted. Set it to "
                "the token that began the texts in training."
            )
        super().__init__(model, tokenizer, *args, **kwargs)

    def start(self):
        return [self.model.config.bos_token_id]

    def text_prompt(self, direction, pair):
        ids, _ = self.sides("text", direction, pair)
        return ids, (len(ids), len(self.encode(asked_line(pair, direction))) + 1)

    def ending(self, length):
        return [self.tokenizer.eos_token_id]

    def generate(self, ids, start, length):
        end = self.tokenizer.eos_token_id
        options = {"do_sample": False, "num_beams": 1, "eos_token_id": end, "pad_token_id": end}
        mask = torch.ones_like(ids)
        return self.model.generate(ids, attention_mask=mask, max_new_tokens=length, **options)[:, start:]

    @torch.no_grad()
    def score_tokens(self, texts, start, length, seed):
        scores = []
        for rows in texts.split(self.batch_size):
            log_probs = self.model(input_ids=rows[:, :-1]).logits[:, start - 1 :].float().log_softmax(-1)
            scores.append(log_probs.gather(-1, rows[:, start:, None]).sum((1, 2)))
        return torch.cat(scores)


@cache
def all_masks(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All masks of a line of `L` tokens but the empty one, and their weights in eq. 6: `1 / (l C(L, l))` for `l` masks."""
    mask = torch.arange(1, 2**length)[:, None] >> torch.arange(length) & 1
    counts = mask.sum(-1).tolist()
    return mask.bool(), torch.tensor([1 / (count * comb(length, count)) for count in counts])


def batches_of_equal(rows: list, length_of: Callable[[object], object], batch_size: int) -> Iterator[list]:
    """Batches of rows of equal length, which need no padding."""
    groups = {}
    for row in rows:
        groups.setdefault(length_of(row), []).append(row)
    for group in groups.values():
        for start in range(0, len(group), batch_size):
            yield group[start : start + batch_size]
