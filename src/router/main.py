"""The composition root of the router: the only place that knows every part."""

from __future__ import annotations

import hashlib
import logging
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import Depends, FastAPI

from contracts.errors import AtriumError
from contracts.retrieval import MAX_DOCUMENT_BYTES
from observability.logging import configure_logging, log
from observability.record import RequestRecord
from observability.service_metrics import ServiceMetrics
from observability.telemetry import Telemetry
from router.adapters.documents_http import HttpDocuments
from router.adapters.orchestrator_http import HttpOrchestrator
from router.adapters.tenant_traces import ObjectTraces, ValkeyTraces
from router.adapters.valkey_heartbeats import ValkeyHeartbeats
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
from router.domain.worst_case import WorstCase
from router.service.access import Access
from router.service.audit import AuditService
from router.service.audit_archive import AuditArchive
from router.service.chat import ChatService
from router.service.configs import ConfigService
from router.service.contexts import ContextFactory
from router.service.deletion import DeletionService, TenantTraces
from router.service.documents import DocumentService
from router.service.dry_run import DryRunService
from router.service.engine_places import EnginePlaces
from router.service.engine_secrets import EngineSecrets
from router.service.export import TenantExport
from router.service.export_sources import AuditRows, ConfigRows, DocumentRows, KeyRows, UsageRows
from router.service.guarding import Guarding
from router.service.housekeeping import Housekeeping, Job
from router.service.identity import Identity
from router.service.index_traces import IndexTraces
from router.service.judging import Judge
from router.service.key_uses import KeyUses
from router.service.keys import KeyService
from router.service.limits import LimitService
from router.service.models import Models
from router.service.moderating import Moderating
from router.service.orphans import ORPHANS_S, Orphans
from router.service.policies import Policies
from router.service.pool_share import PoolShare
from router.service.pools import Pools
from router.service.prices import REFRESH_S
from router.service.recent import RecentNotes
from router.service.rule_hits import RuleHits
from router.service.telling import Telling
from router.service.tenant_metrics import WRITE_S as METRICS_WRITE_S
from router.service.tenant_metrics import TenantMetrics
from router.service.tenant_turns import TenantTurns
from router.service.tenants import TenantService
from router.service.usage import UsageService
from router.service.vetting import Vetting
from router.settings import AuthMode, Settings
from router.wiring.accounting import open_accounts, open_link, open_prices
from router.wiring.json_web_tokens import open_tokens
from router.wiring.memory import open_memory
from router.wiring.moderation import open_moderation
from servicekit.client import ServiceClient, open_session
from servicekit.cpu_pool import CpuPool
from servicekit.edge import dress
from servicekit.health import Check
from servicekit.server import serve
from servicekit.tokens import TokenSigner, utc_now
from stores.objects import Objects, open_objects
from stores.postgres import Database
from stores.sealing_choice import open_sealing
from stores.valkey import Valkey
from tenancy.announcements import ValkeyAnnouncements
from tenancy.feed import ChangeFeed
from tenancy.keys import keyed
from tenancy.live import LiveKeys, LiveTenants
from tenancy.postgres_audit import PostgresAuditLog
from tenancy.postgres_changes import PostgresChangeLog
from tenancy.postgres_deletions import PostgresDeletionStore
from tenancy.postgres_keys import PostgresKeyStore
from tenancy.postgres_ledger import PostgresLedger
from tenancy.postgres_metrics import PostgresMetrics
from tenancy.postgres_tenants import PostgresTenantStore

# Of one upload: two of the largest files, a hundred small ones, or a text as JSON in six times its bytes (\\u0416).
MAX_UPLOAD_BYTES = 2 * MAX_DOCUMENT_BYTES + 64 * 1024
# The framework reads these before it asks who sent them: small enough to be parsed without holding up others.
MAX_BODY_BYTES = 2 * 1024 * 1024
CONFIG_THREADS, JUDGING_THREADS = 2, 2
"""Of their own: neither waits for the other, nor for what uses asyncio's threads, such as an export's compression."""
SWITCH_S = 0.0001
"""After so long a thread that computes lets the event loop go on: each time that it wakes up it waits for that."""
KEY_USES_S, DELETIONS_S, ARCHIVE_S, POOLS_S, OLD_METRICS_S = 15.0, 60.0, 600.0, 0.5, 3_600.0

