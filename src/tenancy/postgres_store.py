"""Tenants and keys in PostgreSQL."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from contracts.context import Role
from contracts.errors import ConflictError, NotFoundError, PreconditionFailedError
from contracts.tenant import TenantId
from stores.patience import bounded
from stores.postgres import CALL_S, Database
from tenancy.config import TenantConfig, Tier
from tenancy.keys import KeyHolder, NewKey
from tenancy.ports import ConfigVersion, TenantSummary

_INSERT_TENANT = text("INSERT INTO tenants (tenant_id, tier, config_version) VALUES (:tenant, :tier, 1)")
_INSERT_CONFIG = text(
    "INSERT INTO tenant_configs (tenant_id, version, config, author) VALUES (:tenant, :version, :config, :author)"
)
_INSERT_KEY = text(
    "INSERT INTO api_keys (key_id, key_hash, tenant_id, role, label) VALUES (:id, :hash, :tenant, :role, :label)"
)
_LIST = text("SELECT tenant_id, tier, config_version, created_at FROM list_tenants(:after, :limit)")
_READ = text(
    "SELECT t.config_version, CASE WHEN t.config_version <> :known THEN c.config END"
    " FROM tenants t JOIN tenant_configs c ON c.tenant_id = t.tenant_id AND c.version = t.config_version"
    " WHERE t.tenant_id = :tenant"
)
_LOCK = text("SELECT config_version FROM tenants WHERE tenant_id = :tenant FOR UPDATE")
_ADVANCE = text("UPDATE tenants SET config_version = :version WHERE tenant_id = :tenant")
_FIND_KEY = text("SELECT key_id, tenant_id, role FROM find_api_key(:hash)")
_FIRST_KEY = text("SELECT add_first_platform_key(:id, :hash, :label)")

_NO_VERSION = 0


class PostgresTenantStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    @bounded(CALL_S, "postgres")
    async def create(self, tenant_id: TenantId, tier: Tier, config: TenantConfig, admin_key: NewKey) -> None:
        tenant = str(tenant_id)
        try:
            async with self._database.tenant(tenant_id) as connection:
                await connection.execute(_INSERT_TENANT, {"tenant": tenant, "tier": tier.value})
                await connection.execute(_INSERT_CONFIG, _config_row(tenant_id, 1, config, "platform"))
                await connection.execute(
                    _INSERT_KEY,
                    {
                        "id": admin_key.key_id,
                        "hash": admin_key.key_hash,
                        "tenant": tenant,
                        "role": Role.TENANT_ADMIN.value,
                        "label": "first admin key",
                    },
                )
        except IntegrityError as error:
            raise ConflictError(f"the tenant {tenant_id} exists already") from error

    @bounded(CALL_S, "postgres")
    async def list(self, after: str, limit: int) -> list[TenantSummary]:
        async with self._database.no_tenant() as connection:
            rows = (await connection.execute(_LIST, {"after": after, "limit": limit})).all()
        return [TenantSummary(TenantId(row[0]), Tier(row[1]), row[2], row[3]) for row in rows]

    @bounded(CALL_S, "postgres")
    async def read_config(self, tenant_id: TenantId) -> ConfigVersion | None:
        found = await self.read_config_unless(tenant_id, _NO_VERSION)
        return found if isinstance(found, ConfigVersion) else None

    @bounded(CALL_S, "postgres")
    async def read_config_unless(self, tenant_id: TenantId, known_version: int) -> ConfigVersion | int | None:
        async with self._database.tenant(tenant_id) as connection:
            row = (await connection.execute(_READ, {"tenant": str(tenant_id), "known": known_version})).one_or_none()
        if row is None:
            return None
        version, config = row
        if config is None:
            return int(version)
        return ConfigVersion(version, TenantConfig.model_validate(config))

    @bounded(CALL_S, "postgres")
    async def write_config(
        self, tenant_id: TenantId, config: TenantConfig, *, author: str, expected_version: int | None
    ) -> int:
        tenant = str(tenant_id)
        async with self._database.tenant(tenant_id) as connection:
            current: int | None = (await connection.execute(_LOCK, {"tenant": tenant})).scalar_one_or_none()
            if current is None:
                raise NotFoundError("no such tenant")
            if expected_version not in {None, current}:
                raise PreconditionFailedError(
                    f"the config is at version {current}, not {expected_version}: read it again",
                    details={"current_version": current},
                )
            version = current + 1
            await connection.execute(_INSERT_CONFIG, _config_row(tenant_id, version, config, author))
            await connection.execute(_ADVANCE, {"tenant": tenant, "version": version})
        return version


class PostgresKeyStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    @bounded(CALL_S, "postgres")
    async def find(self, key_hash: bytes) -> KeyHolder | None:
        async with self._database.no_tenant() as connection:
            row = (await connection.execute(_FIND_KEY, {"hash": key_hash})).one_or_none()
        if row is None:
            return None
        key_id, tenant, role = row
        return KeyHolder(key_id, TenantId(tenant) if tenant is not None else None, Role(role))

    @bounded(CALL_S, "postgres")
    async def add_first_platform_key(self, key: NewKey, label: str) -> bool:
        async with self._database.no_tenant() as connection:
            values = {"id": key.key_id, "hash": key.key_hash, "label": label}
            return bool((await connection.execute(_FIRST_KEY, values)).scalar_one())


def _config_row(tenant_id: TenantId, version: int, config: TenantConfig, author: str) -> dict[str, object]:
    return {"tenant": str(tenant_id), "version": version, "config": config.model_dump_json(), "author": author}
