"""The protocol of a request's account as a state machine, small enough to be looked through whole.

A few requests, each with a router of its own, are admitted, work, renew, end, are told to the ledger and to Valkey,
once or twice, at once or late; routers die, or sleep through the end of a lease; Valkey forgets everything. What is
admitted, counted and charged is decided by the real `AdmissionBook` (the rule of `admission.lua`), what becomes of a
row by the real `MemoryLedger` (the rule of `record_usage`). Only who says what to whom, which `Accounts`,
`AdmissionGate` and `LedgerWriter` do, is said again here, step by step, so that every order of the steps can be tried.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from contracts.tenant import TenantId
from router.domain.admission import Ask, Limits, Timing, Used
from router.domain.admission_book import AdmissionBook
from router.service.orphans import ORPHAN_AFTER_S
from support.admissions import MOMENT_US, MONTH
from support.usage import an_event
from tenancy.memory_ledger import MemoryLedger
from tenancy.usage import LedgerRow, Outcome, UsageEvent

T = TypeVar("T")

TENANT = TenantId("model")
TIMING = Timing()
STEP_US = TIMING.lease_us + 1_000_000
"""Time passes in steps longer than a lease: whoever does not renew between two has lost it."""
WORST = 1
"""What a request asks for, in tokens, each a nano-USD; it uses as much, or nothing."""
LIMITS = Limits(10**12, 10**12, concurrent_requests=2, monthly_budget_nano_usd=2)
"""Of requests a minute and an hour there is no end: their windows decide nothing, and are shared by all worlds."""


BEGAN = datetime.fromtimestamp(MOMENT_US / 1_000_000, UTC)


@dataclass
class Clock:
    us: int = MOMENT_US

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.us / 1_000_000, UTC)


_CLOCK = Clock()
"""Of all ledgers there are; set to a world's own time before one is asked."""


@dataclass(frozen=True)
class Request:
    """What its router knows of it, and, for the invariants, what nobody does: `renewed` and `told`."""

    state: str = "new"
    """new, asked (the spend is asked of the ledger), open, ended, dead (its router is)."""
    seed: int | None = None
    generated: int = 0
    ended_at: int = 0
    to_ledger: bool = False
    to_valkey: bool = False
    repeats: int = 0
    """How many times more something was told that had been told before."""
    renewed: int | None = None
    """The ledger has heard of so many tokens while it was open; None: of nothing."""
    admitted: int = 0
    given_back: int = 0
    """How many times its reservation was made, and was given back by its settlement."""


