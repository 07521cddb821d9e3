"""The composition root of the router: the only place that knows every part."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI

from contracts.retrieval import MAX_DOCUMENT_BYTES
from observability.logging import configure_logging, log
from observability.prometheus import PrometheusMetrics
from router.adapters.documents_http import HttpDocuments
from router.adapters.jwks_http import HttpIssuerKeys, Patience
from router.adapters.orchestrator_http import HttpOrchestrator
from router.adapters.valkey_limiter import ValkeyLimiter
from router.api import chat, documents, tenants
from router.api.dependencies import Services
from router.domain.claims import ClaimRules
from router.domain.policy import compile_policy
from router.domain.pricing import Price
from router.service.chat import ChatService
from router.service.contexts import ContextFactory
from router.service.documents import DocumentService
from router.service.identity import Identity
from router.service.json_web_tokens import Expected, JsonWebTokens
from router.service.tenants import TenantService
from router.settings import AuthMode, Settings
from servicekit.client import ServiceClient, open_session
from servicekit.edge import dress
from servicekit.health import Check
from servicekit.server import serve
from servicekit.tokens import TokenSigner, utc_now
from stores.postgres import Database
from stores.valkey import Valkey
from tenancy.keys import keyed
from tenancy.live import LiveConfigs, LiveKeys
from tenancy.postgres_store import PostgresKeyStore, PostgresTenantStore

# JSON may write two bytes of UTF-8 as six (\\u0416), and a control character too.
MAX_UPLOAD_BYTES = 6 * MAX_DOCUMENT_BYTES + 64 * 1024
# The framework reads these before it asks who sent them: small enough to be parsed without holding up others.
MAX_BODY_BYTES = 2 * 1024 * 1024

_logger = logging.getLogger("atrium.router")


def create_app(settings: Settings | None = None) -> FastAPI:
    """Builds the service; nothing is opened before its lifespan begins."""
    settings = settings or Settings()
    metrics = PrometheusMetrics()
    checks: dict[str, Check] = {}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.services = await _open(settings, metrics, checks, stack)
            yield

    app = FastAPI(title="Atrium", version="0.1.0", lifespan=lifespan, redirect_slashes=False)
    for module in (chat, tenants, documents):
        app.include_router(module.api)
    dress(
        app,
        checks=checks,
        metrics=metrics,
        max_body_bytes=MAX_BODY_BYTES,
        max_upload_bytes=MAX_UPLOAD_BYTES,
        checks_within_s=2.0,
    )
    return app


async def _open(
    settings: Settings, metrics: PrometheusMetrics, checks: dict[str, Check], stack: AsyncExitStack
) -> Services:
    database = Database(settings.database_url.get_secret_value())
    stack.push_async_callback(database.close)
    valkey = Valkey(settings.redis_url.get_secret_value())
    stack.push_async_callback(valkey.close)
    session = await stack.enter_async_context(open_session())
    orchestrator = ServiceClient(session, settings.orchestrator_url, service="the orchestrator")
    rag = ServiceClient(session, settings.rag_service_url, service="the RAG service")
    checks.update(postgres=database.check, valkey=valkey.check, orchestrator=orchestrator.check)

    keys = PostgresKeyStore(database)
    await _bootstrap(settings, keys)

    key = settings.signing_key()
    signer = TokenSigner(key)
    contexts = ContextFactory(salt_secret=_salt_secret(key), now=utc_now)
    timeout = timedelta(seconds=settings.request_timeout_s)
    store = PostgresTenantStore(database)
    configs = LiveConfigs(store, compile_policy)
    return Services(
        identity=Identity(
            LiveKeys(keys),
            modes=settings.auth_mode,
            header_role=settings.header_role,
            trust_header_from_anywhere=settings.trust_tenant_header,
            tokens=_tokens(settings, session, metrics, stack) if AuthMode.JWT in settings.auth_mode else None,
        ),
        chat=ChatService(
            configs, ValkeyLimiter(valkey), HttpOrchestrator(orchestrator, signer), contexts, metrics, timeout=timeout
        ),
        tenants=TenantService(store, configs),
        documents=DocumentService(
            configs,
            HttpDocuments(rag, signer),
            contexts,
            timeout=timeout,
            ingest_timeout=timedelta(seconds=settings.ingest_timeout_s),
        ),
        price=Price(settings.price_prompt_usd_per_mtok, settings.price_completion_usd_per_mtok),
    )


def _tokens(
    settings: Settings, session: aiohttp.ClientSession, metrics: PrometheusMetrics, stack: AsyncExitStack
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


async def _bootstrap(settings: Settings, keys: PostgresKeyStore) -> None:
    """At a store's first start the bootstrap key becomes its platform key; later it is ignored."""
    if settings.atrium_bootstrap_key is None:
        return
    key = keyed(settings.atrium_bootstrap_key.get_secret_value())
    if await keys.add_first_platform_key(key, "bootstrap"):
        log(_logger, logging.INFO, "platform key created", key_id=key.key_id)


def _salt_secret(key: Ed25519PrivateKey) -> bytes:
    """A secret of its own, derived from the signing key, so that no further one has to be kept."""
    return hashlib.sha256(b"atrium cache salt\x00" + key.private_bytes_raw()).digest()


def run() -> None:
    """`python -m router`."""
    settings = Settings()
    configure_logging("router", settings.log_level)
    serve(create_app(settings), host=settings.router_host, port=settings.router_port)
