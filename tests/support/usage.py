"""Usage events for tests."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from contracts.tenant import TenantId
from tenancy.usage import Outcome, UsageEvent

MAY_4 = datetime(2026, 5, 4, 12, 0, 0, 123_457, tzinfo=UTC)


def an_event(tenant_id: TenantId, event_id: str | None = None, /, **fields: Any) -> UsageEvent:
    """A settled answer of 10 + 5 tokens on 4 May 2026, unless `fields` say otherwise."""
    usual: dict[str, Any] = {
        "request_id": "r1",
        "user_id": "u1",
        "session_id": "s1",
        "route": "GENERAL",
        "model": "m1",
        "pool": "pooled",
        "prompt_tokens": 10,
        "cached_tokens": 4,
        "completion_tokens": 5,
        "price_version": 1,
        "cost_nano_usd": 3_000,
        "outcome": Outcome.ANSWERED,
        "started_at": MAY_4,
    }
    return UsageEvent(tenant_id=tenant_id, event_id=event_id or secrets.token_hex(8), **(usual | fields))


def so_far(tenant_id: TenantId, event_id: str, completion_tokens: int, /, **fields: Any) -> UsageEvent:
    """An open event; its cost follows from its tokens."""
    cost = 100 * (10 + completion_tokens)
    values: dict[str, Any] = {"completion_tokens": completion_tokens, "cost_nano_usd": cost, "outcome": None}
    return an_event(tenant_id, event_id, **(values | fields))
