# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Runs the common model tests of transformers, which only its source distribution on PyPI has."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import transformers


SUITE = Path(__file__).parents[1] / "support" / "transformers_suite.py"
# The two mixins that `test_modeling_common.py` imports test what the models here do not have.
PACKAGE = {
    "__init__.py": "",
    "exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
    "generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
}


@pytest.fixture
def folder(tmp_path):
    """A folder with a package `tests`: `test_modeling_common.py` of the installed transformers, and our classes."""
    requirement = f"transformers=={transformers.__version__}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--retries", "1"]
    download = subprocess.run([*command, "--dest", tmp_path, requirement], capture_output=True, text=True, check=False)
    if download.returncode:
        pytest.skip(f"pip cannot fetch the source distribution of {requirement}: {download.stderr[-300:]}")

    tests = tmp_path / "tests"
    for name, code in PACKAGE.items():
        (tests / name).parent.mkdir(exist_ok=True)
        (tests / name).write_text(code, encoding="utf-8")
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        common = archive.extractfile(f"transformers-{transformers.__version__}/tests/test_modeling_common.py")
        (tests / "test_modeling_common.py").write_bytes(common.read())
    (tests / "test_modeling_llada.py").write_bytes(SUITE.read_bytes())
    return tmp_path


@pytest.mark.slow
def test_common_model_tests(folder):
    # Without our pytest settings, which turn warnings of these tests into errors.
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", ".", "--disable-warnings"]
    run = subprocess.run([*command, "tests/test_modeling_llada.py"], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-10_000:]
    # About 100 for each of the four classes without images, and 60 to 90 for iLLaDA and each of the three that see images.
    # The others skip: they are for GPUs, or for other kinds of models.
    assert int(re.search(r"(\d+) passed", run.stdout).group(1)) >= 650, run.stdout[-500:]
