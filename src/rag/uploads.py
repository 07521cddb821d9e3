"""The files of jobs: in the object store where there is one, else in the job's row."""

from __future__ import annotations

import logging
import secrets
from datetime import UTC, datetime

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from observability.logging import log
from rag.domain.corpus import Document
from rag.domain.jobs import Job, JobState
from rag.ports import JobStore
from stores.objects import Objects

_FOLDER = "uploads"

_logger = logging.getLogger("atrium.ingestion")


class Uploads:
    """The row comes first: a file without a row would be nobody's, while a row whose file does not come is found when
    its lease ends."""

    def __init__(self, jobs: JobStore, objects: Objects | None) -> None:
        self._jobs = jobs
        self._objects = objects
        self._left: set[TenantId] = set()

    async def enqueue(
        self, tenant_id: TenantId, document: Document, content: bytes, *, born: datetime | None = None
    ) -> Job:
        """Durable on return: the job that this upload is, or one that stands for the same. Raises what
        `JobStore.enqueue` raises."""
        state = JobState.QUEUED if self._objects is None else JobState.RECEIVING
        offered = Job(f"job-{secrets.token_hex(8)}", document, state, 0, None, None, datetime.now(UTC))
        before = await self._jobs.job(tenant_id, document.document_id, born=born)
        job = await self._jobs.enqueue(tenant_id, offered, content if self._objects is None else None, born=born)
        if self._objects is None or job.job_id != offered.job_id:
            return job
        if before is not None:
            await self.discard(tenant_id, before.job_id)
        try:
            await self._objects.put(tenant_id, _key(job.job_id), content)
        except DependencyDownError:
            await self._jobs.withdraw(tenant_id, document.document_id)
            raise
        if not await self._jobs.arrived(tenant_id, job):  # withdrawn, or replaced, or its tenant is gone
            await self.discard(tenant_id, job.job_id)
        return job

    async def file(self, tenant_id: TenantId, job_id: str, in_row: bytes | None) -> bytes | None:
        """None where it never came."""
        if in_row is not None or self._objects is None:
            return in_row
        return await self._objects.get(tenant_id, _key(job_id))

    async def discard(self, tenant_id: TenantId, job_id: str) -> None:
        """Of a job that is over. What cannot be reached now goes with a sweep."""
        if self._objects is None:
            return
        try:
            await self._objects.delete(tenant_id, _key(job_id))
        except DependencyDownError:
            self._left.add(tenant_id)
            log(_logger, logging.WARNING, "the file of a finished job is swept later", tenant_id=str(tenant_id))

    async def sweep_left(self) -> None:
        """Sweep the tenants of whom something could not be discarded. Raises DependencyDownError: then again later."""
        for tenant_id in tuple(self._left):
            await self.sweep(tenant_id)
            self._left.discard(tenant_id)

    async def sweep(self, tenant_id: TenantId) -> None:
        """Remove the files that no job needs: what a process that was killed, or an object store that was away, has
        left. Raises DependencyDownError."""
        if self._objects is None:
            return
        # The files first: each of them had its row before it came, so one without a row is nobody's.
        found = await self._objects.list(tenant_id, f"{_FOLDER}/")
        needed = {_key(job_id) for job_id in await self._jobs.open_jobs(tenant_id)} if found else set()
        for key in found:
            if key not in needed:
                await self._objects.delete(tenant_id, key)


def _key(job_id: str) -> str:
    return f"{_FOLDER}/{job_id}"
