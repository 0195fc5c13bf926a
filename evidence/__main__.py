# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Writes docs/evidence.md and its plots from the results in the repository. Nothing is measured or computed here.

    make evidence

A claim is a module `claim_NAME.py` in this folder, and its name stands in `CLAIMS`, in the order of the page. It has:

- `TITLE`: the heading.
- `RESULTS`: the files that its numbers come from, by name: paths from the root of the repository, JSON or YAML. Each function
  below gets them read, as a dictionary by the same names.
- `summary(results)`: one sentence for the table at the top of the page.
- `paper(results)`: what the paper says and where it was read. `paper.yaml` holds these figures; one that was not at hand is
  not there, and then the text says so.
- `measured(results)`: what was measured here: Markdown, with tables from `markdown.py`.
- `PLOTS`: a list of `Plot` from `plots.py`, each with a function that draws into a `Figure`.
- `commands(results)`: a list of `Command`: what repeats it, whole and in part, and what that took.
- `differences(results)`: where it is not reproduced, or what was not measured.

A claim types no number that is a result, and `tests/evidence/test_evidence.py` looks: a number in a text of a claim is a name, such as
that of an equation. Intervals are in the files of results. A claim rounds and compares, and that is all.
"""

import argparse
import importlib
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import yaml

from evidence.markdown import cost, joined, table
from evidence.plots import THEMES, Plot, draw_svg


ROOT = Path(__file__).resolve().parents[1]


CLAIMS = [
    "claim_reversal",
    "claim_scaling",
    "claim_twin",
    "claim_steps",
    "claim_sudoku",
    "claim_likelihood",
    "claim_benchmarks",
]
INTRODUCTION = """# Evidence

What the paper claims, measured on models that anyone can train, and where it does not come out. `make evidence` writes this
page and its plots from the results in the repository, in seconds; each number below comes from one of these files. Intervals
are of 95%. What the paper says is from {source}.

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


@dataclass(frozen=True)
class Claim:
    """A module, and the results that it asks for."""

    module: ModuleType
    results: dict

    @classmethod
    def load(cls, name: str, root: Path = ROOT) -> "Claim":
        module = importlib.import_module(f"evidence.{name}")
        return cls(module, {key: read(root / path) for key, path in module.RESULTS.items()})

    def section(self) -> str:
        """The part of the page."""
        module = self.module
        return SECTION.format(
            title=module.TITLE,
            paper=module.paper(self.results),
            measured=module.measured(self.results),
            plots="\n\n".join(PICTURE.format(name=plot.name, alt=plot.alt) for plot in module.PLOTS),
            differences=module.differences(self.results),
            commands="\n".join(f"- {one.does}: `{one.text}` ({cost(one)})" for one in module.commands(self.results)),
            files=joined([f"[{Path(path).name}]({link_to(path)})" for path in module.RESULTS.values()]),
        )

    def pictures(self) -> dict[str, str]:
        """The SVG documents by file name."""
        plots: list[Plot] = self.module.PLOTS
        return {
            f"{plot.name}-{theme.name}.svg": draw_svg(plot, self.results, theme) for plot in plots for theme in THEMES
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs", help="folder of the page (%(default)s)")
    args = parser.parse_args()
    files = make()
    for name, text in files.items():
        write(args.output / name, text)
    for path in (args.output / "pictures/evidence").glob("*.svg"):
        if f"pictures/evidence/{path.name}" not in files:
            path.unlink()  # of a claim that is no more
    sys.stdout.write(f"Wrote {args.output / 'evidence.md'} and {len(files) - 1} plots.\n")


def make(root: Path = ROOT) -> dict[str, str]:
    """The page and its plots by their path in `docs`, with the results of a repository."""
    claims = [Claim.load(name, root) for name in CLAIMS]
    files = {"evidence.md": render_page(claims, read(root / "evidence/paper.yaml"))}
    for claim in claims:
        files |= {f"pictures/evidence/{name}": svg for name, svg in claim.pictures().items()}
    return files


def render_page(claims: list[Claim], paper: dict) -> str:
    rows = [
        [f"[{claim.module.TITLE}](#{anchor(claim.module.TITLE)})", claim.module.summary(claim.results)]
        for claim in claims
    ]
    introduction = INTRODUCTION.format(source=paper["source"], summary=table(["claim", "here"], rows))
    page = introduction + "".join(claim.section() for claim in claims)
    return re.sub(r"\n{3,}", "\n\n", page)  # where a claim has no plots


def anchor(title: str) -> str:
    """Of a heading, as GitHub makes it."""
    return "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_").replace(" ", "-")


def link_to(path: str) -> str:
    """From the page to a file of the repository."""
    return os.path.relpath(path, "docs")


def read(path: Path) -> dict:
    """A file of results."""
    if not path.exists():
        sys.exit(f"There is no {path}. The claim that asks for it names the script that measures it.")
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)


def write(path: Path, text: str) -> None:
    """Whole, or not at all. Not with `modeling_llada.writing`, which would import torch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="utf-8", newline="\n", delete=False) as partial:
        partial.write(text)
    os.chmod(partial.name, 0o644)
    os.replace(partial.name, path)


if __name__ == "__main__":
    main()
