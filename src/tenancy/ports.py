"""Where tenants and keys are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from contracts.tenant import TenantId
from tenancy.config import TenantConfig, Tier
from tenancy.keys import KeyHolder, NewKey


@dataclass(frozen=True, slots=True)
class ConfigVersion:
    version: int
    config: TenantConfig


@dataclass(frozen=True, slots=True)
class TenantSummary:
    tenant_id: TenantId
    tier: Tier
    config_version: int
    created_at: datetime


class TenantStore(Protocol):
    """Every method raises DependencyDownError when the store is out of reach."""

    async def create(self, tenant_id: TenantId, tier: Tier, config: TenantConfig, admin_key: NewKey) -> None:
        """Tenant, first config version and first admin key, all or nothing. Raises ConflictError if it exists."""
        ...

    async def list(self, after: str, limit: int) -> list[TenantSummary]:
        """In order of id, those greater than `after`."""
        ...

    async def read_config(self, tenant_id: TenantId) -> ConfigVersion | None: ...

    async def read_config_unless(self, tenant_id: TenantId, known_version: int) -> ConfigVersion | int | None:
        """The current config, or only its number where it is the one already known; None for an unknown tenant."""
        ...

    async def write_config(
        self, tenant_id: TenantId, config: TenantConfig, *, author: str, expected_version: int | None
    ) -> int:
        """Add a version and make it current; returns its number.

        Raises NotFoundError, or PreconditionFailedError when `expected_version` is not the current one.
        """
        ...


class KeyStore(Protocol):
    async def find(self, key_hash: bytes) -> KeyHolder | None: ...

    async def add_first_platform_key(self, key: NewKey, label: str) -> bool:
        """Add it if there is no platform key yet; says whether it was added."""
        ...
