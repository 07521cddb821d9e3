"""The verification of an issuer's tokens, as the settings name it."""

from __future__ import annotations

from contextlib import AsyncExitStack

import aiohttp

from observability.metrics import Metrics
from router.adapters.jwks_http import HttpIssuerKeys, Patience
from router.domain.claims import ClaimRules
from router.service.json_web_tokens import Expected, JsonWebTokens
from router.settings import Settings


def open_tokens(
    settings: Settings, session: aiohttp.ClientSession, metrics: Metrics, stack: AsyncExitStack
) -> JsonWebTokens:
    assert settings.jwks_url is not None  # noqa: S101  proved by the settings, as the next
    assert settings.jwt_issuer is not None  # noqa: S101
    patience = Patience(settings.jwks_max_age_s, settings.jwks_refresh_interval_s, settings.jwks_stale_s)
    keys = HttpIssuerKeys(session, settings.jwks_url, patience, metrics)
    stack.push_async_callback(keys.close)
    return JsonWebTokens(
        keys,
        Expected(settings.jwt_issuer, settings.jwt_audience),
        ClaimRules(
            tenant_claim=settings.jwt_tenant_claim,
            roles_claim=settings.jwt_roles_claim,
            role_map=settings.jwt_role_map,
            default_role=settings.jwt_default_role,
        ),
    )
