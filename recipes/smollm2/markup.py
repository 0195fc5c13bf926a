# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Paragraphs of prose out of the formats that packages have their documentation and books in. Code and tables are left out."""

import re
import struct
import zlib
from collections.abc import Iterator


BLOCKS = {
    "p", "li", "dd", "dt", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "th", "td", "caption", "div",
    "section", "article", "body", "ul", "ol", "dl", "tr",
}  # fmt: skip
SKIPPED = {
    "script", "style", "nav", "header", "footer", "pre", "table", "head", "form", "button", "svg", "math",
}  # fmt: skip
SKIPPED_CLASSES = {
    "sphinxsidebar", "related", "footer", "navheader", "navfooter", "sidebar", "headerlink", "highlight", "toc",
}  # fmt: skip
POD_COMMAND = re.compile(r"=(\w+)\s*(.*)", re.S)
POD_CODE = re.compile(r"[BCFIS](?:<<+\s(.*?)\s>>+|<([^<>]*)>)", re.S)
POD_LINK = re.compile(r"L<(?:([^|<>]*)\|)?([^<>]*)>")
POD_REST = re.compile(r"[XZ]<[^<>]*>")
POD_ENTITY = {"E<lt>": "<", "E<gt>": ">", "E<sol>": "/", "E<verbar>": "|"}


def one_line(text: str) -> str:
    return " ".join(text.split())


def html_paragraphs(page: bytes) -> list[str]:
    """The text of each block of a page, without navigation, code and tables."""
    from lxml import etree, html

    if not page.strip():
        return []
    try:
        tree = html.document_fromstring(page)
    except etree.ParserError:  # a page without content
        return []
    paragraphs, pieces = [], []

    def end_paragraph() -> None:
        paragraphs.append(one_line("".join(pieces)))
        pieces.clear()

    def read(element) -> None:
        is_text = isinstance(element.tag, str) and element.tag not in SKIPPED  # and no comment
        if not is_text or not SKIPPED_CLASSES.isdisjoint((element.get("class") or "").split()):
            return
        if element.tag in BLOCKS:
            end_paragraph()
        pieces.append(" " if element.tag == "br" else element.text or "")
        for child in element:
            read(child)
            pieces.append(child.tail or "")
        if element.tag in BLOCKS:
            end_paragraph()

    read(tree.find("body") if tree.find("body") is not None else tree)
    end_paragraph()
    return [paragraph for paragraph in paragraphs if paragraph]


def pod_paragraphs(text: str) -> list[str]:
    """The paragraphs of Perl's documentation. Indented ones are code."""
    paragraphs, hidden = [], False
    for block in re.split(r"\n\s*\n", text):
        command = POD_COMMAND.match(block)
        if command and command[1] in ("begin", "end", "for"):
            hidden = command[1] == "begin"
        if hidden or block[:1].isspace() or (command and not command[1].startswith("head")):
            continue
        block = POD_LINK.sub(lambda match: match[1] or match[2], POD_REST.sub("", command[2] if command else block))
        for _ in range(3):  # codes inside codes
            block = POD_CODE.sub(lambda match: match[1] or match[2] or "", block)
        for code, character in POD_ENTITY.items():
            block = block.replace(code, character)
        paragraphs.append(one_line(block))
    return paragraphs


def plain_paragraphs(text: str) -> list[str]:
    """Paragraphs between empty lines."""
    return [one_line(block) for block in re.split(r"\n\s*\n", text)]


def dictionary_entries(text: str) -> list[str]:
    """The paragraphs of the GCIDE, without pronunciations, etymologies and the names of its sources."""
    text = re.sub(r"\\[^\\\n]*\\,?", "", text)
    text = re.sub(r"\[[=^\"'`~.,-]?([A-Za-z]{1,4})\]", r"\1", text)  # letters with accents, as in [=o]
    for _ in range(2):  # brackets inside brackets
        text = re.sub(r"\[[^\[\]]*\]", "", text)
    return plain_paragraphs(re.sub(r"[{}]", "", text))


def wordnet_glosses(text: str) -> Iterator[str]:
    """A paragraph for each set of synonyms: its words, and what they mean, with examples."""
    for line in text.splitlines():
        head, bar, gloss = line.partition(" | ")
        fields = head.split()
        if bar and fields[0].isdigit():
            words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
            yield f"{', '.join(words).replace('_', ' ')}: {one_line(gloss)}"


def lines_of_r_data(database: bytes) -> Iterator[list[str]]:
    """The vectors of strings in a database of R. Each has its length before it, and is compressed."""
    while database:
        stream = zlib.decompressobj()
        yield _strings(stream.decompress(database[4:]))
        database = stream.unused_data


def _strings(data: bytes) -> list[str]:
    """A serialized vector of strings: `X`, versions, the encoding, then type and number, then the strings with their lengths."""
    place = 18 + struct.unpack_from(">i", data, 14)[0]
    kind, number = struct.unpack_from(">ii", data, place)
    if kind & 0xFF != 16:
        return []
    place, strings = place + 8, []
    for _ in range(number):
        _, length = struct.unpack_from(">ii", data, place)
        place += 8
        strings.append(data[place : place + max(length, 0)].decode())
        place += max(length, 0)
    return strings
