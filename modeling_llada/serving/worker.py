# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The thread that runs a scheduler while calls are at work."""

import threading

from transformers.utils import logging

from .job import Job
from .scheduler import Scheduler


logger = logging.get_logger(__name__)


class Worker:
    """Runs a scheduler in a thread, which begins with a call and ends when none is left. Its methods are for any thread."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.stopped_by: Exception | None = None

    def submit(self, job: Job) -> None:
        """Lets a call wait for its turn."""
        with self.lock:
            self.scheduler.submit(job)
            if self.thread is None:
                self.thread = threading.Thread(target=self._run, name="llada-scheduler", daemon=True)
                self.thread.start()

    def stop(self, error: Exception) -> None:
        """Ends all calls at their next step, and each later one before its first, with an error."""
        self.stopped_by = error

    def _run(self) -> None:
        while self._step():
            pass

    def _step(self) -> bool:
        """Makes a step. Returns whether to go on."""
        try:
            if self.stopped_by is not None:
                self.scheduler.close(self.stopped_by)
            self.scheduler.step()
        except Exception as error:
            logger.error("The scheduler has failed, and with it all that it was at.", exc_info=error)
            self.scheduler.close(error)
        with self.lock:
            if not self.scheduler.is_idle:
                return True
            self.thread = None
            return False
