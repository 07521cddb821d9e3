"""Ingestion jobs in PostgreSQL. Each method is one transaction that sees one tenant's rows only, but for `claim`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.exc import IntegrityError

from contracts.errors import NotFoundError, RateLimitedError
from contracts.retrieval import ChunkInfo, DocumentState
from contracts.tenant import TenantId
from rag.domain.corpus import Document
from rag.domain.jobs import Claim, Job, JobBusyError, JobState, Part, Ready
from stores.patience import bounded
from stores.postgres import CALL_S, STATEMENT_TIMEOUT_S, Database

MAX_WAITING = 1_000
MAX_WAITING_BYTES = 512 * 1024 * 1024
"""Of one tenant's files that wait: what it may make the others' database hold."""
MAX_FAILED = 1_000
"""Failed jobs of one tenant that are remembered: the oldest go first."""

_JOB = """
    SELECT j.job_id, j.document_id, j.title, j.filename, j.metadata, j.content_hash, j.bytes, j.state, j.chunks_done,
           j.chunks_total, j.error, j.created_at, d.chunks, d.seq, d.created_at AS first_at
      FROM ingest_jobs j LEFT JOIN documents d ON d.tenant_id = j.tenant_id AND d.document_id = j.document_id
     WHERE j.tenant_id = :tenant
"""
_ONE = text(f"{_JOB} AND j.document_id = :document")
_PAGE = text(f"""{_JOB} AND j.document_id COLLATE "C" > :after AND j.state = ANY (:states)
    ORDER BY j.document_id COLLATE "C" LIMIT :limit""")
_HOLD = text("""
    SELECT job_id, state, lease_until > clock_timestamp() AS held FROM ingest_jobs
     WHERE tenant_id = :tenant AND document_id = :document FOR UPDATE
""")
_WAITING = text("""
    SELECT count(*) AS jobs, coalesce(sum(bytes), 0) AS bytes FROM ingest_jobs
     WHERE tenant_id = :tenant AND state <> 'failed' AND document_id <> :document
""")
_REMOVE = text("DELETE FROM ingest_jobs WHERE tenant_id = :tenant AND document_id = :document")
_INSERT = text("""
    INSERT INTO ingest_jobs
      (tenant_id, document_id, job_id, title, filename, metadata, content_hash, bytes, file, state, lease_until)
    VALUES (:tenant, :document, :job, :title, :filename, CAST(:metadata AS jsonb), :content_hash, :bytes, :file, :state,
            clock_timestamp() + :lease)
""")
_OURS = "WHERE tenant_id = :tenant AND document_id = :document AND job_id = :job"
_HELD = (
    "WHERE tenant_id = :tenant AND document_id = :document AND job_id = :job"
    " AND lease_owner = :owner AND state IN ('processing', 'committing')"
)
_ACTIVE = "EXISTS (SELECT FROM tenants t WHERE t.tenant_id = :tenant AND t.state = 'active')"
_ARRIVED = text(f"UPDATE ingest_jobs SET state = 'queued', lease_until = NULL {_OURS} AND state = 'receiving'")
_CLAIM = text("SELECT tenant_id, document_id, job_id, born, attempts FROM claim_ingest_job(:owner, :lease, :served)")
_TAKE = text(f"SELECT document_id, title, filename, metadata, content_hash, bytes, file FROM ingest_jobs {_HELD}")
_RENEW = text(f"""
    UPDATE ingest_jobs SET lease_until = greatest(lease_until, clock_timestamp() + :lease),
           chunks_done = :done, chunks_total = :total
    {_HELD} AND {_ACTIVE}
""")
_COMMIT = text(f"""
    UPDATE ingest_jobs SET state = 'committing', lease_until = clock_timestamp() + :lease {_HELD} AND {_ACTIVE}
""")
_FINISH = text(f"DELETE FROM ingest_jobs {_HELD}")
_FAIL = text(f"""
    UPDATE ingest_jobs SET state = 'failed', error = :error, file = NULL, lease_owner = NULL, lease_until = NULL {_HELD}
""")
_FORGET = text("""
    DELETE FROM ingest_jobs WHERE tenant_id = :tenant AND document_id IN (
      SELECT document_id FROM ingest_jobs WHERE tenant_id = :tenant AND state = 'failed'
       ORDER BY created_at DESC OFFSET :most)
""")
_RELEASE = text(f"""
    UPDATE ingest_jobs SET state = 'queued', lease_owner = NULL, lease_until = NULL, attempts = attempts - 1 {_HELD}
""")
_PART = text(f"""
    INSERT INTO ingest_parts (tenant_id, document_id, job_id, first_chunk, texts_hash, vectors)
    SELECT tenant_id, document_id, job_id, :first, :hash, :vectors FROM ingest_jobs {_HELD}
    ON CONFLICT (tenant_id, document_id, job_id, first_chunk) DO UPDATE
      SET texts_hash = excluded.texts_hash, vectors = excluded.vectors
