"""The second line of isolation: whatever an index found, a chunk of another tenant never passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.tenant import TenantId
from rag.domain.corpus import ChunkRecord
from rag.domain.query import Scored


@dataclass(frozen=True, slots=True)
class Separated:
    """`own` is best first; `foreign` are chunks of other tenants that were dropped, and must be none."""

    own: tuple[Scored, ...]
    foreign: tuple[ChunkRecord, ...]


def separated(tenant_id: TenantId, scored: Sequence[Scored]) -> Separated:
    """What an index found, in its order, and apart from it what is another tenant's."""
    return Separated(
        own=tuple(one for one in scored if one.record.tenant_id == tenant_id),
        foreign=tuple(one.record for one in scored if one.record.tenant_id != tenant_id),
    )
