"""The platform's tenants: onboard, list, suspend, resume, delete."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.errors import InvalidRequestError
from contracts.tenant import TenantId
from router.api.configs import ConfigBody, invalid_config
from router.api.dependencies import ActorDep, IdempotencyKey, NamedTenantDep, ServicesDep
from router.service.access import require_same
from servicekit.problems import OPENAPI_ERRORS
from tenancy.config import Tier
from tenancy.ports import TenantState, TenantSummary

api = APIRouter(tags=["tenants"], responses=OPENAPI_ERRORS)


class NewTenant(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tenant_id: TenantId
    tier: Tier | None = None
    config: ConfigBody = ConfigBody()


class CreatedTenant(BaseModel):
    tenant_id: TenantId
    admin_key: str


class TenantItem(BaseModel):
    tenant_id: TenantId
    display_name: str
    tier: Tier
    state: TenantState
    config_version: int
    created_at: datetime


class TenantPage(BaseModel):
    items: list[TenantItem]
    next: str | None


class DeletionReceipt(BaseModel):
    """`removed` and `left` count by store and kind, such as `postgres.chunks`. `left` is all zeros."""

    tenant_id: TenantId
    started_at: datetime
    finished_at: datetime
    removed: dict[str, int]
    left: dict[str, int]


@api.post("/tenants", status_code=201)
async def create(
    body: NewTenant, actor: ActorDep, found: ServicesDep, idempotency_key: IdempotencyKey = None
) -> CreatedTenant:
    """Create a tenant with its tier's defaults. `admin_key` is shown this once; to the same request with the same
    `Idempotency-Key`, again."""
    require_same(body.tenant_id, body.config.tenant_id)
    if body.tier and body.config.tier and body.tier is not body.config.tier:
        raise InvalidRequestError("tier and config.tier disagree")
    try:
        tier = body.tier or body.config.tier or Tier.BASIC
        config = await found.configs.first(body.tenant_id, body.config.said(), tier)
    except ValidationError as error:
        raise invalid_config(error) from error
    onboarded = await found.tenants.create(
        body.tenant_id,
        config,
        by=actor,
        idempotency_key=idempotency_key,
        request=body.model_dump_json(exclude_unset=True).encode(),
    )
    return CreatedTenant(tenant_id=body.tenant_id, admin_key=onboarded.admin_key)


@api.get("/tenants")
async def list_tenants(
    found: ServicesDep,
    after: Annotated[str, Query(max_length=63, pattern="^[a-z0-9-]*$")] = "",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> TenantPage:
    rows = await found.tenants.list(after, limit)
    return TenantPage(items=[_item(row) for row in rows], next=str(rows[-1].tenant_id) if len(rows) == limit else None)


@api.post("/tenants/{tenant_id}/suspend")
async def suspend(tenant_id: NamedTenantDep, actor: ActorDep, found: ServicesDep) -> TenantItem:
    """Refuse the tenant's requests with 403 `tenant_suspended`, from one second later on at the latest. What it has
    stays readable for its admin."""
    return _item(await found.tenants.set_state(tenant_id, TenantState.SUSPENDED, by=actor))


@api.post("/tenants/{tenant_id}/resume")
async def resume(tenant_id: NamedTenantDep, actor: ActorDep, found: ServicesDep) -> TenantItem:
    return _item(await found.tenants.set_state(tenant_id, TenantState.ACTIVE, by=actor))


@api.delete("/tenants/{tenant_id}")
async def delete(tenant_id: NamedTenantDep, actor: ActorDep, found: ServicesDep) -> DeletionReceipt:
    """Remove everything of the tenant, everywhere. The answer is the receipt, which the platform's audit log keeps.
    Whatever stops it halfway, the same call, or a router by itself within minutes, goes on where it stopped."""
    receipt = await found.deletion.delete(tenant_id, by=actor)
    return DeletionReceipt(
        tenant_id=receipt.tenant_id,
        started_at=receipt.started_at,
        finished_at=receipt.finished_at,
        removed=dict(receipt.removed),
        left=dict(receipt.left),
    )


def _item(row: TenantSummary) -> TenantItem:
    return TenantItem(
        tenant_id=row.tenant_id,
        display_name=row.display_name,
        tier=row.tier,
        state=row.state,
        config_version=row.config_version,
        created_at=row.created_at,
    )
