"""Run a turn: the graph in a task of its own, its events in a bounded pipe, its failure as an exception or an event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from langsmith import tracing_context

from app.graph import TurnGraph
from app.pipe import PATIENCE_S, Event, EventPipe
from app.ports import Caller
from app.state import Progress, Turn
from contracts.chat import ErrorEvent, TurnRequest, UsageEvent
from contracts.errors import AtriumError, SlowReaderError, UpstreamTimeoutError
from observability import names
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
        self._started = False

    @property
    def failure(self) -> AtriumError | None:
        """Why it ended, until `next_batch` has told it."""
        return self._failure

    @property
    def progress(self) -> Progress:
        return self._turn.progress

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
                await self._graph.ainvoke({}, context=self._turn)
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
            self._pipe.close()


class TurnService:
    """`tracing` tells LangSmith of every turn; without it nothing of a turn leaves the stack."""

    def __init__(self, graph: TurnGraph, *, metrics: Metrics, tracing: bool, slow_reader_s: float = PATIENCE_S) -> None:
        self._graph = graph
        self._metrics = metrics
        self._tracing = tracing
        self._slow_reader_s = slow_reader_s

    @asynccontextmanager
    async def turn(self, caller: Caller, request: TurnRequest) -> AsyncIterator[RunningTurn]:
        """Start a turn; leaving the context stops it wherever it is, and waits until it has stopped.

        Raises TimeoutError in the caller's code when it is still reading a while after the deadline, or after the turn
        was cut off because it did not read.
        """
        running = RunningTurn(self._graph, caller, request, slow_reader_s=self._slow_reader_s)
        self._metrics.gauge(names.ACTIVE_STREAMS, 1)
        with tracing_context(enabled=self._tracing):  # a task inherits the context in which it was made
            task = asyncio.create_task(running.run())
        try:
            async with running.reading:
                yield running
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._metrics.gauge(names.ACTIVE_STREAMS, -1)