@dataclass
class World:
    book: AdmissionBook
    ledger: MemoryLedger
    requests: tuple[Request, ...]
    now: int = MOMENT_US
    steps: int = 0
    forgotten: int = 0
    """How many times Valkey has lost everything."""
    slept: bool = False
    """A router that lives was silent for longer than a lease."""
    late: bool = False
    """The ledger heard of an end later than by the length of a lease: PostgreSQL was away."""
    owns_book: bool = False
    owns_ledger: bool = False

    def copy(self) -> World:
        """Shares its book and its ledger with this one, until it is about to change them."""
        return replace(self, owns_book=False, owns_ledger=False)

    def _own_book(self) -> AdmissionBook:
        if not self.owns_book:
            self.book, self.owns_book = _copied(self.book), True
        return self.book

    def _own_ledger(self) -> MemoryLedger:
        if not self.owns_ledger:
            self.ledger, self.owns_ledger = _copied(self.ledger), True
        return self.ledger

    def key(self) -> object:
        """Equal for worlds that nothing which may happen can tell apart. Requests are as good as each other."""
        book, rows = self.book, self.rows()
        each: Counter[object] = Counter()
        for number, request in enumerate(self.requests):
            lease = book._leases.get(str(number))
            row = rows.get(number)
            each[
                request,
                lease and (lease.due, lease.used),
                book._ended.get(str(number)),
                row and (row.event.completion_tokens, row.event.outcome, row.settled_at is None and row.renewed_at),
            ] += 1
        of_the_month = (book._spent.get(MONTH), book._seeded.get(MONTH), book._late.get(MONTH, 0), book._doubt)
        return frozenset(each.items()), of_the_month, self.now, self.forgotten, self.slept, self.late

    def rows(self) -> dict[int, LedgerRow]:
        return {int(event_id): row for (_, event_id), row in self.ledger._rows.items()}

    def spent_in_ledger(self) -> int:
        return self._ask(self.ledger.month_spend(TENANT, MONTH))

    def change(self, number: int, **changes: Any) -> None:
        changed = replace(self.requests[number], **changes)
        self.requests = (*self.requests[:number], changed, *self.requests[number + 1 :])

    # What routers do

    def admit(self, number: int, cost: int = WORST) -> bool:
        """One call of Valkey; whether it was admitted."""
        request = self.requests[number]
        ask = Ask(str(number), cost, cost, 3_600.0)
        admission = self._own_book().admit(LIMITS, ask, MONTH, request.seed, self.now)
        if admission.needs_spend:
            self.change(number, state="asked", seed=None)
        else:
            state = "open" if admission.allowed else "new"
            self.change(number, state=state, seed=None, admitted=request.admitted + admission.allowed)
        return admission.allowed

    def read_spend(self, number: int) -> None:
        self.change(number, seed=self.spent_in_ledger())

    def open_row(self, number: int) -> None:
        """As it was when the turn began, however late that is committed."""
        self.write(self.event(number, None, used=0))
        self.change(number, renewed=0)

    def renew(self, number: int) -> None:
        self.renew_in_valkey(number)
        self.write(self.event(number, None))
        if self.rows()[number].event.outcome is None:
            self.change(number, renewed=self.requests[number].generated)

    def renew_in_valkey(self, number: int) -> None:
        """And the ledger does not hear of it."""
        used = self.requests[number].generated
        self._own_book().renew(str(number), Used(used, used), self.now)

    def end(self, number: int) -> None:
        """Answered, failed or left by its client: from here on it is the same."""
        self.change(number, state="ended", ended_at=self.now, to_ledger=True, to_valkey=True)

    def tell_ledger(self, number: int) -> None:
        """Where that came late, Valkey is told again: it may have asked the ledger meanwhile."""
        request = self.requests[number]
        self.write(self.event(number, Outcome.ANSWERED))
        late = request.to_ledger and self.now > request.ended_at
        self.late = self.late or late
        self.change(number, to_ledger=False, to_valkey=request.to_valkey or late)

    def tell_valkey(self, number: int) -> None:
        request = self.requests[number]
        used, ago = Used(request.generated, request.generated), self.now - request.ended_at
        known = not request.to_ledger
        was_live = self._own_book().settle(str(number), used, MONTH, ago if known else 0, self.now, in_ledger=known)
        self.change(number, to_valkey=False, given_back=request.given_back + was_live)

    def die(self, number: int) -> None:
        self.change(number, state="dead", seed=None, to_ledger=False, to_valkey=False)

    def write(self, event: UsageEvent) -> None:
        self._ask(self._own_ledger().write([event]))

    def event(self, number: int, outcome: Outcome | None, used: int | None = None) -> UsageEvent:
        used = self.requests[number].generated if used is None else used
        tokens = {"prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": used, "cost_nano_usd": used}
        return an_event(TENANT, str(number), outcome=outcome, started_at=BEGAN, **tokens)

    # What happens

    def time_passes(self) -> None:
        self.now += STEP_US
        self.steps += 1
        self.slept = self.slept or any(request.state == "open" for request in self.requests)
        for number, request in enumerate(self.requests):
            if request.state == "asked":  # the ledger is waited for for less than that
                self.change(number, state="new", seed=None)

    def close_orphans(self) -> None:
        self._ask(self._own_ledger().close_orphans(ORPHAN_AFTER_S))

    def forget_valkey(self) -> None:
        self.book = AdmissionBook(TIMING)
        self.forgotten += 1

    @property
    def is_under_way(self) -> bool:
        """Somebody who lives has something to do yet."""
        return any(one.state in {"asked", "open"} or one.to_ledger or one.to_valkey for one in self.requests)

    def come_to_rest(self) -> World:
        """Time passes, orphans are closed, and now and then there is a request that uses nothing, as in every world.
        Three of them: the first may find that Valkey knows nothing, and the second that it knew too much."""
        world = self.copy()
        for _ in range(3):
            for _ in range(2):
                world.time_passes()
            world.close_orphans()
            world.pass_by()
        return world

    def pass_by(self) -> None:
        number = len(self.requests)
        self.requests = (*self.requests, Request())
        self.admit(number, cost=0)
        if self.requests[number].state == "asked":
            self.read_spend(number)
            self.admit(number, cost=0)
        self.tell_valkey(number)
        self.requests = self.requests[:number]

    def _ask(self, asked: Coroutine[Any, Any, T]) -> T:
        """The ledger in memory waits for nothing."""
        _CLOCK.us = self.now
        try:
            asked.send(None)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]
        raise AssertionError("it waited")


