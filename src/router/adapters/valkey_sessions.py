"""The ends of sessions in Valkey: a copy of what the store has, which expires."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from contracts.tenant import TenantId
from router.adapters.valkey_admissions import Scripts
from router.ports import SESSION_CACHED, SESSION_ERASED, USER_ERASED
from tenancy.conversations import Recalled, SessionKey

_SCRIPT = Path(__file__).with_name("session_memory.lua")
_MILLISECOND = timedelta(milliseconds=1)
_RECALLED: TypeAdapter[Recalled] = TypeAdapter(Recalled)


class ValkeySessions:
    """Implements `SessionCache`. Names in keys are hashes: a user's may have any length, and is nobody's to read."""

    def __init__(self, valkey: Scripts) -> None:
        self._script = valkey.script(_SCRIPT)

    async def get(self, key: SessionKey, born: datetime) -> Recalled | None:
        found = await self._run(key, born, "get", SESSION_CACHED)
        if found is None:
            return None
        try:
            return _RECALLED.validate_json(found)
        except ValidationError:  # of another version of this code: what expires is not migrated
            return None

    async def put(self, key: SessionKey, born: datetime, recalled: Recalled) -> None:
        text = _RECALLED.dump_json(recalled).decode()
        await self._run(key, born, "put", SESSION_CACHED, recalled.revision, text)

    async def outdate(self, key: SessionKey, born: datetime, revision: int) -> None:
        await self._run(key, born, "outdate", SESSION_CACHED, revision)

    async def erase(self, tenant_id: TenantId, user_id: str, session_id: str | None, born: datetime) -> None:
        key = SessionKey(tenant_id, user_id, session_id or "")
        if session_id is None:
            await self._run(key, born, "erase_user", USER_ERASED)
        else:
            await self._run(key, born, "erase", SESSION_ERASED)

    async def _run(self, key: SessionKey, born: datetime, what: str, lives: timedelta, *more: int | str) -> Any:
        user = _hash(born.isoformat(), key.user_id)
        keys = [("session", user, _hash(key.session_id)), ("session", user)]
        return await self._script(key.tenant_id, keys, [what, lives // _MILLISECOND, *more])


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
