"""Replicas that refuse, hang, die and send garbage, over real sockets: what another one does in their place."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from support.imitation_engine import MODEL
from support.pools import Asking, Pool, running_asking, running_pool, until, within
from support.server import free_port
from support.service_process import ServiceProcess
from support.turns import a_context

ENGINE = str(Path(__file__).parents[1] / "support" / "imitation_engine.py")
TOKENS = ["hello"] + [" hello"] * 7


@pytest.fixture
def pool() -> Iterator[Pool]:
    with running_pool(2, engine_hang_s=0.3) as running:
        yield running


def texts(events: list[dict[str, object]]) -> list[object]:
    return [event["text"] for event in events if event["event"] == "token"]


FAULTS = [
    "fault:http500",
    "fault:http503",
    "fault:http404",
    "fault:html",
    "fault:hang-before-headers",
    "fault:hang",
    "fault:die-first",
    "fault:garbage-first",
    "fault:big-event-first",
    "fault:error-first",
]


@pytest.mark.parametrize("fault", FAULTS)
def test_what_fails_before_its_first_token_is_answered_by_another_replica_as_if_nothing_was(
    pool: Pool, fault: str
) -> None:
    bad = pool.preferred()
    bad.fault = fault
    events = pool.events("hello", max_tokens=8, priority=3)
    assert texts(events) == TOKENS
    assert [event["event"] for event in events].count("meta") == 1
    assert events[-2]["usage"]["completion_tokens"] == 8  # type: ignore[index]
    (first,) = bad.asked
    (second,) = (engine.asked[0] for engine in pool.engines.values() if engine is not bad)
    assert first.body == second.body, "the salt, the bounds and all else are those of the first try"
    assert first.body["cache_salt"] == "salt"
    assert pool.metric("atrium_engine_retry_total", pool="pooled") == 1


@pytest.mark.parametrize("fault", ["fault:die", "fault:garbage", "fault:big-event", "fault:cut"])
def test_what_fails_after_its_first_token_is_not_said_twice_and_billed_as_far_as_it_came(
    pool: Pool, fault: str
) -> None:
    pool.preferred().fault = fault
    events = pool.events("hello")
    assert texts(events) == TOKENS[:3]
    assert events[-2]["usage"]["completion_tokens"] == 3  # type: ignore[index]
    assert (events[-1]["event"], events[-1]["code"]) == ("error", "upstream_error")
    assert pool.asked() == 1


def test_a_replica_that_cannot_be_connected_to_costs_nobody_a_request() -> None:
    with running_pool(1) as one, running_asking(f"{next(iter(one.engines))},http://127.0.0.1:{free_port()}") as asking:
        for number in range(12):
            assert texts(asking.events("hello", a_context(session_id=f"s{number}"))) == TOKENS
        until(lambda: asking.pool()["replicas"] == 1)
        until(lambda: asking.metric("atrium_engine_replicas", pool="pooled", state="unreachable") == 1)


def test_a_wrong_request_is_told_once_and_is_no_replicas_fault(pool: Pool) -> None:
    for _ in range(5):
        assert pool.ask("fault:http400-context").json()["error"]["code"] == "prompt_too_long"
    assert pool.asked() == 5
    assert pool.pool()["replicas"] == 2


def test_three_failures_eject_a_replica_and_a_trial_brings_it_back(pool: Pool) -> None:
    bad = pool.preferred()
    bad.fault = "fault:http500"
    for _ in range(6):
        assert texts(pool.events("hello")) == TOKENS
    assert len(bad.asked) == 3, "after the third it is left alone"
    assert pool.metric("atrium_engine_ejection_total", pool="pooled", reason="status") == 1
    assert pool.pool()["replicas"] == 1
    bad.fault = ""
    until(lambda: bool(pool.events("hello")) and len(bad.asked) == 4)
    pool.events("hello")
    assert len(bad.asked) == 5, "well again"
    assert pool.pool()["replicas"] == 2


def test_where_all_are_ejected_all_are_tried(pool: Pool) -> None:
    for engine in pool.engines.values():
        engine.fault = "fault:http500"
    for _ in range(4):
        assert pool.ask("hello").status_code == 502
    until(lambda: pool.pool()["replicas"] == 0)
    for engine in pool.engines.values():
        engine.fault = ""
    assert texts(pool.events("hello")) == TOKENS, "no second is lost"


def test_a_full_pool_is_back_pressure_and_no_storm(pool: Pool) -> None:
    for engine in pool.engines.values():
        engine.fault = "fault:http503"
    answers = [pool.ask("hello", a_context(session_id=f"s{number}")) for number in range(10)]
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["error"]["code"] for answer in answers} == {"overloaded"}
    assert {answer.headers["retry-after"] for answer in answers} == {"3"}
    assert pool.pool()["replicas"] == 2, "being full is no illness"
    assert pool.pool()["sequences"] == 2, "the routers keep the others waiting"
    for engine in pool.engines.values():
        engine.fault = ""
    until(lambda: pool.pool()["sequences"] == 128)
    assert texts(pool.events("hello")) == TOKENS


def test_a_pool_that_refuses_is_asked_once_for_each_request(pool: Pool) -> None:
    for engine in pool.engines.values():
        engine.fault = "fault:http503"
    pool.ask("hello")
    before = pool.asked()
    assert before == 2
    began = time.monotonic()
    pool.ask("hello")
    if time.monotonic() - began < 0.3:  # within the time for which a refusal is remembered
        assert pool.asked() - before <= 2


def test_a_hang_leaves_time_for_another_replica_within_the_deadline() -> None:
    with running_pool(2) as pool:
        pool.preferred().fault = "fault:hang"
        began = time.monotonic()
        assert texts(pool.events("hello", within(3.0))) == TOKENS
        assert 0.8 < time.monotonic() - began < 2.5
        assert pool.pool()["replicas"] == 2, "a second is no hang: the deadline was short"


def test_the_deadline_holds_whatever_is_tried() -> None:
    with running_pool(3) as pool:
        for engine in pool.engines.values():
            engine.fault = "fault:hang-before-headers"
        began = time.monotonic()
        answer = pool.ask("hello", within(1.0))
        assert answer.json()["error"]["code"] == "upstream_timeout"
        assert time.monotonic() - began < 2.0


@pytest.mark.parametrize("fault", ["fault:hang-before-headers", "fault:hang", "fault:stall"])
def test_whoever_leaves_while_another_replica_is_tried_stops_that_one_too(fault: str) -> None:
    with running_pool(2, engine_hang_s=0.2) as pool:
        preferred = pool.preferred()
        first, second = sorted(pool.engines.values(), key=lambda one: one is not preferred)
        first.fault, second.fault = "fault:hang", fault
        body, headers = pool.body("hello"), pool.headers(a_context())
        address = urlsplit(pool.url)
        with socket.create_connection((address.hostname, address.port)) as connection:
            lines = {**headers, "host": "x", "content-length": str(len(body.encode()))}
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            connection.sendall(f"POST /v1/turns HTTP/1.1\r\n{head}\r\n{body}".encode())
            assert first.wait_for(lambda asked: bool(asked) and asked[0].disconnected)
            wanted = 3 if fault == "fault:stall" else 0
            until(lambda: bool(second.asked) and second.asked[0].tokens_sent == wanted)
        assert second.wait_for(lambda asked: asked[0].disconnected, 1.0)


def test_an_engine_that_says_it_is_unwell_gets_no_work_until_it_is_well() -> None:
    with running_pool(2) as pool:
        ill = pool.preferred()
        ill.healthy = False
        until(lambda: pool.pool()["replicas"] == 1, 10)
        assert texts(pool.events("hello")) == TOKENS
        assert ill.asked == []
        ill.healthy = True
        until(lambda: pool.pool()["replicas"] == 2, 10)
        pool.events("hello")
        assert len(ill.asked) == 1


def test_slow_metrics_make_a_pool_stale_and_keep_nobody_waiting() -> None:
    with running_pool(2) as pool:
        until(lambda: not pool.pool()["stale"])
        for engine in pool.engines.values():
            engine.metrics_take_s = 3.0
        until(lambda: pool.pool()["stale"])
        assert pool.pool()["replicas"] == 2
        assert texts(pool.events("hello")) == TOKENS


# ---- models


def test_a_pool_tells_its_models_and_an_adapter_is_asked_for_by_whom_it_was_given_to() -> None:
    with running_pool(1, adapters=[("acme-lora",)]) as pool:
        (engine,) = pool.engines.values()
        until(lambda: [model["id"] for model in pool.pool()["models"]] == [MODEL, "acme-lora"])
        assert pool.pool()["models"][1]["parent"] == MODEL
        pool.events("hello", model="acme-lora", adapters=("acme-lora",))
        assert engine.asked[-1].body["model"] == "acme-lora"
        pool.events("hello", model=MODEL)
        assert engine.asked[-1].body["model"] == MODEL
        asked = len(engine.asked)
        for model in ("acme-lora", "nobodys"):
            answer = pool.ask("hello", model=model)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_unavailable")
            assert answer.json()["error"]["message"] == "no engine of the pool serves the model"
        assert len(engine.asked) == asked, "not even the engine was asked"


def test_an_adapter_that_one_replica_has_loaded_is_asked_for_there() -> None:
    with running_pool(2, adapters=[("acme-lora",), ()]) as pool:
        loaded = next(iter(pool.engines.values()))
        for number in range(8):
            pool.events("hello", a_context(session_id=f"s{number}"), model="acme-lora", adapters=("acme-lora",))
        assert len(loaded.asked) == 8


# ---- a replica dies under load


def test_no_request_is_lost_before_its_first_token_when_a_replica_is_killed(tmp_path: Path) -> None:
    """Three engines as processes; one is killed with requests at every stage."""
    with ExitStack() as stack:
        engines = []
        for number in range(3):
            options = [ENGINE, "--tokens=20", "--interval-ms=10", "--max-seqs=6"]
            engine = ServiceProcess(options, "--port", tmp_path / f"engine-{number}.log", alive="/health")
            engine.start()
            stack.callback(engine.close)
            engines.append(engine)
        for engine in engines:
            engine.wait()
        asking = stack.enter_context(running_asking(",".join(engine.url for engine in engines)))
        client = stack.enter_context(httpx.Client(timeout=30, limits=httpx.Limits(max_connections=24)))
        pool = stack.enter_context(ThreadPoolExecutor(24))
        asked = [pool.submit(_asked, client, asking, f"s{number}") for number in range(168)]
        asked[40].result()
        engines[0].kill()
        found = [one.result() for one in asked]
    assert set(found) <= {"whole", "broken after a token"}
    assert found.count("broken after a token") <= 12, "those that it had generated tokens of"


def _asked(client: httpx.Client, asking: Asking, session: str) -> str:
    headers = asking.headers(a_context(session_id=session))
    answer = client.post(f"{asking.url}/v1/turns", content=asking.body("hello"), headers=headers)
    if answer.status_code != 200:
        return f"{answer.status_code} {answer.text}"
    events = [json.loads(line) for line in answer.text.splitlines()]
    if events[-1]["event"] == "done":
        return "whole" if len(texts(events)) == 20 else "short"
    return "broken after a token" if texts(events) else f"lost: {events[-1]}"
