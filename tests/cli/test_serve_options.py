# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The flags of `llada serve`: what the server that they make does. tests/serving holds what each of them means."""

import pytest
from support.tiny_poet import save_tiny_poet

from llada_cli.serve_options import LIMITS, is_open_to_others


pytest.importorskip("fastapi", reason="needs the extra `serve`")
pytest.importorskip("prometheus_client", reason="needs the extra `serve`")

from fastapi.testclient import TestClient  # noqa: E402

from modeling_llada.serving import Limits  # noqa: E402


@pytest.fixture
def command():
    return ("serve", "--port", "0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_poet(tmp_path_factory.mktemp("poet"))


@pytest.fixture
def served(llada, folder, monkeypatch):
    """Returns what a command line would serve, with what it has printed."""

    def run(*arguments):
        given = []
        monkeypatch.setattr("llada_cli.serve.serve", lambda *values: given.extend(values))
        err = llada("--model", folder, *arguments).err
        app, _, _, drain_seconds = given
        return TestClient(app), drain_seconds, err

    return run


def ask(client, **body):
    return client.post("/v1/completions", json={"prompt": "床前", **body}, headers={"Authorization": "Bearer two"})


def test_each_limit_has_a_flag():
    assert set(LIMITS) == set(Limits.__dataclass_fields__)


def test_limits_and_keys(served, tmp_path, monkeypatch):
    (tmp_path / "keys").write_text("one\n\ntwo\n")
    monkeypatch.setenv("LLADA_API_KEY", "three")
    client, drain_seconds, err = served(
        "--api-key-file", tmp_path / "keys", "--max-answer-tokens", 3, "--host", "0.0.0.0"
    )
    assert drain_seconds == 25 and "may use the server" not in err
    for key, status in [("one", 200), ("three", 200), ("four", 401)]:
        assert client.get("/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code == status
    answer = ask(client, max_tokens=4)
    assert answer.status_code == 400 and "`max_tokens` must be at most 3" in answer.text


def test_pages_of_other_origins(served):
    client, _, _ = served("--cors-origin", "https://a.example", "--cors-origin", "https://b.example")
    for origin, allowed in [("https://b.example", "https://b.example"), ("https://c.example", None)]:
        answer = client.get("/health", headers={"Origin": origin})
        assert answer.headers.get("access-control-allow-origin") == allowed


def test_options_of_decoding_are_those_of_requests_that_leave_them_out(served):
    client, _, _ = served("--max-new-tokens", 9, "--block-length", 3, "--no-stop-at-eos", "--temperature", 0.7)
    scheduler = client.app.state.scheduler
    config = scheduler.model.generation_config
    assert (config.block_length, config.stop_at_eos, config.temperature) == (3, False, 0.7)
    assert ask(client).json()["usage"]["completion_tokens"] == 9
    assert scheduler.counts.passes == 9
    ask(client, generation_config={"steps": 3, "temperature": 0.0})
    assert scheduler.counts.passes == 9 + 3


def test_who_opens_the_server_to_all_is_told(served):
    assert "everyone who reaches 0.0.0.0 may use the server. `--api-key-file`" in served("--host", "0.0.0.0")[2]
    assert [is_open_to_others(host) for host in ("127.0.0.1", "::1", "localhost", "::", "my.host")] == 3 * [
        False
    ] + 2 * [True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-waiting", 0), "`--max-waiting` must be at least 1"),
        (("--drain-seconds", -1), "`--drain-seconds` must be at least 0"),
        (("--api-key-file", "nowhere"), "No such file or directory: 'nowhere'"),
        (("--block-length", 0), "`block_length` must be an integer of at least 1"),
        (("--api-key", ""), "`api_keys` must be texts of printable ASCII"),
    ],
    ids=str,
)
def test_what_is_wrong_is_one_line(fail, folder, arguments, message):
    assert message in fail("--model", folder, *arguments)


def test_a_source_of_keys_without_a_key_does_not_open_the_server(fail, folder, tmp_path, monkeypatch):
    (tmp_path / "keys").write_text("\n")
    assert "must have a key in each line" in fail("--model", folder, "--api-key-file", tmp_path / "keys")
    monkeypatch.setenv("LLADA_API_KEY", "")
    assert "variable LLADA_API_KEY must have a key" in fail("--model", folder)
