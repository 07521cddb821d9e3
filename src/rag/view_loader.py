"""How a view comes about: of a snapshot and the log's tail, or of the whole log; and how it follows the log."""

from __future__ import annotations

import asyncio
import logging
import time

from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from rag.domain.corpus import Corpus, CorpusVersion
from rag.domain.query import ChunkRows
from rag.ports import ChunkStore, IndexBuilder
from rag.snapshots import Snapshots
from rag.views import View

INLINE_CHANGES = 50
"""Up to so many changes are made on the event loop: the way to a thread and back takes longer."""

PORTION = 20_000
"""Chunks that memory holds as objects while an index is made of the log: some 60 MB, with their words."""

_logger = logging.getLogger("atrium.retriever")


class ViewLoader:
    """Views of the chunks embedded with one model."""

    def __init__(
        self,
        store: ChunkStore,
        builder: IndexBuilder,
        snapshots: Snapshots,
        metrics: Metrics,
        *,
        model: str,
        dimension: int,
    ) -> None:
        self.store = store
        self.snapshots = snapshots
        self._builder = builder
        self._metrics = metrics
        self._model = model
        self._dimension = dimension

    async def load(self, tenant_id: TenantId, wanted: CorpusVersion) -> View:
        """A view that covers `wanted`, or a newer one, or one of a later tenant of the name.

        Raises NotFoundError, and DependencyDownError for PostgreSQL; the object store can only make it slower.
        """
        started = time.perf_counter()
        view, source = await self._from_snapshot(tenant_id, wanted) or (await self._from_log(tenant_id), "log")
        self._metrics.observe(names.INDEX_LOAD, time.perf_counter() - started, source=source)
        return view

    async def followed(self, tenant_id: TenantId, view: View) -> View | None:
        """The view with what happened since. None where the log does not tell it any more."""
        tail = await self.store.tail(tenant_id, view.version, self._model, self._dimension)
        if tail is None:
            return None
        self._report_other_models(tenant_id, tail.added.of_other_models)
        rows = _rows(tail.added)
        if not tail.changes:
            return View(tail.version, view.index, view.pending)
        if tail.changes + view.pending <= INLINE_CHANGES:
            index = view.index.with_changes(rows, tail.removed)
        else:
            index = await asyncio.to_thread(view.index.with_changes, rows, tail.removed)
        return View(tail.version, index, view.pending + tail.changes)

    async def compacted(self, view: View) -> View:
        if not view.pending:
            return view
        return View(view.version, await asyncio.to_thread(view.index.compacted))

    async def _from_snapshot(self, tenant_id: TenantId, wanted: CorpusVersion) -> tuple[View, str] | None:
        found = await self.snapshots.newest(tenant_id)
        if found is None:
            return None
        view, source = found
        if not view.version.covers(wanted):
            followed = await self.followed(tenant_id, view)
            if followed is None:
                return None
            view = followed
        return (await self.compacted(view) if view.is_worn else view), source

    async def _from_log(self, tenant_id: TenantId) -> View:
        draft = self._builder.begin(self._dimension)

        async def take(rows: ChunkRows) -> None:
            await asyncio.to_thread(draft.add, rows)

        found = await self.store.scan(tenant_id, self._model, self._dimension, take, portion=PORTION)
        self._report_other_models(tenant_id, found.of_other_models)
        return View(found.version, await asyncio.to_thread(draft.finish))

    def _report_other_models(self, tenant_id: TenantId, chunks: int) -> None:
        if chunks:
            log(
                _logger,
                logging.WARNING,
                "chunks embedded with another model are not searched: upload their documents again",
                tenant_id=str(tenant_id),
                chunks=chunks,
            )


def _rows(corpus: Corpus) -> ChunkRows:
    return ChunkRows(corpus.records, corpus.vectors)
