"""Started by `tests/faults`: a replica that takes uploads, works on jobs and withdraws, and kills itself at a step.

As `killed_writer`, whose steps it counts: before a statement of SQL or a commit, and around calls of the object store.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from sqlalchemy import event

from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from rag import job_runner
from rag.adapters import postgres_jobs
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.adapters.postgres_jobs import PostgresJobStore
from rag.domain.corpus import Document
from rag.ingestion.pipeline import Pipeline
from rag.job_runner import JobRunner
from rag.ports import ChunkStore
from rag.uploads import Uploads
from stores.objects import Objects
from stores.postgres import Database
from support.ingesting import InlineExtractor
from support.killed_writer import MortalObjects, Steps, forked
from support.retrieval import EMBEDDER

SCENARIO = ("upload a", "work", "upload b", "upload a", "withdraw b", "upload c", "work", "work")
WORDS = 900
"""Of a document: several chunks, in several parts."""


def end_leases(set_: Callable[[object, str, object], None] = setattr) -> None:
    """Who comes after a killed process does not wait for its leases. A test passes `monkeypatch.setattr`: to import
    this changes nothing."""
    for name in ("LEASE", "COMMIT_LEASE"):
        set_(job_runner, name, timedelta(0))
    set_(job_runner, "PART_CHUNKS", 2)
    set_(postgres_jobs, "_RECEIVED_WITHIN", timedelta(0))


def text_of(document: str, number: int) -> bytes:
    return f"{document}{number} ".encode() * WORDS


class Worker:
    """What takes uploads and works on them, over these stores."""

    def __init__(self, database: Database, objects: Objects) -> None:
        self.store: ChunkStore = PostgresChunkStore(database)
        self.jobs = PostgresJobStore(database)
        self.uploads = Uploads(self.jobs, objects)
        pipeline = Pipeline(EMBEDDER, InlineExtractor())
        self.runner = JobRunner(self.jobs, self.uploads, self.store, pipeline, NullMetrics())

    async def upload(self, tenant_id: TenantId, name: str, number: int) -> None:
        content = text_of(name, number)
        document = Document(name, "T", f"{name}.txt", {}, hashlib.sha256(content).digest(), len(content))
        await self.uploads.enqueue(tenant_id, document, content)

    async def withdraw(self, tenant_id: TenantId, name: str) -> None:
        job_id = await self.jobs.withdraw(tenant_id, name)
        await self.store.delete(tenant_id, name)
        if job_id is not None:
            await self.uploads.discard(tenant_id, job_id)


async def live(database_url: str, tenant: TenantId, folder: Path, fatal: int) -> None:
    step = Steps(fatal)
    database = Database(database_url)
    event.listen(database._engine.sync_engine, "before_cursor_execute", step)
    event.listen(database._engine.sync_engine, "commit", step)
    objects = MortalObjects(folder / "objects", step)
    worker = Worker(database, objects)
    for number, line in enumerate(SCENARIO):
        deed, _, name = line.partition(" ")
        if deed == "upload":
            await worker.upload(tenant, name, number)
        elif deed == "withdraw":
            await worker.withdraw(tenant, name)
        else:
            await worker.runner.run_one()
        os.write(1, f"done {number}\n".encode())
    await objects.close()
    await database.close()


if __name__ == "__main__":
    end_leases()
    forked(live, *sys.argv[1:])
