# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Measures the rows of a stage: how fast one core draws them, the share of each task, and what a blind guess scores.

python -m recipes.vision.measure --stage 3
"""

import argparse
import time
from pathlib import Path

from recipes.vision.checks import blind_answers, scores
from recipes.vision.rows import VisionRows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, default=Path("data/vision.zip"), help="the file of `prepare`")
    parser.add_argument("--stage", type=int, default=2, choices=(1, 2, 3))
    parser.add_argument("--rows", type=int, default=4000, help="how many of each split")
    parser.add_argument("--tile", type=int, default=64, help="pixels of a side of a tile")
    options = parser.parse_args(arguments)
    parts, started = {}, time.process_time()
    for split in ("train", "test"):
        rows = VisionRows(options.archive, split, options.stage, options.rows, tile=options.tile)
        parts[split] = [{**row, "images": len(row["images"])} for row in map(rows.__getitem__, range(len(rows)))]
    seconds = time.process_time() - started
    images = sum(row["images"] for part in parts.values() for row in part)
    print(f"{2 * options.rows / seconds:.0f} rows/s, {images / seconds:.0f} pictures/s of one core")
    blind = scores(parts["test"], blind_answers(parts["train"], parts["test"]))
    for key, score in blind.items():
        print(
            f"{key:28} {score['rows'] / options.rows:6.1%} of the rows, a blind guess is right in {score['right']:6.1%}"
        )


if __name__ == "__main__":
    main()
