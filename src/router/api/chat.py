"""`POST /chat`, as one JSON answer or as a stream of events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from contracts.chat import (
    ChatAnswer,
    ChatRequest,
    CitationsEvent,
    DoneEvent,
    ErrorEvent,
    MetaEvent,
    RefusalEvent,
    SummaryEvent,
    TokenEvent,
    TurnEvent,
    UsageEvent,
)
from contracts.errors import AtriumError, SlowReaderError, UpstreamError, error_classes
from observability.logging import MAX_TEXT
from observability.pace import Pace
from observability.record import RequestRecord, record_of
from router.api.dependencies import IdempotencyKey, PrincipalDep, Services, ServicesDep, admit, own_tenant
from router.api.stream import EventStream, sse
from router.domain.access import Permission
from router.domain.asked import Asked
from router.domain.caller import Caller
from router.domain.moderation import MODERATION
from router.service.chat import Queued, Turn
from servicekit.edge import until_disconnect
from servicekit.problems import OPENAPI_ERRORS
from tenancy.rules import SENSITIVE_PROMPT

_OUR_REASONS = {SENSITIVE_PROMPT, MODERATION}

api = APIRouter(tags=["chat"], responses=OPENAPI_ERRORS)


@api.post("/chat", response_model=ChatAnswer)
async def chat(
    body: ChatRequest,
    request: Request,
    who: PrincipalDep,
    found: ServicesDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Ask a question. With `"stream": true` or `Accept: text/event-stream` the answer is server-sent events:
    `meta`, `token`…, `citations`, `usage`, then one of `done`, `refusal`, `error`. The same request with the same
    `Idempotency-Key` again gets the same answer, and is billed once."""
    caller = await admit(request, found, who, own_tenant(who, body.tenant_id), Permission.CHAT)
    # A user id that the credential proves is not overwritten by one that the client supplies.
    user_id = who.user_for(body.user_id if "user_id" in body.model_fields_set else None)
    body = body.model_copy(update={"user_id": user_id or body.user_id})
    record = record_of(request.scope)
    record.user_id, record.session_id = body.user_id, body.session_id or ""
    answering, asked = _Answering(found, record, idempotency_key), Asked.of(body)
    if body.stream or "text/event-stream" in request.headers.get("accept", ""):
        return await until_disconnect(request, answering.streamed(caller, asked))
    return await until_disconnect(request, answering.whole(caller, asked))


_Said = MetaEvent | CitationsEvent | UsageEvent | DoneEvent | RefusalEvent | ErrorEvent


class _Answering:
    """One request being answered: turns the turn's events into bytes, and notes them in the request record."""

    def __init__(self, found: Services, record: RequestRecord, key: str | None) -> None:
        self._services = found
        self._record = record
        self._key = key
        self._query = ""
        self._pace = Pace()
        self._started = time.perf_counter()

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
        return JSONResponse(self._answer(turn).model_dump(mode="json"), headers=dict(turn.headers))

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
                yield self._frame(turn, event)
        except AtriumError as error:
            event = ErrorEvent(code=error.code, message=error.message)
            turn.transcript.add(event)
            yield self._frame(turn, event)

    def _see(self, event: TurnEvent | Queued) -> None:
        if isinstance(event, TokenEvent) and self._pace.tick():
            self._record.first_token_ms = self._elapsed_ms()

    def _frame(self, turn: Turn, event: TurnEvent | Queued) -> bytes:
        if isinstance(event, TokenEvent):
            return sse("token", {"text": event.text})
        if isinstance(event, Queued):
            return b": queued, position %d\n\n" % event.position
        if isinstance(event, SummaryEvent):
            return b""  # the router's own, which comes no further than `Telling`
        return sse(event.event, self._data(turn, event))

    def _data(self, turn: Turn, event: _Said) -> object:
        match event:
            case MetaEvent():
                return self._meta(turn)
            case UsageEvent():
                return {**event.usage.model_dump(), "cost_usd_estimate": turn.cost()}
            case DoneEvent():
                return {
                    "finish_reason": event.finish_reason,
                    "latency_ms": self._elapsed_ms(),
                    "queue_ms": turn.queue_ms,
                    "timings_ms": event.timings_ms,
                }
            case RefusalEvent():
                return event.refusal.model_dump()
            case ErrorEvent():
                error = {"code": event.code, "message": event.message, "request_id": self._record.request_id}
                return {"error": {**error, "details": {}}}
            case CitationsEvent():
                return event.model_dump(exclude={"event"})

    def _cut(self) -> bytes:
        message = "the answer was not read: it was cut off"
        error = {"code": SlowReaderError.code, "message": message, "request_id": self._record.request_id}
        return sse("error", {"error": {**error, "details": {}}})

    def _meta(self, turn: Turn) -> dict[str, object]:
        return {
            "request_id": turn.request_id,
            "tenant_id": str(turn.caller.tenant_id),
            "session_id": turn.session_id,
            "route": self._public_route(turn),
            "model": turn.transcript.meta.model,
            "config_version": turn.config_version,
            "degraded": turn.transcript.meta.degraded,
        }

    def _public_route(self, turn: Turn) -> str:
        route = turn.transcript.meta.route
        return route if route in turn.allowed_routes else ""

    def _answer(self, turn: Turn) -> ChatAnswer:
        transcript = turn.transcript
        return ChatAnswer(
            request_id=turn.request_id,
            tenant_id=turn.caller.tenant_id,
            session_id=turn.session_id,
            route=self._public_route(turn),
            answer=transcript.answer,
            citations=transcript.citations,
            sources=transcript.sources,
            degraded=transcript.meta.degraded,
            refusal=transcript.refusal,
            usage=turn.usage(),
            cost_usd_estimate=turn.cost(),
            latency_ms=self._elapsed_ms(),
            queue_ms=turn.queue_ms,
            timings_ms=transcript.timings_ms,
            config_version=turn.config_version,
        )

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


def _raised_again(event: ErrorEvent) -> AtriumError:
    """An error that came as an event, as the exception it was in the orchestrator."""
    return error_classes().get(event.code, UpstreamError)(event.message)
