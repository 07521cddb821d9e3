"""Another embedding model: what tenants have is embedded again behind their backs, and a tenant changes over at once.

`EMBEDDING_MODEL` alone says which model is served. Chunks of another one cannot be compared with its questions; so a
worker embeds their texts again, keeps the new vectors beside the old ones, and switches a tenant when it has them all:
one transaction, one new sequence. Until then its old chunks stay as they are. Nothing is lost by stopping anywhere:
what is kept is not done twice, and who stops is followed by another replica when its lease ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from contracts.errors import AtriumError, NotFoundError, OverloadedError
from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from rag.domain.vectors import HalfMatrix, to_half
from rag.ports import Embedder

PORTION = 64
"""Texts that are embedded and kept at once: a second of one core, and what a crash costs at most."""

TENANTS_AT_ONCE = 100
"""That a look for work takes from the store."""

LEASE_S = 60.0
"""A replica that has not renewed its lease for so long has left the tenant to the others."""

LOOK_EVERY_S = 60.0
"""There is work once in a year; a look is one query."""

_logger = logging.getLogger("atrium.reembedding")


@dataclass(frozen=True, slots=True)
class BehindChunk:
    """`seq` is the write that brought it: the same id may come again with another text."""

    chunk_id: str
    seq: int
    text: str


@dataclass(frozen=True, slots=True)
class Behind:
    """Some chunks of a tenant, the one made at `born`, that have no vector of the model yet."""

    born: datetime
    chunks: Sequence[BehindChunk]


class ReembeddingStore(Protocol):
    """All methods raise DependencyDownError when the store is out of reach; those with a tenant, NotFoundError when it
    is gone, or another than the one made at `born` has its id."""

    async def tenants_behind(self, model: str, *, after: str, limit: int) -> list[TenantId]:
        """Tenants with live chunks of other models, by id, those behind `after`."""
        ...

    async def claim(self, tenant_id: TenantId, model: str, owner: str, *, seconds: float) -> bool:
        """Take the tenant for so long, or renew what `owner` has; False while somebody else has it."""
        ...

    async def behind(self, tenant_id: TenantId, model: str, *, limit: int) -> Behind:
        """Live chunks of other models for which nothing is kept yet, at most `limit`."""
        ...

    async def keep(
        self, tenant_id: TenantId, model: str, chunks: Sequence[BehindChunk], vectors: HalfMatrix, *, born: datetime
    ) -> None:
        """Beside the vectors that are searched. What was deleted or replaced meanwhile is left out. Can be repeated."""
        ...

    async def switch(self, tenant_id: TenantId, model: str, *, born: datetime) -> bool:
        """Under the tenant's row lock: if every live chunk of another model has its new vector, all of them take it,
        with one new sequence, and the old vectors go. False, and nothing changed, if one has not."""
        ...


class Reembedder:
    """`owner` names this replica."""

    def __init__(self, store: ReembeddingStore, embedder: Embedder, metrics: Metrics, *, owner: str) -> None:
        self._store = store
        self._embedder = embedder
        self._metrics = metrics
        self._owner = owner

    async def run(self) -> None:
        """For ever; cancel it at any moment."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> int:
        """Bring every tenant that is behind and free to the model that is served. Returns how many changed over.

        A tenant that fails is counted and left for the next look; the others go on.
        """
        switched, after = 0, ""
        while True:
            try:
                tenants = await self._store.tenants_behind(self._embedder.model, after=after, limit=TENANTS_AT_ONCE)
            except Exception as error:  # noqa: BLE001  the worker lives as long as the service
                self._report(error)
                return switched
            for tenant_id in tenants:
                switched += await self._change_over(tenant_id)
            if len(tenants) < TENANTS_AT_ONCE:
                return switched
            after = str(tenants[-1])

    async def _change_over(self, tenant_id: TenantId) -> bool:
        try:
            return await self.reembed(tenant_id)
        except NotFoundError:
            return False  # deleted meanwhile
        except Exception as error:  # noqa: BLE001  one tenant's chunks must not keep the others from their turn
            self._report(error, tenant_id)
        return False

    async def reembed(self, tenant_id: TenantId) -> bool:
        """True when the tenant has changed over; False when another replica has it.

        One portion after another, each behind whatever else of this tenant and in turn with other tenants.
        """
        model, done = self._embedder.model, 0
        while await self._store.claim(tenant_id, model, self._owner, seconds=LEASE_S):
            behind = await self._store.behind(tenant_id, model, limit=PORTION)
            if behind.chunks:
                vectors = await self._vectors(tenant_id, [chunk.text for chunk in behind.chunks])
                await self._store.keep(tenant_id, model, behind.chunks, vectors, born=behind.born)
                done += len(behind.chunks)
                self._metrics.count(names.CHUNKS_REEMBEDDED, len(behind.chunks), tenant=str(tenant_id))
            elif await self._store.switch(tenant_id, model, born=behind.born):
                log(_logger, logging.INFO, "a tenant changed over", tenant_id=str(tenant_id), model=model, chunks=done)
                return True
        return False

    async def _vectors(self, tenant_id: TenantId, texts: Sequence[str]) -> HalfMatrix:
        while True:
            try:
                return to_half(await self._embedder.embed(texts, tenant_id=tenant_id))
            except OverloadedError as error:  # uploads go first
                await asyncio.sleep(error.retry_after_s or 1.0)

    def _report(self, error: Exception, tenant_id: TenantId | None = None) -> None:
        reason = error.code if isinstance(error, AtriumError) else "unexpected"
        self._metrics.count(names.HOUSEKEEPING_FAILURE, job="reembedding", reason=reason)
        said, fields = "chunks could not be embedded again", {"tenant_id": str(tenant_id or ""), "reason": reason}
        if isinstance(error, AtriumError):
            log(_logger, logging.WARNING, said, **fields)
        else:
            _logger.error(said, exc_info=error, extra={"fields": fields})
