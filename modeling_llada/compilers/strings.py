# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The strings of JSON as regular expressions: formats, and patterns of a schema.

A pattern of a schema speaks of the characters of a string. In JSON some of them are written with a backslash, and others
cannot stand in it, so each part of the pattern is translated.
"""

import itertools
import json
import math
import re

from .expressions import Size, size_of, tokens, union


UNSAFE = r'"\\\x00-\x1f\x7f'  # characters that are not written as they are
UNSAFE_CHARACTERS = ['"', "\\", *map(chr, range(32)), "\x7f"]
SAFE = f"[^{UNSAFE}]"
CHARACTER = rf'(?:{SAFE}|\\["\\/bfnrt])'
ESCAPED = '"\\\b\f\n\r\t'

YEAR = "[1-9][0-9]{3}"
LEAP_YEAR = (
    "(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:1[26]|[2468][048]|[3579][26])00)"  # 2024, 2000, but not 1900
)
DATE = (
    f"(?:{YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{LEAP_YEAR}-02-29)"
)
HOUR, MINUTE = "(?:[01][0-9]|2[0-3])", "[0-5][0-9]"
TIME = rf"{HOUR}:{MINUTE}:{MINUTE}(?:\.[0-9]{{1,6}})?(?:Z|[+-]{HOUR}:{MINUTE})"
NUMBER_OF = "[0-9]{1,4}"
SECONDS = f"{NUMBER_OF}S"
MINUTES = f"{NUMBER_OF}M(?:{SECONDS})?"
TIME_SPAN = f"T(?:{NUMBER_OF}H(?:{MINUTES}|{SECONDS})?|{MINUTES}|{SECONDS})"
DIGIT_GROUP = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
LABEL = "[a-z0-9]{1,16}(?:-[a-z0-9]{1,16})?"
HOST = rf"(?:{LABEL}\.){{1,3}}[a-z]{{2,12}}"
NAME = "[A-Za-z0-9_+-]{1,16}"
FORMATS = {
    "date": DATE,
    "time": TIME,
    "date-time": f"{DATE}T{TIME}",
    "duration": f"P(?:{NUMBER_OF}W|{NUMBER_OF}D(?:{TIME_SPAN})?|{TIME_SPAN})",
    "email": rf"{NAME}(?:\.{NAME}){{0,2}}@{HOST}",
    "hostname": HOST,
    "ipv4": rf"{DIGIT_GROUP}(?:\.{DIGIT_GROUP}){{3}}",
    "ipv6": "[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}",
    "uri": rf"https?://{HOST}(?::[1-9][0-9]{{1,3}})?(?:/[A-Za-z0-9._~-]*)*(?:\?[A-Za-z0-9._~=&-]*)?",
    "uuid": "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
}

# What a shorthand means in a set, so that both JavaScript and Python agree, and what a set without these must leave out.
SHORTHANDS = {"d": "0-9", "w": "A-Za-z0-9_", "s": r" \t\n\r\f"}
EXCLUDED = {"d": r"\d", "w": r"\w\p{N}", "s": r"\s\x{feff}"}
MEMBER = r"\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\.|."
BEGINNING, END = ("anchor", "^"), ("anchor", "$")
CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def literal(value) -> str:
    """What matches one JSON value, with at most one space after a comma or colon."""
    if isinstance(value, dict):
        return rf"\{{{', ?'.join(f'{literal(name)}: ?{literal(part)}' for name, part in value.items())}\}}"
    if isinstance(value, list):
        return rf"\[{', ?'.join(map(literal, value))}\]"
    return re.escape(json.dumps(value, ensure_ascii=False))


def pattern_in_json(pattern: str) -> tuple[str, Size]:
    """
    What a pattern of a schema matches somewhere in a string, as it is written in JSON, without the quotation marks. And the
    size of the string itself.

    Raises:
        `ValueError`: if the pattern has parts that cannot be translated, such as look-around.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"cannot be read: {error}") from error
    alternatives, depth = [[]], 0
    for kind, text in tokens(pattern):
        depth += (kind == "open") - (kind == "close")
        if kind == "or" and depth == 0:
            alternatives.append([])
        else:
            alternatives[-1].append((kind, text))
    size = size_of(pattern)
    if not all(parts[:1] == [BEGINNING] and parts[-1:] == [END] for parts in alternatives):
        size = size._replace(longest=math.inf)
    return union(map(translate, alternatives)), size


def translate(parts: list[tuple[str, str]]) -> str:
    """An alternative. Without `^` and `$` other characters may stand before and behind it."""
    begins, ends = parts[:1] == [BEGINNING], parts[-1:] == [END]
    parts = parts[begins : len(parts) - ends]
    for (kind, _), (next_kind, text) in itertools.pairwise(parts):
        if kind == next_kind == "repeat":
            raise unsupported(text)
    body = "".join(translate_part(kind, text) for kind, text in parts)
    return f"{'' if begins else CHARACTER + '*'}(?:{body}){'' if ends else CHARACTER + '*'}"


def translate_part(kind: str, text: str) -> str:
    if kind in ("close", "or", "repeat"):
        return text
    if kind == "open" and re.fullmatch(r"\((\?:|\?P<\w+>)?", text):
        return "(?:"
    if kind == "set":
        return translate_set(text)
    if kind == "dot":
        return translate_set(r"[^\n\r\u2028\u2029]")
    if kind == "escape" and text[1] in "dDwWsS":
        return translate_set(f"[{'^' if text[1].isupper() else ''}{text.lower()}]")
    if kind == "literal" and text.isprintable() and text not in '"{':
        return re.escape(text)
    if kind == "escape" or (kind == "literal" and text != "{"):
        return translate_set(f"[{text if kind == 'escape' else re.escape(text)}]")
    raise unsupported(text)


def unsupported(text: str) -> ValueError:
    return ValueError(f"has {text!r}, which is not supported there")


def translate_set(text: str) -> str:
    """A set of characters: those that are written as they are, and those with a backslash."""
    is_negative = text.startswith("[^")
    members = re.findall(MEMBER, text[2 if is_negative else 1 : -1], re.DOTALL)
    translated, plain = [], []
    while members:
        first, *members = members
        if first[0] == "\\" and first[1] in "dws":
            translated.append((EXCLUDED if is_negative else SHORTHANDS)[first[1]])
            plain.append(first)
            continue
        characters = [unescape(first)]
        if members[:1] == ["-"] and len(members) > 1:
            characters.append(unescape(members[1]))
            members = members[2:]
        translated.append("-".join(map(code, characters)))
        plain.append("-".join(map(re.escape, characters)))
    fits = re.compile(f"[{'^' if is_negative else ''}{''.join(plain)}]").fullmatch
    written = [re.escape(json.dumps(character)[1:-1]) for character in ESCAPED if fits(character)]
    members = "".join(translated)
    if is_negative:
        safe = f"[^{members}{UNSAFE}]"
    else:
        safe = f"[{members}&&[^{UNSAFE}]]" if any(map(fits, UNSAFE_CHARACTERS)) else f"[{members}]"
    return union([safe, *written])


def code(character: str) -> str:
    return f"\\x{{{ord(character):x}}}"


def unescape(text: str) -> str:
    """The character that a member of a set stands for."""
    if text[0] != "\\":
        return text
    if text[1] in "xu" and len(text) > 2:
        return chr(int(text[2:], 16))
    if text[1] in CONTROLS:
        return CONTROLS[text[1]]
    if text[1].isalnum():
        raise unsupported(text)
    return text[1]


__all__ = ["CHARACTER", "FORMATS", "literal", "pattern_in_json"]
