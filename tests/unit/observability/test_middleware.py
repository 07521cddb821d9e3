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
from contracts.routes import GENERAL
from observability.logging import REQUEST_LOGGER
from observability.middleware import MAX_ROUTE_LABELS, RequestMiddleware
from observability.prometheus import PrometheusMetrics
from observability.record import record_of
from observability.service_metrics import ServiceMetrics
from support.telling import told_here

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
    (record,) = told_here(caplog, REQUEST_LOGGER)
    assert record.levelname == "INFO"
    assert record.__dict__["fields"]["disconnected"] is True  # type: ignore[attr-defined]


async def requests_of(tenants: list[str], metrics: ServiceMetrics, *, exist: bool) -> list[str]:
    """The lines of `atrium_request_total` after a request of each; each names a route of its own."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        record = record_of(scope)
        record.tenant_id, record.tenant_exists, record.route = scope["path"], exist, f"ROUTE_{scope['path']}"
        await PlainTextResponse("x")(scope, _receive, send)

    async def send(_message: MutableMapping[str, Any]) -> None:
        return

    middleware = RequestMiddleware(app, metrics=metrics, max_body_bytes=10)
    for tenant in tenants:
        await middleware({**SCOPE, "path": tenant}, no_body, send)
    return [line for line in metrics.render().decode().splitlines() if line.startswith("atrium_request_total{")]


async def test_neither_many_tenants_nor_many_routes_can_fill_the_metrics() -> None:
    lines = await requests_of([f"t{number}" for number in range(150)], ServiceMetrics(top_tenants=20), exist=True)
    assert len(lines) == MAX_ROUTE_LABELS + 1
    assert len({line.partition('tenant="')[2].partition('"')[0] for line in lines}) == 21
    assert any('route="other"' in line and line.endswith('tenant="other"} 50.0') for line in lines)


async def test_routes_that_every_tenant_has_keep_their_label_however_many_came_before() -> None:
    async def app(scope: Any, _receive: Any, send: Any) -> None:
        record_of(scope).route = scope["path"]
        await PlainTextResponse("x")(scope, _receive, send)

    async def send(_message: MutableMapping[str, Any]) -> None:
        return

    metrics = ServiceMetrics()
    middleware = RequestMiddleware(app, metrics=metrics, max_body_bytes=10)
    for route in [*(f"ROUTE_{number}" for number in range(MAX_ROUTE_LABELS + 1)), GENERAL]:
        await middleware({**SCOPE, "path": route}, no_body, send)
    assert f'route="{GENERAL}"' in metrics.render().decode()


@pytest.mark.parametrize(("status", "told"), [(200, False), (500, True)])
async def test_the_routers_look_at_the_pools_is_told_only_where_it_fails(status: int, told: bool) -> None:
    async def send(_message: MutableMapping[str, Any]) -> None:
        return

    metrics = ServiceMetrics()
    middleware = RequestMiddleware(PlainTextResponse("x", status), metrics=metrics, max_body_bytes=10)
    await middleware({**SCOPE, "path": "/v1/pools"}, no_body, send)
    assert ("atrium_request_total{" in metrics.render().decode()) is told


@pytest.mark.parametrize(
    ("error", "counted"),
    [("upstream_error", True), ("overloaded", True), ("rate_limited", False), ("not_found", False)],
)
async def test_a_failure_that_is_not_the_clients_is_counted_as_a_fault_in_a_stream_too(
    error: str, counted: bool
) -> None:
    async def app(scope: Any, _receive: Any, send: Any) -> None:
        record_of(scope).error_code = error  # an event of a stream, whose status was 200
        await PlainTextResponse("x")(scope, _receive, send)

    async def send(_message: MutableMapping[str, Any]) -> None:
        return

    metrics = ServiceMetrics()
    await RequestMiddleware(app, metrics=metrics, max_body_bytes=10)(dict(SCOPE), no_body, send)
    assert ("atrium_fault_total{" in metrics.render().decode()) is counted


async def test_a_tenant_that_nobody_has_seen_to_exist_is_no_label_and_takes_no_place() -> None:
    metrics = ServiceMetrics(top_tenants=2)
    lines = await requests_of(["made-up-1", "made-up-2", "made-up-3"], metrics, exist=False)
    assert all('tenant=""' in line for line in lines)
    lines = await requests_of(["real"], metrics, exist=True)
    assert any('tenant="real"' in line for line in lines)


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
