"""Whatever happens in whatever order, every replica finds exactly what a plain list of the documents says."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from rag.adapters.index_builder import HybridIndexBuilder, Sizes
from rag.adapters.memory_chunks import MemoryChunkStore
from rag.adapters.memory_marks import MemoryMarks
from rag.adapters.plain_index import PlainIndexBuilder
from rag.domain.postings import UNSTEMMED
from rag.ports import IndexBuilder
from stores.objects_memory import MemoryObjects
from support.retrieval import EMBEDDER, Replica, put_texts, question, replica

T1, T2 = TenantId("t1"), TenantId("t2")
TENANTS = st.sampled_from([T1, T2])
DOCUMENTS = st.sampled_from(["a", "b", "c", "d"])
WORDS = st.sampled_from(["milk", "bread", "shop", "euro", "open", "eight"])
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=4).map(" ".join), min_size=1, max_size=4, unique=True)
REPLICAS = st.integers(0, 1)
DAMAGE = st.tuples(st.integers(0, 1_000), st.integers(0, 1_000_000))
"""Which file, and which bit of it, counted round: their names and lengths differ from run to run."""


class UnsteadyObjects(MemoryObjects):
    away = False

    async def put(self, tenant_id: TenantId, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        self._answer()
        return await super().put(tenant_id, key, data, if_absent=if_absent)

    async def get(self, tenant_id: TenantId, key: str) -> bytes | None:
        self._answer()
        return await super().get(tenant_id, key)

    def _answer(self) -> None:
        if self.away:
            raise DependencyDownError("the object store is out of reach", details={"dependency": "object_store"})


class Replicas(RuleBasedStateMachine):
    """Two replicas over one log and one object store, each with a disk; and what the documents are, as a dict."""

    builder: IndexBuilder = PlainIndexBuilder()

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        self.store, self.objects = MemoryChunkStore(), UnsteadyObjects()
        self.marks = MemoryMarks(self.store)
        self.documents: dict[TenantId, dict[str, list[str]]] = {T1: {}, T2: {}}
        self.seqs = dict.fromkeys([T1, T2], 0)
        for tenant in (T1, T2):
            self.store.add_tenant(tenant)
        self.replicas = [self.started(number) for number in (0, 1)]

    def teardown(self) -> None:
        self.runner.close()
        shutil.rmtree(self.folder)

    def started(self, number: int) -> Replica:
        """Room for two or three small views, so that they come and go by themselves."""
        disk = self.folder / str(number)
        bounds = {"disk_bytes": 20_000, "cache_bytes": 20_000}
        return replica(self.store, self.marks, objects=self.objects, disk=disk, builder=self.builder, **bounds)

    @rule(tenant=TENANTS, document=DOCUMENTS, texts=TEXTS)
    def put(self, tenant: TenantId, document: str, texts: list[str]) -> None:
        self.seqs[tenant] = self.runner.run(put_texts(self.store, tenant, document, texts))
        self.documents[tenant][document] = texts

    @rule(tenant=TENANTS, document=DOCUMENTS)
    def delete(self, tenant: TenantId, document: str) -> None:
        there = self.documents[tenant].pop(document, None) is not None
        assert self.runner.run(self.store.delete(tenant, document)) is there
        self.seqs[tenant] += there

    @rule(tenant=TENANTS, number=REPLICAS, words=st.lists(WORDS, max_size=3), k=st.integers(1, 20))
    def search(self, tenant: TenantId, number: int, words: list[str], k: int) -> None:
        asked = self.runner.run(question(" ".join(words), k=k))
        assert asked.vector is not None
        searching = self.replicas[number].retriever.search(tenant, asked, min_seq=self.seqs[tenant])
        found = self.runner.run(searching)
        texts = [text for texts in self.documents[tenant].values() for text in texts]
        assert len(found) == min(k, len(texts))
        rows = self.runner.run(EMBEDDER.embed(texts)) if texts else np.empty((0, EMBEDDER.dimension))
        exact = np.sort(rows.astype(np.float16).astype(np.float64) @ asked.vector)[::-1][:k]
        assert np.allclose([item.score for item in found], np.clip(exact, -1, 1), atol=1e-3)
        assert {item.record.tenant_id for item in found} <= {tenant}
        left = list(texts)
        for item in found:
            left.remove(item.record.text)  # each as often as it is there

    @rule(tenant=TENANTS, number=REPLICAS)
    def evict(self, tenant: TenantId, number: int) -> None:
        self.replicas[number].cache.drop(tenant)

    @rule(number=REPLICAS, disk=st.booleans())
    def crash(self, number: int, disk: bool) -> None:
        """The memory is gone, and perhaps the disk."""
        if disk:
            shutil.rmtree(self.folder / str(number))
        self.replicas[number] = self.started(number)

    @rule(number=REPLICAS)
    def compact(self, number: int) -> None:
        self.marks._leases.clear()
        self.runner.run(self.replicas[number].compactor.turn())

    @rule(tenant=TENANTS)
    def compact_both_at_once(self, tenant: TenantId) -> None:
        async def both() -> None:
            version = await self.store.version(tenant)
            views = [await one.loader.compacted(await one.loader.load(tenant, version)) for one in self.replicas]
            writing = [
                one.loader.snapshots.write(tenant, view, view.index)
                for one, view in zip(self.replicas, views, strict=True)
            ]
            await asyncio.gather(*writing, return_exceptions=True)

        self.runner.run(both())

    @rule(away=st.booleans())
    def object_store(self, away: bool) -> None:
        self.objects.away = away
        if not away:
            for one in self.replicas:
                one.loader.snapshots._rests_until = float("-inf")

    @rule(damage=DAMAGE)
    def flip_a_bit_in_the_object_store(self, damage: tuple[int, int]) -> None:
        keys = sorted(self.objects._objects)
        if keys:
            key = keys[damage[0] % len(keys)]
            self.objects._objects[key] = flipped(self.objects._objects[key], damage[1])

    @rule(damage=DAMAGE)
    def flip_a_bit_on_a_disk(self, damage: tuple[int, int]) -> None:
        files = sorted(path for path in self.folder.rglob("*") if path.is_file() and path.stat().st_size)
        if files:
            path = files[damage[0] % len(files)]
            path.write_bytes(flipped(path.read_bytes(), damage[1]))

    @rule(tenant=TENANTS, swept=st.booleans())
    def made_again(self, tenant: TenantId, swept: bool) -> None:
        self.store.add_tenant(tenant)
        if swept:
            self.runner.run(self.objects.delete_all(tenant))
        self.documents[tenant], self.seqs[tenant] = {}, 0

    @invariant()
    def space_is_bounded(self) -> None:
        for one in self.replicas:
            assert one.cache.nbytes <= 20_000 or len(one.cache) == 1


def flipped(data: bytes, which: int) -> bytes:
    place, bit = which // 8 % len(data), which % 8
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


class RealIndexes(Replicas):
    """The same with the index that is used, the kinds of large tenants included."""

    builder = HybridIndexBuilder(Sizes(exact=6, flat=12), analyzer=UNSTEMMED)


_SETTINGS = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestReplicas, TestRealIndexes = Replicas.TestCase, RealIndexes.TestCase
TestReplicas.settings = TestRealIndexes.settings = _SETTINGS
