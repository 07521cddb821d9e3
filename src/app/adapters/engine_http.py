"""An OpenAI-compatible engine (vLLM) over HTTP, streamed. Leaving a generation closes its connection: that stops it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from app.adapters.engine_generation import HttpGeneration, Wanted
from app.adapters.engine_link import EngineLink
from app.adapters.failures import counted
from app.adapters.replicas import Replicas
from app.ports import Message
from contracts.context import TenantContext
from contracts.conversation import NO_OPTIONS, Options, Tool
from contracts.errors import UpstreamError, UpstreamTimeoutError
from guard.control_tokens import without_control_tokens
from observability.logging import log
from observability.metrics import Metrics
from servicekit.client import seconds_left

HANG_S = 30.0
CHECK_S = 1.5

_logger = logging.getLogger("atrium.engine")


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
    """Implements `Engine` over the replicas of all pools. One that has given no token after `hang_s`, or a third of the
    time that is left, is given up for another, if there is one."""

    def __init__(
        self,
        link: EngineLink,
        replicas: Replicas,
        sampling: Sampling,
        *,
        metrics: Metrics,
        hang_s: float = HANG_S,
        pool: str | None = None,
    ) -> None:
        """`pool`: the only one that it has, whatever a context says."""
        self._link = link
        self._replicas = replicas
        self._sampling = sampling
        self._metrics = metrics
        self._hang_s = hang_s
        self._dependency = pool or "vllm"

    @asynccontextmanager
    async def generate(
        self,
        context: TenantContext,
        messages: Sequence[Message],
        *,
        options: Options = NO_OPTIONS,
        adapters: Collection[str] = (),
        max_tokens: int | None = None,
        priority: int = 0,
    ) -> AsyncIterator[HttpGeneration]:
        wanted = Wanted(
            context,
            options.model,
            self._sampling.model,
            adapters,
            self._wanted(context, messages, options, max_tokens, priority),
            sum(len(message["content"]) for message in messages),
        )
        generation = HttpGeneration(wanted, self._replicas, self._link, self._metrics, hang_s=self._hang_s)
        with counted(self._metrics, self._dependency):
            try:
                # One limit around everything, also around what the caller does with the pieces: it runs in this task.
                # A limit for each read would cost more than reading a token does.
                async with asyncio.timeout(seconds_left(context.deadline)):
                    await generation.begin()
                    yield generation
                    await generation.answer.drain()
            except TimeoutError as error:
                raise UpstreamTimeoutError("the engine did not finish in time") from error
            finally:
                generation.close()
            if not generation.answer.counted_by_engine:
                log(_logger, logging.WARNING, "the engine counted no tokens", request_id=context.request_id)

    async def check(self, pool: str) -> None:
        """For `/readyz`: raises unless a replica of the pool answers; where there is no such pool, one of any.

        A dedicated pool that is down must not take the service from the tenants of the others.
        """
        path = "/health" if self._sampling.extensions else "/v1/models"
        pools = self._replicas.pools()
        replicas = pools.get(pool) or [replica for found in pools.values() for replica in found]
        states = await asyncio.gather(*(self._answers(replica.url + path) for replica in replicas))
        if not any(states):
            raise UpstreamError("no engine answers")

    async def _answers(self, url: str) -> bool:
        try:
            return await self._link.text(url, CHECK_S) is not None
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
            if options.tool_choice not in {None, "auto", "none"}:
                # vLLM else lets the arguments be any JSON at all, though it was told that there is to be a call.
                for tool in body.get("tools", ()):
                    tool["function"].setdefault("strict", True)
            if context.cache_salt:
                body["cache_salt"] = context.cache_salt
            if self._sampling.priorities:
                body["priority"] = priority
        return body


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
        body["tools"] = [{"type": "function", "function": _described(tool)} for tool in options.tools]
        if options.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = options.parallel_tool_calls
        if options.tool_choice is not None:
            body["tool_choice"] = _tool_choice(options.tool_choice)
    return body


def _described(tool: Tool) -> dict[str, Any]:
    """A chat template writes it into the prompt: so it has none of the format's tokens either."""
    described = orjson.dumps(tool.model_dump(exclude_none=True)).decode()
    told: dict[str, Any] = orjson.loads(without_control_tokens(described))
    return told


def _tool_choice(choice: str) -> str | dict[str, Any]:
    return {"type": "function", "function": {"name": choice[1:]}} if choice.startswith("=") else choice
