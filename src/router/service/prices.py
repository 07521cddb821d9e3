"""The price list as this router knows it, read again every other second, and its administration."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from router.domain.pricing import Price, PriceList
from router.ports import PriceStore
from servicekit.tokens import utc_now
from tenancy.audit import Actor

REFRESH_S = 2.0
"""A new version is in force on every router so long after the 201, and the time of one read, which is short."""
SETTINGS = "settings"
"""The author of the version that is made at a store's first start."""
_MAX_OLD = 1_000


class Prices:
    def __init__(self, store: PriceStore, first: Mapping[str, Price]) -> None:
        self._store = store
        self._first = first
        self._known: PriceList | None = None
        self._old: OrderedDict[int, PriceList] = OrderedDict()

    @property
    def current(self) -> PriceList:
        """The last list that was read, or, before any was, what the settings say: as version 0, which is in no
        ledger. Never waits."""
        return self._known or PriceList(0, self._first, utc_now(), SETTINGS)

    async def get(self) -> PriceList:
        """The list to bill by. Reads only while none was read yet; raises DependencyDownError where that fails."""
        if self._known is None:
            await self.refresh()
        return self.current

    async def refresh(self) -> None:
        """To be called every `REFRESH_S`. While the store is out of reach the last list goes on."""
        self._take(await self._store.latest() or await self._store.seed(self._first, SETTINGS))

    async def add(self, prices: Mapping[str, Price], *, by: Actor, expected: frozenset[int] | None = None) -> PriceList:
        added = await self._store.add(prices, by=by, expected=expected)
        self._take(added)
        return added

    async def versions(self, *, before: int | None, limit: int) -> Sequence[PriceList]:
        return await self._store.versions(before=before, limit=limit)

    async def price_of(self, model: str, version: int) -> Price | None:
        """What a version of the list says of a model; None for a version that does not exist."""
        found = self._old.get(version) or await self._store.version(version)
        if found is None:
            return None
        self._old[version] = found  # a version never changes
        if len(self._old) > _MAX_OLD:
            self._old.popitem(last=False)
        return found.of(model)

    def _take(self, found: PriceList) -> None:
        """Two reads may end in another order than they began."""
        if self._known is None or found.version > self._known.version:
            self._known = found
