# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The operations of a server: limits, keys, probes, metrics, the log, a worker that dies, and the end."""

import asyncio
import logging
import threading
import time

import pytest
from support.waiting import wait_until


pytest.importorskip("fastapi", reason="needs the extra `serve`")
httpx = pytest.importorskip("httpx", reason="needs the extra `serve`")
parser = pytest.importorskip("prometheus_client.parser", reason="needs the extra `serve`")

from modeling_llada.serving import Limits, build_app  # noqa: E402


SHORT = {"prompt": "床前", "max_tokens": 4, "generation_config": {"stop_at_eos": False}}
LONG = SHORT | {"max_tokens": 100}
URL = "/v1/completions"


@pytest.fixture
def serve(poet):
    """Builds a server with some options."""
    return lambda **options: build_app(*poet, ["tiny"], **options)


@pytest.fixture
def slow_steps(poet):
    """Lets each forward pass take a while."""
    hook = poet[0].register_forward_pre_hook(lambda module, args: time.sleep(0.02))
    yield
    hook.remove()


@pytest.fixture
def hanging_step(poet):
    """Lets the fifth forward pass wait for the event that it yields."""
    go_on, passes = threading.Event(), []

    def hang(*args):
        passes.append(args)
        if len(passes) == 5:
            go_on.wait(60)

    hook = poet[0].register_forward_pre_hook(hang)
    yield go_on
    hook.remove()


def client_of(app):
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://server", timeout=60)


def ask(app, method="POST", url=URL, **request):
    """The answer to one request; by default to a short one for a text."""

    async def send():
        async with client_of(app) as client:
            return await client.request(method, url, **request)

    if method == "POST":
        request.setdefault("json", SHORT)
    return asyncio.run(send())


def message_of(answer):
    return answer.json()["error"]["message"]


