"""Tenants and their versioned config in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.context import Role
from contracts.errors import ConflictError, IdempotencyMismatchError, NotFoundError, PreconditionFailedError
from contracts.tenant import TenantId
from stores.patience import bounded
from stores.postgres import CALL_S, Database
from tenancy.audit import Actor, Deed, digest
from tenancy.config import TenantConfig, Tier
from tenancy.keys import NewKey
from tenancy.ports import (
    FIRST_VERSION,
    PAGE_BYTES,
    ConfigEntry,
    Onboarding,
    Revision,
    TenantRecord,
    TenantState,
    TenantSummary,
)
from tenancy.postgres_audit import append_event
from tenancy.postgres_keys import insert_key

_SUMMARY = "tenant_id, display_name, tier, state, config_version, created_at"
_ENTRY = "version, config, author, comment, created_at"
_INSERT_TENANT = text(
    "INSERT INTO tenants (tenant_id, display_name, tier, config_version, onboarding_key, onboarding_request,"
    " onboarding_nonce) VALUES (:tenant, :display_name, :tier, 1, :key, :request, :nonce)"
)
_INSERT_CONFIG = text(
    "INSERT INTO tenant_configs (tenant_id, version, config, author, comment)"
    " VALUES (:tenant, :version, :config, :author, :comment)"
)
_ONBOARDING = text(
    "SELECT onboarding_key, onboarding_request, onboarding_nonce FROM tenants"
    " WHERE tenant_id = :tenant AND onboarding_key IS NOT NULL AND state <> 'deleting'"
)
_LIST = text(f"SELECT {_SUMMARY} FROM list_tenants(:after, :limit)")
_READ = text(
    "SELECT t.created_at, t.config_version, t.state, CASE WHEN t.config_version <> :version OR t.state <> :state"
    " OR t.created_at IS DISTINCT FROM :born THEN c.config END AS config"
    " FROM tenants t JOIN tenant_configs c ON c.tenant_id = t.tenant_id AND c.version = t.config_version"
    " WHERE t.tenant_id = :tenant"
)
# Alone: joined to the config, a writer that had to wait would look for the old version of the row it waited for.
_LOCK = text(
    "SELECT config_version, state FROM tenants WHERE tenant_id = :tenant AND state <> 'deleting' FOR NO KEY UPDATE"
)
_ADVANCE = text(
    "UPDATE tenants SET config_version = :version, display_name = :display_name, tier = :tier WHERE tenant_id = :tenant"
)
_SET_STATE = text(f"UPDATE tenants SET state = :state WHERE tenant_id = :tenant RETURNING {_SUMMARY}")
_VERSIONS = text(
    f"SELECT {_ENTRY}, octet_length(config::text) AS bytes FROM tenant_configs"
    " WHERE tenant_id = :tenant AND version < :before ORDER BY version DESC LIMIT :limit"
)
_VERSION = text(f"SELECT {_ENTRY} FROM tenant_configs WHERE tenant_id = :tenant AND version = :version")

_ABOVE_ALL = 2**31 - 1


class PostgresTenantStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    @bounded(CALL_S, "postgres")
    async def create(
        self,
        tenant_id: TenantId,
        config: TenantConfig,
        admin_key: NewKey,
        *,
        by: Actor,
        onboarding: Onboarding | None = None,
    ) -> None:
        values = {
            "tenant": str(tenant_id),
            "display_name": config.display_name,
            "tier": config.tier.value,
            "key": onboarding.key_hash if onboarding else None,
            "request": onboarding.request_hash if onboarding else None,
            "nonce": onboarding.nonce if onboarding else None,
        }
        try:
            async with self._database.tenant_as_platform(tenant_id) as connection:
                await connection.execute(_INSERT_TENANT, values)
                await _insert_config(connection, tenant_id, FIRST_VERSION, config, by, "created")
                key = await insert_key(
                    connection,
                    tenant_id,
                    admin_key,
                    label="first admin key",
                    role=Role.TENANT_ADMIN,
                    expires_at=None,
                    by=by,
                )
                deed = Deed(
                    by,
                    "tenant.create",
                    f"tenant/{tenant_id}",
                    after_hash=digest(config.model_dump(mode="json")),
                    details={"tier": config.tier.value, "admin_key": key.key_id},
                )
                await _tell_both(connection, tenant_id, deed)
        except IntegrityError as error:
            if "onboarding_key" in (_constraint(error) or ""):
                raise IdempotencyMismatchError("this Idempotency-Key was used for another tenant") from error
            raise ConflictError(f"the tenant {tenant_id} exists already") from error

    @bounded(CALL_S, "postgres")
    async def onboarding(self, tenant_id: TenantId) -> Onboarding | None:
        async with self._database.tenant(tenant_id) as connection:
            row = (await connection.execute(_ONBOARDING, {"tenant": str(tenant_id)})).one_or_none()
        return Onboarding(*(bytes(value) for value in row)) if row else None

    @bounded(CALL_S, "postgres")
    async def list(self, after: str, limit: int) -> list[TenantSummary]:
        async with self._database.no_tenant() as connection:
            return [_summary(row) for row in await connection.execute(_LIST, {"after": after, "limit": limit})]

    @bounded(CALL_S, "postgres")
    async def read(self, tenant_id: TenantId) -> TenantRecord | None:
        found = await self.read_unless(tenant_id, None)
        return found if isinstance(found, TenantRecord) else None

    @bounded(CALL_S, "postgres")
    async def read_unless(self, tenant_id: TenantId, known: Revision | None) -> TenantRecord | Revision | None:
        values = {
            "tenant": str(tenant_id),
            "version": known.version if known else 0,
            "state": known.state.value if known else "",
            "born": known.born if known else None,
        }
        async with self._database.tenant(tenant_id) as connection:
            row = (await connection.execute(_READ, values)).one_or_none()
        if row is None:
            return None
        revision = Revision(row.created_at, row.config_version, TenantState(row.state))
        if row.config is None:
            return revision
        return TenantRecord(tenant_id, revision, TenantConfig.model_validate(row.config))

    @bounded(CALL_S, "postgres")
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
        async with self._database.tenant(tenant_id, born=born) as connection:
            current = await _lock(connection, tenant_id)
            if expected is not None and current.config_version not in expected:
                raise PreconditionFailedError(
                    f"the config is at version {current.config_version}: read it again",
                    details={"current_version": current.config_version},
                )
            version = int(current.config_version) + 1
            named = {"tenant": str(tenant_id), "version": current.config_version}
            before = (await connection.execute(_VERSION, named)).one()
            await _insert_config(connection, tenant_id, version, config, by, comment)
            values = {"version": version, "display_name": config.display_name, "tier": config.tier.value}
            await connection.execute(_ADVANCE, {"tenant": str(tenant_id), **values})
            deed = Deed(
                by,
                "config.write",
                f"config/{version}",
                before_hash=digest(before.config),
                after_hash=digest(config.model_dump(mode="json")),
                details={"comment": comment},
            )
            await append_event(connection, tenant_id, deed)
        return version

    @bounded(CALL_S, "postgres")
    async def versions(
        self, tenant_id: TenantId, *, before: int | None, limit: int, born: datetime | None = None
    ) -> Sequence[ConfigEntry]:
        below = _ABOVE_ALL if before is None else before
        page: list[ConfigEntry] = []
        size, wanted = 0, min(limit, 2)
        async with self._database.tenant(tenant_id, born=born) as connection:
            while wanted:
                values = {"tenant": str(tenant_id), "before": below, "limit": wanted}
                rows = (await connection.execute(_VERSIONS, values)).all()
                page += [ConfigEntry(*row[:-1]) for row in rows]
                size += sum(row.bytes for row in rows)
                if len(rows) < wanted or size >= PAGE_BYTES:
                    break
                below = page[-1].version
                # As many as will fit if they are as large as these: more than fit are never read at once.
                wanted = min(limit - len(page), max(1, (PAGE_BYTES - size) * len(page) // size))
        return page

    @bounded(CALL_S, "postgres")
    async def version(self, tenant_id: TenantId, version: int, *, born: datetime | None = None) -> ConfigEntry:
        async with self._database.tenant(tenant_id, born=born) as connection:
            found = await connection.execute(_VERSION, {"tenant": str(tenant_id), "version": version})
            row = found.one_or_none()
        if row is None:
            raise NotFoundError("no such version")
        return ConfigEntry(*row)

    @bounded(CALL_S, "postgres")
    async def set_state(self, tenant_id: TenantId, state: TenantState, *, by: Actor) -> TenantSummary:
        async with self._database.tenant_as_platform(tenant_id) as connection:
            current = await _lock(connection, tenant_id)
            values = {"tenant": str(tenant_id), "state": state.value}
            row = (await connection.execute(_SET_STATE, values)).one()
            if current.state != state.value:
                verb = {TenantState.SUSPENDED: "tenant.suspend", TenantState.ACTIVE: "tenant.resume"}[state]
                await _tell_both(connection, tenant_id, Deed(by, verb, f"tenant/{tenant_id}"))
        return _summary(row)


async def _tell_both(connection: AsyncConnection, tenant_id: TenantId, deed: Deed) -> None:
    """What the platform does to a tenant stands in the tenant's log, and in its own, which outlives the tenant."""
    await append_event(connection, tenant_id, deed)
    await append_event(connection, None, deed)


async def _lock(connection: AsyncConnection, tenant_id: TenantId) -> Row[Any]:
    """Takes the tenant's row lock, which every writer of the tenant takes first."""
    row = (await connection.execute(_LOCK, {"tenant": str(tenant_id)})).one_or_none()
    if row is None:
        raise NotFoundError("no such tenant")
    return row


async def _insert_config(
    connection: AsyncConnection, tenant_id: TenantId, version: int, config: TenantConfig, by: Actor, comment: str
) -> None:
    values = {"version": version, "config": config.model_dump_json(), "author": by.name, "comment": comment}
    await connection.execute(_INSERT_CONFIG, {"tenant": str(tenant_id), **values})


def _summary(row: Row[Any]) -> TenantSummary:
    return TenantSummary(
        TenantId(row.tenant_id),
        row.display_name,
        Tier(row.tier),
        TenantState(row.state),
        row.config_version,
        row.created_at,
    )


def _constraint(error: IntegrityError) -> str | None:
    diagnosis = getattr(error.orig, "diag", None)
    return getattr(diagnosis, "constraint_name", None)
