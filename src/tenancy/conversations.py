"""Conversations of a tenant's users: what was asked, and what was told. A session belongs to one user of one tenant:
the same session id of another user, or of another tenant, is another session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from contracts.tenant import TenantId
from tenancy.audit import Actor, Deed

ERASURE_HOURS = 3
"""So long an erasure is kept: longer than a request, and the wait of its turn to be written, can last."""


class TurnState(StrEnum):
    ANSWERED = "answered"
    REFUSED = "refused"
    """`answer` is what the refusal says."""
    BROKEN = "broken"
    """It failed on the way; `answer` is what had been told. So it is of one that was left."""
    LEFT = "left"


class SessionKey(NamedTuple):
    tenant_id: TenantId
    user_id: str
    session_id: str


@dataclass(frozen=True, slots=True)
class Summary:
    """`up_to` is the number of the last turn that is in it, `since` when the first was asked."""

    text: str = ""
    up_to: int = 0
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class ToldTurn:
    """One that is to be written. `turn_id` is the request's own: written twice, it is there once. `asked` is a time of
    `time.monotonic`, since the clocks of the routers and of the store may differ."""

    key: SessionKey
    born: datetime | None
    turn_id: str
    request_id: str
    asked: float
    question: str
    answer: str
    state: TurnState
    route: str = ""
    citations: tuple[str, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    summary: Summary | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """`number` counts the session's turns from 1; older ones may be gone. `at` is when it was asked."""

    number: int
    request_id: str
    question: str
    answer: str
    state: TurnState
    route: str
    citations: tuple[str, ...]
    prompt_tokens: int
    completion_tokens: int
    at: datetime


@dataclass(frozen=True, slots=True)
class EarlierTurn:
    """What the next prompt is made of."""

    number: int
    question: str
    answer: str
    state: TurnState
    at: datetime

    @property
    def bytes(self) -> int:
        return len(self.question.encode()) + len(self.answer.encode())


@dataclass(frozen=True, slots=True)
class Recalled:
    """The end of a session, oldest turn first: its summary, and the last turns that are not in it.

    `revision` grows with every write, and is 0 where there is no such session.
    """

    revision: int = 0
    summary: Summary = field(default_factory=Summary)
    turns: tuple[EarlierTurn, ...] = ()


class Written(NamedTuple):
    """`before` is the revision that the turn was written over; -1 where it had been written already."""

    number: int
    revision: int
    before: int


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """`turns` are those that are kept."""

    user_id: str
    session_id: str
    turns: int
    created_at: datetime
    last_at: datetime
    summary: str = ""


class Place(NamedTuple):
    """Of a session in the list, newest first."""

    last_at: datetime
    user_id: str
    session_id: str


class Oldest(NamedTuple):
    """A tenant that has turns, and when the first of them was asked."""

    tenant_id: TenantId
    born: datetime
    at: datetime


class Conversations(Protocol):
    """Every method raises DependencyDownError when the store is out of reach. With `born`, NotFoundError unless the
    tenant that was made then still has the id."""

    async def recall(self, key: SessionKey, *, since: datetime, turns: int, max_bytes: int, born: datetime) -> Recalled:
        """Of what was asked `since` then: the last turns, as many as are asked for and have together `max_bytes`. A
        summary of anything older is left out, and its turns are then among the others."""
        ...

    async def write(self, turns: Sequence[ToldTurn]) -> Mapping[str, Written]:
        """All of them in one transaction, of whatever tenants, each session's in the order given; what was written by
        their turn ids. Left out are those of a tenant that is gone, and those asked before their session, or all of
        their user's, was erased. Of two summaries the one that goes further stays.

        Raises ValueError for a turn that cannot be kept as it is, and then keeps none.
        """
        ...

    async def sessions(
        self, tenant_id: TenantId, user_id: str | None, *, behind: Place | None, limit: int, born: datetime
    ) -> list[SessionInfo]:
        """Newest first; of all users where none is named. Without their summaries."""
        ...

    async def session(self, key: SessionKey, *, born: datetime) -> SessionInfo | None: ...

    async def users_of(self, tenant_id: TenantId, session_id: str, *, born: datetime) -> list[str]:
        """Who has a session of this id: two at most."""
        ...

    async def turns(self, key: SessionKey, *, after: int, limit: int, born: datetime) -> list[Turn]:
        """In order, those behind the number `after`."""
        ...

    async def erase(
        self, tenant_id: TenantId, user_id: str, session_id: str | None, *, by: Actor, born: datetime
    ) -> int:
        """One session, or all of a user's, with the audit event, in one transaction; returns how many there were. Turns
        that were asked before and are written later are left out. Of no session there is no event."""
        ...

    async def rows(
        self, tenant_id: TenantId, *, after: tuple[str, str, int], limit: int, born: datetime
    ) -> list[tuple[SessionInfo, Turn]]:
        """Every turn in order of user, session and number, with the session it is of."""
        ...

    async def oldest(self, after: str, limit: int) -> list[Oldest]:
        """Tenants that have turns, in order of id, those greater than `after`."""
        ...

    async def expire(self, tenant_id: TenantId, before: datetime, at_most: int, *, born: datetime) -> int:
        """Remove up to so many turns that were asked before then, oldest first; what a removed turn left in a summary,
        and sessions without turns, when none is left. Returns how many turns it were."""
        ...

    async def end_erasures(self) -> None:
        """Forget the erasures that no request can run into any more."""
        ...


def erased(by: Actor, user_id: str, session_id: str | None, sessions: int) -> Deed:
    """As the audit log names it."""
    resource = f"session/{session_id}" if session_id is not None else "sessions"
    return Deed(by, "session.delete", resource, details={"user_id": user_id, "sessions": sessions})


def storable(text: str) -> str:
    """As PostgreSQL can keep it: what a model wrote may have a NUL or half a character."""
    if "\x00" in text or not text.isascii():
        return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return text