def numbers_of(app):
    """The metrics: a number for each name, or for a name and the labels that are not of the whole server."""
    families = parser.text_string_to_metric_families(ask(app, "GET", "/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return {
        (
            sample.name,
            *(value for label, value in sorted(sample.labels.items()) if label != "model_name"),
        ): sample.value
        for sample in samples
    }


class TestLimits:
    @pytest.mark.parametrize(
        ("limit", "message"),
        [
            (
                {"max_prompt_tokens": 1},
                "The tokens of the prompt must be at most 1 on this server, but got 2. Shorten it.",
            ),
            ({"max_answer_tokens": 3}, "`max_tokens` must be at most 3 on this server, but got 4. Ask for fewer."),
            ({"max_steps": 3}, "`steps` must be at most 3 on this server, but got 4."),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("stream", [False, True])
    def test_what_is_too_large_is_refused_before_its_answer_begins(self, serve, limit, message, stream):
        app = serve(limits=Limits(**limit))
        answer = ask(app, json=SHORT | {"stream": stream})
        assert answer.status_code == 400 and message_of(answer).startswith(message)
        assert app.state.scheduler.is_idle

    def test_what_a_limit_just_allows(self, serve):
        limits = Limits(max_prompt_tokens=2, max_answer_tokens=4, max_steps=2)
        options = SHORT["generation_config"] | {"steps": 2}
        assert ask(serve(limits=limits), json=SHORT | {"generation_config": options}).status_code == 200

    def test_the_body_of_a_text_is_that_of_the_longest_prompt(self, serve):
        answer = ask(serve(), content=b" " * 2**21)
        assert answer.status_code == 413 and message_of(answer) == "The request must have at most 1 MiB."

    def test_the_time_of_the_body(self, serve, monkeypatch):
        """A client that stops in the middle of its request does not keep its place."""
        from modeling_llada.serving import limits

        async def never_whole():
            yield b'{"prompt":'
            await asyncio.sleep(60)

        monkeypatch.setattr(limits, "BODY_SECONDS", 0.05)
        answer = ask(serve(), content=never_whole(), headers={"Content-Type": "application/json"}, json=None)
        assert answer.status_code == 408 and "must come within 0.05 seconds" in message_of(answer)

    def test_the_time_of_a_plain_answer(self, serve, hanging_step):
        app = serve(limits=Limits(max_seconds=0.2))
        answer = ask(app, json=LONG)
        assert answer.status_code == 503 and answer.headers["Retry-After"] == "1"
        assert "longer than the 0.2 seconds" in message_of(answer)
        hanging_step.set()
        wait_until(lambda: app.state.scheduler.is_idle)
        assert app.state.scheduler.counts.passes <= 6, "the row was freed"

    def test_the_time_of_a_stream(self, serve, hanging_step):
        """The text that there was stays, and the last events say why it ends."""
        app = serve(limits=Limits(max_seconds=1.5))
        options = LONG["generation_config"] | {"block_length": 2}
        answer = ask(app, json=LONG | {"stream": True, "generation_config": options})
        hanging_step.set()
        *_, error, done = [line for line in answer.text.splitlines() if line]
        assert answer.status_code == 200 and '"text":' in answer.text
        assert "longer than the 1.5 seconds" in error and done == "data: [DONE]"
        assert numbers_of(app)["llada:request_success_total", "error"] == 1
        wait_until(lambda: app.state.scheduler.is_idle)

    @pytest.mark.parametrize("limit", [{"max_waiting": 0}, {"max_seconds": -1}, {"max_steps": 1.5}], ids=str)
    def test_a_limit_that_is_none(self, limit):
        with pytest.raises(ValueError, match=f"`{next(iter(limit))}` must be"):
            Limits(**limit)


class TestKeys:
    @pytest.fixture
    def app(self, serve):
        return serve(api_keys=["one", "two"], cors_origins=["https://poems.example"])

    @pytest.mark.parametrize("value", ["Bearer one", "bearer two", "Bearer  two"])
    def test_each_key_opens(self, app, value):
        assert ask(app, headers={"Authorization": value}).status_code == 200

    @pytest.mark.parametrize(
        "value", ["", "one", "Bearer", "Bearer three", "Bearer one two", "Basic one", "Bearer \xe9"]
    )
    def test_what_is_no_key(self, app, value):
        answer = ask(app, headers={"Authorization": value.encode("latin-1")})
        assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
        assert "Authorization: Bearer KEY" in message_of(answer)

    @pytest.mark.parametrize(
        ("url", "status"), [("/health", 200), ("/ready", 200), ("/metrics", 401), ("/docs", 401), ("/v1/models", 401)]
    )
    def test_only_probes_need_none(self, app, url, status):
        assert ask(app, "GET", url).status_code == status

    def test_a_browser_asks_without_a_key_whether_it_may_send_one(self, app):
        headers = {"Origin": "https://poems.example", "Access-Control-Request-Method": "POST"}
        headers["Access-Control-Request-Headers"] = "authorization, content-type"
        answer = ask(app, "OPTIONS", headers=headers)
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "https://poems.example"
        answer = ask(app, headers={"Origin": "https://poems.example"})
        assert answer.status_code == 401 and "Access-Control-Allow-Origin" in answer.headers

    def test_by_default_no_page_of_another_origin_reads_answers(self, serve):
        answer = ask(serve(), headers={"Origin": "https://poems.example"})
        assert answer.status_code == 200 and "Access-Control-Allow-Origin" not in answer.headers

    @pytest.mark.parametrize("key", ["", " a", "a\n", "é"], ids=repr)
    def test_a_key_that_no_header_holds(self, serve, key):
        with pytest.raises(ValueError, match="`api_keys` must be texts .* number 2 of 2") as caught:
            serve(api_keys=["secret", key])
        assert "secret" not in str(caught.value)


class TestWorker:
    def test_one_that_dies_leaves_no_request_without_an_answer(self, serve, monkeypatch):
        app = serve()

        def die():
            raise SystemExit

        with monkeypatch.context() as patch:
            patch.setattr(app.state.scheduler, "step", die)
            answer = ask(app)
            assert answer.status_code == 503 and "The worker has died" in message_of(answer)
            assert ask(app, "GET", "/ready").status_code == 503
            assert ask(app, "GET", "/health").status_code == 200
        assert ask(app, "GET", "/ready").status_code == 200
        assert ask(app).status_code == 200
        assert numbers_of(app)["llada:worker_deaths_total",] == 2

    def test_one_that_hangs_is_not_ready(self, serve, monkeypatch):
        from modeling_llada.serving import operations

        app, go_on = serve(), threading.Event()
        with monkeypatch.context() as patch:
            patch.setattr(operations, "READY_SECONDS", 0.05)
            patch.setattr(app.state.scheduler, "step", go_on.wait)
            answer = ask(app, "GET", "/ready")
            assert answer.status_code == 503 and "has not answered in 0.05 seconds" in message_of(answer)
            assert ask(app, "GET", "/health").json() == {"status": "ok"}
        go_on.set()
        assert ask(app, "GET", "/ready").json() == {"status": "ready"}

    def test_a_device_that_is_lost_is_not_ready(self, serve, poet, monkeypatch):
        from modeling_llada.serving import worker

        def fail(*args, **options):
            raise RuntimeError("device-side assert")

        app = serve()
        with monkeypatch.context() as patch:
            patch.setattr(worker.torch, "ones", fail)
            answer = ask(app, "GET", "/ready")
        assert answer.status_code == 503 and "device-side assert" in message_of(answer)


class TestMetrics:
    def test_what_requests_add(self, serve):
        app = serve()
        ask(app)
        ask(app, json=SHORT | {"stream": True, "generation_config": {"stop_at_eos": False, "edit_threshold": 1.0}})
        ask(app, json=SHORT | {"max_tokens": -1})
        ask(app, "GET", "/nowhere")
        numbers = numbers_of(app)
        assert numbers["http_requests_total", URL, "POST", "200"] == 2
        assert numbers["http_requests_total", URL, "POST", "400"] == 1
        assert numbers["http_requests_total", "none", "GET", "404"] == 1
        assert numbers["llada:request_success_total", "length"] == 2
        assert numbers["llada:prompt_tokens_total",] == 4
        assert numbers["llada:generation_tokens_total",] == 8
        assert numbers["llada:forward_passes_total",] == 4 + 5, "the last one looks whether to edit"
        assert numbers["llada:forward_passes_alone_total",] == 5
        assert numbers["llada:forward_pass_rows_total",] == 9
        assert numbers["llada:e2e_request_latency_seconds_count",] == 2
        assert numbers["llada:request_queue_time_seconds_count",] == 2
        assert numbers["llada:time_to_first_token_seconds_count",] == 1
        assert numbers["llada:request_tokens_per_forward_pass_sum",] == 4 / 4 + 4 / 5
        assert numbers["llada:num_requests_running",] == numbers["llada:num_requests_waiting",] == 0

    def test_a_prompt_counts_once_and_without_its_masks(self, serve):
        app = serve()
        answer = ask(app, json=SHORT | {"prompt": ["床前", "床[MASK]月"], "n": 2})
        assert answer.json()["usage"]["prompt_tokens"] == 4
        assert numbers_of(app)["llada:prompt_tokens_total",] == 4

    def test_methods_that_clients_invent_are_one(self, serve):
        """Each would add a line for ever."""
        app = serve()
        for number in range(3):
            ask(app, f"M{number}", "/health")
        assert numbers_of(app)["http_requests_total", "/health", "other", "405"] == 3

    def test_while_requests_are_at_work(self, serve, slow_steps):
        app = serve(batch_size=1)

        async def look():
            async with client_of(app) as client:
                requests = [asyncio.ensure_future(client.post(URL, json=LONG)) for _ in range(3)]
                while app.state.scheduler.num_running != 1 or len(app.state.scheduler.waiting) != 2:
                    await asyncio.sleep(0.01)
                text = (await client.get("/metrics")).text
                app.state.shutdown()
                await asyncio.gather(*requests)
                return text

        text = asyncio.run(look())
        assert 'llada:num_requests_running{model_name="tiny"} 1.0' in text
        assert 'llada:num_requests_waiting{model_name="tiny"} 2.0' in text
        assert numbers_of(app)["llada:request_success_total", "error"] == 3


def test_the_log_has_one_line_for_a_request(serve, caplog):
    caplog.set_level(logging.INFO, logger="modeling_llada.serving")
    app = serve()
    ask(app)
    ask(app, "GET", "/health")
    ask(app, "GET", "/nowhere%0APOST")
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("modeling_llada")]
    assert len(lines) == 2, "probes have none"
    assert lines[0].startswith(f"127.0.0.1 POST {URL} 200 0.") and " s, 2 + 4 tokens, 4 passes, waited 0." in lines[0]
    assert "\n" not in lines[1] and " 404 " in lines[1]


class TestEnd:
    @pytest.mark.parametrize(("num_tokens", "seconds", "status"), [(20, 60, 200), (120, 0.1, 503)])
    def test_requests_inside_finish_or_get_503(self, serve, slow_steps, num_tokens, seconds, status):
        app = serve()

        async def end():
            async with client_of(app) as client:
                inside = asyncio.ensure_future(client.post(URL, json=LONG | {"max_tokens": num_tokens}))
                while not app.state.scheduler.num_running:
                    await asyncio.sleep(0.01)
                draining = asyncio.ensure_future(app.state.drain(seconds))
                await asyncio.sleep(0)
                late, ready = await client.post(URL, json=SHORT), await client.get("/ready")
                await draining
                return await inside, late, ready

        inside, late, ready = asyncio.run(end())
        assert inside.status_code == status
        assert late.status_code == ready.status_code == 503 and "shutting down" in message_of(late)
        wait_until(lambda: app.state.scheduler.is_idle)
