# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The metrics of a server for Prometheus. Names are those of vLLM, with another prefix, where it has the same metric."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from .request_record import RequestRecord
from .worker import Worker


PREFIX = "llada:"
METHODS = ("GET", "HEAD", "POST", "OPTIONS")
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
TOKENS_A_PASS = (0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 32)


class Metrics:
    """Counts the requests of a server, and reads the state of its worker when it is asked."""

    def __init__(self, worker: Worker, model_name: str) -> None:
        self.worker, self.model_name = worker, model_name
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self.requests = Counter(
            "http_requests", "Requests by route and status.", ("method", "handler", "status"), registry=self.registry
        )
        self.ends = self._counter("request_success", "Requests by what ended them.", "finished_reason")
        self.prompt_tokens = self._counter("prompt_tokens", "Tokens of the prompts of finished requests.")
        self.answer_tokens = self._counter("generation_tokens", "Tokens of the answers of finished requests.")
        self.latency = self._histogram(
            "e2e_request_latency_seconds", "Seconds from a request to the end of its answer."
        )
        self.queue_time = self._histogram("request_queue_time_seconds", "Seconds from a request to its first step.")
        self.first_block = self._histogram(
            "time_to_first_token_seconds", "Seconds until a stream gets its first block."
        )
        self.tokens_a_pass = self._histogram(
            "request_tokens_per_forward_pass", "Tokens of an answer for each pass of its row.", TOKENS_A_PASS
        )

    def observe(self, record: RequestRecord, handler: str, seconds: float) -> None:
        """Counts a request that has ended."""
        status = 499 if record.has_left else record.status or 500
        method = record.method if record.method in METHODS else "other"  # clients may invent any number of them
        self.requests.labels(method, handler, status).inc()
        name = self.model_name
        if record.has_left:
            self.ends.labels(name, "abort").inc()
        elif status >= 500 or record.has_failed:
            self.ends.labels(name, "error").inc()
        for reason in record.reasons:
            self.ends.labels(name, reason).inc()
        if not record.reasons:
            return
        self.prompt_tokens.labels(name).inc(record.prompt_tokens)
        self.answer_tokens.labels(name).inc(record.answer_tokens)
        self.latency.labels(name).observe(seconds)
        if record.passes:
            self.tokens_a_pass.labels(name).observe(record.answer_tokens / record.passes)
        for histogram, moment in ((self.queue_time, record.admitted), (self.first_block, record.first_block)):
            if moment is not None:
                histogram.labels(name).observe(record.seconds_until(moment))

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """The state of the worker, read by the registry."""
        scheduler, counts = self.worker.scheduler, self.worker.scheduler.counts
        gauges = {
            "num_requests_running": ("Answers at work: rows in use.", scheduler.num_running),
            "num_requests_waiting": ("Answers that wait for a row.", len(scheduler.waiting)),
            "max_rows": ("Rows that may be in use at once.", scheduler.batch_size),
        }
        counters = {
            "forward_passes": ("Forward passes.", counts.passes + counts.passes_alone),
            "forward_passes_alone": ("Those of answers that share none.", counts.passes_alone),
            "forward_pass_rows": ("Rows of all forward passes.", counts.rows + counts.passes_alone),
            "cache_refreshes": ("Shared forward passes that refresh a cache.", counts.refreshes),
            "worker_deaths": ("Times that the worker died and was started again.", self.worker.num_deaths),
        }
        for kind, families in ((GaugeMetricFamily, gauges), (CounterMetricFamily, counters)):
            for name, (text, value) in families.items():
                family = kind(PREFIX + name, text, labels=["model_name"])
                family.add_metric([self.model_name], value)
                yield family

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, text, ("model_name", *labels), registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
        return Histogram(PREFIX + name, text, ("model_name",), buckets=buckets, registry=self.registry)
