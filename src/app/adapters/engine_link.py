"""Requests to one engine: the head of its answer, or why there is none."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Collection, Mapping
from typing import Any

import aiohttp
import orjson

from app.adapters.replica import Replica
from contracts.errors import (
    AtriumError,
    InvalidRequestError,
    ModelUnavailableError,
    OverloadedError,
    PromptTooLongError,
    UpstreamError,
    UpstreamTimeoutError,
)
from contracts.pools import ServedModel
from observability.logging import log
from observability.tracing import trace_headers
from servicekit.client import CONNECT_TIMEOUT_S, KEEP_ALIVE_S

MAX_HEAD = 64 * 1024
MAX_MODELS = 4 * 1024 * 1024
READ_BUFFER = 64 * 1024
"""What aiohttp holds before it stops reading (twice this): a slow client slows its own generation."""

_logger = logging.getLogger("atrium.engine")
_TOO_LONG = re.compile(rb"context.length|context window|max_model_len|maximum (model|input|context)", re.IGNORECASE)
_OF_TOOLS = re.compile(rb"tool", re.IGNORECASE)
_OF_FORM = re.compile(rb"grammar|schema|guided|structured|response_format", re.IGNORECASE)
WISHES = frozenset({"tools", "response_format", "stop", "top_p", "presence_penalty", "frequency_penalty", "seed"})
"""What an engine may refuse without anything being wrong with it or with us."""


def open_engine_session() -> aiohttp.ClientSession:
    """No connection limit: admission bounds the load, a second bound here would only hide a queue."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        read_bufsize=READ_BUFFER,
    )


class TryError(Exception):
    """A try at one replica came to nothing. `error` is what the turn is told if it was the last.

    `again`: another replica may do better. `fault`: it is the replica's, and not the request's or nobody's.
    """

    def __init__(self, error: AtriumError, reason: str, *, again: bool = True, fault: bool = True) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason
        self.again = again
        self.fault = fault


class EngineLink:
    """Methods raise TryError, and wait for as long as they are let. `traced`: the engine is told which trace a request
    belongs to, unless it is somebody else's."""

    def __init__(self, session: aiohttp.ClientSession, api_key: str | None, *, traced: bool = True) -> None:
        self._session = session
        self._traced = traced
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}

    async def complete(self, url: str, request_id: str, body: Mapping[str, Any]) -> aiohttp.ClientResponse:
        """The head of a streamed completion; whoever takes it closes it."""
        headers = {"x-request-id": request_id, "content-type": "application/json"}
        if self._traced:
            headers.update(trace_headers())
        response = await self._open("POST", f"{url}/v1/chat/completions", headers, orjson.dumps(body))
        try:
            await _check(response, expected="text/event-stream", wishes=WISHES & body.keys())
        except BaseException:
            response.close()
            raise
        return response

    async def models(self, replica: Replica) -> tuple[ServedModel, ...]:
        """What the replica serves, base models first."""
        response = await self._open("GET", f"{replica.url}/v1/models", {}, None)
        try:
            await _check(response, expected="application/json")
            return read_models(await _head_of(response, MAX_MODELS))
        except ValueError as error:
            raise TryError(UpstreamError("the engine does not say which models it serves"), "models") from error
        finally:
            response.close()

    async def text(self, url: str, within_s: float, most: int = MAX_MODELS) -> bytes | None:
        """The body of a 200; None for another answer. Raises what aiohttp does, and TimeoutError."""
        limit = aiohttp.ClientTimeout(total=within_s)
        async with self._session.get(url, headers=self._headers, timeout=limit, allow_redirects=False) as response:
            if response.status != 200:
                return None
            pieces, size = [], 0
            while size < most and (piece := await response.content.read(most)):
                pieces.append(piece)
                size += len(piece)
            return b"".join(pieces)

    async def _open(
        self, method: str, url: str, headers: Mapping[str, str], data: bytes | None
    ) -> aiohttp.ClientResponse:
        try:
            return await self._session.request(
                method, url, data=data, headers={**self._headers, **headers}, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError) as error:
            raise TryError(UpstreamError("the engine is out of reach"), "out_of_reach") from error


async def _check(response: aiohttp.ClientResponse, *, expected: str, wishes: Collection[str] = ()) -> None:
    if response.status != 200:
        body = await _head_of(response, MAX_HEAD)
        log(_logger, logging.WARNING, "the engine refused", status=response.status, body_bytes=len(body))
        raise refusal_of(response.status, body, response.headers, wishes)
    if response.content_type != expected:
        raise TryError(UpstreamError("what answers at the engine's address is no engine"), "no_engine")


def refusal_of(status: int, body: bytes, headers: Mapping[str, str], wishes: Collection[str] = ()) -> TryError:
    """What an engine's status means for the turn. The body is looked at, never passed on: it may repeat the prompt.

    A request that an engine takes for a wrong one is no fault of the engine: whoever sends such cannot have it ejected.
    `wishes`: what of it is the client's, beside the messages.
    """
    if status in {429, 503}:
        wait_s = _retry_after(headers.get("retry-after"))
        return TryError(OverloadedError("the engine is at its limit", retry_after_s=wait_s), "full", fault=False)
    if status in {400, 413, 422}:
        if _TOO_LONG.search(body):
            error: AtriumError = PromptTooLongError("the question and its passages do not fit the model's context")
        else:
            error = _impossible(body, wishes) if wishes else UpstreamError(f"the engine answered {status}")
        return TryError(error, "rejected", again=False, fault=False)
    if status in {401, 403}:
        return TryError(UpstreamError("the engine does not accept the key that it is asked with"), "status")
    if status == 404:
        return TryError(ModelUnavailableError("no engine of the pool serves the model"), "model", fault=False)
    if status == 504:
        return TryError(UpstreamTimeoutError("the engine did not answer in time"), "status")
    return TryError(UpstreamError(f"the engine answered {status}"), "status")


def _impossible(body: bytes, wishes: Collection[str]) -> InvalidRequestError:
    if "tools" in wishes and _OF_TOOLS.search(body):
        return InvalidRequestError("tools: the engine cannot call tools in this way, or not in this conversation")
    if "response_format" in wishes and _OF_FORM.search(body):
        return InvalidRequestError("response_format: the engine cannot follow this schema")
    return InvalidRequestError(f"the engine refuses one of {', '.join(sorted(wishes))}")


def read_models(text: bytes) -> tuple[ServedModel, ...]:
    """Of OpenAI's list of models, with vLLM's `parent` for adapters. Raises ValueError."""
    try:
        models = [
            ServedModel(id=item["id"], parent=item.get("parent"), context_tokens=item.get("max_model_len"))
            for item in orjson.loads(text)["data"]
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("no list of models") from error
    return tuple(sorted(models, key=lambda model: model.parent is not None))


def _retry_after(value: str | None) -> float:
    """Seconds; one where the engine does not say, or says it as a date."""
    return float(value) if value and value.isdecimal() else 1.0


async def _head_of(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, or so much of it."""
    try:
        return await response.content.readexactly(most)
    except asyncio.IncompleteReadError as error:
        return error.partial
    except (aiohttp.ClientError, OSError) as error:
        raise TryError(UpstreamError("the engine broke off"), "broke_off") from error
