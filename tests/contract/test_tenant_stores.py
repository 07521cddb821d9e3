"""Tenants and keys: the store in memory and the one in PostgreSQL keep the same promises."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from tenancy.postgres_store import PostgresKeyStore, PostgresTenantStore

from contracts.context import Role
from contracts.errors import ConflictError, NotFoundError, PreconditionFailedError
from contracts.tenant import TenantId
from stores.postgres import Database
from tenancy.config import TenantConfig, Tier
from tenancy.keys import hash_key, keyed, new_key
from tenancy.memory_keys import MemoryKeyStore
from tenancy.memory_tenants import MemoryTenantStore
from tenancy.ports import ConfigVersion, KeyStore, TenantStore


class Stores(NamedTuple):
    tenants: TenantStore
    keys: KeyStore


@pytest.fixture(params=["memory", "postgres"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "memory":
        keys = MemoryKeyStore()
        yield Stores(MemoryTenantStore(keys), keys)
        return
    database = Database(request.getfixturevalue("database_url"))
    yield Stores(PostgresTenantStore(database), PostgresKeyStore(database))
    await database.close()


@pytest.fixture
def tenant() -> TenantId:
    return TenantId(f"c-{secrets.token_hex(6)}")


async def test_a_new_tenant_has_its_config_and_its_key(stores: Stores, tenant: TenantId) -> None:
    key, config = new_key(), TenantConfig(rate_limit_per_minute=7)
    await stores.tenants.create(tenant, Tier.PRO, config, key)
    assert await stores.tenants.read_config(tenant) == ConfigVersion(1, config)
    holder = await stores.keys.find(hash_key(key.text))
    assert holder is not None
    assert (holder.tenant_id, holder.role) == (tenant, Role.TENANT_ADMIN)


async def test_a_name_is_taken_once_and_the_second_try_leaves_nothing(stores: Stores, tenant: TenantId) -> None:
    second = new_key()
    await stores.tenants.create(tenant, Tier.BASIC, TenantConfig(), new_key())
    with pytest.raises(ConflictError):
        await stores.tenants.create(tenant, Tier.BASIC, TenantConfig(rate_limit_per_minute=1), second)
    assert await stores.keys.find(second.key_hash) is None
    assert await stores.tenants.read_config(tenant) == ConfigVersion(1, TenantConfig())


async def test_writes_are_numbered_and_a_stale_one_is_refused(stores: Stores, tenant: TenantId) -> None:
    await stores.tenants.create(tenant, Tier.BASIC, TenantConfig(), new_key())
    newer = TenantConfig(rate_limit_per_minute=5)
    assert await stores.tenants.write_config(tenant, newer, author="a", expected_version=1) == 2
    with pytest.raises(PreconditionFailedError):
        await stores.tenants.write_config(tenant, TenantConfig(), author="a", expected_version=1)
    assert await stores.tenants.read_config(tenant) == ConfigVersion(2, newer)
    assert await stores.tenants.write_config(tenant, TenantConfig(), author="a", expected_version=None) == 3


async def test_of_many_writers_with_the_same_expectation_one_wins(stores: Stores, tenant: TenantId) -> None:
    await stores.tenants.create(tenant, Tier.BASIC, TenantConfig(), new_key())
    outcomes = await asyncio.gather(
        *(
            stores.tenants.write_config(tenant, TenantConfig(), author=str(number), expected_version=1)
            for number in range(8)
        ),
        return_exceptions=True,
    )
    assert [outcome for outcome in outcomes if outcome == 2] == [2]
    assert sum(isinstance(outcome, PreconditionFailedError) for outcome in outcomes) == 7


async def test_an_unknown_tenant_has_nothing(stores: Stores, tenant: TenantId) -> None:
    assert await stores.tenants.read_config(tenant) is None
    assert await stores.tenants.read_config_unless(tenant, 1) is None
    with pytest.raises(NotFoundError):
        await stores.tenants.write_config(tenant, TenantConfig(), author="a", expected_version=None)


async def test_a_known_version_is_answered_with_its_number_alone(stores: Stores, tenant: TenantId) -> None:
    await stores.tenants.create(tenant, Tier.BASIC, TenantConfig(), new_key())
    assert await stores.tenants.read_config_unless(tenant, 1) == 1
    assert await stores.tenants.read_config_unless(tenant, 0) == ConfigVersion(1, TenantConfig())


async def test_tenants_are_listed_in_order_page_by_page(stores: Stores, tenant: TenantId) -> None:
    names = [TenantId(f"{tenant}-{number}") for number in range(3)]
    for name in reversed(names):
        await stores.tenants.create(name, Tier.BASIC, TenantConfig(), new_key())
    first = await stores.tenants.list(f"{tenant}-", 2)
    rest = await stores.tenants.list(str(first[-1].tenant_id), 1)
    assert [row.tenant_id for row in (*first, *rest)] == names


async def test_an_unknown_key_has_no_holder(stores: Stores) -> None:
    assert await stores.keys.find(hash_key("atr_nobody")) is None


async def test_there_is_one_first_platform_key(stores: Stores) -> None:
    await stores.keys.add_first_platform_key(keyed("atr_first"), "first")
    assert not await stores.keys.add_first_platform_key(keyed("atr_second"), "second")
    assert await stores.keys.find(hash_key("atr_second")) is None
