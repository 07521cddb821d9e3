"""Chunks and their embeddings, made up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contracts.retrieval import Metadata
from contracts.tenant import TenantId
from rag.domain.corpus import ChunkRecord
from rag.domain.query import ChunkRows
from rag.domain.vectors import Matrix, to_half

TENANT = TenantId("t1")


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
