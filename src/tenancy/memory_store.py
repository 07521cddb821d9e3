"""Tenants and keys in memory: the same promises as the PostgreSQL stores, held to them by one conformance suite."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from contracts.context import Role
from contracts.errors import ConflictError, NotFoundError, PreconditionFailedError
from contracts.tenant import TenantId
from tenancy.config import TenantConfig, Tier
from tenancy.keys import KeyHolder, NewKey
from tenancy.ports import ConfigVersion, TenantSummary


class MemoryKeyStore:
    def __init__(self) -> None:
        self._holders: dict[bytes, KeyHolder] = {}

    def add(self, key: NewKey, tenant_id: TenantId | None, role: Role) -> None:
        self._holders[key.key_hash] = KeyHolder(key.key_id, tenant_id, role)

    async def find(self, key_hash: bytes) -> KeyHolder | None:
        return self._holders.get(key_hash)

    async def add_first_platform_key(self, key: NewKey, label: str) -> bool:
        if any(holder.tenant_id is None for holder in self._holders.values()):
            return False
        self.add(key, None, Role.PLATFORM_ADMIN)
        return True


@dataclass(slots=True)
class _Tenant:
    summary: TenantSummary
    versions: list[TenantConfig] = field(default_factory=list)


class MemoryTenantStore:
    def __init__(self, keys: MemoryKeyStore) -> None:
        self._keys = keys
        self._tenants: dict[TenantId, _Tenant] = {}

    async def create(self, tenant_id: TenantId, tier: Tier, config: TenantConfig, admin_key: NewKey) -> None:
        if tenant_id in self._tenants:
            raise ConflictError(f"the tenant {tenant_id} exists already")
        self._tenants[tenant_id] = _Tenant(TenantSummary(tenant_id, tier, 1, datetime.now(UTC)), [config])
        self._keys.add(admin_key, tenant_id, Role.TENANT_ADMIN)

    async def list(self, after: str, limit: int) -> list[TenantSummary]:
        found = sorted(
            (
                TenantSummary(key, tenant.summary.tier, len(tenant.versions), tenant.summary.created_at)
                for key, tenant in self._tenants.items()
                if key.value > after
            ),
            key=lambda summary: summary.tenant_id,
        )
        return found[:limit]

    async def read_config(self, tenant_id: TenantId) -> ConfigVersion | None:
        tenant = self._tenants.get(tenant_id)
        return ConfigVersion(len(tenant.versions), tenant.versions[-1]) if tenant else None

    async def read_config_unless(self, tenant_id: TenantId, known_version: int) -> ConfigVersion | int | None:
        current = await self.read_config(tenant_id)
        return known_version if current and current.version == known_version else current

    async def write_config(
        self, tenant_id: TenantId, config: TenantConfig, *, author: str, expected_version: int | None
    ) -> int:
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            raise NotFoundError("no such tenant")
        current = len(tenant.versions)
        if expected_version not in {None, current}:
            raise PreconditionFailedError(
                f"the config is at version {current}, not {expected_version}: read it again",
                details={"current_version": current},
            )
        tenant.versions.append(config)
        return current + 1
