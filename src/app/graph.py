"""The turn as a LangGraph: classify → retrieve → generate → cite, with a short way out for a refused turn."""

from __future__ import annotations

from typing import Literal

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from app.nodes.cite import cite_passages
from app.nodes.classify import Classify
from app.nodes.generate import Generate
from app.nodes.refuse import refuse
from app.nodes.retrieve import Retrieve
from app.state import Turn, TurnState

TurnGraph = CompiledStateGraph[TurnState, Turn, TurnState, TurnState]


async def after_classify(state: TurnState, runtime: Runtime[Turn]) -> Literal["refuse", "retrieve", "generate"]:
    """`async` although nothing is awaited: LangGraph would run a plain function in a thread."""
    if state["refusal"] is not None:
        return "refuse"
    wished = runtime.context.request.options.retrieve
    return "retrieve" if (state["route"].retrieve if wished is None else wished) else "generate"


def build_graph(*, classify: Classify, retrieve: Retrieve, generate: Generate) -> TurnGraph:
    """Compile the graph; done once a process. It keeps no state between runs: what a run needs is in its `Turn`."""
    graph = StateGraph(TurnState, context_schema=Turn)
    graph.add_node("classify", classify)
    graph.add_node("refuse", refuse)
    graph.add_node("retrieve", retrieve)
    graph.add_node("generate", generate)
    graph.add_node("cite", cite_passages)
    graph.add_edge(START, "classify")
    graph.add_conditional_edges("classify", after_classify)
    graph.add_edge("retrieve", "generate")
    graph.add_edge("generate", "cite")
    graph.add_edge("cite", END)
    graph.add_edge("refuse", END)
    return graph.compile()
