"""Ingestion jobs: the store in memory and the one in PostgreSQL keep the same promises, and the runner its own."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from contracts.errors import DependencyDownError, NotFoundError, RateLimitedError
from contracts.retrieval import DocumentInfo, DocumentReceipt, IngestRequest, SearchRequest
from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from rag.adapters import memory_jobs, postgres_jobs
from rag.adapters.hash_embedder import HashEmbedder
from rag.adapters.memory_chunks import MemoryChunkStore
from rag.adapters.memory_jobs import MemoryJobStore
from rag.adapters.memory_marks import MemoryMarks
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.adapters.postgres_jobs import PostgresJobStore
from rag.adapters.postgres_marks import PostgresMarks
from rag.domain.corpus import Document
from rag.domain.jobs import Claim, Job, JobBusyError, JobState, Part
from rag.domain.vectors import Matrix
from rag.ingestion.pipeline import Pipeline
from rag.job_runner import MAX_ATTEMPTS, PART_CHUNKS, PARTS_AT_ONCE, JobRunner
from rag.ports import ChunkStore, JobStore
from rag.service import INLINE_BYTES, RagService
from rag.uploads import Uploads
from stores.objects import Objects
from stores.objects_memory import MemoryObjects
from stores.postgres import Database
from support.ingesting import InlineExtractor, ingesting_service
from support.postgres import Addresses
from support.retrieval import replica
from support.tenants import opened

LEASE = timedelta(seconds=30)
OVER = timedelta(seconds=-1)
"""A lease that has ended."""
_ADD = text("INSERT INTO tenants (tenant_id, tier, config_version) VALUES (:tenant, 'basic', 1)")
_MADE_AGAIN = (
    text("UPDATE tenants SET state = 'deleting' WHERE tenant_id = :tenant"),
    text("SELECT purge_tenant(1000), :tenant"),
    text("SELECT remove_purged_tenant(), :tenant"),
    _ADD,
)


class World:
    def __init__(self, database: Database | None) -> None:
        self.embedder = HashEmbedder()
        self._memory = MemoryChunkStore()
        self.chunks: ChunkStore = PostgresChunkStore(database) if database else self._memory
        self.jobs: JobStore = PostgresJobStore(database) if database else MemoryJobStore(self.chunks)
        self.objects: Objects | None = None
        self._database = database

    async def tenant(self) -> TenantId:
        tenant_id = TenantId(f"j-{secrets.token_hex(6)}")
        if isinstance(self.chunks, MemoryChunkStore):
            self.chunks.add_tenant(tenant_id)
        else:
            assert self._database is not None
            async with self._database.tenant(tenant_id) as connection:
                await connection.execute(_ADD, {"tenant": str(tenant_id)})
        return tenant_id

    def service(self) -> RagService:
        marks = PostgresMarks(self._database) if self._database else MemoryMarks(self._memory)
        retriever = replica(self.chunks, marks, model=self.embedder.model).retriever
        return ingesting_service(self.embedder, self.chunks, retriever, jobs=self.jobs, objects=self.objects)

    def runner(self, embedder: HashEmbedder | None = None) -> JobRunner:
        pipeline = Pipeline(embedder or self.embedder, InlineExtractor())
        return JobRunner(self.jobs, Uploads(self.jobs, self.objects), self.chunks, pipeline, NullMetrics())

    async def upload(self, tenant_id: TenantId, content: bytes, document_id: str = "d") -> DocumentReceipt:
        request = IngestRequest(title="Book", filename="book.txt", content=content, document_id=document_id)
        service = self.service()
        found = await service.prepare(tenant_id, request)
        return found if isinstance(found, DocumentReceipt) else await service.keep(tenant_id, found)

    async def claim(self, owner: str, tenant_id: TenantId, lease: timedelta = LEASE) -> Claim:
        """Of this tenant: the database has others, whose jobs are let go."""
        others: list[Claim] = []
        while True:
            found = await self.jobs.claim(owner, lease, [])
            assert found is not None
            if found.tenant_id == tenant_id:
                break
            others.append(found)
        for other in others:
            await self.jobs.release(other)
        return found

    async def document(self, tenant_id: TenantId, document_id: str = "d") -> DocumentInfo:
        return await self.service().document(tenant_id, document_id)

    async def finds(self, tenant_id: TenantId, query: str) -> set[str]:
        found = await self.service().search(tenant_id, SearchRequest(query=query, k=100))
        return {word for passage in found for word in passage.text.split()}


@pytest.fixture(params=["memory", "postgres"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A database of the test's own: whoever claims a job may get any tenant's."""
    if request.param == "memory":
        yield World(None)
        return
    async with opened(request.getfixturevalue("own_database").url) as database:
        yield World(database)


