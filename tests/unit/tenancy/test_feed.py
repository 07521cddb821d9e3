"""The change feed: it says since when it has missed nothing, and says nothing else than the truth."""

from __future__ import annotations

import asyncio

import pytest

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from observability.names import Metric
from support.announcements import HandAnnouncements
from support.clock import Clock
from support.turns_of_the_loop import until
from tenancy import feed as feed_module
from tenancy.feed import POLL_S, TRUST_S, ChangeFeed, subject_from, subject_text
from tenancy.live import Subject

T1, T2, T3 = TenantId("t1"), TenantId("t2"), TenantId("t3")
NEVER = float("-inf")


class Log:
    """The change counter, as the database has it."""

    def __init__(self, clock: Clock) -> None:
        self.changes: dict[Subject, int] = {}
        self.seq = 0
        self.error: Exception | None = None
        self.takes_s = 0.0
        self.asked: list[int] = []
        self.answered = asyncio.Event()
        self._clock = clock

    def write(self, subject: Subject) -> None:
        self.seq += 1
        self.changes[subject] = self.seq

    async def last(self) -> int:
        self._answer(-1)
        return self.seq

    async def after(self, seq: int) -> tuple[int, list[Subject]]:
        self._answer(seq)
        found = sorted((number, str(subject), subject) for subject, number in self.changes.items() if number > seq)
        return self.seq, [subject for _, _, subject in found]

    def _answer(self, seq: int) -> None:
        self.asked.append(seq)
        self._clock.now += self.takes_s
        self.answered.set()
        if self.error:
            raise self.error


