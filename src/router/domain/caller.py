"""A principal in one request, let through to what it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from contracts.tenant import TenantId
from router.domain.access import Principal
from router.domain.policy import Policy
from tenancy.audit import Actor


@dataclass(frozen=True, slots=True)
class Caller:
    """`policy` governs the whole request, to its last token, whatever is written meanwhile."""

    principal: Principal
    policy: Policy
    request_id: str
    address: str

    @property
    def tenant_id(self) -> TenantId:
        return self.policy.tenant_id

    @property
    def born(self) -> datetime:
        """When the tenant was made: said in every call for it, so that none reaches a later tenant of the same id."""
        return self.policy.revision.born

    def actor(self) -> Actor:
        return actor_of(self.principal, self.request_id, self.address)


def actor_of(principal: Principal, request_id: str, address: str) -> Actor:
    """As the audit log names it."""
    return Actor(principal.name, principal.role.value, address, request_id)
