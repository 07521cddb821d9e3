"""However requests end, and wherever a client leaves them, nothing of them stays behind in the router."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.imitation_moderation import UNFIT, ImitationModeration, running_moderation
from support.server import served
from support.stack import Stack, another_router

REQUESTS = 120
AT_ONCE = 12
RULES = [
    {"id": "in", "type": "word", "pattern": "swordfish", "reason": "no", "stage": "input"},
    {"id": "out", "type": "contains", "pattern": "fish sword", "reason": "no", "stage": "output"},
    {"id": "slow", "type": "regex", "pattern": "[a-q].{500}z", "reason": "no", "stage": "both"},
    {"id": "cut", "type": "regex", "pattern": "[0-9]{9}", "reason": "no", "stage": "both", "action": "redact"},
]
QUERIES = [
    "tokens:40 hello there",
    "a swordfish",
    "tokens:60 sword of a fish sword",
    f"tokens:20 some {UNFIT}",
    "tokens:90 " + "many words and a number 123456789 " * 30,
    "fault:stall please",
    "fault:die please",
    "fault:hang please",
    "fault:hang-before-headers please",
    "fault:http500",
    "fault:http503",
    "fault:error-event please",
    "b" * 4_000,
]


@pytest.fixture(scope="module")
def imitation() -> Iterator[ImitationModeration]:
    with running_moderation() as running:
        yield running


async def ask(client: httpx.AsyncClient, tenant: str, chance: random.Random, seen: Counter[str]) -> None:
    body: dict[str, Any] = {"query": chance.choice(QUERIES), "stream": chance.random() < 0.5}
    headers = {"x-tenant-id": tenant}
    if chance.random() < 0.5:
        headers["idempotency-key"] = f"k{chance.randrange(40)}-{QUERIES.index(body['query'])}"
    patience = chance.choice([0.02, 0.1, 0.3, 1.0, 5.0, 5.0])
    try:
        async with asyncio.timeout(patience):
            answer = await client.post("/chat", json=body, headers=headers)
        seen[str(answer.status_code)] += 1
    except (TimeoutError, httpx.HTTPError) as error:
        seen[type(error).__name__] += 1


async def storm(url: str, tenants: list[str]) -> Counter[str]:
    chance, seen = random.Random(5), Counter[str]()
    places = asyncio.Semaphore(AT_ONCE)

    async def one(client: httpx.AsyncClient) -> None:
        async with places:
            await ask(client, chance.choice(tenants), chance, seen)

    async with httpx.AsyncClient(base_url=url, timeout=30, limits=httpx.Limits(max_connections=None)) as client:
        await asyncio.gather(*(one(client) for _ in range(REQUESTS)))
    return seen


def left(services: Any) -> dict[str, Any]:
    """What the router holds of requests."""
    chat = services.chat
    accounts, judge = chat._accounts, chat._vetting._judge
    return {
        "accounts": dict(accounts._open),
        "settling": set(accounts._settling),
        "records": set(chat._first_answers._dropping),
        "judged": dict(judge._slots._tenants),
        "in threads": dict(judge._pool._slots._tenants),
        "moderated": dict(chat._vetting._moderating._moderation._places_of_tenants._tenants),
        "places": {
            name: (demand.in_flight, demand.waiting)
            for name, demand in chat._places.demands().items()
            if demand.in_flight or demand.waiting
        },
    }


def tasks(loop: asyncio.AbstractEventLoop) -> Counter[str]:
    async def names() -> Counter[str]:
        return Counter(task.get_coro().__qualname__ for task in asyncio.all_tasks())  # type: ignore[union-attr]

    return asyncio.run_coroutine_threadsafe(names(), loop).result(10)


def test_nothing_is_left_of_requests_however_they_end(
    stack: Stack, valkey_url: str, imitation: ImitationModeration
) -> None:
    settings = {"moderation_url": f"{imitation.url}/v1/moderations", "moderation_api_key": "sk-1"}
    app = another_router(stack, valkey_url, request_timeout_s=3, **settings)
    with served(app) as url:
        services = app.state.services
        loop = services.chat._notes._writer.get_loop()
        tenants = [stack.new_tenant("storm", refusal_rules=RULES) for _ in range(3)]
        with httpx.Client(base_url=url, timeout=30) as client:
            both = {"moderation": {"stages": ["input", "output"]}}
            changed = client.patch(f"/tenant/{tenants[0]}/config", json=both, headers={"x-tenant-id": tenants[0]})
            assert changed.status_code == 200, changed.text
        before = tasks(loop)
        asked_before = stack.engine_requests()
        seen = asyncio.run(storm(url, tenants))
        assert len(seen) >= 3, seen
        until = time.monotonic() + 15
        while (any(left(services).values()) or tasks(loop) - before) and time.monotonic() < until:
            time.sleep(0.1)
        assert not any(left(services).values()), left(services)
        after = tasks(loop)
        assert not after - before
        billed = Counter[str]()
        for tenant in tenants:
            with httpx.Client(base_url=url, headers={"x-tenant-id": tenant}, timeout=30) as client:
                limits = client.get(f"/tenant/{tenant}/limits").json()["limits"]
                running = next(one for one in limits if one["name"] == "concurrent_requests")
                assert running["remaining"] == running["limit"]
                total = client.get(f"/tenant/{tenant}/usage").json()["total"]
                billed["completion"] += total["completion_tokens"]
                billed["requests"] += total["requests"]
        generated = sum(asked.tokens_sent for asked in stack.imitation.asked[asked_before:])
        assert billed["completion"] <= generated
