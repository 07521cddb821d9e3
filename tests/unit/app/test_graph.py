"""The graph as LangGraph has it: what may follow what, and that its nodes are run without what nobody needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

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


def a_turn(before: Sequence[Message] = (), **context: Any) -> Turn:
    request = a_request("lentils protein", conversation=Conversation(before=tuple(before)))
    return Turn(Caller(a_context(**context), "t"), request, KeptEvents())


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
        ("cite", "record", False),
        ("nothing_found", "record", False),
        ("record", "__end__", False),
        ("refuse", "__end__", False),
    }


async def test_a_run_gives_the_whole_answer_and_none_where_the_turn_was_refused() -> None:
    graph = a_graph()
    assert await run_graph(graph, a_turn()) == "Lentils"
    assert await run_graph(graph, a_turn(allowed_routes=("OTHER",))) is None


class Told(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.of: list[str] = []

    async def on_chain_start(
        self, serialized: dict[str, Any], inputs: dict[str, Any], *, run_id: UUID, name: str = "", **kwargs: Any
    ) -> None:
        self.of.append(name)


async def test_langchains_callbacks_are_told_of_the_run_and_of_no_node() -> None:
    told, turn = Told(), a_turn([Message(role="user", content="Hello")])
    await a_graph().ainvoke({}, {"callbacks": [told]}, context=turn)
    assert told.of == ["LangGraph"]
    assert list(turn.progress.steps.ms()) == ["classify", "memory", "retrieve", "generate", "cite", "record"]


async def test_a_question_before_which_nothing_was_said_has_nothing_to_remember() -> None:
    turn = a_turn()
    await run_graph(a_graph(), turn)
    assert list(turn.progress.steps.ms()) == ["classify", "retrieve", "generate", "cite", "record"]


async def test_a_run_has_no_step_but_its_nodes() -> None:
    steps = [chunk async for chunk in a_graph().astream({}, context=a_turn(), stream_mode="debug")]
    began = [chunk["payload"]["name"] for chunk in steps if chunk["type"] == "task"]
    assert began == ["classify", "retrieve", "generate", "cite", "record"]
