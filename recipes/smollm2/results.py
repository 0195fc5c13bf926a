# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The results of a run in one file."""

import json
from pathlib import Path

from recipes.smollm2.weights import ABOUT
from reporting.results import save


def collect(run: Path, output: Path) -> None:
    """Writes the original's measurements and the records of all models so far."""
    if not (run / "original.json").is_file():
        raise ValueError(
            f"`--run` must be the folder of a run, but there is no {run / 'original.json'}. Run `train` first."
        )
    recipe = _read(run / "recipe.json")
    records = {name: run / f"{name}.json" for name in recipe["models"]}
    corpus = Path(recipe["data"]) / ABOUT
    save(
        output,
        {
            "recipe": recipe,
            "corpus": _read(corpus) if corpus.is_file() else None,
            "original": _read(run / "original.json"),
            "models": {name: _read(path) for name, path in records.items() if path.is_file()},
        },
    )
    print(f"wrote {output}")


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))
