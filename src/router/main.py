"""The composition root of the router: the only place that knows every part."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import Depends, FastAPI

from contracts.retrieval import MAX_DOCUMENT_BYTES
from observability.logging import configure_logging
from observability.record import RequestRecord
from observability.service_metrics import ServiceMetrics
from observability.telemetry import Telemetry
from router.adapters.valkey_recent import ValkeyRecentRequests
from router.api import audit as audit_api
from router.api import chat, completions, configs, documents, dry_run, exports, models, tenants
from router.api import keys as keys_api
from router.api import limits as limits_api
from router.api import metrics as metrics_api
from router.api import prices as prices_api
from router.api import sessions as sessions_api
from router.api import usage as usage_api
from router.api.dependencies import Services, gate
from router.api.description import described
from router.domain.openai_errors import openai_error
from router.service.access import Access
from router.service.audit import AuditService
from router.service.configs import ConfigService
from router.service.contexts import ContextFactory
from router.service.documents import DocumentService
from router.service.dry_run import DryRunService
from router.service.export import TenantExport
from router.service.export_sources import AuditRows, ConfigRows, ConversationRows, DocumentRows, KeyRows, UsageRows
from router.service.key_uses import KeyUses
from router.service.keys import KeyService
from router.service.limits import LimitService
from router.service.models import Models
from router.service.recent import RecentNotes
from router.service.tenant_metrics import TenantMetrics
from router.service.tenant_turns import TenantTurns
from router.service.tenants import TenantService
from router.service.usage import UsageService
from router.settings import Settings
from router.wiring.accounting import open_accounts, open_link, open_prices
from router.wiring.callees import Callees, open_callees
from router.wiring.chat import open_chat
from router.wiring.engines import open_engines
from router.wiring.identity import open_identity
from router.wiring.memory import open_memory
from router.wiring.rules import open_rules
from router.wiring.stores import Stores, open_stores
from router.wiring.upkeep import deletion_of, open_upkeep
from servicekit.edge import dress
from servicekit.health import Check
from servicekit.server import serve
from servicekit.tokens import TokenSigner, utc_now
from tenancy.live import LiveKeys, LiveTenants
from tenancy.postgres_metrics import PostgresMetrics

# Of one upload: two of the largest files, a hundred small ones, or a text as JSON in six times its bytes (\\u0416).
MAX_UPLOAD_BYTES = 2 * MAX_DOCUMENT_BYTES + 64 * 1024
# The framework reads these before it asks who sent them: small enough to be parsed without holding up others.
MAX_BODY_BYTES = 2 * 1024 * 1024
SWITCH_S = 0.0001
"""After so long a thread that computes lets the event loop go on: each time that it wakes up it waits for that."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Builds the service; nothing is opened before its lifespan begins."""
    settings = settings or Settings()
    telemetry = Telemetry("router", settings)
    metrics = telemetry.metrics
    checks: dict[str, Check] = {}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            sys.setswitchinterval(SWITCH_S)
            await stack.enter_async_context(telemetry.running())
            app.state.services = await _open(settings, metrics, checks, stack)
            yield

    def observed(record: RequestRecord) -> None:
        """The services are there by the first request, but not when the app is made."""
        services: Services = app.state.services
        services.tenant_metrics.note(record)

    app = FastAPI(
        title="Atrium", version="0.1.0", lifespan=lifespan, redirect_slashes=False, dependencies=[Depends(gate)]
    )
    app.openapi = partial(described, app)  # type: ignore[method-assign]  # as FastAPI's documentation has it
    for module in (
        chat,
        completions,
        models,
        documents,
        configs,
        dry_run,
        keys_api,
        audit_api,
        exports,
        limits_api,
        sessions_api,
        usage_api,
        tenants,
        prices_api,
        metrics_api,
    ):
        app.include_router(module.api)
    dress(
        app,
        checks=checks,
        metrics=metrics,
        max_body_bytes=MAX_BODY_BYTES,
        max_upload_bytes=MAX_UPLOAD_BYTES,
        tracer=telemetry.tracer,
        checks_within_s=2.0,
        observer=observed,
        error_shapes={"/v1/": openai_error},
    )
    return app


