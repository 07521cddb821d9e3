"""Who may do what: one table. What is not in it is denied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from contracts.context import Role
from contracts.tenant import TenantId


class Permission(StrEnum):
    CHAT = "chat"
    CONFIG_READ = "config:read"
    CONFIG_WRITE = "config:write"
    DOCUMENTS_READ = "documents:read"
    DOCUMENTS_WRITE = "documents:write"
    TENANTS = "tenants"


_USER = frozenset({Permission.CHAT, Permission.DOCUMENTS_READ})
_ADMIN = _USER | {Permission.CONFIG_READ, Permission.CONFIG_WRITE, Permission.DOCUMENTS_WRITE}

GRANTS: Mapping[Role, frozenset[Permission]] = {
    Role.PLATFORM_ADMIN: frozenset(Permission),
    Role.TENANT_ADMIN: _ADMIN,
    Role.TENANT_USER: _USER,
    Role.SERVICE: frozenset({Permission.CHAT, Permission.DOCUMENTS_READ, Permission.DOCUMENTS_WRITE}),
}

BY_STRENGTH = (Role.PLATFORM_ADMIN, Role.TENANT_ADMIN, Role.SERVICE, Role.TENANT_USER)


def strongest(roles: Iterable[Role]) -> Role | None:
    """The role that counts where a credential gives several; None where it gives none."""
    return min(roles, key=BY_STRENGTH.index, default=None)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who was identified. `tenant_id` is None for a platform key that names no tenant.

    `name` says who acts, for logs and the audit; `user` is the person, where the credential itself proves one.
    """

    tenant_id: TenantId | None
    role: Role
    name: str
    user: str | None = None

    def may(self, permission: Permission) -> bool:
        return permission in GRANTS[self.role]

    def user_for(self, named: str | None) -> str | None:
        """Whom a request is for, where it names `named`. A user is the one that the credential proves, whatever the
        request says; the other roles act for users, and may say for whom."""
        if self.user is not None and (self.role is Role.TENANT_USER or named is None):
            return self.user
        return named

    def reaches(self, tenant_id: TenantId) -> bool:
        """Whether this tenant's resources exist at all for the principal."""
        return self.role is Role.PLATFORM_ADMIN or self.tenant_id == tenant_id


@dataclass(frozen=True, slots=True)
class Caller:
    """A principal that was let through to a tenant, in one request."""

    principal: Principal
    tenant_id: TenantId
    request_id: str
