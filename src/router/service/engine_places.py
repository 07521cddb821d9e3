"""Places in the engine pools: who may have a turn generated, and who waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from contracts.errors import OverloadedError, PoolUnavailableError
from contracts.external import EXTERNAL_POOL
from contracts.tenant import TenantId
from observability import names
from observability.metrics import Metrics
from router.domain.fair_queue import NO_CAPACITY_RETRY_S, Bounds, FairQueue, Refused, Ticket
from router.domain.pool_share import Demand

POSITIONS_EVERY_S = 0.5
DEFAULT_CAPACITY = 64
"""Of a pool of which nothing has been heard yet, and of an engine of a tenant's own, in each router."""

_REASONS = {
    "tenant_queue_full": "too many requests of this tenant are waiting",
    "queue_full": "too many requests are waiting",
    "deadline": "the request would not be started in time",
}


class Place:
    """A request's place in a pool, or in the queue for it."""

    def __init__(self, pool: _Pool, ticket: Ticket, until: float) -> None:
        self._pool = pool
        self._ticket = ticket
        self._until = until
        self._news = asyncio.Event()
        self._asked_at = time.monotonic()
        self._started_at: float | None = None
        self._held_at: float | None = None
        self.held_s = 0.0
        """So long it has waited for a pool without replicas, which does not count towards its deadline."""
        self.position = 0
        """In line while it waits, 1 is next; known only while `positions` is read. 0 when it has its place."""

    @property
    def is_ready(self) -> bool:
        return self._started_at is not None

    @property
    def waited_s(self) -> float:
        """Until it had its place; until now while it has none."""
        return (self._started_at or time.monotonic()) - self._asked_at

    async def ready(self) -> None:
        """Wait for the place. Raises OverloadedError when the deadline comes first, PoolUnavailableError when no
        replica has come for as long as requests are held."""
        while not self.is_ready:
            await self._wait()

    async def positions(self) -> AsyncIterator[int]:
        """Its position in line whenever that has changed, at most every half second; ends when it has its place.

        Raises as `ready` does.
        """
        told = 0
        with self._pool.telling(self, self._ticket):
            while not self.is_ready:
                if self.position != told:
                    told = self.position
                    yield told
                await self._wait()

    @property
    def priority(self) -> int:
        """For the engine, lower first."""
        return self._ticket.priority

    def charge(self, prompt_tokens: int, completion_tokens: int) -> None:
        """What the turn has used so far, as every token event says. Cheap: it is called for each."""
        self._pool.charge(self._ticket, prompt_tokens + completion_tokens)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout_at(self._limit()):
                await self._news.wait()
        except TimeoutError as error:
            if self._held_at is not None:
                raise PoolUnavailableError(
                    "the engine pool of this tenant has no replica yet", retry_after_s=NO_CAPACITY_RETRY_S
                ) from error
            raise OverloadedError("no place in the engine became free in time", retry_after_s=1) from error
        self._news.clear()

    def _limit(self) -> float:
        return self._until if self._held_at is None else self._held_at + self._pool.hold_s - self.held_s

    # For the pool

    def start(self) -> None:
        self.go_on()
        self._started_at = time.monotonic()
        self.position = 0
        self._news.set()

    def hold(self) -> None:
        """Its deadline stands still."""
        if self._held_at is None:
            self._held_at = asyncio.get_running_loop().time()
            self._news.set()

    def go_on(self) -> None:
        """The pool has a replica: its deadline runs again."""
        if self._held_at is not None:
            held_s = asyncio.get_running_loop().time() - self._held_at
            self.held_s, self._until, self._held_at = self.held_s + held_s, self._until + held_s, None
            self._news.set()

    def move(self, position: int) -> None:
        if position != self.position:
            self.position = position
            self._news.set()


