"""A model of an engine in steps, to try a queue without time: in each step every running request gets one token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from contracts.tenant import TenantId
from router.domain.fair_queue import FairQueue, Refused, Ticket


@dataclass
class Load:
    """A tenant that always has `streams` requests open. `size` gives the next one's prompt and answer tokens, and after
    how many tokens it is given up (None: never)."""

    tenant_id: TenantId
    streams: int
    size: Callable[[], tuple[int, int, int | None]]
    weight: float = 1.0


@dataclass
class _Open:
    load: Load
    prompt: int
    answer: int
    given_up_at: int | None
    sent: int = 0


@dataclass
class EngineModel:
    queue: FairQueue
    tokens: Counter[TenantId] = field(default_factory=Counter)
    now: float = 0.0
    _open: dict[Ticket, _Open] = field(default_factory=dict)
    _running: dict[Ticket, _Open] = field(default_factory=dict)

    def run(self, loads: Iterable[Load], steps: int) -> None:
        for load in loads:
            for _ in range(load.streams):
                self._ask(load)
        for _ in range(steps):
            self.step()

    def step(self) -> None:
        self.now += 0.05
        self._start()
        for ticket, request in list(self._running.items()):
            request.sent += 1
            self.tokens[request.load.tenant_id] += 1
            self.queue.charge(ticket, request.prompt + request.sent)
            if request.sent in {request.answer, request.given_up_at}:
                del self._running[ticket], self._open[ticket]
                self.queue.leave(ticket, self.now)
                self._ask(request.load)
                self._start()

    def _ask(self, load: Load) -> None:
        prompt, answer, given_up_at = load.size()
        ticket = self.queue.ask(load.tenant_id, load.weight, expected_tokens=prompt)
        assert not isinstance(ticket, Refused)
        self._open[ticket] = _Open(load, prompt, answer, given_up_at)

    def _start(self) -> None:
        while (ticket := self.queue.start(self.now)) is not None:
            request = self._running[ticket] = self._open[ticket]
            self.tokens[request.load.tenant_id] += request.prompt


def jain(values: Iterable[float]) -> float:
    """Jain's index: 1 when all are equal, 1/n when one has everything."""
    found = list(values)
    return sum(found) ** 2 / (len(found) * sum(value * value for value in found))
