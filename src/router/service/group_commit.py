"""Group commit: what waits while one transaction commits goes into the next.

While the store is away everything waits, and is tried again after pauses that grow. A batch may be written twice (its
commit was not heard of): the store has to take that for once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from contracts.errors import AtriumError
from observability.logging import log

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. The first item after a rest waits for nothing; under load the cost of a transaction, near a millisecond
    of CPU however few its rows, is paid at most every `every_s`."""

    every_s: float = 0.005
    first_pause_s: float = 0.1
    last_pause_s: float = 2.0


class GroupCommit(ABC, Generic[Item]):
    """Works while `running` is entered. Who inherits it keeps what waits, sets `_work` when something does, and
    `_empty` when nothing is left that must be written before the end."""

    def __init__(self, what: str, logger: logging.Logger, *, pace: Pace, drain_s: float) -> None:
        """`what` it writes is the task's name, and stands in the log."""
        self._what, self._logger = what, logger
        self._pace, self._drain_s = pace, drain_s
        self._work, self._empty = asyncio.Event(), asyncio.Event()
        self._empty.set()
        self._closed = True
        self._failing = False

    @property
    @abstractmethod
    def backlog(self) -> int:
        """How many wait."""

    @abstractmethod
    def _next_batch(self) -> Sequence[Item]: ...

    @abstractmethod
    async def _commit(self, batch: Sequence[Item]) -> None:
        """Writes it and takes it off what waits; nothing is taken off before.

        Raises ValueError where one of it cannot be kept; after any other error it is tried again.
        """

    @abstractmethod
    def _reject(self, item: Item) -> None:
        """Takes off what can never be kept."""

    @abstractmethod
    def _count_failure(self, error: Exception) -> None: ...

    @abstractmethod
    def _give_up(self) -> None:
        """Takes off whatever still waits at the end."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """At the end what waits is written, for a bounded time; what then is left is given up."""
        self._closed = False
        task = asyncio.create_task(self._run(), name=self._what)
        try:
            yield
        finally:
            self._closed = True
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._drain_s):
                        await self._empty.wait()
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                self._give_up()

    async def _run(self) -> None:
        pause = self._pace.first_pause_s
        while True:
            await self._work.wait()
            next_at = time.monotonic() + self._pace.every_s
            batch = self._next_batch()
            if not batch or await self._write(batch):
                pause = self._pace.first_pause_s
                await asyncio.sleep(max(0.0, next_at - time.monotonic()))
            else:
                await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311  no secret: spread
                pause = min(2 * pause, self._pace.last_pause_s)

    async def _write(self, batch: Sequence[Item]) -> bool:
        """Whether it is done with: committed, or told to be impossible."""
        try:
            await self._commit(batch)
        except ValueError:
            return await self._write_apart(batch)
        except Exception as error:  # noqa: BLE001  the edge of a background task: no bug may cost what waits
            self._fail(error)
            return False
        if self._failing:
            self._failing = False
            log(self._logger, logging.INFO, f"{self._what} are written again", waiting=self.backlog)
        return True

    async def _write_apart(self, batch: Sequence[Item]) -> bool:
        """One item cannot be kept: it must not hold up the others."""
        if len(batch) == 1:
            self._reject(batch[0])
            return True
        for item in batch:
            if not await self._write([item]):
                return False
        return True

    def _fail(self, error: Exception) -> None:
        """Counted each time, told once until it works again."""
        self._count_failure(error)
        if not self._failing:
            self._failing = True
            reason = error.message if isinstance(error, AtriumError) else type(error).__name__
            told = f"{self._what} cannot be written, and wait"
            log(self._logger, logging.WARNING, told, waiting=self.backlog, reason=reason)