class Counted(NullMetrics):
    def __init__(self) -> None:
        self.counts: list[str] = []
        self.counted = asyncio.Event()

    def count(self, metric: Metric, amount: float = 1.0, /, **dimensions: str) -> None:
        self.counts.append(dimensions["dependency"])
        self.counted.set()


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.log = Log(self.clock)
        self.announcements = HandAnnouncements()
        self.metrics = Counted()
        self.feed = ChangeFeed(self.log, self.announcements, self.metrics, clock=self.clock)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tasks do not pause between their turns: the events of the fakes say how far they are."""
    monkeypatch.setattr(feed_module, "POLL_S", 0)
    monkeypatch.setattr(feed_module, "RECONNECT_S", 0)


async def test_nothing_is_heard_before_the_first_answer(world: World) -> None:
    assert world.feed.heard_since() is None
    world.log.error = DependencyDownError("down")
    with pytest.raises(DependencyDownError):
        await world.feed.ask()
    assert world.feed.heard_since() is None


async def test_everything_is_heard_from_the_end_of_the_first_answer_on(world: World) -> None:
    world.log.write(T1)
    world.log.takes_s = 0.1
    await world.feed.ask()
    assert world.feed.heard_since() == world.clock.now
    assert world.feed.changed_at(T1) == NEVER


async def test_what_changes_is_told_once_and_in_full(world: World) -> None:
    await world.feed.ask()
    for subject in (T1, T2, None, T1):
        world.log.write(subject)
    world.clock.now += 0.25
    await world.feed.ask()
    noted = world.clock.now
    assert [world.feed.changed_at(subject) for subject in (T1, T2, None, T3)] == [noted, noted, noted, NEVER]
    world.clock.now += 0.25
    await world.feed.ask()
    assert world.feed.changed_at(T1) == noted
    assert world.log.asked == [-1, 0, 4]


async def test_trust_counts_from_the_beginning_of_the_last_answered_question(world: World) -> None:
    await world.feed.ask()
    since = world.feed.heard_since()
    world.log.takes_s = 0.5
    await world.feed.ask()
    world.clock.now += TRUST_S - 0.5
    assert world.feed.heard_since() == since
    world.clock.now += 0.001
    assert world.feed.heard_since() is None


async def test_after_an_outage_nothing_has_been_missed(world: World) -> None:
    await world.feed.ask()
    since = world.feed.heard_since()
    world.log.error = DependencyDownError("down")
    for _ in range(4):
        world.clock.now += 0.25
        world.log.write(T1)
        with pytest.raises(DependencyDownError):
            await world.feed.ask()
    assert world.feed.heard_since() is None
    world.log.error = None
    await world.feed.ask()
    assert world.feed.heard_since() == since
    assert world.feed.changed_at(T1) == world.clock.now
    assert world.log.asked == [-1, 0, 0, 0, 0, 0]


async def test_a_writer_that_died_before_it_announced_is_heard_by_the_counter(world: World) -> None:
    await world.feed.ask()
    world.log.write(T2)
    assert world.announcements.told == []
    world.clock.now += 0.25
    await world.feed.ask()
    assert world.feed.changed_at(T2) == world.clock.now


async def test_an_own_write_is_known_here_at_once_and_told_to_the_others(world: World) -> None:
    await world.feed.announce(T1)
    await world.feed.announce(None)
    assert world.feed.changed_at(T1) == world.feed.changed_at(None) == world.clock.now
    assert world.announcements.told == [T1, None]
    world.announcements.down = True
    await world.feed.announce(T2)
    assert world.feed.changed_at(T2) == world.clock.now


async def test_more_changes_than_it_keeps_make_everything_be_read_once_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "MAX_SUBJECTS", 3)
    await world.feed.ask()
    for number in range(3):
        await world.feed.announce(TenantId(f"n{number}"))
    since = world.feed.heard_since()
    assert since is not None
    world.clock.now += 0.1
    await world.feed.announce(T1)
    assert world.feed.heard_since() == world.clock.now  # so that what was read before is not believed any more
    assert world.feed.changed_at(TenantId("n0")) == NEVER
    assert world.feed.changed_at(T1) == world.clock.now
    world.clock.now += 0.1
    for number in range(10):
        world.log.write(TenantId(f"m{number}"))
    await world.feed.ask()
    assert world.feed.heard_since() == world.clock.now


async def test_an_overflow_before_the_first_answer_makes_nothing_believed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "MAX_SUBJECTS", 1)
    world.log.write(T3)
    await world.feed.announce(T1)
    await world.feed.announce(T2)
    assert world.feed.heard_since() is None
    world.clock.now += 0.1
    await world.feed.ask()
    assert world.feed.heard_since() == world.clock.now
    assert world.log.asked == [-1]


@pytest.mark.usefixtures("at_once")
async def test_it_asks_and_listens_while_it_runs(world: World) -> None:
    async with world.feed.running():
        await world.log.answered.wait()
        world.announcements.tell(T1)
        await until(lambda: world.feed.changed_at(T1) > NEVER)
        world.log.write(T2)
        await until(lambda: world.feed.changed_at(T2) > NEVER)
    asked = len(world.log.asked)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(world.log.asked) == asked


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("error", [DependencyDownError("down"), RuntimeError("a bug"), ValueError("no tenant")])
async def test_a_question_that_fails_is_asked_again(world: World, error: Exception) -> None:
    world.log.error = error
    async with world.feed.running():
        await world.metrics.counted.wait()
        assert world.metrics.counts[0] == "postgres"
        assert world.feed.heard_since() is None
        world.log.error = None
        await until(lambda: world.feed.heard_since() is not None)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("error", [DependencyDownError("down"), RuntimeError("a bug")])
async def test_announcements_that_break_are_listened_to_again(world: World, error: Exception) -> None:
    async with world.feed.running():
        world.announcements.break_connection(error)
        await world.metrics.counted.wait()
        world.announcements.tell(T3)
        await until(lambda: world.feed.changed_at(T3) > NEVER)
    assert world.announcements.connections == 2
    assert world.metrics.counts == ["valkey"]


def test_a_question_may_fail_twice_before_trust_ends() -> None:
    assert 2 * POLL_S < TRUST_S


@pytest.mark.parametrize("subject", [None, T1, TenantId("a-b")])
def test_a_subject_travels_as_text(subject: Subject) -> None:
    assert subject_from(subject_text(subject)) == subject


@pytest.mark.parametrize("text", ["T1", "a b", "\ufffd", "-"])
def test_what_is_no_subject_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="tenant id"):
        subject_from(text)


async def test_a_counter_that_goes_back_makes_everything_that_was_read_doubtful(world: World) -> None:
    """A restore, or a failover that lost commits: the numbers of what is lost are given a second time."""
    world.log.seq = 100
    await world.feed.ask()
    since = world.feed.heard_since()
    world.clock.now += POLL_S
    world.log.seq = 3
    await world.feed.ask()
    assert since is not None
    assert (world.feed.heard_since() or 0) > since
    world.log.write(T1)
    world.clock.now += POLL_S
    await world.feed.ask()
    assert world.feed.changed_at(T1) == world.clock.now
