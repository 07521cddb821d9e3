"""API keys: the store in memory and the one in PostgreSQL keep the same promises."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from contracts.context import Role
from contracts.errors import ConflictError, NotFoundError
from contracts.tenant import TenantId
from support.tenants import ALICE, TenantStores, fresh_tenant
from tenancy.audit import find_breach
from tenancy.keys import KeyInfo, NewKey, hash_key, keyed, new_key

DAY = timedelta(days=1)


def from_now(time: timedelta) -> datetime:
    return datetime.now(UTC) + time


async def a_key(
    stores: TenantStores,
    tenant: TenantId | None,
    key: NewKey | None = None,
    *,
    expires_at: datetime | None = None,
    role: Role = Role.TENANT_USER,
) -> KeyInfo:
    if tenant is None:
        role = Role.PLATFORM_ADMIN
    return await stores.keys.add(
        tenant, key or new_key(), label="a läbel 🦉", role=role, expires_at=expires_at, by=ALICE
    )


async def rotated(
    stores: TenantStores,
    tenant: TenantId | None,
    key_id: str,
    key: NewKey | None = None,
    *,
    overlap: timedelta = DAY,
    expires_at: datetime | None = None,
) -> KeyInfo:
    return await stores.keys.rotate(
        tenant, key_id, key or new_key(), old_until=from_now(overlap), expires_at=expires_at, by=ALICE
    )


async def shown(stores: TenantStores, tenant: TenantId | None, key_id: str) -> KeyInfo:
    (found,) = [key for key in await stores.keys.list(tenant) if key.key_id == key_id]
    return found


async def deeds(stores: TenantStores, tenant: TenantId | None) -> list[tuple[str, str]]:
    events = await stores.audit.page(tenant, after=0, limit=1_000)
    assert find_breach(events, await stores.audit.head(tenant)) is None
    return [(event.action, event.resource) for event in events]


async def test_an_unknown_key_has_no_holder(stores: TenantStores) -> None:
    assert await stores.keys.find(hash_key("atr_nobody")) is None


async def test_a_key_is_found_by_its_whole_hash_and_shown_without_it(stores: TenantStores) -> None:
    tenant, key, until = await stores.add(), new_key(), from_now(DAY)
    info = await a_key(stores, tenant, key, expires_at=until, role=Role.SERVICE)
    holder = await stores.keys.find(key.key_hash)
    assert holder is not None
    assert (holder.key_id, holder.tenant_id, holder.role) == (key.key_id, tenant, Role.SERVICE)
    assert holder.expires_at == until
    assert await stores.keys.find(key.key_hash[:-1] + bytes([key.key_hash[-1] ^ 1])) is None
    assert await shown(stores, tenant, key.key_id) == info
    assert (info.label, info.role, info.created_by, info.last_used_at) == ("a läbel 🦉", Role.SERVICE, "alice", None)
    assert (await deeds(stores, tenant))[1:] == [("key.create", f"key/{key.key_id}")]


async def test_keys_are_listed_oldest_first_with_those_that_have_expired(stores: TenantStores) -> None:
    tenant, first = await stores.add_with_key()
    made = [await a_key(stores, tenant, expires_at=end) for end in (None, from_now(-DAY), from_now(DAY))]
    listed = [key.key_id for key in await stores.keys.list(tenant)]
    assert listed == [first.key_id, *(key.key_id for key in made)]
    assert await stores.keys.list(fresh_tenant()) == []


async def test_an_expired_key_is_found_with_its_end(stores: TenantStores) -> None:
    tenant, key, end = await stores.add(), new_key(), from_now(-DAY)
    await a_key(stores, tenant, key, expires_at=end)
    holder = await stores.keys.find(key.key_hash)
    assert holder is not None
    assert holder.expires_at == end


async def test_an_unknown_tenant_gets_no_key(stores: TenantStores) -> None:
    tenant, key = fresh_tenant(), new_key()
    with pytest.raises(NotFoundError):
        await a_key(stores, tenant, key)
    assert await stores.keys.find(key.key_hash) is None
    assert await deeds(stores, tenant) == []


async def test_a_rotated_key_hands_on_its_label_and_role_and_goes_on_for_a_while(stores: TenantStores) -> None:
    tenant, old, new = await stores.add(), new_key(), new_key()
    await a_key(stores, tenant, old, role=Role.SERVICE)
    until = from_now(DAY)
    info = await stores.keys.rotate(tenant, old.key_id, new, old_until=until, expires_at=None, by=ALICE)
    assert (info.key_id, info.label, info.role, info.expires_at) == (new.key_id, "a läbel 🦉", Role.SERVICE, None)
    was, now = await stores.keys.find(old.key_hash), await stores.keys.find(new.key_hash)
    assert was is not None
    assert now is not None
    assert (was.expires_at, now.expires_at, now.role) == (until, None, Role.SERVICE)
    assert (await deeds(stores, tenant))[-1] == ("key.rotate", f"key/{new.key_id}")


async def test_the_overlap_never_lengthens_a_keys_life(stores: TenantStores) -> None:
    tenant, old = await stores.add(), new_key()
    end = from_now(timedelta(minutes=5))
    await a_key(stores, tenant, old, expires_at=end)
    await rotated(stores, tenant, old.key_id, overlap=DAY)
    assert (await shown(stores, tenant, old.key_id)).expires_at == end
    await rotated(stores, tenant, old.key_id, overlap=timedelta(minutes=1))
    shorter = (await shown(stores, tenant, old.key_id)).expires_at
    assert shorter is not None
    assert shorter < end


async def test_a_key_that_has_expired_or_is_anothers_is_not_rotated(stores: TenantStores) -> None:
    tenant, other = await stores.add(), await stores.add()
    expired, foreign, new = new_key(), new_key(), new_key()
    await a_key(stores, tenant, expired, expires_at=from_now(-timedelta(seconds=5)))
    await a_key(stores, other, foreign)
    for key_id in (expired.key_id, foreign.key_id, "key_nobody"):
        with pytest.raises(NotFoundError):
            await rotated(stores, tenant, key_id, new)
    with pytest.raises(NotFoundError):
        await rotated(stores, None, foreign.key_id, new)
    assert await stores.keys.find(new.key_hash) is None
    assert (await shown(stores, other, foreign.key_id)).expires_at is None
    assert [action for action, _ in await deeds(stores, tenant)] == ["tenant.create", "key.create"]


async def test_a_revoked_key_is_gone_for_its_owner_alone_to_revoke(stores: TenantStores) -> None:
    (tenant, key), other = await stores.add_with_key(), await stores.add()
    for whose in (other, None):
        with pytest.raises(NotFoundError):
            await stores.keys.revoke(whose, key.key_id, by=ALICE)
    assert await stores.keys.find(key.key_hash) is not None
    await stores.keys.revoke(tenant, key.key_id, by=ALICE)
    assert await stores.keys.find(key.key_hash) is None
    assert await stores.keys.list(tenant) == []
    with pytest.raises(NotFoundError):
        await stores.keys.revoke(tenant, key.key_id, by=ALICE)
    assert (await deeds(stores, tenant))[1:] == [("key.revoke", f"key/{key.key_id}")]


async def test_of_many_who_revoke_a_key_at_once_one_does(stores: TenantStores) -> None:
    tenant, key = await stores.add_with_key()
    outcomes = await asyncio.gather(
        *(stores.keys.revoke(tenant, key.key_id, by=ALICE) for _ in range(6)), return_exceptions=True
    )
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, NotFoundError) for outcome in outcomes) == 5
    assert len(await deeds(stores, tenant)) == 2


async def test_an_expired_key_can_be_revoked(stores: TenantStores) -> None:
    tenant, key = await stores.add(), new_key()
    await a_key(stores, tenant, key, expires_at=from_now(-DAY))
    await stores.keys.revoke(tenant, key.key_id, by=ALICE)
    assert await stores.keys.find(key.key_hash) is None


async def test_uses_are_noted_and_never_go_back(stores: TenantStores) -> None:
    (tenant, first), other = await stores.add_with_key(), await stores.add()
    second = await a_key(stores, other)
    early, late = datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 1, 2, tzinfo=UTC)
    await stores.keys.touch({first.key_id: late, second.key_id: early, "key_gone": late})
    await stores.keys.touch({first.key_id: early, second.key_id: late})
    assert (await shown(stores, tenant, first.key_id)).last_used_at == late
    assert (await shown(stores, other, second.key_id)).last_used_at == late
    await stores.keys.touch({})


async def test_there_is_one_first_platform_key(own_stores: TenantStores) -> None:
    keys = [keyed(f"atr_first_{number}") for number in range(5)]
    added = await asyncio.gather(*(own_stores.keys.add_first_platform_key(key, "first") for key in keys))
    assert sum(added) == 1
    assert [await own_stores.keys.find(key.key_hash) is not None for key in keys] == added
    assert not await own_stores.keys.add_first_platform_key(keyed("atr_late"), "late")


async def test_the_platforms_last_lasting_key_stays(own_stores: TenantStores) -> None:
    last, other = new_key(), new_key()
    await own_stores.keys.add_first_platform_key(last, "first")
    await a_key(own_stores, None, expires_at=from_now(DAY))
    with pytest.raises(ConflictError):
        await own_stores.keys.revoke(None, last.key_id, by=ALICE)
    with pytest.raises(NotFoundError):
        await own_stores.keys.revoke(None, "key_nobody", by=ALICE)
    await a_key(own_stores, None, other)
    await own_stores.keys.revoke(None, last.key_id, by=ALICE)
    assert await own_stores.keys.find(last.key_hash) is None
    with pytest.raises(ConflictError):
        await own_stores.keys.revoke(None, other.key_id, by=ALICE)
    assert [action for action, _ in await deeds(own_stores, None)] == ["key.create", "key.create", "key.revoke"]


async def test_the_platforms_last_lasting_key_gives_way_to_a_lasting_one_only(own_stores: TenantStores) -> None:
    last, new = new_key(), new_key()
    await own_stores.keys.add_first_platform_key(last, "first")
    with pytest.raises(ConflictError):
        await rotated(own_stores, None, last.key_id, expires_at=from_now(DAY))
    assert (await shown(own_stores, None, last.key_id)).expires_at is None
    await rotated(own_stores, None, last.key_id, new)
    with pytest.raises(ConflictError):
        await own_stores.keys.revoke(None, new.key_id, by=ALICE)
    await rotated(own_stores, None, last.key_id, expires_at=from_now(DAY))  # it has an end already: nothing is lost


async def test_two_revocations_at_once_leave_the_platform_a_key(own_stores: TenantStores) -> None:
    first = new_key()
    await own_stores.keys.add_first_platform_key(first, "first")
    for _ in range(10):
        second = await a_key(own_stores, None)
        lasting = [key.key_id for key in await own_stores.keys.list(None)]
        outcomes = await asyncio.gather(
            *(own_stores.keys.revoke(None, key_id, by=ALICE) for key_id in lasting), return_exceptions=True
        )
        assert second.key_id in lasting
        assert sorted(type(outcome) for outcome in outcomes if outcome) == [ConflictError]
        assert len(await own_stores.keys.list(None)) == 1


async def test_a_rotation_and_a_revocation_at_once_leave_the_platform_a_lasting_key(own_stores: TenantStores) -> None:
    await own_stores.keys.add_first_platform_key(new_key(), "first")
    for _ in range(10):
        await a_key(own_stores, None)
        first, second = [key.key_id for key in await own_stores.keys.list(None) if key.expires_at is None][:2]
        outcomes = await asyncio.gather(
            rotated(own_stores, None, first, expires_at=from_now(DAY)),
            own_stores.keys.revoke(None, second, by=ALICE),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == [ConflictError]
        assert len([key for key in await own_stores.keys.list(None) if key.expires_at is None]) == 1


async def test_a_tenant_has_so_many_keys_and_no_more(stores: TenantStores, monkeypatch: pytest.MonkeyPatch) -> None:
    for store in ("memory_keys", "postgres_keys"):
        monkeypatch.setattr(f"tenancy.{store}.MAX_KEYS", 4)
    tenant, other = await stores.add(), await stores.add()
    made = await asyncio.gather(*(a_key(stores, tenant) for _ in range(6)), return_exceptions=True)
    assert [type(key) for key in made if not isinstance(key, KeyInfo)] == [ConflictError] * 3
    keys = await stores.keys.list(tenant)
    assert len(keys) == 4
    with pytest.raises(ConflictError, match="revoke"):
        await rotated(stores, tenant, keys[-1].key_id)
    await a_key(stores, other)
    await stores.keys.revoke(tenant, keys[0].key_id, by=ALICE)
    await a_key(stores, tenant)
