"""The rule of `adapters/admission.lua` in values alone: what one tenant has asked for, reserved and used.

Every method takes the moment in microseconds since 1970, never less than before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from router.domain.admission import (
    CONCURRENT_REQUESTS,
    LIMIT_NAMES,
    MONTHLY_BUDGET,
    REQUESTS_PER_HOUR,
    REQUESTS_PER_MINUTE,
    TOKENS_PER_MINUTE,
    Admission,
    Ask,
    Limits,
    LimitState,
    Refusal,
    Timing,
    Used,
    bucket_us,
    month_end_us,
    seconds,
)

_NEVER = -1
_NOTHING = Used()


@dataclass(frozen=True, slots=True)
class _Lease:
    ask: Ask
    month: str
    due: int
    deadline: int
    used: Used = _NOTHING


class _Window:
    """Counts in buckets; one counts as long as any moment of it lies inside the window."""

    def __init__(self, length_us: int) -> None:
        self.length = length_us
        self.step = bucket_us(length_us)
        self.total = 0
        self._counts: Counter[int] = Counter()

    def add(self, at: int, amount: int, now: int) -> None:
        bucket = at // self.step
        if amount > 0 and bucket >= self._oldest(now):
            self._counts[bucket] += amount
            self.total += amount

    def drop_old(self, now: int) -> None:
        for bucket in [bucket for bucket in self._counts if bucket < self._oldest(now)]:
            self.total -= self._counts.pop(bucket)

    def reset_us(self, now: int) -> int:
        return self.left_at(min(self._counts) * self.step) - now if self._counts else 0

    def left_at(self, at: int) -> int:
        """The moment at which what was counted at `at` counts no more."""
        return (at // self.step + 1) * self.step + self.length

    def until_left(self, needed: int, now: int) -> tuple[int, int]:
        """When `needed` will have left the window, and how much of it never does."""
        for bucket in sorted(self._counts):
            needed -= self._counts[bucket]
            if needed <= 0:
                return self.left_at(bucket * self.step) - now, 0
        return 0, needed

    def _oldest(self, now: int) -> int:
        return (now - self.length) // self.step


class AdmissionBook:
    def __init__(self, timing: Timing | None = None) -> None:
        self._timing = timing or Timing()
        self._minute = _Window(self._timing.minute_us)
        self._hour = _Window(self._timing.hour_us)
        self._tokens = _Window(self._timing.minute_us)
        self._leases: dict[str, _Lease] = {}
        self._reserved_tokens = 0
        self._reserved_cost: Counter[str] = Counter()
        self._spent: dict[str, int] = {}
        self._seeded: dict[str, int] = {}
        self._late: Counter[str] = Counter()
        self._doubt: int | None = None
        self._ended: dict[str, tuple[Used, str]] = {}
        self._ended_before: dict[str, tuple[Used, str]] = {}
        self._turn = 0
        self._elsewhere = 0
        self._refusal: Refusal | None = None

    def admit(self, limits: Limits, ask: Ask, month: str, spent: int | None, now: int) -> Admission:
        """Count and reserve, or do neither. `spent`, the month's sum in the ledger, counts where none is known yet."""
        self._reap(now)
        asked_again = self._is_asked_again(month, now)
        if asked_again and spent is None and limits.monthly_budget_nano_usd is not None:
            return Admission(self._states(limits, month, None, now, known=False), needs_spend=True)
        if (asked_again or month not in self._spent) and spent is not None:
            doubted, self._spent[month] = self._spent.get(month), spent + self._late.pop(month, 0)
            self._seeded[month] = now
            self._doubt = None if doubted == self._spent[month] else now
        if limits.monthly_budget_nano_usd is not None and month not in self._spent:
            return Admission(self._states(limits, month, None, now), needs_spend=True)
        refused_by, wait = self._refused(limits, ask, month, now)
        if refused_by:
            self._refusal = Refusal(refused_by, seconds(now), ask.tokens, ask.cost_nano_usd, seconds(wait))
        elif ask.lease_id not in self._leases:
            self._take(ask, month, now)
        return Admission(self._states(limits, month, None, now), refused_by, seconds(wait))

    def renew(self, lease_id: str, used: Used, now: int) -> bool:
        self._reap(now)
        lease = self._leases.get(lease_id)
        if lease is None:
            self._doubt = now
            return False
        so_far = Used(max(used.tokens, lease.used.tokens), max(used.cost_nano_usd, lease.used.cost_nano_usd))
        due = min(now + self._timing.lease_us, lease.deadline)
        self._leases[lease_id] = replace(lease, used=so_far, due=due)
        return True

    def settle(self, lease_id: str, used: Used, month: str, ago_us: int, now: int, *, in_ledger: bool = True) -> bool:
        self._reap(now)
        if self._doubt is not None or lease_id not in self._leases or not in_ledger:
            self._doubt = now
        if lease_id in self._leases:
            self._finish(lease_id, now, used, now)
            return True
        ended = self._ended if lease_id in self._ended else self._ended_before
        if lease_id in ended:
            charged, admitted_in = ended[lease_id]
            self._tokens.add(now, used.tokens - charged.tokens, now)
            self._charge(used.cost_nano_usd - charged.cost_nano_usd, admitted_in)
            ended[lease_id] = Used(max(used.tokens, charged.tokens), used.cost_nano_usd), admitted_in
            return False
        self._tokens.add(now - ago_us, used.tokens, now)
        if month not in self._spent:
            self._late[month] += used.cost_nano_usd if ago_us == 0 else 0
        elif ago_us == 0 or self._seeded[month] <= now - ago_us:
            self._charge(used.cost_nano_usd, month)
        self._ended[lease_id] = used, month
        return False

    def state(self, limits: Limits, month: str, spent: int | None, now: int) -> tuple[LimitState, ...]:
        self._reap(now)
        return self._states(limits, month, spent, now, known=not self._is_asked_again(month, now))

    def last_refusal(self) -> Refusal | None:
        return self._refusal

    def count_elsewhere(self, used: Mapping[str, int], at: int, now: int) -> None:
        """What others are known to have used at the moment `at`, as far as more than is counted here: by limit.

        Requests and tokens leave their windows as if used then, places are free again after the length of a lease.
        """
        self._reap(now)
        self._minute.add(at, used.get(REQUESTS_PER_MINUTE, 0) - self._minute.total, now)
        self._hour.add(at, used.get(REQUESTS_PER_HOUR, 0) - self._hour.total, now)
        self._tokens.add(at, used.get(TOKENS_PER_MINUTE, 0) - self._tokens.total - self._reserved_tokens, now)
        due = at + self._timing.lease_us
        places = used.get(CONCURRENT_REQUESTS, 0) - len(self._leases)
        for _ in range(places if due > now else 0):
            self._elsewhere += 1
            lease_id = f"elsewhere/{self._elsewhere}"
            self._leases[lease_id] = _Lease(Ask(lease_id, 0, 0, self._timing.lease_s), "", due, due)

    @property
    def live(self) -> int:
        return len(self._leases)

    @property
    def reserved_tokens(self) -> int:
        return self._reserved_tokens

    def reserved_cost(self, month: str) -> int:
        return self._reserved_cost[month]

    def spent(self, month: str) -> int | None:
        return self._spent.get(month)

    def _reap(self, now: int) -> None:
        """Leases that were not renewed have ended when they were due."""
        turn = now // self._timing.remember_us
        if turn > self._turn:
            self._ended_before = self._ended if turn == self._turn + 1 else {}
            self._ended, self._turn = {}, turn
        for window in (self._minute, self._hour, self._tokens):
            window.drop_old(now)
        for lease_id, lease in [(lease_id, lease) for lease_id, lease in self._leases.items() if lease.due <= now]:
            self._finish(lease_id, lease.due, lease.used, now)
            self._doubt = max(self._doubt or 0, lease.due)  # the ledger may have more of it, or less

    def _is_asked_again(self, month: str, now: int) -> bool:
        """What was spent may differ from the ledger's, which is asked until it agrees; and nothing is under way, nor
        has been for the length of a lease, so that it has all."""
        quiet = self._doubt is not None and not self._leases and now - self._doubt >= self._timing.lease_us
        return quiet and month in self._spent

    def _finish(self, lease_id: str, at: int, used: Used, now: int) -> None:
        lease = self._leases.pop(lease_id)
        self._reserved_tokens -= lease.ask.tokens
        self._reserved_cost[lease.month] -= lease.ask.cost_nano_usd
        self._tokens.add(at, used.tokens, now)
        self._charge(used.cost_nano_usd, lease.month)
        self._ended[lease_id] = used, lease.month

    def _charge(self, cost: int, month: str) -> None:
        """Where no spend is known the ledger is going to be asked for it, and has this."""
        if month in self._spent:
            self._spent[month] += cost

    def _take(self, ask: Ask, month: str, now: int) -> None:
        self._minute.add(now, 1, now)
        self._hour.add(now, 1, now)
        self._reserved_tokens += ask.tokens
        self._reserved_cost[month] += ask.cost_nano_usd
        deadline = now + ask.deadline_us
        self._leases[ask.lease_id] = _Lease(ask, month, min(now + self._timing.lease_us, deadline), deadline)

    def _refused(self, limits: Limits, ask: Ask, month: str, now: int) -> tuple[str | None, int]:
        """The limit with the longest wait, and that wait; the first of two that are alike."""
        full: str | None = None
        longest = 0
        waits = (
            self._until_request(self._minute, limits.requests_per_minute, now),
            self._until_request(self._hour, limits.requests_per_hour, now),
            self._until_tokens(limits.tokens_per_minute, ask.tokens, now),
            self._until_place(limits.concurrent_requests, now),
            self._until_budget(limits.monthly_budget_nano_usd, ask.cost_nano_usd, month, now),
        )
        for name, wait in zip(LIMIT_NAMES, waits, strict=True):
            if wait == _NEVER:
                return name, _NEVER
            if wait > longest:
                full, longest = name, wait
        return full, longest

    def _until_request(self, window: _Window, limit: int, now: int) -> int:
        if limit < 1:
            return _NEVER
        over = window.total + 1 - limit
        return window.until_left(over, now)[0] if over > 0 else 0

    def _until_tokens(self, limit: int | None, tokens: int, now: int) -> int:
        if limit is None:
            return 0
        if tokens > limit:
            return _NEVER
        over = self._tokens.total + self._reserved_tokens + tokens - limit
        if over <= 0:
            return 0
        wait, left = self._tokens.until_left(over, now)
        if left == 0:
            return wait
        for lease in sorted(self._leases.values(), key=lambda lease: lease.deadline):
            left -= lease.ask.tokens
            if left <= 0:
                return self._tokens.left_at(lease.deadline) - now
        raise AssertionError("an ask within the limit fits when nothing is left")

    def _until_place(self, limit: int | None, now: int) -> int:
        if limit is None or len(self._leases) < limit:
            return 0
        if limit < 1:
            return _NEVER
        return sorted(lease.deadline for lease in self._leases.values())[len(self._leases) - limit] - now

    def _until_budget(self, limit: int | None, cost: int, month: str, now: int) -> int:
        if limit is None:
            return 0
        if cost > limit:
            return _NEVER
        if self._spent[month] + self._reserved_cost[month] + cost <= limit:
            return 0
        return max(1, month_end_us(month) - now)

    def _states(
        self, limits: Limits, month: str, spent: int | None, now: int, *, known: bool = True
    ) -> tuple[LimitState, ...]:
        """`known` False: what is known of the month's spend is not believed any more."""

        def state(name: str, limit: int, used: int, reset: int) -> LimitState:
            return LimitState(name, limit, max(0, limit - used), seconds(reset))

        minute, hour, tokens = self._minute, self._hour, self._tokens
        states = [
            state(REQUESTS_PER_MINUTE, limits.requests_per_minute, minute.total, minute.reset_us(now)),
            state(REQUESTS_PER_HOUR, limits.requests_per_hour, hour.total, hour.reset_us(now)),
        ]
        if limits.tokens_per_minute is not None:
            used = tokens.total + self._reserved_tokens
            states.append(state(TOKENS_PER_MINUTE, limits.tokens_per_minute, used, tokens.reset_us(now)))
        if limits.concurrent_requests is not None:
            first = min((lease.deadline for lease in self._leases.values()), default=now) - now
            states.append(state(CONCURRENT_REQUESTS, limits.concurrent_requests, len(self._leases), first))
        spent = self._spent.get(month, spent) if known else spent
        if limits.monthly_budget_nano_usd is not None and spent is not None:
            used = spent + self._reserved_cost[month]
            until_end = max(0, month_end_us(month) - now)
            states.append(state(MONTHLY_BUDGET, limits.monthly_budget_nano_usd, used, until_end))
        return tuple(states)
