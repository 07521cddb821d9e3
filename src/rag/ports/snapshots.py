"""Snapshots of indexes, and how far each tenant has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from contracts.tenant import TenantId
from rag.domain.corpus import CorpusVersion
from rag.domain.snapshot import Content, Copy, Mark, SnapshotFiles, Stale


class Marks(Protocol):
    """How far each tenant's log is compacted. All methods raise DependencyDownError when the store is out of reach."""

    async def mark(self, tenant_id: TenantId, model: str) -> Mark | None: ...

    async def advance(self, tenant_id: TenantId, model: str, mark: Mark) -> bool:
        """Set the mark, unless one that is as far is there: then False. Raises NotFoundError where the tenant that was
        born when the mark says is gone, or going."""
        ...

    async def discredit(self, tenant_id: TenantId, model: str, digest: bytes) -> None:
        """The snapshot with this manifest cannot be used: let another be due at once."""
        ...

    async def abandoned(self, tenant_id: TenantId, model: str) -> Sequence[str]:
        """Other models with a mark of which no chunk is left."""
        ...

    async def drop(self, tenant_id: TenantId, model: str) -> None:
        """Remove the mark."""
        ...

    async def trim(self, tenant_id: TenantId, upto: CorpusVersion, *, keep: int) -> None:
        """Forget all but the newest `keep` tombstones up to a version: from before them `tail` is not told any more."""
        ...

    async def claim(self, tenant_id: TenantId, lease: timedelta) -> bool:
        """Whether the compaction of this tenant is the caller's alone for so long."""
        ...

    async def release(self, tenant_id: TenantId, born: datetime) -> None: ...

    async def due(
        self, model: str, *, writes: int, age: timedelta, stored_from: int | None, limit: int
    ) -> Sequence[TenantId]:
        """Tenants that nobody compacts now with more than `writes` writes behind their mark, or with fewer behind one
        older than `age` (both grow with the tenant); or of `stored_from` chunks with a mark without a snapshot, or one
        that was discredited. None: there are no snapshots."""
        ...

    async def stale(self, model: str, copies: Sequence[Copy]) -> Sequence[Stale]:
        """Those of a replica's copies that are not current, of whichever tenants; a tenant may come twice."""
        ...


class SnapshotStore(Protocol):
    """Snapshots as files, and copies of them on this machine's disk.

    All methods raise DependencyDownError, within a bound, when the store is out of reach.
    """

    async def fetch(self, tenant_id: TenantId, model: str, mark: Mark) -> SnapshotFiles | None:
        """The files on this machine's disk, every byte verified. None where they are not there any more.

        A copy on the disk that is damaged is fetched anew. Raises DamagedSnapshotError where the original is, and
        OSError when the disk takes no more files.
        """
        ...

    async def write(
        self,
        tenant_id: TenantId,
        model: str,
        version: CorpusVersion,
        shape: tuple[int, int],
        files: Mapping[str, Content],
    ) -> Mark | None:
        """Keep the files of an index of shape (chunks, dimension). None where another writer has this version.

        Not to be found before the mark is set.
        """
        ...

    async def sweep(self, tenant_id: TenantId, model: str, mark: Mark) -> None:
        """Remove everything that is older than the snapshot at `mark`, and all of earlier tenants of the name."""
        ...

    async def discard_orphan(self, tenant_id: TenantId, model: str, version: CorpusVersion) -> None:
        """Remove what lies at this version, where no mark names it, if its writer must be dead by now."""
        ...

    async def discard(self, tenant_id: TenantId, model: str, version: CorpusVersion) -> None:
        """Remove what lies at this version."""
        ...

    async def discard_model(self, tenant_id: TenantId, model: str) -> None: ...

    async def held(self) -> Sequence[tuple[TenantId, bytes]]:
        """Whose snapshots this machine's disk has copies of, with their digests."""
        ...

    async def forget(self, tenant_id: TenantId) -> None:
        """Remove what this machine's disk holds of the tenant."""
        ...
