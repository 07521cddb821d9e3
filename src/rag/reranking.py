"""The reranker as the service asks it: in a thread of its own, tenants in turn, and within a time or not at all."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Executor

from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from rag.domain.query import Scored
from rag.domain.reranking import reranked
from rag.ports import Reranker

PAIRS_AT_ONCE = 4
"""Between two portions is looked whether anybody still waits: some 50 ms of a small model."""

_logger = logging.getLogger("atrium.reranking")


class GivenUpError(Exception):
    """Nobody waits for the scores any more."""


class Reranking:
    """`within_s` is what a search waits at most, its turn included; then the index's order stands."""

    def __init__(self, reranker: Reranker, executor: Executor | None, metrics: Metrics, *, within_s: float) -> None:
        self._reranker = reranker
        self._executor = executor
        self._metrics = metrics
        self._within_s = within_s
        self._turn = asyncio.Lock()
        self._own_turns: dict[TenantId, tuple[asyncio.Lock, int]] = {}

    @property
    def depth(self) -> int:
        """How many of the best are read again; 0: there is no reranker."""
        return self._reranker.depth

    async def best(self, tenant_id: TenantId, query: str, found: Sequence[Scored], k: int) -> list[Scored]:
        """The best `k` of what an index found, as the reranker says. Where it is late or fails, as they stood."""
        texts = [one.record.text for one in found[: self.depth]]
        if len(texts) < 2:
            return list(found[:k])
        given_up = threading.Event()
        try:
            async with asyncio.timeout(self._within_s):
                scores = await self._scores_in_turn(tenant_id, query, texts, given_up)
        except TimeoutError:
            self._metrics.count(names.RERANKED, outcome="late")
            return list(found[:k])
        except Exception as error:  # noqa: BLE001  whatever the model raises, the search has its answer
            self._metrics.count(names.RERANKED, outcome="failed")
            log(_logger, logging.WARNING, "the reranker failed", reason=type(error).__name__)
            return list(found[:k])
        finally:
            given_up.set()
        self._metrics.count(names.RERANKED, outcome="done")
        return reranked(found, scores, k)

    async def _scores_in_turn(
        self, tenant_id: TenantId, query: str, texts: Sequence[str], given_up: threading.Event
    ) -> list[float]:
        """One search of a tenant stands in the line at a time, so that who asks most does not make the others late."""
        own, waiting = self._own_turns.get(tenant_id, (asyncio.Lock(), 0))
        self._own_turns[tenant_id] = own, waiting + 1
        try:
            async with own, self._turn:
                loop = asyncio.get_running_loop()
                work = loop.run_in_executor(self._executor, self._scores, query, texts, given_up)
                return await work
        finally:
            own, waiting = self._own_turns[tenant_id]
            if waiting > 1:
                self._own_turns[tenant_id] = own, waiting - 1
            else:
                del self._own_turns[tenant_id]

    def _scores(self, query: str, texts: Sequence[str], given_up: threading.Event) -> list[float]:
        scores: list[float] = []
        for first in range(0, len(texts), PAIRS_AT_ONCE):
            if given_up.is_set():
                raise GivenUpError
            scores += self._reranker.scores(query, texts[first : first + PAIRS_AT_ONCE])
        return scores
