"""What the engines say of themselves: vLLM's `/metrics`, its health and its models, asked for in the background."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence

import aiohttp

from app.adapters.engine_link import EngineLink, TryError
from app.adapters.replica import Reading, Replica
from app.adapters.replicas import Replicas
from contracts.pools import PoolState, ServedModel
from observability import names
from observability.logging import log
from observability.metrics import Metrics

INTERVAL_S = 0.5
WITHIN_S = 0.4
HEALTH_EVERY = 4
"""Rounds: every other second."""
HEALTH_WITHIN_S = 1.5
UNREACHABLE_AFTER = 2
"""Health checks in a row that fail; a refused connection is enough by itself."""
MODELS_EVERY_S = 10.0

_logger = logging.getLogger("atrium.pools")
_VALUES = tuple(
    re.compile(rb"^vllm:%s(?:\{[^}\n]*\})? ([0-9.eE+-]+)" % name, re.MULTILINE)
    for name in (b"num_requests_running", b"num_requests_waiting", b"kv_cache_usage_perc")
)


class EnginePools:
    """`max_seqs`: how many sequences a replica works on at once. vLLM tells it nowhere, so it is a setting.

    `healthy_path`: what an engine answers with 200 while it is well; OpenAI's API has none.
    """

    def __init__(
        self,
        link: EngineLink,
        replicas: Replicas,
        *,
        max_seqs: int,
        metrics: Metrics,
        healthy_path: str | None = "/health",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._replicas = replicas
        self._max_seqs = max_seqs
        self._metrics = metrics
        self._healthy_path = healthy_path
        self._now = now
        self._round = 0

    async def run(self) -> None:
        """Ask until cancelled, every half second."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self.ask()
                if self._round % HEALTH_EVERY == 1:
                    tasks.create_task(self.check())  # beside the rounds: it may take longer than one
                await asyncio.sleep(INTERVAL_S)

    async def ask(self) -> None:
        """Ask every replica once, all at the same time; what does not answer in time keeps its last reading."""
        self._round += 1
        await asyncio.gather(*(self._ask(replica) for replica in self._all()))
        self._replicas.tell()
        for pool, state in self.states().items():
            if state.waiting is not None:
                self._metrics.level(names.ENGINE_QUEUE_DEPTH, state.waiting, pool=pool)
            if state.kv_usage is not None:
                self._metrics.level(names.KV_CACHE_USAGE, state.kv_usage, pool=pool)

    async def check(self) -> None:
        """Whether every replica is well, and what it serves."""
        await asyncio.gather(*(self._check(replica) for replica in self._all()))

    def states(self) -> dict[str, PoolState]:
        return {pool: self._state(replicas) for pool, replicas in self._replicas.pools().items()}

    def _all(self) -> Iterable[Replica]:
        return (replica for replicas in self._replicas.pools().values() for replica in replicas)

    async def _ask(self, replica: Replica) -> None:
        try:
            text = await self._link.text(replica.url + "/metrics", WITHIN_S)
        except aiohttp.ClientConnectorError:
            self._reached(replica, False)
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass  # it may only be busy
        else:
            if not replica.probes_failed:
                self._reached(replica, True)
            replica.heard(read_metrics(text or b""), self._now())

    async def _check(self, replica: Replica) -> None:
        if self._healthy_path is not None:
            try:
                well = await self._link.text(replica.url + self._healthy_path, HEALTH_WITHIN_S) is not None
            except (aiohttp.ClientError, OSError, TimeoutError):
                well = False
            replica.probes_failed = 0 if well else replica.probes_failed + 1
            if well or replica.probes_failed >= UNREACHABLE_AFTER:
                self._reached(replica, well)
        if replica.reachable and (replica.models_at is None or self._now() - replica.models_at >= MODELS_EVERY_S):
            try:
                async with asyncio.timeout(HEALTH_WITHIN_S):
                    replica.models = await self._link.models(replica)
            except (TryError, TimeoutError):
                pass  # what it served, it is thought to serve still
            else:
                replica.models_at = self._now()

    def _reached(self, replica: Replica, reachable: bool) -> None:
        if replica.reachable != reachable:
            replica.reachable = reachable
            log(_logger, logging.WARNING, "replica reached or not", replica=replica.url, reachable=reachable)

    def _state(self, replicas: Sequence[Replica]) -> PoolState:
        """One replica's worth of sequences remains where none can be reached: a turn shall fail, not wait for ever."""
        now = self._now()
        usable = [replica for replica in replicas if replica.state(now) == "usable"]
        readings = [replica.reading for replica in usable]
        return PoolState(
            running=_sum(reading.running for reading in readings),
            waiting=_sum(reading.waiting for reading in readings),
            sequences=sum(replica.sequences(self._max_seqs, now) for replica in usable) or self._max_seqs,
            kv_usage=max((reading.kv_usage for reading in readings if reading.kv_usage is not None), default=None),
            replicas=len(usable),
            known=len(replicas),
            stale=not usable or any(replica.stale(now) for replica in usable),
            models=_models(usable),
        )


def read_metrics(text: bytes) -> Reading:
    """From the Prometheus text; the ranks of a data-parallel engine are added up. What is no number is not said."""
    try:
        running, waiting, kv_usage = ([float(value) for value in found.findall(text)] for found in _VALUES)
        return Reading(
            running=int(sum(running)) if running else None,
            waiting=int(sum(waiting)) if waiting else None,
            kv_usage=max(kv_usage, default=None),
        )
    except (ValueError, OverflowError):
        return Reading()


def _models(replicas: Iterable[Replica]) -> tuple[ServedModel, ...]:
    """Of all of them, each once, base models first."""
    found = {model.id: model for replica in replicas for model in replica.models or ()}
    return tuple(sorted(found.values(), key=lambda model: model.parent is not None))


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
