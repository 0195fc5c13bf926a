# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Multiple choice by decoding: one constrained generation answers a question, in the place of a likelihood for each choice."""

from collections import defaultdict
from dataclasses import dataclass

from lm_eval.api.instance import Instance
from transformers import PreTrainedTokenizerBase

from ..compilers.token_texts import token_texts
from ..constraints import Constraint
from ..models.denoising_llada import end_tokens
from ..seeds import content_generator
from .harness_prompts import Prompt, batches, estimate_length
from .stop_strings import cut_answer


# What the harness gets for the choice that was decoded, and for the others: log-likelihoods, and whether it is the greedy one.
CHOSEN, NOT_CHOSEN = (0.0, True), (-100.0, False)


@dataclass(frozen=True)
class Question:
    """
    A question of a task with several choices.

    Args:
        requests (list of `int`): The places of its requests, one for each choice.
        context (`Prompt`): The question.
        choices (list of `str`): What may follow it.
        length (`int`): The number of tokens of the longest choice, which is that of the canvas.
    """

    requests: list[int]
    context: Prompt
    choices: list[str]
    length: int

    def constraint(self, tokenizer: PreTrainedTokenizerBase) -> Constraint:
        """One of the choices. Where decoding removes a space at the beginning, the constraint itself allows for it."""
        has_lost_space = token_texts(tokenizer).first_space_is_lost
        choices = [choice.removeprefix(" ") if has_lost_space else choice for choice in self.choices]
        return Constraint.from_choices(choices, tokenizer)

    def results(self, answer: str) -> list[tuple[float, bool]]:
        """What the harness gets for each choice."""
        return [CHOSEN if choice.strip() == answer.strip() else NOT_CHOSEN for choice in self.choices]


def find_questions(requests: list[Instance], rows: list[tuple[tuple, Prompt, list[int]]]) -> list[Question]:
    """The questions among requests for likelihoods: several choices of a document behind one text. `rows` has their tokens."""
    groups = defaultdict(list)
    for index, request in enumerate(requests):
        groups[request.task_name, request.doc_id, request.args[0]].append(index)
    questions = []
    for (_, _, text), group in groups.items():
        if text and len(group) > 1:
            spaces = text[len(text.rstrip()) :]  # the harness moves them behind the question
            choices = [spaces + requests[index].args[1] for index in group]
            length = max(len(rows[index][2]) for index in group)
            questions.append(Question(group, rows[group[0]][1], choices, length))
    return questions


class ChoicesMixin:
    """What the model of the harness decodes choices with. It needs the helpers of that class."""

    def _choose(
        self, questions: list[Question], rows: list[tuple], disable_tqdm: bool
    ) -> dict[int, tuple[float, bool]]:
        """Decodes one of the choices of each question. Returns the results by the places of the requests."""
        results, groups = {}, defaultdict(list)
        for question in questions:
            groups[question.length].append(question)
        with self._progress(
            [row for question in questions for row in question.requests], "choosing", disable_tqdm
        ) as progress:
            for length, group in groups.items():
                for batch in batches(group, self.batch_size, lambda one: estimate_length(one.context, self.processor)):
                    for question, answer in zip(batch, self._decode_choices(batch, length), strict=True):
                        for index, result in zip(question.requests, question.results(answer), strict=True):
                            results[index] = result
                            self.cache_hook.add_partial("loglikelihood", rows[index][0], result)
                            progress.update()
        return results

    def _decode_choices(self, questions: list[Question], length: int) -> list[str]:
        """The answers to questions on a canvas of one length."""
        options = self.options | {"max_new_tokens": length}
        config = self.model._merge_generation_config(None, dict(options))
        inputs = self._inputs([question.context.crop(self.max_length - length) for question in questions])
        sequences = self.model.generate(
            **inputs,
            **options,
            constraint=[question.constraint(self.tokenizer) for question in questions],
            generator=[
                content_generator(self.seed, "choose", one.context.tokens, one.choices, *one.context.marks)
                for one in questions
            ],
        )
        prompt_length, ends = inputs["input_ids"].shape[1], end_tokens(config, "cpu").tolist()
        return [cut_answer(self.tokenizer, row, prompt_length, [], ends) for row in sequences.tolist()]
