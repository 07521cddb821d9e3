"""What keeps the router's state, opened: PostgreSQL by what is kept in it, Valkey, an object store if there is one."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from contracts.errors import AtriumError
from observability.logging import log
from observability.metrics import Metrics
from router.settings import Settings
from stores.objects import Objects
from stores.objects_choice import open_object_store
from stores.postgres import Database
from stores.valkey import Valkey
from tenancy.announcements import ValkeyAnnouncements
from tenancy.feed import ChangeFeed
from tenancy.keys import keyed
from tenancy.postgres_audit import PostgresAuditLog
from tenancy.postgres_changes import PostgresChangeLog
from tenancy.postgres_keys import PostgresKeyStore
from tenancy.postgres_ledger import PostgresLedger
from tenancy.postgres_tenants import PostgresTenantStore

_logger = logging.getLogger("atrium.router")


@dataclass(frozen=True, slots=True)
class Stores:
    """`feed` tells of every change that another router makes to what is kept here."""

    database: Database
    valkey: Valkey
    feed: ChangeFeed
    tenants: PostgresTenantStore
    keys: PostgresKeyStore
    audit: PostgresAuditLog
    ledger: PostgresLedger
    objects: Objects | None


async def open_stores(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> Stores:
    """Raises nothing where one is out of reach: `/readyz` says so, and asks again."""
    database = Database(settings.database_url.get_secret_value())
    stack.push_async_callback(database.close)
    valkey = Valkey(settings.redis_url.get_secret_value())
    stack.push_async_callback(valkey.close)
    with suppress(AtriumError):
        await database.check()
    keys = PostgresKeyStore(database)
    await _bootstrap(settings, keys)
    feed = ChangeFeed(PostgresChangeLog(database), ValkeyAnnouncements(valkey), metrics)
    await stack.enter_async_context(feed.running())
    return Stores(
        database,
        valkey,
        feed,
        PostgresTenantStore(database),
        keys,
        PostgresAuditLog(database),
        PostgresLedger(database),
        open_object_store(settings, stack),
    )


async def _bootstrap(settings: Settings, keys: PostgresKeyStore) -> None:
    """At a store's first start the bootstrap key becomes its platform key; later it is ignored."""
    if settings.atrium_bootstrap_key is None:
        return
    key = keyed(settings.atrium_bootstrap_key.get_secret_value())
    if await keys.add_first_platform_key(key, "bootstrap"):
        log(_logger, logging.INFO, "platform key created", key_id=key.key_id)
