"""When each key was last used: kept in memory, written now and then for all keys at once, never within a request."""

from __future__ import annotations

from datetime import datetime

from contracts.errors import AtriumError
from tenancy.ports import KeyStore

MAX_KEYS = 20_000


class KeyUses:
    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._used: dict[str, datetime] = {}

    def note(self, key_id: str, at: datetime) -> None:
        if key_id in self._used or len(self._used) < MAX_KEYS:
            self._used[key_id] = at

    async def write(self) -> None:
        """Raises DependencyDownError; what could not be written is written next time."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await self._store.touch(used)
        except AtriumError:
            self._used = used | self._used
            raise
