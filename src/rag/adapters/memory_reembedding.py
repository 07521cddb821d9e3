"""What re-embedding needs of a store, in memory: for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from contracts.errors import NotFoundError
from contracts.tenant import TenantId
from rag.domain.vectors import HalfMatrix
from rag.reembedding import Behind, BehindChunk


@dataclass
class KeptChunk:
    """`vector` is the one that is searched; `next_vector` waits for the switch."""

    seq: int
    text: str
    model: str
    vector: bytes
    next_model: str = ""
    next_vector: bytes = b""

    def has_next(self, model: str) -> bool:
        return self.next_model == model


@dataclass
class KeptTenant:
    born: datetime = field(default_factory=lambda: datetime.now(UTC))
    seq: int = 0
    chunks: dict[str, KeptChunk] = field(default_factory=dict)
    owner: str = ""
    until: float = 0.0

    def put(self, chunk_id: str, text: str, model: str, vector: bytes) -> None:
        self.seq += 1
        self.chunks[chunk_id] = KeptChunk(self.seq, text, model, vector)


class MemoryReembeddingStore:
    """`now` is a clock in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.tenants: dict[TenantId, KeptTenant] = {}
        self._now = now

    async def tenants_behind(self, model: str, *, after: str, limit: int) -> list[TenantId]:
        found = [
            tenant_id
            for tenant_id, tenant in sorted(self.tenants.items())
            if str(tenant_id) > after and any(chunk.model != model for chunk in tenant.chunks.values())
        ]
        return found[:limit]

    async def claim(self, tenant_id: TenantId, model: str, owner: str, *, seconds: float) -> bool:
        tenant = self._tenant(tenant_id)
        if tenant.owner != owner and tenant.until > self._now():
            return False
        tenant.owner, tenant.until = owner, self._now() + seconds
        return True

    async def behind(self, tenant_id: TenantId, model: str, *, limit: int) -> Behind:
        tenant = self._tenant(tenant_id)
        found = [
            BehindChunk(chunk_id, chunk.seq, chunk.text)
            for chunk_id, chunk in sorted(tenant.chunks.items())
            if chunk.model != model and not chunk.has_next(model)
        ]
        return Behind(tenant.born, found[:limit])

    async def keep(
        self, tenant_id: TenantId, model: str, chunks: Sequence[BehindChunk], vectors: HalfMatrix, *, born: datetime
    ) -> None:
        tenant = self._tenant(tenant_id, born)
        for chunk, row in zip(chunks, vectors, strict=True):
            kept = tenant.chunks.get(chunk.chunk_id)
            if kept is not None and kept.seq == chunk.seq:
                kept.next_model, kept.next_vector = model, row.tobytes()

    async def switch(self, tenant_id: TenantId, model: str, *, born: datetime) -> bool:
        tenant = self._tenant(tenant_id, born)
        behind = [chunk for chunk in tenant.chunks.values() if chunk.model != model]
        if not all(chunk.has_next(model) for chunk in behind):
            return False
        tenant.seq += bool(behind)
        for chunk in behind:
            chunk.seq, chunk.model, chunk.vector = tenant.seq, model, chunk.next_vector
            chunk.next_model, chunk.next_vector = "", b""
        return True

    def _tenant(self, tenant_id: TenantId, born: datetime | None = None) -> KeptTenant:
        tenant = self.tenants.get(tenant_id)
        if tenant is None or born not in {None, tenant.born}:
            raise NotFoundError("there is no such tenant")
        return tenant
