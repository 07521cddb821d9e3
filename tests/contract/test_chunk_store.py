"""The chunk log: the store in memory and the one in PostgreSQL keep the same promises."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import text

from contracts.errors import NotFoundError
from contracts.tenant import TenantId
from rag.adapters.memory_chunks import MemoryChunkStore
from rag.adapters.postgres_chunks import ROWS_AT_ONCE, PostgresChunkStore
from rag.domain.corpus import Chunk, CorpusVersion, Document, Standing
from rag.domain.query import ChunkRows
from rag.domain.vectors import HalfMatrix
from rag.ports import ChunkStore
from stores.postgres import Database
from support.chunks import whole

MODEL, DIMENSION = "model", 4
_ADD_TENANT = text("INSERT INTO tenants (tenant_id, tier, config_version) VALUES (:tenant, 'basic', 1)")
_DROP_TENANT = (
    text("UPDATE tenants SET state = 'deleting' WHERE tenant_id = :tenant"),
    text("SELECT purge_tenant(1000), :tenant"),
    text("SELECT remove_purged_tenant(), :tenant"),
)


def fresh_id() -> TenantId:
    return TenantId(f"c-{secrets.token_hex(6)}")


class Stored:
    """A store, and how its tenants come and go (which is not the store's own business)."""

    def __init__(self, store: ChunkStore, database: Database | None = None) -> None:
        self.store = store
        self._database = database

    async def add(self, tenant_id: TenantId | None = None) -> TenantId:
        tenant_id = tenant_id or fresh_id()
        if isinstance(self.store, MemoryChunkStore):
            self.store.add_tenant(tenant_id)
        else:
            await self._execute(tenant_id, drop=False)
        return tenant_id

    async def add_again(self, tenant_id: TenantId) -> None:
        if not isinstance(self.store, MemoryChunkStore):
            await self._execute(tenant_id, drop=True)
        await self.add(tenant_id)

    async def _execute(self, tenant_id: TenantId, *, drop: bool) -> None:
        assert self._database is not None
        async with self._database.tenant(tenant_id) as connection:
            for statement in _DROP_TENANT if drop else (_ADD_TENANT,):
                await connection.execute(statement, {"tenant": str(tenant_id)})


@pytest.fixture(params=["memory", "postgres"])
async def stored(request: pytest.FixtureRequest) -> AsyncIterator[Stored]:
    if request.param == "memory":
        yield Stored(MemoryChunkStore())
        return
    database = Database(request.getfixturevalue("database_url"))
    yield Stored(PostgresChunkStore(database), database)
    await database.close()


def document(document_id: str = "d", **fields: object) -> Document:
    values = {"title": "Title", "filename": "a.txt", "metadata": {"source": "x"}, "content_hash": b"h" * 32}
    return Document(**{"document_id": document_id, "size_bytes": 9} | values | fields)  # type: ignore[arg-type]


def chunks(tenant_id: TenantId, document_id: str, *texts: str) -> list[Chunk]:
    return [Chunk(f"{tenant_id}-{document_id}-{n}", n, body, n, n + len(body)) for n, body in enumerate(texts)]


def vectors(rows: int, *, first: float = 1.0) -> HalfMatrix:
    matrix = np.zeros((rows, DIMENSION), dtype=np.float16)
    matrix[:, 0] = first
    matrix[:, 1] = np.arange(rows) % 8
    return matrix


async def put(store: ChunkStore, tenant_id: TenantId, document_id: str, *texts: str, model: str = MODEL) -> int:
    rows = chunks(tenant_id, document_id, *texts)
    return await store.put(tenant_id, document(document_id), rows, vectors(len(rows)), model)


async def test_a_new_tenant_is_empty_at_sequence_nought(stored: Stored) -> None:
    tenant = await stored.add()
    corpus = await whole(stored.store, tenant, MODEL, DIMENSION)
    assert (corpus.version.seq, corpus.records, corpus.vectors.shape) == (0, (), (0, DIMENSION))
    assert corpus.version == await stored.store.version(tenant)


async def test_what_was_put_is_loaded_exactly_with_its_owner(stored: Stored) -> None:
    tenant = await stored.add()
    texts = ("Grüße, 世界 😀", 'it\'s "quoted" %s :name', "line\r\nline\ttab")
    rows = chunks(tenant, "d", *texts)
    seq = await stored.store.put(tenant, document("d", title="Ti%tle"), rows, vectors(3), MODEL)
    corpus = await whole(stored.store, tenant, MODEL, DIMENSION)
    assert corpus.version.seq == seq == 1
    assert [record.text for record in corpus.records] == list(texts)
    assert [(r.chunk_id, r.start, r.end) for r in corpus.records] == [(c.chunk_id, c.start, c.end) for c in rows]
    assert {(record.tenant_id, record.document_id, record.title) for record in corpus.records} == {
        (tenant, "d", "Ti%tle")
    }
    assert np.array_equal(corpus.vectors, vectors(3))


async def test_rows_and_vectors_stay_side_by_side_over_several_portions(stored: Stored) -> None:
    tenant = await stored.add()
    count = 2 * ROWS_AT_ONCE + 1
    await put(stored.store, tenant, "b", *(f"b{n}" for n in range(count)))
    await put(stored.store, tenant, "a", "a0")
    corpus = await whole(stored.store, tenant, MODEL, DIMENSION)
    assert [record.text for record in corpus.records] == ["a0", *(f"b{n}" for n in range(count))]
    assert np.array_equal(corpus.vectors, np.concatenate([vectors(1), vectors(count)]))


async def test_every_write_has_the_next_sequence_and_concurrent_ones_never_share_one(stored: Stored) -> None:
    tenant = await stored.add()
    seqs = await asyncio.gather(*(put(stored.store, tenant, f"d{n % 3}", f"text {n}") for n in range(9)))
    assert sorted(seqs) == list(range(1, 10))
    assert (await stored.store.version(tenant)).seq == 9


async def test_putting_again_replaces_all_chunks_and_keeps_the_day_it_first_came(stored: Stored) -> None:
    tenant = await stored.add()
    await put(stored.store, tenant, "d", "old one", "old two", "old three")
    first = await stored.store.document(tenant, "d")
    await put(stored.store, tenant, "d", "new")
    second = await stored.store.document(tenant, "d")
    corpus = await whole(stored.store, tenant, MODEL, DIMENSION)
    assert [record.text for record in corpus.records] == ["new"]
    assert first is not None
    assert second is not None
    assert (second.created_at, second.seq, second.chunks) == (first.created_at, 2, 1)


@pytest.mark.parametrize("stored", ["postgres"], indirect=True)  # nothing can fail midway in memory
async def test_a_put_that_fails_midway_leaves_everything_as_it_was(stored: Stored) -> None:
    tenant = await stored.add()
    await put(stored.store, tenant, "d", "kept")
    twice = [*chunks(tenant, "d", "new")] * 2  # the same chunk id: the second row is refused
    with pytest.raises(Exception, match="duplicate key"):
        await stored.store.put(tenant, document("d"), twice, vectors(2), MODEL)
    corpus = await whole(stored.store, tenant, MODEL, DIMENSION)
    assert [record.text for record in corpus.records] == ["kept"]
    assert corpus.version.seq == 1


async def test_deleting_removes_document_and_chunks_and_counts_as_a_write(stored: Stored) -> None:
    tenant = await stored.add()
    await put(stored.store, tenant, "d", "text")
    assert await stored.store.delete(tenant, "d") is True
    assert (await whole(stored.store, tenant, MODEL, DIMENSION)).records == ()
    assert await stored.store.document(tenant, "d") is None
    assert await stored.store.delete(tenant, "d") is False
    assert (await stored.store.version(tenant)).seq == 2


async def test_replacing_and_deleting_the_same_document_at_once_never_block_each_other(stored: Stored) -> None:
    tenant = await stored.add()
    await put(stored.store, tenant, "d", "text")
    calls = [put(stored.store, tenant, "d", f"text {n}") for n in range(8)]
    await asyncio.gather(*calls, *(stored.store.delete(tenant, "d") for _ in range(8)))
    records = (await whole(stored.store, tenant, MODEL, DIMENSION)).records
    assert len(records) == (1 if await stored.store.document(tenant, "d") else 0)


async def test_a_tenant_neither_sees_nor_touches_anothers_document_of_the_same_id(stored: Stored) -> None:
    mine, other = await stored.add(), await stored.add()
    await put(stored.store, mine, "d", "mine")
    await put(stored.store, other, "e", "the other's")
    assert await stored.store.document(other, "d") is None
    assert await stored.store.standing(other, "d") is None
    assert await stored.store.delete(other, "d") is False
    await put(stored.store, other, "d", "the other's own")
    assert [r.text for r in (await whole(stored.store, mine, MODEL, DIMENSION)).records] == ["mine"]
    assert [item.document_id for item in await stored.store.documents(mine, after="", limit=10)] == ["d"]
    assert (await stored.store.version(mine)).seq == 1


async def test_what_stands_tells_the_same_upload_from_any_other(stored: Stored) -> None:
    tenant = await stored.add()
    offered = document("d", metadata={"n": 10**30, "deep": {"list": [1.5, None, True, "é"]}})
    await stored.store.put(tenant, offered, chunks(tenant, "d", "a", "b"), vectors(2), MODEL)
    standing = await stored.store.standing(tenant, "d")
    assert standing == Standing(offered, MODEL, chunks=2, seq=1)
    assert standing.answers(offered, MODEL)
    assert not standing.answers(offered, "another model")
    assert not standing.answers(document("d", content_hash=b"i" * 32, metadata=offered.metadata), MODEL)
    assert await stored.store.standing(tenant, "other") is None


async def test_chunks_of_another_model_are_counted_and_left_out(stored: Stored) -> None:
    tenant = await stored.add()
    await put(stored.store, tenant, "old", "a", "b", model="other")
    await put(stored.store, tenant, "new", "c")
    corpus = await whole(stored.store, tenant, MODEL, DIMENSION)
    assert [record.text for record in corpus.records] == ["c"]
    assert corpus.of_other_models == 2


@pytest.mark.parametrize("portion", [1, 2, 1_000])
async def test_a_scan_gives_the_same_in_portions_of_any_size(stored: Stored, portion: int) -> None:
    tenant = await stored.add()
    await put(stored.store, tenant, "old", "a", "b", model="other")
    for number in range(3):
        await put(stored.store, tenant, f"d{number}", *[f"text {n}" for n in range(ROWS_AT_ONCE)])
    taken: list[ChunkRows] = []

    async def take(rows: ChunkRows) -> None:
        taken.append(rows)

    found = await stored.store.scan(tenant, MODEL, DIMENSION, take, portion=portion)
    at_once = await whole(stored.store, tenant, MODEL, DIMENSION)

    assert (found.version, found.of_other_models) == (at_once.version, 2)
    assert [record for rows in taken for record in rows.records] == list(at_once.records)
    assert np.array_equal(np.concatenate([rows.vectors for rows in taken]), at_once.vectors)
    assert max(map(len, taken)) <= portion + ROWS_AT_ONCE
    with pytest.raises(NotFoundError):
        await stored.store.scan(fresh_id(), MODEL, DIMENSION, take, portion=portion)


async def test_documents_are_listed_by_id_from_a_cursor_on(stored: Stored) -> None:
    tenant = await stored.add()
    for document_id in ("b", "a", "B", "a.1", "a-1", "a_1", "10", "9"):
        await put(stored.store, tenant, document_id, "text")
    listed = [item.document_id for item in await stored.store.documents(tenant, after="", limit=100)]
    assert listed == ["10", "9", "B", "a", "a-1", "a.1", "a_1", "b"]
    page = await stored.store.documents(tenant, after="B", limit=2)
    assert [item.document_id for item in page] == ["a", "a-1"]


async def test_a_documents_info_is_what_was_put(stored: Stored) -> None:
    tenant = await stored.add()
    await put(stored.store, tenant, "d", "text")
    info = await stored.store.document(tenant, "d")
    assert info is not None
    assert info.created_at.tzinfo is not None
    kept = info.model_dump(exclude={"created_at"})
    assert kept == {
        "document_id": "d",
        "title": "Title",
        "filename": "a.txt",
        "state": "ready",
        "chunks": 1,
        "bytes": 9,
        "seq": 1,
        "metadata": {"source": "x"},
        "progress": None,
        "error": None,
    }


async def test_the_tail_tells_what_came_and_went_since_a_version(stored: Stored) -> None:
    tenant, store = await stored.add(), stored.store
    await put(store, tenant, "kept", "a")
    await put(store, tenant, "replaced", "b", "c")
    await put(store, tenant, "deleted", "d")
    before = await store.version(tenant)
    await put(store, tenant, "replaced", "B")
    await put(store, tenant, "passing", "p")
    await store.delete(tenant, "deleted")
    await store.delete(tenant, "passing")
    await put(store, tenant, "new", "n")
    tail = await store.tail(tenant, before, MODEL, DIMENSION)
    assert tail is not None
    assert tail.version == await store.version(tenant)
    assert [(record.text, record.seq) for record in tail.added.records] == [("n", 8), ("B", 4)]
    gone = {"replaced-0", "replaced-1", "deleted-0", "passing-0"}
    assert tail.removed == {f"{tenant}-{name}" for name in gone}
    assert np.array_equal(tail.added.vectors, vectors(1).repeat(2, axis=0))
    nothing = await store.tail(tenant, tail.version, MODEL, DIMENSION)
    assert nothing is not None
    assert (nothing.changes, nothing.version) == (0, tail.version)


async def test_a_record_has_its_documents_metadata_its_heading_and_its_sequence(stored: Stored) -> None:
    tenant, store = await stored.add(), stored.store
    rows = [replace(chunk, heading=f"H{n}") for n, chunk in enumerate(chunks(tenant, "d", "a", "b"))]
    await store.put(tenant, document("d", metadata={"tags": ["x"]}), rows, vectors(2), MODEL)
    await put(store, tenant, "e", "c")
    records = (await whole(store, tenant, MODEL, DIMENSION)).records
    assert [(one.heading, one.metadata, one.seq) for one in records] == [
        ("H0", {"tags": ["x"]}, 1),
        ("H1", {"tags": ["x"]}, 1),
        ("", {"source": "x"}, 2),
    ]


async def test_a_tail_is_of_one_model_and_not_of_another_life_of_the_tenant(stored: Stored) -> None:
    tenant, store = await stored.add(), stored.store
    before = await store.version(tenant)
    await put(store, tenant, "d", "a", model="other")
    tail = await store.tail(tenant, before, MODEL, DIMENSION)
    assert tail is not None
    assert (len(tail.added.records), tail.added.of_other_models) == (0, 1)
    await stored.add_again(tenant)
    assert await store.tail(tenant, before, MODEL, DIMENSION) is None
    with pytest.raises(NotFoundError):
        await store.tail(fresh_id(), before, MODEL, DIMENSION)


async def test_an_unknown_tenant_is_not_found_and_has_no_documents(stored: Stored) -> None:
    nobody, store = fresh_id(), stored.store
    for call in (store.version(nobody), whole(store, nobody, MODEL, DIMENSION), store.delete(nobody, "d")):
        with pytest.raises(NotFoundError):
            await call
    with pytest.raises(NotFoundError):
        await put(store, nobody, "d", "text")
    assert await store.documents(nobody, after="", limit=10) == []
    assert await store.document(nobody, "d") is None


async def test_a_tenant_made_again_has_another_version_at_the_same_sequence(stored: Stored) -> None:
    tenant = await stored.add()
    await put(stored.store, tenant, "d", "the former's")
    before = await stored.store.version(tenant)
    await stored.add_again(tenant)
    assert (await whole(stored.store, tenant, MODEL, DIMENSION)).records == ()
    await put(stored.store, tenant, "d", "new")
    after = await stored.store.version(tenant)
    assert after.seq == before.seq
    assert not before.covers(after)
    assert not after.covers(before)


async def test_work_that_began_under_an_earlier_tenant_finds_and_keeps_nothing(stored: Stored) -> None:
    tenant, store = await stored.add(), stored.store
    earlier = (await store.version(tenant)).born
    await stored.add_again(tenant)
    await put(store, tenant, "d", "the later one's")
    later = (await store.version(tenant)).born
    rows = chunks(tenant, "d", "poison")
    for call in (
        store.version(tenant, born=earlier),
        store.standing(tenant, "d", born=earlier),
        store.put(tenant, document("d"), rows, vectors(1), MODEL, born=earlier),
        store.delete(tenant, "d", born=earlier),
        store.document(tenant, "d", born=earlier),
        store.passages(tenant, "d", born=earlier),
        store.documents(tenant, after="", limit=9, born=earlier),
    ):
        with pytest.raises(NotFoundError):
            await call
    assert [passage.text for passage in await store.passages(tenant, "d", born=later)] == ["the later one's"]
    assert await store.version(tenant, born=later) == CorpusVersion(later, 1)
    assert [item.document_id for item in await store.documents(tenant, after="", limit=9, born=later)] == ["d"]
    assert await store.delete(tenant, "d", born=later)


LARGE = 6_000
"""Chunks: several portions."""


def book(tenant: TenantId, edition: str) -> tuple[Document, list[Chunk], HalfMatrix, str]:
    rows = [replace(one, chunk_id=f"{one.chunk_id}-{edition}") for one in chunks(tenant, "book", *["page"] * LARGE)]
    return document("book", content_hash=edition.encode().ljust(32)), rows, vectors(LARGE), MODEL


@pytest.mark.parametrize("standing", [False, True], ids=["a new one", "in the place of another"])
async def test_what_else_is_written_to_a_tenant_does_not_wait_for_a_book(database_url: str, standing: bool) -> None:
    database = Database(database_url)
    try:
        stored = Stored(PostgresChunkStore(database), database)
        tenant = await stored.add()
        if standing:
            await stored.store.put(tenant, *book(tenant, "first"))
        begun = await stored.store.version(tenant)
        keeping = asyncio.create_task(stored.store.put(tenant, *book(tenant, "second")))
        written = 0
        while not keeping.done():
            await put(stored.store, tenant, f"d{written}", "short")
            written += 1
            told = await stored.store.tail(tenant, begun, MODEL, DIMENSION)
            assert told is not None
            pages = sum(record.document_id == "book" for record in told.added.records)
            assert pages in {0, LARGE}
        seq = await keeping
        assert seq > begun.seq + 2  # the first of the others may be before it
        assert seq <= begun.seq + written + 1
        corpus = await whole(stored.store, tenant, MODEL, DIMENSION)
        assert len(corpus.records) == LARGE + written
        assert {one.seq for one in corpus.records if one.document_id == "book"} == {seq}
        again = await stored.store.put(tenant, *book(tenant, "second"))
        assert again == begun.seq + written + 2
        assert len((await whole(stored.store, tenant, MODEL, DIMENSION)).records) == LARGE + written
    finally:
        await database.close()


async def test_a_large_document_is_replaced_deleted_and_kept_by_several_at_once(database_url: str) -> None:
    """Whoever is first, nobody waits for one who waits for them, and what stands at the end is one of them."""
    database = Database(database_url)
    try:
        stored = Stored(PostgresChunkStore(database), database)
        tenant = await stored.add()
        await stored.store.put(tenant, *book(tenant, "first"))
        some = [stored.store.put(tenant, *book(tenant, edition)) for edition in ("second", "third", "third")]
        await asyncio.gather(*some, stored.store.delete(tenant, "book"), put(stored.store, tenant, "book", "short"))
        version = await stored.store.version(tenant)
        assert version.seq in {5, 6}
        corpus = await whole(stored.store, tenant, MODEL, DIMENSION)
        standing = await stored.store.standing(tenant, "book")
        assert len(corpus.records) == (standing.chunks if standing else 0)
    finally:
        await database.close()
