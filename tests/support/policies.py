"""Policies made from a few fields of a config."""

from __future__ import annotations

from typing import Any

from contracts.tenant import TenantId
from router.domain.policy import Policy, compile_policy
from tenancy.config import TenantConfig
from tenancy.ports import ConfigVersion

GENEROUS = {"rate_limit_per_minute": 100_000, "rate_limit_per_hour": 1_000_000}


def a_policy(tenant: str = "t1", *, version: int = 1, **config: Any) -> Policy:
    """Generous in its limits unless told otherwise."""
    return compile_policy(TenantId(tenant), ConfigVersion(version, TenantConfig.model_validate(GENEROUS | config)))


def contains(pattern: str, **fields: Any) -> dict[str, Any]:
    return {"type": "contains", "pattern": pattern, "reason": f"no {pattern}", **fields}
