"""What a service tells of itself, put together from its settings: `metrics` at once, the threads while it runs."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Literal, Protocol, TextIO, cast

from observability import cloudwatch, names
from observability.aws import open_client
from observability.cloudwatch import Datum
from observability.cloudwatch_logs import CloudWatchLogs, stream_name
from observability.emf import documents
from observability.interval import Interval, Series
from observability.logging import JsonFormatter
from observability.names import Service
from observability.otlp import OtlpTracer
from observability.outbox import Outbox
from observability.reporter import Reporter
from observability.service_metrics import ServiceMetrics
from observability.settings import TelemetrySettings
from observability.tracing import HandingOn, Tracer

OPEN_S = 5.0
"""How long a service that starts waits for the clients of its sinks to be loaded; the network is not asked."""
CLOSE_S = 3.0
"""How long a service that ends waits for its sinks."""
WAITING_BATCHES = 64


class Part(Protocol):
    def start(self) -> None: ...

    def end(self, *, within_s: float) -> None: ...


class Sink(Part, Protocol):
    def wait_until_open(self, within_s: float) -> None: ...


class Telemetry:
    def __init__(self, service: Service, settings: TelemetrySettings, *, stdout: TextIO | None = None) -> None:
        self._service = service
        self._settings = settings
        self._stdout = stdout
        self._interval = Interval(service, dropped=self._dropping("metrics"))
        sinks = () if settings.metrics_sink == "none" else (self._interval,)
        self.metrics = ServiceMetrics(*sinks, top_tenants=settings.metrics_top_tenants, component=service)
        self.metrics.level(names.PROCESSES_UP, 1, component=service)
        self._traces = self._otlp()
        self.tracer: Tracer = self._traces or HandingOn()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tells what there is to tell until it is left, which takes `CLOSE_S` more where sinks do not answer."""
        reporters, sinks = self._parts()
        for part in (*sinks, *reporters):
            part.start()
        await asyncio.gather(*(asyncio.to_thread(sink.wait_until_open, OPEN_S) for sink in sinks))
        try:
            yield
        finally:
            for parts in (reporters, sinks):  # an interval's last words go into a sink
                await asyncio.gather(*(asyncio.to_thread(part.end, within_s=CLOSE_S) for part in parts))

    def _parts(self) -> tuple[list[Part], list[Sink]]:
        """Who tells by the clock, and who sends."""
        reporters: list[Part] = []
        sinks: list[Sink] = []
        every_s = self._settings.metrics_interval_s
        if self._settings.metrics_sink == "emf":
            reporters.append(Reporter(self._interval, self._print, every_s=every_s))
        elif self._settings.metrics_sink == "cloudwatch":
            outbox = self._outbox()
            reporters.append(Reporter(self._interval, lambda taken: _put(outbox, taken), every_s=every_s))
            sinks.append(outbox)
        if self._traces is not None:
            sinks.append(self._traces)
        if self._settings.logs_sink == "cloudwatch":
            sinks.append(self._logs())
        return reporters, sinks

    def _outbox(self) -> Outbox[list[Datum], list[Datum]]:
        client = cache(lambda: self._client("cloudwatch"))
        return Outbox(
            "cloudwatch",
            lambda found: cloudwatch.put(client(), found[0]),
            read=lambda found: cast("list[Datum]", found),
            opening=client,
            capacity=WAITING_BATCHES,
            batch=1,
            linger_s=self._settings.metrics_interval_s,
            dropped=self._dropping("cloudwatch"),
        )

    def _otlp(self) -> OtlpTracer | None:
        settings = self._settings
        if settings.otel_exporter_otlp_endpoint is None:
            return None
        return OtlpTracer(
            self._service,
            settings.otel_exporter_otlp_endpoint,
            ratio=settings.otel_traces_sampler_arg,
            edge=self._service == "router",
            dropped=self._dropping("traces"),
        )

    def _logs(self) -> CloudWatchLogs:
        return CloudWatchLogs(
            lambda: self._client("logs"),
            group=self._settings.log_group,
            stream=stream_name(self._service),
            formatter=JsonFormatter(self._service),
            dropped=self._dropping("logs"),
        )

    def _client(self, service: Literal["cloudwatch", "logs"]) -> Any:
        settings = self._settings
        return open_client(service, region=settings.aws_region, endpoint_url=settings.aws_endpoint_url)

    def _print(self, found: list[Series]) -> None:
        stdout = self._stdout or sys.stdout
        for document in documents(found, service=self._service, at_ms=int(time.time() * 1000)):
            stdout.write(document.decode() + "\n")  # in one piece, so that no log record comes in between
        stdout.flush()

    def _dropping(self, sink: str) -> _Dropping:
        return _Dropping(self, sink)


class _Dropping:
    """Counts what a sink loses."""

    def __init__(self, telemetry: Telemetry, sink: str) -> None:
        self._telemetry = telemetry
        self._sink = sink

    def __call__(self, number: int, reason: str) -> None:
        self._telemetry.metrics.count(names.TELEMETRY_DROPPED, number, sink=self._sink, reason=reason)


def _put(outbox: Outbox[list[Datum], list[Datum]], found: list[Series]) -> None:
    for batch in cloudwatch.batches(cloudwatch.data(found, at=time.time())):
        outbox.put(batch)
