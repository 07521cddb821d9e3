"""Run a turn: the graph in a task of its own, its events in a bounded pipe, its failure as an exception or an event."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from langsmith import tracing_context

from app.graph import TurnGraph, run_graph
from app.pipe import PATIENCE_S, Event, EventPipe
from app.ports import Caller
from app.state import Progress, Turn
from contracts.chat import ErrorEvent, TurnRequest, UsageEvent
from contracts.context import TenantContext
from contracts.errors import AtriumError, SlowReaderError, UpstreamTimeoutError
from observability import names
from observability.langsmith_runs import TurnRun
from observability.logging import log
from observability.metrics import Metrics
from servicekit.client import seconds_left

READER_GRACE_S = 2.0
"""How long after the deadline the last events may take to be read, before the reader is given up."""

_logger = logging.getLogger("atrium.turns")


class RunningTurn:
    """A turn under way. Call `next_batch` until it is empty; `progress` may be read at any time, also after the end."""

    def __init__(self, graph: TurnGraph, caller: Caller, request: TurnRequest, *, slow_reader_s: float) -> None:
        self._graph = graph
        self._pipe = EventPipe(patience_s=slow_reader_s)
        self.reading = asyncio.timeout(seconds_left(caller.context.deadline) + READER_GRACE_S)
        self._turn = Turn(caller, request, self._pipe)
        self._failure: AtriumError | None = None
        self._broke: AtriumError | None = None
        self.answer: str | None = None
        self._started = False

    @property
    def failure(self) -> AtriumError | None:
        """Why it ended, until `next_batch` has told it."""
        return self._failure

    @property
    def progress(self) -> Progress:
        return self._turn.progress

    @property
    def broke(self) -> AtriumError | None:
        """What ended it early, but for its being left."""
        return self._broke

    async def next_batch(self) -> list[Event]:
        """The next events, as many as have gathered while the reader was busy; an empty list is the end.

        A failure before the first event is raised; a later one is told: `usage` so far if there is any, then `error`.
        """
        batch = await self._pipe.take()
        if batch:
            self._started = True
            return batch
        failure, self._failure = self._failure, None
        if failure is None:
            return []
        if not self._started:
            raise failure
        usage = self.progress.usage()
        so_far: list[Event] = [UsageEvent(usage=usage)] if usage.total_tokens else []
        return [*so_far, ErrorEvent(code=failure.code, message=failure.message)]

    async def run(self) -> None:
        """Work until the end, the deadline or the first failure, which is kept for `next_batch`."""
        context = self._turn.caller.context
        try:
            # The one bound of the whole turn; the adapters keep to the deadline as well, and say what was late.
            async with asyncio.timeout(seconds_left(context.deadline)):
                self.answer = await run_graph(self._graph, self._turn)
        except SlowReaderError as error:
            self._failure = error
            if not self.reading.expired():
                self.reading.reschedule(asyncio.get_running_loop().time() + READER_GRACE_S)
        except AtriumError as error:
            self._failure = error
        except TimeoutError:
            self._failure = UpstreamTimeoutError("the answer was not finished in time")
        except Exception as error:  # noqa: BLE001  the edge of the task: nobody above could tell the client
            log(_logger, logging.ERROR, "turn broke", request_id=context.request_id, type=type(error).__name__)
            self._failure = AtriumError("something went wrong on our side")
        finally:
            self._broke = self._failure
            self._pipe.close()


class TurnService:
    """`tell` gets every turn that has ended, for LangSmith; without it nothing of a turn leaves the stack."""

    def __init__(
        self,
        graph: TurnGraph,
        *,
        metrics: Metrics,
        tell: Callable[[TurnRun], None] | None = None,
        slow_reader_s: float = PATIENCE_S,
    ) -> None:
        self._graph = graph
        self._metrics = metrics
        self._tell = tell
        self._slow_reader_s = slow_reader_s

    @asynccontextmanager
    async def turn(self, caller: Caller, request: TurnRequest) -> AsyncIterator[RunningTurn]:
        """Start a turn; leaving the context stops it wherever it is, and waits until it has stopped.

        Raises TimeoutError in the caller's code when it is still reading a while after the deadline, or after the turn
        was cut off because it did not read.
        """
        running, began = (
            RunningTurn(self._graph, caller, request, slow_reader_s=self._slow_reader_s),
            time.perf_counter(),
        )
        self._metrics.gauge(names.ACTIVE_STREAMS, 1)
        with tracing_context(enabled=False):  # LangGraph's own; a task inherits the context in which it was made
            task = asyncio.create_task(running.run())
        try:
            async with running.reading:
                yield running
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._metrics.gauge(names.ACTIVE_STREAMS, -1)
            if self._tell is not None:
                self._tell(_run(caller.context, request, running, began))


def _run(context: TenantContext, request: TurnRequest, running: RunningTurn, began: float) -> TurnRun:
    progress = running.progress
    now, clock = time.time(), time.perf_counter()
    first = progress.first_token_at
    return TurnRun(
        tenant_id=str(context.tenant_id),
        request_id=context.request_id,
        session_id=context.session_id,
        began=now - (clock - began),
        ended=now,
        first_token=now - (clock - first) if first is not None else None,
        prompt=request.query if context.log_content else None,
        answer=running.answer if context.log_content else None,
        error=running.broke.code if running.broke else None,
        usage=progress.usage().model_dump(),
        facts={
            "route": progress.route,
            "chunk_ids": progress.chunk_ids,
            "citations": progress.citations,
            "refusal_reason": progress.refusal_reason,
        },
    )
