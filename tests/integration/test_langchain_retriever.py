"""The search as a LangChain retriever finds what the search finds, for its tenant alone."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

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


def test_a_chain_answers_from_the_passages_that_its_filter_allows(stack: Stack) -> None:
    """A chain as people write them: retriever, prompt, model, parser; the model is LangChain's own imitation."""
    tenant = stack.new_tenant("chain")
    with stack.client(tenant) as client:
        for year, price in ((2024, "one euro"), (2025, "two euro")):
            body = {"title": f"Prices {year}", "text": f"Milk costs {price}.", "metadata": {"source": str(year)}}
            client.post(f"/tenant/{tenant}/documents", json=body).raise_for_status()
    retriever = retriever_of(stack, tenant, filter={"source": "2025"}, mode="vector")
    prompts: list[str] = []

    def noted(prompt: PromptValue) -> PromptValue:
        prompts.append(prompt.to_string())
        return prompt

    chain = (
        {"context": retriever | as_text, "question": RunnablePassthrough()}
        | ChatPromptTemplate.from_template("Answer from this alone: {context}\nQuestion: {question}")
        | RunnableLambda(noted)
        | FakeListChatModel(responses=["Two euro."])
        | StrOutputParser()
    )
    assert chain.invoke("What does milk cost?") == "Two euro."
    assert prompts == [
        "Human: Answer from this alone: Prices 2025: Milk costs two euro.\nQuestion: What does milk cost?"
    ]
    assert list(chain.stream("What does milk cost?")) == list("Two euro.")


def as_text(documents: list[Document]) -> str:
    return "\n".join(f"{document.metadata['title']}: {document.page_content}" for document in documents)