_logger = logging.getLogger("atrium.router")


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
    database = Database(settings.database_url.get_secret_value())
    stack.push_async_callback(database.close)
    valkey = Valkey(settings.redis_url.get_secret_value())
    stack.push_async_callback(valkey.close)
    session = await stack.enter_async_context(open_session())
    orchestrator = ServiceClient(session, settings.orchestrator_url, service="the orchestrator")
    rag = ServiceClient(session, settings.rag_service_url, service="the RAG service")
    checks.update(postgres=database.check, valkey=valkey.check, orchestrator=orchestrator.check)

    with suppress(AtriumError):  # out of reach: `/readyz` says so, and asks again
        await database.check()
    keys = PostgresKeyStore(database)
    await _bootstrap(settings, keys)
    feed = ChangeFeed(PostgresChangeLog(database), ValkeyAnnouncements(valkey), metrics)
    await stack.enter_async_context(feed.running())
    store, audit = PostgresTenantStore(database), PostgresAuditLog(database)
    work, judging = CpuPool("configs", CONFIG_THREADS), CpuPool("judging", JUDGING_THREADS)
    stack.callback(work.close)
    stack.callback(judging.close)
    judge, guarding, uses = Judge(judging), Guarding(judging), KeyUses(keys)
    compiled = Policies(
        work,
        moderated=settings.moderated,
        engines=EngineSecrets(open_sealing(settings, stack), settings.networks()),
    )
    tenants = LiveTenants(store, compiled.of, feed=feed)

    key = settings.signing_key()
    signer = TokenSigner(key)
    contexts = ContextFactory(
        salt_secret=_derived(key, b"atrium cache salt"), now=utc_now, unsalted_pools=settings.cache_unsalted_pools
    )
    timeout = timedelta(seconds=settings.request_timeout_s)
    turns, rag_documents = HttpOrchestrator(orchestrator, signer), HttpDocuments(rag, signer)
    notes = RecentNotes(recent := ValkeyRecentRequests(valkey), metrics)
    stack.push_async_callback(notes.close)
    ledger, prices = PostgresLedger(database), await open_prices(settings, database)
    places = EnginePlaces(metrics, headroom=settings.pool_kept_free)
    share = PoolShare(
        uuid.uuid4().hex,
        places,
        turns,
        ValkeyHeartbeats(valkey),
        metrics,
        hold_s=settings.hold_without_replicas_s,
    )
    stack.push_async_callback(share.leave)
    pools = Pools(places, share.states, metrics)
    admissions, first_answers, cache = await open_link(settings, share, metrics, stack)
    memory = await open_memory(settings, database, cache, guarding, tenants, metrics, stack)
    accounts = await open_accounts(admissions, ledger, prices, metrics, stack)
    hits = await _open_hits(audit, metrics, stack)
    moderating = Moderating(open_moderation(settings, session, metrics, stack), metrics)
    telling = Telling(accounts, guarding, moderating, hits)
    tenant_metrics = _tenant_metrics(database, metrics, stack)
    traces: list[TenantTraces] = [ValkeyTraces(valkey), IndexTraces(rag_documents, contexts)]
    jobs = [
        Job("key_uses", KEY_USES_S, uses.write),
        Job("prices", REFRESH_S, prices.refresh),
        Job("pools", POOLS_S, share.adjust),
        Job("tenant_metrics", METRICS_WRITE_S, tenant_metrics.write),
        Job("old_tenant_metrics", OLD_METRICS_S, tenant_metrics.forget),
        Job("orphans", ORPHANS_S, Orphans(ledger).close),
        memory.retention,
    ]
    objects = _objects(settings, stack)
    if objects is not None:
        traces.append(ObjectTraces(objects))
        jobs.append(Job("audit_archive", ARCHIVE_S, AuditArchive(audit, store, objects, now=utc_now).run_if_due))
    deletion = DeletionService(PostgresDeletionStore(database), tuple(traces), tenants, feed)
    jobs.append(Job("deletions", DELETIONS_S, deletion.resume))
    stack.push_async_callback(_last_uses, uses)
    await stack.enter_async_context(Housekeeping(tuple(jobs), metrics).running())
    return Services(
        identity=Identity(
            LiveKeys(keys, feed=feed),
            uses,
            modes=settings.auth_mode,
            header_role=settings.header_role,
            trust_header_from_anywhere=settings.trust_tenant_header,
            tokens=open_tokens(settings, session, metrics, stack) if AuthMode.JWT in settings.auth_mode else None,
        ),
        access=Access(tenants),
        chat=ChatService(
            accounts,
            places,
            pools,
            turns,
            contexts,
            notes,
            Vetting(judge, moderating, telling.note_redacted, metrics, timeout=timeout),
            memory.remembering,
            telling,
            WorstCase(settings.engine_context_tokens, settings.max_answer_tokens, settings.max_passages_bytes),
            first_answers,
            timeout=timeout,
            hold=timedelta(seconds=settings.hold_without_replicas_s),
        ),
        models=Models(pools.states),
        limits=LimitService(admissions, ledger, now=utc_now),
        tenant_turns=TenantTurns(metrics),
        tenants=TenantService(store, keys, tenants, feed, key_secret=_derived(key, b"atrium first admin keys")),
        deletion=deletion,
        configs=ConfigService(store, tenants, feed, recent, compiled, pools.states),
        dry_run=DryRunService(turns, recent, contexts, judge, timeout=timeout, now=utc_now),
        keys=KeyService(keys, feed),
        audit=AuditService(audit),
        export=TenantExport(
            (
                ConfigRows(store),
                KeyRows(keys),
                DocumentRows(rag_documents, contexts),
                memory.rows,
                UsageRows(ledger),
                AuditRows(audit),
            ),
            utc_now,
        ),
        documents=DocumentService(
            rag_documents,
            contexts,
            audit,
            guarding,
            timeout=timeout,
            ingest_timeout=timedelta(seconds=settings.ingest_timeout_s),
        ),
        usage=UsageService(ledger, prices, now=utc_now),
        sessions=memory.sessions,
        prices=prices,
        tenant_metrics=tenant_metrics,
        trusted_proxies=settings.trusted_proxy_cidrs,
        slow_reader_s=settings.slow_reader_s,
    )


