# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Asks a model the questions of a task."""

from dataclasses import dataclass, field, replace

import torch

from evidence.quality.settings import Setting
from evidence.quality.tasks import Question
from modeling_llada.seeds import indexed_generator


@dataclass
class Examiner:
    """Runs settings, each on the model with its weights."""

    models: dict  # by the quantization of their weights; `None` for plain weights
    tokenizer: object  # pads on the left
    questions: dict[str, list[Question]]
    batch_size: int
    seed: int
    plain: dict[str, tuple[dict, list[list[int]]]] = field(default_factory=dict)

    def measure(self, setting: Setting) -> dict[str, dict]:
        """The result of a setting by its key. With quantized weights, also the result of the same setting with plain weights,
        which is run again to compare the answers."""
        if setting.weights is None:
            return {setting.key: self.ask(setting)[0]}
        twin = replace(setting, weights=None)
        if twin.key not in self.plain:
            self.plain[twin.key] = self.ask(twin)
        result, answers = self.ask(setting)
        twin_result, twin_answers = self.plain[twin.key]
        return {twin.key: twin_result, setting.key: result | agreement(answers, twin_answers)}

    def ask(self, setting: Setting) -> tuple[dict, list[list[int]]]:
        """
        Answers all questions of the task with a setting. Returns the result, and the token ids of each answer. The result has
        `hits`, a string with 1 for each question whose answer is exactly right and 0 for the others, the share of `characters`
        that are right, and the mean `forward_passes` and `tokens` of a question.
        """
        questions, model = self.questions[setting.task], self.models[setting.weights]
        hits, given = ["0"] * len(questions), [[]] * len(questions)
        right = passes = tokens = 0
        for batch in batches(questions, self.batch_size):
            prompts = [question.prompt for question in batch]
            inputs = self.tokenizer(prompts, return_tensors="pt", padding=True).to(model.device)
            answers = self.tokenizer([question.answer for question in batch], return_tensors="pt")["input_ids"]
            length = answers.shape[1] + setting.extra_tokens
            output = model.generate(
                **inputs,
                **setting.options(length),
                max_new_tokens=length,
                stop_at_eos=False,
                return_dict_in_generate=True,
                # One for each row: a question's noise depends on nothing but its index.
                generator=[indexed_generator(self.seed, question.index, model.device) for question in batch],
            )
            completions = output.sequences[:, -length:].cpu()
            is_right = completions[:, : answers.shape[1]] == answers
            is_exact = is_right.all(-1) & ends_there(completions, answers.shape[1], self.tokenizer.eos_token_id)
            for question, completion, is_hit in zip(batch, completions.tolist(), is_exact.tolist(), strict=True):
                hits[question.index], given[question.index] = str(int(is_hit)), completion
            right += is_right.sum().item()
            tokens += answers.numel()
            passes += output.num_forward_passes.sum().item()
        result = {
            "hits": "".join(hits),
            "characters": round(right / tokens, 4),
            "forward_passes": round(passes / len(questions), 4),
            "tokens": round(tokens / len(questions), 4),
        }
        return result, given


def ends_there(completions: torch.LongTensor, length: int, eos_token_id: int) -> torch.BoolTensor:
    """Whether answers end after `length` tokens, with an EOS or with the canvas, `(batch,)`."""
    return (completions[:, length : length + 1] == eos_token_id).all(-1)


def agreement(answers: list[list[int]], others: list[list[int]]) -> dict[str, float]:
    """The share of answers that are the same, and of their characters."""
    pairs = list(zip(answers, others, strict=True))
    same = [one == other for pair in pairs for one, other in zip(*pair, strict=True)]
    return {
        "same_answers": round(sum(one == other for one, other in pairs) / len(pairs), 4),
        "same_characters": round(sum(same) / len(same), 4),
    }


def batches(questions: list[Question], batch_size: int) -> list[list[Question]]:
    """Batches of questions with answers of one length and prompts of similar length."""
    by_length: dict[int, list[Question]] = {}
    for question in sorted(questions, key=lambda question: len(question.prompt)):
        by_length.setdefault(len(question.answer), []).append(question)
    return [
        group[start : start + batch_size] for group in by_length.values() for start in range(0, len(group), batch_size)
    ]
