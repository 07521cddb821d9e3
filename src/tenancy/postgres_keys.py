"""API keys in PostgreSQL: their hashes, never their text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.context import Role
from contracts.errors import ConflictError, NotFoundError
from contracts.tenant import TenantId
from stores.patience import bounded
from stores.postgres import CALL_S, Database
from tenancy.audit import Actor, Deed
from tenancy.keys import MAX_KEYS, KeyHolder, KeyInfo, NewKey, too_many_keys
from tenancy.postgres_audit import append_event, tenant_text

_INFO = "key_id, label, role, created_by, created_at, expires_at, last_used_at"
_INSERT = text(
    "INSERT INTO api_keys (key_id, key_hash, tenant_id, role, label, created_by, expires_at)"
    f" VALUES (:id, :hash, :tenant, :role, :label, :by, :expires_at) RETURNING {_INFO}"
)
_LIST = text(f"SELECT {_INFO} FROM api_keys WHERE tenant_id IS NOT DISTINCT FROM :tenant ORDER BY created_at, key_id")
_LOCK = text(
    f"SELECT {_INFO} FROM api_keys WHERE tenant_id IS NOT DISTINCT FROM :tenant AND key_id = :id"
    " AND (expires_at IS NULL OR expires_at > now() OR :expired_too) FOR UPDATE"
)
_END = text(
    "UPDATE api_keys SET expires_at = least(expires_at, :until)"
    " WHERE tenant_id IS NOT DISTINCT FROM :tenant AND key_id = :id"
)
_LASTING = text(
    "SELECT key_id FROM api_keys WHERE tenant_id IS NOT DISTINCT FROM :tenant AND expires_at IS NULL"
    " ORDER BY key_id FOR UPDATE"
)
_DELETE = text("DELETE FROM api_keys WHERE tenant_id IS NOT DISTINCT FROM :tenant AND key_id = :id")
# Writers of a tenant's keys take their turns: none counts past another's.
_LOCK_TENANT = text("SELECT state FROM tenants WHERE tenant_id = :tenant FOR NO KEY UPDATE")
_COUNT = text("SELECT count(*) FROM api_keys WHERE tenant_id = :tenant")
_FIND = text("SELECT key_id, tenant_id, role, expires_at FROM find_api_key(:hash)")
_FIRST = text("SELECT add_first_platform_key(:id, :hash, :label)")
_TOUCH = text("SELECT touch_api_keys(:ids, :times)")


async def insert_key(
    connection: AsyncConnection,
    tenant_id: TenantId | None,
    key: NewKey,
    *,
    label: str,
    role: Role,
    expires_at: datetime | None,
    by: Actor,
) -> KeyInfo:
    """Within the caller's transaction; the audit event is the caller's as well."""
    values = {
        "id": key.key_id,
        "hash": key.key_hash,
        "tenant": tenant_text(tenant_id),
        "role": role.value,
        "label": label,
        "by": by.name,
        "expires_at": expires_at,
    }
    return _info((await connection.execute(_INSERT, values)).one())


class PostgresKeyStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    @bounded(CALL_S, "postgres")
    async def find(self, key_hash: bytes) -> KeyHolder | None:
        async with self._database.no_tenant() as connection:
            row = (await connection.execute(_FIND, {"hash": key_hash})).one_or_none()
        if row is None:
            return None
        tenant = TenantId(row.tenant_id) if row.tenant_id is not None else None
        return KeyHolder(row.key_id, tenant, Role(row.role), row.expires_at)

    @bounded(CALL_S, "postgres")
    async def add_first_platform_key(self, key: NewKey, label: str) -> bool:
        async with self._database.no_tenant() as connection:
            values = {"id": key.key_id, "hash": key.key_hash, "label": label}
            return bool((await connection.execute(_FIRST, values)).scalar_one())

    @bounded(CALL_S, "postgres")
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
        try:
            async with self._database.scope(tenant_id, born=born) as connection:
                await _has_room(connection, tenant_id)
                info = await insert_key(
                    connection, tenant_id, key, label=label, role=role, expires_at=expires_at, by=by
                )
                await append_event(connection, tenant_id, _deed(by, "key.create", info))
        except IntegrityError as error:
            raise NotFoundError("no such tenant") from error
        return info

    @bounded(CALL_S, "postgres")
    async def list(self, tenant_id: TenantId | None, *, born: datetime | None = None) -> list[KeyInfo]:
        async with self._database.scope(tenant_id, born=born) as connection:
            return [_info(row) for row in await connection.execute(_LIST, {"tenant": tenant_text(tenant_id)})]

    @bounded(CALL_S, "postgres")
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
        named = {"tenant": tenant_text(tenant_id), "id": key_id}
        async with self._database.scope(tenant_id, born=born) as connection:
            await _has_room(connection, tenant_id)
            if tenant_id is None and await _is_last_lasting(connection, key_id) and expires_at is not None:
                raise ConflictError("the platform's last lasting key cannot be replaced by one that expires")
            old = (await connection.execute(_LOCK, {**named, "expired_too": False})).one_or_none()
            if old is None:
                raise NotFoundError("no such key")
            ends = expires_at or (datetime.now(UTC) + (old.expires_at - old.created_at) if old.expires_at else None)
            info = await insert_key(
                connection, tenant_id, key, label=old.label, role=Role(old.role), expires_at=ends, by=by
            )
            await connection.execute(_END, {**named, "until": old_until})
            deed = _deed(by, "key.rotate", info, replaces=key_id, old_until=old_until.isoformat())
            await append_event(connection, tenant_id, deed)
        return info

    @bounded(CALL_S, "postgres")
    async def revoke(self, tenant_id: TenantId | None, key_id: str, *, by: Actor, born: datetime | None = None) -> None:
        named = {"tenant": tenant_text(tenant_id), "id": key_id}
        async with self._database.scope(tenant_id, born=born) as connection:
            if tenant_id is None and await _is_last_lasting(connection, key_id):
                raise ConflictError("the platform's last lasting key cannot be revoked: create another one first")
            found = (await connection.execute(_LOCK, {**named, "expired_too": True})).one_or_none()
            if found is None:
                raise NotFoundError("no such key")
            await connection.execute(_DELETE, named)
            await append_event(connection, tenant_id, _deed(by, "key.revoke", _info(found)))

    @bounded(CALL_S, "postgres")
    async def touch(self, used: Mapping[str, datetime]) -> None:
        async with self._database.no_tenant() as connection:
            await connection.execute(_TOUCH, {"ids": list(used), "times": list(used.values())})


async def _is_last_lasting(connection: AsyncConnection, key_id: str) -> bool:
    """Locks all of the platform's lasting keys, so that two who end one at once cannot each rely on the other's."""
    return [row.key_id for row in await connection.execute(_LASTING, {"tenant": None})] == [key_id]


async def _has_room(connection: AsyncConnection, tenant_id: TenantId | None) -> None:
    """Raises ConflictError for a tenant that has as many keys as it may have."""
    if tenant_id is None:
        return
    await connection.execute(_LOCK_TENANT, {"tenant": str(tenant_id)})
    if int((await connection.execute(_COUNT, {"tenant": str(tenant_id)})).scalar_one()) >= MAX_KEYS:
        raise too_many_keys()


def _info(row: Row[Any]) -> KeyInfo:
    return KeyInfo(**{**row._mapping, "role": Role(row.role)})


def _deed(by: Actor, action: str, key: KeyInfo, **details: str) -> Deed:
    until = key.expires_at.isoformat() if key.expires_at else None
    said = {"label": key.label, "role": key.role.value, "expires_at": until, **details}
    return Deed(by, action, f"key/{key.key_id}", details=said)
