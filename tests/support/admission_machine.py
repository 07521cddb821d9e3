"""One tenant's admission, whichever implements it, beside a naive model: random requests, renewals, crashes and clock
steps. Every limit is kept, and what is counted is what the model counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, invariant, multiple, rule

from router.domain.admission import Admission, Ask, Limits, LimitState, Timing, Used, bucket_us
from support.admissions import MOMENT_US, MONTH, NEXT_MONTH

SECOND = 1_000_000
TIMING = Timing(remember_s=1e6)
STEP = bucket_us(TIMING.minute_us)
MINUTE, HOUR, LEASE = TIMING.minute_us, TIMING.hour_us, TIMING.lease_us


class Book(Protocol):
    """`AdmissionBook`, or what looks like it. `live` and the following are as of the last call."""

    def admit(self, limits: Limits, ask: Ask, month: str, spent: int | None, now: int) -> Admission: ...

    def renew(self, lease_id: str, used: Used, now: int) -> bool: ...

    def settle(
        self, lease_id: str, used: Used, month: str, ago_us: int, now: int, *, in_ledger: bool = True
    ) -> bool: ...

    def state(self, limits: Limits, month: str, spent: int | None, now: int) -> tuple[LimitState, ...]: ...

    @property
    def live(self) -> int: ...

    @property
    def reserved_tokens(self) -> int: ...

    def reserved_cost(self, month: str) -> int: ...

    def spent(self, month: str) -> int | None: ...


@dataclass
class Request:
    """One request as the model sees it: what it asked and when, and every charge that was made for it."""

    ask: Ask
    month: str
    admitted_at: int
    due: int
    deadline: int
    used: Used = field(default_factory=Used)
    ended: bool = False


class Model:
    """Keeps everything that ever happened and counts it anew for every question."""

    def __init__(self) -> None:
        self.requests: dict[str, Request] = {}
        self.tokens: list[tuple[int, int]] = []
        self.spent: dict[str, int] = {}
        self.doubts: list[int] = []

    def end_due(self, now: int) -> None:
        for request in self.requests.values():
            if not request.ended and request.due <= now:
                self._end(request, request.due)
                self.doubts.append(request.due)

    def in_doubt(self, now: int) -> bool:
        """What is spent may not be what the ledger says, and by now the ledger has everything."""
        return bool(self.doubts) and not self.live() and now - max(self.doubts) >= LEASE

    def live(self) -> list[Request]:
        return [request for request in self.requests.values() if not request.ended]

    def tokens_in_window(self, now: int) -> int:
        """By the bucket: what was settled in a step of which any moment lies in the window."""
        return sum(tokens for at, tokens in self.tokens if at // STEP >= (now - MINUTE) // STEP)

    def reserved_tokens(self) -> int:
        return sum(request.ask.tokens for request in self.live())

    def reserved_cost(self, month: str) -> int:
        return sum(request.ask.cost_nano_usd for request in self.live() if request.month == month)

    def requests_in(self, length: int, now: int) -> int:
        step = bucket_us(length)
        return sum(request.admitted_at // step >= (now - length) // step for request in self.requests.values())

    def fits(self, limits: Limits, ask: Ask, month: str, now: int) -> bool:
        tokens, places, budget = (
            limits.tokens_per_minute,
            limits.concurrent_requests,
            limits.monthly_budget_nano_usd,
        )
        return (
            self.requests_in(MINUTE, now) < limits.requests_per_minute
            and self.requests_in(HOUR, now) < limits.requests_per_hour
            and (tokens is None or self.tokens_in_window(now) + self.reserved_tokens() + ask.tokens <= tokens)
            and (places is None or len(self.live()) < places)
            and (budget is None or self.spent[month] + self.reserved_cost(month) + ask.cost_nano_usd <= budget)
        )

    def admit(self, ask: Ask, month: str, now: int) -> None:
        deadline = now + ask.deadline_us
        self.requests[ask.lease_id] = Request(ask, month, now, min(now + LEASE, deadline), deadline)

    def renew(self, lease_id: str, used: Used, now: int) -> bool:
        request = self.requests[lease_id]
        if request.ended:
            self.doubts.append(now)
            return False
        request.used = Used(max(used.tokens, request.used.tokens), max(used.cost_nano_usd, request.used.cost_nano_usd))
        request.due = min(now + LEASE, request.deadline)
        return True

    def settle(self, lease_id: str, used: Used, now: int, *, in_ledger: bool) -> bool:
        request = self.requests[lease_id]
        if request.ended or self.doubts or not in_ledger:
            self.doubts.append(now)
        if not request.ended:
            request.used = used
            self._end(request, now)
            return True
        self.tokens.append((now, max(0, used.tokens - request.used.tokens)))
        if request.month in self.spent:
            self.spent[request.month] += used.cost_nano_usd - request.used.cost_nano_usd
        request.used = Used(max(used.tokens, request.used.tokens), used.cost_nano_usd)
        return False

    def _end(self, request: Request, at: int) -> None:
        request.ended = True
        self.tokens.append((at, request.used.tokens))
        if request.month in self.spent:
            self.spent[request.month] += request.used.cost_nano_usd


# Few different numbers, so that sums meet a limit exactly and exceed it by one.
TOKENS = st.sampled_from([0, 1, 10, 20, 30])
COSTS = st.sampled_from([0, 1, 100, 200])
LIMITS = st.builds(
    Limits,
    st.integers(1, 20),
    st.integers(5, 40),
    st.none() | st.sampled_from([10, 30, 31, 60, 61, 200]),
    st.none() | st.integers(1, 6),
    st.none() | st.sampled_from([100, 300, 301, 1_000]),
)


class Tenant(RuleBasedStateMachine):
    leases: Bundle[str] = Bundle("leases")

    def __init__(self, book: Book) -> None:
        super().__init__()
        self.book = book
        self.model = Model()
        self.now = MOMENT_US
        self.month = MONTH
        self.count = 0
        self.last: tuple[Limits, Ask, Admission] | None = None

    @rule(
        target=leases,
        limits=LIMITS,
        tokens=TOKENS,
        cost=COSTS,
        deadline=st.sampled_from([1.0, 5.0, 20.0, 60.0]),
        ledger_says=COSTS,
    )
    def admit(
        self, limits: Limits, tokens: int, cost: int, deadline: float, ledger_says: int
    ) -> MultipleResults[str] | str:
        self.count += 1
        ask = Ask(f"l{self.count}", tokens, cost, deadline)
        self.model.end_due(self.now)
        admission = self.book.admit(limits, ask, self.month, None, self.now)
        unknown, in_doubt = self.month not in self.model.spent, self.model.in_doubt(self.now)
        assert admission.needs_spend == (limits.monthly_budget_nano_usd is not None and (unknown or in_doubt))
        if admission.needs_spend:
            agrees = self.model.spent.get(self.month) == ledger_says
            self.model.spent[self.month] = ledger_says
            self.model.doubts = [] if agrees else [self.now]
            admission = self.book.admit(limits, ask, self.month, ledger_says, self.now)
        fits = self.model.fits(limits, ask, self.month, self.now)
        assert admission.allowed == fits
        if not fits:
            self.last = (limits, ask, admission)
            return multiple()
        self.last = None
        self.model.admit(ask, self.month, self.now)
        self._never_over(limits)
        return ask.lease_id

    def _never_over(self, limits: Limits) -> None:
        assert self.book.live <= (limits.concurrent_requests or self.book.live)
        if limits.tokens_per_minute is not None:
            settled = sum(tokens for at, tokens in self.model.tokens if at > self.now - MINUTE)
            assert settled + self.book.reserved_tokens <= limits.tokens_per_minute
        if limits.monthly_budget_nano_usd is not None:
            spent = self.book.spent(self.month)
            assert spent is not None
            assert spent + self.book.reserved_cost(self.month) <= limits.monthly_budget_nano_usd

    @rule(lease=leases, part=st.sampled_from([0.0, 0.5, 1.0]))
    def renew(self, lease: str, part: float) -> None:
        self.model.end_due(self.now)
        used = self._used(lease, part)
        assert self.book.renew(lease, used, self.now) == self.model.renew(lease, used, self.now)
        self.last = None

    @rule(lease=leases, part=st.sampled_from([0.0, 0.5, 1.0]), in_ledger=st.sampled_from([True, True, False]))
    def settle(self, lease: str, part: float, in_ledger: bool) -> None:
        """Of a lease that is live, has ended (its owner was cut off), or was settled before."""
        self.model.end_due(self.now)
        used, month = self._used(lease, part), self.model.requests[lease].month
        told = self.model.settle(lease, used, self.now, in_ledger=in_ledger)
        assert self.book.settle(lease, used, month, 0, self.now, in_ledger=in_ledger) == told
        self.last = None

    @rule(passed=st.sampled_from([1, SECOND, 2 * SECOND, 14 * SECOND, LEASE, 59 * SECOND, MINUTE, MINUTE + STEP]))
    def time_passes(self, passed: int) -> None:
        """Long enough, and whatever nobody renews is as after a crash."""
        self.now += passed
        self.last = None

    @rule()
    def month_ends(self) -> None:
        self.month = NEXT_MONTH
        self.last = None

    @rule()
    def wait_as_told(self) -> None:
        """What was refused last fits after the wait told, when what lives then uses no more than it reserved."""
        if self.last is None or self.last[2].never or self.last[2].retry_after_s > 4_000:
            return
        limits, ask, refused = self.last
        self.now += round(refused.retry_after_s * SECOND)
        self.model.end_due(self.now)
        assert self.model.fits(limits, ask, self.month, self.now)
        self.last = None

    @invariant()
    def agrees(self) -> None:
        self.model.end_due(self.now)
        self.book.state(Limits(1, 1), self.month, None, self.now)
        assert self.book.live == len(self.model.live())
        assert self.book.reserved_tokens == self.model.reserved_tokens()
        for month in (MONTH, NEXT_MONTH):
            assert self.book.reserved_cost(month) == self.model.reserved_cost(month)
            assert self.book.spent(month) == self.model.spent.get(month)

    @invariant()
    def nothing_leaks(self) -> None:
        if self.book.live == 0:
            assert self.book.reserved_tokens == 0
            assert self.book.reserved_cost(MONTH) == self.book.reserved_cost(NEXT_MONTH) == 0

    def _used(self, lease: str, part: float) -> Used:
        ask = self.model.requests[lease].ask
        return Used(int(ask.tokens * part), int(ask.cost_nano_usd * part))
