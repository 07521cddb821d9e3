"""What telemetry costs a request and a token, on the path of the request: `python -m benchmarks.telemetry`.

CPU of this thread: what the threads that send do is measured apart. Everything is on: Prometheus, an interval's metrics
for CloudWatch, log records for CloudWatch Logs, a trace of which every request is sampled; the sinks never answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import orjson
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from observability import names
from observability.cloudwatch_logs import CloudWatchLogs
from observability.emf import documents
from observability.finished import Finished
from observability.interval import Interval
from observability.logging import JsonFormatter
from observability.middleware import RequestMiddleware
from observability.otlp import OtlpTrace, OtlpTracer
from observability.otlp_spans import Collector
from observability.pace import Pace
from observability.record import RequestRecord, record_of
from observability.service_metrics import ServiceMetrics
from observability.traceparent import TraceParent, new_span_id, new_trace_id
from observability.tracing import HandingOn, Tracer, span

REQUESTS, TOKENS, ROUNDS, SPANS = 2_000, 200_000, 5, 5
SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/chat",
    "headers": [
        (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        (b"x-request-id", b"0af7651916cd43dd8448eb211c80319c"),
    ],
}


class Hole:
    def write(self, _text: str) -> None: ...

    def flush(self) -> None: ...


async def _app(scope: Any, _receive: Any, send: Any) -> None:
    """A chat of a hundred tokens, as far as its record goes."""
    record = record_of(scope)
    record.tenant_id, record.tenant_exists, record.route = "tenant-7", True, "PRICE_COMPARE"
    record.user_id, record.session_id = "user-123", "0123456789abcdef"
    record.chunk_ids = [f"doc-{number}#3" for number in range(4)]
    record.citations = record.chunk_ids[:2]
    record.token_usage = {"prompt_tokens": 420, "completion_tokens": 100, "total_tokens": 520}
    record.cost_usd_estimate, record.config_version, record.first_token_ms = 0.0002, 3, 61.5
    for _ in range(SPANS):
        with span("retrieve"):
            pass
    record.token_gaps = GAPS
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _bare(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _no_body() -> MutableMapping[str, Any]:
    return {"type": "http.request", "body": b""}


async def _nowhere(_message: MutableMapping[str, Any]) -> None: ...


def _gaps() -> Any:
    pace = Pace()
    for _ in range(100):
        pace.tick()
    return pace.gaps


GAPS = _gaps()


def _best(work: Callable[[], object], number: int) -> float:
    """Microseconds of this thread's CPU for one of `number`, in the best of a few rounds."""
    found = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        work()
        found.append((time.thread_time() - began) / number * 1e6)
    return min(found)


def _requests(app: Any) -> Callable[[], None]:
    async def all_of_them() -> None:
        for _ in range(REQUESTS):
            await app(dict(SCOPE), _no_body, _nowhere)

    return lambda: asyncio.run(all_of_them())


def _dropped(_number: int, _reason: str) -> None: ...


def _measured(*, everything: bool) -> float:
    logger = logging.getLogger()
    interval = Interval("router", dropped=_dropped)
    tracer: Tracer = HandingOn()
    handler: logging.Handler = logging.StreamHandler(Hole())
    handler.setFormatter(JsonFormatter("router"))
    if everything:
        tracer = OtlpTracer("router", "http://127.0.0.1:1", ratio=1.0, edge=True, dropped=_dropped)
        handler = CloudWatchLogs(
            lambda: None, group="g", stream="s", formatter=JsonFormatter("router"), dropped=_dropped
        )
    metrics = ServiceMetrics(*([interval] if everything else []))
    logger.handlers, before = [handler], logger.level
    logger.setLevel(logging.INFO)
    try:
        app = RequestMiddleware(_app, metrics=metrics, max_body_bytes=1 << 20, tracer=tracer)
        return _best(_requests(app), REQUESTS) - _best(_requests(_bare), REQUESTS)
    finally:
        logger.handlers = []
        logger.setLevel(before)


def _ticks() -> None:
    pace = Pace()
    for _ in range(TOKENS):
        pace.tick()


def _documents() -> float:
    """Of an interval of 50 tenants with two routes each, in the thread that tells it."""
    interval = Interval("router", dropped=_dropped)
    for number in range(20_000):
        labels = {"tenant": f"tenant-{number % 50}", "route": "AB"[number % 2]}
        interval.count(names.REQUEST_COUNT, **labels)
        interval.observe(names.REQUEST_LATENCY, 0.01 * (number % 173 + 1), **labels)
        interval.merge(names.INTER_TOKEN_LATENCY, GAPS, **labels)
    taken = interval.take()
    began = time.thread_time()
    list(documents(taken, service="router", at_ms=0))
    return (time.thread_time() - began) * 1e3


def _finished(number: int) -> list[Finished]:
    found: list[Finished] = []
    record = RequestRecord("0af7651916cd43dd8448eb211c80319c", "POST", "/chat", "POST /chat", 200, "tenant-7")
    for _ in range(number):
        trace = OtlpTrace(TraceParent(new_trace_id(), new_span_id(), sampled=True), None, record, found.append)
        for _ in range(SPANS):
            trace.note("retrieve", time.perf_counter(), time.perf_counter())
        trace.end()
    return found


def _spans() -> float:
    """Of a sampled request, read, made and encoded in the thread that tells them."""
    collector = Collector("router", "http://127.0.0.1:1")
    found = [orjson.dumps(request) for request in _finished(128)]

    def encode() -> None:
        spans = [span for request in found for span in collector.spans(Finished.read(orjson.loads(request)))]
        encode_spans(spans).SerializePartialToString()

    return _best(encode, len(found))


def _record() -> float:
    formatter = JsonFormatter("router")
    record = logging.LogRecord("atrium.request", logging.INFO, "", 1, "request", None, None)
    filled = RequestRecord("0af7651916cd43dd8448eb211c80319c", "POST", "/chat", "POST /chat", 200, "tenant-7")
    filled.user_id, filled.session_id, filled.route = "user-123", "0123456789abcdef", "PRICE_COMPARE"
    record.fields = filled.fields()
    return _best(lambda: [formatter.format(record) for _ in range(REQUESTS)], REQUESTS)


def main() -> None:
    print(f"a token: {_best(_ticks, TOKENS):.2f} µs")
    print(f"a request, logs on stdout, no other sink: {_measured(everything=False):.0f} µs")
    print(f"a request, everything on: {_measured(everything=True):.0f} µs")
    print(f"a request's log record, made in the thread of CloudWatch Logs: {_record():.0f} µs")
    print(f"a traced request's spans, in the thread of the collector: {_spans():.0f} µs")
    print(f"an interval's documents, in their own thread: {_documents():.0f} ms")


if __name__ == "__main__":
    main()
