"""`POST /v1/chat/completions`: the same turn as `/chat`, in OpenAI's wire format."""

from __future__ import annotations

import time
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts.chat import (
    DoneEvent,
    ErrorEvent,
    MetaEvent,
    RefusalEvent,
    TokenEvent,
    ToolCallsEvent,
    TurnEvent,
)
from contracts.errors import ErrorBody, SlowReaderError
from observability.record import RequestRecord, record_of
from router.api.answering import Answering
from router.api.bounded import BoundedRoute
from router.api.dependencies import IdempotencyKey, PrincipalDep, Services, ServicesDep, admit, own_tenant
from router.api.stream import EVENT_STREAM
from router.domain.access import Permission
from router.domain.openai_answers import (
    CONTENT_FILTER,
    OPENAI_ERRORS,
    call_deltas,
    finish_reason,
    message,
    usage_of,
)
from router.domain.openai_asked import asked_of
from router.domain.openai_errors import error_object
from router.domain.openai_request import CompletionRequest
from router.service.chat import Turn
from servicekit.edge import until_disconnect
from servicekit.problems import STATUS

DONE = b"data: [DONE]\n\n"

api = APIRouter(prefix="/v1", tags=["openai"], responses=OPENAI_ERRORS, route_class=BoundedRoute)


@api.post("/chat/completions", responses=EVENT_STREAM)
async def complete(
    body: CompletionRequest,
    request: Request,
    who: PrincipalDep,
    found: ServicesDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """As OpenAI's API: messages in, a `chat.completion` out, or with `"stream": true` its chunks."""
    caller = await admit(request, found, who, own_tenant(who, None), Permission.CHAT)
    config = caller.policy.config
    asked = asked_of(
        body,
        user_id=who.user_for(body.user),
        model=found.models.chosen(caller.policy, body.model),
        retrieve=config.completions_retrieve,
    )
    record = record_of(request.scope)
    record.user_id, record.session_id = asked.user_id, asked.session_id or ""
    answering = _Completing(found, record, idempotency_key, body)
    turning = answering.streamed(caller, asked) if body.stream else answering.whole(caller, asked)
    return await until_disconnect(request, turning)


class _Completing(Answering):
    def __init__(self, found: Services, record: RequestRecord, key: str | None, body: CompletionRequest) -> None:
        super().__init__(found, record, key)
        self._asked_model = body.model
        self._with_usage = bool(body.stream_options and body.stream_options.include_usage)
        self._created = int(time.time())
        self._head = self._tail = b""
        self._told_text = False

    def _answer(self, turn: Turn) -> object:
        transcript = turn.transcript
        refused = transcript.refusal.message if transcript.refusal else None
        reason = CONTENT_FILTER if refused else finish_reason(transcript.finish_reason, transcript.tool_calls)
        choice = {
            "index": 0,
            "message": message(transcript.answer, transcript.tool_calls, refused),
            "logprobs": None,
            "finish_reason": reason,
        }
        own = {**self._about(turn), **self._end(turn)}
        return {
            **self._named(turn, "chat.completion"),
            "choices": [choice],
            "usage": usage_of(turn.usage()),
            "atrium": own,
        }

    def _frame(self, turn: Turn, event: TurnEvent) -> bytes:
        match event:
            case TokenEvent():
                return self._text(turn, event.text) if event.text else b""
            case MetaEvent():
                return self._chunk(turn, {"role": "assistant", "content": ""}, own=self._about(turn))
            case ToolCallsEvent():
                return self._chunk(turn, {"tool_calls": call_deltas(event.calls)})
            case DoneEvent() | RefusalEvent() | ErrorEvent():
                return self._end_frame(turn, event)
        return b""  # citations and usage are told with the last chunk

    def _end_frame(self, turn: Turn, event: DoneEvent | RefusalEvent | ErrorEvent) -> bytes:
        if isinstance(event, ErrorEvent):
            return self._error(event)
        if isinstance(event, DoneEvent):
            return self._last(turn, {}, finish_reason(event.finish_reason, turn.transcript.tool_calls))
        said = event.refusal.message
        text = {} if self._told_text else {"content": said}
        return self._last(turn, {**text, "refusal": said}, CONTENT_FILTER)

    def _text(self, turn: Turn, text: str) -> bytes:
        """The hot path: of a chunk only the text changes from token to token."""
        if not self._told_text:
            self._told_text = True
            choice = {"index": 0, "delta": {"content": ""}, "logprobs": None, "finish_reason": None}
            whole = orjson.dumps({**self._base(turn), "choices": [choice]})
            self._head, self._tail = _around(whole)
        return self._head + orjson.dumps(text) + self._tail

    def _last(self, turn: Turn, delta: dict[str, Any], reason: str) -> bytes:
        frames = [self._chunk(turn, delta, reason, own=self._end(turn))]
        if self._with_usage:
            used = {**self._named(turn, "chat.completion.chunk"), "choices": [], "usage": usage_of(turn.usage())}
            frames.append(_data(used))
        return b"".join((*frames, DONE))

    def _error(self, event: ErrorEvent) -> bytes:
        """As OpenAI tells one within a stream, which ends there: without its `[DONE]` nobody takes it for whole."""
        body = ErrorBody(code=event.code, message=event.message, request_id=self._record.request_id)
        return _data({"error": error_object(STATUS.get(event.code, 500), body)})

    def _cut(self) -> bytes:
        return self._error(ErrorEvent(code=SlowReaderError.code, message="the answer was not read: it was cut off"))

    def _chunk(
        self, turn: Turn, delta: dict[str, Any], reason: str | None = None, *, own: dict[str, Any] | None = None
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        chunk = {**self._base(turn), "choices": [choice]}
        return _data(chunk if own is None else {**chunk, "atrium": own})

    def _base(self, turn: Turn) -> dict[str, Any]:
        named = self._named(turn, "chat.completion.chunk")
        return {**named, "usage": None} if self._with_usage else named

    def _named(self, turn: Turn, kind: str) -> dict[str, Any]:
        """`system_fingerprint`: the config version, under which the same question may have another answer."""
        return {
            "id": f"chatcmpl-{turn.request_id}",
            "object": kind,
            "created": self._created,
            "model": turn.transcript.meta.model or self._asked_model,
            "system_fingerprint": f"config-{turn.config_version}",
        }

    def _about(self, turn: Turn) -> dict[str, Any]:
        return {
            "request_id": turn.request_id,
            "tenant_id": str(turn.caller.tenant_id),
            "session_id": turn.session_id,
            "route": self._public_route(turn),
            "degraded": turn.transcript.meta.degraded,
            "config_version": turn.config_version,
        }

    def _end(self, turn: Turn) -> dict[str, Any]:
        transcript = turn.transcript
        refusal = transcript.refusal
        return {
            "citations": [citation.model_dump() for citation in transcript.citations],
            "sources": [source.model_dump() for source in transcript.sources],
            "refusal": refusal.model_dump(exclude={"message"}) if refusal else None,
            "cost_usd_estimate": turn.cost(),
            "latency_ms": self._elapsed_ms(),
            "queue_ms": turn.queue_ms,
            "timings_ms": transcript.timings_ms,
        }


def _data(chunk: object) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def _around(whole: bytes) -> tuple[bytes, bytes]:
    """What stands before and behind the empty text of a chunk's content."""
    before, mark, after = whole.rpartition(b'"content":""')
    return b"data: " + before + mark[:-2], after + b"\n\n"
