"""Beside the compactor, which may be busy with a large tenant for minutes: what is to be gone, and goes.

Copies on this machine's disk and indexes in its memory that are of deleted tenants, or of documents that were deleted;
and files of jobs that are over, where the object store was away when they ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from contracts.errors import AtriumError
from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from rag.tenant_retriever import TenantRetriever
from rag.uploads import Uploads

_logger = logging.getLogger("atrium.housekeeper")


class Housekeeper:
    """`forget` drops what else this process remembers of a tenant that is gone."""

    def __init__(
        self,
        retriever: TenantRetriever,
        uploads: Uploads,
        metrics: Metrics,
        *,
        interval_s: float,
        forget: Callable[[TenantId], None],
    ) -> None:
        self._retriever = retriever
        self._uploads = uploads
        self._metrics = metrics
        self._interval_s = interval_s
        self._forget = forget

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        worker = asyncio.create_task(self._run(), name="housekeeper")
        try:
            yield
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    async def turn(self) -> None:
        """Raises DependencyDownError; the next turn does what is left."""
        gone = await self._retriever.drop_stale()
        for tenant_id in gone:
            self._forget(tenant_id)
        await self._uploads.sweep_left()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self.turn()
            except AtriumError as error:
                self._report(error.code)
            except Exception as error:  # noqa: BLE001  the next turn may do better; the service goes on either way
                self._report(type(error).__name__)

    def _report(self, reason: str) -> None:
        self._metrics.count(names.HOUSEKEEPING_FAILURE, job="sweep", reason=reason)
        log(_logger, logging.WARNING, "a sweep did not succeed", reason=reason)
