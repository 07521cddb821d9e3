"""One index a tenant: isolated, current after every write, built once for many who ask, and bounded in number."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from contracts.errors import DependencyDownError, NotFoundError, PreconditionFailedError
from contracts.tenant import TenantId
from observability import names
from observability.metrics import NullMetrics
from observability.names import Metric
from rag.adapters.brute_force import BruteForceIndex
from rag.adapters.hash_embedder import HashEmbedder
from rag.adapters.memory_chunks import MemoryChunkStore
from rag.domain.corpus import Chunk, Corpus, CorpusVersion, Document
from rag.domain.ranking import Hit
from rag.domain.vectors import Vector, to_half
from rag.tenant_retriever import TenantRetriever

T1, T2, T3 = TenantId("t1"), TenantId("t2"), TenantId("t3")


class CountingMetrics(NullMetrics):
    def __init__(self) -> None:
        self.counted: dict[tuple[str, str], float] = {}

    def count(self, metric: Metric, amount: float = 1.0, /, **dimensions: str) -> None:
        key = (metric.name, dimensions.get("tenant", ""))
        self.counted[key] = self.counted.get(key, 0) + amount


class GatedStore(MemoryChunkStore):
    """Counts loads and holds them back until the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[TenantId] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.load_began = asyncio.Event()
        self.planted: Corpus | None = None
        self.failing = False

    async def load(self, tenant_id: TenantId, model: str, dimension: int) -> Corpus:
        self.loads.append(tenant_id)
        self.load_began.set()
        corpus = self.planted or await super().load(tenant_id, model, dimension)  # read first, then held back
        await self.gate.wait()
        if self.failing:
            raise DependencyDownError("the database is out of reach")
        return corpus


class World:
    def __init__(self, *, max_tenants: int = 10) -> None:
        self.embedder, self.store, self.metrics = HashEmbedder(), GatedStore(), CountingMetrics()
        self.retriever = TenantRetriever(
            self.store,
            BruteForceIndex,
            self.metrics,
            model=self.embedder.model,
            dimension=self.embedder.dimension,
            max_tenants=max_tenants,
        )
        for tenant_id in (T1, T2, T3):
            self.store.add_tenant(tenant_id)

    async def put(self, tenant_id: TenantId, document_id: str, *texts: str, model: str | None = None) -> int:
        chunks = [Chunk(f"{tenant_id}/{document_id}/{n}", n, text, 0, len(text)) for n, text in enumerate(texts)]
        vectors = to_half(await self.embedder.embed(texts))
        document = Document(document_id, "Title", "a.txt", {}, b"", 1)
        return await self.store.put(tenant_id, document, chunks, vectors, model or self.embedder.model)

    async def query(self, text: str) -> Vector:
        vector: Vector = (await self.embedder.embed([text]))[0]
        return vector

    async def search(self, tenant_id: TenantId, text: str, *, k: int = 10, min_seq: int = 0) -> list[str]:
        found = await self.retriever.search(tenant_id, await self.query(text), k=k, min_seq=min_seq)
        return [item.record.text for item in found]


async def test_the_same_question_of_two_tenants_finds_each_ones_own_only() -> None:
    world = World()
    await world.put(T1, "d", "milk costs one euro", "bread costs two")
    await world.put(T2, "d", "milk costs nine dollars")
    assert await world.search(T1, "milk costs") == ["milk costs one euro", "bread costs two"]
    assert await world.search(T2, "milk costs") == ["milk costs nine dollars"]
    assert await world.search(T3, "milk costs") == []


async def test_the_answer_is_min_k_n_passages_best_first_and_the_score_is_the_cosine() -> None:
    world = World()
    await world.put(T1, "d", *(f"milk {'x ' * n}" for n in range(7)))
    query = await world.query("milk")
    found = await world.retriever.search(T1, query, k=3)
    assert [item.record.text for item in found] == ["milk ", "milk x ", "milk x x "]
    assert [item.score for item in found] == pytest.approx([1.0, 2**-0.5, 5**-0.5], abs=1e-3)
    assert len(await world.retriever.search(T1, query, k=100)) == 7


