"""Started by `tests/faults`: a router that deletes a tenant everywhere, and kills itself at a step.

As `killed_writer`, whose steps it counts: before a statement of SQL or a commit, and around calls of the object store.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sqlalchemy import event

from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from router.adapters.tenant_traces import ObjectTraces
from router.service import deletion
from router.service.deletion import DeletionService
from stores.objects import Objects
from stores.postgres import Database
from support.announcements import NoAnnouncements
from support.killed_writer import MortalObjects, Steps, forked
from support.policies import compiled
from support.tenants import ALICE
from tenancy.feed import ChangeFeed
from tenancy.live import LiveTenants
from tenancy.postgres_changes import PostgresChangeLog
from tenancy.postgres_deletions import PostgresDeletionStore
from tenancy.postgres_tenants import PostgresTenantStore

ROWS_AT_ONCE = 7
"""So that a small tenant takes several steps."""


def deletions(database: Database, objects: Objects) -> DeletionService:
    """Of a router over these stores."""
    feed = ChangeFeed(PostgresChangeLog(database), NoAnnouncements(), NullMetrics())
    live = LiveTenants(PostgresTenantStore(database), compiled)
    return DeletionService(PostgresDeletionStore(database), (ObjectTraces(objects),), live, feed, settle_s=0)


async def live(database_url: str, tenant: TenantId, folder: Path, fatal: int) -> None:
    step = Steps(fatal)
    database = Database(database_url)
    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", step)
    event.listen(engine, "commit", step)
    objects = MortalObjects(folder / "objects", step)
    await deletions(database, objects).delete(tenant, by=ALICE)
    os.write(1, b"done 0\n")
    await objects.close()
    await database.close()


if __name__ == "__main__":
    deletion.ROWS_AT_ONCE = ROWS_AT_ONCE
    forked(live, *sys.argv[1:])
