"""The turn as a LangGraph: classify → memory → retrieve → generate → cite → record, with short ways out: for a refused
turn, and for one for which nothing was found where the tenant wants to be told so. What has nothing to do is passed by:
memory where nothing was said before, record where nothing is to be summarised. A step costs LangGraph 0.1 ms.

A tool loop belongs between retrieve and generate: a node that is reached from `after_retrieve` in place of `generate`,
runs what the model asks for, and leads back to it; its results go into the state beside the passages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command

from app.bare_node import without_callbacks, without_start
from app.nodes.cite import cite_passages
from app.nodes.classify import Classify
from app.nodes.generate import Generate
from app.nodes.memory import Memory
from app.nodes.nothing_found import say_nothing_found
from app.nodes.record import Record, tell_end
from app.nodes.refuse import refuse
from app.nodes.retrieve import Retrieve
from app.state import Turn, TurnState

TurnGraph = CompiledStateGraph[TurnState, Turn, TurnState, TurnState]
Then = Callable[[TurnState, Turn], str]
"""The name of the node that follows, by the state with what the node has added to it."""


class Node(Protocol):
    async def __call__(self, state: TurnState, runtime: Runtime[Turn]) -> TurnState: ...


def after_classify(state: TurnState, turn: Turn) -> str:
    """A question before which nothing was said has nothing to remember."""
    if state["refusal"] is not None:
        return "refuse"
    return "memory" if turn.request.conversation.before else after_memory(state, turn)


def after_memory(state: TurnState, turn: Turn) -> str:
    """What the client says of retrieval is said over the route's head."""
    wished = turn.request.options.retrieve
    return "retrieve" if (state["route"].retrieve if wished is None else wished) else "generate"


def after_retrieve(state: TurnState, turn: Turn) -> str:
    says_so = turn.request.when_nothing_found == "say_so"
    return "nothing_found" if says_so and not state["passages"] else "generate"


def after_answer(_state: TurnState, turn: Turn) -> str:
    return "record" if turn.request.summarise is not None else END


def build_graph(
    *, classify: Classify, memory: Memory, retrieve: Retrieve, generate: Generate, record: Record
) -> TurnGraph:
    """Compile the graph; done once a process. It keeps no state between runs: what a run needs is in its `Turn`."""
    graph = StateGraph(TurnState, context_schema=Turn)
    after = ("refuse", "memory", "retrieve", "generate")
    graph.add_node("classify", routed("classify", classify, after_classify), destinations=after)
    graph.add_node("refuse", timed("refuse", refuse))
    graph.add_node("memory", routed("memory", memory, after_memory), destinations=("retrieve", "generate"))
    graph.add_node("retrieve", routed("retrieve", retrieve, after_retrieve), destinations=("generate", "nothing_found"))
    graph.add_node(
        "nothing_found", routed("nothing_found", ending(say_nothing_found), after_answer), destinations=("record", END)
    )
    graph.add_node("generate", timed("generate", generate))
    graph.add_node("cite", routed("cite", ending(cite_passages), after_answer), destinations=("record", END))
    graph.add_node("record", timed("record", record))
    graph.add_edge(START, "classify")
    graph.add_edge("generate", "cite")
    graph.add_edge("record", END)
    graph.add_edge("refuse", END)
    compiled = graph.compile()
    without_callbacks(compiled)
    without_start(compiled, "classify")
    return compiled


async def run_graph(graph: TurnGraph, turn: Turn) -> str | None:
    """The whole answer, None where there was none. Of all that the nodes add to the state no other is told: LangGraph
    would else put the whole of it together again after each."""
    output = await graph.ainvoke({}, context=turn, output_keys="answer", version="v2")
    return cast("str | None", output.value)


def ending(node: Node) -> Node:
    """The node, and the end of a turn that has nothing left to be done: it needs no step of its own to be told."""

    async def run(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
        added = await node(state, runtime)
        if runtime.context.request.summarise is None:
            await tell_end(runtime.context, {**state, **added})
        return added

    return run


def timed(name: str, node: Node) -> Node:
    """The node, and in the turn's progress how long it took."""

    async def run(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
        steps = runtime.context.progress.steps
        steps.begin(name)
        try:
            return await node(state, runtime)
        finally:
            steps.end()

    return run


def routed(name: str, node: Node, then: Then) -> Callable[..., Any]:
    """The timed node, which says itself what follows: a conditional edge costs LangGraph a task and a copy of the state
    of its own."""
    step = timed(name, node)

    async def run(state: TurnState, runtime: Runtime[Turn]) -> Command[str]:
        added = await step(state, runtime)
        return Command(update=added, goto=then({**state, **added}, runtime.context))

    return run
