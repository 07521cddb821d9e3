"""Conversations in memory, for tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count

from contracts.tenant import TenantId
from tenancy.audit import Actor
from tenancy.conversations import (
    ERASURE_HOURS,
    EarlierTurn,
    Oldest,
    Place,
    Recalled,
    SessionInfo,
    SessionKey,
    Summary,
    ToldTurn,
    Turn,
    TurnState,
    Written,
    erased,
    storable,
)
from tenancy.ports import AuditLog

_BORN = datetime(2026, 1, 1, tzinfo=UTC)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class _Kept:
    created_at: datetime
    last_at: datetime
    revision: int = 0
    numbers: int = 0
    summary: Summary = field(default_factory=Summary)
    turns: dict[str, Turn] = field(default_factory=dict)


class MemoryConversations:
    def __init__(self, audit: AuditLog, now: Callable[[], datetime] = _utc_now) -> None:
        self.tenants: Container[TenantId] | None = None
        """Those that there are; None: all."""
        self._audit = audit
        self._now = now
        self._revisions = count(1)
        self._kept: dict[SessionKey, _Kept] = {}
        self._erasures: dict[SessionKey, datetime] = {}

    async def recall(self, key: SessionKey, *, since: datetime, turns: int, max_bytes: int, born: datetime) -> Recalled:
        kept = self._kept.get(key)
        if kept is None:
            return Recalled()
        stands = kept.summary.since is not None and kept.summary.since >= since
        summary = kept.summary if stands else Summary()
        found: list[EarlierTurn] = []
        for turn in reversed(_in_order(kept)):
            earlier = EarlierTurn(turn.number, turn.question, turn.answer, turn.state, turn.at)
            max_bytes -= earlier.bytes
            if turn.number <= summary.up_to or turn.at < since or len(found) == turns or max_bytes < 0:
                break
            found.append(earlier)
        return Recalled(kept.revision, summary, tuple(reversed(found)))

    async def write(self, turns: Sequence[ToldTurn]) -> Mapping[str, Written]:
        if any(turn.state not in set(TurnState) for turn in turns):
            raise ValueError("this turn cannot be kept")
        found: dict[str, Written] = {}
        for turn in turns:
            if self.tenants is None or turn.key.tenant_id in self.tenants:
                written = self._write(turn)
                if written is not None:
                    found[turn.turn_id] = written
        return found

    def _write(self, told: ToldTurn) -> Written | None:
        asked = self._now() - timedelta(seconds=max(0.0, time.monotonic() - told.asked))
        never = datetime.min.replace(tzinfo=UTC)
        if max(self._erasures.get(key, never) for key in (told.key, told.key._replace(session_id=""))) >= asked:
            return None
        kept = self._kept.setdefault(told.key, _Kept(asked, asked))
        if told.turn_id in kept.turns:
            return Written(kept.turns[told.turn_id].number, kept.revision, -1)
        before, kept.revision, kept.numbers = kept.revision, next(self._revisions), kept.numbers + 1
        kept.last_at = max(kept.last_at, asked)
        if told.summary is not None and told.summary.up_to > kept.summary.up_to:
            kept.summary = replace(told.summary, text=storable(told.summary.text))
        kept.turns[told.turn_id] = Turn(
            kept.numbers,
            told.request_id,
            storable(told.question),
            storable(told.answer),
            told.state,
            told.route,
            told.citations,
            told.prompt_tokens,
            told.completion_tokens,
            asked,
        )
        return Written(kept.numbers, kept.revision, before)

    async def sessions(
        self, tenant_id: TenantId, user_id: str | None, *, behind: Place | None, limit: int, born: datetime
    ) -> list[SessionInfo]:
        found = sorted(
            (
                (Place(kept.last_at, key.user_id, key.session_id), _session(key, kept))
                for key, kept in self._kept.items()
                if key.tenant_id == tenant_id and user_id in {None, key.user_id}
            ),
            key=lambda pair: pair[0],
            reverse=True,
        )
        return [session for place, session in found if behind is None or place < behind][:limit]

    async def session(self, key: SessionKey, *, born: datetime) -> SessionInfo | None:
        kept = self._kept.get(key)
        return None if kept is None else _session(key, kept)

    async def users_of(self, tenant_id: TenantId, session_id: str, *, born: datetime) -> list[str]:
        whose = (key.user_id for key in self._kept if (key.tenant_id, key.session_id) == (tenant_id, session_id))
        return sorted(whose)[:2]

    async def turns(self, key: SessionKey, *, after: int, limit: int, born: datetime) -> list[Turn]:
        kept = self._kept.get(key)
        return [] if kept is None else [turn for turn in _in_order(kept) if turn.number > after][:limit]

    async def erase(
        self, tenant_id: TenantId, user_id: str, session_id: str | None, *, by: Actor, born: datetime
    ) -> int:
        self._erasures[SessionKey(tenant_id, user_id, session_id or "")] = self._now()
        found = [
            key
            for key in self._kept
            if (key.tenant_id, key.user_id) == (tenant_id, user_id) and session_id in {None, key.session_id}
        ]
        for key in found:
            del self._kept[key]
        if found:
            await self._audit.append(tenant_id, erased(by, user_id, session_id, len(found)))
        return len(found)

    async def rows(
        self, tenant_id: TenantId, *, after: tuple[str, str, int], limit: int, born: datetime
    ) -> list[tuple[SessionInfo, Turn]]:
        found = [
            ((key.user_id, key.session_id, turn.number), _session(key, kept), turn)
            for key, kept in self._kept.items()
            if key.tenant_id == tenant_id
            for turn in kept.turns.values()
        ]
        found.sort(key=lambda row: row[0])
        return [(session, turn) for place, session, turn in found if place > after][:limit]

    async def oldest(self, after: str, limit: int) -> list[Oldest]:
        found: dict[TenantId, datetime] = {}
        for key, kept in self._kept.items():
            for turn in kept.turns.values():
                found[key.tenant_id] = min(turn.at, found.get(key.tenant_id, turn.at))
        ids = sorted((tenant for tenant in found if str(tenant) > after), key=str)
        return [Oldest(tenant, _BORN, found[tenant]) for tenant in ids[:limit]]

    async def expire(self, tenant_id: TenantId, before: datetime, at_most: int, *, born: datetime) -> int:
        old = sorted(
            (turn.at, key, turn_id)
            for key, kept in self._kept.items()
            if key.tenant_id == tenant_id
            for turn_id, turn in kept.turns.items()
            if turn.at < before
        )[:at_most]
        for _, key, turn_id in old:
            del self._kept[key].turns[turn_id]
        if len(old) < at_most:
            for key, kept in list(self._kept.items()):
                if key.tenant_id == tenant_id and kept.summary.since is not None and kept.summary.since < before:
                    kept.summary, kept.revision = Summary(), next(self._revisions)
                if key.tenant_id == tenant_id and not kept.turns and kept.last_at < before:
                    del self._kept[key]
        return len(old)

    async def end_erasures(self) -> None:
        old = self._now() - timedelta(hours=ERASURE_HOURS)
        self._erasures = {key: at for key, at in self._erasures.items() if at >= old}


def _in_order(kept: _Kept) -> list[Turn]:
    return sorted(kept.turns.values(), key=lambda turn: turn.number)


def _session(key: SessionKey, kept: _Kept) -> SessionInfo:
    return SessionInfo(key.user_id, key.session_id, len(kept.turns), kept.created_at, kept.last_at, kept.summary.text)
