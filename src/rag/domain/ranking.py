"""Hits become results here, behind the second line of isolation: a chunk of another tenant never passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.tenant import TenantId
from rag.domain.corpus import ChunkRecord


@dataclass(frozen=True, slots=True)
class Hit:
    """A row of an index and its cosine with the query."""

    row: int
    score: float


@dataclass(frozen=True, slots=True)
class Found:
    record: ChunkRecord
    score: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """`found` is best first; `foreign` are chunks of other tenants that were dropped, and must be none."""

    found: tuple[Found, ...]
    foreign: tuple[ChunkRecord, ...]


def rank(tenant_id: TenantId, hits: Sequence[Hit], records: Sequence[ChunkRecord]) -> Ranking:
    """The tenant's own hits, best first; equal scores in the order of the chunk log.

    A score is held to -1…1: half precision makes a vector's cosine with itself 1.0002.
    """
    ordered = [(records[hit.row], hit.score) for hit in sorted(hits, key=lambda hit: (-hit.score, hit.row))]
    return Ranking(
        found=tuple(
            Found(record, max(-1.0, min(1.0, score))) for record, score in ordered if record.tenant_id == tenant_id
        ),
        foreign=tuple(record for record, _ in ordered if record.tenant_id != tenant_id),
    )
