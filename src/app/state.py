"""What a turn knows: its terms (fixed), its progress (for whoever must account for it), and the graph's state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from app.ports import Caller, Sink, TokenCount, Vector
from contracts.chat import Refusal, Route, TurnRequest, Usage
from contracts.retrieval import Passage


@dataclass(slots=True)
class Progress:
    """How far a turn has come. It outlives the graph, so that a turn that breaks or is left can be billed and logged.

    `first_token_at` is on `time.perf_counter`'s clock.
    """

    route: str = ""
    chunk_ids: list[str] = field(default_factory=list)
    citations: list[str] = field(default_factory=list)
    tokens: TokenCount = field(default_factory=TokenCount)
    refusal_reason: str | None = None
    first_token_at: float | None = None

    def usage(self) -> Usage:
        return Usage.of(*self.tokens)


@dataclass(frozen=True, slots=True)
class Turn:
    """LangGraph's runtime context: the same for every node of one run, and never shared between runs."""

    caller: Caller
    request: TurnRequest
    sink: Sink
    progress: Progress = field(default_factory=Progress)


class TurnState(TypedDict, total=False):
    """Filled from left to right: classify sets the first four, retrieve the next two, generate the last two.

    `passages` are those given to the model, in the order of their numbers in the prompt; `flagged` are the chunks that
    read like orders to it.
    """

    route: Route
    route_score: float
    vector: Vector | None
    refusal: Refusal | None
    passages: tuple[Passage, ...]
    flagged: frozenset[str]
    answer: str
    finish_reason: str
