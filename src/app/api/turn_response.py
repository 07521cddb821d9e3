"""The response of a turn: it owns the running turn from before the first byte until after the last."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import orjson
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.pipe import Event
from app.ports import Delta
from app.service import RunningTurn
from contracts.chat import TURN_EVENT, ErrorEvent
from contracts.errors import UpstreamTimeoutError
from observability.record import RequestRecord, record_of
from servicekit.edge import until_disconnect
from servicekit.problems import ClientGoneError


class TurnResponse(StreamingResponse):
    """NDJSON. The head is sent with the first events, so that a failure before them is still an HTTP status.

    Nothing but this object starts the turn and nothing else ends it, whatever happens: end, failure, disconnect.
    """

    media_type = "application/x-ndjson"

    def __init__(self, turn: AbstractAsyncContextManager[RunningTurn]) -> None:
        super().__init__((), headers={"cache-control": "no-store"})
        self._turn = turn

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = record_of(scope)
        try:
            await until_disconnect(Request(scope, receive), self._write(record, send))
        except TimeoutError:
            # The reader does not read. Returning now makes the server close the connection.
            record.error_code = record.error_code or UpstreamTimeoutError.code
        except ClientGoneError:
            return  # the turn is stopped, and there is nobody to answer

    async def _write(self, record: RequestRecord, send: Send) -> None:
        started = time.perf_counter()
        async with self._turn as turn:
            try:
                batch = await turn.next_batch()
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                while batch:
                    await send({"type": "http.response.body", "body": encode(batch), "more_body": True})
                    _note_error(record, batch)
                    batch = await turn.next_batch()
                await send({"type": "http.response.body", "body": b""})
            finally:
                _fill(record, turn, started)


def encode(events: Sequence[Event]) -> bytes:
    """One line an event."""
    return b"".join(map(_line, events))


def _line(event: Event) -> bytes:
    if isinstance(event, Delta):  # written without a model in between: there are hundreds in a turn
        text, tokens, *_ = event
        line = {"event": "token", "text": text, "prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
    return TURN_EVENT.dump_json(event) + b"\n"


def _note_error(record: RequestRecord, events: Sequence[Event]) -> None:
    last = events[-1]
    if isinstance(last, ErrorEvent):
        record.error_code = last.code


def _fill(record: RequestRecord, turn: RunningTurn, started: float) -> None:
    """What the log and the metrics say of the turn, complete or not."""
    progress = turn.progress
    if turn.failure is not None:
        record.error_code = turn.failure.code
    record.route = progress.route
    if progress.choice is not None:
        record.route_score = progress.choice.score
        record.runner_up, record.runner_up_score = progress.choice.runner_up, progress.choice.runner_up_score
    record.prompt, record.degraded = progress.prompt, progress.degraded
    record.timings_ms = progress.steps.ms()
    record.chunk_ids = progress.chunk_ids
    record.citations = progress.citations
    record.refusal_reason = progress.refusal_reason
    usage = progress.usage()
    if usage.total_tokens:
        record.token_usage = usage.model_dump()
    if progress.first_token_at is not None:
        record.first_token_ms = round((progress.first_token_at - started) * 1000, 3)
