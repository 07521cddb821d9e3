"""What a tenant of each tier gets where its config does not say otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenancy.config import TenantConfig, Tier

DEFAULTS: Mapping[Tier, Mapping[str, int]] = {
    Tier.BASIC: {"rate_limit_per_minute": 60, "rate_limit_per_hour": 1_000},
    Tier.PRO: {"rate_limit_per_minute": 300, "rate_limit_per_hour": 10_000},
    Tier.ENTERPRISE: {"rate_limit_per_minute": 1_200, "rate_limit_per_hour": 50_000},
}


def complete(said: Mapping[str, Any], tier: Tier) -> TenantConfig:
    """A whole config from the fields that were said: the rest by tier, then by the schema.

    Raises pydantic's ValidationError.
    """
    return TenantConfig.model_validate({**DEFAULTS[tier], **said, "tier": tier})
