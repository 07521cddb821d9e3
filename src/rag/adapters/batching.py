"""Many callers, one model: who waits is served in turn by tenant, and a question does not wait for a book.

Everything here runs on the event loop but the model itself, which has threads of its own.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from contracts.errors import OverloadedError
from contracts.tenant import TenantId
from rag.domain.vectors import Matrix

SMALL_TEXTS = 16
SMALL_CHARS = 4_000
"""A job of at most so many texts and, together, characters is a question. A model takes 50 ms for the largest."""

_READ_CHARS = 1_000
"""What a text counts at most: about a model's window."""

MAX_SMALL_TEXTS = 4_000
MAX_BULK_TEXTS = 20_000
"""That wait: seconds of questions, 15 MB of chunks. Beyond it a caller is told to come again."""

TENANT_SHARE = 4
"""One tenant fills at most a quarter of either, but for a single job that is larger."""

Encode = Callable[[list[str], bool], Matrix]
"""Blocking. The second argument is true for bulk work, which may use more threads."""


@dataclass(frozen=True, slots=True)
class Lane:
    """Batches of at most `texts_at_once` texts, `workers` of them at once in `executor`."""

    executor: Executor
    workers: int
    texts_at_once: int


@dataclass(eq=False, slots=True)
class _Job:
    tenant_id: TenantId
    texts: Sequence[str]
    done: asyncio.Future[Matrix]
    taken: int = 0
    received: int = 0
    rows: Matrix | None = None

    @property
    def left(self) -> int:
        return 0 if self.done.done() else len(self.texts) - self.taken

    def take(self, count: int) -> _Part:
        start, self.taken = self.taken, min(self.taken + count, len(self.texts))
        return _Part(self, start, list(self.texts[start : self.taken]))

    def receive(self, start: int, rows: Matrix) -> None:
        """In any order: several batches of one job may run at once."""
        if self.rows is None:
            self.rows = np.empty((len(self.texts), rows.shape[1]), dtype=rows.dtype)
        self.rows[start : start + len(rows)] = rows
        self.received += len(rows)
        if self.received == len(self.texts) and not self.done.done():
            self.done.set_result(self.rows)


@dataclass(frozen=True, slots=True)
class _Part:
    """What one batch carries of one job: its texts from `start` on."""

    job: _Job
    start: int
    texts: list[str]


@dataclass(eq=False, slots=True)
class _Line:
    """Jobs of one class, by tenant; the tenant that was served last stands at the end."""

    most_texts: int
    by_tenant: OrderedDict[TenantId, deque[_Job]] = field(default_factory=OrderedDict)
    work: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: dict[TenantId, int] = field(default_factory=dict)

    def add(self, job: _Job) -> None:
        """Raises OverloadedError."""
        new, own = len(job.texts), self.waiting.get(job.tenant_id, 0)
        is_over_share = own > 0 and own + new > self.most_texts // TENANT_SHARE
        if is_over_share or sum(self.waiting.values()) + new > self.most_texts:
            raise OverloadedError("too many texts wait to be embedded", retry_after_s=5)
        self.waiting[job.tenant_id] = own + new
        self.by_tenant.setdefault(job.tenant_id, deque()).append(job)
        self.work.set()

    def leave(self, job: _Job, texts: int) -> None:
        """So many of the job's texts wait no longer."""
        self.waiting[job.tenant_id] -= texts
        if not self.waiting[job.tenant_id]:
            del self.waiting[job.tenant_id]

    def take(self, room: int) -> list[_Part]:
        """At most `room` texts, tenant by tenant; of a tenant its oldest job first."""
        parts: list[_Part] = []
        while room and self.by_tenant:
            tenant_id, jobs = self.by_tenant.popitem(last=False)
            while jobs and not jobs[0].left:
                jobs.popleft()
            if not jobs:
                continue
            parts.append(jobs[0].take(room))
            self.leave(jobs[0], len(parts[-1].texts))
            room -= len(parts[-1].texts)
            self.by_tenant[tenant_id] = jobs
        return parts


class BatchQueue:
    def __init__(self, encode: Encode, *, questions: Lane, bulk: Lane) -> None:
        self._encode = encode
        self._lanes = (questions, bulk)
        self._lines = (_Line(MAX_SMALL_TEXTS), _Line(MAX_BULK_TEXTS))

    @classmethod
    @asynccontextmanager
    async def running(cls, encode: Encode, *, questions: Lane, bulk: Lane) -> AsyncIterator[Self]:
        """Where both lanes share an executor of one thread, their batches take turns in it."""
        queue = cls(encode, questions=questions, bulk=bulk)
        workers = [
            asyncio.create_task(queue._serve(line, lane, is_bulk=is_bulk), name="embedding batches")
            for line, lane, is_bulk in zip(queue._lines, queue._lanes, (False, True), strict=True)
            for _ in range(lane.workers)
        ]
        try:
            yield queue
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            for line in queue._lines:
                for job in [job for jobs in line.by_tenant.values() for job in jobs]:
                    job.done.cancel()

    async def embed(self, tenant_id: TenantId, texts: Sequence[str]) -> Matrix:
        """One row a text; `texts` is not empty. Raises OverloadedError. Cancelling drops what has not begun."""
        job = _Job(tenant_id, texts, asyncio.get_running_loop().create_future())
        line = self._lines[0 if _is_small(texts) else 1]
        line.add(job)
        try:
            return await job.done
        finally:
            if job.taken < len(texts):
                line.leave(job, len(texts) - job.taken)

    async def _serve(self, line: _Line, lane: Lane, *, is_bulk: bool) -> None:
        loop = asyncio.get_running_loop()
        while True:
            parts = line.take(lane.texts_at_once)
            if not parts:
                line.work.clear()
                await line.work.wait()
                continue
            texts = [text for part in parts for text in part.texts]
            try:
                rows = await loop.run_in_executor(lane.executor, self._encode, texts, is_bulk)
            except asyncio.CancelledError:
                for part in parts:
                    part.job.done.cancel()
                raise
            except Exception as error:  # noqa: BLE001  the callers get it; the worker goes on
                _fail(parts, error)
            else:
                _deliver(parts, rows)


def _is_small(texts: Sequence[str]) -> bool:
    return len(texts) <= SMALL_TEXTS and sum(min(len(text), _READ_CHARS) for text in texts) <= SMALL_CHARS


def _deliver(parts: Sequence[_Part], rows: Matrix) -> None:
    start = 0
    for part in parts:
        part.job.receive(part.start, rows[start : start + len(part.texts)])
        start += len(part.texts)


def _fail(parts: Sequence[_Part], error: Exception) -> None:
    for part in parts:
        if not part.job.done.done():
            part.job.done.set_exception(error)
