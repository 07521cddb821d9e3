"""What a turn knows: its terms (fixed), its progress (for whoever must account for it), and the graph's state."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TypedDict

from app.domain.routing import Choice
from app.ports import Caller, QueryVector, Sink, TokenCount
from contracts.chat import Refusal, Route, TurnRequest, Usage
from contracts.conversation import Conversation
from contracts.retrieval import Passage


@dataclass(slots=True)
class Steps:
    """How long each step of a turn took, by name; of the one that is under way, so far."""

    _took: dict[str, float] = field(default_factory=dict)
    _now: tuple[str, float] | None = None

    def begin(self, name: str) -> None:
        self._now = name, time.perf_counter()

    def end(self) -> None:
        if self._now is not None:
            name, began = self._now
            self._took[name] = self._took.get(name, 0.0) + time.perf_counter() - began
            self._now = None

    def ms(self) -> dict[str, float]:
        so_far = dict(self._took)
        if self._now is not None:
            name, began = self._now
            so_far[name] = so_far.get(name, 0.0) + time.perf_counter() - began
        return {name: round(seconds * 1000, 3) for name, seconds in so_far.items()}


@dataclass(slots=True)
class Progress:
    """How far a turn has come. It outlives the graph, so that a turn that breaks or is left can be billed and logged.

    `first_token_at` is on `time.perf_counter`'s clock. `degraded`: some step had to do without the RAG service.
    """

    route: str = ""
    choice: Choice | None = None
    prompt: str = ""
    degraded: bool = False
    steps: Steps = field(default_factory=Steps)
    chunk_ids: list[str] = field(default_factory=list)
    citations: list[str] = field(default_factory=list)
    tokens: TokenCount = field(default_factory=TokenCount)
    summary: TokenCount = field(default_factory=TokenCount)
    """Used for a summary behind the answer."""
    refusal_reason: str | None = None
    first_token_at: float | None = None

    def usage(self) -> Usage:
        answer, summary = self.tokens, self.summary
        return Usage.of(
            answer.prompt + summary.prompt, answer.completion + summary.completion, answer.cached + summary.cached
        )


@dataclass(frozen=True, slots=True)
class Turn:
    """LangGraph's runtime context: the same for every node of one run, and never shared between runs."""

    caller: Caller
    request: TurnRequest
    sink: Sink
    progress: Progress = field(default_factory=Progress)


class TurnState(TypedDict, total=False):
    """Filled from left to right: classify sets the first four, memory the next, retrieve two, generate the last three.

    `conversation` is what of the request's is sent. `passages` are those given to the model, in the order of their
    numbers in the prompt (absent where none were to be looked for); `flagged` are the chunks that read like orders to
    it; `marked` are the numbers that the answer marks.
    """

    route: Route
    choice: Choice
    vector: QueryVector | None
    refusal: Refusal | None
    conversation: Conversation
    passages: tuple[Passage, ...]
    flagged: frozenset[str]
    answer: str
    marked: tuple[int, ...]
    finish_reason: str
