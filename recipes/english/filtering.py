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
NO_TITLE = r"(?<!\bMr\.)(?<!\bMrs\.)(?<!\bDr\.)(?<!\bSt\.)"  # whose full stop ends no sentence
SENTENCE_END = re.compile(rf"(?:(?<=[.!?])|(?<=[.!?][\"'])){NO_TITLE}\s+")
CLOSING = (".", "!", "?", '."', '!"', '?"', ".'", "!'", "?'")
LIST = re.compile(r"^\s*([-*#>|]|\d+[.)])|\*\*|[<>{}\[\]\\^|=@#*]|https?:|&", re.M)
# Both are for text in lower case, which is four times faster than to ignore the case.
ABOUT_ITSELF = re.compile(
    r"\b(ai|smollm\w*|hugging face|language model|chatbot|assistant|word count|the (user|prompt|story is about|author|reader)|"
    r"i'm ready to (help|assist)|i (cannot|can't) (help|assist|provide)|rewrite|(revised|edited|rewritten) version)\b|\bnote:"
)
UNFRIENDLY = re.compile(
    r"\b(kill\w*|murder\w*|blood(y|shed)|suicid\w*|drunk\w*|alcohol\w*|champagne|beer|wine|whiske?y|drugs?|cocaine|"
    r"sex(ual\w*|y)?|naked|nude|rap(e|ed|ist)|abus\w*|demons?|ruthless|evil|attack\w*|death|dead|died(?! down)|dying|"
    r"terror\w*|bombs?|guns?|shot|shooting(?! stars?)|weapons?|slave\w*|nazi\w*|racis\w*|hate[sd]?|idiots?|stupid|damn\w*|"
    r"hell|corpses?|tortur\w*|suffer\w*|cancer|pandemic\w*|covid\w*|politic\w*|president|religio\w*|pregnan\w*|drown\w*|"
    r"gambl\w*|cigar\w*|smoking|smokers?)\b"
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
    ends = [match.end() for match in re.finditer(rf"[.!?][\"']?{NO_TITLE}(?=\s|$)", text)]
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
    lower = text.lower()
    return not (LIST.search(text) or ABOUT_ITSELF.search(lower) or UNFRIENDLY.search(lower))


def sentence_keys(text: str) -> list[int]:
    """The sentences of a text without capitals and punctuation, as `NearDuplicates` compares them."""
    return [hash(re.sub(r"\W+", " ", sentence.lower())) for sentence in SENTENCE_END.split(text)]
