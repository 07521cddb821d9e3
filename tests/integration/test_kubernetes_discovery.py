"""Replicas found through the Kubernetes API: the real client against an imitation of the server, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.adapters import kubernetes_discovery
from app.adapters.kubernetes_discovery import KubernetesDiscovery, Pools, open_api
from observability import names
from observability.metrics import NullMetrics
from observability.names import Metric
from support.imitation_engine import running_imitation
from support.kubernetes_api import KubernetesApi, endpoint, running_kubernetes
from support.pools import running_asking, until
from support.turns import a_context

ENGINES = {"app.kubernetes.io/component": "engine"}
GOLD = {**ENGINES, "atrium.dev/pool": "gold"}
A, B, C = ("http://10.0.0.1:8000", "http://10.0.0.2:8000", "http://10.0.0.3:8000")


class Failures(NullMetrics):
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def count(self, metric: Metric, amount: float = 1.0, /, **dimensions: str) -> None:
        if metric is names.DEPENDENCY_FAILURE:
            assert dimensions["dependency"] == "kubernetes"
            self.reasons.append(dimensions["reason"])


@dataclass
class Followed:
    api: KubernetesApi
    told: list[Pools]
    metrics: Failures

    async def until(self, pools: dict[str, dict[str, bool]]) -> None:
        await eventually(lambda: bool(self.told) and self.told[-1] == pools)


async def eventually(what: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not what():  # noqa: ASYNC110  what is waited for is in other threads
            await asyncio.sleep(0.01)


@asynccontextmanager
async def following(url: str, api: KubernetesApi) -> AsyncIterator[Followed]:
    told: list[Pools] = []
    metrics = Failures()
    discovery = KubernetesDiscovery(
        open_api(url),
        told.append,
        namespace="atrium",
        selector="app.kubernetes.io/component=engine",
        pool_label="atrium.dev/pool",
        metrics=metrics,
    )
    task = asyncio.create_task(discovery.run())
    try:
        yield Followed(api, told, metrics)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def server() -> Iterator[tuple[str, KubernetesApi]]:
    with running_kubernetes() as running:
        yield running


Server = tuple[str, KubernetesApi]


async def test_replicas_come_go_and_drain_as_the_slices_say(server: Server) -> None:
    url, api = server
    api.put("shared-1", ENGINES, [endpoint("10.0.0.1", ready=True)])
    api.put("others", {"app.kubernetes.io/component": "database"}, [endpoint("10.0.0.9", ready=True)])
    async with following(url, api) as followed:
        await followed.until({"pooled": {A: False}})
        api.put("gold-1", GOLD, [endpoint("10.0.0.2", ready=True), endpoint("10.0.0.3", ready=False)])
        await followed.until({"pooled": {A: False}, "gold": {B: False}})
        api.put("gold-1", GOLD, [endpoint("10.0.0.2", ready=False, serving=True, terminating=True)])
        await followed.until({"pooled": {A: False}, "gold": {B: True}})
        api.delete("gold-1")
        await followed.until({"pooled": {A: False}})
        assert (api.lists, api.watches) == (1, 1)
        assert followed.metrics.reasons == []


@pytest.mark.parametrize("as_event", [True, False])
async def test_an_expired_version_is_listed_anew_and_nothing_is_missed(server: Server, as_event: bool) -> None:
    url, api = server
    api.gone_as_event = as_event
    api.put("shared-1", ENGINES, [endpoint("10.0.0.1", ready=True)])
    async with following(url, api) as followed:
        await followed.until({"pooled": {A: False}})
        await eventually(lambda: api.watching == 1)
        api.put("shared-1", ENGINES, [endpoint("10.0.0.2", ready=True)])
        api.forget()
        await followed.until({"pooled": {B: False}})
        await eventually(lambda: api.lists >= 2 and api.watching == 1)
        api.put("shared-1", ENGINES, [endpoint("10.0.0.3", ready=True)])
        await followed.until({"pooled": {C: False}})
        assert followed.metrics.reasons == [], "that is how a watch ends, and no failure"


async def test_a_watch_that_ends_by_itself_is_gone_on_with_where_it_ended(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes_discovery, "WATCH_S", 1)
    url, api = server
    api.put("shared-1", ENGINES, [endpoint("10.0.0.1", ready=True)])
    async with following(url, api) as followed:
        await eventually(lambda: api.watches >= 3)
        api.put("shared-1", ENGINES, [endpoint("10.0.0.2", ready=True)])
        await followed.until({"pooled": {B: False}})
        assert api.lists == 1


async def test_while_the_api_is_away_what_was_known_stands_and_it_is_listed_when_it_is_back(server: Server) -> None:
    url, api = server
    api.put("shared-1", ENGINES, [endpoint("10.0.0.1", ready=True)])
    async with following(url, api) as followed:
        await followed.until({"pooled": {A: False}})
        api.down = True
        await eventually(lambda: len(followed.metrics.reasons) >= 2)
        assert set(followed.metrics.reasons) == {"status"}
        assert followed.told[-1] == {"pooled": {A: False}}
        api.put("shared-1", ENGINES, [endpoint("10.0.0.2", ready=True)])
        api.down = False
        await followed.until({"pooled": {B: False}})


async def test_an_api_that_nobody_answers_for_is_tried_again_and_stopping_waits_for_nothing() -> None:
    async with following("http://127.0.0.1:9", KubernetesApi()) as followed:
        await eventually(lambda: followed.metrics.reasons[:1] == ["out_of_reach"])
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 1.5


async def test_stopping_in_the_middle_of_a_watch_waits_for_nothing(server: Server) -> None:
    url, api = server
    async with following(url, api) as followed:
        await eventually(lambda: api.watching == 1)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 1.5
    assert followed.metrics.reasons == []


def test_the_orchestrator_serves_from_what_it_discovers_and_a_draining_replica_keeps_its_stream(
    server: Server,
) -> None:
    url, api = server
    with (
        running_imitation(tokens=40, interval_s=0.02) as (first_url, first),
        running_imitation(tokens=8) as (second_url, second),
        running_asking(
            "", vllm_discovery="kubernetes", vllm_discovery_api_url=url, vllm_discovery_namespace="atrium"
        ) as asking,
    ):
        answer = asking.ask("hello")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "pool_unavailable")
        ports = [urlsplit(one).port or 0 for one in (first_url, second_url)]
        api.put("one", ENGINES, [endpoint("127.0.0.1", ready=True)], ports[0])
        until(lambda: asking.pools().get("pooled", {}).get("replicas") == 1)
        with asking.stream("hello") as lines:
            assert next(lines)["event"] == "meta"
            api.put("two", ENGINES, [endpoint("127.0.0.1", ready=True)], ports[1])
            api.put("one", ENGINES, [endpoint("127.0.0.1", ready=False, serving=True, terminating=True)], ports[0])
            until(lambda: asking.metric("atrium_engine_replicas", pool="pooled", state="draining") == 1)
            for number in range(5):
                asking.events("hello", a_context(session_id=f"s{number}"))
            assert (len(first.asked), len(second.asked)) == (1, 5)
            api.delete("one")
            until(lambda: asking.metric("atrium_engine_replicas", pool="pooled", state="draining") == 0)
            rest = list(lines)
        assert [line["event"] for line in rest].count("token") >= 39
        assert rest[-1]["event"] == "done"
