# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Books out of the formats that packages have them in: chapters of the Bible, scenes of plays, and poems.

A document is a list of blocks, the first of which is its title. A block of prose is one line; a block of verse has a line for each
verse.
"""

import ast
import re
from collections.abc import Iterator


NAMES = (
    "Genesis Exodus Leviticus Numbers Deuteronomy Joshua Judges Ruth 1_Samuel 2_Samuel 1_Kings 2_Kings 1_Chronicles 2_Chronicles "
    "Ezra Nehemiah Esther Job Psalms Proverbs Ecclesiastes Song_of_Solomon Isaiah Jeremiah Lamentations Ezekiel Daniel Hosea Joel "
    "Amos Obadiah Jonah Micah Nahum Habakkuk Zephaniah Haggai Zechariah Malachi Matthew Mark Luke John Acts Romans 1_Corinthians "
    "2_Corinthians Galatians Ephesians Philippians Colossians 1_Thessalonians 2_Thessalonians 1_Timothy 2_Timothy Titus Philemon "
    "Hebrews James 1_Peter 2_Peter 1_John 2_John 3_John Jude Revelation"
)
BOOKS = [name.replace("_", " ") for name in NAMES.split()]
SCENE = re.compile(r"(ACT|Act|SCENE|Scene|PROLOGUE|EPILOGUE|Prologue|Epilogue|INDUCTION)\b")
DIRECTION = re.compile(r"\[[^\]\}]*[\]\}]?")  # such as [Exeunt.]


def read_bible(data: bytes) -> Iterator[list[str]]:
    """The chapters of a module of pythonbible, with a line for each verse."""
    call = next(node for node in ast.walk(ast.parse(data)) if isinstance(node, ast.Call))
    text, starts, ends = (ast.literal_eval(argument) for argument in call.args[1:4])
    chapter, verses = None, []
    for number, start in starts.items():
        if number // 1000 != chapter:
            if verses:
                yield [title_of(chapter), "\n".join(verses)]
            chapter, verses = number // 1000, []
        # Brackets mark words that the translators have added.
        verses.append(re.sub(r"[\[\]¶]", "", " ".join(text[start : ends[number]].split())))
    yield [title_of(chapter), "\n".join(verses)]


def title_of(chapter: int) -> str:
    """The title of a chapter, such as `Genesis 1` of 1001."""
    return f"{BOOKS[chapter // 1000 - 1]} {chapter % 1000}"


def read_play(data: bytes) -> Iterator[list[str]]:
    """The scenes of a play. What is before the first one, the list of persons, is left out."""
    title, *blocks = verse_blocks(data)
    scene = None
    for block in blocks:
        if SCENE.match(block):
            if scene and len(scene) > 1:
                yield scene
            scene = [f"{title}, {block.splitlines()[0]}", *block.splitlines()[1:]]
        elif scene:
            scene.append(block)
    if scene and len(scene) > 1:
        yield scene


def read_poem(data: bytes) -> Iterator[list[str]]:
    """A poem with its stanzas."""
    yield list(verse_blocks(data))


def read_sonnets(data: bytes) -> Iterator[list[str]]:
    """The sonnets, each below a Roman numeral."""
    _, *blocks = verse_blocks(data)
    for number, text in zip(blocks[::2], blocks[1::2], strict=False):
        yield [f"Sonnet {number.rstrip('.')}", text]


def read_parts(data: bytes) -> Iterator[list[str]]:
    """The books of an epic, or the poems of a collection, each below a title in capital letters."""
    title, *blocks = verse_blocks(data)
    part = []
    for block in blocks:
        if block.isupper():
            if len(part) > 1:
                yield part
            part = [f"{title}, {block}" if "BOOK" in block else block]
        elif part:
            part.append(block)
    yield part


def verse_blocks(data: bytes) -> Iterator[str]:
    """The text between empty lines, with its lines, but without the numbers of lines and the directions for the stage."""
    text = data.decode("utf-8-sig", "replace").replace("\r", "")
    for block in re.split(r"\n\s*\n", DIRECTION.sub("", text)):
        lines = (re.sub(r"^\.{3,}|_|\s{3,}\d+\s*$", "", line) for line in block.splitlines())
        lines = [" ".join(line.split()) for line in lines]
        lines = [line for line in lines if line and line not in ("by William Shakespeare", "THE END")]
        if lines and lines[0].startswith("PARADISE LOST") and len(lines) > 1:
            yield lines.pop(0)
        if lines:
            yield "\n".join(lines)
