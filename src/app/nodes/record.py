"""The end of a turn: a summary of its oldest part, where one is asked for; what was used; and why it ended.

The answer has been told by then. A summary has a deadline of its own, waits in the engine behind every answer, and
takes nothing beyond what was reserved for the turn; where it fails, the answer is none the worse.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from langgraph.runtime import Runtime

from app.engines import Engines
from app.state import Turn, TurnState
from app.summaries import summary_messages
from contracts.chat import MAX_PRIORITY, DoneEvent, SummaryEvent, UsageEvent
from contracts.conversation import Options
from contracts.errors import AtriumError
from observability import names
from observability.metrics import Metrics, NullMetrics
from observability.tracing import span

SUMMARY_TOKENS, LEAST_TOKENS = 160, 48
"""Of a summary: as long as it may be, and what is worth beginning."""


@dataclass(frozen=True, slots=True)
class Record:
    engines: Engines
    answer_tokens: int
    within_s: float
    metrics: Metrics = field(default_factory=NullMetrics)

    async def __call__(self, state: TurnState, runtime: Runtime[Turn]) -> TurnState:
        turn = runtime.context
        if turn.request.summarise is not None:
            with span("record"):
                text = await self._summary(turn, state)
            if text:
                await turn.sink.put(SummaryEvent(text=text))
        await tell_end(turn, state)
        return {}

    async def _summary(self, turn: Turn, state: TurnState) -> str:
        """Empty where it comes to none."""
        pieces: list[str] = []
        try:
            async with asyncio.timeout(self.within_s):
                outcome = "made" if await self._generate(turn, state, pieces) else "no_room"
        except TimeoutError:
            outcome = "late"
        except AtriumError:
            outcome = "failed"
        self.metrics.count(names.SUMMARY, outcome=outcome)
        return "".join(pieces).strip() if outcome == "made" else ""

    async def _generate(self, turn: Turn, state: TurnState, pieces: list[str]) -> bool:
        request, used = turn.request, turn.progress.tokens
        wanted = request.summarise
        assert wanted is not None  # noqa: S101  looked at before; narrows the type
        longest = min(request.max_tokens or self.answer_tokens, self.answer_tokens)
        answer = min(SUMMARY_TOKENS, longest - used.completion)
        said = request.conversation
        asked = summary_messages(said.before[: wanted.messages], said.summary, wanted.prompt_tokens - used.prompt)
        if asked is None or answer < LEAST_TOKENS:
            return False
        engine, model = await self.engines.of(turn, state["route"])
        async with engine.generate(
            turn.caller.context,
            asked,
            options=Options(model=model),
            adapters=request.adapters,
            max_tokens=answer,
            priority=MAX_PRIORITY,
        ) as generation:
            async for text, tokens, *_ in generation:
                turn.progress.summary = tokens
                pieces.append(text)
        return True


async def tell_end(turn: Turn, state: TurnState) -> None:
    await turn.sink.put(UsageEvent(usage=turn.progress.usage()))
    await turn.sink.put(DoneEvent(finish_reason=state["finish_reason"], timings_ms=turn.progress.steps.ms()))
