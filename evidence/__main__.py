# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Writes docs/evidence.md, docs/quality.md, their plots and that of docs/rules.md from the results in the repository. It measures nothing.

    make evidence

A claim is a module `claim_NAME.py` in this folder. Its name is in `CLAIMS`, in the order of the page. It has:

- `TITLE`: the heading.
- `RESULTS`: the files that its numbers come from, by name: paths from the root of the repository, JSON or YAML. Each function
  below gets their contents, as a dictionary with the same names.
- `summary(results)`: one sentence for the table at the top of the page.
- `paper(results)`: what the paper says, and where. These figures are in `paper.yaml`. If one was not at hand, the text says so.
- `measured(results)`: what was measured here: Markdown, with tables from `reporting.markdown`.
- `PLOTS`: a list of `Plot` from `reporting.plots`, each with a function that draws on a `Figure`.
- `commands(results)`: a list of `Command`: the commands that repeat it, in full and in small, and how long they took.
- `differences(results)`: what could not be reproduced, or was not measured.

A result is never typed into a claim, and `tests/evidence/test_evidence.py` checks that: a number in a text of a claim is a name,
such as that of an equation. Intervals are in the files of results. A claim only rounds and compares.
"""

import argparse
import importlib
import json
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import yaml

from evidence.quality import page as quality_page
from evidence.quality.plot import PLOT as QUALITY_PLOT
from evidence.rules.plot import PLOT as RULES_PLOT
from modeling_llada.pipes import quiet_when_closed
from reporting.markdown import joined, table
from reporting.plots import draw_themes


ROOT = Path(__file__).resolve().parents[1]
QUALITY = "evidence/results/quality.json"
RULES = "evidence/results/rules.json"  # its page is written by hand, but for its tables

CLAIMS = [
    "claim_reversal",
    "claim_scaling",
    "claim_twin",
    "claim_steps",
    "claim_sudoku",
    "claim_constraints",
    "claim_exact",
    "claim_likelihood",
    "claim_benchmarks",
]
# Measured on one GPU; a claim is on the page from its first results on.
for name, results in (
    ("claim_vision", "vision.json"),
    ("claim_families", "families.json"),
    ("claim_conversion", "smollm2.json"),
    ("claim_reasoning", "reasoning.json"),
):
    if (ROOT / "evidence/results" / results).is_file():
        CLAIMS.insert(CLAIMS.index("claim_twin") + 1, name)
INTRODUCTION = """# Evidence

The claims of the paper, measured on models that anyone can train, and where they could not be reproduced. `make evidence` writes
this page and its plots from the results in the repository, in seconds; each number below comes from one of these files. Intervals
are of 95%. The statements of the paper are from {source}.

{summary}
"""
SECTION = """
## {title}

{paper}

### Measured here

{measured}

{plots}

### Not reproduced, not measured

{differences}

### Repeat it

{commands}

From {files}.
"""
PICTURE = """<picture>
  <source media="(prefers-color-scheme: dark)" srcset="pictures/evidence/{name}-dark.svg">
  <img alt="{alt}" src="pictures/evidence/{name}-light.svg">
</picture>"""


class Claim:
    """A claim of the page: its module, and the results that the module names."""

    def __init__(self, name: str, root: Path = ROOT):
        self.module: ModuleType = importlib.import_module(f"evidence.{name}")
        self.results = {key: read(root / path) for key, path in self.module.RESULTS.items()}

    def section(self) -> str:
        """The section of the page."""
        module = self.module
        return SECTION.format(
            title=module.TITLE,
            paper=module.paper(self.results),
            measured=module.measured(self.results),
            plots="\n\n".join(map(picture, module.PLOTS)),
            differences=module.differences(self.results),
            commands="\n".join(f"- {one}" for one in module.commands(self.results)),
            files=joined(
                [f"[{Path(path).name}]({os.path.relpath(path, 'docs')})" for path in module.RESULTS.values()]
            ),
        )

    def pictures(self) -> dict[str, str]:
        """The SVG documents by file name."""
        return {name: svg for plot in self.module.PLOTS for name, svg in draw_themes(plot, self.results).items()}


@quiet_when_closed()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs", help="folder of the pages (%(default)s)")
    output = parser.parse_args().output
    files = make()
    pictures = output / "pictures/evidence"
    pictures.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (output / name).write_text(text, encoding="utf-8", newline="\n")
    for path in pictures.glob("*.svg"):
        if f"pictures/evidence/{path.name}" not in files:
            path.unlink()  # its claim was removed
    print(f"Wrote {len(files)} files to {output}.")


def make(root: Path = ROOT) -> dict[str, str]:
    """The pages and their plots by their path in `docs`, from the results of a repository."""
    claims = [Claim(name, root) for name in CLAIMS]
    quality = read(root / QUALITY)
    svgs = draw_themes(QUALITY_PLOT, quality) | draw_themes(RULES_PLOT, read(root / RULES))
    for claim in claims:
        svgs |= claim.pictures()
    pages = {
        "evidence.md": render_page(claims, read(root / "evidence/paper.yaml")),
        "quality.md": quality_page.render(quality, picture(QUALITY_PLOT)),
    }
    return pages | {f"pictures/evidence/{name}": svg for name, svg in svgs.items()}


def render_page(claims: list[Claim], paper: dict) -> str:
    rows = [
        [f"[{claim.module.TITLE}](#{anchor(claim.module.TITLE)})", claim.module.summary(claim.results)]
        for claim in claims
    ]
    introduction = INTRODUCTION.format(source=paper["source"], summary=table(["claim", "here"], rows))
    page = introduction + "".join(claim.section() for claim in claims)
    return re.sub(r"\n{3,}", "\n\n", page)  # for claims without plots


def picture(plot) -> str:
    return PICTURE.format(name=plot.name, alt=plot.alt)


def anchor(title: str) -> str:
    """The anchor of a heading on GitHub."""
    return "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_").replace(" ", "-")


def read(path: Path) -> dict:
    """Reads a file of results."""
    if not path.exists():
        sys.exit(f"There is no {path}. The claim that reads it names the command that measures it.")
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)


if __name__ == "__main__":
    main()
