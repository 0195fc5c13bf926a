# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The prompts of requests of text, and the protocol around their answers."""

import json

import pytest


pytest.importorskip("fastapi", reason="needs the extra `serve`")
pytest.importorskip("httpx", reason="needs the extra `serve`")

MESSAGES = [{"role": "user", "content": "床前"}]
REFUSES_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system message here') }}{% endif %}床"


@pytest.fixture(scope="module")
def client(poet):
    from fastapi.testclient import TestClient

    from modeling_llada.serving import build_app

    return TestClient(build_app(*poet, ["tiny", "org/tiny"]), raise_server_exceptions=False)


@pytest.fixture
def ask(client):
    def ask(messages=MESSAGES, **fields):
        return client.post("/v1/chat/completions", json={"messages": messages, "max_tokens": 2, **fields})

    return ask


class TestChatTemplates:
    @pytest.mark.parametrize("stream", [False, True])
    def test_what_the_template_refuses_is_the_mistake_of_the_client(self, poet, ask, monkeypatch, stream):
        monkeypatch.setattr(poet[1], "chat_template", REFUSES_SYSTEM)
        answer = ask([{"role": "system", "content": "月"}, *MESSAGES], stream=stream)
        assert answer.status_code == 400 and "refuses the messages: no system message here" in answer.text
        assert ask().status_code == 200

    @pytest.mark.parametrize(
        "variables",
        [
            3,
            [1],
            {"add_generation_prompt": False},
            {"tokenize": False},
            {"chat_template": "{% for a in range(99999) %}{% endfor %}"},
            {"tokenizer_kwargs": 3},
            {"messages": 1},
        ],
        ids=str,
    )
    def test_a_request_sets_variables_alone(self, ask, variables):
        answer = ask(chat_template_kwargs=variables)
        assert answer.status_code == 400 and "`chat_template_kwargs` m" in answer.text

    def test_variables(self, poet, ask, monkeypatch):
        monkeypatch.setattr(poet[1], "chat_template", "{{ 'a' + beginning }}")
        assert ask(chat_template_kwargs={"beginning": "床前"}).json()["usage"]["prompt_tokens"] == 3
        answer = ask(chat_template_kwargs={"beginning": 3})
        assert answer.status_code == 400 and "refuses the messages" in answer.text
        monkeypatch.undo()
        assert ask(chat_template_kwargs=None).status_code == 200

    def test_parts_are_joined_as_they_are(self, ask):
        parts = [{"type": "text", "text": "床"}, {"type": "text", "text": "前"}]
        whole, in_parts = ask(seed=0).json(), ask([{"role": "user", "content": parts}], seed=0).json()
        assert in_parts["choices"] == whole["choices"] and in_parts["usage"] == whole["usage"]


def test_a_prompt_that_can_never_fit_is_refused_before_it_is_tokenized(poet, client, ask, monkeypatch):
    monkeypatch.setattr(type(poet[1]), "_encode_plus", None)
    text = "床" * 100_000
    for answer in (client.post("/v1/completions", json={"prompt": text}), ask([{"role": "user", "content": text}])):
        assert answer.status_code == 400 and "characters, but got 1000" in answer.text


class TestProtocol:
    def test_a_stream_ends_with_done(self, client, ask):
        texts = client.post("/v1/completions", json={"prompt": "床", "max_tokens": 2, "stream": True}).text
        for text in (texts, ask(stream=True).text):
            *events, last = [line.removeprefix("data: ") for line in text.splitlines() if line]
            assert last == "[DONE]" and all(json.loads(event) for event in events)

    @pytest.mark.parametrize("name", ["tiny", "org/tiny"])
    def test_a_model(self, client, name):
        assert client.get(f"/v1/models/{name}").json()["id"] == "tiny"
        assert client.get("/v1/models/gpt-4o").status_code == 404

    def test_a_body_without_its_header(self, client):
        answer = client.post("/v1/completions", content='{"prompt": "a"}')
        assert answer.status_code == 400 and "`Content-Type: application/json`" in answer.text

    @pytest.mark.parametrize(
        "fields", [{"stream": "false"}, {"generation_config": "[" * 100_000}], ids=["stream", "depth"]
    )
    def test_fields_of_other_types(self, ask, fields):
        answer = ask(**fields)
        assert answer.status_code == 400 and len(answer.text) < 300
