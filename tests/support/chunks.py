"""Chunks and their embeddings, made up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contracts.retrieval import Metadata
from contracts.tenant import TenantId
from rag.domain.corpus import ChunkRecord, Corpus
from rag.domain.query import ChunkRows
from rag.domain.vectors import Matrix, to_half
from rag.ports import ChunkStore

TENANT = TenantId("t1")


async def whole(store: ChunkStore, tenant_id: TenantId, model: str, dimension: int) -> Corpus:
    """Every chunk embedded with `model`, at once."""
    taken = [ChunkRows((), np.empty((0, dimension), np.float16))]

    async def take(rows: ChunkRows) -> None:
        taken.append(rows)

    found = await store.scan(tenant_id, model, dimension, take, portion=1_000_000)
    records = tuple(record for rows in taken for record in rows.records)
    return Corpus(found.version, records, np.concatenate([rows.vectors for rows in taken]), found.of_other_models)


def unit_rows(count: int, seed: int = 1, dimension: int = 16) -> Matrix:
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    unit: Matrix = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def a_record(
    chunk_id: str, text: str = "text", document_id: str = "d", metadata: Metadata | None = None
) -> ChunkRecord:
    return ChunkRecord(TENANT, chunk_id, document_id, "Title", text, 0, len(text), 1, metadata or {}, "Heading")


def rows_of(texts: Sequence[str], *, seed: int = 1, dimension: int = 16, prefix: str = "c") -> ChunkRows:
    """Each text a chunk and a document of its own, with any vector."""
    records = [a_record(f"{prefix}{number}", text, f"d{number}") for number, text in enumerate(texts)]
    return ChunkRows(records, to_half(unit_rows(len(texts), seed, dimension)))
