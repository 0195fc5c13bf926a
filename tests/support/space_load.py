# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Asks a running Space for many poems at once, and reports the times.

python tests/support/space_load.py http://127.0.0.1:7860 --people 16 --rounds 3
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gradio_client import Client


FORM = "五言绝句"
STARTS = "春夏秋冬山水风月花鸟云雨江海天地"  # one for each prompt


@dataclass
class Visit:
    """The answer to one person."""

    prompt: str
    text: str
    seconds: float
    positions: list[int]


def visit(client: Client, prompt: str) -> Visit:
    """Asks for a poem, and notes its positions in the queue."""
    start, positions = time.monotonic(), []
    job = client.submit(form=FORM, title="", author="", prompt=prompt, api_name="/generate")
    while not job.done():
        rank = job.status().rank
        if rank is not None and (not positions or positions[-1] != rank):
            positions.append(rank)
        time.sleep(0.02)
    return Visit(f"{FORM}\n{prompt}", final_text(job.result()), time.monotonic() - start, positions)


def final_text(value: dict) -> str:
    """The final text of a player."""
    cells = list(value["recording"]["cells"])
    for frame in value["recording"]["frames"]:
        for position, cell in frame["changes"]:
            cells[position] = cell
    return "".join("" if cell["is_special"] else cell["text"] for cell in cells)


def visit_together(url: str, people: int) -> list[Visit]:
    """Lets many people ask at once, each with their own session and prompt."""
    with ThreadPoolExecutor(people) as pool:
        clients = list(pool.map(lambda _: Client(url, verbose=False), range(people)))
        prompts = [f"{STARTS[index % len(STARTS)]}来无事{index // len(STARTS) or ''}，" for index in range(people)]
        return list(pool.map(visit, clients, prompts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="address of the Space")
    parser.add_argument("--people", type=int, default=16, help="%(default)s by default")
    parser.add_argument("--rounds", type=int, default=1, help="%(default)s by default")
    args = parser.parse_args()
    for number in range(args.rounds):
        visits = visit_together(args.url, args.people)
        wrong = [each for each in visits if not each.text.startswith(each.prompt)]
        waited = max(max(each.positions, default=0) for each in visits)
        seconds = sorted(each.seconds for each in visits)
        sys.stdout.write(
            f"round {number + 1}: {len(visits)} served, {len(wrong)} with another's text, queue up to {waited + 1}, "
            f"{seconds[0]:.1f} to {seconds[-1]:.1f} s\n"
        )


if __name__ == "__main__":
    main()
