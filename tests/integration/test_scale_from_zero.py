"""A pool that is scaled to zero: requests wait for its first replica, which discovery brings; only the engine and the
Kubernetes API are imitations."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import httpx
import pytest

import app.main
import app.settings
from servicekit.tokens import load_signing_key, public_text
from support.imitation_engine import Imitation, running_imitation
from support.kubernetes_api import KubernetesApi, endpoint, running_kubernetes
from support.pools import until
from support.postgres import running_valkey
from support.server import served
from support.stack import Stack, another_router

LABELS = {"app.kubernetes.io/component": "engine"}
SLICE = "vllm-1"
HOLD_S = 60.0


@dataclass
class Scaled:
    stack: Stack
    api: KubernetesApi
    imitation: Imitation
    port: int
    impatient: str

    def to(self, *, one: bool) -> None:
        """As a Service's slice says it. The router has heard of it when this returns."""
        self.api.put(SLICE, LABELS, [endpoint("127.0.0.1", ready=True)] if one else [], self.port)
        until(lambda: self._known() == (1 if one else 0))
        time.sleep(0.6)  # one round of the router's own, which nothing tells from outside

    def _known(self) -> int | None:
        pools = httpx.get(f"{self.stack.orchestrator}/v1/pools").json()["pools"]
        known: int | None = pools.get("pooled", {}).get("known")
        return known

    def waiting(self) -> float:
        """What an autoscaler reads."""
        lines = httpx.get(f"{self.stack.router}/metrics").text.splitlines()
        found = [line for line in lines if line.startswith("atrium_queue_depth{") and 'pool="pooled"' in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)


@pytest.fixture(scope="module")
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Routers that share a Valkey share the places of a pool."""
    with running_valkey(tmp_path_factory.mktemp("zero") / "valkey") as server:
        yield server.url


@pytest.fixture(scope="module")
def running(stack: Stack, own_valkey: str) -> Iterator[Scaled]:
    with ExitStack() as opened:
        kubernetes, api = opened.enter_context(running_kubernetes())
        engine, imitation = opened.enter_context(running_imitation())
        settings = app.settings.Settings(
            rag_service_url=stack.rag,
            vllm_service_url="",
            vllm_discovery="kubernetes",
            vllm_discovery_api_url=kubernetes,
            vllm_discovery_namespace="atrium",
            service_verify_keys=public_text(load_signing_key(stack.signing_key)),
        )
        api.put(SLICE, LABELS, [])
        behind = replace(stack, orchestrator=opened.enter_context(served(app.main.create_app(settings))))
        patient = another_router(behind, own_valkey, hold_without_replicas_s=HOLD_S, request_timeout_s=5.0)
        impatient = another_router(behind, own_valkey, hold_without_replicas_s=0.5, request_timeout_s=5.0)
        behind = replace(behind, router=opened.enter_context(served(patient)))
        yield Scaled(behind, api, imitation, urlsplit(engine).port or 0, opened.enter_context(served(impatient)))


@pytest.fixture
def scaled(running: Scaled) -> Scaled:
    running.to(one=False)
    running.imitation.asked.clear()
    return running


@contextmanager
def stream(scaled: Scaled, tenant: str) -> Iterator[Iterator[str]]:
    with (
        scaled.stack.client(tenant) as client,
        client.stream("POST", "/chat", json={"query": "tokens:2 hello", "stream": True}) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        yield answer.iter_lines()


def test_a_stream_is_told_its_place_and_answered_when_a_replica_comes(scaled: Scaled) -> None:
    tenant = scaled.stack.new_tenant("zero")
    with stream(scaled, tenant) as first, stream(scaled, tenant) as second:
        assert next(first) == ": queued, position 1"
        assert next(second) == ": queued, position 2"
        assert scaled.waiting() == 2
        assert scaled.imitation.asked == []
        scaled.to(one=True)
        for lines in (first, second):
            rest = list(lines)
            assert [line for line in rest if line.startswith("event:")][-1] == "event: done"
            assert "event: token" in rest
    assert scaled.waiting() == 0


def test_an_answer_in_json_waits_beyond_the_requests_own_deadline(scaled: Scaled) -> None:
    """REQUEST_TIMEOUT_S is five seconds here, and begins anew when the replica is there."""
    tenant = scaled.stack.new_tenant("zero")
    with scaled.stack.client(tenant) as client, ThreadPoolExecutor() as pool:
        asked = pool.submit(client.post, "/chat", json={"query": "tokens:2 hello"})
        until(lambda: scaled.waiting() == 1)
        time.sleep(5.5)
        assert not asked.done()
        scaled.to(one=True)
        answer = asked.result(20)
    assert answer.status_code == 200, answer.text
    assert answer.json()["queue_ms"] > 5_500


def test_who_waited_as_long_as_requests_are_held_gets_503_with_when_to_come_back(scaled: Scaled) -> None:
    tenant = scaled.stack.new_tenant("zero")
    answer = httpx.post(f"{scaled.impatient}/chat", json={"query": "hi"}, headers={"x-tenant-id": tenant}, timeout=20)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "pool_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert scaled.imitation.asked == []


def test_who_leaves_frees_its_place_and_nobody_generates_for_it(scaled: Scaled) -> None:
    tenant = scaled.stack.new_tenant("zero")
    with stream(scaled, tenant) as first:
        assert next(first) == ": queued, position 1"
    until(lambda: scaled.waiting() == 0)
    with stream(scaled, tenant) as second:
        assert next(second) == ": queued, position 1"
        scaled.to(one=True)
        assert "event: done" in list(second)
    assert len(scaled.imitation.asked) == 1


def test_a_pool_that_goes_to_zero_again_holds_again(scaled: Scaled) -> None:
    tenant = scaled.stack.new_tenant("zero")
    scaled.to(one=True)
    with scaled.stack.client(tenant) as client:
        assert client.post("/chat", json={"query": "tokens:2 hello"}).status_code == 200
    scaled.to(one=False)
    with stream(scaled, tenant) as lines:
        assert next(lines) == ": queued, position 1"
