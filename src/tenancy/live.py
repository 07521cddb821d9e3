"""What a router remembers of tenants and keys between requests, and for how long.

A remembered value is used for half a second counted from the moment its read *began*, so a write that was
acknowledged governs every request admitted one second later, on every replica, with no message between them.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from contracts.tenant import TenantId
from tenancy.keys import KeyHolder, hash_key
from tenancy.ports import ConfigVersion, KeyStore, TenantStore

MAX_AGE_S = 0.5
MAX_ENTRIES = 20_000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T")


@dataclass(slots=True)
class _Entry(Generic[V]):
    value: V
    read_at: float


@dataclass(frozen=True, slots=True)
class _Reading(Generic[V]):
    task: asyncio.Task[V]
    began: float


class FreshCache(Generic[K, V]):
    """A bounded cache of values that are read again when older than `max_age_s`; one read at a time per key.

    `read(key, remembered)` gets the last value, if any, so that it can answer "unchanged" cheaply.
    """

    def __init__(
        self,
        read: Callable[[K, V | None], Awaitable[V]],
        *,
        max_age_s: float = MAX_AGE_S,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._max_age_s = max_age_s
        self._max_entries = max_entries
        self._clock = clock
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._reading: dict[K, _Reading[V]] = {}

    async def get(self, key: K) -> V:
        entry = self._entries.get(key)
        if entry is not None and self._clock() - entry.read_at <= self._max_age_s:
            self._entries.move_to_end(key)
            return entry.value
        reading = self._reading.get(key)
        if reading is None or self._clock() - reading.began > self._max_age_s:
            # None, or one so slow that what it brings may be older than promised.
            task = asyncio.create_task(self._refresh(key, entry))
            reading = self._reading[key] = _Reading(task, self._clock())
            task.add_done_callback(partial(self._finished, key))
        # Shielded: one caller that goes away must not fail the others that wait for the same read.
        return await asyncio.shield(reading.task)

    def forget(self, key: K) -> None:
        """A write by this process: the next request reads. A read already under way is not waited for."""
        self._entries.pop(key, None)
        self._reading.pop(key, None)

    def _finished(self, key: K, task: asyncio.Task[V]) -> None:
        if (reading := self._reading.get(key)) and reading.task is task:
            del self._reading[key]
        if not task.cancelled():
            task.exception()  # looked at, so that a failure nobody waits for any more is not reported as lost

    async def _refresh(self, key: K, remembered: _Entry[V] | None) -> V:
        began = self._clock()
        value = await self._read(key, remembered.value if remembered else None)
        if (reading := self._reading.get(key)) and reading.task is asyncio.current_task():
            self._entries[key] = _Entry(value, began)
            self._entries.move_to_end(key)
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)
        return value


@dataclass(frozen=True, slots=True)
class _Known(Generic[T]):
    version: int
    policy: T


class LiveConfigs(Generic[T]):
    """The current config of each tenant, made into a policy `T` once per version."""

    def __init__(
        self,
        store: TenantStore,
        compile_policy: Callable[[TenantId, ConfigVersion], T],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._compile = compile_policy
        self._cache: FreshCache[TenantId, _Known[T] | None] = FreshCache(self._read, clock=clock)

    async def get(self, tenant_id: TenantId) -> T | None:
        """None for an unknown tenant."""
        known = await self._cache.get(tenant_id)
        return known.policy if known else None

    def forget(self, tenant_id: TenantId) -> None:
        self._cache.forget(tenant_id)

    async def _read(self, tenant_id: TenantId, remembered: _Known[T] | None) -> _Known[T] | None:
        found = await self._store.read_config_unless(tenant_id, remembered.version if remembered else 0)
        if isinstance(found, ConfigVersion):
            return _Known(found.version, self._compile(tenant_id, found))
        return remembered if found is not None else None


class LiveKeys:
    """Who holds a key. Keyed by the whole hash: two keys with a long common beginning are two keys."""

    def __init__(self, store: KeyStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._cache: FreshCache[bytes, KeyHolder | None] = FreshCache(self._read, clock=clock)

    async def holder(self, key_text: str) -> KeyHolder | None:
        return await self._cache.get(hash_key(key_text))

    async def _read(self, key_hash: bytes, _remembered: KeyHolder | None) -> KeyHolder | None:
        return await self._store.find(key_hash)
