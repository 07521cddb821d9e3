"""How fast an answer comes: a tick for each piece of it."""

from __future__ import annotations

from time import perf_counter

from observability.distribution import Distribution


class Pace:
    """One stream's. `gaps` has the seconds from each piece to the next: none for the first."""

    __slots__ = ("_last", "gaps")

    def __init__(self) -> None:
        self._last = 0.0
        self.gaps = Distribution()

    def tick(self) -> bool:
        """A piece has been sent on. Whether it was the first."""
        now = perf_counter()
        last, self._last = self._last, now
        if not last:
            return True
        self.gaps.add(now - last)
        return False
