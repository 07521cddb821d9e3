"""What a router does beside requests: it writes when keys were used, finishes deletions, archives the audit log.

Every job may run on several routers at once and be broken off anywhere: each is idempotent, none keeps state here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from contracts.errors import AtriumError
from observability import names
from observability.logging import log
from observability.metrics import Metrics

_logger = logging.getLogger("atrium.housekeeping")


@dataclass(frozen=True, slots=True)
class Job:
    name: str
    every_s: float
    run: Callable[[], Awaitable[None]]


class Housekeeping:
    def __init__(self, jobs: tuple[Job, ...], metrics: Metrics) -> None:
        self._jobs = jobs
        self._metrics = metrics

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._repeat(job), name=job.name) for job in self._jobs]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _repeat(self, job: Job) -> None:
        while True:
            await asyncio.sleep(job.every_s)
            try:
                await job.run()
            except AtriumError as error:
                self._fail(job, error.code, error.message)
            except Exception as error:  # noqa: BLE001  the edge of a background task: a bug in one turn ends no other
                self._fail(job, "internal_error", type(error).__name__)

    def _fail(self, job: Job, code: str, reason: str) -> None:
        self._metrics.count(names.HOUSEKEEPING_FAILURE, job=job.name, reason=code)
        log(_logger, logging.WARNING, "housekeeping failed, and is tried again", job=job.name, reason=reason)