def book(word: str = "word", size: int = INLINE_BYTES + 1) -> bytes:
    return (f"{word} " * (size // (len(word) + 1) + 1)).encode()


def a_job(document_id: str = "d", content: bytes = b"text") -> Job:
    document = Document(document_id, "T", "a.txt", {}, hashlib.sha256(content).digest(), len(content))
    return Job(f"job-{secrets.token_hex(4)}", document, JobState.QUEUED, 0, None, None, datetime.now(UTC))


async def test_a_large_upload_is_a_job_that_becomes_a_document(world: World) -> None:
    tenant = await world.tenant()
    receipt = await world.upload(tenant, book())
    assert (receipt.state, receipt.chunks, receipt.seq) == ("queued", 0, 0)
    assert (await world.document(tenant)).progress is not None
    assert await world.finds(tenant, "word") == set()
    assert await world.runner().run_one()
    info = await world.document(tenant)
    assert (info.state, info.seq, info.progress, info.error) == ("ready", 1, None, None)
    assert info.chunks > PART_CHUNKS
    assert await world.finds(tenant, "word") == {"word"}
    assert not await world.runner().run_one()


async def test_the_same_upload_again_is_the_same_job_and_then_the_same_document(world: World) -> None:
    tenant = await world.tenant()
    await world.upload(tenant, book())
    before = await world.jobs.job(tenant, "d")
    await world.upload(tenant, book())
    after = await world.jobs.job(tenant, "d")
    assert before is not None
    assert after is not None
    assert before.job_id == after.job_id
    assert await world.runner().run_one()
    assert (await world.upload(tenant, book())).state == "ready"


async def test_an_earlier_upload_is_found_whole_until_the_new_one_takes_its_place(world: World) -> None:
    tenant = await world.tenant()
    await world.upload(tenant, b"old text")
    receipt = await world.upload(tenant, book("new"))
    assert (receipt.state, receipt.chunks, receipt.seq) == ("queued", 1, 1)
    assert await world.finds(tenant, "text") == {"old", "text"}
    await world.runner().run_one()
    assert await world.finds(tenant, "text") == {"new"}


async def test_a_later_upload_wins_over_a_job_however_small_it_is(world: World) -> None:
    tenant = await world.tenant()
    await world.upload(tenant, book("old"))
    assert (await world.upload(tenant, b"new text")).state == "ready"
    await world.runner().run_one()
    assert await world.finds(tenant, "text") == {"new", "text"}


async def test_a_document_deleted_while_it_waits_or_is_worked_on_does_not_come_back(world: World) -> None:
    tenant = await world.tenant()
    await world.upload(tenant, book())
    claim = await world.claim("a", tenant)
    await world.service().delete(tenant, "d")
    with pytest.raises(NotFoundError):
        await world.document(tenant)
    assert not await world.jobs.renew(claim, LEASE, 1, 2)
    assert not await world.jobs.begin_commit(claim, LEASE)
    await world.jobs.keep_part(claim, Part(0, b"h", b"v"))
    await world.jobs.finish(claim)
    await world.jobs.fail(claim, "late")
    assert await world.jobs.job(tenant, "d") is None


async def test_a_refused_file_says_why_and_is_replaced_by_one_that_is_not(world: World) -> None:
    tenant = await world.tenant()
    await world.upload(tenant, book() + b"\xff")
    await world.runner().run_one()
    info = await world.document(tenant)
    assert info.state == "failed"
    assert "not UTF-8" in (info.error or "")
    assert not await world.runner().run_one()
    assert (await world.upload(tenant, b"good text")).state == "ready"
    assert (await world.document(tenant)).error is None


async def test_who_takes_a_job_over_goes_on_where_the_other_was(world: World) -> None:
    tenant = await world.tenant()
    await world.upload(tenant, book())

    class Dying(HashEmbedder):
        async def embed(self, texts: Sequence[str], *, tenant_id: TenantId | None = None) -> Matrix:
            if self.embedded:
                raise MemoryError
            return await super().embed(texts, tenant_id=tenant_id)

    first = Dying()
    await world.runner(first).run_one()  # embeds one part; the job then lies there until its lease ends
    assert (await world.document(tenant)).state == "processing"
    assert not await world.runner().run_one()
    await end_leases(world)
    assert await world.runner().run_one()
    info = await world.document(tenant)
    assert info.state == "ready"
    assert len(world.embedder.embedded) == info.chunks - len(first.embedded)


async def end_leases(world: World) -> None:
    if isinstance(world.jobs, MemoryJobStore):
        world.jobs._now = lambda: datetime.now(UTC) + timedelta(hours=1)
        return
    assert world._database is not None
    for tenant_id in await tenants_with_jobs(world._database):
        async with world._database.tenant(tenant_id) as connection:
            ended = text("UPDATE ingest_jobs SET lease_until = now() - interval '1 s' WHERE tenant_id = :tenant")
            await connection.execute(ended, {"tenant": str(tenant_id)})


async def tenants_with_jobs(database: Database) -> list[TenantId]:
    async with database.no_tenant() as connection:
        return [TenantId(row.tenant_id) for row in await connection.execute(text("SELECT * FROM list_tenants('', 99)"))]


async def test_a_job_cut_off_after_its_commit_is_only_ended(world: World) -> None:
    tenant = await world.tenant()
    await world.upload(tenant, book())
    finish = world.jobs.finish

    async def lost(_: Claim) -> None:
        raise DependencyDownError("gone")

    world.jobs.finish = lost  # type: ignore[method-assign]
    with suppress(DependencyDownError):
        await world.runner().run_one()
    world.jobs.finish = finish  # type: ignore[method-assign]
    await end_leases(world)
    await world.runner().run_one()
    info = await world.document(tenant)
    assert (info.state, info.seq) == ("ready", 1)


async def test_a_job_whose_work_ends_its_process_each_time_is_given_up(world: World) -> None:
    tenant = await world.tenant()
    await world.upload(tenant, book())
    for _ in range(MAX_ATTEMPTS):
        await world.claim("dies", tenant, OVER)
    await world.runner().run_one()
    assert "interrupted 5 times" in ((await world.document(tenant)).error or "")


async def test_a_runner_that_is_stopped_hands_its_job_back_at_once(world: World) -> None:
    tenant = await world.tenant()
    await world.upload(tenant, book())
    begun = asyncio.Event()

    class Slow(HashEmbedder):
        async def embed(self, texts: Sequence[str], *, tenant_id: TenantId | None = None) -> Matrix:
            begun.set()
            await asyncio.Event().wait()
            return await super().embed(texts, tenant_id=tenant_id)

    async with world.runner(Slow()).running():
        await begun.wait()
    claim = await world.claim("b", tenant)
    assert claim.attempts == 1


async def test_a_tenant_deleted_while_its_file_is_worked_on_and_made_again_is_empty(own_database: Addresses) -> None:
    async with opened(own_database.url) as database:
        world = World(database)
        tenant = await world.tenant()

        class Meanwhile(HashEmbedder):
            made_again = False

            async def embed(self, texts: Sequence[str], *, tenant_id: TenantId | None = None) -> Matrix:
                if not self.made_again:
                    self.made_again = True
                    for statement in _MADE_AGAIN:
                        async with database.tenant(tenant) as connection:
                            await connection.execute(statement, {"tenant": str(tenant)})
                return await super().embed(texts, tenant_id=tenant_id)

        await world.upload(tenant, book())
        embedder = Meanwhile()
        assert await world.runner(embedder).run_one()
        assert embedder.made_again
        version = await world.chunks.version(tenant)
        assert version.seq == 0
        assert await world.chunks.documents(tenant, after="", limit=10) == []
        assert await world.jobs.job(tenant, "d") is None
        assert await world.finds(tenant, "word") == set()


async def test_what_is_being_committed_cannot_be_withdrawn_but_for_an_ended_lease(world: World) -> None:
    tenant = await world.tenant()
    await world.jobs.enqueue(tenant, a_job(), b"text")
    claim = await world.claim("a", tenant)
    assert await world.jobs.begin_commit(claim, LEASE)
    for call in (world.jobs.withdraw(tenant, "d"), world.jobs.enqueue(tenant, a_job(content=b"x"), b"x")):
        with pytest.raises(JobBusyError):
            await call
    assert await world.jobs.begin_commit(claim, OVER)
    assert await world.jobs.withdraw(tenant, "d") == claim.job_id


async def test_of_two_who_claim_one_gets_the_job_and_a_job_of_another_upload_is_not_theirs(world: World) -> None:
    tenant = await world.tenant()
    await world.jobs.enqueue(tenant, a_job(), b"text")
    claims = await asyncio.gather(*(world.jobs.claim(owner, LEASE, []) for owner in ("a", "b", "c")))
    [claim] = [claim for claim in claims if claim]
    assert await world.jobs.renew(claim, LEASE, 3, 9)
    found = await world.jobs.job(tenant, "d")
    assert found is not None
    assert (found.state, found.done, found.total) == (JobState.PROCESSING, 3, 9)
    await world.jobs.enqueue(tenant, a_job(content=b"other"), b"other")
    assert not await world.jobs.renew(claim, LEASE, 4, 9)
    assert await world.jobs.take(claim) is None
    assert await world.jobs.parts(claim) == []


async def test_tenants_take_turns_however_many_jobs_one_has(world: World) -> None:
    many, one = await world.tenant(), await world.tenant()
    for number in range(5):
        await world.jobs.enqueue(many, a_job(f"d{number}"), b"text")
    await world.jobs.enqueue(one, a_job(), b"text")
    order, served = [], []
    while claim := await world.jobs.claim("a", LEASE, served):
        order.append(claim.tenant_id)
        served = [*(tenant for tenant in served if tenant != claim.tenant_id), claim.tenant_id]
    assert order == [many, one, many, many, many, many]


async def test_what_one_tenant_may_make_wait_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant, other = await world.tenant(), await world.tenant()
    monkeypatch.setattr(postgres_jobs, "MAX_WAITING", 2)
    if isinstance(world.jobs, MemoryJobStore):
        world.jobs = memory_jobs.MemoryJobStore(world.chunks, most_waiting=2)
    for number in range(2):
        await world.jobs.enqueue(tenant, a_job(f"d{number}"), b"text")
    with pytest.raises(RateLimitedError):
        await world.jobs.enqueue(tenant, a_job("d2"), b"text")
    await world.jobs.enqueue(tenant, a_job("d1", b"another"), b"another")  # in the place of one
    await world.jobs.enqueue(other, a_job(), b"text")


async def test_a_list_has_jobs_and_documents_by_id_and_by_state(world: World) -> None:
    tenant = await world.tenant()
    for name in ("a", "c", "e"):
        await world.upload(tenant, b"small", name)
    for name in ("b", "c", "d"):
        await world.jobs.enqueue(tenant, a_job(name), b"text")
    await world.jobs.fail(await world.claim("x", tenant), "no")
    service = world.service()

    async def listed(limit: int, state: str | None = None) -> list[tuple[str, str]]:
        found, after = [], ""
        while True:
            page = await service.documents(tenant, after=after, limit=limit, state=state)  # type: ignore[arg-type]
            assert len(page.items) <= limit
            found += [(info.document_id, info.state) for info in page.items]
            if page.next is None:
                return found
            after = page.next

    everything = [("a", "ready"), ("b", "failed"), ("c", "queued"), ("d", "queued"), ("e", "ready")]
    for limit in (1, 2, 5, 9):
        assert await listed(limit) == everything
        assert await listed(limit, "ready") == [item for item in everything if item[1] == "ready"]
        assert await listed(limit, "queued") == [item for item in everything if item[1] == "queued"]
        assert await listed(limit, "failed") == [("b", "failed")]


async def test_chunks_come_page_by_page(world: World) -> None:
    tenant = await world.tenant()
    await world.upload(tenant, book(size=5_000))
    service = world.service()
    ordinals, after = [], -1
    while True:
        page = await service.chunks(tenant, "d", after=after, limit=3)
        ordinals += [item.ordinal for item in page.items]
        if page.next is None:
            break
        after = page.next
    assert ordinals == list(range((await world.document(tenant)).chunks))
    with pytest.raises(NotFoundError):
        await service.chunks(tenant, "none", after=-1, limit=3)


async def test_a_tenant_that_is_not_there_has_no_jobs(world: World) -> None:
    nobody = TenantId("nobody-here")
    with pytest.raises(NotFoundError):
        await world.jobs.enqueue(nobody, a_job(), b"text")
    assert await world.jobs.job(nobody, "d") is None


async def test_with_an_object_store_the_file_lies_there_until_the_job_is_over(world: World) -> None:
    tenant = await world.tenant()
    world.objects = MemoryObjects()
    await world.upload(tenant, book("one"))
    [first] = await world.objects.list(tenant, "uploads/")
    await world.upload(tenant, book("two"))
    [second] = await world.objects.list(tenant, "uploads/")
    assert first != second
    await world.runner().run_one()
    assert await world.objects.list(tenant, "uploads/") == []
    assert await world.finds(tenant, "two") == {"two"}
    await world.upload(tenant, book("three"))
    await world.service().delete(tenant, "d")
    assert await world.objects.list(tenant, "uploads/") == []


async def test_an_upload_that_broke_off_before_its_file_came_fails_with_that_reason(world: World) -> None:
    tenant = await world.tenant()
    world.objects = MemoryObjects()
    await world.jobs.enqueue(tenant, replace(a_job(), state=JobState.RECEIVING), None)
    assert not await world.runner().run_one()  # it may still come
    await end_leases(world)
    await world.runner().run_one()
    assert "broke off" in ((await world.document(tenant)).error or "")


async def suspend(world: World, tenant: TenantId, *, resumed: bool = False) -> None:
    if isinstance(world.jobs, MemoryJobStore):
        (world.jobs.suspended.discard if resumed else world.jobs.suspended.add)(tenant)
        return
    assert world._database is not None
    async with world._database.tenant(tenant) as connection:
        said = {"tenant": str(tenant), "state": "active" if resumed else "suspended"}
        await connection.execute(text("UPDATE tenants SET state = :state WHERE tenant_id = :tenant"), said)


async def test_jobs_of_a_suspended_tenant_wait_until_it_is_resumed(world: World) -> None:
    tenant = await world.tenant()
    await world.upload(tenant, book())
    await suspend(world, tenant)
    assert not await world.runner().run_one()
    await suspend(world, tenant, resumed=True)
    assert await world.runner().run_one()
    assert (await world.document(tenant)).state == "ready"


async def test_a_job_under_way_when_its_tenant_is_suspended_stops_and_counts_as_no_attempt(world: World) -> None:
    tenant = await world.tenant()
    await world.upload(tenant, book())

    class Suspending(HashEmbedder):
        async def embed(self, texts: Sequence[str], *, tenant_id: TenantId | None = None) -> Matrix:
            await suspend(world, tenant)
            return await super().embed(texts, tenant_id=tenant_id)

    embedder = Suspending()
    assert await world.runner(embedder).run_one()
    assert len(embedder.embedded) <= PART_CHUNKS * PARTS_AT_ONCE
    info = await world.document(tenant)
    assert (info.state, info.chunks) == ("queued", 0)
    await suspend(world, tenant, resumed=True)
    assert (await world.claim("b", tenant)).attempts == 1


class Forgetful(MemoryObjects):
    """Out of reach for deletions, while it is told so."""

    away = True

    async def delete(self, tenant_id: TenantId, key: str) -> bool:
        if self.away:
            raise DependencyDownError("gone")
        return await super().delete(tenant_id, key)


async def test_files_of_jobs_that_ended_while_the_object_store_was_away_are_swept_and_no_others(world: World) -> None:
    tenant, objects = await world.tenant(), Forgetful()
    world.objects = objects
    uploads = Uploads(world.jobs, objects)
    runner = JobRunner(world.jobs, uploads, world.chunks, Pipeline(world.embedder, InlineExtractor()), NullMetrics())
    await world.upload(tenant, book("done"), "done")
    await world.upload(tenant, b"\x00" * (INLINE_BYTES + 1) + b"x", "refused")
    assert await runner.run_one()
    assert await runner.run_one()
    await world.upload(tenant, book("waits"), "waits")
    assert len(await objects.list(tenant, "uploads/")) == 3
    with pytest.raises(DependencyDownError):
        await uploads.sweep_left()
    objects.away = False
    await uploads.sweep_left()
    assert len(await objects.list(tenant, "uploads/")) == 1
    assert await runner.run_one()
    assert await objects.list(tenant, "uploads/") == []
    assert {info.state for info in (await world.service().documents(tenant, after="", limit=9)).items} == {
        "ready",
        "failed",
    }


async def test_a_file_that_a_killed_process_has_left_goes_with_the_tenants_next_sweep(world: World) -> None:
    tenant, objects = await world.tenant(), MemoryObjects()
    world.objects = objects
    await objects.put(tenant, "uploads/job-dead", b"text")
    await world.upload(tenant, book())
    await Uploads(world.jobs, objects).sweep(tenant)
    [kept] = await objects.list(tenant, "uploads/")
    assert kept != "uploads/job-dead"
