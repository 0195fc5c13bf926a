# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What tests of the server and of its scheduler share."""

import pytest
from support.tiny_poet import save_tiny_poet
from transformers import AutoModel, AutoTokenizer


@pytest.fixture(scope="module")
def poet(tmp_path_factory):
    """A tiny model of random weights and its tokenizer."""
    folder = save_tiny_poet(tmp_path_factory.mktemp("poet"))
    return AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def passes(poet):
    """A list that gets the number of rows of each forward pass."""
    rows = []
    hook = poet[0].register_forward_pre_hook(
        lambda module, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    yield rows
    hook.remove()
