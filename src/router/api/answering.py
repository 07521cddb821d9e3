"""A turn on its way to the client, whichever door it was asked by: events into bytes, and into the request record."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from starlette.responses import JSONResponse, Response

from contracts.chat import ErrorEvent, TokenEvent, ToolCallsEvent, TurnEvent
from contracts.errors import AtriumError, UpstreamError, error_classes
from observability.logging import MAX_TEXT
from observability.pace import Pace
from observability.record import RequestRecord
from router.api.dependencies import Services
from router.api.stream import EventStream
from router.domain.asked import Asked
from router.domain.blocked_tools import BLOCKED_TOOL
from router.domain.caller import Caller
from router.domain.moderation import MODERATION
from router.service.chat import Queued, Turn
from tenancy.rules import SENSITIVE_PROMPT

_OUR_REASONS = {SENSITIVE_PROMPT, MODERATION, BLOCKED_TOOL}


class Answering(ABC):
    """One request being answered. A door says how events and answers look there."""

    def __init__(self, found: Services, record: RequestRecord, key: str | None) -> None:
        self._services = found
        self._record = record
        self._key = key
        self._query = ""
        self._pace = Pace()
        self._started = time.perf_counter()

    @abstractmethod
    def _frame(self, turn: Turn, event: TurnEvent) -> bytes:
        """What is sent of an event in a stream; nothing where the door has no place for it."""

    @abstractmethod
    def _answer(self, turn: Turn) -> object:
        """The body of a whole answer, as JSON."""

    @abstractmethod
    def _cut(self) -> bytes:
        """The last that is sent to a client that does not read."""

    async def whole(self, caller: Caller, asked: Asked) -> Response:
        self._query = asked.query
        async with self._services.chat.open(caller, asked, key=self._key) as turn:
            try:
                async for event in turn.events:
                    self._see(event)
            finally:
                self._note(turn)
        if turn.transcript.error:
            raise _raised_again(turn.transcript.error)
        return JSONResponse(self._answer(turn), headers=dict(turn.headers))

    async def streamed(self, caller: Caller, asked: Asked) -> Response:
        self._query = asked.query
        async with AsyncExitStack() as stack:
            opened = self._services.chat.open(caller, asked, key=self._key, tell_queue=True)
            turn = await stack.enter_async_context(opened)
            stack.callback(self._note, turn)
            # From here the response owns the turn; whatever fails before this line is closed right here.
            slow_s = self._services.slow_reader_s
            return EventStream(self._frames(turn), stack.pop_all(), turn.headers, slow_reader_s=slow_s, cut=self._cut())

    async def _frames(self, turn: Turn) -> AsyncIterator[bytes]:
        try:
            async for event in turn.events:
                self._see(event)
                frame = _queued(event) if isinstance(event, Queued) else self._frame(turn, event)
                if frame:
                    yield frame
        except AtriumError as error:
            told = ErrorEvent(code=error.code, message=error.message)
            turn.transcript.add(told)
            yield self._frame(turn, told)

    def _see(self, event: TurnEvent | Queued) -> None:
        if isinstance(event, TokenEvent | ToolCallsEvent) and self._pace.tick():
            self._record.first_token_ms = self._elapsed_ms()

    def _public_route(self, turn: Turn) -> str:
        route = turn.transcript.meta.route
        return route if route in turn.allowed_routes else ""

    def _note(self, turn: Turn) -> None:
        """Into the request record, however the turn ended."""
        record, transcript = self._record, turn.transcript
        record.token_gaps = self._pace.gaps
        record.session_id, record.config_version = turn.session_id, turn.config_version
        meta = transcript.meta
        record.route, record.route_score, record.chunk_ids = meta.route, meta.route_score, meta.chunk_ids
        record.runner_up, record.runner_up_score = meta.runner_up, meta.runner_up_score
        record.prompt, record.degraded, record.timings_ms = meta.prompt, meta.degraded, transcript.timings_ms
        record.citations = [citation.chunk_id for citation in transcript.citations]
        usage = turn.usage()
        if (usage.total_tokens or transcript.refusal) and not turn.repeats:
            record.token_usage, record.cost_usd_estimate = usage.model_dump(), turn.cost()
        if transcript.refusal:
            record.refusal_reason = transcript.refusal.reason
            # The reason of a rule is the tenant's own text, so it is no dimension of a metric.
            written = transcript.refusal.stage != "route" and transcript.refusal.reason not in _OUR_REASONS
            record.refusal_kind = "refusal_rule" if written else transcript.refusal.reason
        if transcript.error:
            record.error_code = transcript.error.code
        if turn.caller.policy.config.log_content:  # the log redacts it, as it does every text
            record.query, record.answer = self._query[: 2 * MAX_TEXT], transcript.answer[: 2 * MAX_TEXT]

    def _elapsed_ms(self) -> float:
        return round((time.perf_counter() - self._started) * 1000, 3)


def _queued(event: Queued) -> bytes:
    return b": queued, position %d\n\n" % event.position


def _raised_again(event: ErrorEvent) -> AtriumError:
    """An error that came as an event, as the exception it was in the orchestrator."""
    return error_classes().get(event.code, UpstreamError)(event.message)
