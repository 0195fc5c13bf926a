# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What the tests of exports share: a folder to export, and where it goes."""

import shutil

import pytest
from support.official_folder import official_tokenizer


@pytest.fixture
def official(golden_path, tmp_path):
    """The golden checkpoint with a tokenizer, as the official folders have it. A test may damage it."""
    folder = tmp_path / "official"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(golden_path / name, folder / name)
    official_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def out(tmp_path):
    """The destination, alone in its parent folder, so that a test sees leftovers."""
    return tmp_path / "exports" / "llada"
