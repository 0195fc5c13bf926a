# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Writes what the small LLaDA-V reaches into docs/vision.md, from the results in the repository.

python -m evidence.vision_summary
"""

import json
from pathlib import Path

from modeling_llada.writing import write_atomically
from recipes.vision.scores import seconds_table, verdict
from reporting.markdown import fill


ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs/vision.md", ROOT / "evidence/results/vision.json"
NAME = "small"


def main() -> None:
    write_atomically(PAGE, fill(PAGE.read_text(encoding="utf-8"), NAME, summary()))
    print(f"Wrote the scores of the small model in {PAGE}.")


def summary() -> str:
    """The required scores that were reached and missed, and the seconds of an answer, in Markdown."""
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    return f"""These are the shares of right answers about held-out pictures. {verdict(found["model"]["scores"])}

One answer takes, picture included:

{seconds_table(found["timings"])}
"""


if __name__ == "__main__":
    main()
