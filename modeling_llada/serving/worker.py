# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The thread that runs a scheduler while calls are at work."""

import threading
from collections import deque
from concurrent.futures import Future

import torch
from transformers.utils import logging

from .job import Job
from .scheduler import Scheduler


logger = logging.get_logger(__name__)


class WorkerDied(RuntimeError):
    """What the calls get that a dying worker was at. Those that come later have a new one."""


class Worker:
    """Runs a scheduler in a thread, which begins with a call and ends when none is left. Its methods are for any thread."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.stopped_by: Exception | None = None
        self.pings: deque[Future] = deque()
        self.num_deaths = 0

    def submit(self, job: Job) -> None:
        """Lets a call wait for its turn."""
        with self.lock:
            self.scheduler.submit(job)
            self._start()

    def ping(self) -> Future:
        """A future that is done after the next step, if the worker and its device still answer. Else it fails, or never is."""
        with self.lock:
            self.pings.append(answer := Future())
            self._start()
        return answer

    def stop(self, error: Exception) -> None:
        """Ends all calls at their next step, and each later one before its first, with an error."""
        self.stopped_by = error

    def _start(self) -> None:
        if self.thread is None:
            self.thread = threading.Thread(target=self._run, name="llada-scheduler", daemon=True)
            self.thread.start()

    def _run(self) -> None:
        try:
            while self._step():
                pass
        except BaseException as error:  # `_step` answers an `Exception`
            logger.error("The worker has died, and the next request starts a new one.", exc_info=error)
            with self.lock:
                self.num_deaths += 1
                died = WorkerDied(f"The worker has died ({error!r}). Send the request again.")
                self.scheduler.close(died)
                self._answer_pings(died)
                self.thread = None

    def _step(self) -> bool:
        """Makes a step. Returns whether to go on."""
        try:
            if self.stopped_by is not None:
                self.scheduler.close(self.stopped_by)
            self.scheduler.step()
        except Exception as error:
            logger.error("The scheduler has failed, and with it all that it was at.", exc_info=error)
            self.scheduler.close(error)
        self._answer_pings()
        with self.lock:
            if self.pings or not self.scheduler.is_idle:
                return True
            self.thread = None
            return False

    def _answer_pings(self, error: WorkerDied | None = None) -> None:
        while self.pings:
            ping = self.pings.popleft()
            if not ping.set_running_or_notify_cancel():
                continue
            try:
                if error is not None:
                    raise error
                torch.ones((), device=self.scheduler.model.device).item()
            except Exception as failure:
                ping.set_exception(failure)
            else:
                ping.set_result(None)
