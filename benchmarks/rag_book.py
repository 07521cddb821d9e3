"""A write of one chunk while a book of the same tenant, or of another, is committed.

    PYTHONPATH=src:tests python -m benchmarks.rag_book [CHUNKS]

A PostgreSQL server of its own, durable as in production; chunks of 1,000 characters with random vectors of 384
dimensions. The book (15,000 chunks unless said otherwise) is kept twice: as a new document, and in the place of that.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.ledger import durable_postgres
from benchmarks.rag_store import MODEL, new_tenant, opened, put, unit
from cli.local.postgres import Postgres
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.domain.corpus import Chunk, Document

EVERY_S = 0.02


async def measure(server: Postgres, size: int) -> None:
    async with opened(server) as database:
        store = PostgresChunkStore(database)
        tenant, other = new_tenant(server, "own"), new_tenant(server, "other")
        for edition in ("a new book", "in its place"):
            chunks = [Chunk(f"{secrets.token_hex(12)}", n, secrets.token_urlsafe(750), 0, 1_000) for n in range(size)]
            book = Document("book", "Title", "a.txt", {}, secrets.token_bytes(32), 1_000 * size)
            vectors = unit(size)
            for beside in (tenant, other):
                await put(store, beside, "d")
            began = time.perf_counter()
            keeping = asyncio.create_task(store.put(tenant, book, chunks, vectors, MODEL))
            told: dict[str, list[float]] = {"own": [], "other": []}
            await asyncio.sleep(0.1)
            while not keeping.done():
                for name, beside in (("own", tenant), ("other", other)):
                    asked = time.perf_counter()
                    await put(store, beside, "d")
                    told[name].append(time.perf_counter() - asked)
                await asyncio.sleep(EVERY_S)
            await keeping
            print(f"{edition} of {size:,} chunks: {time.perf_counter() - began:.1f} s; {_told(told)}", flush=True)


def _told(told: dict[str, list[float]]) -> str:
    return "; ".join(
        f"{name} tenant's write p50 {_at(found, 0.5)} p95 {_at(found, 0.95)} max {_at(found, 1)} ms ({len(found)})"
        for name, found in told.items()
    )


def _at(seconds: list[float], share: float) -> str:
    found = sorted(seconds)
    return f"{found[min(len(found) - 1, int(len(found) * share))] * 1e3:.0f}"


def main(size: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        with durable_postgres(folder / "postgres") as server:
            asyncio.run(measure(server, size))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15_000)
