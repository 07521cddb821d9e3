"""Sessions: what a tenant's users asked and were told, as far as it is kept."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel
from starlette.responses import Response

from contracts.chat import Identifier
from contracts.errors import InvalidRequestError
from router.api.dependencies import CallerDep, ServicesDep
from servicekit.problems import OPENAPI_ERRORS
from tenancy.conversations import Place, SessionInfo, TurnState

api = APIRouter(tags=["sessions"], responses=OPENAPI_ERRORS)

SessionId = Annotated[str, Path(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
UserId = Annotated[Identifier | None, Query(description="whose; without it, for an administrator, all users'")]
Limit = Annotated[int, Query(ge=1, le=200)]
After = Annotated[int, Query(ge=0, le=2**31 - 1, description="those behind this number")]
Cursor = Annotated[str | None, Query(max_length=1_024, description="`next` of the page before")]


class SessionItem(BaseModel):
    """`turns` are those that are kept."""

    session_id: str
    user_id: str
    turns: int
    created_at: datetime
    last_at: datetime


class SessionPage(BaseModel):
    """`next` is the next page's `cursor`; null on the last page."""

    items: list[SessionItem]
    next: str | None


class TurnItem(BaseModel):
    """`question` as it was sent on, `answer` as it was told. `state`: `answered`, `refused` (the answer is what the
    refusal said), `broken` (it failed on the way) or `left` (by the client): then the answer is what was told of it."""

    number: int
    request_id: str
    at: datetime
    question: str
    answer: str
    state: TurnState
    route: str
    citations: list[str]
    prompt_tokens: int
    completion_tokens: int


class SessionDetail(SessionItem):
    """Oldest turn first; older ones than the first `number` are gone. `next` goes into `after`."""

    summary: str
    items: list[TurnItem]
    next: int | None


@api.get("/tenant/{tenant_id}/sessions")
async def list_sessions(
    caller: CallerDep, found: ServicesDep, user_id: UserId = None, cursor: Cursor = None, limit: Limit = 50
) -> SessionPage:
    """Newest first. A user sees its own."""
    sessions = await found.sessions.page(caller, user_id, _place(cursor), limit)
    return SessionPage(
        items=[SessionItem(**_item(session)) for session in sessions],
        next=_cursor(sessions[-1]) if len(sessions) == limit else None,
    )


@api.get("/tenant/{tenant_id}/sessions/{session_id:path}")
async def get_session(
    caller: CallerDep,
    session_id: SessionId,
    found: ServicesDep,
    user_id: UserId = None,
    after: After = 0,
    limit: Limit = 50,
) -> SessionDetail:
    """One session with its turns, page by page."""
    session, turns = await found.sessions.get(caller, session_id, user_id, after, limit)
    return SessionDetail(
        **_item(session),
        summary=session.summary,
        items=[TurnItem.model_validate(turn, from_attributes=True) for turn in turns],
        next=turns[-1].number if len(turns) == limit else None,
    )


@api.delete("/tenant/{tenant_id}/sessions", status_code=204)
async def delete_sessions(caller: CallerDep, found: ServicesDep, user_id: UserId = None) -> Response:
    """All of a user's sessions; an administrator says whose. What is being answered meanwhile is not kept either."""
    await found.sessions.erase_all(caller, user_id)
    return Response(status_code=204)


@api.delete("/tenant/{tenant_id}/sessions/{session_id:path}", status_code=204)
async def delete_session(
    caller: CallerDep, session_id: SessionId, found: ServicesDep, user_id: UserId = None
) -> Response:
    """In force for the next request on every router. 503 while Valkey is out of reach: then nothing was deleted."""
    await found.sessions.erase(caller, session_id, user_id)
    return Response(status_code=204)


def _item(session: SessionInfo) -> dict[str, object]:
    return {name: getattr(session, name) for name in SessionItem.model_fields}


def _cursor(session: SessionInfo) -> str:
    place = [session.last_at.isoformat(), session.user_id, session.session_id]
    return urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def _place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    try:
        last_at, user_id, session_id = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        place = Place(datetime.fromisoformat(last_at).astimezone(UTC), str(user_id), str(session_id))
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidRequestError("cursor: take it from the page before") from error
    if "\x00" in place.user_id + place.session_id:
        raise InvalidRequestError("cursor: take it from the page before")
    return place
