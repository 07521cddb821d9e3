"""Request id, body limit, request record and metrics around every request. Plain ASGI: it buffers nothing."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.errors import FAULTS, AtriumError, BodyTooLargeError, ErrorBody, RequestTimeoutError
from contracts.routes import BUILT_IN_ROUTES
from observability import names
from observability.error_shape import ErrorShape, attach_shape, told
from observability.logging import REQUEST_LOGGER, log
from observability.metrics import Metrics
from observability.record import RequestRecord, attach_record
from observability.tracing import CURRENT, HandingOn, Tracer

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
MAX_ROUTE_LABELS = 100
"""Intents of chats with a metric dimension value of their own, as tenants name routes; the others share `other`."""

BODY_WITHIN_S = 120.0
"""For the whole of a body, counted from the request: 2 MiB at 17 KiB/s."""

_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_QUIET_WHILE_WELL = frozenset({"/v1/pools"})
"""Each router asks twice a second: more records than all else together, which tell nothing while it is answered."""
_BUILT_IN = frozenset(route.name for route in BUILT_IN_ROUTES)
_logger = logging.getLogger(REQUEST_LOGGER)


def safe_request_id(offered: str | None) -> str:
    """The client's id with every character that could break a log, a header or a key removed; else a new one."""
    return _UNSAFE.sub("", offered or "")[:128] or uuid.uuid4().hex


class _ClientLeftError(Exception):
    """Nobody reads the answer any more."""


class _BoundedBody:
    """A request's `receive`, which bounds its body: raises BodyTooLargeError, RequestTimeoutError."""

    def __init__(self, receive: Receive, limit: int, within_s: float) -> None:
        self._receive = receive
        self._limit = limit
        self._within_s = within_s
        self._until: float | None = asyncio.get_running_loop().time() + within_s
        self._received = 0

    async def __call__(self) -> Message:
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError as error:
            raise RequestTimeoutError(f"the body did not arrive within {self._within_s:g} seconds") from error
        if not message.get("more_body", False):
            self._until = None  # what comes now is the client's leaving, for which a long answer may wait
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > self._limit:
                raise BodyTooLargeError(f"the body is larger than {self._limit} bytes")
        return message


