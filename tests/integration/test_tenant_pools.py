"""Tenants with pools and models of their own, through the whole stack; only the engines are imitations."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest

import app.main
import app.settings
import rag.main
import rag.settings
from servicekit.tokens import generate_signing_key, load_signing_key, public_text
from support.imitation_engine import MODEL, Imitation, Sequences, running_imitation
from support.pools import until
from support.postgres import running_valkey
from support.server import served
from support.stack import PLATFORM_KEY, Stack, another_router

PLATFORM = {"authorization": f"Bearer {PLATFORM_KEY}"}


@dataclass
class Pools:
    stack: Stack
    shared: Imitation
    gold: Imitation

    def tenant(self, **config: Any) -> str:
        return self.stack.new_tenant("pools", **config)

    def chat(self, tenant: str, query: str = "hello") -> httpx.Response:
        with self.stack.client(tenant) as client:
            return client.post("/chat", json={"query": query})

    def set(self, tenant: str, *, by_platform: bool = True, **changes: Any) -> httpx.Response:
        headers = PLATFORM if by_platform else {"x-tenant-id": tenant}
        with httpx.Client(base_url=self.stack.router, headers=headers, timeout=30) as client:
            return client.patch(f"/tenant/{tenant}/config", json=changes)

    def asked(self) -> tuple[int, int]:
        return len(self.shared.asked), len(self.gold.asked)

    def replicas(self, pool: str) -> int:
        found: int = httpx.get(f"{self.stack.orchestrator}/v1/pools").json()["pools"][pool]["replicas"]
        return found


@pytest.fixture(scope="module")
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Routers that share a Valkey share the places of a pool, and the test stack's router would take one of two."""
    with running_valkey(tmp_path_factory.mktemp("pools") / "valkey") as server:
        yield server.url


@pytest.fixture(scope="module")
def running(database_url: str, own_valkey: str) -> Iterator[Pools]:
    signing_key = generate_signing_key()
    trusted = public_text(load_signing_key(signing_key))
    with ExitStack() as stack:
        shared_url, shared = stack.enter_context(running_imitation())
        gold_url, gold = stack.enter_context(running_imitation(sequences=Sequences(most=2)))
        gold.adapters = ("acme-lora",)
        rag_app = rag.main.create_app(rag.settings.Settings(database_url=database_url, service_verify_keys=trusted))
        rag_url = stack.enter_context(served(rag_app))
        settings = app.settings.Settings(
            rag_service_url=rag_url,
            vllm_service_url=f"{shared_url},gold={gold_url}",
            engine_max_seqs=2,
            service_verify_keys=trusted,
        )
        orchestrator = stack.enter_context(served(app.main.create_app(settings)))
        behind = Stack("", orchestrator, rag_url, shared_url, shared, signing_key, database_url)
        router_app = another_router(
            behind,
            own_valkey,
            atrium_bootstrap_key=PLATFORM_KEY,
            cache_unsalted_pools="gold",
            pool_kept_free=0,
        )
        behind = Stack(
            stack.enter_context(served(router_app)),
            orchestrator,
            rag_url,
            shared_url,
            shared,
            signing_key,
            database_url,
        )
        pools = Pools(behind, shared, gold)
        until(lambda: _models(orchestrator) == {"pooled": [MODEL], "gold": [MODEL, "acme-lora"]})
        time.sleep(0.6)  # one round of the router's own, which nothing tells from outside
        yield pools


def _models(orchestrator: str) -> dict[str, list[str]]:
    pools = httpx.get(f"{orchestrator}/v1/pools").json()["pools"]
    return {pool: [model["id"] for model in state["models"]] for pool, state in pools.items()}


@pytest.fixture
def pools(running: Pools) -> Pools:
    for engine in (running.shared, running.gold):
        engine.asked.clear()
        engine.fault = ""
    return running


def pools_in_ledger(database_url: str, tenant: str) -> list[str]:
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT set_config('app.tenant_id', %s, true)", (tenant,))
        rows = connection.execute("SELECT pool FROM usage_events ORDER BY started_at").fetchall()
    return [row[0] for row in rows]


def test_a_tenant_is_served_by_its_pool_and_its_usage_says_so(pools: Pools, database_url: str) -> None:
    tenant = pools.tenant(pool="gold")
    assert pools.chat(tenant).status_code == 200
    assert pools.asked() == (0, 1)
    assert pools_in_ledger(database_url, tenant) == ["gold"]


