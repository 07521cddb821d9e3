"""From a principal to a caller: the tenant exists, is the principal's own, is active, and the role may do this."""

from __future__ import annotations

from contracts.context import Role
from contracts.errors import ForbiddenError, NotFoundError, TenantMismatchError, TenantSuspendedError
from contracts.tenant import TenantId
from router.domain.access import BY_PLATFORM_WHILE_SUSPENDED, WHILE_SUSPENDED, Permission, Principal
from router.domain.caller import Caller
from router.domain.policy import Policy
from tenancy.live import LiveTenants


class Access:
    def __init__(self, tenants: LiveTenants[Policy]) -> None:
        self._tenants = tenants

    async def admit(
        self, principal: Principal, tenant_id: TenantId, permission: Permission, *, request_id: str, address: str
    ) -> Caller:
        """Raises NotFoundError: another tenant's resource is the same 404 as one that does not exist; then
        TenantMismatchError, ForbiddenError, TenantSuspendedError."""
        if not principal.reaches(tenant_id):
            raise NotFoundError("no such tenant")
        require_same(tenant_id, principal.tenant_id)
        require(principal, permission)
        policy = await self._tenants.get(tenant_id)
        if policy is None or policy.deleted:
            raise NotFoundError("no such tenant")
        allowed = BY_PLATFORM_WHILE_SUSPENDED if principal.role is Role.PLATFORM_ADMIN else WHILE_SUSPENDED
        if policy.suspended and permission not in allowed:
            raise TenantSuspendedError("the tenant is suspended")
        return Caller(principal, policy, request_id, address)


def require_same(tenant_id: TenantId, other: TenantId | None) -> None:
    if other is not None and other != tenant_id:
        raise TenantMismatchError("the request names another tenant than its credential's")


def require(principal: Principal, permission: Permission) -> None:
    if not principal.may(permission):
        raise ForbiddenError(f"the role {principal.role.value} may not do this")
