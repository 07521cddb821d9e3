"""One generation over the replicas of a pool: begun anew elsewhere for as long as nothing of it was said."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

from app.adapters.engine_answer import EngineAnswer
from app.adapters.engine_link import EngineLink, TryError
from app.adapters.replica import Replica
from app.adapters.replicas import Replicas
from app.domain.health import has_hung, patience_s
from app.ports import Delta
from contracts.context import TenantContext
from contracts.errors import AtriumError, ModelUnavailableError, OverloadedError, UpstreamError, UpstreamTimeoutError
from contracts.external import EXTERNAL_POOL
from contracts.pools import DEFAULT_POOL, usable_models
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from servicekit.client import seconds_left

MAX_TRIES = 3
_GRAMMARS = frozenset({"tools", "response_format"})

_logger = logging.getLogger("atrium.engine")


@dataclass(frozen=True, slots=True)
class Wanted:
    """`model`: what the tenant names; None: `usual` in the shared pool, and in another if it is served there; else the
    replica's first base model.

    `adapters` are those that the platform has given the tenant. `body` is all but the model.
    """

    context: TenantContext
    model: str | None
    usual: str | None
    adapters: Collection[str]
    body: Mapping[str, Any]
    prompt_chars: int


class HttpGeneration:
    """`begin`, iterate once, `close` whatever happens. What it raises is for the turn."""

    def __init__(
        self, wanted: Wanted, replicas: Replicas, link: EngineLink, metrics: Metrics, *, hang_s: float
    ) -> None:
        self.model = ""
        self.answer: EngineAnswer
        self._wanted = wanted
        self._replicas = replicas
        self._link = link
        self._metrics = metrics
        self._hang_s = hang_s
        self._tried: set[str] = set()
        self._trying = ExitStack()
        self._replica: Replica
        self._began = self._until = 0.0
        self._said = False

    def __aiter__(self) -> Self:
        return self

    async def begin(self) -> None:
        """Until an engine has taken the request."""
        await self._try_on(None)

    async def __anext__(self) -> Delta:
        if not self._said:
            return await self._first()
        try:
            return await self.answer.__anext__()
        except UpstreamError as error:
            if not self._is_of_the_request(error):
                self._replicas.failed(self._replica, "broke_off")
            raise

    def close(self) -> None:
        self._trying.close()

    async def _first(self) -> Delta:
        """The first delta that says something: until then nobody has been told anything, and another replica may."""
        while True:
            try:
                async with asyncio.timeout_at(self._until):
                    delta = await self.answer.__anext__()
                    while delta == Delta("", delta.tokens):
                        delta = await self.answer.__anext__()
            except TimeoutError:
                await self._try_on(self._give_up(self._hung()))
            except UpstreamError as error:
                own = self._is_of_the_request(error)
                await self._try_on(self._give_up(TryError(error, "broke_off", again=not own, fault=not own)))
            else:
                self._said = True
                self._replicas.answered(self._replica)
                return delta

    def _is_of_the_request(self, error: UpstreamError) -> bool:
        """Where a grammar is to be made, what a living engine says of a failure may be its compiler's: no replica is
        left alone for that, and none other is given the same. One that is dead is seen by its health."""
        return bool(error.details.get("said")) and not _GRAMMARS.isdisjoint(self._wanted.body)

    async def _try_on(self, failure: AtriumError | None) -> None:
        """Until a replica has taken the request. Raises the last one's failure when none is left to be tried."""
        while True:
            replica = self._next()
            if replica is None:
                assert failure is not None  # noqa: S101  there is a first replica, or `choose` has raised
                raise failure
            if failure is not None:
                self._metrics.count(names.ENGINE_RETRY, pool=replica.pool, reason=failure.code)
            try:
                await self._try(replica)
            except TryError as error:
                failure = self._give_up(error)
            else:
                return

    def _next(self) -> Replica | None:
        if len(self._tried) >= MAX_TRIES:
            return None
        model = self.model or self._wanted.model
        return self._replicas.choose(self._wanted.context, model=model, tried=self._tried)

    async def _try(self, replica: Replica) -> None:
        self._replica = replica
        self._tried.add(replica.url)
        self._trying.enter_context(self._replicas.working(replica))
        others = self._next() is not None
        self._began = asyncio.get_running_loop().time()
        self._until = self._began + patience_s(seconds_left(self._wanted.context.deadline), self._hang_s, others=others)
        try:
            async with asyncio.timeout_at(self._until):
                model = await self._model(replica)
                context = self._wanted.context
                body = {"model": model, **self._wanted.body}
                response = await self._link.complete(replica.url, context.request_id, body)
        except TimeoutError as error:
            raise self._hung() from error
        self._trying.callback(response.close)
        self.model = model
        self.answer = EngineAnswer(response, self._wanted.prompt_chars)

    async def _model(self, replica: Replica) -> str:
        """The name by which the replica is asked: on another try the same as before. Nobody's adapter is asked for by
        whom it was not given to: a replica that has not told its models is asked for them first."""
        named, usual = self.model or self._wanted.model, self._wanted.usual
        if named is None and usual is not None and replica.pool in {DEFAULT_POOL, EXTERNAL_POOL}:
            return usual
        if replica.models is None:
            replica.models = await self._link.models(replica)
        served = [model.id for model in replica.models]
        if named is None:
            if usual in served:
                return usual
            if not served or replica.models[0].parent is not None:
                raise TryError(UpstreamError("the engine does not say which model it serves"), "models")
            return served[0]
        if named not in {model.id for model in usable_models(replica.models, self._wanted.adapters)} | {usual}:
            raise TryError(ModelUnavailableError("no engine of the pool serves the model"), "model", fault=False)
        return named

    def _hung(self) -> TryError:
        waited_s = asyncio.get_running_loop().time() - self._began
        error = UpstreamTimeoutError("the engine did not finish in time")
        return TryError(error, "hang", fault=has_hung(waited_s, self._hang_s))

    def _give_up(self, failure: TryError) -> AtriumError:
        """The try is over: its connection is closed, and the replica is judged by it. Raises what no other could do
        better."""
        self._trying.close()
        replica, error = self._replica, failure.error
        log(
            _logger,
            logging.WARNING,
            "a replica did not answer",
            request_id=self._wanted.context.request_id,
            pool=replica.pool,
            replica=replica.url,
            reason=failure.reason,
        )
        if failure.fault:
            self._replicas.failed(replica, failure.reason)
        elif isinstance(error, OverloadedError):
            self._replicas.refused(replica, error.retry_after_s or 1.0)
        elif isinstance(error, ModelUnavailableError):
            replica.models_at = None  # it may serve others by now: asked again at the next probe
        if not failure.again:
            raise error
        return error
