"""The change feed: how a router learns, within milliseconds or at most three quarters of a second, what to read again.

Two sources. Valkey's pub/sub tells at once but promises nothing: a message may be lost, its writer may crash before
it is sent, Valkey may be down. So PostgreSQL's change counter is asked every quarter of a second, one query for all
tenants: it misses nothing, since it is written in the transaction of the change itself. What is remembered is believed
only while the last successful question *began* at most three quarters of a second ago.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from contracts.errors import AtriumError
from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from tenancy.live import Subject
from tenancy.ports import ChangeLog

POLL_S = 0.25
TRUST_S = 0.75
RECONNECT_S = 1.0
MAX_SUBJECTS = 100_000

_logger = logging.getLogger("atrium.feed")


class Announcements(Protocol):
    """The quick way between replicas. It may lose messages, and may be down."""

    async def announce(self, subject: Subject) -> None:
        """Tell every replica. Raises DependencyDownError."""
        ...

    def announced(self) -> AsyncIterator[Subject]:
        """What is told, until the connection breaks. Raises DependencyDownError."""
        ...


class ChangeFeed:
    """Run `running()` for as long as the caches ask it."""

    def __init__(
        self,
        changes: ChangeLog,
        announcements: Announcements,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changes = changes
        self._announcements = announcements
        self._metrics = metrics
        self._clock = clock
        self._changed: dict[Subject, float] = {}
        self._since: float | None = None
        self._asked_at = float("-inf")
        self._seq = 0

    def heard_since(self) -> float | None:
        return self._since if self._clock() - self._asked_at <= TRUST_S else None

    def changed_at(self, subject: Subject) -> float:
        return self._changed.get(subject, float("-inf"))

    async def announce(self, subject: Subject) -> None:
        """After a committed write: here at once, elsewhere as soon as Valkey tells. A failure costs time, no truth."""
        self._note(subject)
        with suppress(AtriumError):
            await self._announcements.announce(subject)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._poll()), asyncio.create_task(self._listen())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def ask(self) -> None:
        """One question to the change counter. Raises DependencyDownError."""
        began = self._clock()
        if self._since is None:
            self._seq = await self._changes.last()
            self._since = self._clock()  # what was read before this moment may have changed unnoticed
        else:
            last, subjects = await self._changes.after(self._seq)
            if last < self._seq:
                self._since = self._clock()  # numbers are given a second time: nothing that was read is sure any more
            self._seq = last
            for subject in subjects:
                self._note(subject)
        self._asked_at = began

    def _note(self, subject: Subject) -> None:
        if len(self._changed) >= MAX_SUBJECTS:
            self._changed.clear()
            if self._since is not None:
                self._since = self._clock()  # everything that is remembered is read once more
        self._changed[subject] = self._clock()

    async def _poll(self) -> None:
        failing = False
        while True:
            try:
                await self.ask()
                if failing:
                    log(_logger, logging.INFO, "the change counter answers again")
                failing = False
            except Exception as error:  # noqa: BLE001  the edge of a background task: a bug in one turn ends no other
                self._metrics.count(names.DEPENDENCY_FAILURE, dependency="postgres", reason="change_feed")
                if not failing:
                    log(_logger, logging.WARNING, "the change counter does not answer", reason=_reason(error))
                failing = True
            await asyncio.sleep(POLL_S)

    async def _listen(self) -> None:
        failing = False
        while True:
            try:
                async for subject in self._announcements.announced():
                    failing = False
                    self._note(subject)
            except Exception as error:  # noqa: BLE001  as above
                self._metrics.count(names.DEPENDENCY_FAILURE, dependency="valkey", reason="change_feed")
                if not failing:
                    log(_logger, logging.WARNING, "changes are heard later: no announcements", reason=_reason(error))
                failing = True
            await asyncio.sleep(RECONNECT_S)


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, AtriumError) else type(error).__name__


def subject_text(subject: Subject) -> str:
    return str(subject) if subject is not None else ""


def subject_from(text: str) -> Subject:
    """Raises ValueError for what is neither a tenant id nor empty."""
    return TenantId(text) if text else None
