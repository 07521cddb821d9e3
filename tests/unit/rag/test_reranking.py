"""A reranker orders what the index found, in its time; a late, broken or busy one costs nobody an answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from contracts.ranking import Ranking
from contracts.retrieval import SearchRequest
from contracts.tenant import TenantId
from rag.adapters.hash_embedder import HashEmbedder
from rag.adapters.memory_chunks import MemoryChunkStore
from rag.adapters.memory_marks import MemoryMarks
from rag.domain.corpus import ChunkRecord
from rag.domain.query import Scored
from rag.ports import Reranker
from rag.reranking import PAIRS_AT_ONCE, Reranking
from support.ingesting import ingesting_service
from support.retrieval import CountingMetrics, put_texts, replica

T1, T2 = TenantId("t1"), TenantId("t2")
LETTERS = "abcdefghij"


class Longest:
    """The longer a text, the better."""

    depth = 10

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        self.asked.append(texts)
        return [float(len(text)) for text in texts]


class Slow(Longest):
    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        self.go_on.wait(20)
        return super().scores(query, texts)


class Broken(Longest):
    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        raise RuntimeError("no weights")


def found(texts: Sequence[str], tenant: TenantId = T1) -> list[Scored]:
    return [Scored(ChunkRecord(tenant, text, "d", "T", text, 0, len(text)), 0.5, -at) for at, text in enumerate(texts)]


def texts_of(scored: Sequence[Scored]) -> list[str]:
    return [one.record.text for one in scored]


async def searched(reranker: Reranker | None, ranking: Ranking, *, k: int) -> list[str]:
    embedder, store = HashEmbedder(), MemoryChunkStore()
    store.add_tenant(T1)
    await put_texts(store, T1, "d", [letter * (10 - at) for at, letter in enumerate(reversed(LETTERS))])
    retriever = replica(store, MemoryMarks(store), model=embedder.model).retriever
    service = ingesting_service(embedder, store, retriever, reranker=reranker)
    return [one.text for one in await service.search(T1, SearchRequest(query="j", k=k, ranking=ranking))]


async def test_a_search_whose_tenant_wants_it_has_the_best_of_a_deeper_pool() -> None:
    assert await searched(Longest(), Ranking(rerank=True), k=3) == ["j" * 10, "i" * 9, "h" * 8]
    assert len(await searched(Longest(), Ranking(rerank=True), k=100)) == len(LETTERS)


async def test_who_does_not_ask_or_has_no_reranker_gets_the_index_s_order() -> None:
    plain = await searched(None, Ranking(), k=3)
    never = Longest()
    assert await searched(never, Ranking(), k=3) == plain
    assert never.asked == []
    assert await searched(None, Ranking(rerank=True), k=3) == plain


async def test_diversity_chooses_and_the_reranker_orders() -> None:
    chosen = await searched(None, Ranking(diversity=0.7), k=4)
    assert await searched(Longest(), Ranking(diversity=0.7, rerank=True), k=4) == sorted(chosen, key=len, reverse=True)


async def test_a_reranker_that_is_late_or_broken_leaves_the_order_and_is_counted() -> None:
    slow, metrics = Slow(), CountingMetrics()
    with ThreadPoolExecutor(1) as executor:
        late = Reranking(slow, executor, metrics, within_s=0.05)
        assert texts_of(await late.best(T1, "q", found(["a", "bb", "ccc"]), 2)) == ["a", "bb"]
        slow.go_on.set()
    broken = Reranking(Broken(), None, metrics, within_s=5)
    assert texts_of(await broken.best(T1, "q", found(["a", "bb"]), 2)) == ["a", "bb"]
    assert metrics.counted == {("Reranked", "late"): 1, ("Reranked", "failed"): 1}


async def test_who_gave_up_is_not_computed_for_any_longer() -> None:
    slow = Slow()
    with ThreadPoolExecutor(1) as executor:
        reranking = Reranking(slow, executor, CountingMetrics(), within_s=0.05)
        await reranking.best(T1, "q", found(list(LETTERS)), 2)
        slow.go_on.set()
    assert len(slow.asked) <= 1
    assert len(LETTERS) > PAIRS_AT_ONCE


async def test_a_tenants_hundred_searches_stand_in_the_line_one_at_a_time() -> None:
    slow = Slow()
    with ThreadPoolExecutor(1) as executor:
        reranking = Reranking(slow, executor, CountingMetrics(), within_s=20)
        flood = [asyncio.create_task(reranking.best(T1, "q", found(["flood", "fl"]), 1)) for _ in range(100)]
        await asyncio.sleep(0)
        other = asyncio.create_task(reranking.best(T2, "q", found(["o", "other"], T2), 1))
        await asyncio.sleep(0)
        slow.go_on.set()
        assert texts_of(await other) == ["other"]
        assert len(slow.asked) <= 3
        await asyncio.gather(*flood)
    assert reranking._own_turns == {}


@pytest.mark.parametrize("texts", [[], ["one"]])
async def test_there_is_nothing_to_order_in_less_than_two(texts: list[str]) -> None:
    never = Longest()
    assert texts_of(await Reranking(never, None, CountingMetrics(), within_s=5).best(T1, "q", found(texts), 3)) == texts
    assert never.asked == []
