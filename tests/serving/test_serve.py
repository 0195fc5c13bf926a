# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada serve` in its own process, with the client of OpenAI."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import torch
from support.tiny_poet import SHIPPED_CHECKPOINT, save_tiny_poet
from transformers import AutoModel, AutoTokenizer
from transformers.utils import import_utils

from llada_cli import main


pytest.importorskip("fastapi", reason="needs the extra `serve`")
pytest.importorskip("uvicorn", reason="needs the extra `serve`")
openai = pytest.importorskip("openai", reason="needs the extra `serve`")

LINE = "床前明月光，"
CHAT = [{"role": "user", "content": LINE}]
PAGE = Path(__file__).parents[2] / "docs" / "serving.md"
PATIENCE = 300  # seconds, which only a hanging server takes


@contextmanager
def run_server(folder, *arguments):
    """Starts a server on a free port. Yields its process, its URL, its first line, and a client."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("LLADA_MODEL", None)
    command = [sys.executable, "-m", "llada_cli", "serve", "--port", "0", *map(str, arguments)]
    with open(folder / "stdout", "w") as stdout, open(folder / "stderr", "w") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=environment)
    try:
        deadline = time.monotonic() + PATIENCE
        while not (line := (folder / "stdout").read_text()).endswith("\n"):
            assert process.poll() is None and time.monotonic() < deadline, (folder / "stderr").read_text()
            time.sleep(0.1)
        url = re.search(r"http://\S+/v1", line)[0]
        client = openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=PATIENCE)
        yield SimpleNamespace(process=process, url=url, line=line, client=client, stderr=folder / "stderr")
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The shipped checkpoint, served with the defaults."""
    with run_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def expected():
    """The answer of `generate`, called directly."""
    model = AutoModel.from_pretrained(SHIPPED_CHECKPOINT, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_CHECKPOINT)

    def write(prompt=LINE, seed=0, **options):
        encoded = tokenizer(prompt, return_tensors="pt")
        tokens = model.generate(**encoded, generator=torch.Generator().manual_seed(seed), **options)
        return tokenizer.decode(tokens[0, encoded["input_ids"].shape[1] :], skip_special_tokens=True)

    return write


@pytest.fixture(scope="module")
def ask(server):
    """Asks, and returns the text, the `finish_reason` and the numbers of tokens."""

    def ask(messages=CHAT, **options):
        answer = server.client.chat.completions.create(model="llada-poet", messages=messages, **options)
        return summary(answer.choices[0].message.content, answer.choices[0], answer.usage)

    return ask


@pytest.fixture(scope="module")
def stream(server):
    """Does the same with a stream, and also returns its pieces."""

    def stream(messages=CHAT, **options):
        request = {"model": "llada-poet", "messages": messages, "stream": True, **options}
        request["stream_options"] = {"include_usage": True}
        *chunks, last = server.client.chat.completions.create(**request)
        pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
        assert all(chunk.usage is None for chunk in chunks) and last.choices == []
        return pieces, summary("".join(pieces), chunks[-1].choices[0], last.usage)

    return stream


def summary(text, choice, usage):
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    return text, choice.finish_reason, usage.prompt_tokens, usage.completion_tokens


def options_field(as_text=True, **options):
    """Decoding options as `openai` sends them."""
    return {"extra_body": {"generation_config": json.dumps(options) if as_text else options}}


def test_one_line_says_where_it_is(server):
    assert server.line.count("\n") == 1
    assert server.line.startswith(
        f"llada-poet answers at {server.url}, for instance: curl {server.url}/chat/completions"
    )
    assert server.url.startswith("http://127.0.0.1:")


class TestChat:
    def test_the_poem_ends_before_the_canvas(self, ask):
        """The canvas has 64 masks by default. EOS and the padding after it are neither sent nor counted."""
        assert ask() == ("疑是地上霜。", "stop", 6, 6)

    def test_the_canvas_ends_before_the_poem(self, ask):
        assert ask(max_tokens=3)[1:] == ("length", 6, 3)
        assert ask(max_completion_tokens=4)[1:] == ("length", 6, 4)

    def test_the_answer_is_that_of_generate(self, ask, expected):
        assert ask(max_tokens=12)[0] == expected(max_new_tokens=12)

    def test_the_chat_template_is_used(self, ask, expected):
        header = [{"role": "system", "content": "七言绝句：春夜"}]
        assert ask(header + CHAT, max_tokens=8)[0] == expected(f"七言绝句：春夜\n{LINE}", max_new_tokens=8)

    def test_text_in_parts(self, ask):
        parts = [{"role": "user", "content": [{"type": "text", "text": LINE}]}]
        assert ask(parts, max_tokens=12) == ask(max_tokens=12)

    def test_by_the_path_of_the_model(self, server):
        request = {"messages": CHAT, "max_tokens": 2}
        answer = server.client.chat.completions.create(model=str(SHIPPED_CHECKPOINT), **request)
        assert answer.model == "llada-poet"


