"""Recall is measured of a share of approximate searches, off their path, and within a bound of computing."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from observability.names import Metric
from rag.adapters.hash_embedder import HashEmbedder
from rag.adapters.index_builder import HybridIndexBuilder, Sizes
from rag.adapters.memory_chunks import MemoryChunkStore
from rag.adapters.memory_marks import MemoryMarks
from rag.adapters.plain_index import PlainIndex
from rag.domain.postings import UNSTEMMED
from rag.domain.query import ChunkRows, IndexQuery
from rag.recall import REST, RecallSampler
from rag.tenant_retriever import TenantRetriever
from support.retrieval import put_texts, question, replica

T1 = TenantId("t1")
QUERY = IndexQuery(np.ones(4, np.float32) / 2, "milk", 3)


class Observed(NullMetrics):
    def __init__(self) -> None:
        self.values: list[tuple[str, float, str]] = []

    def observe(self, metric: Metric, value: float, /, **dimensions: str) -> None:
        self.values.append((metric.name, value, dimensions["kind"]))


class Imitation(PlainIndex):
    """Says of itself what an approximate index does."""

    def __init__(self, *, seconds: float = 0.0) -> None:
        super().__init__(ChunkRows((), np.empty((0, 4), np.float16)), UNSTEMMED)
        self.asked = 0
        self.seconds = seconds
        self.now = 0.0
        self.go_on = threading.Event()
        self.go_on.set()

    @property
    def approximation(self) -> str:  # type: ignore[override]
        return "flat"

    def recall(self, query: IndexQuery) -> float:
        self.go_on.wait(20)
        self.asked += 1
        self.now += self.seconds
        return 0.9


async def test_what_is_measured_is_observed_and_rests_a_hundred_times_as_long_as_it_took() -> None:
    metrics, index = Observed(), Imitation(seconds=2.0)
    sampler = RecallSampler(metrics, share=1.0, clock=lambda: index.now)
    sampler.offer(T1, index, QUERY)
    await sampler.settled()
    assert metrics.values == [("IndexRecall", 0.9, "flat")]
    for wait, asked in ((0.0, 1), (2.0 * REST - 1, 1), (1.0, 2)):
        index.now += wait
        sampler.offer(T1, index, QUERY)
        await sampler.settled()
        assert index.asked == asked


async def test_one_is_measured_at_a_time_and_the_search_does_not_wait() -> None:
    index = Imitation()
    index.go_on.clear()
    with ThreadPoolExecutor(1) as executor:
        sampler = RecallSampler(NullMetrics(), share=1.0, executor=executor)
        for _ in range(50):
            sampler.offer(T1, index, QUERY)
        index.go_on.set()
        await sampler.settled()
    assert index.asked == 1


async def test_the_share_is_what_it_says_and_exact_indexes_and_searches_by_words_are_left_out() -> None:
    index, numbers = Imitation(), random.Random(1)
    sampler = RecallSampler(NullMetrics(), share=0.1, clock=lambda: 0.0, chance=numbers.random)
    for _ in range(500):
        sampler.offer(T1, index, QUERY)
        await sampler.settled()
    assert 20 < index.asked < 90
    never = RecallSampler(NullMetrics(), share=0.0)
    never.offer(T1, index, QUERY)
    always = RecallSampler(NullMetrics(), share=1.0)
    always.offer(T1, PlainIndex(ChunkRows((), np.empty((0, 4), np.float16)), UNSTEMMED), QUERY)
    always.offer(T1, index, IndexQuery(None, "milk", 3))
    assert never._sample is always._sample is None


async def test_a_measurement_that_fails_costs_nobody_anything() -> None:
    class Broken(Imitation):
        def recall(self, query: IndexQuery) -> float:
            raise OSError("the file is gone")

    metrics = Observed()
    sampler = RecallSampler(metrics, share=1.0)
    sampler.offer(T1, Broken(), QUERY)
    await sampler.settled()
    assert metrics.values == []


async def test_the_retriever_offers_its_searches() -> None:
    metrics, store = Observed(), MemoryChunkStore()
    store.add_tenant(T1)
    await put_texts(store, T1, "d", [f"text {n}" for n in range(50)])
    own = replica(store, MemoryMarks(store), builder=HybridIndexBuilder(Sizes(exact=10)), model=HashEmbedder().model)
    sampler = RecallSampler(metrics, share=1.0)
    retriever = TenantRetriever(own.loader, own.cache, NullMetrics(), recall=sampler)
    await retriever.search(T1, await question("text", k=5))
    await sampler.settled()
    assert metrics.values == [("IndexRecall", 1.0, "flat")]
