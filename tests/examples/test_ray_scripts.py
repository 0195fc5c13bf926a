# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""examples/ray_serve.py and examples/ray_batch.py on a Ray of this machine, while processes are killed.

Ray starts once, which takes most of the time: its processes import torch one by one.
"""

import json
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.tiny_poet import SHIPPED_CHECKPOINT, save_tiny_poet
from transformers import AutoModel, AutoTokenizer

from modeling_llada.serving import BatchedDecoder


ray = pytest.importorskip("ray", reason="needs the extra `ray`")
httpx = pytest.importorskip("httpx", reason="needs the extra `ray`")
psutil = pytest.importorskip("psutil", reason="needs the extra `ray`")
from ray import serve  # noqa: E402

from examples import ray_batch, ray_serve  # noqa: E402
from llada_cli.errors import CommandError  # noqa: E402


pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
OPTIONS = {"block_length": 1, "steps": 60, "stop_at_eos": False}
LONG = {"prompt": "床前", "max_tokens": 60, "temperature": 0, "generation_config": OPTIONS}


@pytest.fixture(scope="module")
def poet(tmp_path_factory):
    return save_tiny_poet(tmp_path_factory.mktemp("poet"))


def expected(folder, *prompts):
    """What a model answers alone to prompts."""
    model, tokenizer = AutoModel.from_pretrained(folder, dtype="float32"), AutoTokenizer.from_pretrained(folder)
    with BatchedDecoder(model, tokenizer, temperature=0, max_new_tokens=60, **OPTIONS) as decoder:
        return {prompt: answer.text for prompt in prompts for answer in decoder.generate([prompt])}


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """A Ray whose processes find the examples and the package."""
    names = {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    names["RAY_prestart_worker_first_driver"] = "0"  # processes that nobody would need
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(name, value)
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80 * 2**20)
        yield
        ray.shutdown()


def processes(name):
    """The living processes of this Ray that have a name."""
    children = psutil.Process().children(recursive=True)
    return [child.pid for child in children if child.is_running() and name in command_of(child)]


def command_of(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return ""


def test_serving_outlives_a_replica():
    """Plain requests are answered by the other replica; the streams of the dead one end with an error event."""
    port, checkpoint = free_port(), str(SHIPPED_CHECKPOINT)
    arguments = ray_serve.Arguments(checkpoint=checkpoint, num_gpus=0, num_cpus=0.5, min_replicas=2, max_replicas=2)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(ray_serve.app(arguments))
    victim, _ = processes("ServeReplica:default:Replica")
    begun = threading.Semaphore(0)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client, ThreadPoolExecutor(8) as threads:
        refused = client.post("/v1/completions", json=LONG | {"max_tokens": -1})
        assert refused.status_code == 400 and "max_" in refused.json()["error"]["message"]
        streams = [threads.submit(read_stream, client, begun) for _ in range(4)]
        plain = [threads.submit(client.post, "/v1/completions", json=LONG) for _ in range(4)]
        for _ in streams:
            begun.acquire()
        os.kill(victim, signal.SIGKILL)
        answers = [future.result() for future in plain]
        events = [future.result() for future in streams]
    serve.shutdown()
    text = expected(checkpoint, LONG["prompt"])[LONG["prompt"]]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert {answer.json()["choices"][0]["text"] for answer in answers} == {text}
    cut = [lines for lines in events if "error" in json.loads(lines[-2])]
    whole = [lines for lines in events if lines not in cut]
    assert cut and all("has died" in lines[-2] for lines in cut)
    assert whole and {text_of(lines) for lines in whole} == {text}


def test_a_variable_without_a_key_opens_no_server(monkeypatch):
    monkeypatch.setenv("LLADA_API_KEY", " \n")
    with pytest.raises(CommandError, match="LLADA_API_KEY must have a key in each line, but has none"):
        ray_serve.app(ray_serve.Arguments())


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def read_stream(client, begun):
    """The events of a stream. Says when the first is there."""
    lines = []
    with client.stream("POST", "/v1/completions", json=LONG | {"stream": True}) as response:
        for line in filter(None, response.iter_lines()):
            lines.append(line.removeprefix("data: "))
            if len(lines) == 1:
                begun.release()
    assert response.status_code == 200 and lines[-1] == "[DONE]"
    return lines


def text_of(lines):
    return "".join(json.loads(line)["choices"][0].get("text", "") for line in lines[:-1])


def test_offline_work_outlives_a_worker(poet, tmp_path, capsys):
    """It goes on behind the rows of an earlier run. Each other row has one answer, that of the model alone."""
    prompts = {f"row {number}": prompt for number, prompt in enumerate(["床前", "春眠"] * 6)}
    rows = [{"id": id, "prompt": prompt} for id, prompt in prompts.items()]
    rows.append({"id": "bad", "prompt": "春", "max_new_tokens": -1})
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    output = tmp_path / "answers"
    output.mkdir()
    (output / "earlier.jsonl").write_text('{"id": "row 3", "completion": "of an earlier run"}\n')

    options = json.dumps(OPTIONS | {"temperature": 0, "max_new_tokens": 60})
    arguments = ["--file", str(tmp_path / "prompts.jsonl"), "--output", str(output), "--model", str(poet)]
    arguments += [
        "--options",
        options,
        "--num_gpus",
        "0",
        "--workers",
        "2",
        "--rows_per_file",
        "3",
        "--batch_size",
        "2",
    ]
    with ThreadPoolExecutor(1) as thread:
        killed = thread.submit(kill_a_worker_of, output)
        ray_batch.main(arguments)
    assert killed.result() == 2
    printed = capsys.readouterr().out
    assert "1 of 13 rows have an answer" in printed and "13 rows; 1 of them are errors" in printed

    lines = list(ray_batch.written_lines(output))
    assert sorted(line["id"] for line in lines) == sorted([*prompts, "bad"])
    texts = expected(poet, "床前", "春眠")
    assert {line["id"]: line["completion"] for line in lines if line["id"] != "bad"} == {
        id: texts[prompt] for id, prompt in prompts.items()
    } | {"row 3": "of an earlier run"}
    assert "max_new_tokens" in next(line["error"] for line in lines if line["id"] == "bad")


def kill_a_worker_of(output):
    """Kills a worker when the first answers are written. Returns how many there were."""
    deadline = time.monotonic() + 300  # also where the run has failed
    while len(list(output.glob("*.jsonl"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = processes("MapWorker")
    os.kill(workers[0], signal.SIGKILL)
    return len(workers)


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        ([{"prompt": "床前"}], [], '"id"'),
        ([{"id": 1, "prompt": "床前"}, {"id": 1, "prompt": "春"}], [], "share one"),
        ([{"id": 1, "prompt": "床前"}], ["--options", '{"gen_length": 8}'], "gen_length"),
        ([{"id": 1, "prompt": "床前"}], ["--options", "[]"], "--options"),
        ([{"id": 1, "prompt": "床前"}], ["--workers", "0"], "--workers"),
    ],
)
def test_bad_input_is_refused_before_any_work(rows, arguments, message, tmp_path, capsys):
    file, output = tmp_path / "prompts.jsonl", tmp_path / "answers"
    file.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(SystemExit) as error:
        ray_batch.main(["--file", str(file), "--output", str(output), *arguments])
    assert error.value.code == 2 and message in capsys.readouterr().err
    assert not output.exists()
