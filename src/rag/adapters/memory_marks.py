"""The marks in memory, beside the chunk log in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from contracts.errors import NotFoundError
from contracts.tenant import TenantId
from rag.adapters.memory_chunks import MemoryChunkStore
from rag.domain.corpus import CorpusVersion
from rag.domain.snapshot import Copy, Mark, Stale

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class MemoryMarks:
    def __init__(self, store: MemoryChunkStore, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._tenants = store.tenants
        self._now = now
        self._marks: dict[tuple[TenantId, str], tuple[Mark, datetime]] = {}
        self._leases: dict[TenantId, datetime] = {}

    async def mark(self, tenant_id: TenantId, model: str) -> Mark | None:
        found = self._marks.get((tenant_id, model))
        tenant = self._tenants.get(tenant_id)
        # A mark goes with its tenant.
        return found[0] if found and tenant and found[0].version.born == tenant.born else None

    async def advance(self, tenant_id: TenantId, model: str, mark: Mark) -> bool:
        tenant = self._tenants.get(tenant_id)
        if tenant is None or tenant.born != mark.version.born:
            raise NotFoundError("there is no such tenant")
        before = await self.mark(tenant_id, model)
        if before is not None:
            seq = before.version.seq
            if seq > mark.version.seq or (seq == mark.version.seq and before.digest is not None):
                return False
        self._marks[tenant_id, model] = (mark, self._now())
        return True

    async def discredit(self, tenant_id: TenantId, model: str, digest: bytes) -> None:
        mark = await self.mark(tenant_id, model)
        if mark is not None and mark.digest == digest:
            self._marks[tenant_id, model] = (Mark(CorpusVersion(mark.version.born, 0), None, 0), self._now())

    async def abandoned(self, tenant_id: TenantId, model: str) -> Sequence[str]:
        tenant = self._tenants.get(tenant_id)
        used = {kept.model for kept in tenant.documents.values() if kept.chunks} if tenant else set()
        return [other for owner, other in self._marks if owner == tenant_id and other != model and other not in used]

    async def drop(self, tenant_id: TenantId, model: str) -> None:
        self._marks.pop((tenant_id, model), None)

    async def trim(self, tenant_id: TenantId, upto: CorpusVersion, *, keep: int) -> None:
        tenant = self._tenants.get(tenant_id)
        if tenant is None or tenant.born != upto.born:
            raise NotFoundError("there is no such tenant")
        old = sorted((seq for seq, _ in tenant.tombstones if seq <= upto.seq), reverse=True)
        if len(old) > keep:
            floor = old[keep]
            tenant.tombstones = [(seq, chunk) for seq, chunk in tenant.tombstones if seq > floor]
            tenant.log_start = max(tenant.log_start, floor)

    async def claim(self, tenant_id: TenantId, lease: timedelta) -> bool:
        if tenant_id not in self._tenants or self._leases.get(tenant_id, _BEGINNING) >= self._now():
            return False
        self._leases[tenant_id] = self._now() + lease
        return True

    async def release(self, tenant_id: TenantId, born: datetime) -> None:
        tenant = self._tenants.get(tenant_id)
        if tenant is None or tenant.born != born:
            raise NotFoundError("there is no such tenant")
        self._leases.pop(tenant_id, None)

    async def due(
        self, model: str, *, writes: int, age: timedelta, stored_from: int | None, limit: int
    ) -> Sequence[TenantId]:
        gaps: list[tuple[int, TenantId]] = []
        for tenant_id, tenant in self._tenants.items():
            mark, written_at = self._marks.get((tenant_id, model), (None, tenant.born))
            if mark is not None and mark.version.born != tenant.born:
                mark, written_at = None, tenant.born
            seq, chunks = (mark.version.seq, mark.chunks) if mark else (0, 0)
            gap = tenant.seq - seq
            late = written_at < self._now() - age * (1 + chunks / 20_000)
            due = gap >= max(writes, chunks // 100) or (gap > 0 and late)
            wanted = stored_from is not None and (seq == 0 or chunks >= stored_from)
            due = due or (wanted and mark is not None and mark.digest is None)
            if due and tenant.seq > 0 and self._leases.get(tenant_id, _BEGINNING) < self._now():
                gaps.append((-gap, tenant_id))
        return [tenant_id for _, tenant_id in sorted(gaps)][:limit]

    async def stale(self, model: str, copies: Sequence[Copy]) -> Sequence[Stale]:
        found: list[Stale] = []
        for copy in copies:
            tenant, mark = self._tenants.get(copy.tenant_id), await self.mark(copy.tenant_id, model)
            gone = tenant is None or copy.born not in {None, tenant.born}
            outdated = copy.digest is not None and (mark is None or mark.digest != copy.digest)
            if gone or outdated:
                found.append(Stale(copy.tenant_id, gone))
        return found
