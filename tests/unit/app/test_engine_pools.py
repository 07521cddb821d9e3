"""The pools' states, from what the imitation's `/metrics` says, and from engines that say nothing."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from app.adapters.engine_link import EngineLink, open_engine_session
from app.adapters.engine_pools import EnginePools, read_metrics
from app.adapters.replica import STALE_S, Reading
from app.adapters.replicas import Replicas
from contracts.pools import PoolState
from observability import names
from observability.metrics import NullMetrics
from observability.names import Metric
from support.imitation_engine import MODEL, Sequences, running_imitation
from support.server import free_port

METRICS = b"""\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
vllm:num_requests_waiting{engine="0",model_name="m"} 1e+01
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 99.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
"""


class Levels(NullMetrics):
    def __init__(self) -> None:
        self.levels: dict[str, float] = {}

    def level(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        self.levels[f"{metric.name} of {dimensions['pool']}"] = value


def pools(session: aiohttp.ClientSession, metrics: NullMetrics | None = None, **urls: list[str]) -> EnginePools:
    return EnginePools(EngineLink(session, None), Replicas(urls), max_seqs=16, metrics=metrics or NullMetrics())


def test_the_ranks_of_one_engine_are_added_up() -> None:
    assert read_metrics(METRICS) == Reading(running=5, waiting=10, kv_usage=0.5)


@pytest.mark.parametrize(
    "text",
    [b"", b"<html>", b"other_metric 1.0\n", b"vllm:num_requests_running 1e\n", b"vllm:num_requests_waiting 1e999\n"],
)
def test_what_an_engine_does_not_say_is_unknown(text: bytes) -> None:
    assert read_metrics(text) == Reading()


async def test_before_the_first_answer_nothing_is_known_but_the_setting() -> None:
    async with open_engine_session() as session:
        asked = pools(session, pooled=["http://a", "http://b"], big=["http://c"])
        assert asked.states() == {
            "pooled": PoolState(sequences=32, replicas=2, known=2, stale=True),
            "big": PoolState(sequences=16, replicas=1, known=1, stale=True),
        }


async def test_running_and_waiting_are_what_the_engine_says() -> None:
    metrics = Levels()
    with running_imitation(sequences=Sequences(most=2)) as (url, _imitation):
        async with open_engine_session() as session:
            body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "fault:hang"}]}
            answers = [await session.post(f"{url}/v1/chat/completions", json=body) for _ in range(5)]
            asked = pools(session, metrics, pooled=[url])
            async with asyncio.timeout(5):
                while asked.states()["pooled"].waiting != 3:
                    await asked.ask()
            assert asked.states()["pooled"] == PoolState(
                running=2, waiting=3, sequences=16, kv_usage=1.0, replicas=1, known=1
            )
            for answer in answers:
                answer.close()
    assert metrics.levels[f"{names.ENGINE_QUEUE_DEPTH.name} of pooled"] == 3
    assert metrics.levels[f"{names.KV_CACHE_USAGE.name} of pooled"] == 1.0


async def test_a_replica_that_cannot_be_reached_takes_its_sequences_with_it_but_never_the_last() -> None:
    down = f"http://127.0.0.1:{free_port()}"
    with running_imitation() as (url, _imitation):
        async with open_engine_session() as session:
            asked = pools(session, pooled=[url, down], big=[down])
            await asked.ask()
            states = asked.states()
    assert (states["pooled"].sequences, states["pooled"].replicas, states["pooled"].stale) == (16, 1, False)
    assert (states["big"].sequences, states["big"].replicas, states["big"].stale) == (16, 0, True)


async def test_an_engine_without_such_metrics_is_heard_but_says_nothing() -> None:
    with running_imitation() as (url, _imitation):
        async with open_engine_session() as session:
            asked = pools(session, pooled=[url + "/nowhere"])
            await asked.ask()
            assert asked.states()["pooled"] == PoolState(sequences=16, replicas=1, known=1)


async def test_old_values_are_kept_and_called_stale() -> None:
    clock = [0.0]
    with running_imitation() as (url, _imitation):
        async with open_engine_session() as session:
            asked = EnginePools(
                EngineLink(session, None),
                Replicas({"pooled": [url]}, now=lambda: clock[0]),
                max_seqs=16,
                metrics=NullMetrics(),
                now=lambda: clock[0],
            )
            await asked.ask()
            assert not asked.states()["pooled"].stale
            clock[0] += STALE_S + 0.1
            assert asked.states()["pooled"] == PoolState(
                running=0, waiting=0, sequences=16, kv_usage=0.0, replicas=1, known=1, stale=True
            )