class TestStream:
    @pytest.mark.parametrize(
        "options",
        [
            {"max_tokens": 12},
            {"max_tokens": 3},
            {"max_tokens": 24} | options_field(block_length=4),
            {"max_tokens": 12, "temperature": 1.0, "seed": 3},
        ],
        ids=["one block, EOS", "one block, full", "blocks", "sampled"],
    )
    def test_the_pieces_are_the_plain_answer(self, ask, stream, options):
        pieces, streamed = stream(**options)
        assert streamed == ask(**options)
        assert len(pieces) == (2 if "extra_body" in options else 1), "one for each block with text"

    def test_a_client_that_leaves_frees_the_server(self, server, ask):
        request = {"model": "llada-poet", "messages": CHAT, "stream": True, "max_tokens": 1000}
        with server.client.chat.completions.create(**request) as chunks:
            next(chunks)  # the whole canvas would take minutes
        start = time.monotonic()
        ask(max_tokens=2)
        assert time.monotonic() - start < 30


class TestOptions:
    def test_the_temperature_is_that_of_the_checkpoint(self, ask):
        assert ask(max_tokens=12) == ask(max_tokens=12, temperature=0)

    def test_temperature_and_seed(self, ask, expected):
        answers = [ask(max_tokens=6, temperature=3.0, seed=seed)[0] for seed in range(4)]
        assert answers == [expected(max_new_tokens=6, temperature=3.0, seed=seed) for seed in range(4)]
        assert len(set(answers)) > 1

    def test_without_a_seed_answers_differ(self, ask):
        assert len({ask(max_tokens=6, temperature=3.0)[0] for _ in range(4)}) > 1

    @pytest.mark.parametrize(
        "options",
        [
            {"steps": 3},
            {"block_length": 4, "confidence_threshold": 0.9},
            {"remasking": "entropy", "cfg_scale": 0.5, "steps": 6},
            {"stop_at_eos": False},
        ],
        ids=str,
    )
    def test_decoding_options(self, ask, expected, options):
        given = options | {"max_new_tokens": 12}
        assert ask(**options_field(**given))[0] == expected(**given)
        assert ask(**options_field(as_text=False, **given))[0] == expected(**given)

    def test_fields_of_the_api_win(self, ask, expected):
        field = options_field(max_new_tokens=30, steps=4, temperature=2.0, do_sample=True)
        assert ask(max_tokens=12, temperature=0, **field)[0] == expected(max_new_tokens=12, steps=4)

    def test_what_transformers_chat_sends(self, ask):
        """A whole plain `GenerationConfig`."""
        field = {"do_sample": True, "max_new_tokens": 12, "transformers_version": "5.23.0", "top_p": 1.0}
        assert ask(**options_field(**field))[0]

    def test_values_that_ask_for_nothing_pass(self, ask):
        nothing = {"n": 1, "top_p": 1, "presence_penalty": 0, "stop": [], "tools": [], "tool_choice": "none"}
        ignored = {"user": "me", "store": False, "metadata": {}}
        assert ask(max_tokens=12, **nothing, **ignored) == ask(max_tokens=12)


def test_requests_at_the_same_time(ask, stream, expected):
    """Each has its own options and its own seed."""
    lengths = range(4, 10)
    with ThreadPoolExecutor(4) as threads:
        calls = [
            threads.submit(stream if length % 2 else ask, max_tokens=length, temperature=1.5, seed=length)
            for length in lengths
        ]
        answers = [call.result() for call in calls]
    texts = [answer[1][0] if length % 2 else answer[0] for length, answer in zip(lengths, answers, strict=True)]
    assert texts == [expected(max_new_tokens=length, temperature=1.5, seed=length) for length in lengths]