def _tenant_metrics(database: Database, metrics: ServiceMetrics, stack: AsyncExitStack) -> TenantMetrics:
    made = TenantMetrics(PostgresMetrics(database), metrics, now=utc_now)
    stack.push_async_callback(made.close)
    return made


def _objects(settings: Settings, stack: AsyncExitStack) -> Objects | None:
    if settings.object_store_url is None:
        return None
    objects = open_objects(
        settings.object_store_url,
        region=settings.aws_region,
        endpoint_url=settings.aws_endpoint_url,
        role_arn=settings.object_store_role_arn,
    )
    stack.push_async_callback(objects.close)
    return objects


async def _open_hits(audit: PostgresAuditLog, metrics: ServiceMetrics, stack: AsyncExitStack) -> RuleHits:
    hits = RuleHits(audit, metrics, now=utc_now)
    await stack.enter_async_context(hits.running())
    return hits


async def _last_uses(uses: KeyUses) -> None:
    with suppress(AtriumError):  # the store is out of reach: when a key was last used is then known less exactly
        await uses.write()


async def _bootstrap(settings: Settings, keys: PostgresKeyStore) -> None:
    """At a store's first start the bootstrap key becomes its platform key; later it is ignored."""
    if settings.atrium_bootstrap_key is None:
        return
    key = keyed(settings.atrium_bootstrap_key.get_secret_value())
    if await keys.add_first_platform_key(key, "bootstrap"):
        log(_logger, logging.INFO, "platform key created", key_id=key.key_id)


def _derived(key: Ed25519PrivateKey, purpose: bytes) -> bytes:
    """A secret for one purpose, derived from the signing key, so that no further one has to be kept."""
    return hashlib.sha256(purpose + b"\x00" + key.private_bytes_raw()).digest()


def run() -> None:
    """`python -m router`."""
    settings = Settings()
    configure_logging("router", settings.log_level)
    serve(create_app(settings), settings, host=settings.router_host, port=settings.router_port)
