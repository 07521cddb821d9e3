"""The RAG service's store: a durable write, the way back of an evicted tenant, space after many writes, a cold start.

    PYTHONPATH=src:tests python -m benchmarks.rag_store [TENANTS]

A PostgreSQL server of its own, durable as in production; objects in a folder and in moto's S3, a Python program that
answers one request at a time. Chunks of 1,000 characters with random vectors of 384 dimensions: nothing is
embedded here. TENANTS (1,000 unless said otherwise) of 200 chunks each are made by SQL inside the database.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

import boto3.session
import numpy as np
import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.ledger import durable_postgres
from cli.local.postgres import Postgres
from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from rag.adapters.index_builder import HybridIndexBuilder
from rag.adapters.object_snapshots import ObjectSnapshots
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.adapters.postgres_marks import PostgresMarks
from rag.adapters.snapshot_disk import SnapshotDisk
from rag.compactor import Compactor, Thresholds
from rag.domain.corpus import Chunk, Document
from rag.domain.query import IndexQuery
from rag.domain.vectors import HalfMatrix, Matrix, to_half
from rag.snapshots import Snapshots
from rag.tenant_retriever import TenantRetriever
from rag.view_loader import ViewLoader
from rag.views import ViewCache
from servicekit.tokens import utc_now
from stores.objects import Objects, open_objects
from stores.postgres import Database
from support.s3 import running_s3
from support.tenants import ALICE, fresh_tenant, postgres_stores
from tenancy.postgres_deletions import PostgresDeletionStore

MODEL, DIMENSION, CHUNKS = "bench", 384, 200
WRITES = 5_000
ROUNDS = 40
GIB = 1 << 30

_FILL = """
INSERT INTO tenants (tenant_id, tier, config_version, corpus_seq)
  SELECT 'b' || n, 'basic', 1, 1 FROM generate_series(%(from)s::integer, %(to)s::integer) n;
"""
_DOCUMENTS = """
INSERT INTO documents (tenant_id, document_id, title, filename, metadata, content_hash, bytes, chunks, seq)
  SELECT 'b' || n, 'd', 'Title', 'a.txt', '{}', '\\x00', 200000, 200, 1
  FROM generate_series(%(from)s::integer, %(to)s::integer) n;
"""
_CHUNKS = """
INSERT INTO chunks (tenant_id, chunk_id, document_id, ordinal, seq, body, char_start, char_end, embedding, model)
  SELECT 'b' || n, 'chk-' || n || '-' || c, 'd', c, 1, repeat(md5(c::text || n), 31), c * 1000, c * 1000 + 992,
         decode(repeat(md5(n || '/' || c), 48), 'hex'), 'bench'
  FROM generate_series(%(from)s::integer, %(to)s::integer) n, generate_series(0, 199) c;
"""
_LIVE_BYTES = """
SELECT (SELECT coalesce(sum(pg_column_size(c.*)), 0) FROM chunks c WHERE tenant_id = %(tenant)s)
     + (SELECT coalesce(sum(pg_column_size(d.*)), 0) FROM documents d WHERE tenant_id = %(tenant)s)
"""
_DEAD_BYTES = """
SELECT (SELECT coalesce(sum(pg_column_size(c.*)), 0) FROM chunk_tombstones c WHERE tenant_id = %(tenant)s)
     + (SELECT coalesce(sum(pg_column_size(s.*)), 0) FROM snapshots s WHERE tenant_id = %(tenant)s)
