"""Where a tenant leaves something outside the database: Valkey and the object store."""

from __future__ import annotations

from contracts.tenant import TenantId
from stores.objects import Objects
from stores.valkey import Valkey


class ValkeyTraces:
    name = "valkey.keys"

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    async def remove(self, tenant_id: TenantId) -> int:
        return await self._valkey.forget_tenant(tenant_id)

    async def count(self, tenant_id: TenantId) -> int:
        return await self._valkey.count_keys(tenant_id)


class ObjectTraces:
    name = "objects.objects"

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def remove(self, tenant_id: TenantId) -> int:
        return await self._objects.delete_all(tenant_id)

    async def count(self, tenant_id: TenantId) -> int:
        return len(await self._objects.list(tenant_id))
