"""Traces by OpenTelemetry's protocol (OTLP over HTTP): what requests noted becomes spans in a thread of its own."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from observability.outbox import Outbox
from observability.record import RequestRecord
from observability.traceparent import TraceParent, new_span_id, new_trace_id, read_traceparent
from observability.tracing import Trace

MAX_WAITING, BATCH, LINGER_S, TIMEOUT_S = 2_048, 128, 2.0, 5.0
"""Requests that wait to be told, and how many are told at once."""
MAX_SPANS = 64
"""Of one request."""


@dataclass(frozen=True, slots=True)
class Noted:
    name: str
    began: float
    ended: float
    error: str | None


@dataclass(frozen=True, slots=True)
class Finished:
    """Spans of a request, all children of its own, which is among them as `root` unless it was told before.

    Times are on `time.perf_counter`'s clock; `epoch_ns` is its zero.
    """

    own: TraceParent
    parent_id: str | None
    record: RequestRecord
    spans: tuple[Noted, ...]
    root: Noted | None
    epoch_ns: int


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
            self._tell(Finished(self.own, self._parent_id, self._record, (found,), None, self._epoch_ns))
        elif len(self._spans) < MAX_SPANS:
            self._spans.append(found)

    def end(self) -> None:
        self._ended = True
        record = self._record
        root = Noted(record.operation or record.path, self._began, perf_counter(), record.error_code)
        self._tell(Finished(self.own, self._parent_id, record, tuple(self._spans), root, self._epoch_ns))


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
        self._exporter: Any = None
        self._resource: Any = None
        self._outbox = Outbox[Finished](
            "traces", self._send, capacity=MAX_WAITING, batch=BATCH, linger_s=LINGER_S, dropped=dropped
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

    def _send(self, found: list[Finished]) -> None:
        """Raises OSError where the collector did not take them."""
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415  loaded where it is used

        if self._exporter is None:
            self.open()
        spans = [span for request in found for span in self.spans(request)]
        if self._exporter.export(spans) is not SpanExportResult.SUCCESS:
            raise OSError("the collector did not take the spans")

    def open(self) -> None:
        """Load the SDK: by the thread that sends, before its first batch."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

        self._resource = Resource.create({"service.name": f"atrium-{self._service}"})
        self._exporter = OTLPSpanExporter(endpoint=f"{self._endpoint}/v1/traces", timeout=TIMEOUT_S)

    def spans(self, request: Finished) -> list[Any]:
        """OpenTelemetry's own."""
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415
        from opentelemetry.trace.status import Status, StatusCode  # noqa: PLC0415

        def context(span_id: str) -> Any:
            return trace.SpanContext(
                int(request.own.trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=trace.TraceFlags(1)
            )

        def made(noted: Noted, span_id: str, parent_id: str | None, kind: Any, attributes: dict[str, Any]) -> Any:
            return ReadableSpan(
                name=noted.name,
                context=context(span_id),
                parent=context(parent_id) if parent_id else None,
                resource=self._resource,
                attributes=attributes,
                kind=kind,
                status=Status(StatusCode.ERROR, noted.error) if noted.error else Status(),
                start_time=request.epoch_ns + int(noted.began * 1e9),
                end_time=request.epoch_ns + int(noted.ended * 1e9),
            )

        record = request.record
        whose: dict[str, Any] = {"tenant_id": record.tenant_id, "request_id": record.request_id}
        own_id = request.own.span_id
        found = [made(one, new_span_id(), own_id, trace.SpanKind.INTERNAL, whose) for one in request.spans]
        if request.root is not None:
            more = {
                "route": record.route,
                "http.request.method": record.method,
                "http.response.status_code": record.status,
            }
            kind = trace.SpanKind.SERVER
            found.append(made(request.root, own_id, request.parent_id, kind, {**whose, **more}))
        return found
