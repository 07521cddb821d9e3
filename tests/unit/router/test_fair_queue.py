"""The fair queue: what holds after whatever happens, and who gets how much in the long run."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from contracts.tenant import TenantId
from router.domain.fair_queue import KEPT_FOR_S, NO_CAPACITY_RETRY_S, Bounds, FairQueue, Refused, Ticket, headroom_of
from support.engine_model import EngineModel, Load, jain

A, B, C = (TenantId(name) for name in "abc")
TENANTS = [TenantId(f"t{number}") for number in range(6)]
WEIGHTS = dict(zip(TENANTS, (1, 1, 1, 2, 0.1, 100), strict=True))
"""At first: a config change may change a tenant's from one request to the next."""
ROUNDING = 1e-6
BOUNDS = Bounds(per_tenant=6, total=20)


def asked(queue: FairQueue, tenant: TenantId = A, weight: float = 1.0, tokens: int = 0) -> Ticket:
    ticket = queue.ask(tenant, weight, expected_tokens=tokens)
    assert isinstance(ticket, Ticket)
    return ticket


def started(queue: FairQueue, now: float = 0.0) -> list[Ticket]:
    found = []
    while (ticket := queue.start(now)) is not None:
        found.append(ticket)
    return found


def served_before(queue: FairQueue, tenant: TenantId, now: float = 0.0) -> None:
    ticket = asked(queue, tenant)
    assert started(queue, now) == [ticket]
    queue.leave(ticket, now)


