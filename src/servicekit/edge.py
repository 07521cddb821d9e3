"""The shell around a service: error handlers, request middleware, operations endpoints, and the token check."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from fastapi import FastAPI, Request

from contracts.context import TenantContext
from contracts.errors import UnauthenticatedError, UpstreamTimeoutError
from observability.error_shape import ErrorShape
from observability.metrics import ExposedMetrics
from observability.middleware import RequestMiddleware
from observability.record import RequestRecord, record_of
from observability.tracing import Tracer
from servicekit.client import seconds_left
from servicekit.health import Check, operations_router
from servicekit.problems import ClientGoneError, install_error_handlers
from servicekit.tokens import TokenVerifier

T = TypeVar("T")


def dress(
    app: FastAPI,
    *,
    checks: Mapping[str, Check],
    checks_within_s: float,
    metrics: ExposedMetrics,
    max_body_bytes: int,
    max_upload_bytes: int | None = None,
    tracer: Tracer | None = None,
    observer: Callable[[RequestRecord], None] | None = None,
    error_shapes: Mapping[str, ErrorShape] | None = None,
) -> None:
    """Give a service what all of them have. `checks` is what `/readyz` asks, each for at most `checks_within_s`: less
    the further inside a service is, so that what hangs is named and not the service in front of it.
    `error_shapes`: by the beginning of a path, how errors are told there."""
    install_error_handlers(app)
    app.include_router(operations_router(checks, metrics, within_s=checks_within_s))
    app.add_middleware(
        RequestMiddleware,
        metrics=metrics,
        max_body_bytes=max_body_bytes,
        max_upload_bytes=max_upload_bytes,
        tracer=tracer,
        observer=observer,
        error_shapes=error_shapes,
    )


def service_context(verifier: TokenVerifier, request: Request) -> TenantContext:
    """The context from the service token, the only source of a tenant in an inner service."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnauthenticatedError("a service token is needed")
    context = verifier.verify(token.strip())
    record = record_of(request.scope)
    record.tenant_id, record.tenant_exists = str(context.tenant_id), True  # the router has let it in
    record.user_id, record.session_id = context.user_id, context.session_id
    record.request_id = context.request_id
    record.config_version = context.config_version
    return context


async def until_disconnect(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Run `work`, but cancel it when the client goes away. To be used once the body has been read.

    Raises ClientGoneError after a disconnect, once the work has ended: there is nobody to answer.
    """

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(gone())
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            record_of(request.scope).disconnected = True
            raise ClientGoneError
        return task.result()
    finally:
        for waiting in (task, watcher):
            waiting.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)


async def while_awaited(request: Request, context: TenantContext, work: Coroutine[Any, Any, T]) -> T:
    """Run `work` until it is done, the client goes away, or the caller's deadline passes (UpstreamTimeoutError)."""
    try:
        async with asyncio.timeout(seconds_left(context.deadline)):
            return await until_disconnect(request, work)
    except TimeoutError as error:
        raise UpstreamTimeoutError("the deadline has passed") from error
