"""What a router remembers of tenants and keys between requests, and how long it may believe it.

While the change feed is heard (`tenancy.feed`), what was read stays believed until the feed says that its tenant has
changed: nothing is read per request. While the feed is not heard, and for what is not there (an unknown tenant, an
unknown key), a value is believed for half a second counted from the moment its read *began*. Either way a write that
was acknowledged governs every request admitted one second later, on every replica.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from tenancy.keys import KeyHolder, hash_key
from tenancy.ports import KeyStore, Revision, TenantRecord, TenantStore

MAX_AGE_S = 0.5
BOUND_S = 1.0
"""What is promised: nothing older governs a request."""
TRIES = 2
MAX_ENTRIES = 20_000
MAX_MISSES = 1_000
"""Remembered absences: few, so that asking for what does not exist cannot push out what does."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T")

Subject = TenantId | None
"""Whose change makes a value stale; None is the platform."""


class Hearing(Protocol):
    """What the caches ask of the change feed."""

    def heard_since(self) -> float | None:
        """The moment since which every change is known; None while changes may be missed."""
        ...

    def changed_at(self, subject: Subject) -> float:
        """When the feed last told of a change of `subject`; minus infinity if it never did."""
        ...


class Deaf:
    """No feed: values are believed for half a second."""

    def heard_since(self) -> float | None:
        return None

    def changed_at(self, subject: Subject) -> float:
        return float("-inf")


@dataclass(slots=True)
class _Entry(Generic[V]):
    value: V
    read_at: float


@dataclass(frozen=True, slots=True)
class _Reading(Generic[V]):
    task: asyncio.Task[V | None]
    began: float


class FreshCache(Generic[K, V]):
    """A bounded cache with one read at a time per key. `read(key, remembered)` gets the last value, if any, so that
    it can answer "unchanged" cheaply; None means that there is no such thing.

    `get` raises what `read` raises, and DependencyDownError where reading takes longer than the promise allows."""

    def __init__(
        self,
        read: Callable[[K, V | None], Awaitable[V | None]],
        subject_of: Callable[[V], Subject],
        *,
        feed: Hearing | None = None,
        max_age_s: float = MAX_AGE_S,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._subject_of = subject_of
        self._feed = feed or Deaf()
        self._max_age_s = max_age_s
        self._max_entries = max_entries
        self._clock = clock
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._misses: OrderedDict[K, float] = OrderedDict()
        self._reading: dict[K, _Reading[V]] = {}

    async def get(self, key: K) -> V | None:
        entry = self._entries.get(key)
        if entry is not None and self._believed(entry):
            self._entries.move_to_end(key)
            return entry.value
        missed_at = self._misses.get(key)
        if missed_at is not None and self._clock() - missed_at <= self._max_age_s:
            return None
        for _ in range(TRIES):
            reading = self._reading_of(key, entry)
            # Shielded: one caller that goes away must not fail the others that wait for the same read.
            value = await asyncio.shield(reading.task)
            if value is None or self._is_recent(value, reading.began):
                return value
        raise DependencyDownError(
            "the database answers too slowly", details={"dependency": "postgres"}, retry_after_s=2
        )

    def forget(self, key: K) -> None:
        """A write by this process: the next request reads. A read already under way is not waited for."""
        self._entries.pop(key, None)
        self._misses.pop(key, None)
        self._reading.pop(key, None)

    def _reading_of(self, key: K, entry: _Entry[V] | None) -> _Reading[V]:
        reading = self._reading.get(key)
        if reading is None or self._clock() - reading.began > self._max_age_s:
            # None, or one so slow that what it brings may be older than promised.
            task = asyncio.create_task(self._refresh(key, entry))
            reading = self._reading[key] = _Reading(task, self._clock())
            task.add_done_callback(partial(self._finished, key))
        return reading

    def _is_recent(self, value: V, began: float) -> bool:
        """Whether what a read brought may be used: it took no longer than the bound, or nothing changed meanwhile."""
        return self._clock() - began <= BOUND_S or self._believed(_Entry(value, began))

    def _believed(self, entry: _Entry[V]) -> bool:
        if entry.read_at <= self._feed.changed_at(self._subject_of(entry.value)):
            return False
        since = self._feed.heard_since()
        return (since is not None and entry.read_at > since) or self._clock() - entry.read_at <= self._max_age_s

    def _finished(self, key: K, task: asyncio.Task[V | None]) -> None:
        if (reading := self._reading.get(key)) and reading.task is task:
            del self._reading[key]
        if not task.cancelled():
            task.exception()  # looked at, so that a failure nobody waits for any more is not reported as lost

    async def _refresh(self, key: K, remembered: _Entry[V] | None) -> V | None:
        began = self._clock()
        value = await self._read(key, remembered.value if remembered else None)
        if (reading := self._reading.get(key)) and reading.task is asyncio.current_task():
            self._remember(key, value, began)
        return value

    def _remember(self, key: K, value: V | None, began: float) -> None:
        if value is None:
            self._entries.pop(key, None)
            _keep(self._misses, key, began, MAX_MISSES)
        else:
            self._misses.pop(key, None)
            _keep(self._entries, key, _Entry(value, began), self._max_entries)


def _keep(kept: OrderedDict[K, T], key: K, value: T, at_most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > at_most:
        kept.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Known(Generic[T]):
    tenant_id: TenantId
    revision: Revision
    policy: T


class LiveTenants(Generic[T]):
    """What governs each tenant now, made into a policy `T` once per revision."""

    def __init__(
        self,
        store: TenantStore,
        compile_policy: Callable[[TenantRecord], T],
        *,
        feed: Hearing | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._compile = compile_policy
        self._cache: FreshCache[TenantId, _Known[T]] = FreshCache(
            self._read, lambda known: known.tenant_id, feed=feed, clock=clock
        )

    async def get(self, tenant_id: TenantId) -> T | None:
        """None for an unknown tenant."""
        known = await self._cache.get(tenant_id)
        return known.policy if known else None

    def forget(self, tenant_id: TenantId) -> None:
        self._cache.forget(tenant_id)

    async def _read(self, tenant_id: TenantId, remembered: _Known[T] | None) -> _Known[T] | None:
        found = await self._store.read_unless(tenant_id, remembered.revision if remembered else None)
        if isinstance(found, TenantRecord):
            return _Known(tenant_id, found.revision, self._compile(found))
        return remembered if found is not None else None


class LiveKeys:
    """Who holds a key. Keyed by the whole hash: two keys with a long common beginning are two keys."""

    def __init__(
        self, store: KeyStore, *, feed: Hearing | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._cache: FreshCache[bytes, KeyHolder] = FreshCache(
            self._read, lambda holder: holder.tenant_id, feed=feed, clock=clock
        )

    async def holder(self, key_text: str) -> KeyHolder | None:
        return await self._cache.get(hash_key(key_text))

    async def _read(self, key_hash: bytes, _remembered: KeyHolder | None) -> KeyHolder | None:
        return await self._store.find(key_hash)
