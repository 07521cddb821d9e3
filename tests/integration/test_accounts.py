"""What a tenant may use and what it did use, through the real services: limits, leases, the ledger."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

from support.replicas import router_processes
from support.sse import events
from support.stack import Stack

REFUSED = {"sensitive_prompt_patterns": ["refuse me"]}


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def usage(stack: Stack, tenant: str, **params: str) -> dict[str, Any]:
    with stack.client(tenant) as client:
        found: dict[str, Any] = client.get(f"/tenant/{tenant}/usage", params=params).raise_for_status().json()
        return found


def until(condition: Any, within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def limits(stack: Stack, tenant: str) -> dict[str, dict[str, Any]]:
    with stack.client(tenant) as client:
        answer = client.get(f"/tenant/{tenant}/limits").raise_for_status().json()
    return {item["name"]: item for item in answer["limits"]} | {"last": answer["last_refusal"]}


@pytest.fixture
def stalled(stack: Stack) -> Iterator[Any]:
    """Opens streams that stop after three tokens, and closes them with the test."""
    opened: list[tuple[httpx.Client, Any, Any]] = []

    def open_one(tenant: str) -> Any:
        client = stack.client(tenant)
        stream = client.stream("POST", "/chat", json={"query": "fault:stall please", "stream": True})
        answer = stream.__enter__()
        coming = events(answer)
        while answer.status_code == 200 and next(coming)[0] != "token":
            pass
        opened.append((client, stream, coming))
        return answer

    yield open_one
    for client, stream, _ in opened:
        stream.__exit__(None, None, None)
        client.close()


def test_an_answer_is_in_the_ledger_as_the_engine_counted_it(stack: Stack) -> None:
    tenant = stack.new_tenant("ledger")
    with stack.client(tenant) as client:
        said = client.post("/chat", json={"query": "tokens:7 hello", "user_id": "u1"}).json()
    total = usage(stack, tenant, group_by="user,route")
    (row,) = total["rows"]
    assert (row["user"], row["route"], row["requests"]) == ("u1", said["route"], 1)
    for name in ("prompt_tokens", "completion_tokens"):
        assert row[name] == said["usage"][name] == total["total"][name]
    assert row["cost_usd"] == pytest.approx(said["cost_usd_estimate"], abs=1e-12)
    assert said["usage"]["completion_tokens"] == 7


def test_a_refused_prompt_costs_nothing_and_is_counted(stack: Stack) -> None:
    tenant = stack.new_tenant("ledger", **REFUSED)
    with stack.client(tenant) as client:
        assert client.post("/chat", json={"query": "refuse me"}).json()["refusal"]
    assert usage(stack, tenant)["total"] == {
        "requests": 1, "prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": 0, "cost_usd": 0,
    }  # fmt: skip


def test_who_leaves_early_pays_for_what_was_generated(stack: Stack) -> None:
    tenant = stack.new_tenant("left")
    with stack.client(tenant) as client:
        with client.stream("POST", "/chat", json={"query": "fault:stall please", "stream": True}) as answer:
            coming = events(answer)
            seen = 0
            while seen < 3:
                seen += next(coming)[0] == "token"
        asked = stack.imitation.asked[-1]
        assert stack.imitation.wait_for(lambda _: asked.disconnected, 2)
        assert until(lambda: usage(stack, tenant)["total"]["requests"] == 1)
    assert usage(stack, tenant)["total"]["completion_tokens"] == asked.tokens_sent == 3


def test_a_failure_behind_is_settled_with_what_was_used(stack: Stack) -> None:
    tenant = stack.new_tenant("broke")
    with stack.client(tenant) as client:
        assert client.post("/chat", json={"query": "fault:die now"}).status_code == 502
        assert client.post("/chat", json={"query": "fault:http500"}).status_code == 502
    assert until(lambda: usage(stack, tenant)["total"]["requests"] == 2)
    assert usage(stack, tenant)["total"]["completion_tokens"] == 3
    now = limits(stack, tenant)
    assert now["concurrent_requests"]["remaining"] == now["concurrent_requests"]["limit"]


def test_concurrency_is_bounded_and_every_end_gives_its_place_back(stack: Stack, stalled: Any) -> None:
    tenant = stack.new_tenant("narrow", max_concurrent_requests=2)
    for _ in range(2):
        assert stalled(tenant).status_code == 200
    refused = stalled(tenant)
    assert refused.status_code == 429
    refused.read()
    assert refused.json()["error"]["details"]["limit"] == "concurrent_requests"
    assert int(refused.headers["retry-after"]) > 0
    now = limits(stack, tenant)
    assert now["concurrent_requests"]["remaining"] == 0
    assert now["last"]["limit"] == "concurrent_requests"


def test_places_come_back_when_streams_are_left(stack: Stack) -> None:
    tenant = stack.new_tenant("narrow", max_concurrent_requests=1)
    for _ in range(3):
        with (
            stack.client(tenant) as client,
            client.stream("POST", "/chat", json={"query": "fault:stall please", "stream": True}) as answer,
        ):
            assert answer.status_code == 200
            coming = events(answer)
            while next(coming)[0] != "token":
                pass
        assert until(lambda: limits(stack, tenant)["concurrent_requests"]["remaining"] == 1, 2)


def test_tokens_and_budget_are_reserved_in_the_worst_case_and_settled_to_the_truth(stack: Stack) -> None:
    tenant = stack.new_tenant("tokens", tokens_per_minute=12_000, monthly_budget_usd=0.05)
    with stack.client(tenant) as client:
        said = client.post("/chat", json={"query": "tokens:10 hi"}).json()
    now = limits(stack, tenant)
    assert now["tokens_per_minute"]["remaining"] == 12_000 - said["usage"]["total_tokens"]
    assert now["monthly_budget_usd"]["remaining"] == pytest.approx(0.05 - said["cost_usd_estimate"], abs=1e-9)
    with stack.client(tenant) as client:
        client.patch(f"/tenant/{tenant}/config", json={"monthly_budget_usd": 0.000001}).raise_for_status()
        time.sleep(0.05)
        refused = client.post("/chat", json={"query": "hi"})
    assert (refused.status_code, refused.json()["error"]["details"]["limit"]) == (429, "monthly_budget_usd")


def test_a_request_that_can_never_fit_is_told_so(stack: Stack) -> None:
    tenant = stack.new_tenant("never", tokens_per_minute=100)
    with stack.client(tenant) as client:
        refused = client.post("/chat", json={"query": "hi"})
    assert refused.status_code == 429
    assert "retry-after" not in refused.headers
    assert "more than the whole limit" in refused.json()["error"]["message"]


@pytest.fixture(scope="module")
def routers(stack: Stack, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    with router_processes(stack, valkey_url, 3, tmp_path_factory.mktemp("routers")) as urls:
        yield urls


async def test_a_thousand_at_once_through_three_routers_admit_exactly_the_limit(
    stack: Stack, routers: list[str]
) -> None:
    limit = 137
    unlimited = {"max_concurrent_requests": None, "tokens_per_minute": None}
    tenant = stack.new_tenant("burst", rate_limit_per_minute=limit, **unlimited, **REFUSED)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers={"x-tenant-id": tenant}, connector=connector) as client:

        async def ask(number: int) -> int:
            """As a client does that comes again after a 503: on a crowded machine the stores may be late."""
            while True:
                async with client.post(f"{routers[number % 3]}/chat", json={"query": "refuse me"}) as answer:
                    await answer.read()
                if answer.status != 503:
                    return answer.status
                await asyncio.sleep(float(answer.headers["retry-after"]))

        statuses = await asyncio.gather(*(ask(number) for number in range(1_000)))
    counts = {status: statuses.count(status) for status in set(statuses)}
    assert counts == {200: limit, 429: 1_000 - limit}
    assert until(lambda: usage(stack, tenant)["total"]["requests"] == limit)


@pytest.mark.slow
def test_a_killed_router_gives_everything_back_and_the_ledger_knows(
    stack: Stack, valkey_url: str, tmp_path: Path
) -> None:
    tenant = stack.new_tenant("killed", max_concurrent_requests=4)
    with router_processes(stack, valkey_url, 1, tmp_path, on_start=(started := []).append) as (url,):
        opened = threading.Barrier(5)

        def hold() -> None:
            try:
                with (
                    httpx.Client(base_url=url, headers={"x-tenant-id": tenant}, timeout=60) as client,
                    client.stream("POST", "/chat", json={"query": "fault:stall please", "stream": True}) as answer,
                ):
                    coming = events(answer)
                    while next(coming)[0] != "token":
                        pass
                    opened.wait()
                    for _ in coming:
                        pass
            except (httpx.HTTPError, StopIteration):
                pass

        threads = [threading.Thread(target=hold) for _ in range(4)]
        for thread in threads:
            thread.start()
        opened.wait(30)
        time.sleep(3)  # one renewal
        assert limits(stack, tenant)["concurrent_requests"]["remaining"] == 0
        started[0].send_signal(signal.SIGKILL)
        killed_at = time.monotonic()
        assert until(lambda: limits(stack, tenant)["concurrent_requests"]["remaining"] == 4, 30)
        assert time.monotonic() - killed_at < 30
        for thread in threads:
            thread.join(10)