class RequestMiddleware:
    """Wraps a service. `max_body_bytes` bounds what is read of a body, declared or chunked; `max_upload_bytes`, of one
    that is sent to a path ending in `/documents`; `body_within_s`, how long may pass until it has arrived;
    `error_shapes`, by the beginning of a path, how errors are told there. `observer` is told of every request at its
    end."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        max_body_bytes: int,
        max_upload_bytes: int | None = None,
        body_within_s: float = BODY_WITHIN_S,
        tracer: Tracer | None = None,
        observer: Callable[[RequestRecord], None] | None = None,
        error_shapes: Mapping[str, ErrorShape] | None = None,
    ) -> None:
        self._app = app
        self._tracer = tracer or HandingOn()
        self._observer = observer
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._max_upload_bytes = max_upload_bytes or max_body_bytes
        self._body_within_s = body_within_s
        self._error_shapes = error_shapes or {}
        self._routes: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        record = RequestRecord(safe_request_id(headers.get("x-request-id")), scope["method"], scope["path"])
        attach_record(scope, record)
        trace = None if record.path in _QUIET else self._tracer.begin(record, headers)
        CURRENT.set(trace)  # of this request's task alone
        attach_shape(scope, self._error_shapes)
        started = time.perf_counter()
        limit = (
            self._max_upload_bytes
            if scope["path"].endswith(("/documents", "/documents/file"))
            else self._max_body_bytes
        )

        async def observed_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                said = MutableHeaders(scope=message)
                said["x-request-id"] = record.request_id
                if record.config_version is not None:
                    said["x-config-version"] = str(record.config_version)
            try:
                await send(message)
            except RuntimeError as error:
                if "closed" not in str(error):
                    raise
                # uvloop's word for a client that has just left: whatever was being answered ends here.
                record.disconnected = True
                raise _ClientLeftError from error

        try:
            declared = headers.get("content-length", "0")
            if declared.isdigit() and int(declared) > limit:
                # Answered before a byte of the body is read: the app's own error handler would have to read it.
                message = f"the body is larger than {limit} bytes"
                await _answer(scope, observed_send, record, 413, BodyTooLargeError.code, message)
            else:
                await self._app(scope, _BoundedBody(receive, limit, self._body_within_s), observed_send)
        except _ClientLeftError:
            pass
        except Exception:  # the outermost boundary: a bug becomes one log record and one envelope, never a raw page
            _logger.exception("unexpected error", extra={"fields": {"request_id": record.request_id}})
            if record.status:
                raise  # the answer has begun: only cutting the connection tells the client that it is not whole
            await _answer(scope, observed_send, record, 500, AtriumError.code, "something went wrong on our side")
        finally:
            record.latency_ms = round((time.perf_counter() - started) * 1000, 3)
            if _told(record):
                self._report(scope, record)
            if trace is not None:
                trace.end()

    def _report(self, scope: Scope, record: RequestRecord) -> None:
        matched = scope.get("route")
        record.operation = f"{record.method} {getattr(matched, 'path', 'unmatched')}"
        tenant = record.tenant_id if record.tenant_exists else ""
        route = _label(record.route, self._routes, MAX_ROUTE_LABELS) if record.route else record.operation
        labels = {"tenant": tenant, "route": route}
        self._metrics.count(names.REQUEST_COUNT, status=str(record.status), **labels)
        self._metrics.observe(names.REQUEST_LATENCY, record.latency_ms / 1000, **labels)
        if record.first_token_ms is not None:
            self._metrics.observe(names.TIME_TO_FIRST_TOKEN, record.first_token_ms / 1000, **labels)
        if record.token_gaps:
            self._metrics.merge(names.INTER_TOKEN_LATENCY, record.token_gaps, **labels)
        for kind in ("prompt", "completion"):
            if tokens := record.token_usage.get(f"{kind}_tokens"):
                self._metrics.count(names.TOKEN_USAGE, tokens, kind=kind, **labels)
        if record.cost_usd_estimate:
            self._metrics.count(names.COST_ESTIMATE, record.cost_usd_estimate, **labels)
        if record.refusal_reason:
            self._metrics.count(names.REFUSAL_COUNT, reason=record.refusal_kind or record.refusal_reason, **labels)
        if record.error_code:
            self._metrics.count(names.ERROR_COUNT, reason=record.error_code, **labels)
        if record.error_code in FAULTS:
            self._metrics.count(names.FAULT_COUNT, **labels)
        if record.dependency_down:
            self._metrics.count(names.DEPENDENCY_FAILURE, dependency=record.dependency_down, reason="out_of_reach")
        if self._observer is not None:
            self._observer(record)
        log(_logger, logging.INFO, "request", **record.fields())


def _told(record: RequestRecord) -> bool:
    return record.path not in _QUIET and (record.path not in _QUIET_WHILE_WELL or record.status != 200)


def _label(value: str, known: set[str], at_most: int) -> str:
    """Whoever may name routes could otherwise fill the memory with label values. Those that every tenant has keep
    theirs, however many others came first."""
    if value in _BUILT_IN:
        return value
    if value in known or len(known) < at_most:
        known.add(value)
        return value
    return names.OTHER


async def _answer(scope: Scope, send: Send, record: RequestRecord, status: int, code: str, message: str) -> None:
    record.error_code = code
    error = ErrorBody(code=code, message=message, request_id=record.request_id)
    answer = told(scope, status, error, {"connection": "close"})
    body = orjson.dumps(answer.content)
    said = {"content-type": "application/json", "content-length": str(len(body)), **answer.headers}
    headers = [(name.encode(), value.encode()) for name, value in said.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
