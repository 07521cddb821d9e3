"""Tenants: the store in memory and the one in PostgreSQL keep the same promises."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.context import Role
from contracts.errors import ConflictError, IdempotencyMismatchError, NotFoundError, PreconditionFailedError
from contracts.tenant import TenantId
from support.tenants import ALICE, TenantStores, fresh_tenant
from tenancy.audit import Actor, Deed, digest, find_breach
from tenancy.config import TenantConfig, Tier
from tenancy.keys import new_key
from tenancy.ports import Onboarding, Revision, TenantRecord, TenantState

NEWER = TenantConfig(rate_limit_per_minute=5, display_name="Ünïcode 🦉", tier=Tier.PRO)


def an_onboarding() -> Onboarding:
    return Onboarding(secrets.token_bytes(32), secrets.token_bytes(32), secrets.token_bytes(32))


async def deeds(stores: TenantStores, tenant_id: TenantId) -> list[str]:
    """What its whole chain says was done, in order."""
    events = await stores.audit.page(tenant_id, after=0, limit=1_000)
    assert find_breach(events, await stores.audit.head(tenant_id)) is None
    return [event.action for event in events]


async def revision(stores: TenantStores, tenant_id: TenantId) -> Revision:
    found = await stores.tenants.read(tenant_id)
    assert found is not None
    return found.revision


async def test_a_new_tenant_has_its_config_its_key_and_its_history(stores: TenantStores) -> None:
    tenant, key, config = fresh_tenant(), new_key(), TenantConfig(rate_limit_per_minute=7, tier=Tier.PRO)
    await stores.tenants.create(tenant, config, key, by=ALICE)
    found = await stores.tenants.read(tenant)
    assert found is not None
    assert (found.tenant_id, found.config) == (tenant, config)
    assert (found.revision.version, found.revision.state) == (1, TenantState.ACTIVE)
    holder = await stores.keys.find(key.key_hash)
    assert holder is not None
    assert (holder.tenant_id, holder.role, holder.expires_at) == (tenant, Role.TENANT_ADMIN, None)
    assert await deeds(stores, tenant) == ["tenant.create"]
    entry = await stores.tenants.version(tenant, 1)
    assert (entry.config, entry.author) == (config.model_dump(mode="json"), "alice")


async def test_a_name_is_taken_once_and_the_second_try_leaves_nothing(stores: TenantStores) -> None:
    tenant, second = await stores.add(), new_key()
    with pytest.raises(ConflictError):
        await stores.tenants.create(tenant, NEWER, second, by=ALICE, onboarding=an_onboarding())
    assert await stores.keys.find(second.key_hash) is None
    assert len(await stores.keys.list(tenant)) == 1
    assert len(await stores.tenants.versions(tenant, before=None, limit=9)) == 1
    assert await stores.tenants.onboarding(tenant) is None
    assert await deeds(stores, tenant) == ["tenant.create"]


async def test_of_many_who_create_the_same_tenant_at_once_one_does(stores: TenantStores) -> None:
    tenant, keys = fresh_tenant(), [new_key() for _ in range(8)]
    outcomes = await asyncio.gather(
        *(stores.tenants.create(tenant, TenantConfig(), key, by=ALICE) for key in keys), return_exceptions=True
    )
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 7
    assert [await stores.keys.find(key.key_hash) is not None for key in keys] == [one is None for one in outcomes]
    assert await deeds(stores, tenant) == ["tenant.create"]


async def test_an_onboarding_is_remembered_for_the_request_that_comes_again(stores: TenantStores) -> None:
    tenant, onboarding = fresh_tenant(), an_onboarding()
    assert await stores.tenants.onboarding(tenant) is None
    await stores.tenants.create(tenant, TenantConfig(), new_key(), by=ALICE, onboarding=onboarding)
    assert await stores.tenants.onboarding(tenant) == onboarding
    with pytest.raises(ConflictError):
        await stores.tenants.create(tenant, TenantConfig(), new_key(), by=ALICE, onboarding=onboarding)


async def test_an_idempotency_key_makes_one_tenant_and_no_second(stores: TenantStores) -> None:
    first, second, onboarding, key = fresh_tenant(), fresh_tenant(), an_onboarding(), new_key()
    await stores.tenants.create(first, TenantConfig(), new_key(), by=ALICE, onboarding=onboarding)
    with pytest.raises(IdempotencyMismatchError):
        await stores.tenants.create(second, TenantConfig(), key, by=ALICE, onboarding=onboarding)
    assert await stores.tenants.read(second) is None
    assert await stores.keys.find(key.key_hash) is None
    assert await deeds(stores, second) == []


async def test_writes_are_numbered_and_a_stale_one_is_refused(stores: TenantStores) -> None:
    tenant = await stores.add()
    assert await stores.tenants.write_config(tenant, NEWER, by=ALICE, expected=frozenset({1, 7})) == 2
    with pytest.raises(PreconditionFailedError) as refused:
        await stores.tenants.write_config(tenant, TenantConfig(), by=ALICE, expected=frozenset({1}))
    assert refused.value.details == {"current_version": 2}
    with pytest.raises(PreconditionFailedError):
        await stores.tenants.write_config(tenant, TenantConfig(), by=ALICE, expected=frozenset())
    found = await stores.tenants.read(tenant)
    assert found is not None
    assert (found.revision.version, found.config) == (2, NEWER)
    assert await stores.tenants.write_config(tenant, TenantConfig(), by=ALICE) == 3
    assert await deeds(stores, tenant) == ["tenant.create", "config.write", "config.write"]


async def test_of_many_writers_with_the_same_expectation_one_wins(stores: TenantStores) -> None:
    tenant = await stores.add()
    outcomes = await asyncio.gather(
        *(stores.tenants.write_config(tenant, NEWER, by=ALICE, expected=frozenset({1})) for _ in range(8)),
        return_exceptions=True,
    )
    assert outcomes.count(2) == 1
    assert sum(isinstance(outcome, PreconditionFailedError) for outcome in outcomes) == 7
    assert (await revision(stores, tenant)).version == 2


async def test_of_many_writers_without_an_expectation_each_gets_a_number(stores: TenantStores) -> None:
    tenant = await stores.add()
    versions = await asyncio.gather(*(stores.tenants.write_config(tenant, NEWER, by=ALICE) for _ in range(8)))
    assert sorted(versions) == list(range(2, 10))
    assert await deeds(stores, tenant) == ["tenant.create", *["config.write"] * 8]


async def test_a_write_says_what_was_there_and_what_is(stores: TenantStores) -> None:
    first = TenantConfig(rate_limit_per_minute=9)
    tenant = await stores.add(config=first)
    await stores.tenants.write_config(tenant, NEWER, by=Actor("bob", "tenant_admin"), comment="för 🦉")
    (event,) = await stores.audit.page(tenant, after=1, limit=9)
    assert (event.actor, event.role, event.resource) == ("bob", "tenant_admin", "config/2")
    assert event.before_hash == digest(first.model_dump(mode="json"))
    assert event.after_hash == digest(NEWER.model_dump(mode="json"))
    assert event.as_json()["details"] == {"comment": "för 🦉"}


async def test_the_history_is_paged_newest_first(stores: TenantStores) -> None:
    tenant = await stores.add()
    for number in range(2, 6):
        config = TenantConfig(rate_limit_per_minute=number)
        await stores.tenants.write_config(tenant, config, by=ALICE, comment=f"version {number}")
    page = await stores.tenants.versions(tenant, before=None, limit=2)
    assert [(entry.version, entry.comment) for entry in page] == [(5, "version 5"), (4, "version 4")]
    rest = await stores.tenants.versions(tenant, before=4, limit=9)
    assert [entry.version for entry in rest] == [3, 2, 1]
    assert [entry.config["rate_limit_per_minute"] for entry in rest] == [3, 2, 60]
    assert await stores.tenants.versions(tenant, before=1, limit=9) == []
    assert await stores.tenants.version(tenant, 4) == page[1]
    for missing in (0, 6):
        with pytest.raises(NotFoundError):
            await stores.tenants.version(tenant, missing)


async def test_an_unknown_tenant_has_nothing_and_takes_nothing(stores: TenantStores) -> None:
    tenant, other = fresh_tenant(), await stores.add()
    assert await stores.tenants.read(tenant) is None
    assert await stores.tenants.read_unless(tenant, await revision(stores, other)) is None
    assert await stores.tenants.versions(tenant, before=None, limit=9) == []
    with pytest.raises(NotFoundError):
        await stores.tenants.version(tenant, 1)
    with pytest.raises(NotFoundError):
        await stores.tenants.write_config(tenant, TenantConfig(), by=ALICE)
    with pytest.raises(NotFoundError):
        await stores.tenants.set_state(tenant, TenantState.SUSPENDED, by=ALICE)


async def test_a_known_revision_is_answered_with_itself_alone(stores: TenantStores) -> None:
    tenant = await stores.add()
    known = await revision(stores, tenant)
    assert await stores.tenants.read_unless(tenant, known) == known
    assert isinstance(await stores.tenants.read_unless(tenant, None), TenantRecord)
    await stores.tenants.write_config(tenant, NEWER, by=ALICE)
    newer = await stores.tenants.read_unless(tenant, known)
    assert isinstance(newer, TenantRecord)
    assert (newer.config, newer.revision.version) == (NEWER, 2)
    await stores.tenants.set_state(tenant, TenantState.SUSPENDED, by=ALICE)
    suspended = await stores.tenants.read_unless(tenant, newer.revision)
    assert isinstance(suspended, TenantRecord)
    assert suspended.revision == Revision(newer.revision.born, 2, TenantState.SUSPENDED)


async def test_a_change_of_state_is_written_once(stores: TenantStores) -> None:
    tenant = await stores.add()
    for state in (TenantState.ACTIVE, TenantState.SUSPENDED, TenantState.SUSPENDED, TenantState.ACTIVE):
        summary = await stores.tenants.set_state(tenant, state, by=ALICE)
        assert (summary.tenant_id, summary.state) == (tenant, state)
        assert (await revision(stores, tenant)).state is state
    assert await deeds(stores, tenant) == ["tenant.create", "tenant.suspend", "tenant.resume"]


async def test_of_many_who_suspend_at_once_one_does_and_a_config_is_written_meanwhile(stores: TenantStores) -> None:
    tenant = await stores.add()
    await asyncio.gather(
        *(stores.tenants.set_state(tenant, TenantState.SUSPENDED, by=ALICE) for _ in range(4)),
        *(stores.tenants.write_config(tenant, NEWER, by=ALICE) for _ in range(4)),
    )
    assert sorted(await deeds(stores, tenant)) == [*["config.write"] * 4, "tenant.create", "tenant.suspend"]


async def test_tenants_are_listed_in_order_page_by_page(stores: TenantStores) -> None:
    root = fresh_tenant()
    names = [TenantId(f"{root}-{number}") for number in range(3)]
    for name in reversed(names):
        await stores.add(name, NEWER)
    await stores.tenants.set_state(names[1], TenantState.SUSPENDED, by=ALICE)
    first = await stores.tenants.list(f"{root}-", 2)
    rest = await stores.tenants.list(str(first[-1].tenant_id), 1)
    assert [row.tenant_id for row in (*first, *rest)] == names
    assert [row.state for row in first] == [TenantState.ACTIVE, TenantState.SUSPENDED]
    assert (rest[0].display_name, rest[0].tier, rest[0].config_version) == (NEWER.display_name, Tier.PRO, 1)


async def test_a_request_of_an_earlier_tenant_reads_and_writes_nothing_of_the_later_one(stores: TenantStores) -> None:
    tenant, key = await stores.add_with_key()
    found = await stores.tenants.read(tenant)
    assert found is not None
    born, earlier = found.revision.born, found.revision.born - timedelta(seconds=3)
    deed = Deed(ALICE, "tenant.export", f"tenant/{tenant}")

    def calls(born: datetime) -> list[Coroutine[Any, Any, object]]:
        held = {"label": "k", "role": Role.SERVICE, "expires_at": None, "by": ALICE, "born": born}
        until = datetime.now(UTC) + timedelta(hours=1)
        return [
            stores.audit.append(tenant, deed, born=born),
            stores.audit.page(tenant, after=0, limit=9, born=born),
            stores.audit.recent(tenant, before=None, limit=9, born=born),
            stores.audit.head(tenant, born=born),
            stores.keys.add(tenant, new_key(), **held),  # type: ignore[arg-type]
            stores.keys.list(tenant, born=born),
            stores.keys.rotate(tenant, key.key_id, new_key(), old_until=until, expires_at=None, by=ALICE, born=born),
            stores.keys.revoke(tenant, key.key_id, by=ALICE, born=born),
            stores.tenants.write_config(tenant, TenantConfig(), by=ALICE, born=born),
            stores.tenants.versions(tenant, before=None, limit=9, born=born),
            stores.tenants.version(tenant, 1, born=born),
        ]

    for call in calls(earlier):
        with pytest.raises(NotFoundError):
            await call
    assert (await stores.audit.head(tenant)).seq == 1
    assert [item.key_id for item in await stores.keys.list(tenant)] == [key.key_id]
    for call in calls(born):
        await call


async def test_a_page_of_large_versions_ends_early_and_holds_two_at_least(stores: TenantStores) -> None:
    large = TenantConfig(sensitive_prompt_patterns=tuple(f"{number:04d}" + "x" * 900 for number in range(500)))
    tenant = await stores.add(config=large)
    for minute in range(1, 5):
        await stores.tenants.write_config(tenant, large.model_copy(update={"rate_limit_per_minute": minute}), by=ALICE)
    page = await stores.tenants.versions(tenant, before=None, limit=99)
    assert [entry.version for entry in page] == [5, 4, 3]
    assert [entry.version for entry in await stores.tenants.versions(tenant, before=3, limit=1)] == [2]
    assert [entry.version for entry in await stores.tenants.versions(tenant, before=3, limit=9)] == [2, 1]