class TestBadRequests:
    REFUSED = [
        ({"temperature": -1}, 400, "`temperature` must be a finite number of at least 0.0, but got -1"),
        ({"temperature": "hot"}, 400, "`temperature` must be a finite number"),
        ({"model": "gpt-4o"}, 404, "`model` must be 'llada-poet', the model of this server, but got 'gpt-4o'"),
        ({"n": 17}, 400, "`n` must be an integer in \\[1, 16\\], but got 17"),
        ({"max_tokens": 2000}, 400, "must fit into `max_position_embeddings=1024` tokens, but got 6 \\+ 2000"),
        ({"max_tokens": -1}, 400, "`max_tokens` must be an integer of at least 0, but got -1"),
        ({"seed": -1}, 400, "`seed` must be an integer of at least 0"),
        ({"top_p": 1.5}, 400, "`top_p` must be a finite number in"),
        ({"frequency_penalty": 0.5}, 400, "`frequency_penalty` must be 0 or left out"),
        ({"logit_bias": {"5": 1}}, 400, "`logit_bias` must be {} or left out.*does not support it"),
        ({"messages": []}, 400, "`messages` must be a list of one or more"),
        ({"messages": [{"role": "user"}]}, 400, "`messages` must be a list of one or more objects"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "`messages` must be"),
        (
            {"messages": [{"role": "user", "content": "床前[MASK]月"}]},
            400,
            "must not hold mask tokens.*/v1/completions",
        ),
        ({"extra_body": {"block_lenght": 4}}, 400, "'block_lenght' is not a field.* Did you mean `block_length`"),
        (options_field(stepz=4), 400, "stepz"),
        (options_field(steps=0), 400, "`steps` must be an integer of at least 1"),
        (options_field(num_beams=5), 400, "num_beams"),
        (options_field(num_return_sequences=2), 400, "`num_return_sequences` must be 1"),
        (options_field(return_dict_in_generate=True), 400, "`return_dict_in_generate` must be false"),
        ({"extra_body": {"generation_config": "{"}}, 400, "`generation_config` must be a JSON object"),
        ({"extra_body": {"generation_config": "[]"}}, 400, "`generation_config` must be a JSON object"),
    ]

    @pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
    @pytest.mark.parametrize(("change", "status", "message"), REFUSED, ids=[str(case[0]) for case in REFUSED])
    def test_it_is_refused_before_the_answer_begins(self, server, change, status, message, stream):
        request = {"model": "llada-poet", "messages": CHAT, "stream": stream} | change
        with pytest.raises(openai.APIStatusError, match=message) as caught:
            server.client.chat.completions.create(**request)
        assert caught.value.status_code == status
        assert caught.value.type == "invalid_request_error"

    HALF_A_CHARACTER = rb'{"messages": [{"role": "user", "content": "\ud800"}]}'

    @pytest.mark.parametrize("body", [b"{", b"[]", b"null", b'{"messages": "\xff"}', HALF_A_CHARACTER], ids=repr)
    def test_what_is_no_object_or_no_text(self, server, body):
        request = Request(f"{server.url}/chat/completions", body, {"Content-Type": "application/json"})
        with pytest.raises(HTTPError) as caught:
            urlopen(request)
        assert caught.value.code == 400
        assert json.load(caught.value)["error"]["type"] == "invalid_request_error"

    def test_unknown_addresses(self, server):
        with pytest.raises(openai.NotFoundError, match="Not Found"):
            server.client.embeddings.create(model="llada-poet", input="月")
        with pytest.raises(openai.NotFoundError, match="Not Found"):
            server.client.responses.create(model="llada-poet", input="月")


class TestOtherEndpoints:
    def test_texts(self, server, expected):
        request = {"model": "llada-poet", "prompt": LINE, "max_tokens": 12}
        answer = server.client.completions.create(**request)
        text = expected(max_new_tokens=12)
        assert summary(answer.choices[0].text, answer.choices[0], answer.usage) == (text, "stop", 6, len(text))
        chunks = list(server.client.completions.create(**request, stream=True))
        assert "".join(chunk.choices[0].text for chunk in chunks) == text
        assert chunks[-1].choices[0].finish_reason == "stop" and chunks[-1].usage is None

    def test_the_models(self, server):
        assert [model.id for model in server.client.models.list()] == ["llada-poet"]

    def test_what_transformers_chat_asks_first(self, server):
        root = server.url.removesuffix("/v1")
        assert json.load(urlopen(f"{root}/health")) == {"status": "ok"}
        body = json.dumps({"model": "llada-poet"}).encode()
        answer = urlopen(Request(f"{root}/load_model", body, {"Content-Type": "application/json"})).read().decode()
        assert json.loads(answer.removeprefix("data: "))["status"] == "ready"


@pytest.fixture
def official_folder(tmp_path):
    """A checkpoint with the class name of the official ones and without a chat template."""
    folder = save_tiny_poet(tmp_path / "official")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["LLaDAModelLM"]}))
    (folder / "chat_template.jinja").unlink()
    return folder


