# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Writes what the small LLaDA-V reaches into docs/vision.md, from its evaluation.

python -m evidence.vision_summary
"""

import json
from pathlib import Path

from modeling_llada.writing import write_atomically
from recipes.vision.scores import seconds_section, verdict
from reporting.markdown import fill


ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs/vision.md", ROOT / "checkpoints/llada-v-tiny/evaluation.json"
NAME = "small"


def main() -> None:
    write_atomically(PAGE, fill(PAGE.read_text(encoding="utf-8"), NAME, summary()))
    print(f"Wrote the scores of the small model in {PAGE}.")


def summary() -> str:
    """The required scores that were reached and missed, and the seconds of an answer if they are measured, in Markdown."""
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    return f"""These are the shares of right answers about held-out pictures. {verdict(found["scores"])}

{seconds_section(found["timings"])}"""


if __name__ == "__main__":
    main()
