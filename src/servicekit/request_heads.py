"""HTTP as uvicorn speaks it, with bounds on a request's head (its line and its headers), which uvicorn has not.

Without them a client that has proved nothing holds as much memory as it sends, and a single header that goes on and on
holds the event loop too: the parser copies what it has of it for each piece that comes.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 65_536
"""More than any load balancer lets through. What arrived together with it may be more (one read of the socket)."""
HEAD_TIMEOUT_S = 60.0
"""From the connection, or the first byte of a later request on it, to the end of the head."""


class BoundedHeads(HttpToolsProtocol):
    """431 for a head that is too large; a connection whose head does not come is closed without an answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._heads = 0
        """How many have begun: the count of bytes is of one of them."""
        self._in_head = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._heads += 1
        self._in_head = True
        self._head_bytes = 0
        self._await_head()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_came()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        began = self._heads if self._in_head else None
        super().data_received(data)
        if began == self._heads and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse()

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self) -> None:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        said = f"The request's head is larger than {MAX_HEAD_BYTES} bytes."
        self.logger.warning(said)
        self.transport.write(
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
            f"content-length: {len(said)}\r\nconnection: close\r\n\r\n{said}".encode("ascii")
        )
        self.transport.close()
