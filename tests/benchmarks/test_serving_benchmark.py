# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
import json

import pytest

from benchmarks import serving


def test_mixed_lengths_on_a_tiny_model(tmp_path, capsys):
    path = tmp_path / "serving.json"
    lengths = ["--prompt", "4", "9", "--answer", "4", "8", "--block-length", "4", "--requests", "6"]
    serving.main(
        ["--shape", "tiny", "--device", "cpu", *lengths, "--clients", "1", "3", "--repeats", "1", "--json", str(path)]
    )
    report = json.loads(path.read_text())
    rows = {row["name"]: row for row in report["rows"]}
    assert list(rows) == ["1 clients", "generate, batch 1", "3 clients", "generate, batch 3"]
    assert rows["1 clients"]["rows_a_pass"] == 1 < rows["3 clients"]["rows_a_pass"] <= 3
    alone = rows["generate, batch 1"]["passes_of_rows"]
    assert rows["1 clients"]["passes"] == rows["1 clients"]["passes_of_rows"] == alone
    assert rows["3 clients"]["passes_of_rows"] == alone, "as many as alone"
    assert all(row["answers_per_second"]["median"] > 0 for row in rows.values())
    assert "% of generate" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--clients", "0"], ["--prompt", "1", "2", "3"]])
def test_bad_arguments(arguments, capsys):
    with pytest.raises(SystemExit):
        serving.main(["--shape", "tiny", *arguments])
    assert "must be at least 1" in (err := capsys.readouterr().err) or "take one length" in err
