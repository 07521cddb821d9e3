"""Who gets the next place in an engine pool: a virtual token counter for each tenant, weighted.

Sheng et al., "Fairness in Serving Large Language Models" (OSDI 2024), with weights, and with a few places kept
free for whoever has less than its share of them, so that a newcomer need not wait for the end of a long answer.

A tenant's counter is the tokens it has used, divided by its weight; the next free place goes to the waiting tenant with
the least. What its running requests are expected to use yet, by its last ones, is added for this choice alone (the
paper's length prediction): places that become free together then do not all go to one tenant. Whoever begins to wait is
lifted to the counter of who is next: being away earns nothing. Prompt and completion tokens count the same, as they do
in a tenant's limits.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from contracts.tenant import TenantId

NO_CAPACITY_RETRY_S = 10.0
"""Said to whom a queue without capacity is full: a replica takes minutes to come."""
_UNITS = 1000
"""Weights are whole thousandths inside, so that their sum stays exact."""
_ALPHA = 0.1
"""Of a new observation in a running mean."""
KEPT_FOR_S = 600.0
"""Places are kept free for newcomers while another tenant was served so lately; a tenant that is alone has them all."""
_RESERVED = 10
"""The last tenth of the queue is only for tenants of which nothing waits: one tenant cannot fill it for the others."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many requests may wait."""

    per_tenant: int = 256
    total: int = 2048


@dataclass(frozen=True, slots=True)
class Refused:
    """`retry_after_s`: when, by the recent pace, a request like this would be taken."""

    reason: Literal["tenant_queue_full", "queue_full", "deadline"]
    retry_after_s: float


@dataclass(eq=False, slots=True)
class Ticket:
    """A request in the queue or at its place. Only the queue changes it."""

    tenant: _Tenant
    units: int
    expected_tokens: int
    state: Literal["waiting", "running", "gone"] = "waiting"
    started_at: float = 0.0
    used: int | None = None
    forecast: int = 0
    priority: int = 0
    """For an engine that goes by it, lower first: how many its tenant had running when it began, for its weight."""

    @property
    def tenant_id(self) -> TenantId:
        return self.tenant.tenant_id


@dataclass(eq=False, slots=True)
class _Tenant:
    """`entry` and `idle` number its one valid entry in the heap of those that wait, and of those that only owe."""

    tenant_id: TenantId
    units: int
    counter: float
    to_come: float = 0.0
    mean_tokens: float | None = None
    waiting: OrderedDict[Ticket, None] = field(default_factory=OrderedDict)
    running: int = 0
    entry: int = 0
    idle: int = 0

    @property
    def key(self) -> float:
        return self.counter + self.to_come

    @property
    def active(self) -> bool:
        return self.running > 0 or bool(self.waiting)


_Entry = tuple[float, float, int, _Tenant]


