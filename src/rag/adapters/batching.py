"""Many callers, one model: texts that wait are embedded together, and a question does not wait for a book.

Everything here runs on the event loop but the model itself, which has one thread of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from contracts.errors import OverloadedError
from rag.domain.vectors import Matrix

SMALL_TEXTS = 16
"""A job of at most so many texts is a question; also how many texts of questions one batch takes."""

BULK_TEXTS = 8
"""What one batch takes of bulk work, and so what a question waits for at most. Sixteen would be a quarter faster."""

MAX_WAITING_TEXTS = 20_000
"""Some 15 MB of chunks. Beyond it a caller is told to come again."""

Encode = Callable[[list[str], bool], Matrix]
"""Blocking. The second argument is true for bulk work, which may use more threads."""


@dataclass(eq=False, slots=True)
class _Job:
    texts: Sequence[str]
    done: asyncio.Future[Matrix]
    taken: int = 0
    parts: list[Matrix] = field(default_factory=list)

    def take(self, count: int) -> _Part:
        start, self.taken = self.taken, min(self.taken + count, len(self.texts))
        return _Part(self, list(self.texts[start : self.taken]))

    def receive(self, rows: Matrix) -> None:
        self.parts.append(rows)
        if sum(map(len, self.parts)) == len(self.texts) and not self.done.done():
            self.done.set_result(np.concatenate(self.parts))


@dataclass(frozen=True, slots=True)
class _Part:
    """What one batch carries of one job."""

    job: _Job
    texts: list[str]


class BatchQueue:
    """Small jobs go first, but never twice in a row while bulk work waits."""

    def __init__(self, encode: Encode, executor: Executor) -> None:
        self._encode = encode
        self._executor = executor
        self._small: deque[_Job] = deque()
        self._bulk: deque[_Job] = deque()
        self._bulk_is_next = False
        self._work = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def running(cls, encode: Encode, executor: Executor) -> AsyncIterator[Self]:
        queue = cls(encode, executor)
        worker = asyncio.create_task(queue._run(), name="embedding batches")
        try:
            yield queue
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
            for job in (*queue._small, *queue._bulk):
                job.done.cancel()

    async def embed(self, texts: Sequence[str]) -> Matrix:
        """One row a text; `texts` is not empty. Raises OverloadedError. Cancelling drops what has not begun."""
        if self._waiting_texts() + len(texts) > MAX_WAITING_TEXTS:
            raise OverloadedError("too many texts wait to be embedded", retry_after_s=5)
        job = _Job(texts, asyncio.get_running_loop().create_future())
        (self._small if len(texts) <= SMALL_TEXTS else self._bulk).append(job)
        self._work.set()
        return await job.done

    def _waiting_texts(self) -> int:
        return sum(len(job.texts) - job.taken for jobs in (self._small, self._bulk) for job in jobs)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._work.wait()
            parts, is_bulk = self._next_batch()
            if not parts:
                self._work.clear()
                continue
            texts = [text for part in parts for text in part.texts]
            try:
                rows = await loop.run_in_executor(self._executor, self._encode, texts, is_bulk)
            except asyncio.CancelledError:
                for part in parts:
                    part.job.done.cancel()
                raise
            except Exception as error:  # noqa: BLE001  the callers get it; the worker goes on
                _fail(parts, error)
            else:
                _deliver(parts, rows)

    def _next_batch(self) -> tuple[list[_Part], bool]:
        """Texts of one class of jobs, taken in turn."""
        for jobs in (self._small, self._bulk):
            for job in [job for job in jobs if job.done.done()]:
                jobs.remove(job)
        is_bulk = bool(self._bulk) and (self._bulk_is_next or not self._small)
        self._bulk_is_next = not is_bulk
        jobs = self._bulk if is_bulk else self._small
        parts: list[_Part] = []
        room = BULK_TEXTS if is_bulk else SMALL_TEXTS
        while jobs and room:
            job = jobs.popleft()
            parts.append(job.take(room))
            room -= len(parts[-1].texts)
            if job.taken < len(job.texts):
                jobs.append(job)
        return parts, is_bulk


def _deliver(parts: Sequence[_Part], rows: Matrix) -> None:
    start = 0
    for part in parts:
        part.job.receive(rows[start : start + len(part.texts)])
        start += len(part.texts)


def _fail(parts: Sequence[_Part], error: Exception) -> None:
    for part in parts:
        if not part.job.done.done():
            part.job.done.set_exception(error)
