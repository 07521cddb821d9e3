"""What the engines say of themselves: vLLM's `/metrics`, asked again and again in the background."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import aiohttp

from contracts.pools import PoolState
from observability import names
from observability.metrics import Metrics

INTERVAL_S = 0.5
WITHIN_S = 0.4
STALE_S = 2.0
MAX_BYTES = 4 * 1024 * 1024

_RUNNING, _WAITING, _KV = (
    re.compile(rb"^vllm:%s(?:\{[^}\n]*\})? ([0-9.eE+-]+)" % name, re.MULTILINE)
    for name in (b"num_requests_running", b"num_requests_waiting", b"kv_cache_usage_perc")
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one replica said; None for what it does not say."""

    running: int | None = None
    waiting: int | None = None
    kv_usage: float | None = None


@dataclass(slots=True)
class _Replica:
    url: str
    reachable: bool = True
    heard_at: float | None = None
    reading: Reading = Reading()


class EnginePools:
    """`max_seqs`: how many sequences a replica works on at once. vLLM tells it nowhere, so it is a setting."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        pools: Mapping[str, Sequence[str]],
        *,
        max_seqs: int,
        api_key: str | None,
        metrics: Metrics,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._pools = {pool: [_Replica(url) for url in urls] for pool, urls in pools.items()}
        self._max_seqs = max_seqs
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._metrics = metrics
        self._now = now

    async def run(self) -> None:
        """Ask until cancelled, every half second."""
        while True:
            await self.ask()
            await asyncio.sleep(INTERVAL_S)

    async def ask(self) -> None:
        """Ask every replica once, all at the same time; what does not answer in time keeps its last reading."""
        await asyncio.gather(*(self._ask(replica) for replicas in self._pools.values() for replica in replicas))
        for pool, state in self.states().items():
            if state.waiting is not None:
                self._metrics.level(names.ENGINE_QUEUE_DEPTH, state.waiting, pool=pool)
            if state.kv_usage is not None:
                self._metrics.level(names.KV_CACHE_USAGE, state.kv_usage, pool=pool)

    def states(self) -> dict[str, PoolState]:
        return {pool: self._state(replicas) for pool, replicas in self._pools.items()}

    async def _ask(self, replica: _Replica) -> None:
        limit = aiohttp.ClientTimeout(total=WITHIN_S)
        try:
            async with self._session.get(replica.url + "/metrics", headers=self._headers, timeout=limit) as response:
                text = await response.content.read(MAX_BYTES) if response.status == 200 else b""
                while not response.content.at_eof() and 0 < len(text) < MAX_BYTES:
                    text += await response.content.read(MAX_BYTES)
        except aiohttp.ClientConnectorError:
            replica.reachable = False
        except (aiohttp.ClientError, OSError, TimeoutError):
            replica.reachable = True  # it may only be busy
        else:
            replica.reachable = True
            replica.heard_at, replica.reading = self._now(), read_metrics(text)

    def _state(self, replicas: Sequence[_Replica]) -> PoolState:
        """One replica's worth of sequences remains where none can be reached: a turn shall fail, not wait for ever."""
        reachable = [replica for replica in replicas if replica.reachable]
        readings = [replica.reading for replica in reachable]
        oldest = self._now() - STALE_S
        return PoolState(
            running=_sum(reading.running for reading in readings),
            waiting=_sum(reading.waiting for reading in readings),
            sequences=self._max_seqs * max(1, len(reachable)),
            kv_usage=max((reading.kv_usage for reading in readings if reading.kv_usage is not None), default=None),
            replicas=len(reachable),
            stale=not reachable or any(one.heard_at is None or one.heard_at < oldest for one in reachable),
        )


def read_metrics(text: bytes) -> Reading:
    """From the Prometheus text; the ranks of a data-parallel engine are added up."""
    running, waiting = _RUNNING.findall(text), _WAITING.findall(text)
    return Reading(
        running=int(sum(map(float, running))) if running else None,
        waiting=int(sum(map(float, waiting))) if waiting else None,
        kv_usage=max(map(float, _KV.findall(text)), default=None),
    )


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