@dataclass(slots=True)
class _Pool:
    name: str
    queue: FairQueue
    metrics: Metrics
    hold_s: float = 0.0
    """While it has no replica: so long a request waits for one."""
    waiting: dict[Ticket, Place] = field(default_factory=dict)
    _listeners: set[Place] = field(default_factory=set)
    _timer: asyncio.TimerHandle | None = None
    _depth: int = 0

    def join(
        self, tenant_id: TenantId, weight: float, *, expected_tokens: int, time_left_s: float
    ) -> tuple[Place, Ticket]:
        """Raises OverloadedError."""
        ticket = self.queue.ask(tenant_id, weight, expected_tokens=expected_tokens, time_left_s=time_left_s)
        if isinstance(ticket, Refused):
            self.metrics.count(names.THROTTLED_COUNT, tenant=str(tenant_id), reason=ticket.reason)
            raise OverloadedError(
                _REASONS[ticket.reason], details={"reason": ticket.reason}, retry_after_s=ticket.retry_after_s
            )
        place = Place(self, ticket, asyncio.get_running_loop().time() + time_left_s)
        self.waiting[ticket] = place
        if not self.queue.capacity:
            place.hold()
        self.hand_out()
        return place, ticket

    def leave(self, ticket: Ticket) -> None:
        self.queue.leave(ticket, time.monotonic())
        self.waiting.pop(ticket, None)
        self.hand_out()

    def resize(self, capacity: int) -> None:
        self.queue.resize(capacity)
        for place in self.waiting.values():
            place.go_on() if capacity else place.hold()
        self.hand_out()

    def charge(self, ticket: Ticket, tokens: int) -> None:
        self.queue.charge(ticket, tokens)
        if self.queue.stalled:
            self.hand_out()

    def hand_out(self) -> None:
        """Every free place to whom it belongs."""
        while (ticket := self.queue.start(time.monotonic())) is not None:
            place = self.waiting.pop(ticket)
            place.start()
            self.metrics.observe(names.QUEUE_TIME, place.waited_s, tenant=str(ticket.tenant.tenant_id), pool=self.name)
        if self._depth != self.queue.waiting:
            self._depth = self.queue.waiting
            self.metrics.level(names.QUEUE_DEPTH, self._depth, pool=self.name)

    @contextmanager
    def telling(self, place: Place, ticket: Ticket) -> Iterator[None]:
        """While this is entered the place is told its position."""
        self._listeners.add(place)
        if not place.is_ready:
            place.move(self.queue.position(ticket))
            if self._timer is None:
                self._tell_later()
        try:
            yield
        finally:
            self._listeners.discard(place)
            if not self._listeners and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _tell(self) -> None:
        """All positions are looked up at once, for all who listen: it costs as much as for one."""
        for ticket, position in self.queue.positions():
            place = self.waiting[ticket]
            if place in self._listeners:
                place.move(position)
        self._tell_later()

    def _tell_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(POSITIONS_EVERY_S, self._tell)


class EnginePlaces:
    """The places of all pools. `headroom`: places of a pool that are kept for newcomers; None: an eighth."""

    def __init__(self, metrics: Metrics, *, headroom: int | None = None, bounds: Bounds | None = None) -> None:
        self._metrics = metrics
        self._headroom = headroom
        self._bounds = bounds
        self._pools: dict[str, _Pool] = {}
        self._own: dict[TenantId, _Pool] = {}

    @asynccontextmanager
    async def join(
        self, pool: str, tenant_id: TenantId, weight: float, *, time_left_s: float, expected_tokens: int
    ) -> AsyncIterator[Place]:
        """A place in the queue at once, or OverloadedError with the time after which another try makes sense.

        `await place.ready()` before any work. Leaving gives the place back, wherever it is. `expected_tokens`
        (what the prompt is likely to have) is charged where the engine's own count never comes: a turn that ended
        before it reached the engine says `charge(0, 0)`.
        """
        asked = self._line(pool, tenant_id)
        place, ticket = asked.join(tenant_id, weight, expected_tokens=expected_tokens, time_left_s=time_left_s)
        try:
            yield place
        finally:
            asked.leave(ticket)
            if pool == EXTERNAL_POOL and not len(asked.queue):
                self._own.pop(tenant_id, None)

    @asynccontextmanager
    async def place(
        self, pool: str, tenant_id: TenantId, weight: float, *, time_left_s: float, expected_tokens: int
    ) -> AsyncIterator[Place]:
        """`join`, entered when the place is there. Raises OverloadedError."""
        joined = self.join(pool, tenant_id, weight, time_left_s=time_left_s, expected_tokens=expected_tokens)
        async with joined as place:
            await place.ready()
            yield place

    def has_room(self, pool: str, tenant_id: TenantId, weight: float) -> bool:
        """Whether a request would have its place at once."""
        return self._pool(pool).queue.has_room(tenant_id, weight)

    def resize(self, pool: str, capacity: int) -> None:
        """At least one: what no engine takes shall fail, not wait for ever."""
        self._resize(self._pool(pool), max(1, capacity))

    def hold(self, pool: str, within_s: float) -> None:
        """The pool has no replica, and one is to come: each request waits for it, `within_s` at most, until `resize`
        says what it has."""
        found = self._pool(pool)
        found.hold_s = within_s
        self._resize(found, 0)

    def _resize(self, pool: _Pool, capacity: int) -> None:
        if capacity != pool.queue.capacity:
            pool.resize(capacity)

    def demands(self) -> Mapping[str, Demand]:
        """What is asked of each pool that anything was ever asked of."""
        return {
            name: Demand(pool.queue.in_flight, pool.queue.waiting, pool.queue.active_weight)
            for name, pool in self._pools.items()
        }

    def _line(self, pool: str, tenant_id: TenantId) -> _Pool:
        """An engine of a tenant's own is nobody else's to wait for: a line for each such tenant, while it is used."""
        if pool != EXTERNAL_POOL:
            return self._pool(pool)
        if tenant_id not in self._own:
            self._own[tenant_id] = _Pool(
                pool, FairQueue(DEFAULT_CAPACITY, headroom=0, bounds=self._bounds), self._metrics
            )
        return self._own[tenant_id]

    def _pool(self, name: str) -> _Pool:
        pool = self._pools.get(name)
        if pool is None:
            queue = FairQueue(DEFAULT_CAPACITY, headroom=self._headroom, bounds=self._bounds)
            pool = self._pools[name] = _Pool(name, queue, self._metrics)
        return pool
