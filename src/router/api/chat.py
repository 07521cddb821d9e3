"""`POST /chat`, as one JSON answer or as a stream of events."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

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
    ToolCallsEvent,
    TurnEvent,
    UsageEvent,
)
from contracts.errors import SlowReaderError
from observability.record import record_of
from router.api.answering import Answering
from router.api.bounded import BoundedRoute
from router.api.dependencies import IdempotencyKey, PrincipalDep, ServicesDep, admit, own_tenant
from router.api.stream import EVENT_STREAM, sse
from router.domain.access import Permission
from router.domain.asked import Asked
from router.service.chat import Turn
from servicekit.edge import until_disconnect
from servicekit.problems import OPENAPI_ERRORS

api = APIRouter(tags=["chat"], responses=OPENAPI_ERRORS, route_class=BoundedRoute)


@api.post("/chat", response_model=ChatAnswer, responses=EVENT_STREAM)
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


class _Answering(Answering):
    def _frame(self, turn: Turn, event: TurnEvent) -> bytes:
        if isinstance(event, TokenEvent):
            return sse("token", {"text": event.text})
        if isinstance(event, ToolCallsEvent | SummaryEvent):
            return b""  # nobody can offer a tool here; a summary comes no further than `Telling`
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

    def _answer(self, turn: Turn) -> object:
        transcript = turn.transcript
        answer = ChatAnswer(
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
        return answer.model_dump(mode="json")
