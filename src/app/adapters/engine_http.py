"""An OpenAI-compatible engine (vLLM) over HTTP, streamed. Leaving a generation closes its connection: that stops it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
import orjson

from app.adapters.completion import ChunkReader
from app.adapters.failures import counted
from app.adapters.replicas import Replicas
from app.adapters.sse import EventTooLongError, SseDecoder
from app.ports import Delta, Message
from contracts.context import TenantContext
from contracts.conversation import NO_OPTIONS, Options
from contracts.errors import AtriumError, OverloadedError, PromptTooLongError, UpstreamError, UpstreamTimeoutError
from observability.logging import log
from observability.metrics import Metrics
from servicekit.client import CONNECT_TIMEOUT_S, KEEP_ALIVE_S, next_chunk, seconds_left

MAX_EVENT_BYTES = 1024 * 1024
MAX_ERROR_BODY = 64 * 1024
READ_BUFFER = 64 * 1024
"""What aiohttp holds before it stops reading (twice this): a slow client slows its own generation."""
DRAIN_S = 0.05

_logger = logging.getLogger("atrium.engine")
_TOO_LONG = re.compile(rb"context.length|context window|max_model_len|maximum (model|input|context)", re.IGNORECASE)


def open_engine_session() -> aiohttp.ClientSession:
    """No connection limit: admission bounds the load, a second bound here would only hide a queue."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        read_bufsize=READ_BUFFER,
    )


@dataclass(frozen=True, slots=True)
class Sampling:
    """What is asked of the engine beside the messages. `model` None: the first that the replica serves.

    `extensions` adds vLLM's own parameters: the cache salt, and a token count on every chunk; `priorities` adds
    the request's priority, which an engine refuses unless it schedules by them.
    """

    model: str | None
    max_tokens: int
    temperature: float
    extensions: bool
    frequency_penalty: float = 0.0
    priorities: bool = False


class EngineHttp:
    """Implements `Engine` over the replicas of all pools."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        replicas: Replicas,
        sampling: Sampling,
        *,
        api_key: str | None,
        metrics: Metrics,
    ) -> None:
        self._session = session
        self._replicas = replicas
        self._sampling = sampling
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._metrics = metrics
        self._served: dict[str, str] = {}

    @asynccontextmanager
    async def generate(
        self,
        context: TenantContext,
        messages: Sequence[Message],
        *,
        options: Options = NO_OPTIONS,
        max_tokens: int | None = None,
        priority: int = 0,
    ) -> AsyncIterator[HttpGeneration]:
        with counted(self._metrics, "vllm"):
            try:
                # One limit around everything, also around what the caller does with the pieces: it runs in this task.
                # A limit for each read would cost more than reading a token does.
                async with asyncio.timeout(seconds_left(context.deadline)):
                    base_url = self._replicas.pick(context.model_pool)
                    wanted = self._wanted(context, messages, options, max_tokens, priority)
                    async with self._asked(base_url, context, wanted) as generation:
                        yield generation
            except TimeoutError as error:
                raise UpstreamTimeoutError("the engine did not finish in time") from error

    @asynccontextmanager
    async def _asked(
        self, base_url: str, context: TenantContext, wanted: dict[str, Any]
    ) -> AsyncIterator[HttpGeneration]:
        model = self._sampling.model or await self._served_model(base_url)
        body = {"model": model, **wanted}
        response = await self._open("POST", f"{base_url}/v1/chat/completions", context.request_id, body)
        try:
            await self._check(response, base_url, expected="text/event-stream")
            generation = HttpGeneration(model, response, sum(len(message["content"]) for message in wanted["messages"]))
            yield generation
            await generation.drain()
            if not generation.counted_by_engine:
                log(_logger, logging.WARNING, "the engine counted no tokens", request_id=context.request_id)
        finally:
            # An answer read to its end has given its connection back already; any other is cut here.
            response.close()

    async def check(self, urls: Sequence[str]) -> None:
        """For `/readyz`: raises unless one of the replicas answers."""
        path = "/health" if self._sampling.extensions else "/v1/models"
        states = await asyncio.gather(*(self._answers(url + path) for url in urls))
        if not any(states):
            raise UpstreamError("no engine answers")

    async def _answers(self, url: str) -> bool:
        try:
            limit = aiohttp.ClientTimeout(total=1.5)
            async with self._session.get(url, headers=self._headers, timeout=limit) as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    def _wanted(
        self,
        context: TenantContext,
        messages: Sequence[Message],
        options: Options,
        max_tokens: int | None,
        priority: int,
    ) -> dict[str, Any]:
        """The body, all but the model."""
        body: dict[str, Any] = {
            "messages": messages,
            "max_tokens": min(max_tokens or self._sampling.max_tokens, self._sampling.max_tokens),
            "temperature": self._sampling.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self._sampling.frequency_penalty:
            body["frequency_penalty"] = self._sampling.frequency_penalty
        body.update(wished(options))
        if self._sampling.extensions:
            body["stream_options"]["continuous_usage_stats"] = True
            if context.cache_salt:
                body["cache_salt"] = context.cache_salt
            if self._sampling.priorities:
                body["priority"] = priority
        return body

    async def _served_model(self, base_url: str) -> str:
        if base_url not in self._served:
            response = await self._open("GET", f"{base_url}/v1/models")
            try:
                await self._check(response, base_url, expected="application/json")
                self._served[base_url] = str(orjson.loads(await _head_of(response))["data"][0]["id"])
            except (ValueError, KeyError, IndexError, TypeError) as error:
                raise UpstreamError("the engine does not say which model it serves") from error
            finally:
                response.close()
        return self._served[base_url]

    async def _open(
        self, method: str, url: str, request_id: str = "", body: dict[str, Any] | None = None
    ) -> aiohttp.ClientResponse:
        """The response's head. Raises UpstreamError if the engine is out of reach."""
        headers = dict(self._headers)
        if request_id:
            headers["x-request-id"] = request_id
        data = None
        if body is not None:
            headers["content-type"] = "application/json"
            data = orjson.dumps(body)
        try:
            return await self._session.request(method, url, data=data, headers=headers, allow_redirects=False)
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamError("the engine is out of reach") from error

    async def _check(self, response: aiohttp.ClientResponse, base_url: str, *, expected: str) -> None:
        if response.status != 200:
            body = await _head_of(response)
            if response.status == 404:
                self._served.pop(base_url, None)  # it may serve another model than when it was asked
            log(_logger, logging.WARNING, "the engine refused", status=response.status, body_bytes=len(body))
            raise refusal_of(response.status, body, response.headers)
        if response.content_type != expected:
            raise UpstreamError("what answers at the engine's address is no engine")


