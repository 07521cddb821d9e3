"""The orchestrator over HTTP: a turn goes out signed, its events come back as lines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import orjson
from pydantic import ValidationError

from contracts.chat import TURN_EVENT, TokenEvent, TurnEvent, TurnRequest
from contracts.context import Audience, TenantContext
from contracts.errors import UpstreamError
from servicekit.client import ServiceClient, bearer
from servicekit.tokens import TokenSigner

_TOKEN_LINE = b'{"event":"token",'


class HttpOrchestrator:
    def __init__(self, client: ServiceClient, signer: TokenSigner) -> None:
        self._client = client
        self._signer = signer

    @asynccontextmanager
    async def turn(self, context: TenantContext, request: TurnRequest) -> AsyncIterator[AsyncIterator[TurnEvent]]:
        headers = {
            **bearer(self._signer.mint(Audience.ORCHESTRATOR, context), context),
            "x-atrium-rag-token": self._signer.mint(Audience.RAG, context),
            "content-type": "application/json",
        }
        async with self._client.send(
            "POST", "/v1/turns", headers=headers, deadline=context.deadline, data=request.model_dump_json().encode()
        ) as response:
            yield self._events(response, context)

    async def _events(self, response: aiohttp.ClientResponse, context: TenantContext) -> AsyncIterator[TurnEvent]:
        async for line in self._client.lines(response, context.deadline):
            try:
                if line.startswith(_TOKEN_LINE):
                    # The hot path: one of these a token, so it is read without validation of its shape.
                    yield TokenEvent.model_construct(text=orjson.loads(line)["text"])
                else:
                    yield TURN_EVENT.validate_json(line)
            except (ValidationError, ValueError, KeyError) as error:
                raise UpstreamError("the orchestrator sent something that is not an event") from error
