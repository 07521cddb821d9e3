"""`/readyz` is truthful: it names what is down, behind another service as well; `/metrics` and `/healthz` go on."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cli.local.postgres import Postgres
from stores.postgres import Database, UnsafeRoleError
from support.server import served
from support.stack import Stack, another_router

NOWHERE = "http://127.0.0.1:9"


def test_all_is_well_from_the_router_to_the_engine(stack: Stack) -> None:
    answer = httpx.get(f"{stack.router}/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    assert {"postgres", "valkey", "orchestrator", "rag", "vllm"} <= set(answer.json()["dependencies"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"redis_url": "unix:///nonexistent/valkey.sock"}, "valkey"),
        ({"orchestrator_url": NOWHERE}, "orchestrator"),
        ({"database_url": "postgresql://atrium_app@/atrium?host=/nonexistent"}, "postgres"),
    ],
)
def test_what_is_down_is_named(stack: Stack, valkey_url: str, change: dict[str, str], named: str) -> None:
    with served(another_router(stack, valkey_url, **change)) as url:
        answer = httpx.get(f"{url}/readyz")
        assert httpx.get(f"{url}/healthz").status_code == 200
    assert answer.status_code == 503
    assert answer.json()["status"] == "unready"
    assert [name for name, state in answer.json()["dependencies"].items() if state == "down"] == [named]


def test_what_a_probe_excludes_does_not_make_a_service_unready(stack: Stack, valkey_url: str) -> None:
    with served(another_router(stack, valkey_url, orchestrator_url=NOWHERE)) as url:
        behind = [("exclude", name) for name in ("orchestrator", "rag", "vllm")]
        answer = httpx.get(f"{url}/readyz", params=behind)
        assert httpx.get(f"{url}/readyz").status_code == 503
    assert answer.status_code == 200
    assert set(answer.json()["dependencies"]) == {"postgres", "valkey"}


def test_without_valkey_a_router_goes_on_with_its_share(stack: Stack) -> None:
    tenant = stack.new_tenant(rate_limit_per_minute=3)
    with served(another_router(stack, "unix:///nonexistent/valkey.sock")) as url:
        asked = [
            httpx.post(f"{url}/chat", json={"query": "hello"}, headers={"x-tenant-id": tenant}, timeout=30)
            for _ in range(4)
        ]
        counted = httpx.get(f"{url}/metrics").text
    assert [answer.status_code for answer in asked] == [200, 200, 200, 429]
    assert "atrium_limiter_local 1.0" in counted


def test_without_valkey_a_budget_that_is_not_known_is_closed(stack: Stack) -> None:
    tenant = stack.new_tenant(monthly_budget_usd=5)
    with served(another_router(stack, "unix:///nonexistent/valkey.sock")) as url:
        answer = httpx.post(f"{url}/chat", json={"query": "hello"}, headers={"x-tenant-id": tenant}, timeout=30)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "dependency_unavailable")
    assert answer.json()["error"]["details"]["limit"] == "monthly_budget_usd"


def test_an_orchestrator_out_of_reach_is_a_502(stack: Stack, valkey_url: str) -> None:
    tenant = stack.new_tenant()
    with served(another_router(stack, valkey_url, orchestrator_url=NOWHERE)) as url:
        for stream in (False, True):
            body = {"query": "hello", "stream": stream}
            answer = httpx.post(f"{url}/chat", json=body, headers={"x-tenant-id": tenant}, timeout=30)
            assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")


def test_every_service_exports_metrics_that_prometheus_can_read(stack: Stack) -> None:
    for url in (stack.router, stack.orchestrator, stack.rag):
        assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
        assert list(text_string_to_metric_families(httpx.get(f"{url}/metrics").text))


def test_a_request_is_counted_under_its_tenant_and_route(stack: Stack) -> None:
    tenant = stack.new_tenant()
    with stack.client(tenant) as client:
        client.post("/chat", json={"query": "Which shop sells this laptop cheapest?"}).raise_for_status()
    text = httpx.get(f"{stack.router}/metrics").text
    labels = f'component="router",route="PRICE_COMPARE",status="200",tenant="{tenant}"'
    assert f"atrium_request_total{{{labels}}} 1.0" in text


async def test_a_role_that_row_level_security_does_not_bind_is_refused(stack_postgres: Postgres) -> None:
    database = Database(stack_postgres.owner_url)
    with pytest.raises(UnsafeRoleError, match="atrium_app"):
        await database.check()
    await database.close()


def test_a_router_with_such_a_role_does_not_start(stack: Stack, stack_postgres: Postgres, valkey_url: str) -> None:
    with (
        pytest.raises(RuntimeError, match="did not start"),
        served(another_router(stack, valkey_url, database_url=stack_postgres.owner_url)),
    ):
        pass
