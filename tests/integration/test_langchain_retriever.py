"""The search as a LangChain retriever finds what the search finds, for its tenant alone."""

from __future__ import annotations

import pytest

from contracts.errors import AtriumError, NotFoundError, UpstreamError
from rag.adapters.langchain_retriever import AtriumRetriever
from support.stack import Stack


def retriever_of(stack: Stack, tenant: str, **changes: object) -> AtriumRetriever:
    with stack.platform() as platform:
        made = platform.post(f"/tenant/{tenant}/keys", json={"label": "chain", "role": "tenant_user"})
    return AtriumRetriever(**{"url": stack.router, "tenant": tenant, "key": made.json()["key"], "k": 3} | changes)


def test_it_gives_passages_with_what_a_citation_needs(stack: Stack) -> None:
    tenant, other = stack.new_tenant("chain"), stack.new_tenant("other")
    with stack.client(tenant) as client, stack.client(other) as strange:
        text = "# Milk\n\nA litre of milk costs one euro."
        client.post(f"/tenant/{tenant}/documents", json={"title": "Prices", "text": text})
        strange.post(f"/tenant/{other}/documents", json={"title": "Secrets", "text": "The milk is not ours."})
        [document] = retriever_of(stack, tenant).invoke("milk")
        [passage] = client.post(f"/tenant/{tenant}/search", json={"query": "milk", "k": 3}).json()["passages"]
    assert document.page_content == passage["text"]
    assert document.id == passage["chunk_id"]
    assert {key: document.metadata[key] for key in ("document_id", "title", "start", "end")} == {
        key: passage[key] for key in ("document_id", "title", "start", "end")
    }


async def test_it_says_what_the_search_says_of_a_stranger_or_a_bad_query(stack: Stack) -> None:
    tenant, other = stack.new_tenant("chain"), stack.new_tenant("other")
    stranger = retriever_of(stack, tenant).model_copy(update={"tenant": other})
    with pytest.raises(NotFoundError):
        await stranger.ainvoke("milk")
    with pytest.raises(AtriumError):
        await retriever_of(stack, tenant).ainvoke("")
    with pytest.raises(UpstreamError):
        await retriever_of(stack, tenant, url="http://127.0.0.1:1").ainvoke("milk")
