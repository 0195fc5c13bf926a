# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Files and folders that are complete or absent."""

import os
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from modeling_llada.writing import (
    check_destination,
    check_writable,
    complete_or_absent,
    hidden_sibling,
    remove_leftovers,
    write_atomically,
)


def test_write_atomically(tmp_path):
    path = tmp_path / "file.svg"
    write_atomically(path, "月")
    write_atomically(path, "光".encode())
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


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "exports" / "llada"


def write_folder(destination, content="new", source=None, overwrite=False):
    """Writes a folder with one file, as exports and conversions do."""
    source = source or destination.parent / "elsewhere"
    check_destination(destination, source, overwrite, config_file="config.json")
    with complete_or_absent(destination) as partial:
        (partial / "config.json").write_text(content)


def content_of(destination):
    """The content of the only folder that is there."""
    assert list(destination.parent.iterdir()) == [destination]
    assert [path.name for path in destination.iterdir()] == ["config.json"]
    return (destination / "config.json").read_text()


def test_a_new_and_an_empty_folder_are_filled(folder):
    write_folder(folder)
    (folder.parent / "empty").mkdir()
    write_folder(folder.parent / "empty")
    assert sorted(path.name for path in folder.parent.iterdir()) == ["empty", "llada"]
    assert (folder.parent / "empty" / "config.json").read_text() == "new"


def test_files_stay_unless_overwrite_is_set(folder):
    write_folder(folder, "old")
    with pytest.raises(ValueError, match="must be new or empty.*--overwrite"):
        write_folder(folder)
    assert content_of(folder) == "old"
    write_folder(folder, overwrite=True)
    assert content_of(folder) == "new"


@pytest.mark.parametrize("name", ["notes/thesis.txt", "notes.txt"])
def test_only_a_folder_of_the_same_kind_is_replaced(folder, name):
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("years of work")
    if "/" in name:
        (folder / "config.json").write_text("a checkpoint in the folder of a training run")
    with pytest.raises(ValueError, match="`overwrite` only replaces a folder with config.json and without subfolders"):
        write_folder(folder, overwrite=True)
    assert (folder / name).read_text() == "years of work"


def test_the_source_is_not_replaced(folder):
    write_folder(folder, "old")
    for destination in (folder, folder.parent):
        with pytest.raises(ValueError, match="must not contain the source"):
            write_folder(destination, source=folder, overwrite=True)
    assert content_of(folder) == "old"


@pytest.mark.parametrize("name", ["file", "file/llada"])
def test_a_file_is_no_destination(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="`destination` must be a folder, but .*file' is a file"):
        write_folder(tmp_path / name, overwrite=True)


def test_a_mount_point_is_no_destination(folder):
    """It cannot be renamed, and that would be noticed after the work."""
    with pytest.raises(ValueError, match="must not be a mount point, but '/proc' is one"):
        write_folder(Path("/proc"), source=folder, overwrite=True)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_nothing_new(folder, error):
    write_folder(folder, "old")
    for destination in (folder, folder.parent / "new"):
        with pytest.raises(error), complete_or_absent(destination) as partial:
            (partial / "config.json").write_text("half")
            raise error
    assert content_of(folder) == "old"


def test_the_old_folder_comes_back_if_the_new_one_cannot_be_moved(folder, monkeypatch):
    write_folder(folder, "old")
    replace = os.replace

    def fail_for_the_new_one(source, target):
        if str(source).endswith(".part"):
            raise OSError("the disk is gone")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_for_the_new_one)
    with pytest.raises(OSError, match="the disk is gone"):
        write_folder(folder, overwrite=True)
    assert content_of(folder) == "old"


def test_two_writers_at_the_same_time(folder):
    """Their temporary names differ, and the last one wins."""
    with complete_or_absent(folder) as first, complete_or_absent(folder) as second:
        (first / "config.json").write_text("first")
        (second / "config.json").write_text("second")
    assert content_of(folder) == "first"


class TestLeftovers:
    def test_of_a_killed_writer_are_removed(self, folder):
        file = folder.parent / "file.svg"
        left = hidden_sibling(folder, "part"), hidden_sibling(file, "part")  # the lock of a process ends with it
        left[0].mkdir(parents=True)
        for path in (left[0] / "config.json", left[1]):
            path.write_text("half")
        write_folder(folder)
        write_atomically(file, "new")
        assert sorted(path.name for path in folder.parent.iterdir()) == ["file.svg", "llada"]

    def test_an_old_folder_is_one_if_there_is_a_new_one(self, folder):
        """A writer was killed between its last two renames, or while it deleted the old folder."""
        write_folder(folder, "old")
        os.replace(folder, hidden_sibling(folder, "old"))
        remove_leftovers(folder)
        assert len(list(folder.parent.iterdir())) == 1  # it is all that there is
        write_folder(folder)
        write_folder(folder, overwrite=True)
        assert content_of(folder) == "new"

    def test_what_others_wrote_stays(self, folder):
        folder.parent.mkdir()
        names = [".llada.part", ".llada.0123456789abcdef.part", ".llada-2.0123456789abcdef.part", ".llada.notes"]
        for name in names:
            (folder.parent / name).touch()
        write_folder(folder)
        assert sorted(path.name for path in folder.parent.iterdir()) == sorted([*names, "llada"])

    def test_a_living_writer_keeps_its_files(self, folder):
        with complete_or_absent(folder) as partial:
            (partial / "config.json").write_text("slow")
            write_folder(folder, "quick")
            remove_leftovers(folder)
        assert content_of(folder) == "slow"


class TestFullDisks:
    def test_the_error_names_the_file(self, tmp_path, small_files):
        path = tmp_path / "file.svg"
        path.write_text("old")
        with small_files(), pytest.raises(OSError, match=re.escape(f"'{path}'")):
            write_atomically(path, "x" * 2000)
        assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
        with pytest.raises(OSError, match="'/dev/full'"):
            write_atomically("/dev/full", "x")

    def test_the_error_of_safetensors_names_the_folder(self, folder, small_files):
        message = re.escape(f"cannot write '{folder}'")
        with small_files(), pytest.raises(OSError, match=message), complete_or_absent(folder) as partial:
            save_file({"weight": torch.ones(2000)}, partial / "model.safetensors")
        assert list(folder.parent.iterdir()) == []

    def test_the_check_before_the_work(self, tmp_path, small_files):
        path = tmp_path / "file.svg"
        check_writable(path)
        with small_files(), pytest.raises(OSError, match=re.escape(f"'{path}'")):
            check_writable(path)
        with pytest.raises(FileNotFoundError, match="no-folder/file.svg"):
            check_writable(tmp_path / "no-folder" / "file.svg")
        assert list(tmp_path.iterdir()) == []

    def test_the_check_of_a_destination(self, folder, small_files):
        with small_files(), pytest.raises(OSError, match=re.escape(f"'{folder.parent}'")):
            check_destination(folder, folder.parent / "elsewhere", False, "config.json")
        assert not folder.parent.exists()
        write_folder(folder, "old")
        with small_files(), pytest.raises(OSError, match=re.escape(f"'{folder}'")):
            check_destination(folder, folder.parent / "elsewhere", True, "config.json")
        assert content_of(folder) == "old"

    def test_errors_about_other_files_stay(self, folder, tmp_path):
        with pytest.raises(FileNotFoundError, match="no-source"), complete_or_absent(folder):
            (tmp_path / "no-source").read_text()
