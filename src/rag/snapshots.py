"""Snapshots as the service uses them: a shorter way to an index, which may be blocked at any time.

Nothing here is the truth. Whatever fails is counted and said, and the chunk log is read instead.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from contracts.errors import DependencyDownError, NotFoundError
from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from rag.domain.snapshot import Copy, Mark, OtherFormatError, SnapshotFiles
from rag.ports import IndexBuilder, Marks, SnapshotStore, TenantIndex
from rag.views import View

FORMATS_SIDE_BY_SIDE = timedelta(hours=1)
"""A rollout is over by then."""

COPIES_AT_ONCE = 5_000
"""In one question to PostgreSQL: some 30 ms of it."""

REST_S = 15.0
"""After a failure of the object store nobody waits for it for so long: readers take the log at once."""

_logger = logging.getLogger("atrium.snapshots")


class Snapshots:
    """Those of one model. Without a `store` there are none, and only the log is shortened; the same holds for a tenant
    of fewer chunks than `stored_from`, whose index is as quickly built of the log, and whose snapshot would be more
    manifest than text."""

    def __init__(
        self,
        marks: Marks,
        store: SnapshotStore | None,
        builder: IndexBuilder,
        metrics: Metrics,
        *,
        model: str,
        dimension: int,
        stored_from: int = 0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.marks = marks
        self.store = store
        self._builder = builder
        self._metrics = metrics
        self._model = model
        self._dimension = dimension
        self._stored_from = stored_from
        self._clock = clock
        self._now = now
        self._rests_until = float("-inf")

    @property
    def stored_from(self) -> int | None:
        """Of how many chunks a tenant is to have a snapshot; None: there are none."""
        return None if self.store is None else self._stored_from

    async def newest(self, tenant_id: TenantId) -> tuple[View, str] | None:
        """The view that the newest snapshot shows, and where it was. None where there is none to be had.

        Raises DependencyDownError only for PostgreSQL.
        """
        if self.store is None or self._clock() < self._rests_until:
            return None
        mark = await self.marks.mark(tenant_id, self._model)
        if mark is None or mark.digest is None:
            return None
        try:
            files = await self.store.fetch(tenant_id, self._model, mark)
            if files is not None:
                return View(mark.version, await self._load(files)), files.source
            await self._give_up(tenant_id, mark, "missing")
        except ValueError:  # DamagedSnapshotError, and a builder's word that it cannot read the files
            await self._give_up(tenant_id, mark, "damaged")
        except OtherFormatError as error:
            await self._pass_over(tenant_id, mark, error)
        except DependencyDownError:
            self._rests_until = self._clock() + REST_S
            self._report(tenant_id, "object_store", "unreachable")
        except OSError:
            self._report(tenant_id, "disk", "unreadable")
        return None

    async def write(self, tenant_id: TenantId, view: View, index: TenantIndex) -> Mark | None:
        """Keep a compacted index, which shows what `view` shows, and set the mark. None where another writer was first.

        Raises DependencyDownError, and NotFoundError where the tenant is gone.
        """
        if self.store is None or len(index) < self._stored_from:
            mark = Mark(view.version, None, len(index))
            return mark if await self.marks.advance(tenant_id, self._model, mark) else None
        files = await asyncio.to_thread(index.files)
        shape = (len(index), self._dimension)
        written = await self.store.write(tenant_id, self._model, view.version, shape, files)
        try:
            won = written is not None and await self.marks.advance(tenant_id, self._model, written)
        except NotFoundError:  # it went away while its snapshot was written
            await self.store.discard(tenant_id, self._model, view.version)
            await self.store.forget(tenant_id)
            raise
        if written is None and not await self.has(tenant_id, view):
            await self.store.discard_orphan(tenant_id, self._model, view.version)
        self._metrics.count(names.SNAPSHOT_WRITE, outcome="written" if won else "lost")
        return written if won else None

    async def has(self, tenant_id: TenantId, view: View) -> bool:
        """Whether what `view` shows is marked as kept already."""
        mark = await self.marks.mark(tenant_id, self._model)
        if mark is None or not mark.version.covers(view.version):
            return False
        return mark.digest is not None or self.store is None or mark.chunks < self._stored_from

    async def tidy(self, tenant_id: TenantId, mark: Mark) -> None:
        """Remove what the snapshot at `mark` makes superfluous, in the store and in the log."""
        await self.marks.trim(tenant_id, mark.version, keep=mark.chunks // 4)
        if self.store is None:
            return
        await self.store.sweep(tenant_id, self._model, mark)
        for model in await self.marks.abandoned(tenant_id, self._model):
            await self.store.discard_model(tenant_id, model)
            await self.marks.drop(tenant_id, model)

    async def forget(self, tenant_id: TenantId) -> None:
        """Remove the copy on this machine's disk."""
        if self.store is not None:
            await self.store.forget(tenant_id)

    async def drop_stale(self, loaded: Mapping[TenantId, datetime]) -> set[TenantId]:
        """Remove the copies on this machine's disk that are not of the newest snapshot: what they hold may have been
        deleted. Returns whom of these and of the `loaded` (with their births) there is no more.

        One that is being written just now may go too; it is then fetched when it is asked for.
        """
        held = await self.store.held() if self.store is not None else ()
        copies = [Copy(tenant_id, digest=digest) for tenant_id, digest in held]
        copies += [Copy(tenant_id, born=born) for tenant_id, born in loaded.items()]
        gone: set[TenantId] = set()
        for first in range(0, len(copies), COPIES_AT_ONCE):
            for stale in await self.marks.stale(self._model, copies[first : first + COPIES_AT_ONCE]):
                await self.forget(stale.tenant_id)
                if stale.gone:
                    gone.add(stale.tenant_id)
        return gone

    async def _load(self, files: SnapshotFiles) -> TenantIndex:
        return await asyncio.to_thread(self._builder.load, files.paths, self._dimension)

    async def _give_up(self, tenant_id: TenantId, mark: Mark, reason: str) -> None:
        """The snapshot is of no use to anybody: let another be written, unless one has been meanwhile."""
        if await self.marks.mark(tenant_id, self._model) != mark:
            return  # it was swept away while we read it: nothing is wrong
        self._report(tenant_id, "object_store", reason)
        assert mark.digest is not None and self.store is not None  # noqa: S101, PT018  else there was nothing to read
        await self.marks.discredit(tenant_id, self._model, mark.digest)
        try:
            await self.store.discard(tenant_id, self._model, mark.version)
            await self.store.forget(tenant_id)
        except DependencyDownError:
            self._report(tenant_id, "object_store", "unreachable")

    async def _pass_over(self, tenant_id: TenantId, mark: Mark, error: OtherFormatError) -> None:
        """While replicas of two releases run, each leaves the other's snapshots alone; later they are written anew."""
        if error.written_at < self._now() - FORMATS_SIDE_BY_SIDE:
            await self._give_up(tenant_id, mark, "format")
        else:
            self._report(tenant_id, "object_store", "format")

    def _report(self, tenant_id: TenantId, place: str, reason: str) -> None:
        self._metrics.count(names.SNAPSHOT_FAULT, place=place, reason=reason)
        said = "a snapshot cannot be used: the chunk log is read instead"
        log(_logger, logging.WARNING, said, tenant_id=str(tenant_id), place=place, reason=reason)