async def _open(
    settings: Settings, metrics: ServiceMetrics, checks: dict[str, Check], stack: AsyncExitStack
) -> Services:
    """Everything that serves requests, opened; closed by `stack` in the reverse order."""
    key = settings.signing_key()
    timeout = timedelta(seconds=settings.request_timeout_s)
    stores = await open_stores(settings, metrics, stack)
    callees = await open_callees(settings, TokenSigner(key), stack)
    checks.update(postgres=stores.database.check, valkey=stores.valkey.check, orchestrator=callees.check)
    rules = open_rules(settings, stack)
    tenants = LiveTenants(stores.tenants, rules.policies.of, feed=stores.feed)
    contexts = ContextFactory(
        salt_secret=_derived(key, b"atrium cache salt"), now=utc_now, unsalted_pools=settings.cache_unsalted_pools
    )
    notes = RecentNotes(recent := ValkeyRecentRequests(stores.valkey), metrics)
    stack.push_async_callback(notes.close)
    prices = await open_prices(settings, stores.database)
    engines = open_engines(settings, callees.turns, stores.valkey, metrics, stack)
    admissions, first_answers, cache = await open_link(settings, engines.share, metrics, stack)
    memory = await open_memory(settings, stores.database, cache, rules.guarding, tenants, metrics, stack)
    accounts = await open_accounts(admissions, stores.ledger, prices, metrics, stack)
    chat_service = await open_chat(
        settings,
        callees,
        contexts,
        rules,
        engines,
        accounts,
        memory.remembering,
        first_answers,
        notes,
        stores.audit,
        metrics,
        stack,
    )
    tenant_metrics = TenantMetrics(PostgresMetrics(stores.database), metrics, now=utc_now)
    stack.push_async_callback(tenant_metrics.close)
    uses = KeyUses(stores.keys)
    deletion = deletion_of(stores, callees, contexts, tenants)
    await open_upkeep(stores, engines.share, prices, uses, tenant_metrics, memory.retention, deletion, metrics, stack)
    live_keys = LiveKeys(stores.keys, feed=stores.feed)
    return Services(
        identity=open_identity(settings, live_keys, uses, callees.session, metrics, stack),
        access=Access(tenants),
        chat=chat_service,
        models=Models(engines.pools.states),
        limits=LimitService(admissions, stores.ledger, now=utc_now),
        tenant_turns=TenantTurns(metrics),
        tenants=TenantService(
            stores.tenants, stores.keys, tenants, stores.feed, key_secret=_derived(key, b"atrium first admin keys")
        ),
        deletion=deletion,
        configs=ConfigService(stores.tenants, tenants, stores.feed, recent, rules.policies, engines.pools.states),
        dry_run=DryRunService(callees.turns, recent, contexts, rules.judge, timeout=timeout, now=utc_now),
        keys=KeyService(stores.keys, stores.feed),
        audit=AuditService(stores.audit),
        export=_export(stores, callees, contexts, memory.rows),
        documents=DocumentService(
            callees.documents,
            contexts,
            stores.audit,
            rules.guarding,
            timeout=timeout,
            ingest_timeout=timedelta(seconds=settings.ingest_timeout_s),
        ),
        usage=UsageService(stores.ledger, prices, now=utc_now),
        sessions=memory.sessions,
        prices=prices,
        tenant_metrics=tenant_metrics,
        trusted_proxies=settings.trusted_proxy_cidrs,
        slow_reader_s=settings.slow_reader_s,
    )


def _export(
    stores: Stores, callees: Callees, contexts: ContextFactory, conversations: ConversationRows
) -> TenantExport:
    rows = (
        ConfigRows(stores.tenants),
        KeyRows(stores.keys),
        DocumentRows(callees.documents, contexts),
        conversations,
        UsageRows(stores.ledger),
        AuditRows(stores.audit),
    )
    return TenantExport(rows, utc_now)


def _derived(key: Ed25519PrivateKey, purpose: bytes) -> bytes:
    """A secret for one purpose, derived from the signing key, so that no further one has to be kept."""
    return hashlib.sha256(purpose + b"\x00" + key.private_bytes_raw()).digest()


def run() -> None:
    """`python -m router`."""
    settings = Settings()
    configure_logging("router", settings.log_level)
    serve(create_app(settings), settings, host=settings.router_host, port=settings.router_port)