@pytest.mark.slow
def test_an_official_checkpoint_until_ctrl_c(official_folder, tmp_path):
    with run_server(tmp_path, "--model", official_folder, "--dtype", "bfloat16", "--device", "cpu") as server:
        assert "no chat template" in server.stderr.read_text()
        with pytest.raises(openai.BadRequestError, match="chat_template"):
            server.client.chat.completions.create(model="official", messages=CHAT)
        request = {"model": "official", "prompt": LINE, **options_field(stop_at_eos=False)}
        assert server.client.completions.create(**request).usage.completion_tokens == 7

        # The log has a line for each request, and says once what shares no forward pass.
        options = options_field(max_new_tokens=2, draft_steps=2, confidence_threshold=0.9)
        server.client.completions.create(**request | options)
        assert re.search(r"POST /v1/completions 200 .* s, 6 \+ 2 tokens", server.stderr.read_text())
        assert "shares no forward pass with others, because a batch has " in server.stderr.read_text()

        # After Ctrl-C, running and waiting requests end with an error, and the process with its usual exit code.
        request |= {"prompt": "月", **options_field(stop_at_eos=False, max_new_tokens=127)}
        errors = []
        threads = [threading.Thread(target=catch, args=(errors, server, request)) for _ in range(20)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE) == 130
        for thread in threads:
            thread.join()
        assert "Traceback" not in server.stderr.read_text()
    assert errors and all(isinstance(error, openai.APIError) for error in errors)


def catch(errors, server, request):
    try:
        server.client.completions.create(**request)
    except Exception as error:
        errors.append(error)


def under_load(server, request, num_requests=8):
    """Sends as many requests, and SIGTERM when some are at work. Returns their errors, and that of a later request."""
    with ThreadPoolExecutor(num_requests + 1) as threads:
        calls = [threads.submit(server.client.completions.create, **request) for _ in range(num_requests)]
        metrics = Request(f"{server.url.removesuffix('/v1')}/metrics", headers=server.client.auth_headers)
        while re.search(r"requests_running\S* 0", urlopen(metrics).read().decode()):
            assert not all(call.done() for call in calls), "none is at work"
            time.sleep(0.05)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        late = threads.submit(server.client.completions.create, **request)
        errors = [call.exception() for call in [*calls, late]]
    assert server.process.wait(PATIENCE) == -signal.SIGTERM
    return errors[:-1], errors[-1]


@pytest.mark.slow
def test_sigterm_and_the_end_of_its_time(official_folder, tmp_path):
    with run_server(tmp_path, "--model", official_folder, "--batch-size", 2, "--drain-seconds", 0.5) as server:
        request = {"model": "official", "prompt": "月", **options_field(stop_at_eos=False, max_new_tokens=120)}
        errors, _ = under_load(server, request)
    refused = [error for error in errors if error is not None]
    assert refused and all(error.status_code == 503 and "shutting down" in str(error) for error in refused)


class TestFailures:
    @pytest.fixture
    def post(self, tmp_path, monkeypatch):
        """Sends a request to a server whose model raises an error."""
        from fastapi.testclient import TestClient

        from modeling_llada.serving import build_app

        folder = save_tiny_poet(tmp_path)
        model = AutoModel.from_pretrained(folder)
        app = build_app(model, AutoTokenizer.from_pretrained(folder), ["tiny"])

        def post(error, **request):
            def fail(**kwargs):
                raise error

            monkeypatch.setattr(model, "forward", fail)
            return TestClient(app, raise_server_exceptions=False).post("/v1/completions", json=request)

        return post

    def test_a_plain_answer(self, post):
        answer = post(MemoryError("no room"), prompt=LINE)
        assert answer.status_code == 500
        message = "The server has failed: MemoryError: no room"
        assert answer.json()["error"] == {"message": message, "type": "server_error", "param": None, "code": None}

    def test_a_stream(self, post):
        """The event is valid JSON, whatever the message holds."""
        answer = post(RuntimeError('out of memory: "cuda:0"\nagain'), prompt=LINE, stream=True)
        events = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if "error" in line]
        assert [event["error"]["type"] for event in events] == ["server_error"]
        assert events[0]["error"]["message"].endswith('out of memory: "cuda:0"\nagain')


def test_the_package_is_imported_without_fastapi(monkeypatch):
    import modeling_llada.serving as serving

    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.delitem(sys.modules, "modeling_llada.serving.app", raising=False)
    with pytest.raises(ImportError, match=r"`build_app` needs the extra `serve` .*: pip install -e '\.\[serve\]'"):
        serving.build_app  # noqa: B018
    with pytest.raises(AttributeError):
        serving.nothing  # noqa: B018


