# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What SmolLM2 is asked to write: forms with words of words.json in them, in simple English.

A form has the words of the user and the beginning of the answer, which keeps a small model to the form that is asked for.
"""

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path


WORDS = {
    name: [word.strip() for word in re.split("[;,]" if re.search("[;,]", words) else " ", words)]
    for name, words in json.loads(Path(__file__).with_name("words.json").read_text(encoding="utf-8")).items()
}
# SmolLM2 is told so, but a question is kept without it, as people ask.
IN_SHORT = " Answer in two or three sentences."
ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou]|honest)")


@dataclass(frozen=True)
class Form:
    """A kind of text: how often it is asked for, and pairs of the words of the user and the beginning of the answer."""

    kind: str
    share: float
    pairs: tuple[tuple[str, str], ...]


FORMS = (
    Form(
        "story",
        0.43,
        (
            (
                "Write a very short story for children about a {adjective} {animal} named {name} and a {thing}.",
                "Once upon a time, there was a {adjective} {animal} named {name}. {name} lived near a {place}. One {weather} {time}, {name}",
            ),
            (
                "Tell me a very short story about a {adjective} {man} who {event}.",
                "Once upon a time, there was a {adjective} {man} named {boy}. One {weather} {time}, {boy} {event}.",
            ),
            (
                "Tell me a very short story about a {adjective} {woman} who {event}.",
                "Once upon a time, a {adjective} {woman} named {girl} lived near a {place}. One {time}, {girl} {event}.",
            ),
            (
                "Tell me a very short story about a {animal} who {event}.",
                "It was a {weather} {time} near the {place}. {name} the {animal} {event}.",
            ),
            (
                "Write a very short story about a girl named {girl} and {lesson}.",
                "{girl} was a {adjective} girl who lived near a {place}. One {time},",
            ),
            (
                "Write a very short story about a boy named {boy} and {lesson}.",
                "{boy} was a {adjective} boy who had a {thing}. One {weather} {time},",
            ),
        ),
    ),
    Form(
        "dialogue",
        0.12,
        (
            (
                "Write a very short conversation between two friends, {boy} and {girl}, about {topic}.",
                '"Hello, {girl}," said {boy}. "I am thinking about {topic}."\n\n"',
            ),
            (
                "Write a very short conversation between {girl} and {boy}, who is {feeling}.",
                '"How are you today, {boy}?" asked {girl}.\n\n"I am {feeling}," said {boy}. "',
            ),
        ),
    ),
    Form(
        "question",
        0.20,
        (
            ("What is a {subject}?", "A {subject} is"),
            ("What is the difference between a {subject} and a {subject2}?", "A {subject} is"),
            ("Where would I find a {animal} in {season}?", "In {season}, a {animal}"),
            ("What does a {woman} do on a {weather} {time}?", "On a {weather} {time}, a {woman}"),
            ("What can I do with a {thing} near a {place}?", "With a {thing},"),
            ("Explain to a child what a {subject} is.", "A {subject} is"),
            ("Why {why}?", ""),
            ("What kind of animal is the {animal}?", "The {animal} is an animal"),
        ),
    ),
    Form(
        "advice",
        0.12,
        (
            ("How can I {how}?", "To {how},"),
            ("What should I take with me to a {place} on a {weather} {time}?", "On a {weather} {time},"),
            ("How can I help a {adjective} {man} who is {feeling}?", "To help someone who is {feeling},"),
            ("Tell me in a few simple sentences how to {how}.", "First,"),
            ("I am {feeling} today. What can I do?", "If you are {feeling},"),
            ("Why is {lesson} important?", "{lesson_first} is important because"),
        ),
    ),
    Form(
        "description",
        0.10,
        (
            ("Describe a {place} in {season} in a few sentences.", "In {season}, the {place} is"),
            (
                "Describe a {weather} {time} at a {place} in a few sentences.",
                "It is a {weather} {time} at the {place}.",
            ),
            ("Describe a {thing} in a few sentences.", "This is a {thing}. It is"),
        ),
    ),
    Form(
        "letter",
        0.03,
        (
            (
                "Write a very short letter from {boy} to {girl} about {topic}.",
                "Dear {girl},\n\nThank you for your letter. I want to tell you about {topic}.",
            ),
        ),
    ),
)


@dataclass(frozen=True)
class Prompt:
    """A question to SmolLM2, and how its answer begins."""

    kind: str
    question: str
    beginning: str


def make_prompt(seed: int, number: int) -> Prompt:
    """The prompt with this number, which follows from the seed."""
    draw = random.Random(f"{seed} {number}")
    form = draw.choices(FORMS, [form.share for form in FORMS])[0]
    words = {name: draw.choice(choices) for name, choices in WORDS.items()}
    words["subject2"] = draw.choice([word for word in WORDS["subject"] if word != words["subject"]])
    words["name"] = draw.choice([words["boy"], words["girl"]])
    words["lesson_first"] = words["lesson"][0].upper() + words["lesson"][1:]
    texts = (text.format(**words) for text in draw.choice(form.pairs))
    return Prompt(form.kind, *(ARTICLE.sub(r"\1n ", text) for text in texts))


def chat_text(prompt: Prompt) -> str:
    """The prompt in the chat format of SmolLM2, without its own system message, up to the beginning of the answer."""
    request = prompt.question + IN_SHORT if prompt.question.endswith("?") else prompt.question
    return f"<|im_start|>user\n{request}<|im_end|>\n<|im_start|>assistant\n{prompt.beginning}"