async def test_a_search_sees_every_write_committed_before_it_also_on_another_replica() -> None:
    world, seqs = World(), []
    replica = TenantRetriever(
        world.store, BruteForceIndex, NullMetrics(), model="hashed-words", dimension=64, max_tenants=9
    )
    for text in ("one", "two", "three"):
        seqs.append(await world.put(T1, text, text))
        assert text in await world.search(T1, text, min_seq=seqs[-1])
        found = await replica.search(T1, await world.query(text), k=1, min_seq=seqs[-1])
        assert [item.record.text for item in found] == [text]
    await world.store.delete(T1, "two")
    assert "two" not in await world.search(T1, "two")
    assert seqs == [1, 2, 3]


async def test_a_sequence_that_the_log_has_not_reached_is_refused_with_where_it_is() -> None:
    world = World()
    await world.put(T1, "d", "milk")
    with pytest.raises(PreconditionFailedError) as refused:
        await world.search(T1, "milk", min_seq=2)
    assert refused.value.details == {"seq": 1}


async def test_an_unchanged_tenant_is_loaded_once_and_only_the_changed_one_again() -> None:
    world = World()
    for _ in range(3):
        await world.search(T1, "a")
        await world.search(T2, "a")
    await world.put(T2, "d", "milk")
    await world.search(T1, "a")
    await world.search(T2, "a")
    assert world.store.loads == [T1, T2, T2]


async def test_twenty_who_ask_at_once_wait_for_one_load() -> None:
    world = World()
    await world.put(T1, "d", "milk")
    world.store.gate.clear()
    asking = [asyncio.create_task(world.search(T1, "milk")) for _ in range(20)]
    await world.store.load_began.wait()
    world.store.gate.set()
    assert await asyncio.gather(*asking) == [["milk"]] * 20
    assert world.store.loads == [T1]


async def test_who_asks_after_a_write_is_not_answered_from_a_load_begun_before_it() -> None:
    world = World()
    world.store.gate.clear()
    early = asyncio.create_task(world.search(T1, "milk"))
    await world.store.load_began.wait()
    await world.put(T1, "d", "milk")
    late = asyncio.create_task(world.search(T1, "milk"))
    await asyncio.sleep(0)
    world.store.gate.set()
    assert await late == ["milk"]
    assert await early == []
    assert world.store.loads == [T1, T1]


async def test_who_goes_away_does_not_stop_the_load_for_the_others() -> None:
    world = World()
    await world.put(T1, "d", "milk")
    world.store.gate.clear()
    leaving = asyncio.create_task(world.search(T1, "milk"))
    staying = asyncio.create_task(world.search(T1, "milk"))
    await world.store.load_began.wait()
    leaving.cancel()
    world.store.gate.set()
    assert await staying == ["milk"]
    assert world.store.loads == [T1]
    assert leaving.cancelled()


async def test_one_tenants_slow_load_does_not_hold_up_another() -> None:
    world = World()
    await world.put(T2, "d", "milk")
    await world.search(T2, "milk")
    world.store.gate.clear()
    slow = asyncio.create_task(world.search(T1, "milk"))
    await world.store.load_began.wait()
    assert await world.search(T2, "milk") == ["milk"]
    world.store.gate.set()
    await slow


async def test_a_failed_load_fails_who_waits_and_the_next_search_tries_again() -> None:
    world = World()
    await world.put(T1, "d", "milk")
    world.store.failing = True
    with pytest.raises(DependencyDownError):
        await world.search(T1, "milk")
    world.store.failing = False
    assert await world.search(T1, "milk") == ["milk"]


async def test_the_tenant_not_asked_for_longest_is_let_go_and_comes_back_by_itself() -> None:
    world = World(max_tenants=2)
    await world.put(T1, "d", "milk")
    for tenant_id in (T1, T2, T1, T3):
        await world.search(tenant_id, "milk")
    assert world.retriever.loaded == (T1, T3)
    await world.search(T2, "milk")
    assert world.retriever.loaded == (T3, T2)
    assert await world.search(T1, "milk") == ["milk"]
    assert world.store.loads == [T1, T2, T3, T2, T1]


