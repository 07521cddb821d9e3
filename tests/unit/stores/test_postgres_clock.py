"""PostgreSQL's clock as a process knows it: never later than it is, asked seldom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from stores.postgres_clock import FRESH_S, SAMPLES, PostgresClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Worlds:
    """A monotonic clock that showed 1000 at noon by PostgreSQL's; each answer's way here and back takes some time."""

    def __init__(self, *ways: tuple[float, float]) -> None:
        self.now = 1000.0
        self.asked = 0
        self._ways = ways

    async def ask(self) -> datetime:
        there, back = self._ways[self.asked % len(self._ways)]
        self.asked += 1
        self.now += there
        shown = NOON + timedelta(seconds=self.now - 1000.0)
        self.now += back
        return shown


def clock_of(worlds: Worlds) -> PostgresClock:
    return PostgresClock(worlds.ask, monotonic=lambda: worlds.now)


async def test_a_moment_is_never_told_too_late_and_too_early_by_the_quickest_way_back() -> None:
    told = await clock_of(Worlds((3.0, 0.5), (0.0, 0.25), (0.0, 2.0))).at(999.0)
    assert told == NOON - timedelta(seconds=1.25)


async def test_it_is_asked_again_only_when_the_clocks_may_have_drifted_apart() -> None:
    worlds = Worlds((0.0, 0.0))
    clock = clock_of(worlds)
    assert [await clock.at(moment) for moment in (1000.0, 1001.0)] == [NOON, NOON + timedelta(seconds=1)]
    assert worlds.asked == SAMPLES
    worlds.now += FRESH_S
    await clock.at(1000.0)
    assert worlds.asked == 2 * SAMPLES
