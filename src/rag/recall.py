"""What approximate indexes miss: a small share of searches is asked again exactly, when nobody waits for it.

One at a time in a thread of its own, and then nothing for a hundred times as long as it took: so at most a hundredth of
a core, however many searches there are and however large the tenant is.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Self

from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from rag.domain.query import IndexQuery
from rag.ports import TenantIndex

REST = 100
"""Times what a sample took: at most a hundredth of a core."""

_logger = logging.getLogger("atrium.recall")


class RecallSampler:
    """`share` of the searches is looked at, as far as the time allows; `chance` gives numbers from 0 to 1."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        share: float,
        executor: Executor | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._metrics = metrics
        self._share = share
        self._executor = executor
        self._clock = clock
        self._chance = chance
        self._rests_until = float("-inf")
        self._sample: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def running(cls, metrics: Metrics, *, share: float, initializer: Callable[[], None]) -> AsyncIterator[Self]:
        """`initializer` is called in the thread."""
        with ThreadPoolExecutor(1, thread_name_prefix="recall", initializer=initializer) as executor:
            sampler = cls(metrics, share=share, executor=executor)
            try:
                yield sampler
            finally:
                await sampler.settled()

    def offer(self, tenant_id: TenantId, index: TenantIndex, query: IndexQuery) -> None:
        """A search has just been answered by this index. Returns at once."""
        if not self._share or not query.by_vector or index.approximation is None or self._chance() >= self._share:
            return
        if self._sample is None and self._clock() >= self._rests_until:
            self._sample = asyncio.create_task(self._measure(tenant_id, index, query), name="recall")

    async def settled(self) -> None:
        """Until the sample under way, if there is one, is done."""
        if self._sample is not None:
            await asyncio.gather(self._sample, return_exceptions=True)

    async def _measure(self, tenant_id: TenantId, index: TenantIndex, query: IndexQuery) -> None:
        started = self._clock()
        try:
            recall = await asyncio.get_running_loop().run_in_executor(self._executor, index.recall, query)
            self._metrics.observe(names.INDEX_RECALL, recall, kind=index.approximation or "")
        except Exception as error:  # noqa: BLE001  a measurement that fails must cost nobody anything
            reason = type(error).__name__
            log(_logger, logging.WARNING, "recall was not measured", tenant_id=str(tenant_id), reason=reason)
        finally:
            ended = self._clock()
            self._rests_until = ended + REST * (ended - started)
            self._sample = None
