# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Many prompts through one model: rows join a batch as others leave it."""

import reprlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from ..completion import completion_text
from ..models.call_llada import Call
from ..models.generation_llada import LLaDAGenerationMixin, LLaDAGenerationOutput
from ..models.options_llada import check_integer
from .job import Job
from .scheduler import Scheduler


MAX_SEED = 2**63 - 1


@dataclass
class BatchedAnswer:
    """
    What became of a prompt.

    Args:
        index (`int`):
            The number of the prompt, from 0.
        output ([`LLaDAGenerationOutput`], *optional*):
            What `generate` returns for the prompt alone with `return_dict_in_generate=True`; `None` if it failed.
        text (`str`, *optional*):
            The completion as text. Only for a prompt that was a text.
        error (`Exception`, *optional*):
            Why the prompt has no output. A `ValueError` names the option or the input that is wrong.
    """

    index: int
    output: LLaDAGenerationOutput | None = None
    text: str | None = None
    error: Exception | None = None


class BatchedDecoder:
    """
    Completes many prompts with one model, several at a time. A prompt joins and leaves the batch at the boundaries of its
    blocks, while others go on, so that none waits for the longest. Each gets what `model.generate` gives it alone: at
    temperature 0, or with a seed of its own, the same tokens in as many forward passes, up to rounding.

    Prompts share forward passes if the options of what a step does are equal, such as `block_cache`, `confidence_threshold`
    or `temperature`. The length, `steps`, `block_length`, the ends and the seed may differ. Those with
    constraints share passes with each other, unless these are recorded. Calls with callables, edits, drafts, images or several
    completions run beside the others with passes of their own; the log says so.

    Args:
        model ([`LLaDAForMaskedLM`]):
            The model, in evaluation mode.
        tokenizer (`PreTrainedTokenizerBase`, *optional*):
            Its tokenizer. Prompts that are texts need it, and so do `stop_strings`.
        batch_size (`int`, *optional*, defaults to 8):
            How many prompts are at work at once.
        memory_limit (`int`, *optional*):
            How many bytes the keys, values and logits of these may take together. A prompt waits until it fits, and one that
            never can is refused. By default 90% of the free memory of the GPU, or half of that of the machine.
        options:
            Options of `generate` for all prompts.

    Raises:
        `ValueError`: if `batch_size` or `memory_limit` is not a positive integer.

    Example:

    ```python
    >>> from modeling_llada.serving import BatchedDecoder

    >>> with BatchedDecoder(model, tokenizer, block_length=8, block_cache="dual", max_new_tokens=24) as decoder:
    ...     for answer in decoder.generate(["床前明月光，", {"prompt": "白日依山尽，", "max_new_tokens": 8}]):
    ...         print(answer.index, answer.text)
    0 疑是地上霜。
    1 黄河入海流。
    ```
    """

    def __init__(
        self,
        model: LLaDAGenerationMixin,
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        batch_size: int = 8,
        memory_limit: int | None = None,
        **options,
    ) -> None:
        self.model, self.tokenizer, self.options = model, tokenizer, options
        self.scheduler = Scheduler(model, batch_size, memory_limit)

    def generate(self, prompts: Iterable[str | Any], *, ordered: bool = True) -> Iterator[BatchedAnswer]:
        """
        Completes prompts. They are taken from the iterable when there is room for more, so it may be endless.

        Args:
            prompts (`Iterable`):
                Each is a text; or token ids, a list or a tensor of shape `(length,)` or `(1, length)`; or a mapping of arguments of
                `generate`, such as a tokenizer returns, which win over the options of the decoder, with the text as `prompt` or the ids as `input_ids`, and
                perhaps with a `seed`. Without a seed or a `generator`, a prompt gets a seed from the global generator of torch.
            ordered (`bool`, *optional*, defaults to `True`):
                Whether the answers come in the order of the prompts. Otherwise they come as soon as they are finished.

        Returns:
            `Iterator[BatchedAnswer]`: One answer for each prompt. What is wrong with a prompt is in its `error`, and stops no
            other one. Closing the iterator ends what is at work.

        Raises:
            `ValueError`: if `prompts` is a single prompt. The iterator raises a `RuntimeError` if the decoder is closed before its
                end.
        """
        if isinstance(prompts, str | Mapping) or not isinstance(prompts, Iterable):
            raise ValueError(
                f"`prompts` must be an iterable of prompts, such as a list, but got {reprlib.repr(prompts)}. Pass `[prompt]` for one."
            )
        return self._generate(enumerate(prompts), ordered)

    def _generate(self, prompts: Iterator[tuple[int, Any]] | None, ordered: bool) -> Iterator[BatchedAnswer]:
        """The answers to numbered prompts."""
        finished: deque[BatchedAnswer] = deque()
        jobs: dict[int, Job] = {}
        early: dict[int, BatchedAnswer] = {}  # in order, those whose turn has not come
        turn = 0
        try:
            while True:
                while prompts is not None and len(self.scheduler.waiting) < self.scheduler.batch_size:
                    index, prompt = next(prompts, (None, None))
                    if index is None:
                        prompts = None
                        break
                    jobs[index] = self._submit(index, prompt, finished)
                if not jobs and prompts is None:
                    return
                self.scheduler.step()
                if any(job.is_cancelled for job in jobs.values()):
                    raise RuntimeError(
                        "The decoder was closed before all prompts had an answer. Read the answers first."
                    )
                while finished:
                    answer = finished.popleft()
                    del jobs[answer.index]
                    if not ordered:
                        yield answer
                        continue
                    early[answer.index] = answer
                    while turn in early:
                        yield early.pop(turn)
                        turn += 1
        finally:
            for job in jobs.values():
                job.cancel()
            self.scheduler.drop_cancelled()

    def close(self) -> None:
        """Ends what is at work, and frees its memory."""
        self.scheduler.close()

    def __enter__(self) -> "BatchedDecoder":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def _submit(self, index: int, prompt: Any, finished: deque) -> Job:
        seed = int(torch.randint(MAX_SEED, ()))  # drawn for each prompt, so that it does not depend on the batch

        def done(job: Job) -> None:
            answer = BatchedAnswer(index, job.output, error=job.error)
            if job.output is not None and is_text(prompt):
                answer.text = completion_text(self.tokenizer, job.output.sequences[0], job.call.prompt_length)
            finished.append(answer)

        job = Job(lambda: self._prepare(prompt, seed), done)
        self.scheduler.submit(job)
        return job

    def _prepare(self, prompt: Any, seed: int) -> Call:
        """The checked call of a prompt."""
        arguments = self.options | (dict(prompt) if isinstance(prompt, Mapping) else as_argument(prompt))
        if "prompt" in arguments:
            arguments = self._encode(arguments.pop("prompt"), arguments) | arguments
        else:
            arguments["input_ids"] = as_row(arguments.get("input_ids"))
        named = {
            name: arguments.pop(name, None)
            for name in (
                "input_ids",
                "attention_mask",
                "generation_config",
                "logits_processor",
                "stopping_criteria",
                "streamer",
                "generator",
                "constraint",
            )
        }
        tokenizer = arguments.pop("tokenizer", self.tokenizer)
        seed = arguments.pop("seed", seed)
        if named["generator"] is None:
            check_integer("seed", seed, minimum=0, maximum=MAX_SEED)
            named["generator"] = torch.Generator(self.model.device).manual_seed(seed)
        return self.model._prepare_call(**named, tokenizer=tokenizer, kwargs=arguments)

    def _encode(self, text: Any, arguments: dict) -> dict:
        """The ids of a text."""
        if not isinstance(text, str):
            raise ValueError(f"`prompt` must be a text, but got {text!r}. Pass token ids as `input_ids`.")
        if "input_ids" in arguments:
            raise ValueError("A prompt must have either `prompt` or `input_ids`, but got both. Leave one out.")
        if self.tokenizer is None:
            raise ValueError("A prompt that is a text needs the `tokenizer`. Pass `BatchedDecoder(model, tokenizer)`.")
        return dict(self.tokenizer(text, return_tensors="pt"))


def is_text(prompt: Any) -> bool:
    """Whether a prompt is given as a text."""
    return isinstance(prompt, str) or (isinstance(prompt, Mapping) and "prompt" in prompt)


def as_argument(prompt: Any) -> dict:
    """A text or token ids as an argument."""
    return {"prompt": prompt} if isinstance(prompt, str) else {"input_ids": prompt}


def as_row(ids: Any) -> Any:
    """Token ids as a batch of one row, where they are a list or a vector."""
    if isinstance(ids, list) and ids and all(isinstance(one, int) for one in ids):
        return torch.tensor([ids])
    return ids[None] if isinstance(ids, torch.Tensor) and ids.ndim == 1 else ids