class FairQueue:
    """No clock of its own and no I/O. Every operation is O(log tenants) amortised, a charge O(1).

    After `ask`, `leave` and `resize` call `start` until it gives nothing: it hands out what has become free. After
    `charge` as well while places are free and somebody waits: who is next may have changed.
    """

    def __init__(self, capacity: int, *, headroom: int | None = None, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._tenants: dict[TenantId, _Tenant] = {}
        self._order: list[_Entry] = []
        self._idle: list[_Entry] = []
        self._numbers = 0
        self._floor = 0.0
        self._highest = 0.0
        self._active_units = 0
        self._waiting_tenants = 0
        self._mean_s: float | None = None
        self._fixed_headroom = headroom
        self._now = 0.0
        self._served: tuple[tuple[TenantId, float], ...] = ()  # the last two tenants, and when
        self.waiting = 0
        self.in_flight = 0
        self.resize(capacity)

    def resize(self, capacity: int) -> None:
        """What runs beyond a smaller capacity ends by itself. With none at all everything waits, for a time that
        nobody knows."""
        self.capacity = max(0, capacity)
        wanted = headroom_of(self.capacity) if self._fixed_headroom is None else self._fixed_headroom
        self.headroom = max(0, min(wanted, self.capacity - 1))

    def ask(
        self, tenant_id: TenantId, weight: float, *, expected_tokens: int = 0, time_left_s: float = math.inf
    ) -> Ticket | Refused:
        """Join the queue, unless it is full or the request would not be started in time by the recent pace."""
        tenant = self._tenants.get(tenant_id) or _Tenant(tenant_id, 0, self._floor)
        units = max(1, round(weight * _UNITS))
        refused = self._refused(tenant, units, time_left_s)
        if refused is not None:
            return refused
        self._tenants[tenant_id] = tenant
        if tenant.active:
            self._active_units += units - tenant.units
        else:
            self._active_units += units
            tenant.idle = 0
        tenant.units = units
        ticket = Ticket(tenant, units, max(0, expected_tokens))
        if not tenant.waiting:
            least = self._least()
            tenant.counter = max(tenant.counter, self._floor, least.counter if least else 0.0)
            self._waiting_tenants += 1
        tenant.waiting[ticket] = None
        self.waiting += 1
        if len(tenant.waiting) == 1:
            self._enter_order(tenant)
        return ticket

    def has_room(self, tenant_id: TenantId, weight: float) -> bool:
        """Whether a request would begin at once."""
        tenant = self._tenants.get(tenant_id) or _Tenant(tenant_id, 0, self._floor)
        return not self.waiting and self._may(tenant, max(1, round(weight * _UNITS)))

    def start(self, now: float) -> Ticket | None:
        """The next request that may begin; it has a place from now on. None: no place is free, or none for those."""
        self._now = now
        tenant = self._least() if self.in_flight < self.capacity else None
        if tenant is None or not self._may(tenant, tenant.units):
            return None
        self._raise_floor(tenant.counter)
        ticket, _ = tenant.waiting.popitem(last=False)
        self.waiting -= 1
        self.in_flight += 1
        ticket.priority = tenant.running * _UNITS // ticket.units
        tenant.running += 1
        self._note_served(tenant.tenant_id)
        ticket.state, ticket.started_at = "running", now
        ticket.forecast = max(ticket.expected_tokens, round(tenant.mean_tokens or 0))
        tenant.to_come += ticket.forecast * _UNITS / ticket.units
        self._after_waiting(tenant)
        return ticket

    def charge(self, ticket: Ticket, tokens: int) -> None:
        """What a running request has used so far, in all: prompt and completion. It never becomes less."""
        if ticket.state == "running":
            self._charge(ticket, max(tokens, ticket.used or 0))

    def leave(self, ticket: Ticket, now: float) -> None:
        """Done, given up or broken, waiting or running: its place is free, its charge stays. Again changes nothing.

        Where nothing was ever said of what it used, it is charged what was expected.
        """
        self._now = now
        tenant, state = ticket.tenant, ticket.state
        ticket.state = "gone"
        if state == "waiting":
            del tenant.waiting[ticket]
            self.waiting -= 1
            self._after_waiting(tenant)
        elif state == "running":
            self.in_flight -= 1
            tenant.running -= 1
            if ticket.used is None:
                self._charge(ticket, ticket.expected_tokens)
            tenant.mean_tokens = _mean(tenant.mean_tokens, ticket.used or 0)
            self._forget_forecast(ticket)
            self._mean_s = _mean(self._mean_s, max(0.0, now - ticket.started_at))
        if state != "gone" and not tenant.active:
            self._retire(tenant)

    @property
    def stalled(self) -> bool:
        """Somebody waits although a place is free: it is kept, and `charge` may make it somebody's."""
        return self.waiting > 0 and self.in_flight < self.capacity

    @property
    def active_weight(self) -> float:
        """Of the tenants of which something waits or runs, together."""
        return self._active_units / _UNITS

    def position(self, ticket: Ticket) -> int:
        """Of a waiting request: how many are likely to start before it, itself included (1 is next)."""
        tenant = ticket.tenant
        own = next(own for own, other in enumerate(tenant.waiting) if other is ticket)
        return self._place_in_line(tenant, tenant.units, own)

    def positions(self) -> Iterator[tuple[Ticket, int]]:
        """Of all that wait, at once."""
        for tenant in self._tenants.values():
            for own, ticket in enumerate(tenant.waiting):
                yield ticket, self._place_in_line(tenant, tenant.units, own)

    def counters(self) -> dict[TenantId, float]:
        """Of the tenants that are remembered: for tests and for looking inside."""
        return {tenant_id: tenant.counter for tenant_id, tenant in self._tenants.items()}

    def keys(self) -> dict[TenantId, float]:
        """The counters with what is to come: the waiting tenant with the least is next."""
        return {tenant_id: tenant.key for tenant_id, tenant in self._tenants.items()}

    def __len__(self) -> int:
        return self.waiting + self.in_flight

    # Who may

    def _least(self) -> _Tenant | None:
        """The waiting tenant that is next; of equals the one with the fewest places.

        Keys rise without telling the heap, so those in it are only lower bounds: an entry that comes up too early is
        put back where it belongs.
        """
        while self._order:
            key, places, number, tenant = self._order[0]
            if number != tenant.entry:
                heapq.heappop(self._order)
            elif key < tenant.key or places < tenant.running:
                tenant.entry = self._number()
                heapq.heapreplace(self._order, (tenant.key, tenant.running, tenant.entry, tenant))
            else:
                return tenant
        return None

    def _may(self, tenant: _Tenant, units: int) -> bool:
        """Whether it may have one of the free places. Those that are kept free are for tenants with nothing running,
        and for others as long as one more does not bring them above their share of the other places."""
        unreserved = self.capacity - self.headroom
        if self.in_flight < unreserved or tenant.running == 0 or self._is_alone(tenant):
            return self.in_flight < self.capacity
        active = self._active_units - tenant.units + units
        return self.in_flight < self.capacity and (tenant.running + 1) * active <= units * unreserved

    def _is_alone(self, tenant: _Tenant) -> bool:
        """No other one waits, runs, or was served lately."""
        if self._active_units > tenant.units:
            return False
        return all(other == tenant.tenant_id or self._now - served_at > KEPT_FOR_S for other, served_at in self._served)

    def _note_served(self, tenant_id: TenantId) -> None:
        others = [entry for entry in self._served if entry[0] != tenant_id]
        self._served = ((tenant_id, self._now), *others[:1])

    def _refused(self, tenant: _Tenant, units: int, time_left_s: float) -> Refused | None:
        own = len(tenant.waiting)
        if not self.waiting and self._may(tenant, units):
            return None
        wait_s = self._wait_s(self._place_in_line(tenant, units, own))
        again_s = min(60.0, max(1.0, wait_s)) if self.capacity else NO_CAPACITY_RETRY_S
        if own >= self._bounds.per_tenant:
            return Refused("tenant_queue_full", again_s)
        if self.waiting >= self._bounds.total - (self._bounds.total // _RESERVED if own else 0):
            return Refused("queue_full", again_s)
        if wait_s > time_left_s:
            return Refused("deadline", again_s)
        return None

    def _place_in_line(self, tenant: _Tenant, units: int, own: int) -> int:
        """An estimate: while `own` + 1 of this tenant start, the others start as many as their weights give them, but
        no more than wait."""
        others = self.waiting - len(tenant.waiting)
        active = self._active_units + (0 if tenant.active else units)
        share_of_others = (own + 1) * (active - units) / units
        return own + 1 + min(others, math.floor(share_of_others))

    def _wait_s(self, place: int) -> float:
        """Until so many places have become free, by the mean time for which one is held lately; 0 while unknown."""
        return place * (self._mean_s or 0.0) / self.capacity if self.capacity else 0.0

    # Counters

    def _charge(self, ticket: Ticket, tokens: int) -> None:
        """As much less is to come, down to nothing."""
        tenant, before = ticket.tenant, ticket.used or 0
        ticket.used = tokens
        tenant.counter += (tokens - before) * _UNITS / ticket.units
        covered = min(tokens, ticket.forecast) - min(before, ticket.forecast)
        tenant.to_come -= covered * _UNITS / ticket.units
        self._highest = max(self._highest, tenant.counter)

    def _forget_forecast(self, ticket: Ticket) -> None:
        """What was expected of it and has not come, comes no more."""
        tenant = ticket.tenant
        left = max(0, ticket.forecast - (ticket.used or 0))
        tenant.to_come = tenant.to_come - left * _UNITS / ticket.units if tenant.running else 0.0
        if left and tenant.waiting:
            self._enter_order(tenant)  # the heap must learn of a key that falls

    def _raise_floor(self, counter: float) -> None:
        self._floor = max(self._floor, counter)
        while self._idle and (self._idle[0][0] <= self._floor or self._idle[0][2] != self._idle[0][3].idle):
            _, _, number, tenant = heapq.heappop(self._idle)
            if number == tenant.idle:
                del self._tenants[tenant.tenant_id]

    def _after_waiting(self, tenant: _Tenant) -> None:
        """One of its requests waits no longer. When none does, whatever was used has taken nothing from anybody: all
        debts are forgiven."""
        if not tenant.waiting:
            self._waiting_tenants -= 1
            tenant.entry = 0
            if not self.waiting:
                self._raise_floor(self._highest)

    def _retire(self, tenant: _Tenant) -> None:
        """Nothing of it waits or runs. A counter above the floor is a debt, and kept until the floor has come up."""
        self._active_units -= tenant.units
        if not self._active_units:
            self._tenants.clear()
            self._order.clear()
            self._idle.clear()
            self._floor = self._highest = 0.0
        elif tenant.counter <= self._floor:
            del self._tenants[tenant.tenant_id]
        else:
            tenant.idle = self._number()
            heapq.heappush(self._idle, (tenant.counter, 0, tenant.idle, tenant))
            if len(self._idle) > 2 * len(self._tenants) + 64:
                self._idle = [entry for entry in self._idle if entry[2] == entry[3].idle]
                heapq.heapify(self._idle)

    # Heaps whose outdated entries stay until they come up, or are more than the valid ones

    def _enter_order(self, tenant: _Tenant) -> None:
        tenant.entry = self._number()
        heapq.heappush(self._order, (tenant.key, tenant.running, tenant.entry, tenant))
        if len(self._order) > 2 * self._waiting_tenants + 64:
            self._order = [entry for entry in self._order if entry[2] == entry[3].entry]
            heapq.heapify(self._order)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers


def headroom_of(capacity: int) -> int:
    """How many places are kept free: an eighth, at least one; none where there is only one place."""
    return max(1, capacity // 8) if capacity > 1 else 0


def _mean(mean: float | None, value: float) -> float:
    return value if mean is None else mean + _ALPHA * (value - mean)
