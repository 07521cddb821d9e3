"""A turn from beginning to end over ports in memory: order of events, failures early and late, giving up."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from app.adapters.memory import MemoryEmbedder, MemoryEngine, MemoryRetriever
from app.engines import Engines
from app.graph import build_graph
from app.nodes.classify import Classify
from app.nodes.generate import Generate
from app.nodes.memory import Memory
from app.nodes.record import Record
from app.nodes.retrieve import Retrieve
from app.pipe import Event
from app.ports import Caller, Delta
from app.service import TurnService
from contracts.errors import OverloadedError, UpstreamError, UpstreamTimeoutError
from observability.metrics import NullMetrics
from servicekit.tokens import utc_now
from support.turns import T1, a_budget, a_context, a_passage, a_request, a_route

PASSAGES = {T1: [a_passage("c1", "lentils protein")]}


def service(engine: MemoryEngine, retriever: MemoryRetriever | None = None) -> TurnService:
    graph = build_graph(
        classify=Classify(MemoryEmbedder(), 0.28),
        retrieve=Retrieve(retriever or MemoryRetriever(PASSAGES), 4, 0.25, max_bytes=1000),
        generate=Generate(Engines(engine), a_budget()),
        memory=Memory(a_budget()),
        record=Record(Engines(engine), 512, within_s=1.0),
    )
    return TurnService(graph, metrics=NullMetrics())


async def all_events(
    turns: TurnService, context: dict[str, Any] | None = None, query: str = "lentils protein", **request: Any
) -> list[Event]:
    events: list[Event] = []
    async with turns.turn(Caller(a_context(**(context or {})), "t"), a_request(query, **request)) as turn:
        while batch := await turn.next_batch():
            events += batch
    return events


def names(events: list[Event]) -> list[str]:
    return ["token" if isinstance(event, Delta) else event.event for event in events]


async def test_an_answered_turn_is_meta_tokens_citations_usage_done() -> None:
    events = await all_events(service(MemoryEngine(["A", "b"])))
    assert names(events) == ["meta", "token", "token", "citations", "usage", "done"]


async def test_a_refused_turn_is_meta_and_refusal_and_asks_neither_retriever_nor_engine() -> None:
    engine, retriever = MemoryEngine(), MemoryRetriever(PASSAGES)
    events = await all_events(service(engine, retriever), {"allowed_routes": ("OTHER",)})
    assert names(events) == ["meta", "refusal"]
    assert (engine.asked, retriever.vectors) == ([], [])


async def test_a_route_that_wants_no_passages_skips_retrieval() -> None:
    retriever = MemoryRetriever(PASSAGES)
    routes = (a_route("GENERAL", retrieve=False),)
    events = await all_events(service(MemoryEngine(), retriever), routes=routes)
    assert names(events)[0] == "meta"
    assert retriever.vectors == []


async def test_a_failure_before_the_engine_took_the_request_is_raised() -> None:
    with pytest.raises(OverloadedError):
        await all_events(service(MemoryEngine(refuses_with=OverloadedError("full"))))


async def test_a_failure_after_tokens_tells_what_was_used_and_then_the_error() -> None:
    events = await all_events(service(MemoryEngine(["A", "b"], breaks_with=UpstreamError("gone"))))
    assert names(events) == ["meta", "token", "token", "usage", "error"]


async def test_the_deadline_ends_a_turn_that_hangs() -> None:
    soon = {"deadline": utc_now() + timedelta(milliseconds=150)}
    engine = MemoryEngine(["A"], hangs=True)
    events = await all_events(service(engine), soon)
    assert names(events) == ["meta", "token", "usage", "error"]
    assert events[-1].code == UpstreamTimeoutError.code  # type: ignore[union-attr]
    assert engine.left == 1


async def test_leaving_a_turn_closes_the_generation_before_it_returns() -> None:
    engine = MemoryEngine(["A"], hangs=True)
    async with service(engine).turn(Caller(a_context(), "t"), a_request("q")) as turn:
        await turn.next_batch()
        assert engine.left == 0
    assert engine.left == 1
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_an_unexpected_failure_is_told_without_its_text() -> None:
    engine = MemoryEngine(["A"], breaks_with=ValueError("secret"))  # type: ignore[arg-type]
    events = await all_events(service(engine))
    assert names(events)[-1] == "error"
    assert "secret" not in repr(events)


async def test_a_reader_that_does_not_read_makes_the_engine_wait() -> None:
    """Back-pressure: of a thousand tokens only as many are drawn from the engine as the pipe holds."""
    engine = MemoryEngine(["x"] * 1000)
    async with service(engine).turn(Caller(a_context(), "t"), a_request("q")) as turn:
        first = await turn.next_batch()
        for _ in range(50):  # enough rounds of the loop for a writer that did not wait
            await asyncio.sleep(0)
        drawn = turn.progress.tokens.completion
        assert drawn <= len(first) + 300
        assert drawn < 1000


async def test_turns_at_the_same_time_do_not_mix() -> None:
    """The runtime context is a run's own: each of fifty answers cites its own tenant's request."""
    turns = service(MemoryEngine())
    results = await asyncio.gather(
        *(all_events(turns, {"request_id": f"r{at}"}, query=f"lentils protein {at}") for at in range(50))
    )
    assert all(names(events)[-1] == "done" for events in results)
