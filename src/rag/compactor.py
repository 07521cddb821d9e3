"""In the background: snapshots of tenants that have changed, a short log, and no copies of what was removed.

Which tenants are due is asked of PostgreSQL, so that nothing depends on what a process remembers: what one that was
killed had begun is done by the next that looks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from contracts.errors import AtriumError, DependencyDownError, NotFoundError
from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from rag.tenant_retriever import TenantRetriever
from rag.uploads import Uploads
from rag.view_loader import ViewLoader
from rag.views import View

LEASE = timedelta(minutes=2)
"""So long one replica has a tenant for itself; after a failure nobody tries again for so long."""
TENANTS_AT_ONCE = 50
"""Of one look at what is due: the next look may know better."""
KEPT_WITHOUT_SNAPSHOT = 10_000
"""Tombstones that stay while no snapshot can be written: a tenth of a kilobyte each. Beyond them the old snapshot is
given up, and indexes are loaded of the whole log."""

_logger = logging.getLogger("atrium.compactor")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """A snapshot is due after `writes` documents, or after `age` with fewer; large tenants have longer. Looked at every
    `interval_s`."""

    writes: int = 100
    age: timedelta = timedelta(minutes=5)
    interval_s: float = 10.0


class Compactor:
    def __init__(
        self,
        loader: ViewLoader,
        retriever: TenantRetriever,
        metrics: Metrics,
        thresholds: Thresholds,
        *,
        model: str,
        uploads: Uploads | None = None,
    ) -> None:
        self._loader = loader
        self._snapshots = loader.snapshots
        self._retriever = retriever
        self._metrics = metrics
        self._thresholds = thresholds
        self._model = model
        self._uploads = uploads

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        worker = asyncio.create_task(self._run(), name="compactor")
        try:
            yield
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    async def turn(self) -> int:
        """Compact what is due; returns how many tenants that were."""
        due = await self._snapshots.marks.due(
            self._model,
            writes=self._thresholds.writes,
            age=self._thresholds.age,
            stored_from=self._snapshots.stored_from,
            limit=TENANTS_AT_ONCE,
        )
        for tenant_id in due:
            try:
                await self.compact(tenant_id)
            except NotFoundError:
                continue  # it is gone
            except DependencyDownError as error:
                self._report(str(error.details.get("dependency")), tenant_id)
                break  # the others would wait for the same store
        return len(due)

    async def compact(self, tenant_id: TenantId) -> bool:
        """Write a snapshot of the tenant as it is now, and remove what that makes superfluous. False where another
        replica does so, or has.

        Raises NotFoundError, and DependencyDownError: then nothing is lost, and the lease keeps all from trying again
        at once.
        """
        if not await self._snapshots.marks.claim(tenant_id, LEASE):
            return False
        view = await self._view(tenant_id)
        if await self._snapshots.has(tenant_id, view):
            await self._snapshots.marks.release(tenant_id, view.version.born)
            return False
        view = await self._loader.compacted(view)
        try:
            mark = await self._snapshots.write(tenant_id, view, view.index)
            if mark is not None:
                await self._snapshots.tidy(tenant_id, mark)
        except DependencyDownError as error:
            if error.details.get("dependency") != "object_store":
                raise
            self._metrics.count(names.SNAPSHOT_WRITE, outcome="failed")
            keep = max(KEPT_WITHOUT_SNAPSHOT, len(view.index))
            await self._snapshots.marks.trim(tenant_id, view.version, keep=keep)
            raise
        self._retriever.adopt(tenant_id, view)
        await self._snapshots.marks.release(tenant_id, view.version.born)
        if self._uploads is not None:
            await self._uploads.sweep(tenant_id)
        return mark is not None

    async def _view(self, tenant_id: TenantId) -> View:
        """As of now. Not put into the cache: what nobody asks for should not drive out what is asked for."""
        version = await self._loader.store.version(tenant_id)
        view = self._retriever.loaded_view(tenant_id)
        if view is not None and not view.version.covers(version):
            view = await self._loader.followed(tenant_id, view)
        return view or await self._loader.load(tenant_id, version)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._thresholds.interval_s)
            try:
                await self.turn()
            except AtriumError as error:
                self._report(error.code, None)
            except Exception as error:  # noqa: BLE001  the next turn may do better; the service goes on either way
                self._report(type(error).__name__, None)

    def _report(self, reason: str, tenant_id: TenantId | None) -> None:
        self._metrics.count(names.HOUSEKEEPING_FAILURE, job="compaction", reason=reason)
        said = "a compaction did not succeed"
        log(_logger, logging.WARNING, said, tenant_id=str(tenant_id or ""), reason=reason)
