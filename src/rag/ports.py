"""What the service's core needs of the outside: an embedding model, the chunk log, and an index over vectors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from contracts.retrieval import DocumentInfo, StoredPassage
from contracts.tenant import TenantId
from rag.domain.corpus import Chunk, Corpus, CorpusVersion, Document, Standing
from rag.domain.ranking import Hit
from rag.domain.vectors import HalfMatrix, Matrix, Vector


class Embedder(Protocol):
    @property
    def model(self) -> str:
        """Names the model and its weights: vectors of two models are never compared."""
        ...

    @property
    def dimension(self) -> int: ...

    @property
    def max_tokens(self) -> int:
        """What the model reads of one text; the rest is cut off."""
        ...

    async def embed(self, texts: Sequence[str], *, tenant_id: TenantId) -> Matrix:
        """One L2-normalised row a text, not to be written to. Raises OverloadedError when too many texts wait already.

        Tenants who wait are served in turn. Cancelling stops the work on texts not yet begun.
        """
        ...

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, the model's own marks left out. Blocking; safe in any thread."""
        ...

    def forget(self, tenant_id: TenantId) -> None:
        """Drop what is remembered of the tenant's questions."""
        ...


class ChunkStore(Protocol):
    """Documents and the chunk log. All methods raise DependencyDownError when the store is out of reach.

    With `born` they are about the tenant that was made at that moment, and raise NotFoundError where it has not the id
    any more. `load` tells whose corpus it found: it is shared by all who wait for it.
    """

    async def version(self, tenant_id: TenantId, *, born: datetime | None = None) -> CorpusVersion:
        """The last committed version. Raises NotFoundError for an unknown tenant."""
        ...

    async def load(self, tenant_id: TenantId, model: str, dimension: int) -> Corpus:
        """Every chunk embedded with `model`, in the order of document and place. Raises NotFoundError."""
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

        `vectors` has one row a chunk. Raises NotFoundError for an unknown tenant.
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


class VectorIndex(Protocol):
    """An immutable index over one tenant's vectors. Safe to search from several threads."""

    def __len__(self) -> int: ...

    def search(self, query: Vector, k: int) -> list[Hit]:
        """The min(k, n) rows with the greatest dot product, exact, best first."""
        ...


class IndexFactory(Protocol):
    def __call__(self, vectors: HalfMatrix) -> VectorIndex: ...
