"""This router's part of each engine pool: the pools' sizes from the orchestrator, the other routers from heartbeats."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from contracts.errors import AtriumError, DependencyDownError
from contracts.pools import PoolState
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from router.domain.pool_share import Demand, divide
from router.ports import Heartbeats, PoolStates
from router.service.engine_places import EnginePlaces

_logger = logging.getLogger("atrium.pools")


class PoolShare:
    """Keeps `places` at this router's part. What is out of reach keeps its last known value.

    `hold_s`: so long requests wait for the first replica of a pool that is known and has none; 0: they are not held.
    """

    def __init__(
        self,
        router_id: str,
        places: EnginePlaces,
        pools: PoolStates,
        heartbeats: Heartbeats,
        metrics: Metrics,
        *,
        hold_s: float = 0.0,
    ) -> None:
        self._router_id = router_id
        self._places = places
        self._pools = pools
        self._heartbeats = heartbeats
        self._metrics = metrics
        self._hold_s = hold_s
        self._states: Mapping[str, PoolState] = {}
        self._routers = 1
        self._silent: set[str] = set()

    def live_routers(self) -> int:
        """This one included; the last known number while Valkey is out of reach."""
        return self._routers

    def states(self) -> Mapping[str, PoolState]:
        """What was last heard of the pools; nothing before that."""
        return self._states

    async def adjust(self) -> None:
        """Ask, tell and take one's part, once; to be repeated every half second. Raises nothing that is expected."""
        beats, _ = await asyncio.gather(self._beat(), self._ask_pools())
        for pool, state in self._states.items():
            if self._hold_s and state.known == 0:
                self._places.hold(pool, self._hold_s)
            else:
                self._places.resize(pool, self._part(pool, state.sequences, beats))

    def _part(self, pool: str, sequences: int, beats: Mapping[str, Mapping[str, Demand]] | None) -> int:
        if beats is None:
            return max(1, sequences // self._routers)
        demands = {router: told.get(pool, Demand()) for router, told in beats.items()}
        return divide(sequences, demands)[self._router_id]

    async def _beat(self) -> Mapping[str, Mapping[str, Demand]] | None:
        """What all routers tell; None while Valkey is out of reach."""
        own = self._places.demands()
        try:
            beats = await self._heartbeats.beat(self._router_id, own)
        except DependencyDownError as error:
            self._failed("valkey", "out_of_reach", error)
            return None
        self._silent.discard("valkey")
        told = {**beats, self._router_id: own}
        self._routers = len(told)
        return told

    async def _ask_pools(self) -> None:
        try:
            self._states = await self._pools.pools()
        except AtriumError as error:
            self._failed("orchestrator", error.code, error)
            return
        self._silent.discard("orchestrator")

    async def leave(self) -> None:
        """Tell the others at once that this router stops."""
        try:
            await self._heartbeats.leave(self._router_id)
        except DependencyDownError as error:
            self._failed("valkey", "out_of_reach", error)

    def _failed(self, dependency: str, reason: str, error: AtriumError) -> None:
        """Counted each time, logged once until it is well again."""
        self._metrics.count(names.DEPENDENCY_FAILURE, dependency=dependency, reason=reason)
        if dependency not in self._silent:
            self._silent.add(dependency)
            log(_logger, logging.WARNING, "the pools' places stay as they are", reason=error.message)
