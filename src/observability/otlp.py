"""Traces by OpenTelemetry's protocol (OTLP over HTTP): what requests noted becomes spans in a thread of its own."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING

from contracts.errors import FAULTS
from observability.finished import Finished, Noted
from observability.outbox import Outbox
from observability.record import RequestRecord
from observability.traceparent import TraceParent, new_span_id, new_trace_id, read_traceparent
from observability.tracing import Trace

if TYPE_CHECKING:
    from observability.otlp_spans import Collector

MAX_WAITING, BATCH, LINGER_S = 2_048, 128, 2.0
"""Requests that wait to be told, and how many are told at once."""
MAX_SPANS = 64
"""Of one request."""


class OtlpTrace:
    """A request that is sampled."""

    __slots__ = ("_began", "_ended", "_epoch_ns", "_parent_id", "_record", "_spans", "_tell", "own")

    def __init__(
        self, own: TraceParent, parent_id: str | None, record: RequestRecord, tell: Callable[[Finished], None]
    ) -> None:
        self.own = own
        self._parent_id = parent_id
        self._record = record
        self._tell = tell
        self._spans: list[Noted] = []
        self._ended = False
        self._began = perf_counter()
        self._epoch_ns = time.time_ns() - int(self._began * 1e9)

    def headers(self) -> dict[str, str]:
        return self.own.headers()

    def note(self, name: str, began: float, ended: float, error: str | None = None) -> None:
        found = Noted(name, began, ended, error)
        if self._ended:  # a settlement that outlasts its request
            self._tell(self._finished((found,), None))
        elif len(self._spans) < MAX_SPANS:
            self._spans.append(found)

    def end(self) -> None:
        self._ended = True
        record = self._record
        # Of a server's span only what is the server's fault is an error, as OpenTelemetry's conventions have it.
        fault = record.error_code if record.error_code in FAULTS else None
        root = Noted(record.operation or record.path, self._began, perf_counter(), fault)
        self._tell(self._finished(tuple(self._spans), root))

    def _finished(self, spans: tuple[Noted, ...], root: Noted | None) -> Finished:
        record = self._record
        return Finished(
            self.own.trace_id,
            self.own.span_id,
            self._parent_id,
            record.tenant_id,
            record.request_id,
            {
                "route": record.route,
                "http.request.method": record.method,
                "http.response.status_code": record.status,
                **({"error.type": record.error_code} if record.error_code else {}),
            },
            spans,
            root,
            self._epoch_ns,
        )


class NotSampled:
    """The others: the trace goes on, and says that nobody wants it."""

    __slots__ = ("_own",)

    def __init__(self, own: TraceParent) -> None:
        self._own = own

    def headers(self) -> dict[str, str]:
        return self._own.headers()

    def note(self, name: str, began: float, ended: float, error: str | None = None) -> None:
        pass

    def end(self) -> None:
        pass


class OtlpTracer:
    """`edge`: clients are in front of it. Which of their requests are sampled it decides by itself, by `ratio`: what a
    client says would let it decide what our collector gets. Behind it, the router's word counts."""

    def __init__(
        self, service: str, endpoint: str, *, ratio: float, edge: bool, dropped: Callable[[int, str], None]
    ) -> None:
        self._service = service
        self._endpoint = endpoint.rstrip("/")
        self._ratio = ratio
        self._edge = edge
        self._outbox = Outbox[Finished, Finished](
            "traces",
            self._send,
            read=Finished.read,
            opening=lambda: self._collector,
            capacity=MAX_WAITING,
            batch=BATCH,
            linger_s=LINGER_S,
            dropped=dropped,
        )

    def begin(self, record: RequestRecord, headers: Mapping[str, str]) -> Trace | None:
        parent = read_traceparent(headers.get("traceparent"), headers.get("tracestate"))
        if parent is None and not self._edge:
            return None  # a probe, or a housekeeping job of the router
        sampled = random.random() < self._ratio if self._edge or parent is None else parent.sampled  # noqa: S311
        trace_id = parent.trace_id if parent else new_trace_id()
        own = TraceParent(trace_id, new_span_id(), sampled, parent.state if parent else "")
        if not sampled:
            return NotSampled(own)
        return OtlpTrace(own, parent.span_id if parent else None, record, self._outbox.put)

    def start(self) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # the outbox says what is wrong, once
        self._outbox.start()

    def end(self, *, within_s: float) -> None:
        self._outbox.end(within_s=within_s)

    def wait_until_open(self, within_s: float) -> None:
        self._outbox.wait_until_open(within_s)

    def _send(self, found: list[Finished]) -> None:
        """Raises OSError where the collector did not take them."""
        self._collector.tell(found)

    @cached_property
    def _collector(self) -> Collector:
        """Loads the SDK, which nobody without a collector needs."""
        from observability.otlp_spans import Collector  # noqa: PLC0415

        return Collector(self._service, self._endpoint)
