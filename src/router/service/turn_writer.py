"""Group commit in front of the store of conversations. While the store is away turns wait, so many at most; what is
dropped is counted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from itertools import islice

from contracts.errors import AtriumError
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from router.service.group_commit import GroupCommit, Pace
from tenancy.conversations import Conversations, ToldTurn, Written

MAX_BATCH = 100
MAX_WAITING = 2_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
DRAIN_S = 5.0
GIVE_UP_S = 3_600.0
"""So old a turn is written no more: an erasure might be forgotten by then (`tenancy.conversations.ERASURE_HOURS`)."""

Waiting = tuple[ToldTurn, "asyncio.Future[Written | None]"]

_logger = logging.getLogger("atrium.memory")


class TurnWriter(GroupCommit[ToldTurn]):
    """`write` works while `running` is entered."""

    def __init__(
        self,
        store: Conversations,
        metrics: Metrics,
        *,
        max_waiting: int = MAX_WAITING,
        drain_s: float = DRAIN_S,
        pace: Pace = Pace(),  # noqa: B008  frozen
    ) -> None:
        super().__init__("conversations", _logger, pace=pace, drain_s=drain_s)
        self._store = store
        self._metrics = metrics
        self._max_waiting = max_waiting
        self._waiting: dict[str, Waiting] = {}
        self._bytes = 0

    @property
    def backlog(self) -> int:
        return len(self._waiting)

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

    def _next_batch(self) -> list[ToldTurn]:
        too_old = time.monotonic() - GIVE_UP_S
        for turn, _ in list(islice(self._waiting.values(), MAX_BATCH)):
            if turn.asked < too_old:
                self._drop(turn, "late")
        return [turn for turn, _ in islice(self._waiting.values(), MAX_BATCH)]

    async def _commit(self, batch: Sequence[ToldTurn]) -> None:
        written = await self._store.write(batch)
        for turn in batch:
            self._done(turn, written.get(turn.turn_id))

    def _reject(self, item: ToldTurn) -> None:
        self._drop(item, "rejected")

    def _count_failure(self, error: Exception) -> None:
        reason = error.code if isinstance(error, AtriumError) else type(error).__name__
        self._metrics.count(names.HOUSEKEEPING_FAILURE, job="conversations", reason=reason)

    def _give_up(self) -> None:
        for turn, _ in list(self._waiting.values()):
            self._drop(turn, "closed")

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


def _size(turn: ToldTurn) -> int:
    return len(turn.question) + len(turn.answer)
