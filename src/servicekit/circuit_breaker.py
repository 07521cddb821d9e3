"""When to stop asking a service that does not answer. Pure: it is told what happened, and when it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class CircuitBreaker:
    """After `failures` in a row nothing is asked for `open_s` seconds; then one is let through at a time, as a trial,
    until one succeeds. `now` is of one clock that only goes forward."""

    failures: int
    open_s: float
    _in_a_row: int = 0
    _opened_at: float | None = None
    _trial: bool = False

    @property
    def is_open(self) -> bool:
        return self._opened_at is not None

    def allows(self, now: float) -> bool:
        """Whether to ask now. Whoever is allowed tells what came of it: `succeeded`, `failed` or `gave_up`."""
        if self._opened_at is None:
            return True
        if self._trial or now - self._opened_at < self.open_s:
            return False
        self._trial = True
        return True

    def wait_s(self, now: float) -> float:
        """Until the next trial may begin."""
        return max(0.0, self._opened_at + self.open_s - now) if self._opened_at is not None else 0.0

    def succeeded(self) -> bool:
        """Whether this has closed it."""
        closed = self.is_open
        self._in_a_row, self._opened_at, self._trial = 0, None, False
        return closed

    def failed(self, now: float) -> bool:
        """Whether this has opened it, and not kept it open."""
        self._in_a_row += 1
        self._trial = False
        opened = self._opened_at is None and self._in_a_row >= self.failures
        if opened or self._opened_at is not None:
            self._opened_at = now
        return opened

    def gave_up(self) -> None:
        """Nothing was learned: the caller left, or the fault was its own. Another may try."""
        self._trial = False
