"""Notes what was asked, behind the request's back: a chat waits for no note, and fails for none."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import NamedTuple

from contracts.errors import AtriumError
from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from router.domain.recent_request import RecentRequest
from router.ports import RecentRequests

MAX_WAITING = 1_000
"""Notes not yet written; at 31 KiB each they take 31 MB at most."""
DRAIN_S = 1.0

_logger = logging.getLogger("atrium.recent")


class _Note(NamedTuple):
    tenant_id: TenantId
    request: RecentRequest
    keep_for: timedelta


class RecentNotes:
    """A bounded queue and the one task that empties it. To be made in a running event loop, and closed at its end.

    A note that is not written is counted by reason: `full`, `unreachable` (the store failed), `closed`.
    """

    def __init__(
        self, recent: RecentRequests, metrics: Metrics, *, max_waiting: int = MAX_WAITING, drain_s: float = DRAIN_S
    ) -> None:
        self._recent = recent
        self._metrics = metrics
        self._drain_s = drain_s
        self._waiting: asyncio.Queue[_Note] = asyncio.Queue(max_waiting)
        self._closed = False
        self._failing = False
        self._writer = asyncio.create_task(self._write_all(), name="recent requests")

    def note(self, tenant_id: TenantId, request: RecentRequest, *, keep_for: timedelta) -> None:
        """Returns at once and never raises. Where `keep_for` is zero nothing of the request is kept anywhere."""
        if keep_for <= timedelta(0):
            return
        if self._closed:
            self._dropped("closed")
            return
        try:
            self._waiting.put_nowait(_Note(tenant_id, request.shortened(), keep_for))
        except asyncio.QueueFull:
            self._dropped("full")

    async def close(self) -> None:
        """Write what waits, for at most `drain_s`; the rest is dropped."""
        self._closed = True
        try:
            async with asyncio.timeout(self._drain_s):
                await self._waiting.join()
        except TimeoutError:
            pass
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        while not self._waiting.empty():
            self._waiting.get_nowait()
            self._dropped("closed")

    async def _write_all(self) -> None:
        while True:
            note = await self._waiting.get()
            try:
                await self._recent.note(note.tenant_id, note.request, keep_for=note.keep_for)
                self._failing = False
            except asyncio.CancelledError:
                self._dropped("closed")
                raise
            except Exception as error:  # noqa: BLE001  the edge of the task: a note that is lost fails nobody
                self._failed(error)
            finally:
                self._waiting.task_done()

    def _failed(self, error: Exception) -> None:
        """Counted each time, but told once an outage."""
        self._dropped("unreachable")
        if not self._failing:
            code = error.code if isinstance(error, AtriumError) else type(error).__name__
            log(_logger, logging.WARNING, "recent requests are not being kept", error=code)
        self._failing = True

    def _dropped(self, reason: str) -> None:
        self._metrics.count(names.RECENT_DROPPED, reason=reason)
