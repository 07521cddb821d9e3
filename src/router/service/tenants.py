"""Tenants and their config: create, list, read, replace."""

from __future__ import annotations

from contracts.errors import NotFoundError
from contracts.tenant import TenantId
from router.domain.access import Principal
from router.domain.policy import Policy
from tenancy.config import TenantConfig, Tier
from tenancy.keys import NewKey, new_key
from tenancy.live import LiveConfigs
from tenancy.ports import ConfigVersion, TenantStore, TenantSummary


class TenantService:
    def __init__(self, store: TenantStore, configs: LiveConfigs[Policy]) -> None:
        self._store = store
        self._configs = configs

    async def create(self, tenant_id: TenantId, tier: Tier, config: TenantConfig) -> NewKey:
        """Returns the first admin key, at the only moment its text exists. Raises ConflictError."""
        key = new_key()
        await self._store.create(tenant_id, tier, config, key)
        self._configs.forget(tenant_id)
        return key

    async def list(self, after: str, limit: int) -> list[TenantSummary]:
        return await self._store.list(after, limit)

    async def config(self, tenant_id: TenantId) -> ConfigVersion:
        """Read from the store, not from the cache: an admin sees what was last written, wherever it was written."""
        found = await self._store.read_config(tenant_id)
        if found is None:
            raise NotFoundError("no such tenant")
        return found

    async def replace_config(
        self, tenant_id: TenantId, config: TenantConfig, principal: Principal, expected_version: int | None
    ) -> int:
        """Returns the new version. Raises NotFoundError, PreconditionFailedError."""
        version = await self._store.write_config(
            tenant_id, config, author=principal.name, expected_version=expected_version
        )
        self._configs.forget(tenant_id)
        return version
