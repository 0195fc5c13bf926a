# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Builds the Space for tests, and serves it with `python app.py`."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


START_SECONDS = 180  # on a busy machine


@dataclass
class Server:
    """A running Space."""

    url: str
    process: subprocess.Popen
    seconds_to_ready: float

    def cpu_seconds(self) -> float:
        """The processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_until_idle(self, seconds: float) -> None:
        """Waits until the server is idle for a second. Fails if that takes longer than the given seconds."""
        deadline = time.monotonic() + seconds
        while True:
            before = self.cpu_seconds()
            time.sleep(1)
            if self.cpu_seconds() - before < 0.25:
                return
            assert time.monotonic() < deadline, f"the server still computes after {seconds} s"

    def resident_megabytes(self) -> float:
        """The memory of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def build(folder: Path) -> Path:
    """Builds the Space into a new folder."""
    from llada_cli import main

    assert main(["space", "--build", str(folder)]) == 0
    return folder


@contextmanager
def serve(folder: Path, workdir: Path, log: Path):
    """Serves a built folder from another working directory, offline."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LLADA_MODEL")}
    environment |= {
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "HF_HUB_OFFLINE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    start = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(folder / "app.py")], cwd=workdir, env=environment, stdout=output, stderr=output
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(url, process, log)
            yield Server(url, process, time.monotonic() - start)
        finally:
            process.terminate()
            process.wait(20)


def wait_until_ready(url: str, process: subprocess.Popen, log: Path) -> None:
    """Waits for the page."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                assert answer.status == 200
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the Space is not ready after {START_SECONDS} s: {log.read_text()}")
