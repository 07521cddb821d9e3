"""Conversations in PostgreSQL (migrations 0007 and 0010)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
import psycopg
from sqlalchemy import Row, text

from contracts.tenant import TenantId
from stores.patience import bounded
from stores.postgres import CALL_S, Database
from stores.postgres_clock import PostgresClock
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
from tenancy.postgres_audit import append_event

_KEY = "tenant_id = :tenant AND user_id = :user AND session_id = :session"
_RECALL = text(
    "SELECT c.revision, c.summary, c.summarised, c.summary_from, e.* FROM conversations c LEFT JOIN LATERAL ("
    "SELECT n.number, n.question, n.answer, n.state, n.at,"
    " sum(octet_length(n.question) + octet_length(n.answer)) OVER (ORDER BY n.number DESC) AS bytes FROM ("
    "SELECT * FROM conversation_turns t WHERE t.tenant_id = c.tenant_id AND t.user_id = c.user_id"
    " AND t.session_id = c.session_id AND t.at >= :since"
    " AND t.number > CASE WHEN c.summary_from >= :since THEN c.summarised ELSE 0 END"
    " ORDER BY t.number DESC LIMIT :turns) n) e ON e.bytes <= :bytes"
    " WHERE c.tenant_id = :tenant AND c.user_id = :user AND c.session_id = :session ORDER BY e.number"
)
_WRITE = "SELECT record_turns(%s::jsonb)"
_END_ERASURES = "SELECT end_erasures(%s)"
_SESSION = (
    "user_id, session_id, created_at, last_at, summary, (SELECT count(*) FROM conversation_turns n"
    " WHERE n.tenant_id = c.tenant_id AND n.user_id = c.user_id AND n.session_id = c.session_id) AS turns"
)
_SESSIONS = text(
    f"SELECT {_SESSION} FROM conversations c WHERE tenant_id = :tenant"
    " AND (CAST(:user AS text) IS NULL OR user_id = :user)"
    " AND (CAST(:last AS timestamptz) IS NULL OR (last_at, user_id, session_id) < (:last, :behind_user, :behind))"
    " ORDER BY last_at DESC, user_id DESC, session_id DESC LIMIT :limit"
)
_ONE = text(f"SELECT {_SESSION} FROM conversations c WHERE {_KEY}")
_USERS = text(
    "SELECT user_id FROM conversations WHERE tenant_id = :tenant AND session_id = :session ORDER BY user_id LIMIT 2"
)
_TURN = "number, request_id, question, answer, state, route, citations, prompt_tokens, completion_tokens, at"
_TURNS = text(f"SELECT {_TURN} FROM conversation_turns WHERE {_KEY} AND number > :after ORDER BY number LIMIT :limit")
_ROWS = text(
    "SELECT c.user_id, c.session_id, c.created_at, c.last_at, c.summary, c.turns, n.number, n.request_id, n.question,"
    " n.answer, n.state, n.route, n.citations, n.prompt_tokens, n.completion_tokens, n.at"
    " FROM conversation_turns n JOIN conversations c USING (tenant_id, user_id, session_id)"
    " WHERE n.tenant_id = :tenant AND (n.user_id, n.session_id, n.number) > (:user, :session, :number)"
    " ORDER BY n.user_id, n.session_id, n.number LIMIT :limit"
)
_HOLD_TENANT = text("SELECT FROM tenants WHERE tenant_id = :tenant AND state <> 'deleting' FOR KEY SHARE")
HOLD_USER = text(
    "SELECT pg_advisory_xact_lock(hashtextextended('atrium conversations ' || :tenant || ' ' || :user, 0))"
)
NOTE_ERASURE = text(
    "INSERT INTO conversation_erasures (tenant_id, user_id, session_id, erased_at)"
    " VALUES (:tenant, :user, :session, clock_timestamp())"
    " ON CONFLICT (tenant_id, user_id, session_id) DO UPDATE SET erased_at = excluded.erased_at"
)
_ERASE = text(
    "DELETE FROM conversations WHERE tenant_id = :tenant AND user_id = :user"
    " AND (:session = '' OR session_id = :session)"
)
_OLDEST = text("SELECT tenant_id, born, oldest FROM oldest_turns(:behind, :at_most)")
_EXPIRE = text(
    "DELETE FROM conversation_turns WHERE tenant_id = :tenant AND ctid = ANY (ARRAY(SELECT ctid FROM conversation_turns"
    " WHERE tenant_id = :tenant AND at < :before ORDER BY at LIMIT :at_most))"
)
_EXPIRE_SUMMARIES = text(
    "UPDATE conversations SET summary = '', summarised = 0, summary_from = NULL, revision ="
    " nextval('conversation_revisions') WHERE tenant_id = :tenant AND summary_from < :before"
)
_EXPIRE_SESSIONS = text(
    "DELETE FROM conversations c WHERE tenant_id = :tenant AND last_at < :before AND NOT EXISTS (SELECT FROM"
    " conversation_turns n WHERE n.tenant_id = c.tenant_id AND n.user_id = c.user_id AND n.session_id = c.session_id)"
)


class PostgresConversations:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._clock = PostgresClock(database.clock)

    @bounded(CALL_S, "postgres")
    async def recall(self, key: SessionKey, *, since: datetime, turns: int, max_bytes: int, born: datetime) -> Recalled:
        values = {**_named(key), "since": since, "turns": turns, "bytes": max_bytes}
        async with self._database.tenant(key.tenant_id, born=born) as connection:
            rows = (await connection.execute(_RECALL, values)).all()
        if not rows:
            return Recalled()
        first = rows[0]
        stands = first.summary_from is not None and first.summary_from >= since
        summary = Summary(first.summary, first.summarised, first.summary_from) if stands else Summary()
        found = (EarlierTurn(row.number, row.question, row.answer, TurnState(row.state), row.at)
                 for row in rows if row.number is not None)  # fmt: skip
        return Recalled(first.revision, summary, tuple(found))

    @bounded(CALL_S, "postgres")
    async def write(self, turns: Sequence[ToldTurn]) -> Mapping[str, Written]:
        try:
            entries = [_written(place, turn, await self._clock.at(turn.asked)) for place, turn in enumerate(turns)]
            told = orjson.dumps(entries).decode()
            found = await self._database.across_tenants(_WRITE, told)
        except (psycopg.DataError, psycopg.IntegrityError, orjson.JSONEncodeError) as error:
            raise ValueError("this turn cannot be kept") from error
        return {turn_id: Written(*values) for turn_id, values in found.items()}

    @bounded(CALL_S, "postgres")
    async def sessions(
        self, tenant_id: TenantId, user_id: str | None, *, behind: Place | None, limit: int, born: datetime
    ) -> list[SessionInfo]:
        last, user, session = behind or (None, "", "")
        values = {"tenant": str(tenant_id), "user": user_id, "last": last, "behind_user": user, "behind": session}
        async with self._database.tenant(tenant_id, born=born) as connection:
            rows = await connection.execute(_SESSIONS, {**values, "limit": limit})
            return [_session(row) for row in rows]

    @bounded(CALL_S, "postgres")
    async def session(self, key: SessionKey, *, born: datetime) -> SessionInfo | None:
        async with self._database.tenant(key.tenant_id, born=born) as connection:
            row = (await connection.execute(_ONE, _named(key))).one_or_none()
        return None if row is None else _session(row)

    @bounded(CALL_S, "postgres")
    async def users_of(self, tenant_id: TenantId, session_id: str, *, born: datetime) -> list[str]:
        async with self._database.tenant(tenant_id, born=born) as connection:
            rows = await connection.execute(_USERS, {"tenant": str(tenant_id), "session": session_id})
            return [row.user_id for row in rows]

    @bounded(CALL_S, "postgres")
    async def turns(self, key: SessionKey, *, after: int, limit: int, born: datetime) -> list[Turn]:
        values = {**_named(key), "after": after, "limit": limit}
        async with self._database.tenant(key.tenant_id, born=born) as connection:
            return [_turn(row) for row in await connection.execute(_TURNS, values)]

    @bounded(CALL_S, "postgres")
    async def erase(
        self, tenant_id: TenantId, user_id: str, session_id: str | None, *, by: Actor, born: datetime
    ) -> int:
        named = {"tenant": str(tenant_id), "user": user_id, "session": session_id or ""}
        async with self._database.tenant(tenant_id, born=born) as connection:
            await connection.execute(_HOLD_TENANT, {"tenant": str(tenant_id)})
            await connection.execute(HOLD_USER, {"tenant": str(tenant_id), "user": user_id})
            await connection.execute(NOTE_ERASURE, named)
            sessions = (await connection.execute(_ERASE, named)).rowcount
            if sessions:
                await append_event(connection, tenant_id, erased(by, user_id, session_id, sessions))
        return sessions

    @bounded(CALL_S, "postgres")
    async def rows(
        self, tenant_id: TenantId, *, after: tuple[str, str, int], limit: int, born: datetime
    ) -> list[tuple[SessionInfo, Turn]]:
        user, session, number = after
        values = {"tenant": str(tenant_id), "user": user, "session": session, "number": number, "limit": limit}
        async with self._database.tenant(tenant_id, born=born) as connection:
            return [(_session(row), _turn(row)) for row in await connection.execute(_ROWS, values)]

    @bounded(CALL_S, "postgres")
    async def oldest(self, after: str, limit: int) -> list[Oldest]:
        async with self._database.no_tenant() as connection:
            rows = await connection.execute(_OLDEST, {"behind": after, "at_most": limit})
            return [Oldest(TenantId(row.tenant_id), row.born, row.oldest) for row in rows]

    @bounded(CALL_S, "postgres")
    async def expire(self, tenant_id: TenantId, before: datetime, at_most: int, *, born: datetime) -> int:
        named = {"tenant": str(tenant_id), "before": before}
        async with self._database.tenant(tenant_id, born=born) as connection:
            removed = (await connection.execute(_EXPIRE, {**named, "at_most": at_most})).rowcount
        if removed < at_most:
            # Transactions of their own: whoever erases a session locks it before its turns.
            for statement in (_EXPIRE_SUMMARIES, _EXPIRE_SESSIONS):
                async with self._database.tenant(tenant_id, born=born) as connection:
                    await connection.execute(statement, named)
        return removed

    @bounded(CALL_S, "postgres")
    async def end_erasures(self) -> None:
        await self._database.across_tenants(_END_ERASURES, timedelta(hours=ERASURE_HOURS))


def _named(key: SessionKey) -> dict[str, Any]:
    return {"tenant": str(key.tenant_id), "user": key.user_id, "session": key.session_id}


def _written(place: int, turn: ToldTurn, asked_at: datetime) -> dict[str, Any]:
    summary = turn.summary or Summary()
    return {
        "tenant_id": turn.key.tenant_id.value,
        "tenant_born": turn.born,
        "user_id": turn.key.user_id,
        "session_id": turn.key.session_id,
        "turn_id": turn.turn_id,
        "request_id": turn.request_id,
        "question": storable(turn.question),
        "answer": storable(turn.answer),
        "state": turn.state,
        "route": turn.route,
        "citations": turn.citations,
        "prompt_tokens": turn.prompt_tokens,
        "completion_tokens": turn.completion_tokens,
        "asked_at": asked_at,
        "place": place,
        "summary": storable(summary.text),
        "summarised": summary.up_to,
        "summary_from": summary.since,
    }


def _session(row: Row[Any]) -> SessionInfo:
    return SessionInfo(row.user_id, row.session_id, row.turns, row.created_at, row.last_at, row.summary)


def _turn(row: Row[Any]) -> Turn:
    return Turn(
        row.number,
        row.request_id,
        row.question,
        row.answer,
        TurnState(row.state),
        row.route,
        tuple(row.citations),
        row.prompt_tokens,
        row.completion_tokens,
        row.at,
    )
