"""Documents come in once, are replaced whole, and are refused before anything is kept."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from contracts.errors import InvalidRequestError, NotFoundError
from contracts.retrieval import DocumentReceipt, IngestRequest, SearchRequest
from contracts.tenant import TenantId
from rag.adapters.hash_embedder import HashEmbedder
from rag.adapters.memory_chunks import MemoryChunkStore
from rag.adapters.memory_marks import MemoryMarks
from rag.service import RagService
from rag.wire import MAX_METADATA_BYTES
from support.ingesting import ingesting_service
from support.retrieval import replica

T1, T2 = TenantId("t1"), TenantId("t2")


class World:
    def __init__(self) -> None:
        self.embedder, self.store = HashEmbedder(), MemoryChunkStore()
        self.store.add_tenant(T1)
        self.store.add_tenant(T2)
        self.service = self.restarted()

    def restarted(self) -> RagService:
        retriever = replica(self.store, MemoryMarks(self.store), model=self.embedder.model).retriever
        return ingesting_service(self.embedder, self.store, retriever)

    async def ingest(self, tenant_id: TenantId, request: IngestRequest) -> DocumentReceipt:
        found = await self.service.prepare(tenant_id, request)
        return found if isinstance(found, DocumentReceipt) else await self.service.keep(tenant_id, found)

    async def texts(self, query: str, tenant_id: TenantId = T1) -> list[str]:
        passages = await self.service.search(tenant_id, SearchRequest(query=query, k=100))
        return [passage.text for passage in passages]


def upload(text: str = "Milk costs one euro.", **fields: Any) -> IngestRequest:
    content = base64.b64encode(text.encode()).decode()
    return IngestRequest(**{"title": "Prices", "filename": "prices.txt", "content": content} | fields)


async def test_what_was_uploaded_is_found_with_where_it_stands() -> None:
    world = World()
    text = "\ufeff\n  Milk costs one euro.  \n"
    receipt = await world.ingest(T1, upload(text))
    assert (receipt.chunks, receipt.seq) == (1, 1)
    [passage] = await world.service.search(T1, SearchRequest(query="milk", min_seq=receipt.seq))
    assert (passage.title, passage.document_id) == ("Prices", receipt.document_id)
    assert passage.text == text.removeprefix("\ufeff")[passage.start : passage.end] == "Milk costs one euro."


async def test_the_same_upload_again_gets_the_first_receipt_and_embeds_nothing() -> None:
    world = World()
    first = await world.ingest(T1, upload())
    embedded = len(world.embedder.embedded)
    assert await world.ingest(T1, upload()) == first
    assert len(world.embedder.embedded) == embedded


@pytest.mark.parametrize("change", [{"title": "New"}, {"metadata": {"a": 1}}, {"filename": "p.md"}])
async def test_a_named_document_that_differs_in_anything_is_replaced(change: dict[str, Any]) -> None:
    world = World()
    await world.ingest(T1, upload(document_id="d"))
    again = await world.ingest(T1, upload(document_id="d", **change))
    assert again.seq == 2
    info = await world.service.document(T1, "d")
    assert {key: getattr(info, key) for key in change} == change
    assert await world.texts("milk") == ["Milk costs one euro."]


async def test_replacing_leaves_nothing_of_the_former_text_and_its_chunks_get_new_ids() -> None:
    world = World()
    await world.ingest(T1, upload("old " * 1_000, document_id="d"))
    before = {passage.chunk_id for passage in await world.service.search(T1, SearchRequest(query="old", k=100))}
    await world.ingest(T1, upload("new", document_id="d"))
    after = await world.service.search(T1, SearchRequest(query="old", k=100))
    assert [passage.text for passage in after] == ["new"]
    assert not before & {passage.chunk_id for passage in after}


async def test_without_an_id_the_content_and_title_name_the_document_in_each_tenant_apart() -> None:
    world = World()
    ids = [
        (await world.ingest(tenant_id, upload(text, title=title))).document_id
        for tenant_id, text, title in [(T1, "a", "A"), (T1, "b", "A"), (T1, "a", "B"), (T2, "a", "A"), (T1, "a", "A")]
    ]
    assert len(set(ids)) == 4
    assert ids[0] == ids[4]


async def test_two_tenants_chunks_never_share_an_id_even_for_the_same_document() -> None:
    world = World()
    found = []
    for tenant_id in (T1, T2):
        await world.ingest(tenant_id, upload(document_id="d"))
        found += await world.service.search(tenant_id, SearchRequest(query="milk"))
    assert len({passage.chunk_id for passage in found}) == 2


async def test_another_model_embeds_a_standing_document_again() -> None:
    world = World()
    await world.ingest(T1, upload())
    world.embedder.model = "another"
    world.service = world.restarted()
    assert await world.texts("milk") == []
    assert (await world.ingest(T1, upload())).seq == 2
    assert await world.texts("milk") == ["Milk costs one euro."]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"metadata": {"a": "x" * MAX_METADATA_BYTES}}, "metadata: larger"),
        ({"filename": "a.exe"}, "not supported"),
        ({"content": base64.b64encode(b" ").decode()}, "empty"),
    ],
)
async def test_what_cannot_be_kept_is_refused_and_leaves_nothing(fields: dict[str, Any], reason: str) -> None:
    world = World()
    with pytest.raises(InvalidRequestError, match=reason):
        await world.ingest(T1, upload(**fields))
    assert (await world.store.version(T1)).seq == 0
    assert (await world.service.documents(T1, after="", limit=10)).items == []


async def test_an_unknown_tenant_is_not_found_before_anything_is_embedded() -> None:
    world = World()
    with pytest.raises(NotFoundError):
        await world.ingest(TenantId("nobody"), upload())
    assert world.embedder.embedded == []


async def test_the_query_is_not_embedded_when_its_vector_comes_along_and_a_wrong_one_is_refused() -> None:
    world = World()
    await world.ingest(T1, upload("milk"))
    [row] = (await world.service.embed(T1, ["milk"])).rows
    world.embedder.embedded.clear()
    vector = tuple(float(value) * 2 for value in row)
    [passage] = await world.service.search(T1, SearchRequest(query="milk", vector=vector))
    assert passage.score == pytest.approx(1.0, abs=1e-3)
    assert world.embedder.embedded == []
    own, strange = world.embedder.model, (1.0, *[0.0] * 63)
    assert [passage] == await world.service.search(T1, SearchRequest(query="milk", vector=vector, model=own))
    assert world.embedder.embedded == []
    anew = await world.service.search(T1, SearchRequest(query="milk", vector=strange, model="served before"))
    assert (anew, world.embedder.embedded) == ([passage], ["milk"])
    with pytest.raises(InvalidRequestError, match="3 dimensions, the model 64"):
        await world.service.search(T1, SearchRequest(query="milk", vector=(1.0, 2.0, 3.0)))


async def test_documents_are_listed_in_pages_that_miss_none_and_end() -> None:
    world = World()
    ids = [f"d{number}" for number in range(5)]
    for document_id in ids:
        await world.ingest(T1, upload(document_id=document_id))
    listed, after = [], ""
    for _ in range(3):
        page = await world.service.documents(T1, after=after, limit=2)
        listed += [item.document_id for item in page.items]
        after = page.next or ""
    assert listed == ids
    assert after == ""


async def test_a_deleted_document_is_gone_and_cannot_be_deleted_twice() -> None:
    world = World()
    await world.ingest(T1, upload(document_id="d"))
    await world.service.delete(T1, "d")
    assert await world.texts("milk") == []
    for call in (world.service.delete(T1, "d"), world.service.document(T1, "d"), world.service.delete(T2, "d")):
        with pytest.raises(NotFoundError):
            await call
