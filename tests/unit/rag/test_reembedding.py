"""Another model: each tenant changes over at once, when all it has is embedded anew, whatever happens on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import DependencyDownError, OverloadedError
from contracts.tenant import TenantId
from observability import names
from observability.metrics import NullMetrics
from rag import reembedding
from rag.adapters.hash_embedder import HashEmbedder
from rag.adapters.memory_reembedding import KeptTenant, MemoryReembeddingStore
from rag.domain.vectors import HalfMatrix, Matrix, to_half
from rag.reembedding import LEASE_S, Behind, BehindChunk, Reembedder
from support.telling import told

T1, T2 = TenantId("t1"), TenantId("t2")
OLD, NEW = "old", HashEmbedder.model


class World:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.store = MemoryReembeddingStore(lambda: self.now)
        self.embedder = HashEmbedder()
        self.metrics = CountingMetrics()

    def add(self, tenant_id: TenantId, *texts: str, model: str = OLD) -> KeptTenant:
        tenant = self.store.tenants.setdefault(tenant_id, KeptTenant())
        for text in texts:
            tenant.put(f"c-{text}", text, model, b"old")
        return tenant

    def worker(self, owner: str = "a", store: MemoryReembeddingStore | None = None) -> Reembedder:
        return Reembedder(store or self.store, self.embedder, self.metrics, owner=owner)

    async def vector(self, text: str) -> bytes:
        return to_half(await HashEmbedder().embed([text]))[0].tobytes()


class CountingMetrics(NullMetrics):
    def __init__(self) -> None:
        self.failures: list[str] = []

    def count(self, metric: names.Metric, value: float = 1, **dimensions: str) -> None:
        if metric is names.HOUSEKEEPING_FAILURE:
            self.failures.append(dimensions["reason"])


@pytest.fixture
def world() -> World:
    return World()


def models(tenant: KeptTenant) -> set[str]:
    return {chunk.model for chunk in tenant.chunks.values()}


async def test_every_tenant_that_is_behind_changes_over_and_the_others_are_left_alone(world: World) -> None:
    behind = world.add(T1, "milk", "bread")
    current = world.add(T2, "space", model=NEW)
    assert await world.worker().look() == 1
    assert (models(behind), behind.seq, current.seq) == ({NEW}, 3, 1)
    assert {chunk.seq for chunk in behind.chunks.values()} == {3}
    assert behind.chunks["c-milk"].vector == await world.vector("milk")
    assert current.chunks["c-space"].vector == b"old"
    assert await world.worker().look() == 0


async def test_until_all_is_embedded_what_is_searched_stays_as_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reembedding, "PORTION", 2)
    tenant = world.add(T1, *"abcde")
    seen: list[set[str]] = []

    class Watched(HashEmbedder):
        async def embed(self, texts: Sequence[str], *, tenant_id: TenantId | None = None) -> Matrix:
            seen.append(models(tenant))
            return await super().embed(texts)

    world.embedder = Watched()
    assert await world.worker().reembed(T1)
    assert seen == [{OLD}] * 3
    assert models(tenant) == {NEW}


async def test_who_was_stopped_is_followed_by_another_that_does_nothing_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reembedding, "PORTION", 1)
    tenant = world.add(T1, "a", "b", "c")

    class Stops(MemoryReembeddingStore):
        async def keep(self, *arguments: object, **more: object) -> None:
            await super().keep(*arguments, **more)  # type: ignore[arg-type]
            raise asyncio.CancelledError

    stopped = Stops(lambda: world.now)
    stopped.tenants = world.store.tenants
    with pytest.raises(asyncio.CancelledError):
        await world.worker("a", stopped).reembed(T1)
    assert not await world.worker("b").reembed(T1)  # the lease still stands
    world.now += LEASE_S
    assert await world.worker("b").reembed(T1)
    assert sorted(world.embedder.embedded) == ["a", "b", "c"]
    assert models(tenant) == {NEW}


async def test_a_chunk_that_is_replaced_meanwhile_keeps_nothing_of_its_old_text(world: World) -> None:
    tenant = world.add(T1, "milk", "bread")

    class Replacing(HashEmbedder):
        async def embed(self, texts: Sequence[str], *, tenant_id: TenantId | None = None) -> Matrix:
            rows = await super().embed(texts)
            if len(texts) == 2:
                tenant.put("c-milk", "oat milk", OLD, b"old")
                del tenant.chunks["c-bread"]
            return rows

    world.embedder = Replacing()
    assert await world.worker().reembed(T1)
    assert {chunk.vector for chunk in tenant.chunks.values()} == {await world.vector("oat milk")}


async def test_an_upload_with_the_old_model_before_the_switch_is_embedded_too(world: World) -> None:
    tenant = world.add(T1, "milk")

    class Late(MemoryReembeddingStore):
        async def behind(self, tenant_id: TenantId, model: str, *, limit: int) -> Behind:
            found = await super().behind(tenant_id, model, limit=limit)
            if not found.chunks and "c-late" not in tenant.chunks:
                tenant.put("c-late", "late", OLD, b"old")
            return found

    late = Late(lambda: world.now)
    late.tenants = world.store.tenants
    assert await world.worker(store=late).reembed(T1)
    assert tenant.chunks["c-late"].vector == await world.vector("late")


async def test_a_tenant_deleted_and_made_again_meanwhile_gets_nothing_of_the_first(world: World) -> None:
    world.add(T1, "milk")

    class Deleting(HashEmbedder):
        async def embed(self, texts: Sequence[str], *, tenant_id: TenantId | None = None) -> Matrix:
            world.store.tenants[T1] = KeptTenant()
            world.add(T1, "milk")
            return await super().embed(texts)

    world.embedder = Deleting()
    assert await world.worker().look() == 0
    assert world.metrics.failures == []
    assert world.store.tenants[T1].chunks["c-milk"].vector == b"old"


async def test_one_tenants_failure_is_counted_and_told_and_the_next_changes_over(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.add(T1, "bad")
    other = world.add(T2, "good")

    class Failing(HashEmbedder):
        async def embed(self, texts: Sequence[str], *, tenant_id: TenantId | None = None) -> Matrix:
            if "bad" in texts:
                raise RuntimeError("the model fell over")
            return await super().embed(texts)

    world.embedder = Failing()
    assert await world.worker().look() == 1
    assert (models(other), world.metrics.failures) == ({NEW}, ["unexpected"])
    (record,) = told(caplog, "atrium.reembedding")
    assert (record.levelname, record.__dict__["fields"]["tenant_id"]) == ("ERROR", str(T1))
    assert record.exc_info is not None


async def test_a_store_out_of_reach_is_counted_and_told_and_tried_at_the_next_look(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    class Down(MemoryReembeddingStore):
        async def tenants_behind(self, model: str, *, after: str, limit: int) -> list[TenantId]:
            raise DependencyDownError("postgres is out of reach")

    assert await world.worker(store=Down(lambda: world.now)).look() == 0
    assert world.metrics.failures == ["dependency_unavailable"]
    assert [record.levelname for record in told(caplog, "atrium.reembedding")] == ["WARNING"]


async def test_uploads_go_first_where_the_queue_is_full(world: World) -> None:
    tenant = world.add(T1, "milk")

    class Full(HashEmbedder):
        refusals = 2

        async def embed(self, texts: Sequence[str], *, tenant_id: TenantId | None = None) -> Matrix:
            if self.refusals:
                self.refusals -= 1
                raise OverloadedError("too many texts wait to be embedded", retry_after_s=0.001)
            return await super().embed(texts)

    world.embedder = Full()
    assert await world.worker().reembed(T1)
    assert models(tenant) == {NEW}


async def test_more_tenants_than_one_page_are_all_reached(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reembedding, "TENANTS_AT_ONCE", 2)
    for number in range(5):
        world.add(TenantId(f"t{number}"), "milk")
    assert await world.worker().look() == 5


@given(st.lists(st.tuples(st.sampled_from(["keep", "put", "drop", "switch"]), st.sampled_from("abc")), max_size=30))
def test_a_chunk_is_never_searched_with_the_vector_of_another_text(steps: list[tuple[str, str]]) -> None:
    """Whatever is written between a look at the chunks and what comes of it."""
    asyncio.run(_walk(steps))


async def _walk(steps: list[tuple[str, str]]) -> None:
    world = World()
    tenant = world.add(T1, "a", "b")
    found = await world.store.behind(T1, NEW, limit=10)
    for number, (step, name) in enumerate(steps):
        if step == "keep":
            await world.store.keep(T1, NEW, found.chunks, _marked(found.chunks), born=tenant.born)
            found = await world.store.behind(T1, NEW, limit=10)
        elif step == "put":
            tenant.put(f"c-{name}", f"{name} {number}", OLD, b"old")
        elif step == "drop":
            tenant.chunks.pop(f"c-{name}", None)
        else:
            before = models(tenant)
            switched = await world.store.switch(T1, NEW, born=tenant.born)
            assert models(tenant) == ({NEW} if switched and tenant.chunks else before)
        for chunk in tenant.chunks.values():
            expected = _marked([BehindChunk("", 0, chunk.text)])[0].tobytes()
            assert chunk.vector == (b"old" if chunk.model == OLD else expected)


def _marked(chunks: Sequence[BehindChunk]) -> HalfMatrix:
    """A vector that tells its text."""
    rows = [[hash(chunk.text) % 1_000, len(chunk.text)] for chunk in chunks]
    return np.array(rows, dtype=np.float16).reshape(len(rows), 2)
