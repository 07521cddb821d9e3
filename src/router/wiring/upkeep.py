"""What is done over and over beside the requests, and what ends last."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress

from contracts.errors import AtriumError
from observability.metrics import Metrics
from router.adapters.tenant_traces import ObjectTraces, ValkeyTraces
from router.domain.policy import Policy
from router.service.audit_archive import AuditArchive
from router.service.contexts import ContextFactory
from router.service.deletion import DeletionService, TenantTraces
from router.service.housekeeping import Housekeeping, Job
from router.service.index_traces import IndexTraces
from router.service.key_uses import KeyUses
from router.service.orphans import ORPHANS_S, Orphans
from router.service.pool_share import PoolShare
from router.service.prices import REFRESH_S, Prices
from router.service.tenant_metrics import WRITE_S, TenantMetrics
from router.wiring.callees import Callees
from router.wiring.stores import Stores
from servicekit.tokens import utc_now
from tenancy.live import LiveTenants
from tenancy.postgres_deletions import PostgresDeletionStore

KEY_USES_S, DELETIONS_S, ARCHIVE_S, POOLS_S, OLD_METRICS_S = 15.0, 60.0, 600.0, 0.5, 3_600.0


def deletion_of(
    stores: Stores, callees: Callees, contexts: ContextFactory, tenants: LiveTenants[Policy]
) -> DeletionService:
    """With everything outside PostgreSQL in which a tenant may have left something."""
    traces: list[TenantTraces] = [ValkeyTraces(stores.valkey), IndexTraces(callees.documents, contexts)]
    if stores.objects is not None:
        traces.append(ObjectTraces(stores.objects))
    return DeletionService(PostgresDeletionStore(stores.database), tuple(traces), tenants, stores.feed)


async def open_upkeep(
    stores: Stores,
    share: PoolShare,
    prices: Prices,
    uses: KeyUses,
    tenant_metrics: TenantMetrics,
    retention: Job,
    deletion: DeletionService,
    metrics: Metrics,
    stack: AsyncExitStack,
) -> None:
    jobs = [
        Job("key_uses", KEY_USES_S, uses.write),
        Job("prices", REFRESH_S, prices.refresh),
        Job("pools", POOLS_S, share.adjust),
        Job("tenant_metrics", WRITE_S, tenant_metrics.write),
        Job("old_tenant_metrics", OLD_METRICS_S, tenant_metrics.forget),
        Job("orphans", ORPHANS_S, Orphans(stores.ledger).close),
        retention,
        Job("deletions", DELETIONS_S, deletion.resume),
    ]
    if stores.objects is not None:
        archive = AuditArchive(stores.audit, stores.tenants, stores.objects, now=utc_now)
        jobs.append(Job("audit_archive", ARCHIVE_S, archive.run_if_due))
    stack.push_async_callback(_last_uses, uses)
    await stack.enter_async_context(Housekeeping(tuple(jobs), metrics).running())


async def _last_uses(uses: KeyUses) -> None:
    with suppress(AtriumError):  # the store is out of reach: when a key was last used is then known less exactly
        await uses.write()
