"""A tenant's config and its history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from contracts.errors import InvalidRequestError
from contracts.tenant import TenantId
from contracts.text import Storable
from router.api.dependencies import CallerDep, Services, ServicesDep
from router.domain.caller import Caller
from router.domain.config_tag import entity_tag, expected_versions
from router.service.access import require_same
from router.service.configs import Written
from router.service.identity import tenant_id_from
from servicekit.problems import OPENAPI_ERRORS, malformed
from tenancy.config import TenantConfig, Tier
from tenancy.ports import ConfigEntry

api = APIRouter(prefix="/tenant/{tenant_id}/config", tags=["config"], responses=OPENAPI_ERRORS)

IfMatch = Annotated[str | None, Header()]
CommentText = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500), Storable]
Comment = Annotated[CommentText, Query(description="why, for the history")]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]


class WarningItem(BaseModel):
    """Something that is allowed and yet hardly meant, such as a rule that an earlier one always precedes."""

    path: str
    reason: str


class _OfTenant(BaseModel):
    tenant_id: TenantId | None = None


class ConfigBody(TenantConfig, _OfTenant):  # fields stand in the order of the last base first: the id leads
    """The config as it travels: with the tenant's id, which must be the path's. Without a tier the tier stays.

    `warnings` is what a write answers with; sent back, it is not looked at.
    """

    tier: Tier | None = None  # type: ignore[assignment]  # left out means: as it is
    warnings: tuple[WarningItem, ...] = ()

    def said(self) -> dict[str, Any]:
        """The fields that were given; the others take the tier's defaults."""
        return self.model_dump(exclude_unset=True, exclude={"tenant_id", "warnings"})


class Rollback(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: int = Field(ge=1, le=2**31 - 1)
    comment: CommentText = ""


class ChangeItem(BaseModel):
    path: str
    kind: str
    before: Any = None
    after: Any = None


class VersionItem(BaseModel):
    version: int
    author: str
    comment: str
    created_at: datetime
    changes: list[ChangeItem]


class VersionPage(BaseModel):
    """Newest first. `next` goes into `before`."""

    items: list[VersionItem]
    next: int | None


class StoredVersion(BaseModel):
    version: int
    author: str
    comment: str
    created_at: datetime
    config: dict[str, Any]


@api.get("", response_model_exclude={"warnings"})
async def read(caller: CallerDep, found: ServicesDep, response: Response) -> ConfigBody:
    current = await found.configs.current(caller)
    response.headers["etag"] = entity_tag(current.revision.version)
    return ConfigBody(tenant_id=caller.tenant_id, **_fields(current.config))


@api.put("")
async def replace(
    caller: CallerDep,
    body: ConfigBody,
    found: ServicesDep,
    response: Response,
    if_match: IfMatch = None,
    comment: Comment = "",
) -> ConfigBody:
    """Replace the whole config; a field that is left out takes its default. Governs every request admitted one
    second after the 200. With `If-Match`, 412 when somebody else was faster."""
    require_same(caller.tenant_id, body.tenant_id)
    try:
        written = await found.configs.replace(
            caller, body.said(), expected=expected_versions(if_match), comment=comment
        )
    except ValidationError as error:
        raise invalid_config(error) from error
    return await _written(caller, written, found, response)


@api.patch("")
async def patch(
    caller: CallerDep,
    body: Annotated[dict[str, Any], Body()],
    found: ServicesDep,
    response: Response,
    if_match: IfMatch = None,
    comment: Comment = "",
) -> ConfigBody:
    """JSON Merge Patch (RFC 7396): the fields that are given change, null takes one back to its default."""
    try:
        written = await found.configs.patch(
            caller, said_by(caller, body), expected=expected_versions(if_match), comment=comment
        )
    except ValidationError as error:
        raise invalid_config(error) from error
    return await _written(caller, written, found, response)


@api.get("/versions")
async def versions(
    caller: CallerDep,
    found: ServicesDep,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> VersionPage:
    """Who changed what, when and why. A page is shorter than `limit` where configs are large: go on with `next`."""
    history = await found.configs.history(caller, before=before, limit=limit)
    items = [
        VersionItem(
            version=item.entry.version,
            author=item.entry.author,
            comment=item.entry.comment,
            created_at=item.entry.created_at,
            changes=[
                ChangeItem(path=change.path, kind=change.kind, before=change.before, after=change.after)
                for change in item.changes
            ],
        )
        for item in history
    ]
    last = items[-1].version if items else 1
    return VersionPage(items=items, next=last if last > 1 else None)


@api.get("/versions/{version}")
async def version(caller: CallerDep, version: Version, found: ServicesDep) -> StoredVersion:
    return _stored(await found.configs.version(caller, version))


@api.post("/rollback")
async def rollback(
    caller: CallerDep, body: Rollback, found: ServicesDep, response: Response, if_match: IfMatch = None
) -> ConfigBody:
    """Make what an earlier version said the newest version. Nothing of the history is lost."""
    try:
        written = await found.configs.rollback(
            caller, body.version, expected=expected_versions(if_match), comment=body.comment
        )
    except ValidationError as error:
        raise invalid_config(error) from error
    return await _written(caller, written, found, response)


def invalid_config(error: ValidationError) -> InvalidRequestError:
    """What is wrong where, without repeating the value."""
    return malformed(error.errors(include_url=False, include_context=False, include_input=False))


def _fields(config: TenantConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in TenantConfig.model_fields}


def said_by(caller: Caller, patch: Mapping[str, Any]) -> dict[str, Any]:
    """A merge patch without what travels with a config and is no field of it; another tenant's id is refused."""
    named = patch.get("tenant_id")
    require_same(caller.tenant_id, tenant_id_from(str(named), "tenant_id") if named is not None else None)
    return {name: value for name, value in patch.items() if name not in {"tenant_id", "warnings"}}


async def warning_items(caller: Caller, config: TenantConfig, found: Services) -> list[WarningItem]:
    return [
        WarningItem(path=one.path, reason=one.reason) for one in await found.configs.warnings(caller.tenant_id, config)
    ]


async def _written(caller: Caller, written: Written, found: Services, response: Response) -> ConfigBody:
    response.headers["etag"] = entity_tag(written.version)
    told = await warning_items(caller, written.config, found)
    return ConfigBody(tenant_id=caller.tenant_id, warnings=tuple(told), **_fields(written.config))


def _stored(entry: ConfigEntry) -> StoredVersion:
    return StoredVersion(
        version=entry.version,
        author=entry.author,
        comment=entry.comment,
        created_at=entry.created_at,
        config=dict(entry.config),
    )
