# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The official client of OpenAI against the server, strict about what it gets."""

import asyncio
import json
from typing import Literal

import pytest


pytest.importorskip("fastapi", reason="needs the extra `serve`")
pytest.importorskip("outlines_core", reason="needs the extra `constraints`")
httpx = pytest.importorskip("httpx", reason="needs the extra `serve`")
openai = pytest.importorskip("openai", reason="needs the extra `serve`")
pydantic = pytest.importorskip("pydantic", reason="needs the extra `serve`")

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "床前"}]}


class Line(pydantic.BaseModel):
    season: Literal["春", "秋"]
    moon: bool


class Poem(pydantic.BaseModel):
    lines: list[Line] = pydantic.Field(min_length=1, max_length=2)


@pytest.fixture
def ask(poet):
    """Lets a coroutine ask with a client."""
    from modeling_llada.serving import build_app

    app = build_app(*poet, ["tiny"])

    def ask(question):
        async def run():
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            http = httpx.AsyncClient(transport=transport, timeout=60)
            async with openai.AsyncOpenAI(
                base_url="http://server/v1",
                api_key="none",
                max_retries=0,
                http_client=http,
                _strict_response_validation=True,
            ) as client:
                return await question(client)

        return asyncio.run(run())

    return ask


def test_a_chat(ask):
    answer = ask(lambda client: client.chat.completions.create(**CHAT, n=2, logprobs=True, top_logprobs=2))
    assert len(answer.choices) == 2 and answer.choices[0].message.role == "assistant"
    assert len(answer.choices[0].logprobs.content[0].top_logprobs) == 2


def test_a_completion(ask):
    fields = {"model": "tiny", "prompt": ["床", "前"], "logprobs": 1, "max_tokens": 3}
    answer = ask(lambda client: client.completions.create(**fields))
    assert len(answer.choices) == 2 and len(answer.choices[1].logprobs.tokens) == answer.usage.completion_tokens // 2


def test_a_stream(ask):
    async def question(client):
        options = {"include_usage": True, "include_canvas": True}
        stream = await client.chat.completions.create(
            **CHAT, stream=True, stream_options=options, extra_body={"block_length": 2}
        )
        return [chunk async for chunk in stream]

    *chunks, last = ask(question)
    assert last.usage.completion_tokens > 0 and last.choices == []
    assert any(hasattr(chunk.choices[0], "canvas") for chunk in chunks)


def test_the_models(ask):
    assert ask(lambda client: client.models.retrieve("tiny")).id == "tiny"


class TestResponseFormat:
    def test_parse(self, ask):
        """Even random weights write an object that fits, also where it fills the canvas to the last token."""
        for seed in range(2):
            question = {
                "seed": seed,
                "temperature": 1.0,
                "max_tokens": 48,
                "extra_body": {"block_length": 12, "steps": 16},
            }
            answer = ask(
                lambda client, question=question: client.chat.completions.parse(
                    **CHAT, **question, response_format=Poem
                )
            )
            assert isinstance(answer.choices[0].message.parsed, Poem)
            assert answer.choices[0].finish_reason == "stop"

    def test_a_stream_of_an_object(self, ask):
        async def question(client):
            async with client.chat.completions.stream(**CHAT, max_tokens=32, response_format=Line) as stream:
                return (await stream.get_final_completion()).choices[0].message.parsed

        assert isinstance(ask(question), Line)

    def test_any_object(self, ask):
        kind = {"type": "json_object"}
        answer = ask(lambda client: client.chat.completions.create(**CHAT, max_tokens=16, n=2, response_format=kind))
        assert all(isinstance(json.loads(choice.message.content), dict) for choice in answer.choices)

    def test_any_text(self, ask):
        answer = ask(lambda client: client.chat.completions.create(**CHAT, response_format={"type": "text"}))
        assert answer.choices[0].message.content

    @pytest.mark.parametrize(
        ("response_format", "message"),
        [
            ("json", "`response_format` must be"),
            ({"type": "xml"}, "`response_format` must be"),
            ({"type": "json_schema"}, "`response_format.json_schema` must be an object with a `schema`"),
            (
                {"type": "json_schema", "json_schema": {"schema": {"type": "objekt"}}},
                "`response_format` cannot be kept: ",
            ),
            ({"type": "json_schema", "json_schema": {"schema": {"not": {}}}}, "keyword 'not', which is not supported"),
            ({"type": "json_object"}, "`response_format` must allow a text .* shortest one has"),
        ],
        ids=str,
    )
    def test_what_cannot_be_kept(self, ask, response_format, message):
        request = CHAT | {"response_format": response_format, "max_tokens": 1}
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError, match=message):
                ask(lambda client, stream=stream: client.chat.completions.create(**request, stream=stream))

    def test_without_the_extra(self, ask, monkeypatch):
        from modeling_llada.serving import response_formats

        def fail(*args, **options):
            raise ImportError("pip install -e '.[constraints]'")

        monkeypatch.setattr(response_formats.Constraint, "from_json_schema", fail)
        with pytest.raises(
            openai.BadRequestError, match=r"needs the extra `constraints`.*pip install -e '.\[constraints\]'"
        ):
            ask(lambda client: client.chat.completions.create(**CHAT, response_format={"type": "json_object"}))
