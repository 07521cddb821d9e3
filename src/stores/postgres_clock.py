"""PostgreSQL's clock as this process knows it, for moments that are compared with those that PostgreSQL noted itself.

After Cristian: Probabilistic Clock Synchronization (Distributed Computing 3, 1989), the lower bound alone.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

FRESH_S = 10.0
"""Two clocks drift apart by less than a millisecond in this time."""
SAMPLES = 3


class PostgresClock:
    def __init__(
        self, ask: Callable[[], Awaitable[datetime]], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`ask`: what PostgreSQL's clock shows."""
        self._ask = ask
        self._monotonic = monotonic
        self._zero: datetime | None = None
        self._until = float("-inf")

    async def at(self, moment: float) -> datetime:
        """What it showed at a moment of this process's monotonic clock: never later than it did, and earlier by the way
        back of the quickest of three answers at most. Raises what `ask` raises."""
        if self._zero is None or self._monotonic() >= self._until:
            self._zero = max([await self._sample() for _ in range(SAMPLES)])
            self._until = self._monotonic() + FRESH_S
        return self._zero + timedelta(seconds=moment)

    async def _sample(self) -> datetime:
        """What it showed when the monotonic clock showed 0, as it seems after the answer's way back."""
        shown = await self._ask()
        return shown - timedelta(seconds=self._monotonic())
