# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The description of the API, and requests that are made from it."""

import pytest
from support.tiny_poet import save_tiny_poet
from transformers import AutoModel, AutoTokenizer


pytest.importorskip("fastapi", reason="needs the extra `serve`")
pytest.importorskip("prometheus_client", reason="needs the extra `serve`")

from fastapi.testclient import TestClient  # noqa: E402

from modeling_llada.serving import Limits, build_app  # noqa: E402
from modeling_llada.serving.protocol import CHAT_FIELDS, TEXT_FIELDS  # noqa: E402


SETTINGS = {"max_examples": 20, "deadline": None, "database": None, "derandomize": True}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder = save_tiny_poet(tmp_path_factory.mktemp("poet"))
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    return build_app(model, tokenizer, ["tiny"], limits=Limits(max_answer_tokens=8, max_n=2, max_seconds=10))


@pytest.mark.parametrize(
    ("path", "fields", "required"),
    [("/v1/chat/completions", CHAT_FIELDS, "messages"), ("/v1/completions", TEXT_FIELDS, "prompt")],
)
def test_every_field_of_a_request_is_described(app, path, fields, required):
    page = TestClient(app).get("/openapi.json").json()
    schema = page["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert fields <= set(schema["properties"]) and schema["required"] == [required]
    threshold = schema["properties"]["confidence_threshold"]
    assert (threshold["type"], threshold["minimum"], threshold["maximum"]) == ("number", 0.0, 1.0)
    assert schema["properties"]["remasking"]["enum"][0] == "low_confidence"


@pytest.mark.slow
@pytest.mark.parametrize("is_right", [True, False], ids=["as described", "wrong"])
def test_no_request_fails_or_hangs(app, is_right):
    """Schemathesis makes requests that fit the description, and some that do not. A limit of time would be a 503."""
    schemathesis = pytest.importorskip("schemathesis", reason="needs the extra `test`")
    from hypothesis import HealthCheck, Phase, given, settings

    mode = schemathesis.GenerationMode.POSITIVE if is_right else schemathesis.GenerationMode.NEGATIVE
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    operations = [result.ok() for result in schema.include(method="POST", path_regex="^/v1/").get_all_operations()]
    statuses = []

    def check(case):
        answer = case.call()
        statuses.append(answer.status_code)
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert answer.json()["error"]["message"]

    for operation in operations:
        given_cases = given(operation.as_strategy(generation_mode=mode))(check)
        settings(**SETTINGS, phases=[Phase.generate], suppress_health_check=list(HealthCheck))(given_cases)()
    assert len(operations) == 2 and set(statuses) >= ({200, 400} if is_right else {400})
