"""Which pool a request waits for, of those that the orchestrator knows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from contracts.errors import AtriumError, ModelUnavailableError, PoolUnavailableError, UpstreamError
from contracts.external import EXTERNAL_POOL
from contracts.pools import DEFAULT_POOL, PoolState
from observability import names
from observability.metrics import Metrics
from router.domain.policy import Policy
from router.domain.pool_choice import choose_pool
from router.service.engine_places import EnginePlaces

LEFT_ALONE_S = 2.0
"""So long a pool that failed is no choice of those who have another; by then its state says how it does."""


class Pools:
    def __init__(
        self,
        places: EnginePlaces,
        states: Callable[[], Mapping[str, PoolState]],
        metrics: Metrics,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places = places
        self._states = states
        self._metrics = metrics
        self._now = now
        self._failed: dict[str, float] = {}

    def states(self) -> Mapping[str, PoolState]:
        """As last heard; nothing before that."""
        return self._states()

    def choose(self, policy: Policy, model: str | None = None) -> str:
        """For one request, now. `model`: what the request names beside those of the config."""
        if not policy.config.pool_spill or policy.pool == EXTERNAL_POOL:
            return policy.pool
        with_room = {
            pool
            for pool in (policy.pool, DEFAULT_POOL)
            if self._places.has_room(pool, policy.tenant_id, policy.config.weight)
        }
        states = self._states()
        if policy.pool in self._failed:
            if self._now() - self._failed[policy.pool] < LEFT_ALONE_S:
                states = {pool: state for pool, state in states.items() if pool != policy.pool}
            else:
                del self._failed[policy.pool]
        pool = choose_pool(policy.config, states, with_room, model)
        if pool != policy.pool:
            self._metrics.count(names.POOL_SPILL, pool=policy.pool)
        return pool

    def failed(self, policy: Policy, pool: str | None, error: AtriumError) -> bool:
        """`pool`, which was chosen, could not begin a request; whether another is to be chosen for it now."""
        if not isinstance(error, UpstreamError | PoolUnavailableError | ModelUnavailableError):
            return False
        if not policy.config.pool_spill or pool != policy.pool or pool in {DEFAULT_POOL, EXTERNAL_POOL}:
            return False
        self._failed[policy.pool] = self._now()
        return True
