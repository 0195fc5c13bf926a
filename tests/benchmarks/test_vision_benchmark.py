# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
import json

from benchmarks import vision


def test_a_tiny_model(tmp_path, capsys):
    path = tmp_path / "vision.json"
    arguments = ["--shape", "tiny", "--device", "cpu", "--picture", "100", "60", "--text", "8", "--answer", "8"]
    vision.main([*arguments, "--steps", "4", "--repeats", "1", "--json", str(path)])
    report = json.loads(path.read_text())
    assert report["prompt"] == {"picture": [100, 60], "tokens": 60, "image_tokens": 52}
    passes = {row["name"]: row["passes"] for row in report["rows"]}
    assert passes == {"exact": 4, "exact, eager": 4, "prefix": 4, "dual": 4, "the image alone": None}
    assert all(row["seconds"]["median"] > 0 for row in report["rows"])
    assert report["training"]["tokens"] == 60 + 64 and report["training"]["tokens_per_second"]["median"] > 0
    assert "52 image tokens" in capsys.readouterr().out
