# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Builds the tokenizer of llada-v-tiny: Chinese by character, English by word, capitals and digits one by one, and bytes for the rest.

    python -m recipes.vision.build_tokenizer --archive data/vision.zip --output checkpoints/llada-v-tiny

A word is a token if a name or a question has it, with and without a space before it. Words on signs are in capitals, so that a
model spells them. The tokens `<image>` and `<video>` come behind the vocabulary, as in the public one: the processor adds them.
"""

import argparse
import re
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from modeling_llada.models.processing_llada_v import write_chat_template
from recipes.symbols import END, MASK, START, UNKNOWN, finish_tokenizer
from recipes.vision.archive import Archive, load_archive
from recipes.vision.draw import ENGLISH_PREPOSITIONS, PLACES, WORDINGS
from recipes.vision.rows import ANSWER, NO_THINK, THINK
from recipes.vision.scenes import COLOURS, SHAPES
from recipes.vision.tasks import BOTH, COLUMNS, EQUAL, EXTREMES, LINES, ORDINALS
from recipes.vision.tasks import SIDES as RELATIONS
from recipes.vision.two_step import LARGEST, SIDES, SIGN


CHAT_MARKS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
ROLES = ("system", "user", "assistant")
SPECIAL_TOKENS = (END, START, MASK, *CHAT_MARKS, UNKNOWN)
VOCABULARY_MULTIPLE = 64
MODEL_MAX_LENGTH = 2048
ASCII = "".join(map(chr, range(32, 127)))
PUNCTUATION = "，。、：？！；（）《》“”‘’…—·"
WORD = r" ?[A-Za-z]+(?:'[a-z]+)?"
WORD_WITHOUT_CAPITALS = re.compile(r" ?[A-Z]?[a-z]+(?:'[a-z]+)?")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, default=Path("data/vision.zip"), help="the file of `prepare`")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write into; its other files stay")
    options = parser.parse_args(arguments)
    tokenizer = build_tokenizer(load_archive(options.archive))
    tokenizer.save_pretrained(options.output)
    print(f"{len(tokenizer):,} tokens, [MASK] is {tokenizer.mask_token_id}: {options.output}")


def build_tokenizer(archive: Archive) -> PreTrainedTokenizerFast:
    """Builds the tokenizer for the names and words of an archive. It adds no tokens and pads on the left, as decoding needs."""
    tokens = token_list(archive)
    # The same score for all: the fewest tokens win. The model needs an unknown token, though bytes stand in its place.
    pieces, unknown = [(token, -1.0) for token in tokens], tokens.index(UNKNOWN)
    backend = Tokenizer(models.Unigram(pieces, unk_id=unknown, byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(WORD + r"|[\s\S]"), behavior="isolated")
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    specials = [*SPECIAL_TOKENS, *(token for token in tokens if token.startswith("<|reserved_"))]
    return finish_tokenizer(backend, specials, MODEL_MAX_LENGTH, chat_template=write_chat_template())


def token_list(archive: Archive) -> list[str]:
    """Lists every token in the order of the ids, and then unused special tokens up to a multiple of 64."""
    texts = [*texts_of_questions(), *(name for one in archive.emoji for name in (one.en, f" {one.en}", one.zh))]
    others = {character for text in (*texts, *archive.words["zh"]) for character in text if not character.isascii()}
    words = {word for text in texts for word in WORD_WITHOUT_CAPITALS.findall(text) if len(word) > 1}
    tokens = [
        *SPECIAL_TOKENS,
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "\n",
        *ASCII,
        *PUNCTUATION,
        *sorted(others - set(PUNCTUATION)),
        *sorted(words),
    ]
    return tokens + [f"<|reserved_{i}|>" for i in range(-len(tokens) % VOCABULARY_MULTIPLE)]


def texts_of_questions() -> list[str]:
    """All texts of questions, answers and reasoning but the names of emoji and what is drawn by chance."""
    questions = [
        text for kinds in WORDINGS.values() for parts in kinds.values() for part in parts.values() for text in part
    ]
    pairs = [
        *COLUMNS,
        *LINES,
        *ORDINALS,
        *SHAPES,
        EQUAL,
        BOTH,
        LARGEST,
        SIGN,
        *EXTREMES.values(),
        *(one[:2] for one in (*COLOURS, *SIDES, *RELATIONS)),
    ]
    words = [word for pair in pairs for word in pair] + [word for places in PLACES.values() for word in places]
    starts = [*ENGLISH_PREPOSITIONS.values(), "at the", *(english for english, *_ in SIDES)]
    words += [*starts, "on", "and", *ROLES, *ANSWER.values(), THINK, NO_THINK, "背景上有", "和"]
    return [
        *(re.sub(r"\{.*?\}", "|", text) for text in questions),
        *(word[:1].upper() + word[1:] for word in starts),
        *words,
        *(f" {word}" for word in words),
    ]


if __name__ == "__main__":
    main()
