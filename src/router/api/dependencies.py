"""What a route asks for: the services, and a caller that may do what the route does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from contracts.errors import InvalidRequestError
from contracts.tenant import TenantId
from observability.record import record_of
from router.domain.access import Caller, Permission, Principal
from router.domain.pricing import Price
from router.service.chat import ChatService
from router.service.documents import DocumentService
from router.service.identity import Credentials, Identity, is_disguised, require, require_tenant, tenant_id_from
from router.service.tenants import TenantService
from router.settings import is_loopback


@dataclass(frozen=True, slots=True)
class Services:
    identity: Identity
    chat: ChatService
    tenants: TenantService
    documents: DocumentService
    price: Price


async def services(request: Request) -> Services:  # async, or FastAPI would call it in a thread
    found = request.app.state.services
    assert isinstance(found, Services)  # noqa: S101  set by `main`, before the first request
    return found


ServicesDep = Annotated[Services, Depends(services)]


async def principal(request: Request, found: ServicesDep) -> Principal:
    credentials = Credentials(
        authorization=tuple(request.headers.getlist("authorization")),
        tenants=tuple(request.headers.getlist("x-tenant-id")),
        from_loopback=request.client is not None and is_loopback(request.client.host),
        disguised=tuple(filter(is_disguised, request.headers)),
    )
    who = await found.identity.principal(credentials)
    record = record_of(request.scope)
    record.user_id = who.name
    if who.tenant_id is not None:
        record.tenant_id = str(who.tenant_id)
    return who


PrincipalDep = Annotated[Principal, Depends(principal)]


def platform(permission: Permission) -> Callable[[Principal], Awaitable[Principal]]:
    """For a route that belongs to no tenant."""

    async def allowed(who: PrincipalDep) -> Principal:
        require(who, permission)
        return who

    return allowed


def of_tenant(permission: Permission) -> Callable[..., Awaitable[Caller]]:
    """For a route under `/tenant/{tenant_id}`: the path's tenant must be the caller's own."""

    async def allowed(request: Request, tenant_id: str, found: ServicesDep) -> Caller:
        tenant = tenant_id_from(tenant_id, "tenant_id")  # malformed is 422 before any store is asked
        who = await principal(request, found)
        require_tenant(who, tenant, permission)
        record = record_of(request.scope)
        record.tenant_id = str(tenant)
        return Caller(who, tenant, record.request_id)

    return allowed


def own_tenant(who: Principal, named: TenantId | None) -> TenantId:
    """The tenant of a request whose path names none: the credential's, or, for a platform key, the one named."""
    tenant_id = who.tenant_id or named
    if tenant_id is None:
        raise InvalidRequestError("the request names no tenant: send X-Tenant-Id or tenant_id")
    return tenant_id
