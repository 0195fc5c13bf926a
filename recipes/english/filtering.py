# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Which of SmolLM2's texts are kept: complete ones in plain prose, likely under SmolLM2 itself, that do not repeat themselves."""

import re

from recipes.english.corpus import clean


MIN_WORDS, MAX_WORDS = 14, 220
# Nats per token that were sampled. What is less likely is often nonsense, and what is more likely often repeats itself.
NATS = (0.3, 1.25)
MOST_SEEN = 0.34  # the most of the runs of three words of a sentence that the text had before
MIN_DISTINCT = 0.85  # the least share of different runs of three words of a text
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[.!?][\"'])\s+")
CLOSING = (".", "!", "?", '."', '!"', '?"', ".'", "!'", "?'")
LIST = re.compile(r"^\s*([-*#>|]|\d+[.)])|\*\*|[<>{}\[\]\\^|=@#*]|https?:|&", re.M)
ABOUT_ITSELF = re.compile(
    r"\b(AI|SmolLM|SmolL?\w*|Hugging|language model|chatbot|assistant|word count|the (user|prompt|story is about|author|reader)|"
    r"I'm (sorry|ready)|I (cannot|can't) (help|assist|provide)|rewrite|note:|version of)\b",
    re.I,
)
UNFRIENDLY = re.compile(
    r"\b(kill\w*|murder\w*|blood\w*|suicid\w*|drunk\w*|drank|alcohol\w*|champagne|beer|wine|whisk\w*|drugs?|cocaine|sex\w*|naked|nude|rap(e|ed|ist)|abus\w*|"
    r"demon\w*|ruthless|evil|attack\w*|death|dead|died|dying|"
    r"terror\w*|bombs?|guns?|shot|shoot\w*|weapons?|slave\w*|nazi\w*|racis\w*|hate[sd]?|idiots?|stupid|damn\w*|hell|corpses?|"
    r"tortur\w*|suffer\w*|cancer|pandemic\w*|covid\w*|politic\w*|president|religio\w*|pregnan\w*|drown\w*|gambl\w*|cigar\w*|smok(e|ed|ing)d?)\b",
    re.I,
)


def kept_text(beginning: str, continuation: str, scores: list[float], has_ended: bool) -> tuple[str, float] | None:
    """
    The text and its nats per token, if it is kept: whole sentences, up to the first that repeats what was said. `scores` are the
    log-likelihoods of the tokens of the continuation.
    """
    text = clean(beginning + continuation)
    kept = before_repetition(text if has_ended else whole_sentences(text))
    number = round(len(scores) * (len(kept) - len(beginning)) / max(len(text) - len(beginning), 1))
    if number < 1:
        return None
    nats = -sum(scores[:number]) / number
    is_kept = NATS[0] <= nats <= NATS[1] and is_plain(kept) and distinct_runs(kept) >= MIN_DISTINCT
    return (kept, nats) if is_kept else None


def whole_sentences(text: str) -> str:
    """The text up to its last complete sentence."""
    ends = [match.end() for match in re.finditer(r"[.!?][\"']?(?=\s|$)", text)]
    return text[: ends[-1]] if ends else ""


def before_repetition(text: str) -> str:
    """The text up to the first sentence that has too many runs of three words which were there before."""
    seen, start = set(), 0
    for end in [match.end() for match in SENTENCE_END.finditer(text)] + [len(text)]:
        runs = runs_of_words(text[start:end])
        if runs and sum(run in seen for run in runs) > MOST_SEEN * len(runs):
            return text[:start].rstrip()
        seen.update(runs)
        start = end
    return text


def runs_of_words(text: str) -> list[tuple[str, str, str]]:
    words = re.findall(r"[a-z']+", text.lower())
    return list(zip(words, words[1:], words[2:], strict=False))


def distinct_runs(text: str) -> float:
    """The share of different ones among the runs of three words."""
    runs = runs_of_words(text)
    return len(set(runs)) / max(len(runs), 1)


def is_plain(text: str) -> bool:
    """Whether a text is friendly prose in typewriter characters that begins and ends as sentences do."""
    is_prose = text.isascii() and text.endswith(CLOSING) and text[:1].isalpha() | text.startswith('"')
    words = len(text.split())
    if not is_prose or not MIN_WORDS <= words <= MAX_WORDS or text.count('"') % 2:
        return False
    return not (LIST.search(text) or ABOUT_ITSELF.search(text) or UNFRIENDLY.search(text))


def sentence_keys(text: str) -> list[int]:
    """The sentences of a text without capitals and punctuation, as `NearDuplicates` compares them."""
    return [hash(re.sub(r"\W+", " ", sentence.lower())) for sentence in SENTENCE_END.split(text)]
