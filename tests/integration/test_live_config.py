"""A change that was acknowledged governs every request that any router admits one second later.

Three routers as processes of their own. The proof is in the answers: the version that each says it ran under, and the
reason of a rule that is different in every version.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.tenant import TenantId
from stores.postgres import Database
from support.postgres import running_valkey
from support.replicas import router_processes
from support.stack import Stack
from tenancy.audit import Actor
from tenancy.postgres_tenants import PostgresTenantStore

BOUND_S = 1.0
FLIPS = 200
GENEROUS = {"rate_limit_per_minute": 1_000_000, "rate_limit_per_hour": 10_000_000}
PROMPT = "please refuse this"


def config(number: int) -> dict[str, Any]:
    return {**GENEROUS, "refusal_rules": [{"type": "contains", "pattern": "refuse", "reason": f"rule {number}"}]}


@dataclass
class Witness:
    """What was acknowledged when, and what was answered to requests sent when."""

    acknowledged: list[tuple[float, int, str]] = field(default_factory=list)
    answers: list[tuple[float, str, int, str]] = field(default_factory=list)

    def wrote(self, version: int, reason: str) -> None:
        self.acknowledged.append((time.monotonic(), version, reason))

    def saw(self, sent_at: float, router: str, version: int, reason: str) -> None:
        self.answers.append((sent_at, router, version, reason))

    def worst_lag_s(self) -> float:
        """The longest time after which a request was still admitted under a version that had been replaced."""
        replaced_at = {version - 1: at for at, version, _ in self.acknowledged}
        return max((sent - replaced_at[version] for sent, _, version, _ in self.answers if version in replaced_at))

    def check(self) -> None:
        reasons = {version: reason for _, version, reason in self.acknowledged}
        for sent_at, router, version, reason in self.answers:
            due = max((v for at, v, _ in self.acknowledged if at <= sent_at - BOUND_S), default=0)
            assert version >= due, f"{router} ran version {version} {BOUND_S} s after {due} was acknowledged"
            assert reasons.get(version, reason) == reason, "a request ran under parts of two versions"


@pytest.fixture(scope="module")
def routers(stack: Stack, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    with router_processes(stack, valkey_url, 3, tmp_path_factory.mktemp("routers")) as urls:
        yield urls


async def write(client: httpx.AsyncClient, router: str, tenant: str, number: int, witness: Witness) -> None:
    answer = await client.put(f"{router}/tenant/{tenant}/config", json=config(number))
    answer.raise_for_status()
    witness.wrote(int(answer.headers["etag"].strip('"')), f"rule {number}")


async def ask_all_the_time(
    client: httpx.AsyncClient, router: str, tenant: str, witness: Witness, done: asyncio.Event
) -> None:
    while not done.is_set():
        sent_at = time.monotonic()
        answer = await client.post(f"{router}/chat", json={"query": PROMPT})
        answer.raise_for_status()
        said = answer.json()
        assert said["config_version"] == int(answer.headers["x-config-version"])
        witness.saw(sent_at, router, said["config_version"], said["refusal"]["reason"])
        await asyncio.sleep(0.01)


async def test_two_hundred_changes_under_load_on_three_routers(
    stack: Stack, routers: list[str], record_testsuite_property: Callable[[str, object], None]
) -> None:
    tenant, witness, done = stack.new_tenant("flips", **config(0)), Witness(), asyncio.Event()
    async with httpx.AsyncClient(headers={"x-tenant-id": tenant}, timeout=30) as client:
        asking = [
            asyncio.create_task(ask_all_the_time(client, router, tenant, witness, done))
            for router in routers
            for _ in range(2)
        ]
        try:
            for number in range(1, FLIPS + 1):
                await write(client, routers[number % 3], tenant, number, witness)
                await asyncio.sleep(0.02)
            await asyncio.sleep(BOUND_S + 0.5)
        finally:
            done.set()
            await asyncio.gather(*asking)
    witness.check()
    last = {router: version for _, router, version, _ in witness.answers}
    assert set(last.values()) == {FLIPS + 1}
    assert len(witness.answers) > FLIPS
    record_testsuite_property("replaced_config_used_for_at_most_s", round(witness.worst_lag_s(), 3))


async def test_a_change_whose_writer_died_before_it_could_tell_anybody(stack: Stack, routers: list[str]) -> None:
    tenant = stack.new_tenant("crash", **config(0))
    database = Database(stack.database_url)
    async with httpx.AsyncClient(headers={"x-tenant-id": tenant}, timeout=30) as client:
        for router in routers:
            assert (await client.post(f"{router}/chat", json={"query": PROMPT})).json()["config_version"] == 1
        store = PostgresTenantStore(database)
        record = await store.read(TenantId(tenant))
        assert record is not None
        await store.write_config(TenantId(tenant), record.config, by=Actor("a writer that dies", "test"))
        await asyncio.sleep(BOUND_S)
        for router in routers:
            assert (await client.post(f"{router}/chat", json={"query": PROMPT})).json()["config_version"] == 2
    await database.close()


async def test_a_revoked_key_and_a_suspended_tenant_are_refused_everywhere_within_the_bound(
    stack: Stack, routers: list[str]
) -> None:
    tenant = stack.new_tenant("revoked")
    with stack.client(tenant) as admin:
        made = admin.post(f"/tenant/{tenant}/keys", json={"label": "x", "role": "tenant_user"}).json()
        bearer = {"authorization": f"Bearer {made['key']}"}
        async with httpx.AsyncClient(timeout=30) as client:

            async def statuses(headers: dict[str, str]) -> list[int]:
                asked = [client.get(f"{router}/tenant/{tenant}/documents", headers=headers) for router in routers]
                return [answer.status_code for answer in await asyncio.gather(*asked)]

            assert await statuses(bearer) == [200, 200, 200]
            admin.delete(f"/tenant/{tenant}/keys/{made['key_id']}").raise_for_status()
            await asyncio.sleep(BOUND_S)
            assert await statuses(bearer) == [401, 401, 401]
            with stack.platform() as platform:
                platform.post(f"/tenants/{tenant}/suspend").raise_for_status()
            await asyncio.sleep(BOUND_S)
            chats = [
                client.post(f"{router}/chat", headers={"x-tenant-id": tenant}, json={"query": "x"})
                for router in routers
            ]
            assert [answer.status_code for answer in await asyncio.gather(*chats)] == [403, 403, 403]


async def test_the_bound_holds_while_valkey_is_down(stack: Stack, tmp_path: Path) -> None:
    tenant = stack.new_tenant("deaf", **config(0))
    with stack.client(tenant) as admin:
        made = admin.post(f"/tenant/{tenant}/keys", json={"label": "x", "role": "tenant_user"}).json()
    bearer = {"authorization": f"Bearer {made['key']}"}
    valkey = ExitStack()
    server = valkey.enter_context(running_valkey(tmp_path / "valkey"))
    with valkey, router_processes(stack, server.url, 3, tmp_path) as routers:
        async with httpx.AsyncClient(headers={"x-tenant-id": tenant}, timeout=30) as client:

            async def governed_by() -> list[str]:
                asked = [client.post(f"{router}/chat", json={"query": PROMPT}) for router in routers]
                return [answer.headers["x-config-version"] for answer in await asyncio.gather(*asked)]

            assert await governed_by() == ["1", "1", "1"]
            valkey.close()
            for number in range(2, 7):
                answer = await client.put(f"{routers[number % 3]}/tenant/{tenant}/config", json=config(number))
                assert answer.status_code == 200
                await asyncio.sleep(BOUND_S)
                assert await governed_by() == [str(number)] * 3
            revoked = await client.delete(f"{routers[0]}/tenant/{tenant}/keys/{made['key_id']}")
            assert revoked.status_code == 204
            await asyncio.sleep(BOUND_S)
            asked = [client.get(f"{router}/tenant/{tenant}/documents", headers=bearer) for router in routers]
            assert [answer.status_code for answer in await asyncio.gather(*asked)] == [401, 401, 401]
