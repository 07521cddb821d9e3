"""Tenants in memory: the same promises as the PostgreSQL store, held to them by one conformance suite."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from contracts.context import Role
from contracts.errors import ConflictError, IdempotencyMismatchError, NotFoundError, PreconditionFailedError
from contracts.tenant import TenantId
from tenancy.audit import Actor, Deed, digest
from tenancy.config import TenantConfig
from tenancy.keys import NewKey
from tenancy.memory_keys import MemoryKeyStore
from tenancy.ports import PAGE_BYTES, ConfigEntry, Onboarding, Revision, TenantRecord, TenantState, TenantSummary


@dataclass(slots=True)
class _Tenant:
    born: datetime
    onboarding: Onboarding | None
    state: TenantState = TenantState.ACTIVE
    configs: list[TenantConfig] = field(default_factory=list)
    entries: list[ConfigEntry] = field(default_factory=list)

    def add(self, config: TenantConfig, by: Actor, comment: str) -> int:
        self.configs.append(config)
        version = len(self.configs)
        self.entries.append(ConfigEntry(version, config.model_dump(mode="json"), by.name, comment, datetime.now(UTC)))
        return version


class MemoryTenantStore:
    def __init__(self, keys: MemoryKeyStore) -> None:
        self._keys = keys
        self._audit = keys.audit
        self._tenants: dict[TenantId, _Tenant] = {}
        keys.tenants = self._tenants
        self._audit.born_of = self._born

    async def create(
        self,
        tenant_id: TenantId,
        config: TenantConfig,
        admin_key: NewKey,
        *,
        by: Actor,
        onboarding: Onboarding | None = None,
    ) -> None:
        if tenant_id in self._tenants:
            raise ConflictError(f"the tenant {tenant_id} exists already")
        if onboarding and any(
            other.onboarding and other.onboarding.key_hash == onboarding.key_hash for other in self._tenants.values()
        ):
            raise IdempotencyMismatchError("this Idempotency-Key was used for another tenant")
        tenant = self._tenants[tenant_id] = _Tenant(datetime.now(UTC), onboarding)
        tenant.add(config, by, "created")
        self._keys.put(admin_key, tenant_id, Role.TENANT_ADMIN, label="first admin key", created_by=by.name)
        self._tell_both(tenant_id, Deed(by, "tenant.create", f"tenant/{tenant_id}"))

    async def onboarding(self, tenant_id: TenantId) -> Onboarding | None:
        tenant = self._tenants.get(tenant_id)
        return tenant.onboarding if tenant else None

    async def list(self, after: str, limit: int) -> list[TenantSummary]:
        found = sorted(tenant_id for tenant_id in self._tenants if tenant_id.value > after)
        return [self._summary(tenant_id) for tenant_id in found[:limit]]

    async def read(self, tenant_id: TenantId) -> TenantRecord | None:
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            return None
        return TenantRecord(tenant_id, Revision(tenant.born, len(tenant.configs), tenant.state), tenant.configs[-1])

    async def read_unless(self, tenant_id: TenantId, known: Revision | None) -> TenantRecord | Revision | None:
        found = await self.read(tenant_id)
        return found.revision if found and found.revision == known else found

    async def write_config(
        self,
        tenant_id: TenantId,
        config: TenantConfig,
        *,
        by: Actor,
        comment: str = "",
        expected: frozenset[int] | None = None,
        born: datetime | None = None,
    ) -> int:
        self._audit.require(tenant_id, born)
        tenant = self._tenant(tenant_id)
        current = len(tenant.configs)
        if expected is not None and current not in expected:
            raise PreconditionFailedError(
                f"the config is at version {current}: read it again", details={"current_version": current}
            )
        deed = Deed(
            by,
            "config.write",
            f"config/{current + 1}",
            before_hash=digest(tenant.configs[-1].model_dump(mode="json")),
            after_hash=digest(config.model_dump(mode="json")),
            details={"comment": comment},
        )
        self._audit.write(tenant_id, deed)
        return tenant.add(config, by, comment)

    async def versions(
        self, tenant_id: TenantId, *, before: int | None, limit: int, born: datetime | None = None
    ) -> Sequence[ConfigEntry]:
        self._audit.require(tenant_id, born)
        tenant = self._tenants.get(tenant_id)
        entries = tenant.entries if tenant else []
        page: list[ConfigEntry] = []
        size = 0
        for entry in reversed(entries):
            if len(page) == limit or (len(page) >= 2 and size >= PAGE_BYTES):
                break
            if before is None or entry.version < before:
                page.append(entry)
                size += len(json.dumps(entry.config))
        return page

    async def version(self, tenant_id: TenantId, version: int, *, born: datetime | None = None) -> ConfigEntry:
        for entry in await self.versions(tenant_id, before=version + 1, limit=1, born=born):
            if entry.version == version:
                return entry
        raise NotFoundError("no such version")

    async def set_state(self, tenant_id: TenantId, state: TenantState, *, by: Actor) -> TenantSummary:
        tenant = self._tenant(tenant_id)
        if tenant.state is not state:
            tenant.state = state
            verb = {TenantState.SUSPENDED: "tenant.suspend", TenantState.ACTIVE: "tenant.resume"}[state]
            self._tell_both(tenant_id, Deed(by, verb, f"tenant/{tenant_id}"))
        return self._summary(tenant_id)

    def _tell_both(self, tenant_id: TenantId, deed: Deed) -> None:
        self._audit.write(tenant_id, deed)
        self._audit.write(None, deed)

    def _born(self, tenant_id: TenantId) -> datetime | None:
        tenant = self._tenants.get(tenant_id)
        return None if tenant is None or tenant.state is TenantState.DELETING else tenant.born

    def _tenant(self, tenant_id: TenantId) -> _Tenant:
        tenant = self._tenants.get(tenant_id)
        if tenant is None or tenant.state is TenantState.DELETING:
            raise NotFoundError("no such tenant")
        return tenant

    def _summary(self, tenant_id: TenantId) -> TenantSummary:
        tenant = self._tenants[tenant_id]
        config = tenant.configs[-1]
        return TenantSummary(
            tenant_id, config.display_name, config.tier, tenant.state, len(tenant.configs), tenant.born
        )
