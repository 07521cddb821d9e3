"""Housekeeping: a job that fails is tried again, and stops no other. When keys were used is written now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from contracts.context import Role
from contracts.errors import DependencyDownError
from observability import names
from observability.metrics import NullMetrics
from observability.names import Metric
from router.service import key_uses
from router.service.housekeeping import Housekeeping, Job
from router.service.key_uses import KeyUses
from support.turns_of_the_loop import until
from tenancy.keys import new_key
from tenancy.memory_keys import MemoryKeyStore


class Counted(NullMetrics):
    def __init__(self) -> None:
        self.counts: list[tuple[Metric, str, str]] = []

    def count(self, metric: Metric, amount: float = 1.0, /, **dimensions: str) -> None:
        self.counts.append((metric, dimensions["job"], dimensions["reason"]))


class Work:
    def __init__(self, error: Exception | None = None, *, never_ends: bool = False) -> None:
        self.turns = 0
        self._error = error
        self._never_ends = never_ends

    async def run(self) -> None:
        self.turns += 1
        if self._never_ends:
            await asyncio.Event().wait()
        if self._error:
            raise self._error


async def test_a_job_that_fails_stops_neither_itself_nor_the_others() -> None:
    jobs = {"down": Work(DependencyDownError("down")), "bug": Work(KeyError("x")), "well": Work()}
    jobs["hangs"] = Work(never_ends=True)
    metrics = Counted()
    keeping = Housekeeping(tuple(Job(name, 0, work.run) for name, work in jobs.items()), metrics)
    async with keeping.running():
        await until(lambda: all(work.turns >= 3 for name, work in jobs.items() if name != "hangs"))
    turns = {name: work.turns for name, work in jobs.items()}
    assert turns["hangs"] == 1
    failure = names.HOUSEKEEPING_FAILURE
    assert set(metrics.counts) == {
        (failure, "down", "dependency_unavailable"),
        (failure, "bug", "internal_error"),
    }
    await asyncio.sleep(0)
    assert {name: work.turns for name, work in jobs.items()} == turns


async def test_a_job_waits_for_its_time() -> None:
    work = Work()
    async with Housekeeping((Job("later", 3_600, work.run),), Counted()).running():
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert work.turns == 0


EARLY, LATE = datetime(2031, 1, 1, tzinfo=UTC), datetime(2031, 1, 2, tzinfo=UTC)


class Keys(MemoryKeyStore):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[dict[str, datetime]] = []
        self.down = False

    async def touch(self, used: Mapping[str, datetime]) -> None:
        if self.down:
            raise DependencyDownError("down")
        self.written.append(dict(used))
        await super().touch(used)


async def test_many_uses_are_written_once_with_the_last_of_each_key() -> None:
    keys = Keys()
    uses = KeyUses(keys)
    for at in (EARLY, EARLY, LATE):
        uses.note("k1", at)
    uses.note("k2", EARLY)
    assert keys.written == []
    await uses.write()
    await uses.write()
    assert keys.written == [{"k1": LATE, "k2": EARLY}]


async def test_what_could_not_be_written_is_written_next_time() -> None:
    keys, key = Keys(), new_key()
    keys.put(key, None, Role.PLATFORM_ADMIN)
    uses = KeyUses(keys)
    uses.note(key.key_id, EARLY)
    uses.note("gone", EARLY)
    keys.down = True
    for _ in range(2):
        with pytest.raises(DependencyDownError):
            await uses.write()
    uses.note(key.key_id, LATE)
    keys.down = False
    await uses.write()
    assert keys.written == [{key.key_id: LATE, "gone": EARLY}]
    assert [info.last_used_at for info in await keys.list(None)] == [LATE]


async def test_a_use_during_the_write_is_kept_for_the_next() -> None:
    keys = Keys()
    uses = KeyUses(keys)

    class Slow(Keys):
        async def touch(self, used: Mapping[str, datetime]) -> None:
            uses_of_slow.note("k1", LATE)
            await super().touch(used)

    slow = Slow()
    uses_of_slow = KeyUses(slow)
    uses_of_slow.note("k1", EARLY)
    slow.down = True
    with pytest.raises(DependencyDownError):
        await uses_of_slow.write()
    slow.down = False
    await uses_of_slow.write()
    assert slow.written == [{"k1": LATE}]
    await uses.write()
    assert keys.written == []


async def test_no_more_keys_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_uses, "MAX_KEYS", 2)
    keys = Keys()
    uses = KeyUses(keys)
    for key_id in ("k1", "k2", "k3"):
        uses.note(key_id, EARLY)
    uses.note("k1", LATE)
    await uses.write()
    assert keys.written == [{"k1": LATE, "k2": EARLY}]
