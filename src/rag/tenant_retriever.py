"""The tenants' indexes: one object each, never a filter over a shared one.

An index is a view of the chunk log at one version. Every search asks the log for its version first and brings the view
up to it, so that any replica is right after any write. Views are immutable: a reader keeps the one it began with while
the next one takes its place.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import datetime

from contracts.errors import NotFoundError, PreconditionFailedError
from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from rag.domain.corpus import CorpusVersion
from rag.domain.query import IndexQuery, Scored
from rag.domain.ranking import Separated, separated
from rag.ports import TenantIndex
from rag.recall import RecallSampler
from rag.view_loader import ViewLoader
from rag.views import View, ViewCache

INLINE_ROWS = 5_000
"""Up to this many chunks a search (70 µs) is cheaper on the event loop than the way to a thread and back."""

LOADS_AT_ONCE = 4
"""Views being loaded, over all tenants: each holds a database connection that searches need as well."""

_logger = logging.getLogger("atrium.retriever")


class TenantRetriever:
    """Keeps the views that were asked for last, as many as the cache holds; any other is loaded when it is asked."""

    def __init__(
        self, loader: ViewLoader, cache: ViewCache, metrics: Metrics, *, recall: RecallSampler | None = None
    ) -> None:
        self._loader = loader
        self._cache = cache
        self._metrics = metrics
        self._recall = recall or RecallSampler(metrics, share=0.0)
        self._loads: dict[TenantId, asyncio.Task[View]] = {}
        self._load_slots = asyncio.Semaphore(LOADS_AT_ONCE)
        self._compactions: dict[TenantId, asyncio.Task[None]] = {}

    @property
    def loaded(self) -> tuple[TenantId, ...]:
        """The tenants whose view is in memory, the one to go first in front."""
        return tuple(self._cache)

    async def search(
        self, tenant_id: TenantId, query: IndexQuery, *, min_seq: int = 0, born: datetime | None = None
    ) -> tuple[Scored, ...]:
        """The best min(k, n) chunks of the n that the filter allows, best first, of everything committed so far.

        Raises NotFoundError for an unknown tenant and where another than the one made at `born` has the id;
        PreconditionFailedError when the log has not reached `min_seq`.
        """
        view = await self._current_view(tenant_id, min_seq, born)
        found = await self._own(tenant_id, view, query)
        self._recall.offer(tenant_id, view.index, query)
        if found.foreign:
            self._report_foreign(tenant_id, found)
        return found.own[: query.k]

    def vectors_loaded(self, tenant_id: TenantId) -> int:
        """How many vectors of the tenant are in memory."""
        view = self._cache.get(tenant_id)
        return len(view.index) if view else 0

    async def unload(self, tenant_id: TenantId) -> int:
        """Drop the tenant's view and end its load, and forget what lies on the disk; returns how many vectors there
        were."""
        for tasks in (self._loads, self._compactions):
            await _end([task for task in (tasks.pop(tenant_id, None),) if task is not None])
        held = self.vectors_loaded(tenant_id)
        self._cache.drop(tenant_id)
        await self._loader.snapshots.forget(tenant_id)
        return held

    async def drop_stale(self) -> set[TenantId]:
        """Drop what this replica holds of tenants that are gone, and its disk's copies of what is not current.
        Returns those tenants."""
        views = {tenant_id: view for tenant_id in self._cache if (view := self._cache.get(tenant_id))}
        born = {tenant_id: view.version.born for tenant_id, view in views.items()}
        gone = await self._loader.snapshots.drop_stale(born)
        for tenant_id in gone:
            self._drop(tenant_id, born.get(tenant_id))
        return gone

    async def close(self) -> None:
        """Ends what is under way."""
        await _end([*self._loads.values(), *self._compactions.values()])

    async def _current_view(self, tenant_id: TenantId, min_seq: int, born: datetime | None) -> View:
        try:
            version = await self._loader.store.version(tenant_id, born=born)
        except NotFoundError:
            self._drop(tenant_id, born)
            raise
        if version.seq < min_seq:
            raise PreconditionFailedError(
                f"the tenant's documents are at sequence {version.seq}, not yet at {min_seq}",
                details={"seq": version.seq},
            )
        return await self._view_at(tenant_id, version)

    async def _view_at(self, tenant_id: TenantId, version: CorpusVersion) -> View:
        view = self._cache.get(tenant_id)
        if view is None or not view.version.covers(version):
            view = await self._refresh(tenant_id, version)
        if not view.version.covers(version):
            # We joined a load that had begun before our look at the log. One begun now cannot be too old.
            view = await self._refresh(tenant_id, version)
        if view.version.born != version.born:
            raise NotFoundError("there is no such tenant")  # it was deleted since our look, and made again
        self._cache.touch(tenant_id)
        return view

    def _drop(self, tenant_id: TenantId, born: datetime | None) -> None:
        """The view of a tenant that is gone; not that of a later one with the same id."""
        view = self._cache.get(tenant_id)
        if view is not None and born in {None, view.version.born}:
            self._cache.drop(tenant_id)

    async def _refresh(self, tenant_id: TenantId, version: CorpusVersion) -> View:
        """Bring the view up to date, or wait for who does. Who stops waiting does not stop it for the others."""
        load = self._loads.get(tenant_id)
        if load is None or load.done():
            load = asyncio.create_task(self._refreshed(tenant_id, version), name=f"index of {tenant_id}")
            self._loads[tenant_id] = load
            load.add_done_callback(lambda done: self._settle(tenant_id, done))
        return await asyncio.shield(load)

    async def _refreshed(self, tenant_id: TenantId, version: CorpusVersion) -> View:
        before = self._cache.get(tenant_id)
        view = await self._loader.followed(tenant_id, before) if before is not None else None
        if view is None:
            async with self._load_slots:
                view = await self._loader.load(tenant_id, version)
        elif self._cache.get(tenant_id) not in {None, before}:
            return view  # what was compacted meanwhile stays, and follows by itself
        self._cache.put(tenant_id, view)
        if view.is_worn and tenant_id not in self._compactions:
            compaction = asyncio.create_task(self._compact(tenant_id, view), name=f"compaction of {tenant_id}")
            self._compactions[tenant_id] = compaction
            compaction.add_done_callback(lambda done: self._end_compaction(tenant_id, done))
        return view

    def _settle(self, tenant_id: TenantId, load: asyncio.Task[View]) -> None:
        if self._loads.get(tenant_id) is load:
            del self._loads[tenant_id]
        if not load.cancelled():
            load.exception()  # looked at: those who waited may have gone

    async def _compact(self, tenant_id: TenantId, view: View) -> None:
        """Beside the searches, which go on with the view as it is."""
        async with self._load_slots:
            self.adopt(tenant_id, await self._loader.compacted(view))

    def _end_compaction(self, tenant_id: TenantId, compaction: asyncio.Task[None]) -> None:
        if self._compactions.get(tenant_id) is compaction:
            del self._compactions[tenant_id]
        if not compaction.cancelled() and (error := compaction.exception()) is not None:
            log(_logger, logging.ERROR, "a compaction failed", tenant_id=str(tenant_id), reason=type(error).__name__)

    def adopt(self, tenant_id: TenantId, view: View) -> None:
        """Take a compacted view in the place of the one that is loaded, if there is one of the same tenant. It may be
        behind that by a few writes: the next search follows the log."""
        loaded = self._cache.get(tenant_id)
        if loaded is not None and loaded.version.born == view.version.born and loaded.pending:
            self._cache.put(tenant_id, view)

    def loaded_view(self, tenant_id: TenantId) -> View | None:
        return self._cache.get(tenant_id)

    async def _own(self, tenant_id: TenantId, view: View, query: IndexQuery) -> Separated:
        """The tenant's own k best. Looks further down only where a foreign chunk took a place, which must not be."""
        size = len(view.index)
        wanted = query.k
        while True:
            scored = await self._scored(view.index, replace(query, k=wanted))
            found = separated(tenant_id, scored)
            if not found.foreign or len(found.own) >= query.k or wanted >= size:
                return found
            wanted = min(size, wanted * 2)

    async def _scored(self, index: TenantIndex, query: IndexQuery) -> list[Scored]:
        if len(index) <= INLINE_ROWS:
            return index.search(query)
        return await asyncio.to_thread(index.search, query)

    def _report_foreign(self, tenant_id: TenantId, found: Separated) -> None:
        self._metrics.count(names.CROSS_TENANT_DROP, len(found.foreign), tenant=str(tenant_id))
        log(
            _logger,
            logging.ERROR,
            "chunks of another tenant in an index were dropped",
            tenant_id=str(tenant_id),
            foreign={record.chunk_id: str(record.tenant_id) for record in found.foreign},
        )


async def _end(tasks: list[asyncio.Task[View] | asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
