# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Writes the tables of benchmarks/README.md, benchmarks/results/README.md, docs/vision.md and docs/scale.md from the files in benchmarks/results.

python -m benchmarks
"""

import json
from pathlib import Path

from benchmarks import decode_tables, experts, pretraining, scale_table, train_tables, vision_table
from benchmarks.decode_requirements import requirement_section
from modeling_llada.pipes import quiet_when_closed
from modeling_llada.writing import write_atomically
from reporting.markdown import fill


FOLDER = Path(__file__).parent
INTRODUCTION = """# Measured

All runs of the benches, from the JSON files beside this page, by `python -m benchmarks`. [The benches](../README.md) explains
the columns and says what the numbers mean.

"""


@quiet_when_closed()
def main() -> None:
    for path, page in pages().items():
        write_atomically(path, page)
        print(f"Wrote {path}.")


def pages(folder: Path = FOLDER) -> dict[Path, str]:
    """
    The pages by their path: in a folder the measured tables and the requirements in the page that explains them, and beside it
    the pages about pictures and about scale.
    """
    decode, of_experts, train = (
        {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob(f"results/{pattern}"))}
        for pattern in ("decode*.json", "experts*.json", "train_*.json")
    )
    page = (folder / "README.md").read_text(encoding="utf-8")
    page = fill(page, "decode", requirement_section(list(decode.values())))
    page = fill(page, "train", train_tables.requirement_section(list(train.values())))
    parts = decode_tables.sections(decode) + experts.sections(list(of_experts.values())) + train_tables.sections(train)
    vision = json.loads((folder / "results/vision_h200.json").read_text(encoding="utf-8"))
    docs = folder.parent / "docs"
    about_pictures, about_scale = docs / "vision.md", docs / "scale.md"
    reading = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("results/pretraining*.json"))
    ]
    scale = fill(about_scale.read_text(encoding="utf-8"), "pretraining", pretraining.section(reading))
    return {
        folder / "README.md": page,
        folder / "results/README.md": INTRODUCTION + "\n".join(parts),
        about_pictures: fill(about_pictures.read_text(encoding="utf-8"), "vision", vision_table.section(vision)),
        about_scale: fill(scale, "scale", scale_table.section()),
    }


if __name__ == "__main__":
    main()
