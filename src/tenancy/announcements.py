"""Changes told over Valkey's pub/sub."""

from __future__ import annotations

from collections.abc import AsyncIterator

from stores.valkey import Valkey
from tenancy.feed import subject_from, subject_text
from tenancy.live import Subject


class ValkeyAnnouncements:
    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    async def announce(self, subject: Subject) -> None:
        await self._valkey.tell_change(subject_text(subject))

    async def announced(self) -> AsyncIterator[Subject]:
        async for text in self._valkey.told_changes():
            try:
                subject = subject_from(text)
            except ValueError:
                continue  # somebody else's message: nothing here can be made wrong by it
            yield subject