class FairQueueMachine(RuleBasedStateMachine):
    """A model that knows only lists, beside the queue; everything that can be said of any moment is said here."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.waiting: dict[TenantId, list[Ticket]] = {}
        self.running: list[Ticket] = []
        self.weights: dict[TenantId, float] = dict(WEIGHTS)
        """As said by the last request of each that was taken: this is its share of the places."""
        self.weight_of: dict[Ticket, float] = {}
        """As said with the request: by this its tokens are charged."""

    @initialize(capacity=st.integers(1, 20), headroom=st.none() | st.integers(0, 5))
    def begin(self, capacity: int, headroom: int | None) -> None:
        self.queue = FairQueue(capacity, headroom=headroom, bounds=BOUNDS)

    @rule(
        target=tickets,
        tenant=st.sampled_from(TENANTS),
        tokens=st.integers(0, 3_000),
        factor=st.sampled_from([1, 1, 1, 0.5, 3]),
        time_left_s=st.sampled_from([math.inf, math.inf, 20.0, 0.0]),
    )
    def ask(self, tenant: TenantId, tokens: int, factor: float, time_left_s: float) -> object:
        before, own = self.queue.counters(), self.waiting.get(tenant, [])
        least = min((before[other] for other, theirs in self.waiting.items() if theirs), default=0.0)
        weight = max(0.1, WEIGHTS[tenant] * factor)
        active = self.queue.active_weight
        ticket = self.queue.ask(tenant, weight, expected_tokens=tokens, time_left_s=time_left_s)
        if isinstance(ticket, Refused):
            total = sum(map(len, self.waiting.values()))
            if ticket.reason == "deadline":
                assert time_left_s < ticket.retry_after_s or ticket.retry_after_s in {1.0, 60.0}
            else:
                assert len(own) == BOUNDS.per_tenant or total >= BOUNDS.total - BOUNDS.total // 10
            assert ticket.retry_after_s >= 1.0
            assert (self.queue.counters(), self.queue.active_weight) == (before, active), (
                "who is refused changes nothing"
            )
            return multiple()
        self.weights[tenant] = self.weight_of[ticket] = weight
        counter = self.queue.counters()[tenant]
        assert counter >= before.get(tenant, 0.0)
        if not own:
            assert counter >= least, "a tenant that comes back brings no credit"
        self.waiting.setdefault(tenant, []).append(ticket)
        self.start_all()
        return ticket

    @rule(ticket=tickets, tokens=st.integers(1, 500))
    def charge(self, ticket: Ticket, tokens: int) -> None:
        before = self.queue.counters().get(ticket.tenant_id, 0.0)
        self.queue.charge(ticket, (ticket.used or 0) + tokens)
        grown = self.queue.counters().get(ticket.tenant_id, 0.0) - before
        expected = tokens / self.weight_of[ticket] if ticket in self.running else 0.0
        assert grown == pytest.approx(expected)
        self.start_all()

    @rule(ticket=consumes(tickets), twice=st.booleans(), took=st.floats(0, 100))
    def leave(self, ticket: Ticket, twice: bool, took: float) -> None:
        self.now += took
        before = self.queue.counters()
        for _ in range(1 + twice):
            self.queue.leave(ticket, self.now)
        if ticket in self.running:
            self.running.remove(ticket)
        else:
            self.waiting[ticket.tenant_id].remove(ticket)
        after = self.queue.counters()
        assert all(after[tenant] >= before[tenant] for tenant in after), "leaving gives nothing back"
        self.start_all()

    @rule(capacity=st.integers(-1, 30))
    def resize(self, capacity: int) -> None:
        self.queue.resize(capacity)
        self.start_all()

    def start_all(self) -> None:
        while True:
            keys = self.queue.keys()
            ticket = self.queue.start(self.now)
            if ticket is None:
                return
            tenant = ticket.tenant_id
            assert keys[tenant] <= min(keys[other] for other, theirs in self.waiting.items() if theirs) + ROUNDING
            assert self.waiting[tenant].pop(0) is ticket, "the requests of one tenant start in their order"
            self.running.append(ticket)
            assert len(self.running) <= self.queue.capacity

    @invariant()
    def it_counts_right(self) -> None:
        if not hasattr(self, "queue"):
            return
        assert self.queue.in_flight == len(self.running)
        assert self.queue.waiting == sum(map(len, self.waiting.values())) == len(list(self.queue.positions()))
        assert self.queue.waiting <= BOUNDS.total
        keys = self.queue.keys()
        for tenant, counter in self.queue.counters().items():
            running = [ticket for ticket in self.running if ticket.tenant_id == tenant]
            to_come = sum(max(0, one.forecast - (one.used or 0)) / self.weight_of[one] for one in running)
            assert keys[tenant] - counter == pytest.approx(to_come, abs=1e-6)
        if not self.running and not self.queue.waiting:
            assert self.queue.counters() == {}, "nobody is left: nothing is remembered"

    @invariant()
    def no_place_is_free_for_which_somebody_waits(self) -> None:
        if not hasattr(self, "queue") or not self.queue.waiting:
            return
        queue, keys = self.queue, self.queue.keys()
        unreserved = queue.capacity - queue.headroom
        assert len(self.running) >= unreserved
        if len(self.running) < queue.capacity:
            waiting = [tenant for tenant, theirs in self.waiting.items() if theirs]
            active = {ticket.tenant_id for ticket in self.running} | set(waiting)
            whole = sum(self.weights[one] for one in active)
            share = {tenant: self.weights[tenant] / whole * unreserved for tenant in active}
            places = {tenant: sum(ticket.tenant_id == tenant for ticket in self.running) for tenant in active}
            least = min(keys[tenant] for tenant in waiting)
            next_ones = [tenant for tenant in waiting if keys[tenant] <= least + ROUNDING]
            assert any(places[one] and places[one] + 1 > share[one] - 1e-9 for one in next_ones)

    @invariant()
    def the_weight_of_who_waits_or_runs_is_known_and_the_headroom_fits(self) -> None:
        if hasattr(self, "queue"):
            active = {ticket.tenant_id for ticket in self.running} | {
                one for one, theirs in self.waiting.items() if theirs
            }
            assert self.queue.active_weight == pytest.approx(sum(self.weights[one] for one in active))
            assert 0 <= self.queue.headroom < max(1, self.queue.capacity)

    @invariant()
    def every_waiting_request_has_a_position(self) -> None:
        if hasattr(self, "queue"):
            assert all(1 <= position <= self.queue.waiting for _, position in self.queue.positions())


TestFairQueue = FairQueueMachine.TestCase
TestFairQueue.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)


def fixed(prompt: int, answer: int, given_up_at: int | None = None) -> Callable[[], tuple[int, int, int | None]]:
    chance = random.Random(7)
    return lambda: (prompt, max(1, round(chance.uniform(0.5, 1.5) * answer)), given_up_at)


def shares(*loads: Load, steps: int = 6_000, capacity: int = 16) -> list[float]:
    """The tokens of each for its weight."""
    model = EngineModel(FairQueue(capacity))
    model.run(loads, steps)
    return [model.tokens[load.tenant_id] / load.weight for load in loads]


def test_requests_in_step_with_each_other_are_shared_in_every_round() -> None:
    """All end at once: what was used until then does not tell whom the places belong to."""
    model = EngineModel(FairQueue(16))
    loads = [
        Load(tenant, streams, lambda: (14, 64, None))
        for tenant, streams in zip(TENANTS, (60, 30, 20, 20), strict=False)
    ]
    model.run(loads, 640)
    for _ in range(5):
        before = Counter(model.tokens)
        for _ in range(128):
            model.step()
        assert jain((model.tokens - before).values()) >= 0.95


def test_expecting_much_and_giving_up_earns_nothing() -> None:
    """A newcomer is lifted to what has been used, not to what was expected and is then given up."""
    queue = FairQueue(3, headroom=0)
    stays, long = asked(queue, C), asked(queue, A)
    started(queue)
    queue.charge(long, 4_000)
    queue.leave(long, 1.0)
    flood = [asked(queue, A, tokens=10) for _ in range(3)]
    assert started(queue) == flood[:2]
    assert queue.keys()[A] > queue.counters()[A] + 7_000, "it is expected to go on as before"
    asked(queue, B)
    assert queue.counters()[B] == queue.counters()[A] == 4_000
    for ticket in flood[:2]:
        queue.leave(ticket, 2.0)
    assert queue.keys()[B] <= queue.keys()[A]
    queue.leave(stays, 3.0)


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 300), st.integers(5, 600)), min_size=4, max_size=4))
def test_four_backlogged_tenants_get_the_same_whatever_they_ask_for(sizes: list[tuple[int, int]]) -> None:
    found = shares(*(Load(tenant, 40, fixed(*size)) for tenant, size in zip(TENANTS, sizes, strict=False)))
    assert jain(found) >= 0.98


@pytest.mark.parametrize(("heavy", "light"), [((20, 100), (20, 100)), ((20, 10), (20, 500)), ((300, 500), (5, 20))])
def test_twice_the_weight_is_twice_the_tokens(heavy: tuple[int, int], light: tuple[int, int]) -> None:
    double, single = shares(Load(A, 40, fixed(*heavy), weight=2.0), Load(B, 40, fixed(*light)))
    assert double / single == pytest.approx(1.0, rel=0.05)


def test_many_small_requests_get_no_more_than_few_large_ones() -> None:
    split, whole = shares(Load(A, 200, fixed(2, 10)), Load(B, 20, fixed(20, 100)))
    assert split / whole == pytest.approx(1.0, rel=0.05)


def test_giving_up_again_and_again_earns_nothing() -> None:
    restless, patient = shares(Load(A, 60, fixed(20, 500, given_up_at=20)), Load(B, 40, fixed(20, 500)))
    assert restless / patient == pytest.approx(1.0, rel=0.05)


def test_nobody_starves_among_floods() -> None:
    floods = [Load(TenantId(f"f{number}"), 60, fixed(20, 200)) for number in range(5)]
    found = shares(*floods, Load(A, 1, fixed(20, 100), weight=0.1), *(Load(one, 1, fixed(5, 5)) for one in TENANTS))
    assert found[5] == pytest.approx(sum(found[:5]) / 5, rel=0.4)
    assert all(tokens > 0 for tokens in found[6:])


def test_of_two_hundred_tenants_each_gets_its_turn() -> None:
    loads = [Load(TenantId(f"n{number}"), 2, fixed(10, 30)) for number in range(200)]
    assert min(shares(*loads, steps=3_000)) > 0


def test_a_flood_leaves_the_headroom_free_and_a_newcomer_takes_it_at_once() -> None:
    queue = FairQueue(16)
    served_before(queue, B)
    for _ in range(120):
        asked(queue, A)
    assert len(started(queue)) == 14
    newcomer = asked(queue, B)
    assert started(queue) == [newcomer]
    assert queue.waiting == 106


def test_who_has_been_alone_for_long_has_all_places() -> None:
    queue = FairQueue(16)
    served_before(queue, B)
    for _ in range(120):
        asked(queue, A)
    assert len(started(queue, KEPT_FOR_S)) == 14
    assert len(started(queue, KEPT_FOR_S + 1)) == 2
    asked(queue, B)
    assert started(queue, KEPT_FOR_S + 2) == [], "a newcomer after so long waits, once"


def test_the_engine_is_told_to_prefer_who_has_least_running_for_its_weight() -> None:
    queue = FairQueue(8, headroom=0)
    light, heavy = [asked(queue, A) for _ in range(3)], [asked(queue, B, weight=2.0) for _ in range(3)]
    started(queue)
    assert [ticket.priority for ticket in light] == [0, 1, 2]
    assert [ticket.priority for ticket in heavy] == [0, 0, 1]


def test_the_flood_cannot_take_the_headroom_behind_a_newcomer() -> None:
    queue = FairQueue(16)
    served_before(queue, B)
    for _ in range(120):
        asked(queue, A)
    started(queue)
    newcomer = asked(queue, B)
    started(queue)
    queue.charge(newcomer, 1_000)
    assert started(queue) == []
    queue.leave(newcomer, 1.0)
    assert started(queue) == []


def test_among_many_tenants_no_place_is_kept_free() -> None:
    queue = FairQueue(16)
    for number in range(40):
        asked(queue, TenantId(f"n{number}"))
    assert len(started(queue)) == 16


def test_who_was_away_is_no_further_ahead_than_who_waited_longest() -> None:
    queue = FairQueue(1)
    first = asked(queue, A)
    started(queue)
    queue.charge(first, 1_000)
    waiting = asked(queue, A)
    back = asked(queue, B)
    assert queue.counters() == {A: 1_000, B: 1_000}
    queue.leave(first, 1.0)
    assert started(queue) == [back], "of equals the one with fewer places goes first"
    queue.charge(back, 10)
    queue.leave(back, 2.0)
    assert started(queue) == [waiting]


def test_a_newcomer_brings_no_credit_where_nobody_waits_either() -> None:
    queue = FairQueue(4)
    for _ in range(2):
        done = asked(queue, A)
        started(queue)
        queue.charge(done, 1_000)
        asked(queue, C)
        started(queue)
        queue.leave(done, 1.0)
    asked(queue, A)
    started(queue)
    asked(queue, B)
    assert queue.counters()[B] == 2_000, "as much as the last that was started had used"


def test_who_has_gone_is_forgotten_as_soon_as_it_owes_nothing() -> None:
    queue = FairQueue(2)
    asked(queue, A)
    started(queue)
    for number in range(1_000):
        passing = asked(queue, TenantId(f"n{number}"))
        started(queue)
        queue.charge(passing, 1 + number % 7)
        queue.leave(passing, 1.0)
    assert len(queue.counters()) < 20


def test_an_answer_that_ends_early_brings_its_tenant_forward() -> None:
    queue = FairQueue(3, headroom=0)
    stays, long, ends = asked(queue, B), asked(queue, A, tokens=1_000), asked(queue, A)
    assert len(started(queue)) == 3
    queue.charge(stays, 50)
    next_of_b, next_of_a = asked(queue, B), asked(queue, A)
    queue.leave(ends, 1.0)
    assert started(queue) == [next_of_b]
    queue.charge(long, 10)
    last_of_b = asked(queue, B)
    queue.leave(long, 2.0)
    assert started(queue) == [next_of_a]
    assert last_of_b.state == "waiting"


def test_a_request_of_which_nothing_was_said_is_charged_what_was_expected_when_it_leaves() -> None:
    queue = FairQueue(3)
    asked(queue, B)
    silent, refused = asked(queue, A, tokens=300), asked(queue, C, tokens=300)
    started(queue)
    asked(queue, B)
    asked(queue, B)
    queue.leave(silent, 1.0)
    queue.charge(refused, 0)
    queue.leave(refused, 1.0)
    assert queue.counters().get(A) == 300
    assert queue.counters().get(C, 0) == 0


def test_debts_are_kept_while_somebody_waits_and_forgiven_when_nobody_does() -> None:
    queue = FairQueue(2)
    first, leaves = asked(queue, A), asked(queue, B)
    started(queue)
    waits = asked(queue, A)
    queue.charge(leaves, 500)
    queue.leave(leaves, 1.0)
    back = asked(queue, B)
    assert queue.counters() == {A: 0, B: 500}
    queue.leave(back, 1.0)
    queue.leave(waits, 1.0)
    asked(queue, A)
    assert queue.counters() == {A: 500}, "A is where B was, and B is forgotten"
    queue.leave(first, 2.0)


def test_one_tenant_cannot_fill_the_queue_for_the_others() -> None:
    queue = FairQueue(1, bounds=Bounds(per_tenant=30, total=40))
    for tenant in (A, B):
        for _ in range(31):
            queue.ask(tenant, 1.0)
            queue.start(0.0)
    assert queue.waiting == 36
    refused = queue.ask(A, 1.0)
    assert isinstance(refused, Refused)
    assert refused.reason in {"tenant_queue_full", "queue_full"}
    assert isinstance(queue.ask(C, 1.0), Ticket)


def test_a_full_tenant_is_told_so() -> None:
    queue = FairQueue(1, bounds=Bounds(per_tenant=2, total=40))
    asked(queue)
    started(queue)
    asked(queue)
    asked(queue)
    refused = queue.ask(A, 1.0)
    assert refused == Refused("tenant_queue_full", 1.0)
    assert isinstance(queue.ask(B, 1.0), Ticket)


def test_what_could_not_start_in_time_is_refused_by_the_recent_pace() -> None:
    queue = FairQueue(1)
    for _ in range(30):
        ticket = asked(queue)
        started(queue, now=0.0)
        queue.leave(ticket, now=10.0)
    asked(queue)
    started(queue)
    asked(queue)
    refused = queue.ask(A, 1.0, time_left_s=15.0)
    assert refused == Refused("deadline", pytest.approx(20.0))
    assert isinstance(queue.ask(A, 1.0, time_left_s=21.0), Ticket)
    assert isinstance(queue.ask(B, 1.0, time_left_s=21.0), Ticket), "a newcomer is before the third of the other"


def test_without_experience_nothing_is_refused_for_its_deadline() -> None:
    queue = FairQueue(1)
    asked(queue)
    started(queue)
    asked(queue)
    assert isinstance(queue.ask(A, 1.0, time_left_s=0.001), Ticket)


@pytest.mark.parametrize(("capacity", "kept"), [(1, 0), (2, 1), (8, 1), (16, 2), (64, 8), (100, 12)])
def test_an_eighth_is_kept_free(capacity: int, kept: int) -> None:
    assert headroom_of(capacity) == kept


def test_a_queue_without_capacity_takes_requests_in_and_starts_none_until_it_has_some() -> None:
    queue = FairQueue(0, headroom=None)
    first, second = queue.ask(A, 1.0, time_left_s=0.001), queue.ask(B, 1.0)
    assert isinstance(first, Ticket)
    assert isinstance(second, Ticket)
    assert queue.start(0.0) is None
    assert not queue.has_room(A, 1.0)
    assert not queue.stalled
    assert queue.waiting == 2
    assert all(1 <= position <= 2 for _, position in queue.positions())
    queue.leave(first, 1.0)
    queue.resize(4)
    assert queue.start(2.0) is second
    queue.resize(0)
    assert (queue.headroom, queue.in_flight) == (0, 1)


def test_a_queue_without_capacity_is_bounded_as_ever_and_says_when_to_come_back() -> None:
    queue = FairQueue(0, bounds=Bounds(per_tenant=2, total=3))
    for tenant in (A, A, B):
        assert isinstance(queue.ask(tenant, 1.0), Ticket)
    assert queue.ask(A, 1.0) == Refused("tenant_queue_full", NO_CAPACITY_RETRY_S)
    assert queue.ask(B, 1.0) == Refused("queue_full", NO_CAPACITY_RETRY_S)
