"""Memory of an index that is made of the whole log of one large tenant, and the time that it takes.

    PYTHONPATH=src:tests python -m benchmarks.rag_log [CHUNKS]

Chunks of 90 words with random vectors of 384 dimensions in a PostgreSQL server of its own; the index is made in a
process that does nothing else. What counts is anonymous memory at its peak, above what the process had before.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg

from benchmarks.ledger import durable_postgres
from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from rag.adapters.index_builder import HybridIndexBuilder
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.adapters.postgres_marks import PostgresMarks
from rag.snapshots import Snapshots
from rag.view_loader import ViewLoader
from stores.postgres import Database

MODEL, DIMENSION, WORDS, A_DOCUMENT, AT_ONCE = "bench", 384, 90, 200, 1_000
TENANT = TenantId("large")
RNG = random.Random(5)
_INSERT = (
    "INSERT INTO chunks (tenant_id, chunk_id, document_id, ordinal, seq, body, char_start, char_end, embedding, model)"
    " VALUES ('large', %s, %s, %s, 1, %s, 0, 1000, %s, 'bench')"
)


def rows(first: int, vocabulary: list[str]) -> Iterator[tuple[str, str, int, str, bytes]]:
    vectors = np.random.default_rng(first).standard_normal((AT_ONCE, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for at, vector in enumerate(vectors.astype("<f2"), first):
        body = " ".join(RNG.choices(vocabulary, k=WORDS))
        yield f"chk-{at}", f"d{at // A_DOCUMENT:07d}", at % A_DOCUMENT, body, vector.tobytes()


def fill(owner_url: str, chunks: int) -> None:
    vocabulary = ["".join(RNG.choices("etaoinshrdlu", k=RNG.randint(3, 10))) for _ in range(50_000)]
    with psycopg.connect(owner_url, autocommit=True) as owner, owner.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tenants (tenant_id, tier, config_version, corpus_seq) VALUES (%s, 'basic', 1, 1)",
            (str(TENANT),),
        )
        cursor.execute(
            "INSERT INTO documents"
            " (tenant_id, document_id, title, filename, metadata, content_hash, bytes, chunks, seq)"
            " SELECT %s, 'd' || lpad(n::text, 7, '0'), 'Title', 'a.txt', '{}', '\\x00', 1, %s, 1"
            " FROM generate_series(0, %s) n",
            (str(TENANT), A_DOCUMENT, chunks // A_DOCUMENT),
        )
        for first in range(0, chunks, AT_ONCE):
            cursor.executemany(_INSERT, list(rows(first, vocabulary)))


def anonymous_mb() -> float:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) / 1024


async def build(url: str, scratch: str) -> None:
    database, builder, metrics = Database(url), HybridIndexBuilder(scratch=Path(scratch)), NullMetrics()
    snapshots = Snapshots(PostgresMarks(database), None, builder, metrics, model=MODEL, dimension=DIMENSION)
    loader = ViewLoader(PostgresChunkStore(database), builder, snapshots, metrics, model=MODEL, dimension=DIMENSION)
    wanted = await loader.store.version(TENANT)
    before, peak, done = anonymous_mb(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], anonymous_mb())

    watching = threading.Thread(target=watch)
    watching.start()
    began, cpu = time.perf_counter(), time.process_time()
    view = await loader.load(TENANT, wanted)
    took, spent = time.perf_counter() - began, time.process_time() - cpu
    done.set()
    watching.join()
    print(
        f"{len(view.index):,} chunks: anonymous memory {peak[0] - before:.0f} MB at the peak,"
        f" {anonymous_mb() - before:.0f} MB after; {took:.0f} s, {spent:.0f} s of CPU",
        flush=True,
    )
    await database.close()


def main(chunks: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        with durable_postgres(folder / "postgres") as server:
            fill(server.owner_url, chunks)
            (folder / "scratch").mkdir()
            for source in os.environ.get("SOURCES", "src").split(","):  # of other versions, to compare with
                path = {"PYTHONPATH": f"{source}:tests:."}
                command = [sys.executable, "-m", "benchmarks.rag_log", "build", server.url, str(folder / "scratch")]
                print(source, end=": ", flush=True)
                subprocess.run(command, env=os.environ | path, check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["build"]:
        asyncio.run(build(*sys.argv[2:]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