""")
_PARTS = text(f"SELECT first_chunk, texts_hash, vectors FROM ingest_parts {_OURS}")
_DROP_PARTS = text("DELETE FROM ingest_parts WHERE tenant_id = :tenant AND document_id = :document")
_OPEN = text("SELECT job_id FROM ingest_jobs WHERE tenant_id = :tenant AND state <> 'failed'")
_CHUNKS = text("""
    SELECT chunk_id, ordinal, heading, char_start, char_end, body FROM chunks
     WHERE tenant_id = :tenant AND document_id = :document AND ordinal > :after ORDER BY ordinal LIMIT :limit
""")
_RECEIVED_WITHIN = timedelta(minutes=10)
_STATES: dict[DocumentState | None, list[str]] = {
    "queued": [JobState.RECEIVING, JobState.QUEUED],
    "processing": [JobState.PROCESSING, JobState.COMMITTING],
    "failed": [JobState.FAILED],
    "ready": [],
    None: list(JobState),
}


class PostgresJobStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    @bounded(STATEMENT_TIMEOUT_S, "postgres")
    async def enqueue(self, tenant_id: TenantId, job: Job, file: bytes | None, *, born: datetime | None = None) -> Job:
        key = {"tenant": str(tenant_id), "document": job.document.document_id}
        try:
            async with self._database.tenant(tenant_id, born=born) as connection:
                held = (await connection.execute(_HOLD, key)).one_or_none()
                if held is not None:
                    _refuse_busy(held)
                    standing = _job((await connection.execute(_ONE, key)).one())
                    if standing.state is not JobState.FAILED and standing.document == job.document:
                        return standing
                _check_room((await connection.execute(_WAITING, key)).one(), job.document.size_bytes)
                await connection.execute(_REMOVE, key)
                await connection.execute(_INSERT, {**key, **_values(job), "file": file, "lease": _RECEIVED_WITHIN})
                return _job((await connection.execute(_ONE, key)).one())
        except IntegrityError as error:
            if "foreign key" in str(error.orig):
                raise NotFoundError("there is no such tenant") from error
            raise JobBusyError from error  # two uploads of one document at once: the other came first

    @bounded(CALL_S, "postgres")
    async def arrived(self, tenant_id: TenantId, job: Job) -> bool:
        key = {"tenant": str(tenant_id), "document": job.document.document_id, "job": job.job_id}
        async with self._database.tenant(tenant_id) as connection:
            return (await connection.execute(_ARRIVED, key)).rowcount > 0

    @bounded(CALL_S, "postgres")
    async def claim(self, owner: str, lease: timedelta, served: Sequence[TenantId]) -> Claim | None:
        asked = {"owner": owner, "lease": lease, "served": [str(tenant_id) for tenant_id in served]}
        async with self._database.no_tenant() as connection:
            row = (await connection.execute(_CLAIM, asked)).one_or_none()
        if row is None:
            return None
        return Claim(TenantId(row.tenant_id), row.document_id, row.job_id, row.born, owner, row.attempts)

    @bounded(STATEMENT_TIMEOUT_S, "postgres")
    async def take(self, claim: Claim) -> tuple[Document, bytes | None] | None:
        async with self._database.tenant(claim.tenant_id) as connection:
            row = (await connection.execute(_TAKE, _key(claim))).one_or_none()
        return None if row is None else (_document(row), None if row.file is None else bytes(row.file))

    @bounded(CALL_S, "postgres")
    async def renew(self, claim: Claim, lease: timedelta, done: int, total: int | None) -> bool:
        said = {**_key(claim), "lease": lease, "done": done, "total": total}
        async with self._database.tenant(claim.tenant_id) as connection:
            return (await connection.execute(_RENEW, said)).rowcount > 0

    @bounded(CALL_S, "postgres")
    async def keep_part(self, claim: Claim, part: Part) -> None:
        said = {**_key(claim), "first": part.first, "hash": part.texts_hash, "vectors": part.vectors}
        async with self._database.tenant(claim.tenant_id) as connection:
            await connection.execute(_PART, said)

    @bounded(STATEMENT_TIMEOUT_S, "postgres")
    async def parts(self, claim: Claim) -> Sequence[Part]:
        async with self._database.tenant(claim.tenant_id) as connection:
            found = await connection.execute(_PARTS, _key(claim))
            return [Part(row.first_chunk, bytes(row.texts_hash), bytes(row.vectors)) for row in found]

    @bounded(CALL_S, "postgres")
    async def begin_commit(self, claim: Claim, lease: timedelta) -> bool:
        async with self._database.tenant(claim.tenant_id) as connection:
            return (await connection.execute(_COMMIT, {**_key(claim), "lease": lease})).rowcount > 0

    @bounded(CALL_S, "postgres")
    async def finish(self, claim: Claim) -> None:
        async with self._database.tenant(claim.tenant_id) as connection:
            await connection.execute(_FINISH, _key(claim))

    @bounded(CALL_S, "postgres")
    async def fail(self, claim: Claim, reason: str) -> None:
        key = _key(claim)
        async with self._database.tenant(claim.tenant_id) as connection:
            if (await connection.execute(_FAIL, {**key, "error": reason})).rowcount:
                await connection.execute(_DROP_PARTS, key)
                await connection.execute(_FORGET, {**key, "most": MAX_FAILED})

    @bounded(CALL_S, "postgres")
    async def release(self, claim: Claim) -> None:
        async with self._database.tenant(claim.tenant_id) as connection:
            await connection.execute(_RELEASE, _key(claim))

    @bounded(CALL_S, "postgres")
    async def withdraw(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> str | None:
        key = {"tenant": str(tenant_id), "document": document_id}
        async with self._database.tenant(tenant_id, born=born) as connection:
            held = (await connection.execute(_HOLD, key)).one_or_none()
            if held is None:
                return None
            _refuse_busy(held)
            await connection.execute(_REMOVE, key)
            return str(held.job_id)

    @bounded(CALL_S, "postgres")
    async def job(self, tenant_id: TenantId, document_id: str, *, born: datetime | None = None) -> Job | None:
        key = {"tenant": str(tenant_id), "document": document_id}
        async with self._database.tenant(tenant_id, born=born) as connection:
            row = (await connection.execute(_ONE, key)).one_or_none()
        return _job(row) if row else None

    @bounded(CALL_S, "postgres")
    async def open_jobs(self, tenant_id: TenantId) -> frozenset[str]:
        async with self._database.tenant(tenant_id) as connection:
            return frozenset(row.job_id for row in await connection.execute(_OPEN, {"tenant": str(tenant_id)}))

    @bounded(CALL_S, "postgres")
    async def jobs(
        self, tenant_id: TenantId, *, after: str, limit: int, state: DocumentState | None, born: datetime | None = None
    ) -> Sequence[Job]:
        page = {"tenant": str(tenant_id), "after": after, "limit": limit, "states": _STATES[state]}
        async with self._database.tenant(tenant_id, born=born) as connection:
            return [_job(row) for row in await connection.execute(_PAGE, page)]

    @bounded(CALL_S, "postgres")
    async def chunks(
        self, tenant_id: TenantId, document_id: str, *, after: int, limit: int, born: datetime | None = None
    ) -> Sequence[ChunkInfo]:
        page = {"tenant": str(tenant_id), "document": document_id, "after": after, "limit": limit}
        async with self._database.tenant(tenant_id, born=born) as connection:
            return [_chunk(row) for row in await connection.execute(_CHUNKS, page)]


def _refuse_busy(held: Row[Any]) -> None:
    if held.state == JobState.COMMITTING and held.held:
        raise JobBusyError


def _check_room(waiting: Row[Any], size: int) -> None:
    if waiting.jobs >= MAX_WAITING or waiting.bytes + size > MAX_WAITING_BYTES:
        raise RateLimitedError(
            "too many of the tenant's documents wait to be processed",
            details={"limit": "waiting_documents"},
            retry_after_s=30,
        )


def _key(claim: Claim) -> dict[str, Any]:
    return {
        "tenant": str(claim.tenant_id),
        "document": claim.document_id,
        "job": claim.job_id,
        "owner": claim.owner,
    }


def _values(job: Job) -> dict[str, Any]:
    document = job.document
    return {
        "job": job.job_id,
        "title": document.title,
        "filename": document.filename,
        "metadata": json.dumps(document.metadata),  # not orjson: it knows no integer beyond 64 bits
        "content_hash": document.content_hash,
        "bytes": document.size_bytes,
        "state": str(job.state),
    }


def _document(row: Row[Any]) -> Document:
    return Document(row.document_id, row.title, row.filename, row.metadata, bytes(row.content_hash), row.bytes)


def _job(row: Row[Any]) -> Job:
    ready = Ready(row.chunks, row.seq, row.first_at) if row.seq is not None else None
    return Job(
        row.job_id,
        _document(row),
        JobState(row.state),
        row.chunks_done,
        row.chunks_total,
        row.error,
        row.created_at,
        ready,
    )


def _chunk(row: Row[Any]) -> ChunkInfo:
    return ChunkInfo(
        chunk_id=row.chunk_id,
        ordinal=row.ordinal,
        heading=row.heading,
        start=row.char_start,
        end=row.char_end,
        text=row.body,
    )
