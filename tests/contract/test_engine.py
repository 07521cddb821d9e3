"""The orchestrator's ports: what every engine, embedder and retriever must do, in memory and over HTTP alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import aiohttp
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.adapters.engine_generation import HttpGeneration
from app.adapters.engine_http import EngineHttp, Sampling
from app.adapters.engine_link import EngineLink, open_engine_session
from app.adapters.memory import MemoryEmbedder, MemoryEngine, MemoryRetriever
from app.adapters.rag_http import RagHttp
from app.adapters.replicas import Replicas
from app.ports import Caller, Embedder, Engine, Message, QueryVector, Retriever
from contracts.context import Audience
from contracts.errors import OverloadedError, UpstreamError, UpstreamTimeoutError
from contracts.ranking import Ranking
from observability.metrics import NullMetrics
from servicekit.client import ServiceClient, open_session
from servicekit.tokens import TokenSigner, utc_now
from support.imitation_engine import running_engine
from support.imitation_rag import ImitationRag, running_rag
from support.turns import T1, T2, a_context, a_passage

KEY = Ed25519PrivateKey.generate()
SAMPLING = Sampling(model=None, max_tokens=8, temperature=0.0, extensions=True)


@pytest.fixture(scope="module")
def engine_url() -> Iterator[str]:
    with running_engine() as url:
        yield url


@pytest.fixture(scope="module")
def rag_server() -> Iterator[tuple[str, ImitationRag]]:
    with running_rag([KEY.public_key()]) as running:
        yield running


def a_caller(tenant: object = T1) -> Caller:
    context = a_context(tenant)  # type: ignore[arg-type]
    return Caller(context, TokenSigner(KEY).mint(Audience.RAG, context))


def asking(text: str) -> list[Message]:
    return [{"role": "system", "content": "Be kind."}, {"role": "user", "content": text}]


def engine_at(session: aiohttp.ClientSession, *urls: str) -> EngineHttp:
    return EngineHttp(EngineLink(session, None), Replicas({"pooled": urls}), SAMPLING, metrics=NullMetrics())


def memory_engine(behaviour: str) -> MemoryEngine:
    words = ("one", " two", " three", " one", " two", " three", " one", " two")
    if behaviour == "refuses":
        return MemoryEngine(refuses_with=OverloadedError("full", retry_after_s=3))
    if behaviour == "breaks":
        return MemoryEngine(words[:3], breaks_with=UpstreamError("gone"))
    return MemoryEngine(words)


MESSAGES = {
    "answers": "one two three",
    "refuses": "one two fault:http503",
    "breaks": "one two fault:die",
}


@pytest.fixture(params=["memory", "http"])
async def engines(request: pytest.FixtureRequest, engine_url: str) -> AsyncIterator[dict[str, Engine]]:
    """One engine a behaviour; over HTTP it is the message that makes the imitation behave so."""
    if request.param == "memory":
        yield {behaviour: memory_engine(behaviour) for behaviour in MESSAGES}
        return
    async with open_engine_session() as session:
        http = engine_at(session, engine_url)
        yield dict.fromkeys(MESSAGES, http)


async def test_an_answer_comes_in_pieces_with_a_rising_count_and_one_reason_at_the_end(
    engines: dict[str, Engine],
) -> None:
    async with engines["answers"].generate(a_context(), asking(MESSAGES["answers"])) as generation:
        deltas = [delta async for delta in generation]
    assert "".join(delta.text for delta in deltas) == "one two three one two three one two"
    counts = [delta.tokens.completion for delta in deltas]
    assert counts == sorted(counts)
    assert counts[-1] == 8
    assert deltas[-1].tokens.prompt == 5
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] != []
    assert generation.model


async def test_a_refusal_is_raised_on_entering(engines: dict[str, Engine]) -> None:
    with pytest.raises(OverloadedError) as refused:
        async with engines["refuses"].generate(a_context(), asking(MESSAGES["refuses"])):
            pass
    assert refused.value.retry_after_s == 3


async def test_a_break_is_raised_after_what_was_generated(engines: dict[str, Engine]) -> None:
    seen: list[str] = []

    async def read() -> None:
        async with engines["breaks"].generate(a_context(), asking(MESSAGES["breaks"])) as generation:
            async for delta in generation:
                seen.extend([delta.text] if delta.text else [])

    with pytest.raises(UpstreamError):
        await read()
    assert len(seen) == 3


async def test_what_came_before_a_break_is_given_to_a_reader_who_comes_after_it(engine_url: str) -> None:
    """A slow client's turn reads late: what was generated for it is billed, whatever became of the engine."""
    seen: list[int] = []

    async def broken(generation: HttpGeneration) -> None:
        connection = generation.answer.response.connection  # None, as the others, when it is broken already
        closed = connection and connection.protocol and connection.protocol.closed
        if closed:
            await asyncio.wait_for(closed, 5)

    async def read() -> None:
        async with engine.generate(a_context(), asking("one two fault:die")) as generation:
            await broken(generation)
            async for delta in generation:
                seen.extend([delta.tokens.completion])

    async with open_engine_session() as session:
        engine = engine_at(session, engine_url)
        with pytest.raises(UpstreamError):
            await read()
    assert seen[-1] == 3


