"""What a tenant of each tier gets where its config does not say otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenancy.config import TenantConfig, Tier

DEFAULTS: Mapping[Tier, Mapping[str, float]] = {
    Tier.BASIC: {
        "rate_limit_per_minute": 60,
        "rate_limit_per_hour": 1_000,
        "tokens_per_minute": 1_000_000,
        "max_concurrent_requests": 250,
        "weight": 1,
    },
    Tier.PRO: {
        "rate_limit_per_minute": 300,
        "rate_limit_per_hour": 10_000,
        "tokens_per_minute": 10_000_000,
        "max_concurrent_requests": 1_000,
        "weight": 2,
    },
    Tier.ENTERPRISE: {
        "rate_limit_per_minute": 1_200,
        "rate_limit_per_hour": 50_000,
        "tokens_per_minute": 100_000_000,
        "max_concurrent_requests": 4_000,
        "weight": 4,
    },
}

OF_THE_PLATFORM = ("tier", "weight", "pool", "pool_spill", "adapters")
"""What a tenant is entitled to against others: a change is the platform's to make."""


def complete(said: Mapping[str, Any], tier: Tier) -> TenantConfig:
    """A whole config from the fields that were said: the rest by tier, then by the schema.

    Raises pydantic's ValidationError.
    """
    return TenantConfig.model_validate({**DEFAULTS[tier], **said, "tier": tier})
