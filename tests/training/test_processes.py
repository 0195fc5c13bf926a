# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Processes train together, with one device each."""

from types import SimpleNamespace

import pytest

from modeling_llada.training.processes import check_gpus, check_processes


def test_processes_that_would_train_alone(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_processes(SimpleNamespace(world_size=2))
    with pytest.raises(ValueError, match="`use_cpu` must be true for 2 processes without GPUs, but got False"):
        check_processes(SimpleNamespace(world_size=1, use_cpu=False))


def test_one_process_for_several_gpus():
    check_gpus(SimpleNamespace(n_gpu=1))
    with pytest.raises(ValueError, match="`args.n_gpu` must be 1, but got 2.*torchrun --nproc-per-node"):
        check_gpus(SimpleNamespace(n_gpu=2))
