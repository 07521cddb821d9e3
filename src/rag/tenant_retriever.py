"""The tenants' indexes: one object each, never a filter over a shared one.

An index is a view of the chunk log at one version. Every search asks the log for its version first and builds the
view anew when it is older, so that any replica is right after any write. Views are immutable: a reader keeps the one
it began with while the next one takes its place.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from contracts.errors import NotFoundError, PreconditionFailedError
from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from rag.domain.corpus import Corpus, CorpusVersion
from rag.domain.ranking import Found, Hit, Ranking, rank
from rag.domain.vectors import Vector
from rag.ports import ChunkStore, IndexFactory, VectorIndex

INLINE_ROWS = 5_000
"""Up to this many rows a search (70 µs) is cheaper on the event loop than the way to a thread and back."""

LOADS_AT_ONCE = 4
"""Views being built, over all tenants: each holds a database connection that searches need as well."""

_logger = logging.getLogger("atrium.retriever")


@dataclass(frozen=True, slots=True)
class View:
    """A tenant's index at a version: row i of `index` is chunk i of `corpus.records`."""

    corpus: Corpus
    index: VectorIndex


class TenantRetriever:
    """Keeps the views of the `max_tenants` tenants that were asked last; any other is built when it is asked."""

    def __init__(
        self,
        store: ChunkStore,
        build_index: IndexFactory,
        metrics: Metrics,
        *,
        model: str,
        dimension: int,
        max_tenants: int,
    ) -> None:
        self._store = store
        self._build_index = build_index
        self._metrics = metrics
        self._model = model
        self._dimension = dimension
        self._max_tenants = max_tenants
        self._views: OrderedDict[TenantId, View] = OrderedDict()
        self._loads: dict[TenantId, asyncio.Task[View]] = {}
        self._load_slots = asyncio.Semaphore(LOADS_AT_ONCE)

    @property
    def loaded(self) -> tuple[TenantId, ...]:
        """The tenants whose view is in memory, the one to go first in front."""
        return tuple(self._views)

    async def search(
        self, tenant_id: TenantId, query: Vector, *, k: int, min_seq: int = 0, born: datetime | None = None
    ) -> tuple[Found, ...]:
        """The min(k, n) chunks nearest to `query` (L2-normalised), best first, of everything committed so far.

        Raises NotFoundError for an unknown tenant and where another than the one made at `born` has the id;
        PreconditionFailedError when the log has not reached `min_seq`.
        """
        view = await self._current_view(tenant_id, min_seq, born)
        ranking = await self._ranking(tenant_id, view, query, k)
        if ranking.foreign:
            self._report_foreign(tenant_id, ranking)
        return ranking.found[:k]

    def vectors_loaded(self, tenant_id: TenantId) -> int:
        """How many vectors of the tenant are in memory."""
        view = self._views.get(tenant_id)
        return len(view.index) if view else 0

    async def unload(self, tenant_id: TenantId) -> int:
        """Drop the tenant's view and end its load; returns how many vectors there were."""
        load = self._loads.pop(tenant_id, None)
        if load is not None:
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
        held = self.vectors_loaded(tenant_id)
        self._views.pop(tenant_id, None)
        return held

    async def close(self) -> None:
        """Ends loads that are under way."""
        loads = list(self._loads.values())
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)

    async def _current_view(self, tenant_id: TenantId, min_seq: int, born: datetime | None) -> View:
        try:
            version = await self._store.version(tenant_id, born=born)
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
        view = self._views.get(tenant_id)
        if view is None or not view.corpus.version.covers(version):
            view = await self._load(tenant_id)
        if not view.corpus.version.covers(version):
            # We joined a load that had begun before our look at the log. One begun now cannot be too old.
            view = await self._load(tenant_id)
        if view.corpus.version.born != version.born:
            raise NotFoundError("there is no such tenant")  # it was deleted since our look, and made again
        if tenant_id in self._views:
            self._views.move_to_end(tenant_id)
        return view

    def _drop(self, tenant_id: TenantId, born: datetime | None) -> None:
        """The view of a tenant that is gone; not that of a later one with the same id."""
        view = self._views.get(tenant_id)
        if view is not None and born in {None, view.corpus.version.born}:
            del self._views[tenant_id]

    async def _load(self, tenant_id: TenantId) -> View:
        """Build the view, or wait for the one being built. Who stops waiting does not stop it for the others."""
        load = self._loads.get(tenant_id)
        if load is None or load.done():
            load = asyncio.create_task(self._build(tenant_id), name=f"index of {tenant_id}")
            self._loads[tenant_id] = load
            load.add_done_callback(lambda done: self._settle(tenant_id, done))
        return await asyncio.shield(load)

    async def _build(self, tenant_id: TenantId) -> View:
        async with self._load_slots:
            started = time.perf_counter()
            corpus = await self._store.load(tenant_id, self._model, self._dimension)
            view = View(corpus, await asyncio.to_thread(self._build_index, corpus.vectors))
            self._metrics.observe(names.INDEX_LOAD, time.perf_counter() - started)
        if corpus.of_other_models:
            log(
                _logger,
                logging.WARNING,
                "chunks embedded with another model are not searched: upload their documents again",
                tenant_id=str(tenant_id),
                chunks=corpus.of_other_models,
            )
        return view

    def _settle(self, tenant_id: TenantId, load: asyncio.Task[View]) -> None:
        """Runs before anyone who waits for `load` goes on."""
        if self._loads.get(tenant_id) is load:
            del self._loads[tenant_id]
        if load.cancelled() or load.exception() is not None:
            return
        self._views[tenant_id] = load.result()
        self._views.move_to_end(tenant_id)
        while len(self._views) > self._max_tenants:
            self._views.popitem(last=False)

    async def _ranking(self, tenant_id: TenantId, view: View, query: Vector, k: int) -> Ranking:
        """The tenant's own k best. Looks further down only where a foreign chunk took a place, which must not be."""
        size = len(view.index)
        wanted = min(k, size)
        while True:
            ranking = rank(tenant_id, await self._hits(view.index, query, wanted), view.corpus.records)
            if len(ranking.found) >= k or wanted == size:
                return ranking
            wanted = min(size, wanted * 2)

    async def _hits(self, index: VectorIndex, query: Vector, k: int) -> list[Hit]:
        if len(index) <= INLINE_ROWS:
            return index.search(query, k)
        return await asyncio.to_thread(index.search, query, k)

    def _report_foreign(self, tenant_id: TenantId, ranking: Ranking) -> None:
        self._metrics.count(names.CROSS_TENANT_DROP, len(ranking.foreign), tenant=str(tenant_id))
        log(
            _logger,
            logging.ERROR,
            "chunks of another tenant in an index were dropped",
            tenant_id=str(tenant_id),
            foreign={record.chunk_id: str(record.tenant_id) for record in ranking.foreign},
        )
