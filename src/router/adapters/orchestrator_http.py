"""The orchestrator over HTTP: every call goes out signed; a turn's events come back as lines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import orjson
from pydantic import ValidationError

from contracts.chat import TURN_EVENT, TokenEvent, TurnEvent, TurnRequest
from contracts.classification import ClassifyRequest, ClassifyResponse
from contracts.context import Audience, TenantContext
from contracts.errors import UpstreamError
from contracts.pools import PoolsResponse, PoolState
from servicekit.client import ServiceClient, bearer
from servicekit.tokens import TokenSigner, utc_now

POOLS_WITHIN_S = 0.4
_TOKEN_LINE = b'{"event":"token",'


class HttpOrchestrator:
    def __init__(self, client: ServiceClient, signer: TokenSigner) -> None:
        self._client = client
        self._signer = signer

    @asynccontextmanager
    async def turn(self, context: TenantContext, request: TurnRequest) -> AsyncIterator[AsyncIterator[TurnEvent]]:
        body = request.model_dump_json().encode()
        async with self._client.send(
            "POST", "/v1/turns", headers=self._headers(context), deadline=context.deadline, data=body
        ) as response:
            yield self._events(response)

    async def classify(self, context: TenantContext, request: ClassifyRequest) -> ClassifyResponse:
        body = request.model_dump_json().encode()
        content = await self._client.read(
            "POST", "/v1/classify", headers=self._headers(context), deadline=context.deadline, data=body
        )
        try:
            answer = ClassifyResponse.model_validate_json(content)
        except ValidationError as error:
            raise UpstreamError("the orchestrator sent an answer of another shape") from error
        if len(answer.decisions) != len(request.queries):
            raise UpstreamError("the orchestrator decided over another number of queries than were sent")
        return answer

    async def pools(self) -> Mapping[str, PoolState]:
        deadline = utc_now() + timedelta(seconds=POOLS_WITHIN_S)
        content = await self._client.read("GET", "/v1/pools", headers={}, deadline=deadline)
        try:
            return PoolsResponse.model_validate_json(content).pools
        except ValidationError as error:
            raise UpstreamError("the orchestrator sent an answer of another shape") from error

    def _headers(self, context: TenantContext) -> dict[str, str]:
        return {
            **bearer(self._signer.mint(Audience.ORCHESTRATOR, context), context),
            "x-atrium-rag-token": self._signer.mint(Audience.RAG, context),
            "content-type": "application/json",
        }

    async def _events(self, response: aiohttp.ClientResponse) -> AsyncIterator[TurnEvent]:
        async for line in self._client.lines(response):
            try:
                if line.startswith(_TOKEN_LINE):
                    # The hot path: one of these a token, so it is read without validation of its shape.
                    token = orjson.loads(line)
                    yield TokenEvent(token["text"], token["prompt_tokens"], token["completion_tokens"])
                else:
                    yield TURN_EVENT.validate_json(line)
            except (ValidationError, ValueError, KeyError) as error:
                raise UpstreamError("the orchestrator sent something that is not an event") from error
