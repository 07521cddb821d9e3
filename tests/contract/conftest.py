"""Tenants, keys and the audit log, once in memory and once in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.tenants import TenantStores, memory_stores, opened, postgres_stores


@pytest.fixture(params=["memory", "postgres"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[TenantStores]:
    """Shared by the session where it is PostgreSQL: use tenants of your own."""
    if request.param == "memory":
        yield memory_stores()
        return
    async with opened(request.getfixturevalue("database_url")) as database:
        yield postgres_stores(database)


@pytest.fixture(params=["memory", "postgres"])
async def own_stores(request: pytest.FixtureRequest) -> AsyncIterator[TenantStores]:
    """For this test alone: its platform has no key and no history."""
    if request.param == "memory":
        yield memory_stores()
        return
    async with opened(request.getfixturevalue("own_database").url) as database:
        yield postgres_stores(database)
