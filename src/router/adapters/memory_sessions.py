"""The ends of sessions in this process, for tests. Nothing expires."""

from __future__ import annotations

from datetime import datetime

from contracts.tenant import TenantId
from tenancy.conversations import Recalled, SessionKey

_Key = tuple[SessionKey, datetime]


class MemorySessions:
    """Implements `SessionCache`."""

    def __init__(self) -> None:
        self._found: dict[_Key, tuple[int, Recalled | None]] = {}
        self._erased: set[tuple[TenantId, str, str | None, datetime]] = set()

    async def get(self, key: SessionKey, born: datetime) -> Recalled | None:
        return None if self._is_erased(key, born) else self._found.get((key, born), (0, None))[1]

    async def put(self, key: SessionKey, born: datetime, recalled: Recalled) -> None:
        if not self._is_erased(key, born) and self._known(key, born) <= recalled.revision:
            self._found[key, born] = recalled.revision, recalled

    async def outdate(self, key: SessionKey, born: datetime, revision: int) -> None:
        if self._known(key, born) < revision:
            self._found[key, born] = revision, None

    async def erase(self, tenant_id: TenantId, user_id: str, session_id: str | None, born: datetime) -> None:
        self._erased.add((tenant_id, user_id, session_id, born))

    def _known(self, key: SessionKey, born: datetime) -> int:
        return self._found.get((key, born), (-1, None))[0]

    def _is_erased(self, key: SessionKey, born: datetime) -> bool:
        return any((key.tenant_id, key.user_id, one, born) in self._erased for one in (key.session_id, None))