def test_a_pool_that_is_not_there_is_told_at_save_and_answered_with_a_code(pools: Pools) -> None:
    tenant = pools.tenant()
    written = pools.set(tenant, pool="silver")
    assert [warning["path"] for warning in written.json()["warnings"]] == ["pool"]
    answer = pools.chat(tenant)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "pool_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert pools.asked() == (0, 0)


@pytest.mark.parametrize("change", [{"pool": "gold"}, {"pool_spill": True}, {"adapters": ["acme-lora"]}])
def test_only_the_platform_moves_a_tenant_or_gives_it_an_adapter(pools: Pools, change: dict[str, Any]) -> None:
    tenant = pools.tenant()
    assert pools.set(tenant, by_platform=False, **change).status_code == 403
    assert pools.set(tenant, **change).status_code == 200
    (name,) = change
    with pools.stack.client(tenant) as admin:
        config = admin.get(f"/tenant/{tenant}/config").json()
        assert config[name] == change[name]
        # What an admin reads and writes back is no change of it, and what it leaves out stays.
        assert admin.put(f"/tenant/{tenant}/config", json=config).status_code == 200
        assert admin.put(f"/tenant/{tenant}/config", json={"display_name": "x"}).json()[name] == change[name]


def test_a_move_is_a_config_change_and_what_runs_ends_where_it_began(pools: Pools) -> None:
    tenant = pools.tenant()
    pools.shared.interval_s = 0.03
    try:
        with (
            pools.stack.client(tenant) as client,
            client.stream("POST", "/chat", json={"query": "tokens:60 hello", "stream": True}) as streamed,
        ):
            lines = streamed.iter_lines()
            while not next(lines).startswith("event: token"):
                pass
            assert pools.set(tenant, pool="gold").status_code == 200
            until(lambda: pools.chat(tenant).status_code == 200 and len(pools.gold.asked) > 0)
            rest = list(lines)
        assert sum(line.startswith("event: token") for line in rest) == 59
        assert any(line.startswith("event: done") for line in rest)
    finally:
        pools.shared.interval_s = 0.0
    assert pools.shared.asked[0].finished


def busy(pools: Pools, tenant: str, stack: ExitStack, count: int) -> None:
    """So many requests that hold their places in the tenant's pool until `stack` is left."""
    for _ in range(count):
        client = stack.enter_context(pools.stack.client(tenant))
        body = {"query": "fault:stall one two three", "stream": True}
        lines = stack.enter_context(client.stream("POST", "/chat", json=body)).iter_lines()
        stack.callback(lines.close)  # one that nobody holds any more closes its connection
        while not next(lines).startswith("event: token"):
            pass


def test_a_hybrid_tenant_spills_when_its_pool_has_no_room_and_is_billed_for_the_pool_that_served_it(
    pools: Pools, database_url: str
) -> None:
    tenant = pools.tenant(pool="gold", pool_spill=True)
    with ExitStack() as stack:
        busy(pools, tenant, stack, 2)
        assert pools.asked() == (0, 2)
        answer = pools.chat(tenant)
        assert answer.status_code == 200
        assert pools.asked() == (1, 2)
        assert pools.shared.asked[0].body["cache_salt"], "the shared pool is salted"
        assert pools_in_ledger(database_url, tenant) == ["gold", "gold", "pooled"]
    until(lambda: pools.chat(tenant).status_code == 200 and len(pools.gold.asked) > 2)


def test_a_siloed_tenant_waits_for_its_own_pool(pools: Pools) -> None:
    tenant = pools.tenant(pool="gold")
    with ExitStack() as stack:
        busy(pools, tenant, stack, 2)
        client = stack.enter_context(pools.stack.client(tenant))
        waiting = stack.enter_context(client.stream("POST", "/chat", json={"query": "hello", "stream": True}))
        lines = waiting.iter_lines()  # httpx leaves when nobody holds it
        assert next(lines).startswith(": queued")
        assert pools.asked() == (0, 2)


def test_a_hybrid_tenants_own_model_keeps_it_where_that_is_served(pools: Pools) -> None:
    tenant = pools.tenant(pool="gold", pool_spill=True, adapters=["acme-lora"], model="acme-lora")
    assert [item["path"] for item in pools.set(tenant, display_name="x").json()["warnings"]] == ["pool_spill"]
    with ExitStack() as stack:
        busy(pools, tenant, stack, 2)
        client = stack.enter_context(pools.stack.client(tenant))
        waiting = stack.enter_context(client.stream("POST", "/chat", json={"query": "hello", "stream": True}))
        assert next(waiting.iter_lines()).startswith(": queued")
    assert pools.asked()[0] == 0


