"""Group commit in front of the usage ledger: whatever waits while one transaction commits goes into the next.

Nothing that is settled is dropped: while the ledger is out of reach it waits, bounded by admission, which looks at
`full`. A batch may be written twice (its commit was not heard of): the ledger takes that for once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice

from contracts.errors import AtriumError, DependencyDownError
from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from tenancy.usage import UsageEvent
from tenancy.usage_ports import Ledger

MAX_BATCH = 500
RENEWALS_IN_BATCH = 100
"""Places that renewals have in a batch however many settled events wait, so that no live stream looks dead."""
FULL_AT = 5_000
DRAIN_S = 10.0
FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 2.0
EVERY_S = 0.005
"""Between the beginnings of two batches. The first event after a rest waits for nothing; under load the cost of a
transaction, near a millisecond of CPU however few its rows, is paid at most so often."""

Key = tuple[TenantId, str]

_logger = logging.getLogger("atrium.ledger")


@dataclass(slots=True)
class _Settled:
    event: UsageEvent
    committed: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class LedgerWriter:
    """`settle` and `renew` work while `running` is entered."""

    def __init__(
        self,
        ledger: Ledger,
        metrics: Metrics,
        *,
        max_batch: int = MAX_BATCH,
        full_at: int = FULL_AT,
        drain_s: float = DRAIN_S,
        first_pause_s: float = FIRST_PAUSE_S,
        last_pause_s: float = LAST_PAUSE_S,
        every_s: float = EVERY_S,
    ) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._max_batch = max_batch
        self._full_at = full_at
        self._drain_s = drain_s
        self._pauses = (first_pause_s, last_pause_s)
        self._every_s = every_s
        self._settled: dict[Key, _Settled] = {}
        self._renewals: dict[Key, UsageEvent] = {}
        self._work = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._closed = True
        self._failing = False

    @property
    def backlog(self) -> int:
        """Settled events that are not committed yet."""
        return len(self._settled)

    @property
    def full(self) -> bool:
        """So many wait that no further request is to be admitted."""
        return self.backlog > self._full_at

    async def settle(self, event: UsageEvent) -> None:
        """Returns when the event is committed. Who is cancelled meanwhile gives up waiting, not the write.

        Raises ValueError for an event that the ledger cannot keep, DependencyDownError after the end.
        """
        if self._closed:
            log(_logger, logging.ERROR, "a usage event came after the end and is lost", events=1)
            raise _ended()
        waiting = self._settled.get(event.key)
        if waiting is None:
            waiting = self._settled[event.key] = _Settled(event)
            self._metrics.gauge(names.LEDGER_BACKLOG, 1)
            self._renewals.pop(event.key, None)
            self._empty.clear()
            self._work.set()
        await asyncio.shield(waiting.committed)

    def renew(self, event: UsageEvent) -> None:
        """Write what an open event has used so far, soon: of several, the last. Never waits, never fails."""
        if event.key not in self._settled and not self._closed:
            self._renewals[event.key] = event
            self._work.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """At the end what waits is written, for a bounded time; what then is left is counted in the log."""
        self._closed = False
        task = asyncio.create_task(self._run(), name="ledger")
        try:
            yield
        finally:
            self._closed = True
            try:
                async with asyncio.timeout(self._drain_s):
                    await self._empty.wait()
            except TimeoutError:
                log(_logger, logging.ERROR, "usage events could not be written", events=self.backlog)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                self._give_up()

    async def _run(self) -> None:
        pause = self._pauses[0]
        while True:
            await self._work.wait()
            next_at = time.monotonic() + self._every_s
            if await self._write(self._next_batch()):
                pause = self._pauses[0]
                await asyncio.sleep(max(0.0, next_at - time.monotonic()))
            else:
                await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311  no secret: spread
                pause = min(2 * pause, self._pauses[1])

    def _next_batch(self) -> list[UsageEvent]:
        kept_free = min(RENEWALS_IN_BATCH, self._max_batch // 5, len(self._renewals))
        batch = [waiting.event for waiting in islice(self._settled.values(), self._max_batch - kept_free)]
        batch += islice(self._renewals.values(), self._max_batch - len(batch))
        return batch

    async def _write(self, batch: Sequence[UsageEvent]) -> bool:
        """Whether it is done with: committed, or told to be impossible. Nothing is taken off before."""
        try:
            await self._ledger.write(batch)
        except ValueError:
            return await self._write_apart(batch)
        except AtriumError as error:
            self._fail("unreachable", error.message)
            return False
        except Exception as error:  # noqa: BLE001  the edge of a background task: no bug may cost what waits
            self._fail("unexpected", type(error).__name__)
            return False
        self._metrics.observe(names.LEDGER_BATCH, len(batch))
        if self._failing:
            self._failing = False
            log(_logger, logging.INFO, "usage events are written again", events=self.backlog)
        for event in batch:
            self._done(event, None)
        return True

    async def _write_apart(self, batch: Sequence[UsageEvent]) -> bool:
        """One event cannot be kept: it must not hold up the others."""
        if len(batch) > 1:
            for event in batch:
                if not await self._write([event]):
                    return False
            return True
        event = batch[0]
        self._metrics.count(names.LEDGER_FAILURE, reason="rejected")
        log(
            _logger,
            logging.ERROR,
            "the ledger cannot keep a usage event",
            tenant_id=str(event.tenant_id),
            event_id=event.event_id,
            request_id=event.request_id,
        )
        self._done(event, ValueError("the ledger cannot keep this event"))
        return True

    def _done(self, event: UsageEvent, error: Exception | None) -> None:
        """A renewal that came while the one before was written stays for the next batch."""
        if self._renewals.get(event.key) is event:
            del self._renewals[event.key]
        waiting = self._settled.get(event.key)
        if waiting is not None and waiting.event is event:
            del self._settled[event.key]
            self._metrics.gauge(names.LEDGER_BACKLOG, -1)
            _answer(waiting.committed, error)
        if not self._settled:
            self._empty.set()
            if not self._renewals:
                self._work.clear()

    def _fail(self, reason: str, message: str) -> None:
        """Counted each time, logged once until it works again."""
        self._metrics.count(names.LEDGER_FAILURE, reason=reason)
        if not self._failing:
            self._failing = True
            told = "usage events cannot be written, and wait"
            log(_logger, logging.WARNING, told, events=self.backlog, reason=message)

    def _give_up(self) -> None:
        for waiting in self._settled.values():
            _answer(waiting.committed, _ended())
        self._metrics.gauge(names.LEDGER_BACKLOG, -len(self._settled))
        self._settled.clear()
        self._renewals.clear()


def _answer(committed: asyncio.Future[None], error: Exception | None) -> None:
    if error is None:
        committed.set_result(None)
    else:
        committed.set_exception(error)
        committed.exception()  # looked at: whoever waits may have gone


def _ended() -> DependencyDownError:
    return DependencyDownError("the ledger's writer has ended", details={"dependency": "postgres"}, retry_after_s=2)
