# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
import json
import sys
from collections import Counter

import pytest
from support.tiny_poet import save_tiny_poet


pytest.importorskip("fastapi", reason="needs the extra `serve`")
pytest.importorskip("httpx", reason="needs the extra `serve`")

from benchmarks import soak  # noqa: E402


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
def test_a_small_one(tmp_path, capsys):
    """Every answer is that of the request alone, none is lost, and nothing stays."""
    folder, path = save_tiny_poet(tmp_path / "poet"), tmp_path / "soak.json"
    soak.main(
        [
            "--clients",
            "16",
            "--requests",
            "10",
            "--kinds",
            "32",
            "--json",
            str(path),
            "--server",
            "--model",
            str(folder),
        ]
    )
    [row] = json.loads(path.read_text())["rows"]
    assert row["requests"] == 160 == row["right"] + row["refused"] + row["left"]
    assert min(row["right"], row["refused"], row["left"]) > 0
    assert json.loads(capsys.readouterr().out) == row


def test_the_events_of_a_stream_are_one_answer():
    events = [{"choices": [{"delta": {"content": "月"}}]}, {"choices": [{"delta": {}, "finish_reason": "stop"}]}]
    assert soak.joined([*events, {"choices": []}]) == ("月", "stop")
    assert soak.joined([{"choices": [{"text": "月", "finish_reason": "length"}]}]) == ("月", "length")
    assert soak.joined([events[0], {"error": "gone"}]) == ("gone", "error")


def test_requests_are_of_all_kinds():
    chance = soak.Random(0)
    kinds = Counter(key for _ in range(100) for key in soak.make_body(chance, longest=8))
    assert {"prompt", "messages", "stop", "temperature", "generation_config"} <= set(kinds)
