"""The engine's replicas by pool, taken in turn."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from contracts.errors import UpstreamError


class Replicas:
    def __init__(self, pools: Mapping[str, Sequence[str]]) -> None:
        self._turns = {pool: itertools.cycle(urls) for pool, urls in pools.items()}

    def pick(self, pool: str) -> str:
        """The address of the pool's next replica. Raises UpstreamError for a pool that this service does not know."""
        turns = self._turns.get(pool)
        if turns is None:
            raise UpstreamError("the engine pool of this tenant does not exist")
        return next(turns)
