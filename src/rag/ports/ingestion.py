"""Large uploads: how a file becomes text, and where those lie that are not documents yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from contracts.retrieval import ChunkInfo, DocumentState
from contracts.tenant import TenantId
from rag.domain.corpus import Document
from rag.domain.extracted import Extracted
from rag.domain.jobs import Claim, Job, Part


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
        """The job whose turn it is, of whichever tenant that is not suspended: first those not in `served`, then the
        one served longest ago (`served` ends with the latest). It is then PROCESSING."""
        ...

    async def take(self, claim: Claim) -> tuple[Document, bytes | None] | None:
        """The document and its file, if the store has it."""
        ...

    async def renew(self, claim: Claim, lease: timedelta, done: int, total: int | None) -> bool:
        """Hold it longer, and tell how far it is. False: it is not ours any more, or its tenant is suspended."""
        ...

    async def keep_part(self, claim: Claim, part: Part) -> None: ...

    async def parts(self, claim: Claim) -> Sequence[Part]: ...

    async def begin_commit(self, claim: Claim, lease: timedelta) -> bool:
        """From here on nobody withdraws it while the lease holds. False: as from `renew`."""
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

    async def open_jobs(self, tenant_id: TenantId) -> frozenset[str]:
        """The ids of the tenant's jobs that may still need their file."""
        ...

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
