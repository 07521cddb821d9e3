"""The stores of tenants, keys and the audit log for tests: in memory, or in PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from contracts.tenant import TenantId
from stores.postgres import Database
from tenancy.audit import Actor
from tenancy.config import TenantConfig
from tenancy.keys import NewKey, new_key
from tenancy.memory_audit import MemoryAuditLog
from tenancy.memory_keys import MemoryKeyStore
from tenancy.memory_tenants import MemoryTenantStore
from tenancy.ports import AuditLog, KeyStore, TenantStore
from tenancy.postgres_audit import PostgresAuditLog
from tenancy.postgres_keys import PostgresKeyStore
from tenancy.postgres_tenants import PostgresTenantStore

ALICE = Actor("alice", "platform_admin", "192.0.2.1", "request-1")


class TenantStores(NamedTuple):
    tenants: TenantStore
    keys: KeyStore
    audit: AuditLog

    async def add(self, tenant_id: TenantId | None = None, config: TenantConfig | None = None) -> TenantId:
        """A new tenant, without its key."""
        tenant_id = tenant_id or fresh_tenant()
        await self.tenants.create(tenant_id, config or TenantConfig(), new_key(), by=ALICE)
        return tenant_id

    async def add_with_key(self) -> tuple[TenantId, NewKey]:
        tenant_id, key = fresh_tenant(), new_key()
        await self.tenants.create(tenant_id, TenantConfig(), key, by=ALICE)
        return tenant_id, key


def fresh_tenant() -> TenantId:
    return TenantId(f"c-{secrets.token_hex(6)}")


def memory_stores() -> TenantStores:
    audit = MemoryAuditLog()
    keys = MemoryKeyStore(audit)
    return TenantStores(MemoryTenantStore(keys), keys, audit)


def postgres_stores(database: Database) -> TenantStores:
    return TenantStores(PostgresTenantStore(database), PostgresKeyStore(database), PostgresAuditLog(database))


@asynccontextmanager
async def opened(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    try:
        yield database
    finally:
        await database.close()
