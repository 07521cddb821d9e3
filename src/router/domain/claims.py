"""What a verified token says: its claims become a principal. Issuers differ in where they say it, not in what."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.context import Role
from contracts.errors import ForbiddenError, UnauthenticatedError
from contracts.tenant import InvalidTenantIdError, TenantId
from router.domain.access import Principal, strongest

NOT_VALID = "the token is not valid"
"""The same words for every fault: who tries tokens learns nothing of how far one came."""

_HASHED = "sha256:"
_PLAIN = re.compile(rf"(?!{_HASHED})[\x21-\x7e]{{1,124}}\Z")
"""A subject that can be a user id as it is: with `jwt:` before it, 128 characters at most."""


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """Where the tenant and the roles stand in an issuer's tokens, and what its roles are here.

    `default_role` is for a token none of whose roles is in the map; None refuses it.
    """

    tenant_claim: str
    roles_claim: str
    role_map: Mapping[str, Role]
    default_role: Role | None

    def principal(self, claims: Mapping[str, Any]) -> Principal:
        """Raises UnauthenticatedError (no valid tenant), ForbiddenError (no role)."""
        role = self._role(claims)
        tenant_id = self._tenant(claims, optional=role is Role.PLATFORM_ADMIN)
        user = safe_subject(claims.get("sub"))
        return Principal(tenant_id, role, f"jwt:{user or 'unknown'}", user)

    def _role(self, claims: Mapping[str, Any]) -> Role:
        said = spoken_roles(claim(claims, self.roles_claim))
        role = strongest(self.role_map[name] for name in said if name in self.role_map) or self.default_role
        if role is None:
            raise ForbiddenError("the token names no role that is known here")
        return role

    def _tenant(self, claims: Mapping[str, Any], *, optional: bool) -> TenantId | None:
        value = claim(claims, self.tenant_claim)
        if value is None and optional:
            return None
        try:
            return TenantId(value)
        except InvalidTenantIdError as error:  # also for what is no text
            raise UnauthenticatedError(NOT_VALID) from error


def claim(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of exactly this name (`custom:tenant_id`, `https://example.com/roles`), else what stands at the end of
    the dotted path (`realm_access.roles`); None where there is neither."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for step in path.split("."):
        if not isinstance(found, Mapping) or step not in found:
            return None
        found = found[step]
    return found


def spoken_roles(value: Any) -> Iterator[str]:
    """The names in a roles claim: a list of names, one name, or several with spaces between them."""
    if isinstance(value, str):
        yield value
        yield from value.split()
    elif isinstance(value, list):
        yield from (item for item in value if isinstance(item, str))


def safe_subject(value: Any) -> str | None:
    """The subject as a user id: itself if it is printable ASCII without spaces and short, else its hash, so that two
    subjects never become one user; None where the token has no subject."""
    if not isinstance(value, str) or not value:
        return None
    if _PLAIN.match(value):
        return value
    return _HASHED + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
