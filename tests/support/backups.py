"""A data directory with something of everything in it, and what two of them have in common."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import psycopg
from psycopg import sql
from sqlalchemy import text

from cli.backup.tables import shapes
from cli.local.alone import running_alone
from cli.local.data_dir import DataDir
from cli.local.postgres import Postgres
from cli.local.secrets import Secrets
from contracts.tenant import TenantId
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.domain.corpus import Chunk, Document
from router.service.audit_archive import AuditArchive
from stores.objects_folder import FolderObjects
from stores.postgres import Database
from support.conversations import fill_conversations
from support.tenants import ALICE, opened, postgres_stores
from support.usage import MAY_4, an_event
from tenancy.config import TenantConfig
from tenancy.keys import keyed
from tenancy.postgres_ledger import PostgresLedger

TENANTS = [TenantId("t-one"), TenantId("t-two")]
AWKWARD = "a tab\t, a line\n, a backslash \\N \\. , quotes '\" and \U0001f3ee"
WAITING = "job-0123456789abcdef"


@contextmanager
def database_of(data_dir: DataDir) -> Iterator[Postgres]:
    server = Postgres(data_dir.postgres)
    data_dir.create()
    with running_alone(server, data_dir.logs / "postgres.log", data_dir.instance):
        yield server


def fill(data_dir: DataDir) -> None:
    """As a stack would have left it."""
    with database_of(data_dir) as server:
        server.migrate()
        secrets = Secrets.load_or_create(data_dir.secrets, {})
        asyncio.run(_fill(server.url, data_dir, secrets.platform_key))


async def _fill(url: str, data_dir: DataDir, platform_key: str) -> None:
    objects = FolderObjects(data_dir.objects)
    async with opened(url) as database:
        stores = postgres_stores(database)
        await stores.keys.add_first_platform_key(keyed(platform_key), "bootstrap")
        for number, tenant in enumerate(TENANTS):
            await stores.add(tenant)
            await stores.tenants.write_config(tenant, TenantConfig(display_name=AWKWARD), by=ALICE)
            await _upload(database, tenant)
            await fill_conversations(database, tenant, number)
            await PostgresLedger(database).write([an_event(tenant), an_event(tenant)])
            await objects.put(tenant, "rag/m/0001/manifest.json", b"a view, made again")
        await AuditArchive(stores.audit, stores.tenants, objects, now=lambda: MAY_4).run()
        await _wait_for_a_job(database, objects)
    await objects.close()


async def _upload(database: Database, tenant: TenantId) -> None:
    vectors = np.random.default_rng(1).random((2, 4)).astype(np.float16)
    document = Document("d", AWKWARD, "a.txt", {"note": AWKWARD}, b"h" * 32, 9)
    chunks = [Chunk("c0", 0, AWKWARD, 0, 4), Chunk("c1", 1, "", 4, 9)]
    await PostgresChunkStore(database).put(tenant, document, chunks, vectors, "model")


async def _wait_for_a_job(database: Database, objects: FolderObjects) -> None:
    """A large upload that nobody has taken on, one whose file is coming, and a file that is nobody's."""
    await objects.put(TENANTS[0], f"uploads/{WAITING}", b"the file")
    await objects.put(TENANTS[0], "uploads/job-nobodys", b"left by a killed process")
    add = text(
        "INSERT INTO ingest_jobs"
        " (tenant_id, document_id, job_id, title, filename, metadata, content_hash, bytes, state)"
        " VALUES (:tenant, :document, :job, 't', 'f', '{}', '', 8, :state)"
    )
    async with database.tenant(TENANTS[0]) as connection:
        for document, job, state in (("big", WAITING, "queued"), ("coming", "job-coming", "receiving")):
            values = {"tenant": str(TENANTS[0]), "document": document, "job": job, "state": state}
            await connection.execute(add, values)


def sums(server: Postgres) -> dict[str, str]:
    """SHA-256 over each table's rows, and what every sequence will say next."""
    found = {}
    with psycopg.connect(server.owner_url) as connection:
        for shape in shapes(connection):
            rows = connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(shape.name))).fetchall()
            lines = sorted(str(row[0]) for row in rows)
            found[shape.name] = f"{len(lines)} {hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"
        for name, last in connection.execute("SELECT sequencename, last_value FROM pg_sequences"):
            found[f"sequence {name}"] = str(last)
    return found


def files(folder: Path) -> dict[str, str]:
    """SHA-256 of each file, by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rewritten(source: Path, target: Path, changes: dict[str, bytes | None]) -> Path:
    """The archive with members replaced, added, or, where None, taken out."""
    with ZipFile(source) as old, ZipFile(target, "w", ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in changes:
                new.writestr(name, old.read(name))
        for name, data in changes.items():
            if data is not None:
                new.writestr(name, data)
    return target