async def test_two_generations_of_one_engine_do_not_share_anything(engines: dict[str, Engine]) -> None:
    engine, messages = engines["answers"], asking(MESSAGES["answers"])
    async with engine.generate(a_context(), messages) as first, engine.generate(a_context(T2), messages) as second:
        texts = [[delta.text async for delta in generation] for generation in (first, second)]
    assert texts[0] == texts[1]


async def test_an_engine_that_hangs_is_given_up_at_the_deadline(engine_url: str) -> None:
    """HTTP alone: in memory it is the service's own limit that ends a turn."""
    context = a_context(deadline=utc_now() + timedelta(milliseconds=200))
    async with open_engine_session() as session:
        engine = engine_at(session, engine_url)
        with pytest.raises(UpstreamTimeoutError):
            async with engine.generate(context, asking("fault:hang")) as generation:
                await anext(aiter(generation))


Rag = tuple[Embedder, Retriever]


@pytest.fixture(params=["memory", "http"])
async def rag(request: pytest.FixtureRequest, rag_server: tuple[str, ImitationRag]) -> AsyncIterator[Rag]:
    """Both tenants have one passage in the same words."""
    passages = {tenant: [a_passage(f"of-{tenant}", "lentils have protein")] for tenant in (T1, T2)}
    if request.param == "memory":
        yield MemoryEmbedder(), MemoryRetriever(passages)
        return
    url, imitation = rag_server
    imitation.passages = passages
    async with open_session() as session:
        http = RagHttp(ServiceClient(session, url, service="rag"), NullMetrics())
        yield http, http


async def test_texts_become_unit_vectors_in_order(rag: Rag) -> None:
    texts = [f"text {at}" for at in range(300)]  # more than one call may carry
    model, vectors = await rag[0].embed(a_caller(), texts)
    assert (bool(model), len(vectors)) == (True, 300)
    assert all(float(np.linalg.norm(vector)) == pytest.approx(1.0, abs=1e-5) for vector in vectors)
    (again,) = (await rag[0].embed(a_caller(), ["text 299"])).vectors
    assert float(again @ vectors[299]) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("with_vector", [True, False])
async def test_a_search_finds_the_callers_own_passages_only(rag: Rag, with_vector: bool) -> None:
    embedder, retriever = rag
    for tenant in (T1, T2):
        caller = a_caller(tenant)
        model, (vector,) = await embedder.embed(caller, ["protein in lentils"])
        query = QueryVector(model, vector) if with_vector else None
        found = await retriever.search(caller, "protein in lentils", query, 5, ranking=Ranking())
        assert [passage.chunk_id for passage in found] == [f"of-{tenant}"]
        assert 0.5 < found[0].score <= 1.0
