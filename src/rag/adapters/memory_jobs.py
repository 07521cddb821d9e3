"""Ingestion jobs in memory: for tests, and as the plainest reading of what a JobStore promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from contracts.errors import RateLimitedError
from contracts.retrieval import ChunkInfo, DocumentState
from contracts.tenant import TenantId
from rag.domain.corpus import Document
from rag.domain.jobs import Claim, Job, JobBusyError, JobState, Part, Ready
from rag.ports import ChunkStore


@dataclass
class _Kept:
    job: Job
    file: bytes | None
    born: datetime
    owner: str | None = None
    until: datetime | None = None
    attempts: int = 0
    parts: dict[int, Part] = field(default_factory=dict)


class MemoryJobStore:
    def __init__(
        self,
        chunks: ChunkStore,
        *,
        most_waiting: int = 1_000,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._chunks = chunks
        self._most_waiting = most_waiting
        self._now = now
        self._jobs: dict[tuple[TenantId, str], _Kept] = {}
        self.suspended: set[TenantId] = set()

    async def enqueue(self, tenant_id: TenantId, job: Job, file: bytes | None, *, born: datetime | None = None) -> Job:
        version = await self._chunks.version(tenant_id, born=born)
        key = (tenant_id, job.document.document_id)
        held = self._jobs.get(key)
        if held is not None:
            self._refuse_busy(held)
            if held.job.state is not JobState.FAILED and held.job.document == job.document:
                return await self._with_ready(tenant_id, held.job)
        waiting = [
            other
            for other, kept in self._jobs.items()
            if other[0] == tenant_id and other != key and kept.job.state is not JobState.FAILED
        ]
        if len(waiting) >= self._most_waiting:
            raise RateLimitedError("too many of the tenant's documents wait to be processed", retry_after_s=30)
        self._jobs[key] = _Kept(job, file, version.born, until=self._now() + timedelta(minutes=10))
        return await self._with_ready(tenant_id, job)

    async def arrived(self, tenant_id: TenantId, job: Job) -> bool:
        held = self._jobs.get((tenant_id, job.document.document_id))
        if held is None or held.job.job_id != job.job_id or held.job.state is not JobState.RECEIVING:
            return False
        held.job = replace(held.job, state=JobState.QUEUED)
        return True

    async def claim(self, owner: str, lease: timedelta, served: Sequence[TenantId]) -> Claim | None:
        def turn(key: tuple[TenantId, str]) -> tuple[int, datetime, str]:
            place = served.index(key[0]) if key[0] in served else -1
            return place, self._jobs[key].job.created_at, key[1]

        free = [key for key, kept in self._jobs.items() if self._is_free(kept) and key[0] not in self.suspended]
        if not free:
            return None
        tenant_id, document_id = min(free, key=turn)
        kept = self._jobs[tenant_id, document_id]
        kept.job = replace(kept.job, state=JobState.PROCESSING)
        kept.owner, kept.until, kept.attempts = owner, self._now() + lease, kept.attempts + 1
        return Claim(tenant_id, document_id, kept.job.job_id, kept.born, owner, kept.attempts)

    async def take(self, claim: Claim) -> tuple[Document, bytes | None] | None:
        held = self._held(claim)
        return (held.job.document, held.file) if held else None

    async def renew(self, claim: Claim, lease: timedelta, done: int, total: int | None) -> bool:
        held = self._held(claim, active=True)
        if held is not None:
            held.job = replace(held.job, done=done, total=total)
            held.until = self._now() + lease
        return held is not None

    async def keep_part(self, claim: Claim, part: Part) -> None:
        held = self._held(claim)
        if held is not None:
            held.parts[part.first] = part

    async def parts(self, claim: Claim) -> Sequence[Part]:
        held = self._held(claim)
        return list(held.parts.values()) if held else []

    async def begin_commit(self, claim: Claim, lease: timedelta) -> bool:
        held = self._held(claim, active=True)
        if held is not None:
            held.job, held.until = replace(held.job, state=JobState.COMMITTING), self._now() + lease
        return held is not None

    async def finish(self, claim: Claim) -> None:
        if self._held(claim):
            del self._jobs[claim.tenant_id, claim.document_id]

    async def fail(self, claim: Claim, reason: str) -> None:
        held = self._held(claim)
        if held is not None:
            held.job = replace(held.job, state=JobState.FAILED, error=reason)
            held.file, held.owner = None, None
            held.parts.clear()

    async def release(self, claim: Claim) -> None:
        held = self._held(claim)
        if held is not None:
            held.job = replace(held.job, state=JobState.QUEUED)
            held.owner, held.attempts = None, held.attempts - 1

    async def withdraw(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> str | None:
        await self._chunks.version(tenant_id, born=born)
        held = self._jobs.get((tenant_id, document_id))
        if held is None:
            return None
        self._refuse_busy(held)
        del self._jobs[tenant_id, document_id]
        return held.job.job_id

    async def job(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> Job | None:
        held = self._jobs.get((tenant_id, document_id))
        return await self._with_ready(tenant_id, held.job) if held else None

    async def open_jobs(self, tenant_id: TenantId) -> frozenset[str]:
        return frozenset(
            kept.job.job_id
            for key, kept in self._jobs.items()
            if key[0] == tenant_id and kept.job.state is not JobState.FAILED
        )

    async def jobs(
        self, tenant_id: TenantId, *, after: str, limit: int, state: DocumentState | None, born: datetime | None = None
    ) -> Sequence[Job]:
        found = sorted(
            (key[1], kept.job)
            for key, kept in self._jobs.items()
            if key[0] == tenant_id and key[1] > after and state in {None, kept.job.shown}
        )
        return [await self._with_ready(tenant_id, job) for _, job in found[:limit]]

    async def chunks(
        self, tenant_id: TenantId, document_id: str, *, after: int, limit: int, born: datetime | None = None
    ) -> Sequence[ChunkInfo]:
        passages = await self._chunks.passages(tenant_id, document_id, born=born)
        found = [
            ChunkInfo(**passage.model_dump(), ordinal=at, heading="")
            for at, passage in enumerate(passages)
            if at > after
        ]
        return found[:limit]

    def _held(self, claim: Claim, *, active: bool = False) -> _Kept | None:
        if active and claim.tenant_id in self.suspended:
            return None
        held = self._jobs.get((claim.tenant_id, claim.document_id))
        ours = held is not None and held.job.job_id == claim.job_id and held.owner == claim.owner
        return held if ours else None

    def _is_free(self, kept: _Kept) -> bool:
        if kept.job.state is JobState.FAILED:
            return False
        return kept.job.state is JobState.QUEUED or (kept.until is not None and kept.until < self._now())

    def _refuse_busy(self, held: _Kept) -> None:
        if held.job.state is JobState.COMMITTING and not self._is_free(held):
            raise JobBusyError

    async def _with_ready(self, tenant_id: TenantId, job: Job) -> Job:
        found = await self._chunks.document(tenant_id, job.document.document_id)
        return replace(job, ready=Ready(found.chunks, found.seq, found.created_at) if found else None)
