# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Does a server stay right and small while many clients send it everything at once?

    python -m benchmarks.soak
    python -m benchmarks.soak --clients 64 --minutes 30 --server --batch-size 16

It starts `llada serve`, with what follows `--server`, and asks it `--kinds` different requests, one after the other: texts and chats,
with blocks, caches, thresholds, stop strings, seeds and temperatures, and some that are wrong. Then all clients send them in random order
and all at once, plain or as a stream; some leave early. Each answer has to be the one that the request got alone.

The exit code is 1 if an answer differs or is lost, if a row, a thread or a connection stays, or if the server fails. Memory is
that of the server's process; it is for the reader to judge. Linux only: it reads /proc.
"""

import argparse
import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from random import Random

import httpx

from benchmarks.report import progress, save_report, start_report


PROMPTS = (
    "床前明月光，",
    "白日依山尽，",
    "春眠不觉晓，",
    "红豆生南国，",
    "千山鸟飞绝，",
    "独在异乡为异客，",
    "月",
    "山中",
)
OPTIONS = (
    {},
    {"block_length": 4},
    {"block_length": 4, "block_cache": "dual"},
    {"block_length": 6, "block_cache": "prefix", "steps": 5},
    {"confidence_threshold": 0.9},
    {"block_length": 8, "confidence_threshold": 0.8, "draft_steps": 2},
)
WRONG = (
    {"max_tokens": -1},
    {"temperature": "hot"},
    {"generation_config": {"stepz": 1}},
    {"model": "other"},
    {"seed": -1},
)
SHARE_OF_WRONG, SHARE_OF_STREAMS, SHARE_WHO_LEAVE = 0.1, 0.4, 0.1
PATIENCE = 600  # seconds, which only a server that hangs takes


class Server:
    """`llada serve` in a process of its own."""

    def __init__(self, arguments: list[str]) -> None:
        command = [sys.executable, "-m", "llada_cli", "serve", "--port", "0", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("The server did not start. Try `llada serve` with the same arguments.")
        self.url = re.search(r"http://\S+(?=/v1)", line)[0]

    def status(self, name: str) -> int:
        """A number of the process: `VmRSS` in kB, or `Threads`."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+)", text, re.M)[1])

    def stop(self) -> int:
        """Ends the process as an orchestrator would, and returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    report = start_report("soak", args, arguments)
    server = Server(args.server)
    try:
        row = asyncio.run(soak(server, args))
        row["exit_code"] = server.stop()
    finally:
        server.process.kill()
    report["rows"].append(row)
    save_report(report, args.json)
    print(json.dumps(row, indent=2))
    if row["wrong"] or row["lost"] or row["left_behind"] or row["exit_code"] != -signal.SIGTERM:
        raise SystemExit(1)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--clients", type=int, default=64, help="how many send requests at once (%(default)s)")
    add("--requests", type=int, default=20, help="requests of each (%(default)s)")
    add("--minutes", type=float, help="go on for so long, in the place of --requests")
    add("--kinds", type=int, default=96, help="different requests (%(default)s)")
    add("--longest", type=int, default=16, help="tokens of the longest answer (%(default)s)")
    add("--seed", type=int, default=0, help="seed of what is asked (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="where to write the numbers")
    add("--server", nargs=argparse.REMAINDER, default=[], help="arguments of `llada serve`; the last option")
    args = parser.parse_args(arguments)
    args.device = "cpu"  # of this process; the server chooses its own
    return args


async def soak(server: Server, args: argparse.Namespace) -> dict:
    """The numbers of a run."""
    chance = Random(args.seed)
    bodies = [make_body(chance, args.longest) for _ in range(args.kinds)]
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE, limits=limits) as http:
        progress(f"{args.kinds} requests, each alone")
        alone = [await ask(http, body, is_stream=False) for body in bodies]
        await asyncio.gather(*(ask(http, body, is_stream=False) for body in bodies))  # it has its threads from then on
        threads, memory = server.status("Threads"), [server.status("VmRSS")]
        outcomes, started = Counter(), time.monotonic()
        deadline = None if args.minutes is None else started + 60 * args.minutes

        async def client(number: int) -> None:
            own = Random(f"{args.seed} {number}")
            for index in count():
                if (index == args.requests) if deadline is None else (time.monotonic() > deadline):
                    return
                outcomes[await send(http, own, bodies, alone)] += 1

        async def watch() -> None:
            while True:
                await asyncio.sleep(1)
                memory.append(server.status("VmRSS"))

        progress(f"{args.clients} clients")
        watching = asyncio.ensure_future(watch())
        await asyncio.gather(*map(client, range(args.clients)))
        watching.cancel()
        seconds = time.monotonic() - started
        left_behind = await what_stays(http, server, threads)
    tenth = max(1, len(memory) // 10)
    return {
        "seconds": round(seconds, 1),
        "requests": outcomes.total(),
        "requests_per_second": round(outcomes.total() / seconds, 2),
        **{name: outcomes[name] for name in ("right", "refused", "left", "wrong", "lost")},
        "left_behind": left_behind,
        "memory_mib": {
            "before": memory[0] // 1024,
            "after_a_tenth": memory[tenth] // 1024 if len(memory) > tenth else memory[-1] // 1024,
            "end": memory[-1] // 1024,
            "most": max(memory) // 1024,
        },
    }


def make_body(chance: Random, longest: int) -> dict:
    """A request: its path, and what is sent."""
    prompt, options = chance.choice(PROMPTS), chance.choice(OPTIONS)
    body = {"max_tokens": chance.randint(2, longest), "seed": chance.randrange(100), "generation_config": options}
    if chance.random() < 0.3:
        body["temperature"] = 1.0
    if chance.random() < 0.2:
        body["stop"] = [chance.choice("，。风月")]
    if chance.random() < SHARE_OF_WRONG:
        body |= chance.choice(WRONG)
    if chance.random() < 0.5:
        return {"path": "/v1/completions", "prompt": prompt, **body}
    return {"path": "/v1/chat/completions", "messages": [{"role": "user", "content": prompt}], **body}


async def send(http: httpx.AsyncClient, chance: Random, bodies: list[dict], alone: list[tuple]) -> str:
    """Sends one of the requests. Returns what came of it."""
    index, is_stream = chance.randrange(len(bodies)), chance.random() < SHARE_OF_STREAMS
    stay = chance.uniform(0.001, 0.5) if chance.random() < SHARE_WHO_LEAVE else None
    try:
        answer = await asyncio.wait_for(ask(http, bodies[index], is_stream), stay)
    except (TimeoutError, httpx.HTTPError) as error:
        if stay is not None:
            return "left"
        progress(f"{bodies[index]}: {error!r}")
        return "lost"
    if answer != alone[index]:
        progress(f"{bodies[index]}: {answer}, and alone {alone[index]}")
        return "wrong"
    return "right" if answer[0] == 200 else "refused"


async def ask(http: httpx.AsyncClient, body: dict, is_stream: bool) -> tuple:
    """The status of an answer, its text and why it ends; or the message of the error."""
    body = dict(body)
    path = body.pop("path")
    answer = await http.post(path, json=body | {"stream": is_stream})
    if answer.status_code != 200:
        return answer.status_code, answer.json()["error"]["message"]
    if not is_stream:
        return (answer.status_code, *joined([answer.json()]))
    *events, last = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    if last != "[DONE]":
        return answer.status_code, "a stream without its end"
    return (answer.status_code, *joined(map(json.loads, events)))


def joined(events: Iterable[dict]) -> tuple[str, str]:
    """The text of an answer and why it ends, from one event or from those of a stream."""
    text, reason = "", None
    for event in events:
        if "error" in event:
            return str(event["error"]), "error"
        for choice in event["choices"]:
            text += choice.get("text") or (choice.get("message") or choice.get("delta") or {}).get("content") or ""
            reason = choice.get("finish_reason") or reason
    return text, reason


async def what_stays(http: httpx.AsyncClient, server: Server, num_threads: int) -> dict:
    """What a server still has a moment after its last request, and had not before the first."""
    for _ in range(100):
        text = (await http.get("/metrics")).text
        busy = {
            name: int(float(re.search(rf"^llada:{name}\S* (\S+)", text, re.M)[1]))
            for name in ("num_requests_running", "num_requests_waiting", "worker_deaths_total")
        }
        stays = {name: value for name, value in busy.items() if value}
        if (more := server.status("Threads") - num_threads) > 0:
            stays["threads"] = more
        if not stays:
            break
        await asyncio.sleep(0.1)
    return stays


if __name__ == "__main__":
    main()
