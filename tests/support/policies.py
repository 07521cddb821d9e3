"""Policies made from a few fields of a config."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from contracts.context import Role
from contracts.tenant import TenantId
from router.domain.access import Principal
from router.domain.caller import Caller
from router.domain.policy import Policy, compile_policy
from tenancy.config import TenantConfig
from tenancy.ports import Revision, TenantRecord, TenantState

BORN = datetime(2026, 1, 1, tzinfo=UTC)
GENEROUS = {"rate_limit_per_minute": 100_000, "rate_limit_per_hour": 1_000_000}


def a_policy(tenant: str = "t1", *, version: int = 1, **config: Any) -> Policy:
    """Generous in its limits unless told otherwise."""
    revision = Revision(BORN, version, TenantState.ACTIVE)
    return compile_policy(TenantRecord(TenantId(tenant), revision, TenantConfig.model_validate(GENEROUS | config)))


async def compiled(record: TenantRecord) -> Policy:
    """On the loop: for tests whose rules are few."""
    return compile_policy(record)


def a_caller(policy: Policy, role: Role = Role.TENANT_ADMIN) -> Caller:
    return Caller(Principal(policy.tenant_id, role, "key:admin"), policy, "r1", "127.0.0.1")


def contains(pattern: str, **fields: Any) -> dict[str, Any]:
    return {"type": "contains", "pattern": pattern, "reason": f"no {pattern}", **fields}
