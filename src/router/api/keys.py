"""API keys: a tenant's under `/tenant/{id}/keys`, the platform's under `/keys`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import Response

from contracts.context import Role
from contracts.text import Storable
from router.api.bounded import BoundedRoute
from router.api.dependencies import ActorDep, CallerDep, ServicesDep
from router.service.keys import MAX_OVERLAP, ShownKey
from servicekit.problems import OPENAPI_ERRORS
from tenancy.keys import KeyInfo

api = APIRouter(tags=["keys"], responses=OPENAPI_ERRORS, route_class=BoundedRoute)

Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), Storable]
KeyId = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
DEFAULT_OVERLAP = timedelta(hours=1)


class NewTenantKey(BaseModel):
    model_config = ConfigDict(extra="forbid")

    label: Label
    role: Role
    expires_at: AwareDatetime | None = None


class NewPlatformKey(BaseModel):
    model_config = ConfigDict(extra="forbid")

    label: Label
    role: Role = Role.PLATFORM_ADMIN
    expires_at: AwareDatetime | None = None


class Rotation(BaseModel):
    """`overlap_s`: for how long the old key goes on; 0 ends it at once. `expires_at` is the new key's end; without it
    the new key lives as long as the old one was made to."""

    model_config = ConfigDict(extra="forbid")

    overlap_s: int = Field(default=int(DEFAULT_OVERLAP.total_seconds()), ge=0, le=int(MAX_OVERLAP.total_seconds()))
    expires_at: AwareDatetime | None = None


class KeyItem(BaseModel):
    key_id: str
    label: str
    role: Role
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class CreatedKey(KeyItem):
    """`key` is shown this once."""

    key: str


class KeyList(BaseModel):
    items: list[KeyItem]


@api.get("/tenant/{tenant_id}/keys")
async def tenant_keys(caller: CallerDep, found: ServicesDep) -> KeyList:
    return _list(await found.keys.list(caller.tenant_id, born=caller.born))


@api.post("/tenant/{tenant_id}/keys", status_code=201)
async def create_tenant_key(caller: CallerDep, body: NewTenantKey, found: ServicesDep) -> CreatedKey:
    """A key of the roles `tenant_admin`, `tenant_user` or `service`. Its text is shown this once."""
    return _created(
        await found.keys.create(
            caller.tenant_id,
            label=body.label,
            role=body.role,
            expires_at=body.expires_at,
            by=caller.actor(),
            born=caller.born,
        )
    )


@api.post("/tenant/{tenant_id}/keys/{key_id}/rotate", status_code=201)
async def rotate_tenant_key(
    caller: CallerDep, key_id: KeyId, found: ServicesDep, body: Rotation | None = None
) -> CreatedKey:
    """A new key in the place of an old one, which goes on for `overlap_s` seconds (one hour if not said)."""
    asked = body or Rotation()
    return _created(
        await found.keys.rotate(
            caller.tenant_id,
            key_id,
            overlap=timedelta(seconds=asked.overlap_s),
            expires_at=asked.expires_at,
            by=caller.actor(),
            born=caller.born,
        )
    )


@api.delete("/tenant/{tenant_id}/keys/{key_id}", status_code=204)
async def revoke_tenant_key(caller: CallerDep, key_id: KeyId, found: ServicesDep) -> Response:
    """Refused by every router one second later at the latest."""
    await found.keys.revoke(caller.tenant_id, key_id, by=caller.actor(), born=caller.born)
    return Response(status_code=204)


@api.get("/keys")
async def platform_keys(found: ServicesDep) -> KeyList:
    return _list(await found.keys.list(None))


@api.post("/keys", status_code=201)
async def create_platform_key(body: NewPlatformKey, actor: ActorDep, found: ServicesDep) -> CreatedKey:
    return _created(
        await found.keys.create(None, label=body.label, role=body.role, expires_at=body.expires_at, by=actor)
    )


@api.post("/keys/{key_id}/rotate", status_code=201)
async def rotate_platform_key(
    key_id: KeyId, actor: ActorDep, found: ServicesDep, body: Rotation | None = None
) -> CreatedKey:
    asked = body or Rotation()
    return _created(
        await found.keys.rotate(
            None, key_id, overlap=timedelta(seconds=asked.overlap_s), expires_at=asked.expires_at, by=actor
        )
    )


@api.delete("/keys/{key_id}", status_code=204)
async def revoke_platform_key(key_id: KeyId, actor: ActorDep, found: ServicesDep) -> Response:
    """409 for the last one that does not expire: without it nobody could administer the platform."""
    await found.keys.revoke(None, key_id, by=actor)
    return Response(status_code=204)


def _list(rows: list[KeyInfo]) -> KeyList:
    return KeyList(items=[KeyItem(**_fields(row)) for row in rows])


def _created(shown: ShownKey) -> CreatedKey:
    return CreatedKey(key=shown.text, **_fields(shown.info))


def _fields(row: KeyInfo) -> dict[str, object]:
    return {name: getattr(row, name) for name in KeyItem.model_fields}
