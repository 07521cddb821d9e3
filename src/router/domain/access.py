"""Who may do what: two tables. What is not in them is denied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from contracts.context import Role
from contracts.tenant import TenantId


class Permission(StrEnum):
    OPEN = "open"
    """Asks for no identity."""
    CHAT = "chat"
    SEARCH = "search"
    LIMITS_READ = "limits:read"
    DOCUMENTS_READ = "documents:read"
    DOCUMENTS_WRITE = "documents:write"
    CONFIG_READ = "config:read"
    CONFIG_WRITE = "config:write"
    KEYS = "keys"
    AUDIT_READ = "audit:read"
    EXPORT = "export"
    USAGE_READ = "usage:read"
    SESSIONS_READ = "sessions:read"
    SESSIONS_DELETE = "sessions:delete"
    TENANTS = "tenants"
    PLATFORM_KEYS = "platform:keys"
    PLATFORM_AUDIT = "platform:audit"
    PRICES = "platform:prices"
    ANALYTICS = "platform:analytics"


_MEMBER = frozenset({Permission.CHAT, Permission.SEARCH, Permission.DOCUMENTS_READ, Permission.LIMITS_READ})
_SESSIONS = frozenset({Permission.SESSIONS_READ, Permission.SESSIONS_DELETE})
_USER = _MEMBER | _SESSIONS
"""Its own sessions alone: those of the user that its credential proves (`service.sessions`)."""
_SERVICE = _MEMBER | {Permission.DOCUMENTS_WRITE}
_ADMIN = (
    _SERVICE
    | _SESSIONS
    | {
        Permission.CONFIG_READ,
        Permission.CONFIG_WRITE,
        Permission.KEYS,
        Permission.AUDIT_READ,
        Permission.EXPORT,
        Permission.USAGE_READ,
    }
)

GRANTS: Mapping[Role, frozenset[Permission]] = {
    Role.TENANT_USER: _USER,
    Role.SERVICE: _SERVICE,
    Role.TENANT_ADMIN: _ADMIN,
    Role.PLATFORM_ADMIN: frozenset(Permission),
}

OF_PLATFORM = frozenset(
    {
        Permission.TENANTS,
        Permission.PLATFORM_KEYS,
        Permission.PLATFORM_AUDIT,
        Permission.PRICES,
        Permission.ANALYTICS,
    }
)
"""Belong to no tenant, so a suspended or unknown one is no reason to refuse them."""

WHILE_SUSPENDED = frozenset(
    {
        Permission.CONFIG_READ,
        Permission.DOCUMENTS_READ,
        Permission.LIMITS_READ,
        Permission.AUDIT_READ,
        Permission.EXPORT,
        Permission.USAGE_READ,
        Permission.SESSIONS_READ,
    }
)
"""A suspended tenant may look at what it has and take it away. It may use and change nothing."""

BY_PLATFORM_WHILE_SUSPENDED = frozenset(Permission) - {Permission.CHAT, Permission.SEARCH}

ROUTES: Mapping[tuple[str, str], Permission] = {
    ("GET", "/healthz"): Permission.OPEN,
    ("GET", "/readyz"): Permission.OPEN,
    ("GET", "/metrics"): Permission.OPEN,
    ("POST", "/chat"): Permission.CHAT,
    ("POST", "/v1/chat/completions"): Permission.CHAT,
    ("GET", "/v1/models"): Permission.CHAT,
    ("GET", "/v1/models/{model}"): Permission.CHAT,
    ("GET", "/tenant/{tenant_id}/documents"): Permission.DOCUMENTS_READ,
    ("POST", "/tenant/{tenant_id}/documents"): Permission.DOCUMENTS_WRITE,
    ("GET", "/tenant/{tenant_id}/documents/{document_id}"): Permission.DOCUMENTS_READ,
    ("DELETE", "/tenant/{tenant_id}/documents/{document_id}"): Permission.DOCUMENTS_WRITE,
    ("GET", "/tenant/{tenant_id}/documents/{document_id}/chunks"): Permission.DOCUMENTS_READ,
    ("POST", "/tenant/{tenant_id}/search"): Permission.SEARCH,
    ("GET", "/tenant/{tenant_id}/config"): Permission.CONFIG_READ,
    ("PUT", "/tenant/{tenant_id}/config"): Permission.CONFIG_WRITE,
    ("PATCH", "/tenant/{tenant_id}/config"): Permission.CONFIG_WRITE,
    ("GET", "/tenant/{tenant_id}/config/versions"): Permission.CONFIG_READ,
    ("GET", "/tenant/{tenant_id}/config/versions/{version}"): Permission.CONFIG_READ,
    ("POST", "/tenant/{tenant_id}/config/rollback"): Permission.CONFIG_WRITE,
    ("POST", "/tenant/{tenant_id}/config/dry-run"): Permission.CONFIG_WRITE,
    ("GET", "/tenant/{tenant_id}/keys"): Permission.KEYS,
    ("POST", "/tenant/{tenant_id}/keys"): Permission.KEYS,
    ("POST", "/tenant/{tenant_id}/keys/{key_id}/rotate"): Permission.KEYS,
    ("DELETE", "/tenant/{tenant_id}/keys/{key_id}"): Permission.KEYS,
    ("GET", "/tenant/{tenant_id}/limits"): Permission.LIMITS_READ,
    ("GET", "/tenant/{tenant_id}/audit"): Permission.AUDIT_READ,
    ("GET", "/tenant/{tenant_id}/export"): Permission.EXPORT,
    ("GET", "/tenant/{tenant_id}/usage"): Permission.USAGE_READ,
    ("GET", "/tenant/{tenant_id}/invoice"): Permission.USAGE_READ,
    ("GET", "/tenant/{tenant_id}/sessions"): Permission.SESSIONS_READ,
    ("DELETE", "/tenant/{tenant_id}/sessions"): Permission.SESSIONS_DELETE,
    ("GET", "/tenant/{tenant_id}/sessions/{session_id}"): Permission.SESSIONS_READ,
    ("DELETE", "/tenant/{tenant_id}/sessions/{session_id}"): Permission.SESSIONS_DELETE,
    ("GET", "/tenant/{tenant_id}/metrics"): Permission.USAGE_READ,
    ("GET", "/analytics"): Permission.ANALYTICS,
    ("GET", "/tenants"): Permission.TENANTS,
    ("POST", "/tenants"): Permission.TENANTS,
    ("DELETE", "/tenants/{tenant_id}"): Permission.TENANTS,
    ("POST", "/tenants/{tenant_id}/suspend"): Permission.TENANTS,
    ("POST", "/tenants/{tenant_id}/resume"): Permission.TENANTS,
    ("GET", "/keys"): Permission.PLATFORM_KEYS,
    ("POST", "/keys"): Permission.PLATFORM_KEYS,
    ("POST", "/keys/{key_id}/rotate"): Permission.PLATFORM_KEYS,
    ("DELETE", "/keys/{key_id}"): Permission.PLATFORM_KEYS,
    ("GET", "/audit"): Permission.PLATFORM_AUDIT,
    ("GET", "/prices"): Permission.PRICES,
    ("POST", "/prices"): Permission.PRICES,
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
