"""The graph as LangGraph has it: what may follow what, and that its nodes are run without what nobody needs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import AsyncCallbackHandler

from app.adapters.memory import MemoryEmbedder, MemoryEngine, MemoryRetriever
from app.engines import Engines
from app.graph import TurnGraph, build_graph, run_graph
from app.nodes.classify import Classify
from app.nodes.generate import Generate
from app.nodes.memory import Memory
from app.nodes.record import Record
from app.nodes.retrieve import Retrieve
from app.ports import Caller
from app.state import Turn
from contracts.chat import DoneEvent, Summarise, UsageEvent
from contracts.context import TenantContext
from contracts.conversation import Conversation, Message
from support.turns import T1, KeptEvents, a_budget, a_context, a_passage, a_request


def a_graph() -> TurnGraph:
    engines = Engines(MemoryEngine(["Len", "tils"]))
    return build_graph(
        classify=Classify(MemoryEmbedder(), 0.28),
        memory=Memory(a_budget()),
        retrieve=Retrieve(MemoryRetriever({T1: [a_passage("c1", "lentils protein")]}), 4, 0.25, max_bytes=1000),
        generate=Generate(engines, a_budget()),
        record=Record(engines, 512, within_s=1.0),
    )


def a_turn(context: TenantContext | None = None, **request: Any) -> Turn:
    return Turn(Caller(context or a_context(), "t"), a_request("lentils protein", **request), KeptEvents())


def a_later_turn() -> Turn:
    """One with something to remember and to summarise."""
    before = (Message(role="user", content="Hello"), Message(role="assistant", content="Hello."))
    return a_turn(
        conversation=Conversation(before=before), summarise=Summarise(messages=2, prompt_tokens=1_000), max_tokens=400
    )


def test_the_steps_follow_each_other_as_the_issue_draws_them() -> None:
    edges = {(edge.source, edge.target, edge.conditional) for edge in a_graph().get_graph().edges}
    assert edges == {
        ("classify", "refuse", True),
        ("classify", "memory", True),
        ("classify", "retrieve", True),
        ("classify", "generate", True),
        ("memory", "retrieve", True),
        ("memory", "generate", True),
        ("retrieve", "generate", True),
        ("retrieve", "nothing_found", True),
        ("generate", "cite", False),
        ("cite", "record", True),
        ("cite", "__end__", True),
        ("nothing_found", "record", True),
        ("nothing_found", "__end__", True),
        ("record", "__end__", False),
        ("refuse", "__end__", False),
    }


async def test_a_run_gives_the_whole_answer_and_none_where_the_turn_was_refused() -> None:
    graph = a_graph()
    assert await run_graph(graph, a_turn()) == "Lentils"
    assert await run_graph(graph, a_turn(a_context(allowed_routes=("OTHER",)))) is None


class Told(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.of: list[str] = []

    async def on_chain_start(
        self, serialized: dict[str, Any], inputs: dict[str, Any], *, run_id: UUID, name: str = "", **kwargs: Any
    ) -> None:
        self.of.append(name)


async def test_langchains_callbacks_are_told_of_the_run_and_of_no_node() -> None:
    told, turn = Told(), a_later_turn()
    await a_graph().ainvoke({}, {"callbacks": [told]}, context=turn)
    assert told.of == ["LangGraph"]
    assert list(turn.progress.steps.ms()) == ["classify", "memory", "retrieve", "generate", "cite", "record"]


async def test_what_has_nothing_to_do_is_no_step_of_a_turn() -> None:
    turn = a_turn()
    steps = [chunk async for chunk in a_graph().astream({}, context=turn, stream_mode="debug")]
    began = [chunk["payload"]["name"] for chunk in steps if chunk["type"] == "task"]
    assert began == list(turn.progress.steps.ms()) == ["classify", "retrieve", "generate", "cite"]


@pytest.mark.parametrize("turn", [a_turn(), a_later_turn()])
async def test_every_turn_tells_its_end_once(turn: Turn) -> None:
    await run_graph(a_graph(), turn)
    told = [type(event) for event in turn.sink.events]  # type: ignore[attr-defined]
    assert told[-2:] == [UsageEvent, DoneEvent]
    assert (told.count(UsageEvent), told.count(DoneEvent)) == (1, 1)
