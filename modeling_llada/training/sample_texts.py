# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Texts that the model writes during training, always to the same prompts."""

import json
import os
import time
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase, TrainerCallback
from trl import is_conversational
from trl.data_utils import maybe_convert_to_chatml

from ..completion import completion_text
from ..writing import write_atomically
from .masking.collator import stack_images
from .progress import columns_of, fit, terminal_width, write_line


FILE_NAME = "samples.jsonl"
NUM_HELD_OUT = 4  # prompts of the evaluation rows, if none are given


class SamplesCallback(TrainerCallback):
    """
    Completes a few prompts before the first step, and then every N steps.

    The texts are printed, each in a line of its own, and appended to `samples.jsonl` in the output folder, one line for each
    prompt, with `step`, `prompt`, `completion` and, for held-out rows, the response as `reference`. Sampling does not change
    the training. A resumed run drops the lines after the step of its checkpoint and continues the file.

    A prompt has `input_ids`, and a `reference` and `images` if there are some. Decoding is greedy, unless the arguments of `generate` say
    otherwise, and its noise follows from the seed of the training.

    Example:

    ```python
    >>> args = LLaDASFTConfig("runs/sft", sample_every=100, sample_prompts=["写一首关于月亮的五言绝句。"])
    >>> LLaDASFTTrainer("checkpoints/llada-poet", args, train_dataset=dataset).train()
    ```
    """

    def __init__(self, trainer, every: int, prompts: list[dict], generation_kwargs: dict | None = None):
        self.trainer = trainer
        self.every = every
        self.prompts = prompts
        self.generation_kwargs = {"temperature": 0.0} | (generation_kwargs or {})

    @property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        return getattr(self.trainer.processing_class, "tokenizer", self.trainer.processing_class)

    @property
    def path(self) -> Path:
        return Path(self.trainer.args.output_dir) / FILE_NAME

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            _keep_until(self.path, state.global_step)
        if state.global_step == 0:
            self._sample(0)

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step % self.every == 0:
            self._sample(state.global_step)

    def _sample(self, step: int) -> None:
        trainer = self.trainer
        # A sharded model needs all processes for a forward pass. Otherwise the first process samples alone.
        if not (trainer.is_world_process_zero() or trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
            return
        started = time.monotonic()
        completions = self._complete()
        if trainer.is_world_process_zero():
            tokenizer, image = self._tokenizer, getattr(trainer.model.config, "image_token_id", None)
            lines = []
            for prompt, completion in zip(self.prompts, completions, strict=True):
                shown = _without_repeats(prompt["input_ids"], image)
                texts = {"prompt": tokenizer.decode(shown), "completion": completion}
                lines.append({"step": step} | texts | {k: v for k, v in prompt.items() if k == "reference"})
                _show(lines[-1])
            _append(self.path, lines)
        trainer.pause_clock(time.monotonic() - started)

    def _complete(self) -> list[str]:
        trainer, tokenizer = self.trainer, self._tokenizer
        model = trainer.accelerator.unwrap_model(trainer.model)
        rows = {"input_ids": [prompt["input_ids"] for prompt in self.prompts]}
        inputs = tokenizer.pad(rows, padding_side="left", return_tensors="pt").to(trainer.args.device)
        images = stack_images([prompt.get("images") for prompt in self.prompts])
        images = {name: values.to(trainer.args.device) for name, values in images.items()}
        was_training = model.training
        devices = [trainer.args.device] if trainer.args.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.no_grad(), trainer.accelerator.autocast():
            model.eval()
            try:
                sequences = model.generate(
                    input_ids=inputs["input_ids"],
                    attention_mask=inputs["attention_mask"],
                    generator=torch.Generator(trainer.args.device).manual_seed(trainer.args.seed),
                    **images,
                    **self.generation_kwargs,
                )
            finally:
                model.train(was_training)
        return [completion_text(tokenizer, row, inputs["input_ids"].shape[1]) for row in sequences]


def sample_prompts(args, tokenizer, train_row: dict | None, held_out: Iterable[Iterable[dict]] = ()) -> list[dict]:
    """
    The tokenized prompts of `args`, messages of a user if `train_row` has messages. Without any, those of the first
    evaluation dataset with prompts, whose tokenized documents are `held_out`.
    """
    if args.sample_prompts:
        as_messages = train_row is not None and is_conversational(maybe_convert_to_chatml(train_row))
        return [{"input_ids": _tokenized(text, tokenizer, as_messages)} for text in args.sample_prompts]
    for documents in held_out:
        prompts = held_out_prompts(documents, tokenizer)
        if prompts:
            return prompts
    raise ValueError(
        "`sample_every` needs prompts: give texts as `sample_prompts`, or an `eval_dataset` whose rows have a prompt."
    )


def _tokenized(text: str, tokenizer, as_messages: bool) -> list[int]:
    if not as_messages:
        return tokenizer(text)["input_ids"]
    messages = [{"role": "user", "content": text}]
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]


def held_out_prompts(documents: Iterable[dict], tokenizer, count: int = NUM_HELD_OUT) -> list[dict]:
    """The prompts of the first documents that have one, with their responses."""
    prompts = []
    for row in documents:
        labels = row["labels"]
        length = next((place for place, label in enumerate(labels) if label != -100), 0)
        if length:
            prompt = row["input_ids"][:length]
            response = [label for label in labels[length:] if label != -100]
            prompts.append(
                {
                    "input_ids": prompt,
                    "reference": completion_text(tokenizer, [*prompt, *response], length),
                    "images": _images_until(row, length),
                }
            )
        if len(prompts) == count:
            break
    return prompts


def _images_until(row: dict, length: int) -> dict[str, torch.Tensor] | None:
    """The images that stand in a prompt, without those of later turns."""
    images, token = row.get("images"), row.get("image_token_id")
    if not images:
        return None
    ends = list(accumulate(row["image_lengths"]))
    count = bisect_right(ends, row["input_ids"][:length].count(token))
    return {name: values[:count] for name, values in images.items()} if count else None


def _without_repeats(tokens: list[int], repeated: int | None) -> list[int]:
    """The tokens with one in the place of each run of a token, as the tokens of an image are."""
    pairs = zip([None, *tokens], tokens, strict=False)
    return [token for before, token in pairs if token != repeated or before != repeated]


def _show(sample: dict) -> None:
    """Prints a sample, each of its texts in one line."""
    start = f"step {sample['step']:,}  "
    for name in ("prompt", "completion", "reference"):
        if name in sample:
            label = f"{start}{name:<10}  "
            # The end of a long prompt is the question.
            write_line(label + fit(sample[name], terminal_width() - columns_of(label), keep_end=name == "prompt"))
            start = " " * len(start)


def _append(path: Path, lines: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    # Written before training continues. An incomplete line of a killed run is dropped when it is resumed.
    with open(path, "ab", buffering=0) as file:
        file.write(text.encode())
        os.fsync(file.fileno())


def _keep_until(path: Path, step: int) -> None:
    """Drops lines that a killed run wrote after its checkpoint, or all lines if a run starts from the beginning."""
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")[:-1]  # without an incomplete last line
    kept = [line.decode() + "\n" for line in lines if step > 0 and json.loads(line)["step"] <= step]
    write_atomically(path, "".join(kept))
