"""Turns of conversations for tests."""

from __future__ import annotations

import time
from typing import Any

from contracts.tenant import TenantId
from stores.postgres import Database
from support.tenants import ALICE, postgres_stores
from tenancy.conversations import SessionKey, ToldTurn, TurnState
from tenancy.postgres_conversations import PostgresConversations


async def fill_conversations(database: Database, tenant: TenantId, number: int) -> None:
    """A session with one turn, and an erasure of nothing."""
    record = await postgres_stores(database).tenants.read(tenant)
    assert record is not None
    born, store = record.revision.born, PostgresConversations(database)
    fields: dict[str, Any] = {"born": born, "request_id": "r", "asked": time.monotonic(), "question": "q"}
    key = SessionKey(tenant, "u", f"s{number}")
    await store.write([ToldTurn(key, turn_id=f"t{number}", answer=f"of {tenant}", state=TurnState.ANSWERED, **fields)])
    await store.erase(tenant, f"nobody{number}", None, by=ALICE, born=born)
