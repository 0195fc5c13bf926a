# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Links with the settings of a run, and with the run itself if it is small. A link may come from anywhere."""

import base64
import binascii
import json
import math
import zlib
from collections.abc import Mapping
from urllib.parse import urlencode

from .runs import Run


MAX_LINK = 6000  # characters; browsers and proxies cut longer ones
MAX_UNPACKED = 200_000  # bytes
MAX_COST = 1e6
DAMAGED = "the run of this link cannot be read: the link is damaged, or comes from another version of the checkpoint."


def write_link(tab: str, fields: Mapping[str, object]) -> str:
    """
    The query of a link that opens a tab, with its `?`, or `""` if it is too long for a link. `fields` has the values
    of all fields of the tab, because a field that is missing in a link has its first value. `None` is left out.
    """
    kept = {name: write_value(value) for name, value in fields.items() if value is not None}
    link = "?" + urlencode({"tab": tab} | kept)
    return link if len(link) <= MAX_LINK else ""


def write_value(value: object) -> str:
    """A value as text: flags as 1 and 0, whole numbers without a decimal point."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return str(value)


def read_value(text: str, kind: str):
    """
    The inverse, for the kinds of [`Option`] and `"text"`. `None` if it cannot be read: a link may come from anywhere.
    """
    if kind in ("text", "choice"):
        return text
    if kind == "bool":
        return {"1": True, "0": False}.get(text)
    try:
        value = float(text)
    except ValueError:
        return None
    if value != value or abs(value) == float("inf"):
        return None
    return int(value) if kind == "int" and value == int(value) else value


def add_runs(link: str, runs: list[Run]) -> str:
    """The link with its finished runs, or with the request to run again if that would be too long."""
    if not link:
        return link
    longer = f"{link}&run={pack_runs(runs)}"
    return longer if len(longer) <= MAX_LINK else f"{link}&play=1"


def pack_runs(runs: list[Run]) -> str:
    """Runs as text for a link: the committed tokens of each step with their runners-up, without the drafts."""
    packed = [
        [
            [run.cost[name] for name in ("tokens", "passes", "seconds")] if run.cost else None,
            [pack_step(step) for step in run.steps],
        ]
        for run in runs
    ]
    text = json.dumps([checksum(runs), packed], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(zlib.compress(text, 9)).decode().rstrip("=")


def checksum(runs: list[Run]) -> int:
    """A number that differs when another checkpoint reads the same tokens as other texts."""
    return zlib.crc32("\n".join(run.text() for run in runs).encode())


def pack_step(step: dict) -> list:
    """A step of a record as a short list."""
    best = {place: tokens for _, place, *tokens in step["top_tokens"]}
    committed = [[place, token, shorten(value)] for _, place, token, value in step["changes"]]
    rivals = [[place, *best[place], *map(shorten, values)] for _, place, *values in step["top_probabilities"]]
    return [step["step"], int(step["is_final"]), committed, rivals]


def shorten(value: float | None) -> float | None:
    """A number with the digits that the page shows, `None` for one that is not finite."""
    return None if value is None or not math.isfinite(value) else round(value, 3)


def unpack_runs(text: str, runs: list[Run]) -> None:
    """Adds the steps of a link to runs that have not begun. Raises a `ValueError` if the link is damaged."""
    try:
        expected, packed = unzip(text)
        require(isinstance(packed, list) and len(packed) == len(runs))
        for run, (cost, steps) in zip(runs, packed, strict=True):
            require(isinstance(steps, list) and len(steps) <= run.num_masks + 1)
            for step in steps:
                run.add(unpack_step(step, run))
            if cost is not None:
                run.add({"cost": unpack_cost(*cost)})
            else:
                run.status = "stopped"
        require(checksum(runs) == expected)
    except (TypeError, ValueError) as error:
        raise ValueError(DAMAGED) from error


def unzip(text: str):
    """The content of a packed run."""
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(base64.urlsafe_b64decode(text[:MAX_LINK] + "==="), MAX_UNPACKED)
        require(unpacker.eof)
        return json.loads(content)
    except (binascii.Error, zlib.error, RecursionError) as error:
        raise ValueError(DAMAGED) from error


def unpack_step(step: list, run: Run) -> dict:
    """The step of a record. Each value must be possible in this run."""
    number, is_final, committed, rivals = step
    require(is_in(number, -1, 2 * run.num_masks) and is_final in (0, 1))
    changes, top_tokens, probabilities = [], [], []
    for place, token, confidence in committed:
        require(run.is_mask(place) and is_in(token, 0, run.num_tokens - 1))
        require(confidence is None or is_number(confidence))
        changes.append([0, place, token, confidence])
    for place, *values in rivals:
        tokens, shares = values[:3], values[3:]
        require(run.is_mask(place) and len(tokens) == len(shares) == 3)
        require(all(is_in(token, -1, run.num_tokens - 1) for token in tokens) and all(map(is_number, shares)))
        top_tokens.append([0, place, *tokens])
        probabilities.append([0, place, *shares])
    return {
        "step": number,
        "is_final": bool(is_final),
        "changes": changes,
        "top_tokens": top_tokens,
        "top_probabilities": probabilities,
    }


def unpack_cost(tokens: int, passes: int, seconds: float) -> dict:
    """The cost of a run."""
    require(is_in(tokens, 0, MAX_COST) and is_in(passes, 0, MAX_COST))
    require(is_number(seconds) and seconds >= 0)
    return {
        "tokens": tokens,
        "passes": passes,
        "tokens_per_pass": round(tokens / max(passes, 1), 2),
        "seconds": float(seconds),
    }


def require(is_right: bool) -> None:
    if not is_right:
        raise ValueError(DAMAGED)


def is_in(value, lowest: float, highest: float) -> bool:
    """Whether a value is a whole number in a range."""
    return type(value) is int and lowest <= value <= highest


def is_number(value) -> bool:
    """Whether a value is a number of moderate size."""
    return type(value) in (int, float) and abs(value) <= MAX_COST
