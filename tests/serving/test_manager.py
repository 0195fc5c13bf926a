# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The server and the scheduler: requests side by side, clients that leave, and what fails."""

import asyncio
import gc
import json
import threading

import pytest
import torch
from support.waiting import wait_until


pytest.importorskip("fastapi", reason="needs the extra `serve`")
httpx = pytest.importorskip("httpx", reason="needs the extra `serve`")

from modeling_llada.serving.answers import Draft  # noqa: E402


LONG = {"prompt": "床前", "generation_config": {"stop_at_eos": False, "max_new_tokens": 100}}


@pytest.fixture
def app(poet):
    from modeling_llada.serving import build_app

    return build_app(*poet, ["tiny"])


def post_all(app, bodies):
    """The answers to requests that are sent at the same time."""

    async def post():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server", timeout=60) as client:
            return await asyncio.gather(*(client.post("/v1/completions", json=body) for body in bodies))

    return asyncio.run(post())


def test_requests_share_passes_and_get_the_answer_of_generate(app, poet, passes):
    model, tokenizer = poet
    options = {"block_length": 4, "block_cache": "dual", "stop_at_eos": False}
    prompts = ["床前明月光，", "白日", "春眠不觉晓，", "红豆生"]
    bodies = [
        {"prompt": prompt, "max_tokens": 8 + 3 * index, "stream": index == 1, "generation_config": options}
        for index, prompt in enumerate(prompts)
    ]
    answers = post_all(app, bodies)
    texts = [answer.json()["choices"][0]["text"] for index, answer in enumerate(answers) if index != 1]
    events = [json.loads(line.removeprefix("data: ")) for line in answers[1].text.splitlines() if "{" in line]
    texts.insert(1, "".join(event["choices"][0]["text"] for event in events))
    assert max(passes) > 1, "some are shared"
    for text, body in zip(texts, bodies, strict=True):
        inputs = tokenizer(body["prompt"], return_tensors="pt")
        tokens = model.generate(**inputs, max_new_tokens=body["max_tokens"], **options)
        assert text == tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    wait_until(lambda: "llada-scheduler" not in [thread.name for thread in threading.enumerate()])


