"""How many operations of one tenant go on at once, by kind."""

from __future__ import annotations

import pytest

from contracts.errors import RateLimitedError
from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from router.domain.access import Permission
from router.service.tenant_turns import Kind, TenantTurns

T1, T2 = TenantId("t1"), TenantId("t2")
ADMIN = Kind("admin_concurrency", "administrative operations", at_once=2, waiting=4, wait_s=0.01)
READS = Kind("search_concurrency", "searches", at_once=1, waiting=4, wait_s=0.01)
KINDS = {Permission.EXPORT: ADMIN, Permission.CONFIG_WRITE: ADMIN, Permission.KEYS: ADMIN, Permission.SEARCH: READS}


async def test_a_tenant_has_so_many_of_a_kind_at_once_and_nothing_else_is_counted() -> None:
    turns = TenantTurns(NullMetrics(), KINDS)
    async with turns.held(T1, Permission.EXPORT), turns.held(T1, Permission.CONFIG_WRITE):
        with pytest.raises(RateLimitedError) as refused:
            async with turns.held(T1, Permission.KEYS):
                pass
        async with turns.held(T1, Permission.CHAT), turns.held(T2, Permission.KEYS), turns.held(T1, Permission.SEARCH):
            pass
    assert refused.value.details == {"limit": "admin_concurrency", "value": 2}
    async with turns.held(T1, Permission.KEYS):
        pass


async def test_searches_of_one_tenant_do_not_take_the_turns_of_another() -> None:
    turns = TenantTurns(NullMetrics(), KINDS)
    async with turns.held(T1, Permission.SEARCH):
        with pytest.raises(RateLimitedError, match="searches of this tenant"):
            async with turns.held(T1, Permission.SEARCH):
                pass
        async with turns.held(T2, Permission.SEARCH):
            pass
