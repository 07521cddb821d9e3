"""Who is calling, by the credentials that the settings accept."""

from __future__ import annotations

from contextlib import AsyncExitStack

import aiohttp

from observability.metrics import Metrics
from router.adapters.jwks_http import HttpIssuerKeys, Patience
from router.domain.claims import ClaimRules
from router.service.identity import Identity
from router.service.json_web_tokens import Expected, JsonWebTokens
from router.service.key_uses import KeyUses
from router.settings import AuthMode, Settings
from tenancy.live import LiveKeys


def open_identity(
    settings: Settings,
    keys: LiveKeys,
    uses: KeyUses,
    session: aiohttp.ClientSession,
    metrics: Metrics,
    stack: AsyncExitStack,
) -> Identity:
    return Identity(
        keys,
        uses,
        modes=settings.auth_mode,
        header_role=settings.header_role,
        trust_header_from_anywhere=settings.trust_tenant_header,
        tokens=_open_tokens(settings, session, metrics, stack) if AuthMode.JWT in settings.auth_mode else None,
    )


def _open_tokens(
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
