# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Files and folders that are complete or absent."""

import os

from modeling_llada.writing import write_atomically


def test_write_atomically(tmp_path):
    path = tmp_path / "file.svg"
    write_atomically(path, "月")
    write_atomically(path, "光")
    assert path.read_text(encoding="utf-8") == "光"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path):
    file, link = tmp_path / "file.svg", tmp_path / "link.svg"
    file.write_text("")
    link.symlink_to(file)
    write_atomically(link, "月")
    assert link.is_symlink() and file.read_text(encoding="utf-8") == "月"


def test_a_pipe_is_written_into(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(path, "月")
    assert os.read(reader, 100).decode() == "月" and path.is_fifo()
    os.close(reader)
