"""What happens around every request: whatever ends it, there is one record and no traceback of an expected end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from contracts.errors import RequestTimeoutError
from observability.middleware import MAX_TENANT_LABELS, RequestMiddleware
from observability.prometheus import PrometheusMetrics
from observability.record import record_of

SCOPE = {"type": "http", "method": "GET", "path": "/x", "headers": []}


async def no_body() -> MutableMapping[str, Any]:
    return {"type": "http.request", "body": b""}


async def test_a_client_that_has_just_left_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """uvloop raises RuntimeError where the connection was closed between two events."""

    async def closed(_message: MutableMapping[str, Any]) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    with caplog.at_level(logging.INFO):
        middleware = RequestMiddleware(PlainTextResponse("x"), metrics=PrometheusMetrics(), max_body_bytes=10)
        await middleware(dict(SCOPE), no_body, closed)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert caplog.records[0].fields["disconnected"] is True  # type: ignore[attr-defined]


async def test_who_may_name_tenants_cannot_fill_the_metrics() -> None:
    metrics = PrometheusMetrics()

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        record_of(scope).tenant_id = scope["path"]
        await PlainTextResponse("x")(scope, _receive, send)

    async def send(_message: MutableMapping[str, Any]) -> None:
        return

    middleware = RequestMiddleware(app, metrics=metrics, max_body_bytes=10)
    for number in range(MAX_TENANT_LABELS + 50):
        await middleware({**SCOPE, "path": f"t{number}"}, no_body, send)
    lines = [line for line in metrics.render().decode().splitlines() if line.startswith("atrium_request_total{")]
    assert len(lines) == MAX_TENANT_LABELS + 1
    assert any('tenant="other"} 50.0' in line for line in lines)


async def test_a_body_that_does_not_arrive_is_not_waited_for_but_the_clients_leaving_is() -> None:
    coming: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    seen: list[object] = []

    async def app(scope: Any, receive: Any, _send: Any) -> None:
        request = Request(scope, receive)
        try:
            seen.append(await request.body())
        except RequestTimeoutError as error:
            seen.append(error.code)
            return
        seen.append((await receive())["type"])

    async def send(_message: MutableMapping[str, Any]) -> None:
        return

    middleware = RequestMiddleware(app, metrics=PrometheusMetrics(), max_body_bytes=10, body_within_s=0.01)
    coming.put_nowait({"type": "http.request", "body": b"half", "more_body": True})
    await middleware(dict(SCOPE), coming.get, send)
    assert seen == ["request_timeout"]
    coming.put_nowait({"type": "http.request", "body": b"whole", "more_body": False})
    asyncio.get_running_loop().call_later(0.05, coming.put_nowait, {"type": "http.disconnect"})
    await middleware(dict(SCOPE), coming.get, send)
    assert seen == ["request_timeout", b"whole", "http.disconnect"]