async def test_a_planted_foreign_chunk_is_dropped_counted_and_costs_no_place(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    await world.put(T1, "d", "milk one", "milk two", "milk three")
    corpus = await world.store.load(T1, world.embedder.model, world.embedder.dimension)
    vector = to_half(await world.embedder.embed(["milk"]))
    foreign = replace(corpus.records[0], tenant_id=T2, text="the other's milk", chunk_id="t2/secret")
    world.store.planted = replace(
        corpus, records=(foreign, *corpus.records), vectors=np.concatenate([vector, corpus.vectors])
    )
    assert await world.search(T1, "milk", k=3) == ["milk one", "milk two", "milk three"]
    assert world.metrics.counted == {(names.CROSS_TENANT_DROP.name, "t1"): 1}
    errors = [entry for entry in caplog.records if entry.levelname == "ERROR"]
    assert [entry.__dict__["fields"]["foreign"] for entry in errors] == [{"t2/secret": "t2"}]


async def test_an_unknown_tenant_is_not_found_and_its_last_view_is_let_go() -> None:
    world = World()
    await world.search(T1, "milk")
    del world.store._tenants[T1]
    with pytest.raises(NotFoundError):
        await world.search(T1, "milk")
    assert world.retriever.loaded == ()


async def test_a_tenant_made_again_under_the_same_name_finds_nothing_of_the_former() -> None:
    world = World()
    await world.put(T1, "d", "the former's secret")
    assert await world.search(T1, "secret") == ["the former's secret"]
    world.store.add_tenant(T1)
    await world.put(T1, "d", "new")  # the same sequence as before
    assert await world.search(T1, "secret") == ["new"]


async def test_chunks_of_another_model_are_not_compared_but_reported(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    await world.put(T1, "old", "milk", model="another")
    await world.put(T1, "new", "bread")
    assert await world.search(T1, "milk") == ["bread"]
    assert [entry.__dict__["fields"]["chunks"] for entry in caplog.records if entry.levelname == "WARNING"] == [1]


async def test_a_large_index_is_searched_off_the_event_loop() -> None:
    loop_thread: list[bool] = []

    class LargeIndex(BruteForceIndex):
        def __len__(self) -> int:
            return 1_000_000

        def search(self, query: Vector, k: int) -> list[Hit]:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                loop_thread.append(False)
            else:
                loop_thread.append(True)
            return super().search(query, k)

    world = World()
    await world.put(T1, "d", "milk")
    retriever = TenantRetriever(
        world.store, LargeIndex, NullMetrics(), model="hashed-words", dimension=64, max_tenants=1
    )
    assert len(await retriever.search(T1, await world.query("milk"), k=1)) == 1
    assert loop_thread == [False]


async def test_closing_ends_a_load_that_is_under_way() -> None:
    world = World()
    world.store.gate.clear()
    asking = asyncio.create_task(world.search(T1, "milk"))
    await world.store.load_began.wait()
    await world.retriever.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_a_view_covers_what_was_committed_up_to_its_version_in_the_same_life_of_the_tenant() -> None:
    first = datetime(2025, 1, 1, tzinfo=UTC)
    assert CorpusVersion(first, 3).covers(CorpusVersion(first, 3))
    assert CorpusVersion(first, 4).covers(CorpusVersion(first, 3))
    assert not CorpusVersion(first, 2).covers(CorpusVersion(first, 3))
    assert not CorpusVersion(first, 9).covers(CorpusVersion(first + timedelta(seconds=1), 1))


async def test_a_search_of_an_earlier_tenant_does_not_find_what_the_later_one_has() -> None:
    """Neither at its look at the log nor where the tenant is made again between that look and the load."""
    world = World()
    await world.put(T1, "d", "old")
    earlier = (await world.store.version(T1)).born
    query = await world.query("milk")
    later = World()
    await later.put(T1, "d", "milk")
    world.store.planted = await later.store.load(T1, world.embedder.model, world.embedder.dimension)
    with pytest.raises(NotFoundError):
        await world.retriever.search(T1, query, k=9, born=earlier)
    world.store.planted = None
    world.store.add_tenant(T1)
    await world.put(T1, "d", "milk")
    with pytest.raises(NotFoundError):
        await world.retriever.search(T1, query, k=9, born=earlier)
    assert await world.search(T1, "milk") == ["milk"]
