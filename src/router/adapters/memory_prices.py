"""The price list in memory, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from contracts.errors import PreconditionFailedError
from router.domain.pricing import Price, PriceList
from tenancy.audit import Actor, Deed
from tenancy.memory_audit import MemoryAuditLog


class MemoryPriceStore:
    def __init__(self, audit: MemoryAuditLog | None = None) -> None:
        self._audit = audit or MemoryAuditLog()
        self._lists: list[PriceList] = []

    async def latest(self) -> PriceList | None:
        return self._lists[-1] if self._lists else None

    async def version(self, version: int) -> PriceList | None:
        return self._lists[version - 1] if 0 < version <= len(self._lists) else None

    async def versions(self, *, before: int | None, limit: int) -> Sequence[PriceList]:
        return [found for found in reversed(self._lists) if before is None or found.version < before][:limit]

    async def seed(self, prices: Mapping[str, Price], author: str) -> PriceList:
        return self._lists[-1] if self._lists else self._add(prices, author)

    async def add(self, prices: Mapping[str, Price], *, by: Actor, expected: frozenset[int] | None = None) -> PriceList:
        last = len(self._lists)
        if expected is not None and last not in expected:
            raise PreconditionFailedError(
                f"the price list is at version {last}: read it again", details={"current_version": last}
            )
        details = {"models": {model: [p.prompt, p.cached, p.completion] for model, p in prices.items()}}
        self._audit.write(None, Deed(by, "prices.write", f"prices/{last + 1}", details=details))
        return self._add(prices, by.name)

    def _add(self, prices: Mapping[str, Price], author: str) -> PriceList:
        self._lists.append(PriceList(len(self._lists) + 1, dict(prices), datetime.now(UTC), author))
        return self._lists[-1]