def test_a_tenants_adapter_reaches_its_engine_and_another_tenant_cannot_name_it(pools: Pools) -> None:
    owner = pools.tenant(pool="gold", adapters=["acme-lora"])
    assert pools.set(owner, by_platform=False, model="acme-lora").json()["warnings"] == []
    assert pools.chat(owner).status_code == 200
    assert pools.gold.asked[-1].body["model"] == "acme-lora"
    thief = pools.tenant(pool="gold")
    told = [pools.set(thief, by_platform=False, model=name).json()["warnings"] for name in ("acme-lora", "nobodys")]
    assert told[0] == told[1], "not even that it is there"
    assert [item["path"] for item in told[0]] == ["model"]
    for name in ("acme-lora", "nobodys"):
        pools.set(thief, by_platform=False, model=name)
        answer = pools.chat(thief)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_unavailable")
    assert len(pools.gold.asked) == 1


def test_a_routes_model_goes_before_the_tenants(pools: Pools) -> None:
    routes = [{"name": "POEMS", "examples": ["Write a poem about lentils"], "retrieve": False, "model": "acme-lora"}]
    tenant = pools.tenant(
        pool="gold", adapters=["acme-lora"], model=MODEL, routes=routes, allowed_routes=["POEMS", "GENERAL"]
    )
    pools.chat(tenant, "Write a poem about lentils")
    pools.chat(tenant, "zzz")
    assert [asked.body["model"] for asked in pools.gold.asked] == ["acme-lora", MODEL]


def test_prefixes_are_shared_between_tenants_only_in_the_pools_of_the_platforms_list(pools: Pools) -> None:
    for _ in range(2):
        pools.chat(pools.tenant(pool="gold"))
        pools.chat(pools.tenant())
    assert ["cache_salt" in asked.body for asked in pools.gold.asked] == [False, False]
    salts = [asked.body["cache_salt"] for asked in pools.shared.asked]
    assert len(set(salts)) == 2


def test_a_hybrid_tenant_is_served_by_the_shared_pool_while_its_own_is_unwell(pools: Pools) -> None:
    tenant = pools.tenant(pool="gold", pool_spill=True)
    pools.gold.healthy = False
    try:
        until(lambda: pools.replicas("gold") == 0)
        until(lambda: pools.chat(tenant).status_code == 200 and len(pools.shared.asked) > 0)
    finally:
        pools.gold.healthy = True
    before = len(pools.gold.asked)  # the router, too, has seen that it is well
    until(lambda: pools.chat(tenant).status_code == 200 and len(pools.gold.asked) > before)


def test_a_hybrid_tenants_request_that_its_own_pool_cannot_begin_is_begun_in_the_shared_one(
    pools: Pools, database_url: str
) -> None:
    """What a pool does at the moment it dies, before anybody has seen that it is unwell."""
    tenant, siloed = pools.tenant(pool="gold", pool_spill=True), pools.tenant(pool="gold")
    pools.gold.fault = "fault:http500"
    assert [pools.chat(tenant).status_code for _ in range(3)] == [200, 200, 200]
    assert pools.asked() == (3, 1)
    assert pools_in_ledger(database_url, tenant) == ["pooled"] * 3
    with (
        pools.stack.client(tenant) as client,
        client.stream("POST", "/chat", json={"query": "q", "stream": True}) as one,
    ):
        assert "event: done" in one.read().decode()
    assert pools.chat(siloed).status_code == 502
    pools.gold.fault = ""
    until(lambda: pools.chat(tenant).status_code == 200 and len(pools.gold.asked) > 2)


def test_a_tenant_names_the_models_of_its_pool_and_its_own_adapters(pools: Pools) -> None:
    def listed(tenant: str) -> list[str]:
        with pools.stack.client(tenant) as client:
            return [model["id"] for model in client.get("/v1/models").json()["data"]]

    def complete(tenant: str, model: str) -> httpx.Response:
        asked = {"model": model, "messages": [{"role": "user", "content": "tokens:1 hi"}]}
        with pools.stack.client(tenant) as client:
            return client.post("/v1/chat/completions", json=asked)

    acme, other = pools.tenant(), pools.tenant()
    assert pools.set(acme, pool="gold", adapters=["acme-lora"]).status_code == 200
    assert pools.set(other, pool="gold").status_code == 200
    until(lambda: listed(acme) == ["atrium", MODEL, "acme-lora"])
    assert listed(other) == ["atrium", MODEL]
    assert complete(acme, "acme-lora").json()["model"] == "acme-lora"
    assert pools.gold.asked[-1].body["model"] == "acme-lora"
    assert complete(acme, "atrium").json()["model"] == MODEL
    refused = complete(other, "acme-lora")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