@dataclass(frozen=True)
class Scope:
    """How far the exploration goes."""

    requests: int
    steps: int = 2
    forgets: int = 1
    repeats: int = 1


def beginning(scope: Scope) -> World:
    return World(AdmissionBook(TIMING), MemoryLedger(_CLOCK), (Request(),) * scope.requests)


def actions(world: World, scope: Scope) -> Iterator[tuple[str, Callable[[World], object]]]:
    """Whatever may happen next."""
    for number, request in enumerate(world.requests):
        for name, does in _of_request(request, scope, late=world.now > request.ended_at):
            yield f"{name} {number}", lambda changed, number=number, does=does: does(changed, number)
    if world.steps < scope.steps:
        yield "time passes", World.time_passes
    if world.forgotten < scope.forgets:
        yield "Valkey loses everything", World.forget_valkey
    if any(row.settled_at is None for row in world.rows().values()):
        yield "orphans are closed", World.close_orphans


def _of_request(request: Request, scope: Scope, *, late: bool) -> Iterator[tuple[str, Callable[[World, int], object]]]:
    match request.state:
        case "new":
            yield "admit", World.admit
        case "asked":
            if request.seed is None:
                yield "read the spend", World.read_spend
            else:
                yield "admit with the spend", World.admit
        case "open":
            if request.generated < WORST:
                yield "work", lambda world, number: world.change(number, generated=request.generated + 1)
            if request.renewed is None:
                yield "open its row", World.open_row
            yield "renew", World.renew
            yield "renew in Valkey alone", World.renew_in_valkey
            yield "end", World.end
            yield "die", World.die
        case "ended":
            yield from _telling(request, scope, late)
            if request.to_ledger or request.to_valkey:
                yield "die", World.die


def _telling(request: Request, scope: Scope, late: bool) -> Iterator[tuple[str, Callable[[World, int], object]]]:
    """The ledger first, Valkey when it stands there; where the ledger is late Valkey is told nevertheless."""
    if request.to_ledger:
        yield "tell the ledger", World.tell_ledger
    if request.to_valkey and (late or not request.to_ledger):
        yield "tell Valkey", World.tell_valkey
    if request.repeats < scope.repeats:
        if not request.to_ledger:
            yield "tell the ledger again", _again(World.tell_ledger, request)
        if not request.to_valkey:
            yield "tell Valkey again", _again(World.tell_valkey, request)


def _again(tell: Callable[[World, int], object], request: Request) -> Callable[[World, int], object]:
    def again(world: World, number: int) -> None:
        world.change(number, repeats=request.repeats + 1)
        tell(world, number)

    return again


def _copied(value: T) -> T:
    """With dictionaries of its own. What else is in it is frozen, or is a window, which decides nothing here."""
    made = copy.copy(value)
    vars(made).update({name: held.copy() for name, held in vars(made).items() if isinstance(held, dict)})
    return made
