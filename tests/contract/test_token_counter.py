"""Tokens of texts: estimated, and counted over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from app.adapters.token_estimates import TokenEstimates
from app.adapters.tokenizer_http import LEFT_ALONE_S, SHORT_BYTES, TokenizerHttp
from app.ports import TokenCounter
from observability.metrics import NullMetrics
from support.clock import Clock
from support.imitation_engine import running_imitation
from support.server import served
from support.turns import T1, T2, a_context

LONG = "several words of a text " * 10


class Tokenizer:
    """A token is a word; `broken` answers as an engine without the endpoint does."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken = False

    async def answer(self, request: Request) -> Response:
        prompt = (await request.json())["prompt"]
        self.asked.append(prompt)
        if self.broken:
            return PlainTextResponse("Not Found", status_code=404)
        return JSONResponse({"count": len(prompt.split()), "tokens": [], "max_model_len": 9})


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def counter(session: aiohttp.ClientSession, url: str, clock: Clock | None = None) -> TokenizerHttp:
    now = clock or Clock()
    return TokenizerHttp(session, lambda _: url, model="m", api_key=None, metrics=NullMetrics(), now=now)


@pytest.mark.parametrize("kind", ["estimate", "http"])
async def test_every_text_has_its_number_in_its_place(session: aiohttp.ClientSession, kind: str) -> None:
    with running_imitation() as (url, _):
        tokens: TokenCounter = TokenEstimates() if kind == "estimate" else counter(session, url)
        found = await tokens.count(a_context(), ["", LONG, "short", LONG + LONG])
    assert len(found) == 4
    assert 0 <= found[0] <= 1
    assert 5 * 10 <= found[1] < found[3] <= len(LONG) * 2
    assert 1 <= found[2] <= len("short")


async def test_each_text_is_asked_for_once_a_tenant_and_a_short_one_never(session: aiohttp.ClientSession) -> None:
    tokenizer = Tokenizer()
    with served(Starlette(routes=[Route("/tokenize", tokenizer.answer, methods=["POST"])])) as url:
        tokens = counter(session, url)
        for _ in range(3):
            assert await tokens.count(a_context(T1), [LONG, "x" * SHORT_BYTES]) == [50, SHORT_BYTES]
        assert tokenizer.asked == [LONG]
        await tokens.count(a_context(T2), [LONG])
        assert tokenizer.asked == [LONG, LONG]


async def test_an_engine_without_a_tokenizer_is_left_alone_for_a_while(session: aiohttp.ClientSession) -> None:
    tokenizer, clock = Tokenizer(), Clock()
    tokenizer.broken = True
    with served(Starlette(routes=[Route("/tokenize", tokenizer.answer, methods=["POST"])])) as url:
        tokens = counter(session, url, clock)
        estimated = await TokenEstimates().count(a_context(), [LONG])
        for _ in range(3):
            assert await tokens.count(a_context(), [LONG]) == estimated
        assert len(tokenizer.asked) == 1
        tokenizer.broken = False
        clock.now += LEFT_ALONE_S
        assert await tokens.count(a_context(), [LONG]) == [50]


async def test_an_engine_that_is_gone_costs_an_estimate(session: aiohttp.ClientSession) -> None:
    with running_imitation() as (url, _):
        pass
    assert await counter(session, url).count(a_context(), [LONG]) == await TokenEstimates().count(a_context(), [LONG])
