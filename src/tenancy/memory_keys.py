"""API keys in memory, for tests."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from contracts.context import Role
from contracts.errors import ConflictError, NotFoundError
from contracts.tenant import TenantId
from tenancy.audit import Actor, Deed
from tenancy.keys import MAX_KEYS, KeyHolder, KeyInfo, NewKey, too_many_keys
from tenancy.memory_audit import MemoryAuditLog


@dataclass(slots=True)
class _Row:
    tenant_id: TenantId | None
    key_hash: bytes
    info: KeyInfo


class MemoryKeyStore:
    def __init__(self, audit: MemoryAuditLog | None = None) -> None:
        self.audit = audit or MemoryAuditLog()
        self.tenants: Container[TenantId] | None = None
        """Those that there are; None: all."""
        self._rows: dict[str, _Row] = {}

    def put(
        self,
        key: NewKey,
        tenant_id: TenantId | None,
        role: Role,
        *,
        label: str = "",
        created_by: str = "platform",
        expires_at: datetime | None = None,
    ) -> KeyInfo:
        """Without an audit event: for what is part of another deed."""
        info = KeyInfo(key.key_id, label, role, created_by, datetime.now(UTC), expires_at)
        self._rows[key.key_id] = _Row(tenant_id, key.key_hash, info)
        return info

    async def find(self, key_hash: bytes) -> KeyHolder | None:
        for row in self._rows.values():
            if row.key_hash == key_hash:
                return KeyHolder(row.info.key_id, row.tenant_id, row.info.role, row.info.expires_at)
        return None

    async def add_first_platform_key(self, key: NewKey, label: str) -> bool:
        if any(row.tenant_id is None for row in self._rows.values()):
            return False
        self.put(key, None, Role.PLATFORM_ADMIN, label=label)
        return True

    async def add(
        self,
        tenant_id: TenantId | None,
        key: NewKey,
        *,
        label: str,
        role: Role,
        expires_at: datetime | None,
        by: Actor,
        born: datetime | None = None,
    ) -> KeyInfo:
        self.audit.require(tenant_id, born)
        if tenant_id is not None and self.tenants is not None and tenant_id not in self.tenants:
            raise NotFoundError("no such tenant")
        self._has_room(tenant_id)
        info = self.put(key, tenant_id, role, label=label, created_by=by.name, expires_at=expires_at)
        self._note(tenant_id, by, "key.create", info.key_id)
        return info

    async def list(self, tenant_id: TenantId | None, *, born: datetime | None = None) -> list[KeyInfo]:
        self.audit.require(tenant_id, born)
        return [row.info for row in self._rows.values() if row.tenant_id == tenant_id]

    async def rotate(
        self,
        tenant_id: TenantId | None,
        key_id: str,
        key: NewKey,
        *,
        old_until: datetime,
        expires_at: datetime | None,
        by: Actor,
        born: datetime | None = None,
    ) -> KeyInfo:
        self.audit.require(tenant_id, born)
        if tenant_id is None and self._is_last_lasting(key_id) and expires_at is not None:
            raise ConflictError("the platform's last lasting key cannot be replaced by one that expires")
        self._has_room(tenant_id)
        old = self._row(tenant_id, key_id)
        if old.info.expires_at is not None and old.info.expires_at <= datetime.now(UTC):
            raise NotFoundError("no such key")
        lifetime = old.info.expires_at - old.info.created_at if old.info.expires_at else None
        expires_at = expires_at or (datetime.now(UTC) + lifetime if lifetime else None)
        ends = min(old_until, old.info.expires_at or old_until)
        old.info = replace(old.info, expires_at=ends)
        info = self.put(key, tenant_id, old.info.role, label=old.info.label, created_by=by.name, expires_at=expires_at)
        self._note(tenant_id, by, "key.rotate", info.key_id)
        return info

    async def revoke(self, tenant_id: TenantId | None, key_id: str, *, by: Actor, born: datetime | None = None) -> None:
        self.audit.require(tenant_id, born)
        if tenant_id is None and self._is_last_lasting(key_id):
            raise ConflictError("the platform's last lasting key cannot be revoked: create another one first")
        self._row(tenant_id, key_id)
        del self._rows[key_id]
        self._note(tenant_id, by, "key.revoke", key_id)

    async def touch(self, used: Mapping[str, datetime]) -> None:
        for key_id, at in used.items():
            if row := self._rows.get(key_id):
                row.info = replace(row.info, last_used_at=max(at, row.info.last_used_at or at))

    def _has_room(self, tenant_id: TenantId | None) -> None:
        if tenant_id is not None and sum(row.tenant_id == tenant_id for row in self._rows.values()) >= MAX_KEYS:
            raise too_many_keys()

    def _is_last_lasting(self, key_id: str) -> bool:
        keys = [row.info for row in self._rows.values() if row.tenant_id is None]
        return [key.key_id for key in keys if key.expires_at is None] == [key_id]

    def _row(self, tenant_id: TenantId | None, key_id: str) -> _Row:
        row = self._rows.get(key_id)
        if row is None or row.tenant_id != tenant_id:
            raise NotFoundError("no such key")
        return row

    def _note(self, tenant_id: TenantId | None, by: Actor, action: str, key_id: str) -> None:
        self.audit.write(tenant_id, Deed(by, action, f"key/{key_id}"))
