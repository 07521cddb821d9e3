"""A compiled graph without what LangGraph does around its nodes and nobody here needs.

LangGraph runs a node and what writes its result as a chain that tells LangChain's callbacks of its beginning, each part
and its end, in a task of its own: a sixth of what the whole graph costs. Nobody listens here: LangChain's tracing is
off, and a turn is told of by `observability`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph import START
from langgraph.graph.state import CompiledStateGraph


class BareNode(Runnable[Any, Any]):
    """`step` is the node itself, `writers` put what it returns into the graph's channels, and with it what follows."""

    def __init__(self, step: Runnable[Any, Any], writers: Sequence[Runnable[Any, Any]]) -> None:
        self._step = step
        self._writers = writers

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002  its name
        raise NotImplementedError("a turn is run by ainvoke")

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        found = await self._step.ainvoke(input, config, **kwargs)
        for writer in self._writers:
            await writer.ainvoke(found, config)
        return found


def without_callbacks(graph: CompiledStateGraph[Any, Any, Any, Any]) -> None:
    """Of every node of the graph but its start, which is a writer alone. `node` is what LangGraph makes of step and
    writers at the first use, and uses from then on."""
    for name, node in graph.nodes.items():
        if name != START:
            node.__dict__["node"] = BareNode(node.bound, node.flat_writers)


def without_start(graph: CompiledStateGraph[Any, Any, Any, Any], first: str) -> None:
    """What a run is given goes straight to what triggers its first node. LangGraph gives it to a node that only passes
    it on, in a step of its own; a turn brings nothing to be passed on, all that it needs is in its context."""
    (graph.input_channels,) = graph.nodes[first].triggers
