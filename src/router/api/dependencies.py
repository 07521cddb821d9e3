"""The gate in front of every operation: what `domain.access` does not open stays shut."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Path, Request
from pydantic import StringConstraints

from contracts.errors import ForbiddenError, InvalidRequestError, NotFoundError
from contracts.tenant import TENANT_ID_PATTERN, TenantId
from observability.record import record_of
from observability.tracing import span
from router.api.stream import SLOW_READER_S
from router.domain.access import OF_PLATFORM, ROUTES, Permission, Principal
from router.domain.caller import Caller, actor_of
from router.domain.client_address import Network, client_address
from router.service.access import Access, require, require_same
from router.service.audit import AuditService
from router.service.chat import ChatService
from router.service.configs import ConfigService
from router.service.deletion import DeletionService
from router.service.documents import DocumentService
from router.service.dry_run import DryRunService
from router.service.export import TenantExport
from router.service.identity import Credentials, Identity, is_disguised, is_private_name, tenant_id_from
from router.service.keys import KeyService
from router.service.limits import LimitService
from router.service.models import Models
from router.service.prices import Prices
from router.service.sessions import SessionService
from router.service.tenant_metrics import TenantMetrics
from router.service.tenant_turns import TenantTurns
from router.service.tenants import TenantService
from router.service.usage import UsageService
from router.settings import is_loopback
from tenancy.audit import Actor

IdempotencyKey = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")] | None, Header()
]

PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "via")


@dataclass(frozen=True, slots=True)
class Services:
    identity: Identity
    access: Access
    tenant_turns: TenantTurns
    chat: ChatService
    models: Models
    limits: LimitService
    tenants: TenantService
    deletion: DeletionService
    configs: ConfigService
    dry_run: DryRunService
    keys: KeyService
    audit: AuditService
    export: TenantExport
    documents: DocumentService
    usage: UsageService
    sessions: SessionService
    prices: Prices
    tenant_metrics: TenantMetrics
    trusted_proxies: tuple[Network, ...] = ()
    slow_reader_s: float = SLOW_READER_S


async def services(request: Request) -> Services:  # async, or FastAPI would call it in a thread
    found = request.app.state.services
    assert isinstance(found, Services)  # noqa: S101  set by `main`, before the first request
    return found


ServicesDep = Annotated[Services, Depends(services)]


@dataclass(frozen=True, slots=True)
class Passage:
    """Who was let through. No principal where the operation asks for none; a caller where it is about a tenant."""

    principal: Principal | None
    caller: Caller | None


async def gate(request: Request) -> AsyncIterator[Passage]:
    """A dependency of the whole app: runs before every operation, also one whose author did not think of it. Stays
    until the answer has been sent."""
    async with AsyncExitStack() as held:
        yield await _let_through(request, held)


async def _let_through(request: Request, held: AsyncExitStack) -> Passage:
    operation = request.scope["route"].path_format
    permission = ROUTES.get((request.method, operation))
    if permission is None:
        raise ForbiddenError("this operation is open to nobody")
    if permission is Permission.OPEN:
        return Passage(None, None)
    tenant = request.path_params.get("tenant_id")
    tenant_id = tenant_id_from(tenant, "tenant_id") if tenant is not None else None  # 422 before any store is asked
    found = await services(request)
    who = await _identify(request, found)
    if tenant_id is None:
        require(who, permission)
        return Passage(who, None)
    if permission in OF_PLATFORM:
        require(who, permission)
        require_same(tenant_id, who.tenant_id)
        record_of(request.scope).tenant_id = str(tenant_id)
        return Passage(who, None)
    caller = await admit(request, found, who, tenant_id, permission)
    await held.enter_async_context(found.tenant_turns.held(tenant_id, permission))
    return Passage(who, caller)


async def admit(
    request: Request, found: Services, who: Principal, tenant_id: TenantId, permission: Permission
) -> Caller:
    record = record_of(request.scope)
    caller = await found.access.admit(
        who, tenant_id, permission, request_id=record.request_id, address=_address(request, found)
    )
    # Not before: a stranger's attempts are not to stand in the tenant's metrics.
    record.tenant_id, record.config_version = str(tenant_id), caller.policy.version
    record.tenant_exists = True
    record.tenant_born = caller.born
    return caller


async def admit_again(request: Request, found: Services, earlier: Caller) -> Caller:
    """For a request that lasts: its credential may have been revoked meanwhile, its tenant suspended, or deleted and
    made again. Raises what the gate raises."""
    permission = ROUTES[request.method, request.scope["route"].path_format]
    who = await _identify(request, found)
    caller = await admit(request, found, who, earlier.tenant_id, permission)
    if caller.born != earlier.born:
        raise NotFoundError("no such tenant")
    return caller


async def _identify(request: Request, found: Services) -> Principal:
    credentials = Credentials(
        authorization=tuple(request.headers.getlist("authorization")),
        tenants=tuple(request.headers.getlist("x-tenant-id")),
        from_loopback=_is_from_here(request),
        disguised=tuple(filter(is_disguised, request.headers)),
    )
    with span("identity"):
        who = await found.identity.principal(credentials)
    record = record_of(request.scope)
    record.user_id = who.name
    if who.tenant_id is not None and not credentials.has_no_key:
        record.tenant_id = str(who.tenant_id)
    return who


def _is_from_here(request: Request) -> bool:
    """Nothing in between: what a proxy on this machine passes on comes from elsewhere."""
    if any(name in request.headers for name in PROXY_HEADERS):
        return False
    return is_loopback(_peer(request)) and is_private_name(_asked_host(request))


def _asked_host(request: Request) -> str:
    """The name that the client asked for, without its port."""
    host = request.headers.get("host", "")
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _peer(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _address(request: Request, found: Services) -> str:
    return client_address(_peer(request), request.headers.getlist("x-forwarded-for"), found.trusted_proxies)


GateDep = Annotated[Passage, Depends(gate)]


async def _principal(passage: GateDep) -> Principal:
    assert passage.principal is not None  # noqa: S101  the operation is not OPEN
    return passage.principal


TenantPath = Annotated[str, Path(pattern=TENANT_ID_PATTERN)]
"""Said for the API's description: the gate has read and checked it already."""


async def _named_tenant(_passage: GateDep, tenant_id: TenantPath) -> TenantId:
    return TenantId(tenant_id)


async def _caller(passage: GateDep, tenant_id: TenantPath) -> Caller:
    assert passage.caller is not None  # noqa: S101  the path names a tenant
    return passage.caller


PrincipalDep = Annotated[Principal, Depends(_principal)]
CallerDep = Annotated[Caller, Depends(_caller)]
NamedTenantDep = Annotated[TenantId, Depends(_named_tenant)]
"""The tenant that the path of a platform operation names, which need not exist."""


async def _actor(request: Request, who: PrincipalDep, found: ServicesDep) -> Actor:
    return actor_of(who, record_of(request.scope).request_id, _address(request, found))


ActorDep = Annotated[Actor, Depends(_actor)]


def own_tenant(who: Principal, named: TenantId | None) -> TenantId:
    """The tenant of a request whose path names none: the credential's, or, for a platform key, the one named."""
    tenant_id = who.tenant_id or named
    if tenant_id is None:
        raise InvalidRequestError("the request names no tenant: send X-Tenant-Id or tenant_id")
    require_same(tenant_id, named)
    return tenant_id
