"""One engine of a pool, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from app.domain.choice import Load
from app.domain.health import WELL, Health, HealthState
from contracts.pools import ServedModel

STALE_S = 1.0

State = Literal["usable", "ejected", "unreachable", "draining"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a replica's `/metrics` said; None for what it does not say."""

    running: int | None = None
    waiting: int | None = None
    kv_usage: float | None = None


@dataclass(slots=True, eq=False)
class Replica:
    """`in_flight` are this process's own requests; `reachable` is what its probes say, `health` what its requests do.

    `models`: None while it has not told them.
    """

    pool: str
    url: str
    draining: bool = False
    in_flight: int = 0
    health: Health = WELL
    reachable: bool = True
    full_until: float = 0.0
    heard_at: float | None = None
    reading: Reading = field(default_factory=Reading)
    in_flight_when_heard: int = 0
    models: tuple[ServedModel, ...] | None = None
    models_at: float | None = None
    probes_failed: int = 0

    def state(self, now: float) -> State:
        """Whether it takes new work."""
        if self.draining:
            return "draining"
        if not self.reachable:
            return "unreachable"
        return "ejected" if self.health.state(now) is HealthState.EJECTED else "usable"

    def heard(self, reading: Reading, now: float) -> None:
        self.reading, self.heard_at, self.in_flight_when_heard = reading, now, self.in_flight

    def stale(self, now: float) -> bool:
        return self.heard_at is None or now - self.heard_at > STALE_S

    def full(self, now: float) -> bool:
        """It refused a request a moment ago."""
        return now < self.full_until

    def load(self, now: float) -> Load:
        """Other processes' requests are in what it said last; this one's since then are counted on top."""
        if self.stale(now):
            return Load(self.url, self.in_flight, full=self.full(now))
        waiting = self.reading.waiting or 0
        heard = (self.reading.running or 0) + waiting
        requests = max(self.in_flight, heard + self.in_flight - self.in_flight_when_heard)
        return Load(self.url, requests, waiting, self.reading.kv_usage or 0.0, self.full(now))

    def sequences(self, most: int, now: float) -> int:
        """How many requests it works on at once: where it refuses more, what it has is all that it takes."""
        return min(most, max(1, self.load(now).requests)) if self.full(now) else most

    def may_serve(self, model: str | None) -> bool:
        """True too where nobody knows yet."""
        return model is None or self.models is None or any(served.id == model for served in self.models)