class TestStart:
    @pytest.fixture
    def fail(self, capsys):
        """Runs `llada serve`, which must fail with exit code 2, and returns its error."""

        def run(*arguments):
            assert main(["serve", *map(str, arguments)]) == 2
            captured = capsys.readouterr()
            assert captured.out == "" and captured.err.count("\n") == 1
            return captured.err

        return run

    def test_a_port_that_is_taken(self, fail):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            assert re.search(rf"`--port` {port}: Address already in use.*0 takes any", fail("--port", port))

    @pytest.mark.parametrize("arguments", [("--port", 70000), ("--port", -1), ("--host", "not a host", "--port", 0)])
    def test_an_address_that_is_none(self, fail, arguments):
        assert "llada: error: cannot listen on" in fail(*arguments)

    def test_a_batch_that_is_none(self, fail):
        assert "`--batch-size` must be at least 1, but got 0." in fail("--batch-size", 0)

    def test_a_checkpoint_that_is_none(self, fail, tmp_path):
        assert "there is no such folder" in fail("--port", 0, "--model", tmp_path / "nothing")

    def test_without_the_extra(self, fail, monkeypatch):
        monkeypatch.setattr(import_utils, "is_serve_available", lambda: False)
        assert "pip install -e '.[serve]'" in fail("--port", 0)


def blocks_of_the_page(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def test_the_snippets_of_the_page(server, capsys):
    snippets = [block for block in blocks_of_the_page("python") if "client" in block and "photo" not in block]
    code = "\n".join(snippets).replace("http://127.0.0.1:8000/v1", server.url)
    exec(compile(code, PAGE.name, "exec"), {})
    plain, rest = capsys.readouterr().out.split("\n", 1)
    assert plain == "疑是地上霜。" and re.fullmatch("疑是地上霜。[春夏秋冬]\n", rest)


def test_the_requests_of_the_page(server):
    [block] = [block for block in blocks_of_the_page("bash") if "curl $url/completions" in block]
    answers = []
    for line in block.splitlines()[1:]:
        command, url, *data = shlex.split(line.replace("$url", server.url))
        assert command == "curl"
        body = data[1].encode() if data else None
        answers.append(urlopen(Request(url, body, {"Content-Type": "application/json"})).read().decode())
    chat, stream, several, filled, gap, logprobs, models, model = answers
    assert json.loads(chat)["choices"][0]["message"]["content"] == "疑是地上霜。"
    assert stream.endswith("data: [DONE]\n\n") and stream.count('"content": "') > 2
    assert len(json.loads(several)["choices"]) == 4
    assert json.loads(filled)["choices"][0]["text"] == "床前明月光，疑是地上霜。"
    assert json.loads(gap)["choices"][0]["text"] == "疑是地"
    assert len(json.loads(logprobs)["choices"][0]["logprobs"]["top_logprobs"][0]) == 2
    assert json.loads(models)["data"][0] == json.loads(model)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_operations_of_the_page(tmp_path, monkeypatch):
    blocks = blocks_of_the_page("bash")
    [start], [probes] = ([block for block in blocks if word in block] for word in ("keys.txt\nllada serve", "/ready"))
    make_keys, serve = start.splitlines()
    monkeypatch.chdir(tmp_path)
    subprocess.run(make_keys.replace("python", sys.executable, 1), shell=True, check=True)
    with run_server(tmp_path, *serve.replace("0.0.0.0", "127.0.0.1").split()[2:]) as server:
        root = server.url.removesuffix("/v1")
        command = probes.replace("http://127.0.0.1:8000", root)
        out = subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout
        assert out.startswith('{"status":"ok"}{"status":"ready"}') and "llada:max_rows" in out
        client = server.client.with_options(api_key=(tmp_path / "keys.txt").read_text().strip())
        assert client.chat.completions.create(model="llada-poet", messages=CHAT).choices[0].message.content
        with pytest.raises(openai.AuthenticationError):
            server.client.chat.completions.create(model="llada-poet", messages=CHAT)

        # After SIGTERM what was accepted finishes; a request that comes later, or is not done in time, gets 503.
        server.client = client
        errors, late = under_load(server, {"model": "llada-poet", "prompt": LINE, "max_tokens": 32})
        assert None in errors and isinstance(late, openai.InternalServerError | openai.APIConnectionError)
        assert all(error is None or error.status_code == 503 for error in errors)
