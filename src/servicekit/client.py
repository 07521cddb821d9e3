"""The outbound HTTP client of a service: pooled, bounded in time, and telling failures apart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import aiohttp
import orjson

from contracts.context import TenantContext
from contracts.errors import AtriumError, UpstreamError, UpstreamTimeoutError
from contracts.health import Readiness, State
from observability.tracing import trace_headers
from servicekit.problems import error_from_envelope
from servicekit.tokens import utc_now

CONNECT_TIMEOUT_S = 2.0
KEEP_ALIVE_S = 4.0
"""Below uvicorn's five seconds, so that it is never the other side that gives up a connection we are about to use."""
MAX_ERROR_BODY = 64 * 1024
MAX_LINE = 1024 * 1024
"""Longest line of a stream; more is not a token but an attack or a fault."""


def open_session() -> aiohttp.ClientSession:
    """No connection limit: a bound here would be a queue that nobody sees."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        json_serialize=lambda value: orjson.dumps(value).decode(),
        read_bufsize=MAX_LINE,
    )


def bearer(token: str, context: TenantContext) -> dict[str, str]:
    """And the trace that the call belongs to."""
    return {"authorization": f"Bearer {token}", "x-request-id": context.request_id, **trace_headers()}


def seconds_left(deadline: datetime) -> float:
    return max(0.001, (deadline - utc_now()).total_seconds())


async def next_chunk(content: aiohttp.StreamReader) -> bytes:
    """What has come since, nothing at the end. Raises what aiohttp does.

    What came before the connection broke is given first: aiohttp would throw it away where its reader was not waiting,
    and with it tokens that an engine has generated.
    """
    try:
        return await content.readany()
    except aiohttp.ClientError as error:
        content.set_exception(None)  # type: ignore[arg-type]  # while that is set nothing can be read
        rest = content.read_nowait()
        content.set_exception(error)
        if rest:
            return rest
        raise


class ServiceClient:
    """Calls one service. Its errors come back as the exceptions they were there; its silence as an upstream error."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, *, service: str) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._service = service

    @asynccontextmanager
    async def send(
        self, method: str, path: str, *, headers: Mapping[str, str], deadline: datetime, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, its body unread, if it is 2xx; closing the context before its end closes the connection,
        which cancels the work on the other side."""
        try:
            # The limit is the whole exchange's, also where the body is read later and by another task.
            limit = aiohttp.ClientTimeout(seconds_left(deadline), sock_connect=CONNECT_TIMEOUT_S, ceil_threshold=3600)
            response = await self._session.request(
                method, self._base_url + path, headers=headers, timeout=limit, **options
            )
        except TimeoutError as error:
            raise UpstreamTimeoutError(f"{self._service} did not answer in time") from error
        except aiohttp.ClientError as error:
            raise UpstreamError(f"{self._service} is out of reach") from error
        try:
            if response.status >= 300:
                raise await self._error(response)
            yield response
        finally:
            # An answer read to its end has given its connection back already; any other is cut here.
            response.close()

    async def read(
        self, method: str, path: str, *, headers: Mapping[str, str], deadline: datetime, **options: Any
    ) -> bytes:
        """The whole body of a 2xx answer."""
        async with self.send(method, path, headers=headers, deadline=deadline, **options) as response:
            return await self._body(response)

    async def lines(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """The lines of a streamed body without their ends, each as soon as it is complete."""
        rest = b""
        while chunk := await self._chunk(response):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line
            if len(rest) > MAX_LINE:
                raise UpstreamError(f"{self._service} sent a line that does not end")
        if rest:
            yield rest

    async def check(self) -> Mapping[str, State]:
        """For `/readyz`: the states of what lies behind the service; raises if the service itself is down."""
        async with self._session.get(self._base_url + "/readyz") as response:
            return Readiness.model_validate(orjson.loads(await response.read())).dependencies

    async def _chunk(self, response: aiohttp.ClientResponse) -> bytes:
        """What has come since; nothing at the end."""
        try:
            return await next_chunk(response.content)
        except TimeoutError as error:
            raise UpstreamTimeoutError(f"{self._service} took too long") from error
        except aiohttp.ClientError as error:
            raise UpstreamError(f"{self._service} broke off") from error

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        try:
            return await response.read()
        except TimeoutError as error:
            raise UpstreamTimeoutError(f"{self._service} took too long") from error
        except aiohttp.ClientError as error:
            raise UpstreamError(f"{self._service} broke off") from error

    async def _error(self, response: aiohttp.ClientResponse) -> AtriumError:
        if not response.status >= 400:
            return UpstreamError(f"{self._service} answered {response.status}")
        body = await self._body(response)
        return error_from_envelope(
            response.status,
            body[:MAX_ERROR_BODY],
            service=self._service,
            retry_after=response.headers.get("retry-after"),
        )
