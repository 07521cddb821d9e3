"""Group commit in front of the store of conversations: what waits while one transaction commits goes into the next.

While the store is away turns wait, so many at most; what is dropped is counted. A batch may be written twice (its
commit was not heard of): the store takes that for once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice

from contracts.errors import AtriumError
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from tenancy.conversations import Conversations, ToldTurn, Written

MAX_BATCH = 100
MAX_WAITING = 2_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
EVERY_S = 0.005
FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 2.0
DRAIN_S = 5.0
GIVE_UP_S = 3_600.0
"""So old a turn is written no more: an erasure might be forgotten by then (`tenancy.conversations.ERASURE_HOURS`)."""

Waiting = tuple[ToldTurn, "asyncio.Future[Written | None]"]

_logger = logging.getLogger("atrium.memory")


class TurnWriter:
    """`write` works while `running` is entered."""

    def __init__(
        self,
        store: Conversations,
        metrics: Metrics,
        *,
        max_waiting: int = MAX_WAITING,
        first_pause_s: float = FIRST_PAUSE_S,
        drain_s: float = DRAIN_S,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._max_waiting = max_waiting
        self._first_pause_s = first_pause_s
        self._drain_s = drain_s
        self._waiting: dict[str, Waiting] = {}
        self._bytes = 0
        self._work, self._empty = asyncio.Event(), asyncio.Event()
        self._empty.set()
        self._closed = True
        self._failing = False

    def write(self, turn: ToldTurn) -> asyncio.Future[Written | None]:
        """Done when it is committed; None where it was not kept. Never fails, and need not be waited for."""
        done: asyncio.Future[Written | None] = asyncio.get_running_loop().create_future()
        if self._closed or len(self._waiting) >= self._max_waiting or self._bytes > MAX_WAITING_BYTES:
            self._metrics.count(names.MEMORY_DROPPED, reason="closed" if self._closed else "full")
            done.set_result(None)
            return done
        self._waiting[turn.turn_id] = turn, done
        self._bytes += _size(turn)
        self._metrics.gauge(names.MEMORY_BACKLOG, 1)
        self._empty.clear()
        self._work.set()
        return done

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """At the end what waits is written, for a bounded time; the rest is counted."""
        self._closed = False
        task = asyncio.create_task(self._run(), name="conversations")
        try:
            yield
        finally:
            self._closed = True
            with suppress(TimeoutError):
                async with asyncio.timeout(self._drain_s):
                    await self._empty.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for turn, _ in list(self._waiting.values()):
                self._drop(turn, "closed")

    async def _run(self) -> None:
        pause = self._first_pause_s
        while True:
            await self._work.wait()
            next_at = time.monotonic() + EVERY_S
            if await self._write([turn for turn, _ in islice(self._waiting.values(), MAX_BATCH)]):
                pause = self._first_pause_s
                await asyncio.sleep(max(0.0, next_at - time.monotonic()))
            else:
                await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311  no secret: spread
                pause = min(2 * pause, LAST_PAUSE_S)
            for turn, _ in list(self._waiting.values()):
                if time.monotonic() - turn.asked > GIVE_UP_S:
                    self._drop(turn, "late")

    async def _write(self, batch: Sequence[ToldTurn]) -> bool:
        """Whether it is done with."""
        try:
            written = await self._store.write(batch)
        except ValueError:
            return await self._write_apart(batch)
        except Exception as error:  # noqa: BLE001  the edge of a background task: no bug may cost what waits
            self._fail(error.code if isinstance(error, AtriumError) else type(error).__name__)
            return False
        if self._failing:
            self._failing = False
            log(_logger, logging.INFO, "conversations are written again", turns=len(self._waiting))
        for turn in batch:
            self._done(turn, written.get(turn.turn_id))
        return True

    async def _write_apart(self, batch: Sequence[ToldTurn]) -> bool:
        """One turn cannot be kept: it must not hold up the others."""
        if len(batch) == 1:
            self._drop(batch[0], "rejected")
            return True
        for turn in batch:
            if not await self._write([turn]):
                return False
        return True

    def _drop(self, turn: ToldTurn, reason: str) -> None:
        self._metrics.count(names.MEMORY_DROPPED, reason=reason)
        log(_logger, logging.WARNING, "a turn was not kept", reason=reason, request_id=turn.request_id)
        self._done(turn, None)

    def _done(self, turn: ToldTurn, written: Written | None) -> None:
        _, done = self._waiting.pop(turn.turn_id)
        self._bytes -= _size(turn)
        self._metrics.gauge(names.MEMORY_BACKLOG, -1)
        if not done.done():
            done.set_result(written)
        if not self._waiting:
            self._work.clear()
            self._empty.set()

    def _fail(self, reason: str) -> None:
        """Counted each time, told once until it works again."""
        self._metrics.count(names.HOUSEKEEPING_FAILURE, job="conversations", reason=reason)
        if not self._failing:
            self._failing = True
            told = "conversations cannot be written, and wait"
            log(_logger, logging.WARNING, told, turns=len(self._waiting), reason=reason)


def _size(turn: ToldTurn) -> int:
    return len(turn.question) + len(turn.answer)