class HttpGeneration:
    """One streamed answer."""

    def __init__(self, model: str, response: aiohttp.ClientResponse, prompt_chars: int) -> None:
        self.model = model
        self._response = response
        self._reader = ChunkReader(prompt_chars)
        self._decoder = SseDecoder(MAX_EVENT_BYTES)
        self._events: deque[bytes] = deque()

    @property
    def counted_by_engine(self) -> bool:
        return self._reader.counted_by_engine

    def __aiter__(self) -> Self:
        # An iterator and not a generator: one that is left half-way needs no closing of its own.
        return self

    async def __anext__(self) -> Delta:
        while not self._events:
            await self._read_on()
        event = self._events.popleft()
        if event == b"[DONE]":
            raise StopAsyncIteration
        return self._reader.read(event)

    async def drain(self) -> None:
        """Read the end of the body, which follows `[DONE]` at once, so that the connection can be used again."""
        try:
            async with asyncio.timeout(DRAIN_S):
                while await self._response.content.readany():
                    pass
        except (TimeoutError, aiohttp.ClientError, OSError):
            pass  # then it is closed: the answer is complete, and nobody is to wait for this

    async def _read_on(self) -> None:
        """Wait for more. Events stay as they came until their turn: one that is no completion spoils none before it."""
        try:
            chunk = await next_chunk(self._response.content)
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamError("the engine broke off") from error
        if not chunk:
            if not self._reader.finished:
                raise UpstreamError("the engine broke off")
            chunk = b"data: [DONE]\n\n"  # an engine may end with the body alone
        try:
            self._events.extend(self._decoder.feed(chunk))
        except EventTooLongError as error:
            raise UpstreamError("the engine sent an event that is no token") from error


def wished(options: Options) -> dict[str, Any]:
    """What a client wished, as OpenAI's API writes it: these names and no other."""
    body: dict[str, Any] = {
        name: value
        for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "response_format")
        if (value := getattr(options, name)) is not None
    }
    if options.stop:
        body["stop"] = list(options.stop)
    if options.tools:
        body["tools"] = [{"type": "function", "function": tool.model_dump(exclude_none=True)} for tool in options.tools]
        if options.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = options.parallel_tool_calls
        if options.tool_choice is not None:
            body["tool_choice"] = _tool_choice(options.tool_choice)
    return body


def _tool_choice(choice: str) -> str | dict[str, Any]:
    return {"type": "function", "function": {"name": choice[1:]}} if choice.startswith("=") else choice


def refusal_of(status: int, body: bytes, headers: Mapping[str, str]) -> AtriumError:
    """What an engine's status means for the turn. The body is looked at, never passed on: it may repeat the prompt."""
    if status in {429, 503}:
        return OverloadedError("the engine is at its limit", retry_after_s=_retry_after(headers.get("retry-after")))
    if status in {400, 413, 422} and _TOO_LONG.search(body):
        return PromptTooLongError("the question and its passages do not fit the model's context")
    if status == 504:
        return UpstreamTimeoutError("the engine did not answer in time")
    return UpstreamError(f"the engine answered {status}")


def _retry_after(value: str | None) -> float:
    """Seconds; one where the engine does not say, or says it as a date."""
    return float(value) if value and value.isdecimal() else 1.0


async def _head_of(response: aiohttp.ClientResponse) -> bytes:
    """The body, or its first 64 KiB."""
    try:
        return await response.content.readexactly(MAX_ERROR_BODY)
    except asyncio.IncompleteReadError as error:
        return error.partial
    except (aiohttp.ClientError, OSError) as error:
        raise UpstreamError("the engine broke off") from error
