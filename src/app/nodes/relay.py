"""A generation passed on to whoever reads the turn, piece by piece, with what is kept of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from app.domain.marks import MarkFilter
from app.domain.tool_calls import ToolCalls
from app.ports import Delta, Generation, Sink
from app.state import Progress
from contracts.chat import ToolCallsEvent


@dataclass(slots=True)
class Relay:
    """`marks` None: nothing is cited, and the text goes on as it comes. `run` once, then `finish`."""

    sink: Sink
    progress: Progress
    marks: MarkFilter | None
    finish_reason: str = "stop"
    _pieces: list[str] = field(default_factory=list)
    _calls: ToolCalls = field(default_factory=ToolCalls)

    @property
    def answer(self) -> str:
        return "".join(self._pieces)

    async def run(self, generation: Generation) -> None:
        """Until the generation ends. To be run in a task of its own: a task that waits for a token is woken through all
        the calls that it is in, and LangGraph's are a dozen."""
        sink, progress, marks = self.sink, self.progress, self.marks
        async for delta in generation:
            text, progress.tokens, finished, called = delta
            if finished:
                self.finish_reason = finished
            for piece in called:
                self._calls.add(piece)
            if text or called:
                if progress.first_token_at is None:
                    progress.first_token_at = time.perf_counter()
                left = marks.feed(text) if marks else text
                if left:
                    self._pieces.append(left)
                if left or called:  # with a piece of a call, its text is empty: it says what was used so far
                    await sink.put(delta if left is text else Delta(left, progress.tokens, finished))

    async def finish(self) -> None:
        """What was held back as the beginning of a mark, and the calls, which are told whole."""
        if self.marks and (rest := self.marks.finish()):
            self._pieces.append(rest)
            await self.sink.put(Delta(rest, self.progress.tokens))
        if whole := self._calls.whole():
            await self.sink.put(ToolCallsEvent(calls=whole))
