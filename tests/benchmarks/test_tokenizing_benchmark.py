# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""benchmarks/tokenizing.py: the text that it makes. The command that it measures has tests of its own."""

import json
import os

from benchmarks import tokenizing


def test_the_text_is_documentation_in_a_random_order(tmp_path, monkeypatch):
    (tmp_path / "machine").mkdir()
    lines = [
        f"Paragraph {number} of the documentation " + "which is long enough to be read " * 3 + "."
        for number in range(40)
    ]
    (tmp_path / "machine" / "a.md").write_text("\n\n".join(lines[:30]))
    (tmp_path / "machine" / "b.py").write_text('x = 1\n"""' + "\n\n".join(lines[30:]) + '"""\n')
    monkeypatch.setattr(tokenizing, "PLACES", (str(tmp_path / "machine"),))
    counts = [tokenizing.write_text(tmp_path / name, 50_000) for name in ("a", "b")]
    [files] = {tuple(path.read_text() for path in sorted((tmp_path / name).iterdir())) for name in ("a", "b")}
    texts = [json.loads(line)["text"] for line in files[0].splitlines()]
    assert counts[0] == {"bytes of text before repetition": sum(map(len, lines)), "documents": len(texts)}
    assert {part for text in texts for part in text.split("\n\n") if part} == set(lines)


def test_memory_is_that_of_the_process():
    assert 10e6 < tokenizing.memory_of(os.getpid()) < 100e9
