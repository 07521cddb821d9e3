"""What the service's core needs of the outside: an embedding model, the chunk log, and an index over vectors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from contracts.retrieval import ChunkInfo, DocumentInfo, DocumentState, StoredPassage
from contracts.tenant import TenantId
from rag.domain.corpus import Chunk, Corpus, CorpusVersion, Document, Standing
from rag.domain.extracted import Extracted
from rag.domain.jobs import Claim, Job, Part
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

    async def embed(self, texts: Sequence[str]) -> Matrix:
        """One L2-normalised row a text. Raises OverloadedError when too many texts wait already.

        Cancelling stops the work on texts not yet begun.
        """
        ...

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, the model's own marks left out. Blocking; safe in any thread."""
        ...


class Extractor(Protocol):
    async def extract(self, filename: str, content: bytes) -> Extracted:
        """Raises InvalidRequestError or BodyTooLargeError with the reason for a file that is refused, OverloadedError
        when too many wait. Cancelling stops the work."""
        ...


class JobStore(Protocol):
    """Jobs, their files where there is no object store, and their finished parts.

    All methods raise DependencyDownError when the store is out of reach. Those with a Claim change nothing once the
    job is another's, or gone.
    """

    async def enqueue(self, tenant_id: TenantId, job: Job, file: bytes | None, *, born: datetime | None = None) -> Job:
        """Keep a job, in the place of one for the same document; or the one that stands, for the same upload again.

        Raises RateLimitedError when too much of the tenant waits, JobBusyError while the document is committed,
        NotFoundError.
        """
        ...

    async def arrived(self, tenant_id: TenantId, job: Job) -> bool:
        """The file of a job that was RECEIVING is there. False where the job is not any more."""
        ...

    async def claim(self, owner: str, lease: timedelta, served: Sequence[TenantId]) -> Claim | None:
        """The job whose turn it is, of whichever tenant: first those not in `served`, then the one served longest ago
        (`served` ends with the latest). It is then PROCESSING."""
        ...

    async def take(self, claim: Claim) -> tuple[Document, bytes | None] | None:
        """The document and its file, if the store has it."""
        ...

    async def renew(self, claim: Claim, lease: timedelta, done: int, total: int | None) -> bool:
        """Hold it longer, and tell how far it is. False: it is not ours any more."""
        ...

    async def keep_part(self, claim: Claim, part: Part) -> None: ...

    async def parts(self, claim: Claim) -> Sequence[Part]: ...

    async def begin_commit(self, claim: Claim, lease: timedelta) -> bool:
        """From here on nobody withdraws it while the lease holds. False: it is not ours any more."""
        ...

    async def finish(self, claim: Claim) -> None:
        """The document is committed: the job goes."""
        ...

    async def fail(self, claim: Claim, reason: str) -> None: ...

    async def release(self, claim: Claim) -> None:
        """Queued again, as if it had not been claimed."""
        ...

    async def withdraw(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> str | None:
        """Remove the document's job, whatever its state; returns its id. Raises JobBusyError while it is committed."""
        ...

    async def job(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> Job | None: ...

    async def jobs(
        self, tenant_id: TenantId, *, after: str, limit: int, state: DocumentState | None, born: datetime | None = None
    ) -> Sequence[Job]:
        """In the order of document ids, those behind `after`; of one state, or of all."""
        ...

    async def chunks(
        self, tenant_id: TenantId, document_id: str, *, after: int, limit: int, born: datetime | None = None
    ) -> Sequence[ChunkInfo]:
        """Of a committed document, those with a greater ordinal than `after`, in order."""
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
