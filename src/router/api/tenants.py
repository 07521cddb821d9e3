"""Tenants and their config."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import BaseModel, ConfigDict

from contracts.tenant import TenantId
from router.api.dependencies import ServicesDep, of_tenant, platform
from router.domain.access import Caller, Permission, Principal
from router.domain.config_tag import entity_tag, expected_version
from router.service.identity import require_same
from servicekit.problems import OPENAPI_ERRORS
from tenancy.config import TenantConfig, Tier

api = APIRouter(tags=["tenants"], responses=OPENAPI_ERRORS)

Platform = Annotated[Principal, Depends(platform(Permission.TENANTS))]
Reader = Annotated[Caller, Depends(of_tenant(Permission.CONFIG_READ))]
Writer = Annotated[Caller, Depends(of_tenant(Permission.CONFIG_WRITE))]


class ConfigBody(TenantConfig):
    """The config as it travels: with the tenant's id, which must be the path's."""

    tenant_id: TenantId | None = None

    def config(self) -> TenantConfig:
        return TenantConfig.model_validate(self.model_dump(exclude={"tenant_id"}))


class NewTenant(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tenant_id: TenantId
    tier: Tier = Tier.BASIC
    config: ConfigBody = ConfigBody()


class CreatedTenant(BaseModel):
    tenant_id: TenantId
    admin_key: str


class TenantItem(BaseModel):
    tenant_id: TenantId
    tier: Tier
    config_version: int
    created_at: str


class TenantPage(BaseModel):
    items: list[TenantItem]
    next: str | None


@api.post("/tenants", status_code=201)
async def create(body: NewTenant, _: Platform, found: ServicesDep) -> CreatedTenant:
    """Create a tenant. `admin_key` is shown this once."""
    require_same(body.tenant_id, body.config.tenant_id)
    key = await found.tenants.create(body.tenant_id, body.tier, body.config.config())
    return CreatedTenant(tenant_id=body.tenant_id, admin_key=key.text)


@api.get("/tenants")
async def list_tenants(
    _: Platform,
    found: ServicesDep,
    after: Annotated[str, Query(max_length=63, pattern="^[a-z0-9-]*$")] = "",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> TenantPage:
    rows = await found.tenants.list(after, limit)
    items = [
        TenantItem(
            tenant_id=row.tenant_id,
            tier=row.tier,
            config_version=row.config_version,
            created_at=row.created_at.isoformat(),
        )
        for row in rows
    ]
    return TenantPage(items=items, next=str(rows[-1].tenant_id) if len(rows) == limit else None)


@api.get("/tenant/{tenant_id}/config")
async def read_config(caller: Reader, found: ServicesDep, response: Response) -> ConfigBody:
    current = await found.tenants.config(caller.tenant_id)
    response.headers["etag"] = entity_tag(current.version)
    return _body(caller.tenant_id, current.config)


@api.put("/tenant/{tenant_id}/config")
async def replace_config(
    caller: Writer,
    body: ConfigBody,
    found: ServicesDep,
    response: Response,
    if_match: Annotated[str | None, Header()] = None,
) -> ConfigBody:
    """Replace the whole config; a field that is left out takes its default. Governs every request admitted one
    second after the 200. With `If-Match`, 412 when somebody else was faster."""
    require_same(caller.tenant_id, body.tenant_id)
    config = body.config()
    version = await found.tenants.replace_config(caller.tenant_id, config, caller.principal, expected_version(if_match))
    response.headers["etag"] = entity_tag(version)
    return _body(caller.tenant_id, config)


def _body(tenant_id: TenantId, config: TenantConfig) -> ConfigBody:
    fields: dict[str, Any] = {name: getattr(config, name) for name in TenantConfig.model_fields}
    return ConfigBody(tenant_id=tenant_id, **fields)
