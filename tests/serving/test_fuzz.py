# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Requests with any values in any fields: each gets an answer or a reason, and none a failure of the server."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.tiny_poet import save_tiny_poet
from support.waiting import wait_until
from transformers import AutoModel, AutoTokenizer


pytest.importorskip("fastapi", reason="needs the extra `serve`")

from fastapi.testclient import TestClient  # noqa: E402

from modeling_llada.serving import build_app  # noqa: E402
from modeling_llada.serving.protocol import (  # noqa: E402
    CHAT_FIELDS,
    IGNORED_FIELDS,
    NEUTRAL_FIELDS,
    TEXT_FIELDS,
)


SCALARS = st.none() | st.booleans() | st.integers(-3, 20) | st.sampled_from([0.0, 0.5, 1.0, -1.5, 2**63, 10**400])
TEXTS = st.sampled_from(
    ["", "床", "床前[MASK]月光，", "<|endoftext|>", "€\N{REPLACEMENT CHARACTER}", "auto", "low_confidence", "dual"]
)
LEAVES = SCALARS | TEXTS | st.text(max_size=4)
KEYS = TEXTS | st.sampled_from(
    ["role", "content", "type", "text", "schema", "json_schema", "include_usage", "steps", "properties"]
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
FORMATS = st.sampled_from(["text", "json_object", "json_schema"]).flatmap(
    lambda kind: st.fixed_dictionaries({"type": st.just(kind)}, optional={"json_schema": VALUES})
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.just("user"), "content": st.sampled_from(["床前", "€", "<|endoftext|>白日"])}
)
# Values that mostly make sense.
LIKELY = {
    "prompt": TEXTS | st.lists(TEXTS | st.lists(st.integers(1, 40), min_size=1, max_size=3), min_size=1, max_size=3),
    "messages": st.lists(MESSAGES, min_size=1, max_size=2),
    "response_format": FORMATS,
    "n": st.integers(1, 3),
    "max_tokens": st.integers(0, 20),
    "stop": TEXTS | st.lists(TEXTS.filter(bool), max_size=3),
    "suffix": TEXTS,
    "logprobs": st.booleans() | st.integers(0, 5),
    "stream": st.booleans(),
    "block_length": st.integers(1, 9),
    "temperature": st.floats(0, 3),
}


def bodies(fields):
    """Requests with usual values, and half of them with any value in some field."""
    likely = {name: values for name, values in LIKELY.items() if name in fields}
    any_field = st.sampled_from(sorted({*fields, *IGNORED_FIELDS, *NEUTRAL_FIELDS}))
    others = st.just({}) | st.dictionaries(any_field, VALUES, min_size=1, max_size=2)
    required = {name: likely.pop(name) for name in ("prompt", "messages") if name in likely}
    return st.tuples(st.fixed_dictionaries(required, optional=likely), others).map(lambda parts: parts[0] | parts[1])


@pytest.mark.slow
@pytest.mark.parametrize(("path", "fields"), [("chat/completions", CHAT_FIELDS), ("completions", TEXT_FIELDS)])
def test_any_request(tmp_path, path, fields):
    folder = save_tiny_poet(tmp_path)
    app = build_app(AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder), ["tiny"])
    client = TestClient(app, raise_server_exceptions=False)
    statuses = set()

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(bodies(fields))
    def check(body):
        answer = client.post(f"/v1/{path}", content=json.dumps(body), headers={"Content-Type": "application/json"})
        statuses.add(answer.status_code)
        assert answer.status_code in (200, 400, 404), (body, answer.text)
        if answer.status_code == 200 and body.get("stream"):
            assert answer.text.endswith("data: [DONE]\n\n") and '"error"' not in answer.text, (body, answer.text)
        else:
            assert answer.json().keys() >= ({"choices", "usage"} if answer.status_code == 200 else {"error"})
        wait_until(lambda: app.state.scheduler.is_idle)

    check()
    assert statuses >= {200, 400}
