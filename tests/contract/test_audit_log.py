"""The audit log: the one in memory and the one in PostgreSQL keep the same promises."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from contracts.errors import NotFoundError
from support.tenants import ALICE, TenantStores, fresh_tenant
from tenancy.audit import GENESIS, Deed, Head, find_breach
from tenancy.keys import new_key
from tenancy.ports import TenantState


def a_deed(number: int) -> Deed:
    details = {"nümber": number, "nested": {"b": [1.5, None, True], "a": '🦉\u2028\\"'}}
    return Deed(ALICE, "document.delete", f"document/{number}", after_hash="ab" * 32, details=details)


async def test_each_event_is_bound_to_the_one_before(stores: TenantStores) -> None:
    tenant = await stores.add()
    written = [await stores.audit.append(tenant, a_deed(number)) for number in range(3)]
    read = await stores.audit.page(tenant, after=0, limit=9)
    assert read[1:] == written
    assert [event.seq for event in read] == [1, 2, 3, 4]
    assert [event.prev_hash for event in read] == [GENESIS, *(event.hash for event in read[:-1])]
    head = await stores.audit.head(tenant)
    assert head == Head(4, written[-1].hash)
    assert find_breach(read, head) is None
    assert written[0].as_json()["details"] == dict(a_deed(0).details)
    assert (written[0].actor, written[0].role) == (ALICE.name, ALICE.role)
    assert (written[0].address, written[0].request_id) == (ALICE.address, ALICE.request_id)


async def test_deeds_that_are_written_together_are_bound_one_by_one(stores: TenantStores) -> None:
    tenant = await stores.add()
    both = await asyncio.gather(
        *(stores.audit.append_all(tenant, [a_deed(10 * batch + number) for number in range(7)]) for batch in range(3))
    )
    events = await stores.audit.page(tenant, after=0, limit=99)
    assert find_breach(events, await stores.audit.head(tenant)) is None
    assert len(events) == 1 + 3 * 7
    for batch in both:
        assert events[batch[0].seq - 1 :][:7] == batch


async def test_of_deeds_for_a_tenant_of_another_time_none_is_written(stores: TenantStores) -> None:
    tenant = await stores.add()
    with pytest.raises(NotFoundError):
        await stores.audit.append_all(tenant, [a_deed(1), a_deed(2)], born=datetime(2001, 1, 1, tzinfo=UTC))
    assert len(await stores.audit.page(tenant, after=0, limit=9)) == 1


async def test_a_chain_without_events_is_whole(stores: TenantStores) -> None:
    tenant = fresh_tenant()
    assert await stores.audit.head(tenant) == Head()
    assert await stores.audit.page(tenant, after=0, limit=9) == []
    assert await stores.audit.recent(tenant, before=None, limit=9) == []
    assert find_breach([], Head()) is None


async def test_pages_go_both_ways(stores: TenantStores) -> None:
    tenant = await stores.add()
    for number in range(6):
        await stores.audit.append(tenant, a_deed(number))
    forth: list[int] = []
    while page := await stores.audit.page(tenant, after=forth[-1] if forth else 0, limit=3):
        forth += [event.seq for event in page]
    back: list[int] = []
    while page := await stores.audit.recent(tenant, before=back[-1] if back else None, limit=3):
        back += [event.seq for event in page]
    assert forth == [1, 2, 3, 4, 5, 6, 7]
    assert back == forth[::-1]


async def test_a_chain_is_read_from_the_middle(stores: TenantStores) -> None:
    tenant = await stores.add()
    third = [await stores.audit.append(tenant, a_deed(number)) for number in range(4)][1]
    rest = await stores.audit.page(tenant, after=third.seq, limit=9)
    head = await stores.audit.head(tenant)
    assert find_breach(rest, head, before=Head(third.seq, third.hash)) is None
    assert find_breach(rest, head) is not None


async def test_twenty_writers_at_once_make_one_whole_chain(stores: TenantStores) -> None:
    tenant = await stores.add()
    written = await asyncio.gather(*(stores.audit.append(tenant, a_deed(number)) for number in range(20)))
    events = await stores.audit.page(tenant, after=0, limit=99)
    assert [event.seq for event in events] == list(range(1, 22))
    assert sorted(written, key=lambda event: event.seq) == events[1:]
    assert find_breach(events, await stores.audit.head(tenant)) is None


async def test_writers_of_every_kind_at_once_wait_for_each_other_and_none_fails(stores: TenantStores) -> None:
    tenant, key = await stores.add_with_key()
    keys = [key]
    for _ in range(5):
        keys.append(new_key())
        found = await stores.tenants.read(tenant)
        assert found is not None
        await stores.keys.add(
            tenant, keys[-1], label="k", role=(await stores.keys.list(tenant))[0].role, expires_at=None, by=ALICE
        )
    config = found.config
    await asyncio.gather(
        *(stores.audit.append(tenant, a_deed(number)) for number in range(10)),
        *(stores.tenants.write_config(tenant, config, by=ALICE) for _ in range(10)),
        *(stores.keys.revoke(tenant, key.key_id, by=ALICE) for key in keys),
        stores.tenants.set_state(tenant, TenantState.SUSPENDED, by=ALICE),
    )
    events = await stores.audit.page(tenant, after=0, limit=99)
    assert len(events) == 6 + 10 + 10 + 6 + 1
    assert find_breach(events, await stores.audit.head(tenant)) is None


async def test_chains_of_tenants_and_of_the_platform_stand_apart(stores: TenantStores) -> None:
    first, second = await stores.add(), await stores.add()
    before = await stores.audit.head(None)
    mine = await stores.audit.append(first, a_deed(1))
    theirs = await stores.audit.append(None, a_deed(1))
    assert (mine.seq, mine.tenant_id) == (2, first)
    assert (theirs.seq, theirs.prev_hash, theirs.tenant_id) == (before.seq + 1, before.hash, None)
    assert [event.tenant_id for event in await stores.audit.page(second, after=0, limit=9)] == [second]
    assert await stores.audit.page(None, after=before.seq, limit=9) == [theirs]
    assert await stores.audit.recent(None, before=None, limit=1) == [theirs]
    # An event of one chain is none of another, though both are in the same place with the same content.
    own = await stores.audit.page(second, after=0, limit=9)
    foreign = await stores.audit.page(first, after=0, limit=1)
    assert find_breach(foreign, await stores.audit.head(second)) is not None
    assert find_breach(own, await stores.audit.head(second)) is None
