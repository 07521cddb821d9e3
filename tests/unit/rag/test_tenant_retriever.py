"""One index a tenant: isolated, current after every write, built once for many who ask, and bounded in number."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from contracts.errors import DependencyDownError, NotFoundError, PreconditionFailedError
from contracts.tenant import TenantId
from observability import names
from rag.adapters.memory_chunks import MemoryChunkStore
from rag.adapters.memory_marks import MemoryMarks
from rag.adapters.plain_index import PlainIndex, PlainIndexBuilder
from rag.domain.corpus import ChunkTail, Corpus, CorpusVersion, Scanned
from rag.domain.postings import UNSTEMMED
from rag.domain.query import ChunkRows, IndexQuery, Scored
from rag.domain.vectors import to_half
from rag.ports import IndexBuilder, Take
from support.chunks import whole
from support.retrieval import EMBEDDER, MIB, put_texts, question, replica
from support.telling import told_here

T1, T2, T3 = TenantId("t1"), TenantId("t2"), TenantId("t3")


class GatedStore(MemoryChunkStore):
    """Counts loads and holds them back until the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[TenantId] = []
        self.tails: list[TenantId] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.load_began = asyncio.Event()
        self.planted: Corpus | None = None
        self.failing = False

    async def scan(self, tenant_id: TenantId, model: str, dimension: int, take: Take, *, portion: int) -> Scanned:
        self.loads.append(tenant_id)
        if self.planted is None:
            found = await super().scan(tenant_id, model, dimension, take, portion=portion)
        else:
            await take(ChunkRows(self.planted.records, self.planted.vectors))
            found = Scanned(self.planted.version)
        await self._held_back()
        return found

    async def tail(self, tenant_id: TenantId, after: CorpusVersion, model: str, dimension: int) -> ChunkTail | None:
        self.tails.append(tenant_id)
        tail = await super().tail(tenant_id, after, model, dimension)
        await self._held_back()
        return tail

    async def _held_back(self) -> None:
        """After it was read."""
        self.load_began.set()
        await self.gate.wait()
        if self.failing:
            raise DependencyDownError("the database is out of reach")


class World:
    def __init__(self, *, cache_bytes: int = 100 * MIB, builder: IndexBuilder | None = None) -> None:
        self.store = GatedStore()
        self.replica = replica(self.store, MemoryMarks(self.store), cache_bytes=cache_bytes, builder=builder)
        self.retriever, self.metrics = self.replica.retriever, self.replica.metrics
        for tenant_id in (T1, T2, T3):
            self.store.add_tenant(tenant_id)

    async def put(self, tenant_id: TenantId, document_id: str, *texts: str, model: str = EMBEDDER.model) -> int:
        return await put_texts(self.store, tenant_id, document_id, texts, model=model)

    async def search(self, tenant_id: TenantId, text: str, *, k: int = 10, min_seq: int = 0) -> list[str]:
        return await self.replica.texts(tenant_id, text, k=k, min_seq=min_seq)


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
    found = await world.retriever.search(T1, await question("milk", k=3))
    assert [item.record.text for item in found] == ["milk ", "milk x ", "milk x x "]
    assert [item.score for item in found] == pytest.approx([1.0, 2**-0.5, 5**-0.5], abs=1e-3)
    assert len(await world.search(T1, "milk", k=100)) == 7


async def test_a_search_sees_every_write_committed_before_it_also_on_another_replica() -> None:
    world, seqs = World(), []
    other = replica(world.store, MemoryMarks(world.store))
    for text in ("one", "two", "three"):
        seqs.append(await world.put(T1, text, text))
        assert text in await world.search(T1, text, min_seq=seqs[-1])
        assert await other.texts(T1, text, k=1, min_seq=seqs[-1]) == [text]
    await world.store.delete(T1, "two")
    assert "two" not in await world.search(T1, "two")
    assert "two" not in await other.texts(T1, "two")
    assert seqs == [1, 2, 3]


async def test_a_sequence_that_the_log_has_not_reached_is_refused_with_where_it_is() -> None:
    world = World()
    await world.put(T1, "d", "milk")
    with pytest.raises(PreconditionFailedError) as refused:
        await world.search(T1, "milk", min_seq=2)
    assert refused.value.details == {"seq": 1}


