"""A tenant's whole policy under one config version: a request runs under one from admission to its last token."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.tenant import TenantId
from router.domain.limits import Window
from router.domain.refusal import RefusalRules
from tenancy.config import TenantConfig
from tenancy.ports import ConfigVersion


@dataclass(frozen=True, slots=True)
class Policy:
    tenant_id: TenantId
    version: int
    config: TenantConfig
    rules: RefusalRules
    windows: tuple[Window, ...]


def compile_policy(tenant_id: TenantId, found: ConfigVersion) -> Policy:
    config = found.config
    windows = (
        Window("requests_per_minute", config.rate_limit_per_minute, 60),
        Window("requests_per_hour", config.rate_limit_per_hour, 3_600),
    )
    return Policy(tenant_id, found.version, config, RefusalRules(config), windows)