"""

_console = Console()


class Replica:
    """What main makes, without HTTP and without a model."""

    def __init__(self, database: Database, objects: Objects | None, disk: Path) -> None:
        metrics = NullMetrics()
        kept = ObjectSnapshots(objects, SnapshotDisk(disk, 10 * GIB), metrics, now=utc_now) if objects else None
        builder = HybridIndexBuilder()
        self.store = PostgresChunkStore(database)
        marks = PostgresMarks(database)
        snapshots = Snapshots(marks, kept, builder, metrics, model=MODEL, dimension=DIMENSION)
        loader = ViewLoader(self.store, builder, snapshots, metrics, model=MODEL, dimension=DIMENSION)
        self.cache = ViewCache(GIB, metrics)
        self.retriever = TenantRetriever(loader, self.cache, metrics)
        thresholds = Thresholds(writes=100, age=timedelta(0))
        self.compactor = Compactor(loader, self.retriever, metrics, thresholds, model=MODEL)

    async def search(self, tenant: TenantId, *, k: int = 5) -> int:
        query = IndexQuery(unit(1).astype(np.float32)[0], "", k, mode="vector")
        return len(await self.retriever.search(tenant, query))


def unit(rows: int) -> HalfMatrix:
    wide = np.random.default_rng().standard_normal((rows, DIMENSION)).astype(np.float32)
    scaled: Matrix = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return to_half(scaled)


async def put(store: PostgresChunkStore, tenant: TenantId, document_id: str, count: int = 1) -> None:
    """`count` chunks of text that does not compress to nothing."""
    chunks = [Chunk(f"chk-{secrets.token_hex(12)}", n, secrets.token_urlsafe(750), 0, 1_000) for n in range(count)]
    document = Document(document_id, "Title", "a.txt", {}, b"h" * 32, 1_000 * count)
    await store.put(tenant, document, chunks, unit(count), MODEL)


class Spent(NamedTuple):
    """Milliseconds by the clock, and of CPU in this process, its threads included."""

    wall: float
    cpu: float


async def timed(work: Callable[[], Awaitable[object]]) -> Spent:
    began, cpu = time.perf_counter(), time.process_time()
    await work()
    return Spent((time.perf_counter() - began) * 1e3, (time.process_time() - cpu) * 1e3)


def shown(found: list[Spent]) -> tuple[str, str, str]:
    wall = sorted(one.wall for one in found)
    fastest, median = wall[len(wall) // 10], statistics.median(wall)
    return f"{fastest:.1f} ms", f"{median:.1f} ms", f"{statistics.median(one.cpu for one in found):.1f} ms"


def new_tenant(server: Postgres, name: str) -> TenantId:
    with psycopg.connect(server.owner_url) as owner:
        statement = "INSERT INTO tenants (tenant_id, tier, config_version) VALUES (%s, 'basic', 1)"
        owner.execute(statement, (name,))
    return TenantId(name)


async def latencies(server: Postgres, database: Database, folder: Path, s3: Objects) -> Table:
    table = Table("what", "p10", "p50", "our CPU", title=f"A tenant of {CHUNKS} chunks, {ROUNDS} times")
    files = open_objects((folder / "latency-objects").as_uri())
    replica = Replica(database, files, folder / "latency")
    tenant = new_tenant(server, "latency")
    await put(replica.store, tenant, "d", CHUNKS)
    table.add_row("load: the whole log", *shown([await cold(replica, tenant) for _ in range(ROUNDS)]))
    await replica.compactor.compact(tenant)
    table.add_row("load: the disk", *shown([await cold(replica, tenant) for _ in range(ROUNDS)]))
    for name, objects in (("a folder as object store", files), ("S3 (moto)", s3)):
        other = new_tenant(server, f"latency-{secrets.token_hex(3)}")
        reader = Replica(database, objects, folder / "reader")
        await put(reader.store, other, "d", CHUNKS)
        assert await reader.compactor.compact(other)
        found = [await cold(reader, other, disk=folder / "reader") for _ in range(ROUNDS)]
        table.add_row(f"load: {name}, disk empty", *shown(found))
    await replica.search(tenant)
    table.add_row("search, loaded", *shown([await timed(lambda: replica.search(tenant)) for _ in range(ROUNDS)]))
    writes = [await timed(lambda: put(replica.store, tenant, secrets.token_hex(8))) for _ in range(5 * ROUNDS)]
    table.add_row("durable write of one chunk", *shown(writes))
    follows = []
    for _ in range(ROUNDS):
        await put(replica.store, tenant, secrets.token_hex(8))
        follows.append(await timed(lambda: replica.search(tenant)))
    table.add_row("search that reads one write first", *shown(follows))
    deletes = []
    for _ in range(ROUNDS):
        await put(replica.store, tenant, "gone")
        deletes.append(await timed(lambda: replica.store.delete(tenant, "gone")))
    table.add_row("durable deletion of one chunk", *shown(deletes))
    compactions = []
    for _ in range(ROUNDS // 4):
        await put(replica.store, tenant, "again")
        compactions.append(await timed(lambda: replica.compactor.compact(tenant)))
    table.add_row("snapshot of it, in the background", *shown(compactions))
    made, marked = await tenants_made_and_deleted(database)
    table.add_row("a tenant made, its key and audit log with it", *shown(made))
    table.add_row("a tenant's deletion acknowledged", *shown(marked))
    await replica.retriever.close()
    await files.close()
    return table


async def tenants_made_and_deleted(database: Database) -> tuple[list[Spent], list[Spent]]:
    """Until it is committed: from then on the one is there and the other is found no more."""
    stores, deletions = postgres_stores(database), PostgresDeletionStore(database)
    made, marked = [], []
    for _ in range(5 * ROUNDS):
        tenant = fresh_tenant()
        made.append(await timed(partial(stores.add, tenant)))
        marked.append(await timed(partial(deletions.begin, tenant, by=ALICE)))
    return made, marked


async def cold(replica: Replica, tenant: TenantId, *, disk: Path | None = None) -> Spent:
    """The first search after an eviction; with `disk`, which is emptied before."""
    replica.cache.drop(tenant)
    if disk is not None:
        await asyncio.to_thread(shutil.rmtree, disk / str(tenant), ignore_errors=True)
    return await timed(lambda: replica.search(tenant))


async def space(server: Postgres, database: Database, folder: Path) -> Table:
    table = Table(
        *("single writes", "living", "rows: all / living", "objects / living", "both / living rows"),
        title=f"Space after {WRITES:,} writes of one chunk, a look at what is due after each 100",
    )
    for documents in (WRITES, 100, 1):
        objects = open_objects((folder / f"space-{documents}").as_uri())
        replica = Replica(database, objects, folder / f"space-disk-{documents}")
        tenant = new_tenant(server, f"space-{documents}")
        for number in range(WRITES):
            await put(replica.store, tenant, f"d{number % documents}")
            if number % 100 == 99:
                await replica.compactor.turn()
        await replica.compactor.turn()
        with psycopg.connect(server.owner_url) as owner:
            live, dead = (owner.execute(ask, {"tenant": str(tenant)}).fetchone() for ask in (_LIVE_BYTES, _DEAD_BYTES))
        assert live is not None
        assert dead is not None
        stored = sum([len(await objects.get(tenant, key) or b"") for key in await objects.list(tenant)])
        alone = documents * (2 * DIMENSION + 1_000)
        table.add_row(
            f"to {documents:,} documents",
            f"{live[0] / 1e6:.2f} MB",
            f"{(live[0] + dead[0]) / live[0]:.2f}",
            f"{stored / alone:.2f}",
            f"{(live[0] + dead[0] + stored) / live[0]:.2f}",
        )
        await objects.close()
    return table


async def cold_start(server: Postgres, folder: Path, tenants: int) -> str:
    began = time.perf_counter()
    step = 500
    with psycopg.connect(server.owner_url, autocommit=True) as owner:
        for start in range(0, tenants, step):
            part = {"from": start, "to": min(start + step, tenants) - 1}
            for statement in (_FILL, _DOCUMENTS, _CHUNKS):
                owner.execute(statement.encode(), part)
        owner.execute("ANALYZE")
    filled = time.perf_counter() - began
    began = time.perf_counter()
    async with opened(server) as database:
        objects = open_objects((folder / "start").as_uri())
        replica = Replica(database, objects, folder / "start-disk")
        await database.check()
        ready = time.perf_counter() - began
        assert await replica.search(TenantId(f"b{tenants // 2}")) == 5
        first = time.perf_counter() - began
        due = await timed(lambda: PostgresMarks(database).due(
            MODEL, writes=100, age=timedelta(0), stored_from=64, limit=50))  # fmt: skip
        await objects.close()
    return (
        f"{tenants:,} tenants of {CHUNKS} chunks (made in {filled:.0f} s): stores opened and checked after"
        f" {ready * 1e3:.0f} ms, the first search answered after {first * 1e3:.0f} ms;"
        f" what is due is known in {due.wall:.0f} ms"
    )


@asynccontextmanager
async def opened(server: Postgres) -> AsyncIterator[Database]:
    database = Database(server.url)
    try:
        yield database
    finally:
        await database.close()


async def measure(server: Postgres, folder: Path, s3_url: str, tenants: int) -> None:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(opened(server))
        s3 = open_objects("s3://bench/x", endpoint_url=s3_url)
        stack.push_async_callback(s3.close)
        _console.print(await latencies(server, database, folder, s3))
        _console.print(await space(server, database, folder))
    _console.print(await cold_start(server, folder, tenants))


def main(tenants: int) -> None:
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_EC2_METADATA_DISABLED": "true"}
    os.environ.pop("AWS_CA_BUNDLE", None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        with durable_postgres(folder / "postgres") as server, running_s3(folder / "moto.log") as s3_url:
            session = boto3.session.Session(region_name="us-east-1")
            session.client("s3", endpoint_url=s3_url).create_bucket(Bucket="bench")
            asyncio.run(measure(server, folder, s3_url, tenants))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
