"""The chunk log: what a tenant has, and the truth of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

from contracts.retrieval import DocumentInfo, StoredPassage
from contracts.tenant import TenantId
from rag.domain.corpus import Chunk, ChunkTail, CorpusVersion, Document, Scanned, Standing
from rag.domain.query import ChunkRows
from rag.domain.vectors import HalfMatrix

Take = Callable[[ChunkRows], Awaitable[None]]
"""Is given some chunks after the others."""


class ChunkStore(Protocol):
    """Documents and the chunk log. All methods raise DependencyDownError when the store is out of reach.

    With `born` they are about the tenant that was made at that moment, and raise NotFoundError where it has not the id
    any more. `scan` tells whose corpus it found: it is shared by all who wait for it.
    """

    async def version(self, tenant_id: TenantId, *, born: datetime | None = None) -> CorpusVersion:
        """The last committed version. Raises NotFoundError for an unknown tenant."""
        ...

    async def scan(self, tenant_id: TenantId, model: str, dimension: int, take: Take, *, portion: int) -> Scanned:
        """Every chunk embedded with `model`, in the order of document and place, all of one moment: `portion` of them
        or some more at a time, and the next are read once these are taken. Raises NotFoundError, and what `take`
        raises."""
        ...

    async def tail(self, tenant_id: TenantId, after: CorpusVersion, model: str, dimension: int) -> ChunkTail | None:
        """What happened since `after`, as of one moment. None where the log does not reach back so far, or where it is
        another tenant's: then only `scan` helps. Raises NotFoundError."""
        ...

    async def standing(
        self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None
    ) -> Standing | None: ...

    async def put(
        self,
        tenant_id: TenantId,
        document: Document,
        chunks: Sequence[Chunk],
        vectors: HalfMatrix,
        model: str,
        *,
        born: datetime | None = None,
    ) -> int:
        """Keep a document, in the place of one with the same id, and return its sequence: all committed, or nothing.

        `vectors` has one row a chunk; the chunks' ordinals count from 0. Raises NotFoundError for an unknown tenant.
        """
        ...

    async def delete(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> bool:
        """False if there is no such document; then the sequence stays. Raises NotFoundError for an unknown tenant."""
        ...

    async def document(
        self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None
    ) -> DocumentInfo | None: ...

    async def passages(
        self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None
    ) -> list[StoredPassage]:
        """A document's chunks in order; none for an unknown one."""
        ...

    async def documents(
        self, tenant_id: TenantId, *, after: str, limit: int, born: datetime | None = None
    ) -> list[DocumentInfo]:
        """In the order of their ids, those behind `after` (`""`: from the first)."""
        ...