@pytest.mark.parametrize("leaves_at_once", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("alone", [{}, {"edit_threshold": 0.9}], ids=["shared passes", "alone"])
def test_a_client_that_leaves_frees_its_row(app, poet, passes, stream, leaves_at_once, alone):
    """It leaves before the first pass, or in the third one, which waits until the server knows; there is no fourth."""
    has_left = threading.Event()

    def wait_in_the_third(*args):
        if len(passes) == 3:
            has_left.wait(60)

    hook = poet[0].register_forward_pre_hook(wait_in_the_third)
    options = LONG["generation_config"] | alone
    body = json.dumps(LONG | {"stream": stream, "generation_config": options}).encode()
    scope = {"type": "http", "method": "POST", "path": "/v1/completions", "query_string": b"", "http_version": "1.1"}
    scope |= {"headers": [(b"content-type", b"application/json")], "asgi": {"version": "3.0", "spec_version": "2.3"}}
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        while not messages:
            if leaves_at_once or len(passes) == 3:
                return {"type": "http.disconnect"}
            await asyncio.sleep(0.001)
        return messages.pop()

    async def send(message):
        pass

    async def ask_and_leave():
        await app(scope, receive, send)
        has_left.set()
        while not app.state.scheduler.is_idle:  # in a loop that is open, because a closed one would end the call, too
            await asyncio.sleep(0.01)

    asyncio.run(ask_and_leave())
    hook.remove()
    assert len(passes) <= 3 if leaves_at_once else len(passes) == 3


def test_a_request_that_never_fits_is_refused_before_its_stream_begins(app):
    app.state.scheduler.memory_limit = 10_000
    for stream in (False, True):
        [answer] = post_all(app, [LONG | {"stream": stream}])
        assert answer.status_code == 400 and "`memory_limit` must allow" in answer.text


def test_a_failure_of_the_scheduler_is_an_answer_and_the_next_request_is_served(app, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(app.state.scheduler, "_admit", lambda: 1 / 0)
        [answer] = post_all(app, [{"prompt": "床"}])
    assert answer.status_code == 500 and "division by zero" in answer.text
    [answer] = post_all(app, [{"prompt": "床"}])
    assert answer.status_code == 200


def test_a_device_that_fails_at_every_touch_leaves_no_request_without_an_answer(app, poet, monkeypatch):
    """As CUDA does after an assertion: even a slot cannot be cleared."""
    from modeling_llada.serving.slots import SlotDenoiser

    def fail(*args, **kwargs):
        raise RuntimeError("device-side assert")

    with monkeypatch.context() as patch:
        patch.setattr(poet[0], "forward", fail)
        patch.setattr(SlotDenoiser, "clear", fail)
        for answer in post_all(app, 3 * [{"prompt": "床"}]):
            assert answer.status_code == 500 and "device-side assert" in answer.text
    [answer] = post_all(app, [{"prompt": "床"}])
    assert answer.status_code == 200


def test_more_requests_than_may_wait_are_asked_to_come_back(poet):
    from modeling_llada.serving import Limits, build_app

    app = build_app(*poet, ["tiny"], batch_size=1, limits=Limits(max_waiting=2))
    answers = post_all(app, 8 * [LONG])
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 1 <= len(refused) <= 6, "some are answered"
    for answer in refused:
        assert answer.status_code == 503 and answer.headers["Retry-After"] == "1" and "are waiting" in answer.text


def test_a_format_that_takes_long_keeps_no_other_request(app, monkeypatch):
    """Nor do many whose clients have left."""
    from modeling_llada.serving import endpoints

    begun, go_on = [], threading.Event()
    monkeypatch.setattr(endpoints, "compile_format", lambda *args: begun.append(args) or go_on.wait(60) and None)

    async def post():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://server", timeout=60) as client:
            body = {"prompt": "床", "max_tokens": 1}
            slow = body | {"response_format": {"type": "json_object"}}
            for _ in range(40):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(client.post("/v1/completions", json=slow), timeout=0.01)
            try:
                return await asyncio.wait_for(client.post("/v1/completions", json=body), timeout=5)
            finally:
                go_on.set()

    assert asyncio.run(post()).status_code == 200
    assert len(begun) == 1


def test_a_stream_that_nobody_reads_keeps_one_canvas(app, passes):
    """The client takes the beginning, and then no more while the model works."""
    body = json.dumps(LONG | {"stream": True, "stream_options": {"include_canvas": True}}).encode()
    scope = {"type": "http", "method": "POST", "path": "/v1/completions", "query_string": b"", "http_version": "1.1"}
    scope |= {"headers": [(b"content-type", b"application/json")], "asgi": {"version": "3.0", "spec_version": "2.3"}}
    messages, sent, kept = [{"type": "http.request", "body": body, "more_body": False}], [], []

    async def receive():
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message):
        sent.append(message.get("body", b""))
        while len(sent) == 2 and not app.state.scheduler.is_idle:
            await asyncio.sleep(0.01)
        if len(sent) == 2:
            kept.append(sum(isinstance(thing, Draft) for thing in gc.get_objects()))

    asyncio.run(app(scope, receive, send))
    assert len(passes) == 100 and kept[0] <= 2, "the one that is sent, and the last one"
    assert sum(b"canvas" in event for event in sent) <= 3
    assert b"[DONE]" in sent[-2]


def test_after_shutdown_requests_are_refused(app):
    app.state.shutdown()
    [answer] = post_all(app, [LONG])
    assert answer.status_code == 503 and "shutting down" in answer.text


@pytest.mark.slow
def test_many_clients_who_leave_fail_and_repeat(app, poet):
    """Every answer is that of the request alone, none is lost, and no row stays."""
    model, tokenizer = poet

    def body_of(number):
        return {
            "prompt": "床前明月光，"[: 1 + number % 6],
            "max_tokens": 2 + number % 9,
            "temperature": number % 2,
            "seed": number,
            "generation_config": {"block_length": 0 if number % 10 == 7 else 3, "block_cache": "dual"},
        }

    async def client(number):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server", timeout=120) as http:
            answers = []
            for step in range(5):
                request = http.post("/v1/completions", json=body_of(8 * step + number))
                if (step + number) % 6 == 5:
                    with pytest.raises(asyncio.TimeoutError):
                        await asyncio.wait_for(request, timeout=0.001)
                else:
                    answers.append((8 * step + number, await request))
            return answers

    async def all_clients():
        return await asyncio.gather(*map(client, range(8)))

    for number, answer in sum(asyncio.run(all_clients()), []):
        body = body_of(number)
        assert answer.status_code == (400 if number % 10 == 7 else 200)
        if answer.status_code == 200:
            inputs = tokenizer(body["prompt"], return_tensors="pt")
            tokens = model.generate(
                **inputs,
                max_new_tokens=body["max_tokens"],
                temperature=float(body["temperature"]),
                generator=torch.Generator().manual_seed(number),
                **body["generation_config"],
            )
            text = tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            assert answer.json()["choices"][0]["text"] == text
    wait_until(lambda: app.state.scheduler.is_idle)
