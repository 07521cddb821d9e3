"""The routers' heartbeats in memory: for tests, and for a router that is alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from contracts.errors import DependencyDownError
from router.adapters.valkey_heartbeats import LIVES_S
from router.domain.pool_share import Demand


class MemoryHeartbeats:
    """Implements `Heartbeats`; shared by the routers that are to know of each other. `down` makes it fail."""

    def __init__(self, *, lives_s: float = LIVES_S, now: Callable[[], float] = time.monotonic) -> None:
        self.down = False
        self._lives_s = lives_s
        self._now = now
        self._beats: dict[str, tuple[float, dict[str, Demand]]] = {}

    async def beat(self, router_id: str, demands: Mapping[str, Demand]) -> Mapping[str, Mapping[str, Demand]]:
        self._fail_if_down()
        now = self._now()
        self._beats[router_id] = now, dict(demands)
        return {other: told for other, (at, told) in self._beats.items() if now - at < self._lives_s}

    async def leave(self, router_id: str) -> None:
        self._fail_if_down()
        self._beats.pop(router_id, None)

    def _fail_if_down(self) -> None:
        if self.down:
            raise DependencyDownError("Valkey is out of reach", details={"dependency": "valkey"}, retry_after_s=1)
