# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Datasets from files, as users have them: with a BOM, blank lines, broken lines."""

import json
import re

import pytest


pytest.importorskip("datasets", reason="datasets is not part of this environment")

from datasets import Dataset, DatasetDict

from modeling_llada.training.data_files import LINE, numbered_rows, read_splits


ROW = '{"text": "明月"}\n'


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Writes a file, given as a text or as bytes, and returns its path."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


class TestFiles:
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("rows.jsonl", ROW * 2),
            ("bom.jsonl", b"\xef\xbb\xbf" + ROW.encode() * 2),
            ("windows.jsonl", (ROW * 2).replace("\n", "\r\n")),
            ("list.json", json.dumps([{"text": "明月"}] * 2, indent=1)),
            ("bom.csv", b"\xef\xbb\xbf" + "text\n明月\n明月\n".encode()),
            ("WINDOWS [1].CSV", "text\r\n明月\r\n明月\r\n"),
        ],
        ids=lambda value: value if isinstance(value, str) and len(value) < 15 else "",
    )
    def test_of_all_kinds(self, file, name, content):
        assert read_splits(file(name, content))["train"]["text"][:] == ["明月"] * 2

    def test_cells_are_texts(self, file):
        rows = read_splits(file("rows.csv", "prompt,input,completion\n6*7,,42\n0/0,,NA\n"))["train"]
        assert rows[:] == {"prompt": ["6*7", "0/0"], "input": ["", ""], "completion": ["42", "NA"]}

    def test_parquet_and_folders(self, tmp_path):
        rows = Dataset.from_dict({"text": ["明月"]})
        rows.to_parquet(tmp_path / "rows.parquet")
        rows.save_to_disk(tmp_path / "rows")
        DatasetDict(train=rows, dev=rows).save_to_disk(tmp_path / "splits")
        for name, splits in (("rows.parquet", ["train"]), ("rows", ["train"]), ("splits", ["train", "dev"])):
            assert list(read_splits(str(tmp_path / name))) == splits

    def test_rows_know_their_lines(self, file):
        rows = read_splits(file("rows.jsonl", ROW + "\n\n" + ROW + ROW))["train"]
        assert rows[LINE][:] == [1, 4, 5]
        assert numbered_rows([0, 1], rows.select([2, 1])) == "2 of 2 rows (lines 4, 5)"
        assert numbered_rows([0], rows) == "1 of 3 rows (line 1)"
        assert numbered_rows([0], rows.remove_columns(LINE)) == "1 of 3 rows (0)"

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("rows.jsonl", ROW + '{"text": \n' + ROW, "line 2 of .*rows.jsonl is not JSON: Expecting value"),
            ("rows.jsonl", ROW + "\n[1]\n", r"line 3 of .* must be a JSON object, .* but is \[1\]"),
            ("rows.jsonl", ROW.encode() + '{"text": "é"}'.encode("latin-1"), "line 2 of .* is not UTF-8"),
            ("rows.json", '[\n{"text": "明"},\n{"text" "月"}]', "line 3 of .*rows.json is not JSON"),
            ("rows.jsonl", ROW + r'{"text": "明\ud83d"}', "line 2 of .* has half of a character"),
            ("rows.jsonl", "\n", "must have rows, but .*rows.jsonl has none"),
            ("rows.json", "[]", "must have rows, but .*rows.json has none"),
            ("rows.csv", "text\n", "rows.csv cannot be read: it has no rows"),
            ("rows.csv", "a,b\n1,2\n1,2,3,4\n", "rows.csv cannot be read: .*line 3"),
            ("rows.parquet", "明月", "rows.parquet cannot be read"),
            ("rows.txt", "明月", "must be a .json, .jsonl, .csv, .parquet file, but got .*rows.txt"),
        ],
    )
    def test_that_cannot_be_read(self, file, name, content, message):
        with pytest.raises(ValueError, match=message) as error:
            read_splits(file(name, content))
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("name", ["data/nope.jsonl", "/data/nope"])
    def test_that_do_not_exist(self, name):
        with pytest.raises(
            ValueError, match=f"`eval_dataset_name` must be a file that exists, .* no {re.escape(name)}"
        ):
            read_splits(name, argument="eval_dataset_name")

    def test_that_are_no_dataset_of_the_hub_either(self):
        with pytest.raises(ValueError, match="'no-such' is no file, and cannot be loaded: .*Hub"):
            read_splits("no-such")