async def test_an_unchanged_tenant_is_loaded_once_and_of_a_changed_one_the_tail_is_read() -> None:
    world = World()
    for _ in range(3):
        await world.search(T1, "a")
        await world.search(T2, "a")
    await world.put(T2, "d", "milk")
    await world.search(T1, "a")
    await world.search(T2, "a")
    assert world.store.loads == [T1, T2]
    assert world.store.tails == [T2]


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
    assert (world.store.loads, world.store.tails) == ([T1], [T1])


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
    world = World(cache_bytes=10_000)
    for tenant_id in (T1, T2, T3):
        await world.put(tenant_id, "d", "milk")
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
    corpus = await whole(world.store, T1, EMBEDDER.model, EMBEDDER.dimension)
    vector = to_half(await EMBEDDER.embed(["milk"]))
    foreign = replace(corpus.records[0], tenant_id=T2, text="the other's milk", chunk_id="t2/secret")
    world.store.planted = replace(
        corpus, records=(foreign, *corpus.records), vectors=np.concatenate([vector, corpus.vectors])
    )
    assert await world.search(T1, "milk", k=3) == ["milk one", "milk two", "milk three"]
    assert world.metrics.counted == {(names.CROSS_TENANT_DROP.name, "t1"): 1}
    errors = [entry for entry in told_here(caplog, "atrium.retriever") if entry.levelname == "ERROR"]
    assert [entry.__dict__["fields"]["foreign"] for entry in errors] == [{"t2/secret": "t2"}]


async def test_an_unknown_tenant_is_not_found_and_its_last_view_is_let_go() -> None:
    world = World()
    await world.search(T1, "milk")
    del world.store.tenants[T1]
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
    warned = [entry for entry in told_here(caplog, "atrium.retriever") if entry.levelname == "WARNING"]
    assert [entry.__dict__["fields"]["chunks"] for entry in warned] == [1]


async def test_a_large_index_is_searched_off_the_event_loop() -> None:
    on_the_loop: list[bool] = []

    class LargeIndex(PlainIndex):
        def __len__(self) -> int:
            return 1_000_000

        def search(self, query: IndexQuery) -> list[Scored]:
            on_the_loop.append(threading.current_thread() is threading.main_thread())
            return super().search(query)

    class LargeIndexBuilder(PlainIndexBuilder):
        def build(self, rows: ChunkRows) -> PlainIndex:
            return LargeIndex(rows, UNSTEMMED)

    world = World(builder=LargeIndexBuilder())
    await world.put(T1, "d", "milk")
    assert await world.search(T1, "milk") == ["milk"]
    assert on_the_loop == [False]


async def test_what_changed_a_lot_is_built_anew_beside_the_searches() -> None:
    world = World()
    await world.search(T1, "milk")
    for number in range(3):
        await world.put(T1, f"d{number}", *(f"milk {number} {n}" for n in range(400)))
        assert len(await world.search(T1, "milk", k=9_999)) == 400 * (number + 1)
    compactions = list(world.retriever._compactions.values())
    assert len(compactions) == 1
    await asyncio.gather(*compactions)
    view = world.replica.cache.get(T1)
    assert view is not None
    assert (view.pending, len(view.index)) == (0, 1_200)
    await world.put(T1, "d9", "bread")
    assert await world.search(T1, "bread", k=1) == ["bread"]
    assert world.store.loads == [T1]


async def test_a_view_from_before_the_logs_start_is_loaded_anew() -> None:
    world = World()
    await world.put(T1, "a", "milk")
    await world.search(T1, "milk")
    for text in ("one", "two", "three"):
        await world.put(T1, "b", text)
    await world.replica.loader.snapshots.marks.trim(T1, await world.store.version(T1), keep=0)
    assert await world.search(T1, "milk") == ["milk", "three"]
    assert world.store.loads == [T1, T1]


async def test_unloading_says_how_much_there_was_and_leaves_nothing() -> None:
    world = World()
    await world.put(T1, "d", "milk", "bread")
    await world.search(T1, "milk")
    assert (await world.retriever.unload(T1), world.retriever.vectors_loaded(T1)) == (2, 0)
    assert await world.retriever.unload(T1) == 0
    assert (world.replica.cache.nbytes, world.retriever.loaded) == (0, ())


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
    query = await question("milk")
    later = World()
    await later.put(T1, "d", "milk")
    world.store.planted = await whole(later.store, T1, EMBEDDER.model, EMBEDDER.dimension)
    with pytest.raises(NotFoundError):
        await world.retriever.search(T1, query, born=earlier)
    world.store.planted = None
    world.store.add_tenant(T1)
    await world.put(T1, "d", "milk")
    with pytest.raises(NotFoundError):
        await world.retriever.search(T1, query, born=earlier)
    assert await world.search(T1, "milk") == ["milk"]
