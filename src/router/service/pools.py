"""Which pool a request waits for, of those that the orchestrator knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from contracts.external import EXTERNAL_POOL
from contracts.pools import DEFAULT_POOL, PoolState
from observability import names
from observability.metrics import Metrics
from router.domain.policy import Policy
from router.domain.pool_choice import choose_pool
from router.service.engine_places import EnginePlaces


class Pools:
    def __init__(self, places: EnginePlaces, states: Callable[[], Mapping[str, PoolState]], metrics: Metrics) -> None:
        self._places = places
        self._states = states
        self._metrics = metrics

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
        pool = choose_pool(policy.config, self._states(), with_room, model)
        if pool != policy.pool:
            self._metrics.count(names.POOL_SPILL, pool=policy.pool)
        return pool
