"""What remembers conversations, opened and put together."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from observability.metrics import Metrics
from router.domain.memory import Bounds
from router.domain.policy import Policy
from router.ports import SessionCache
from router.service.export_sources import ConversationRows
from router.service.guarding import Guarding
from router.service.housekeeping import Job
from router.service.remembering import Remembering
from router.service.retention import EVERY_S, Retention
from router.service.sessions import SessionService
from router.service.turn_writer import TurnWriter
from router.settings import Settings
from servicekit.tokens import utc_now
from stores.postgres import Database
from tenancy.live import LiveTenants
from tenancy.postgres_conversations import PostgresConversations


@dataclass(frozen=True, slots=True)
class MemoryParts:
    remembering: Remembering
    sessions: SessionService
    rows: ConversationRows
    retention: Job


async def open_memory(
    settings: Settings,
    database: Database,
    cache: SessionCache,
    guarding: Guarding,
    tenants: LiveTenants[Policy],
    metrics: Metrics,
    stack: AsyncExitStack,
) -> MemoryParts:
    store = PostgresConversations(database)
    writer = TurnWriter(store, metrics)
    await stack.enter_async_context(writer.running())
    bounds = Bounds(settings.memory_turns, settings.memory_bytes)
    remembering = Remembering(store, cache, writer, guarding, metrics, bounds=bounds, now=utc_now)
    stack.push_async_callback(remembering.close)
    retention = Job("retention", EVERY_S, Retention(store, tenants, utc_now).run)
    return MemoryParts(remembering, SessionService(store, cache), ConversationRows(store), retention)
