"""The judgement over the built-in routes, made once for each embedding model and shared by all tenants."""

from __future__ import annotations

import asyncio
import logging

import numpy as np

from app.domain.judgement import Judgement
from app.domain.known_questions import KNOWN_QUESTIONS, KNOWN_TEXTS
from app.ports import Caller, Embedded, Embedder, Vector
from contracts.chat import Route
from contracts.errors import AtriumError
from contracts.routes import BUILT_IN_ROUTES, GENERAL
from observability.logging import log
from servicekit.client import seconds_left

PORTION = 256
"""Questions that are embedded and kept at once: what is there when the time ends need not be asked for again."""
PATIENCE = 0.5
"""Of the time that a step has left, how much it may wait for the judgement: it can do without."""

_BUILT_IN = {route.name: route for route in BUILT_IN_ROUTES if route.name != GENERAL}
_EXAMPLES = {name: route.examples for name, route in _BUILT_IN.items()}
_logger = logging.getLogger("atrium.routing")


def is_judged(route: Route) -> bool:
    """Whether it is a built-in route as it was built in: a tenant's own examples speak for themselves."""
    known = _BUILT_IN.get(route.name)
    return known is not None and (route.examples, route.counter_examples) == (known.examples, known.counter_examples)


class Judgements:
    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._made: tuple[str, Judgement] | None = None
        self._rows: tuple[str, list[Vector]] = ("", [])
        self._making: asyncio.Task[None] | None = None

    async def warm(self, kept: Embedded) -> None:
        """Make the judgement of the known questions' vectors, where they are there already."""
        await self._judge(*kept)

    async def of(self, caller: Caller, model: str) -> Judgement | None:
        """By the vectors of `model`. None where it could not be had in time: the next one to ask goes on with what is
        there. Whoever asks first lends its identity to the RAG service; all wait for the same work."""
        if self._made is None or self._made[0] != model:
            if self._making is None or self._making.done():
                self._making = asyncio.create_task(self._make(caller, model))
            await asyncio.wait({self._making}, timeout=PATIENCE * seconds_left(caller.deadline))
        return self._made[1] if self._made is not None and self._made[0] == model else None

    async def close(self) -> None:
        if self._making is not None:
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)

    async def _make(self, caller: Caller, model: str) -> None:
        if self._rows[0] != model:
            self._rows = (model, [])
        rows = self._rows[1]
        try:
            while len(rows) < len(KNOWN_TEXTS):
                found = await self._embedder.embed(caller, KNOWN_TEXTS[len(rows) : len(rows) + PORTION])
                if found.model != model:
                    return
                rows.extend(found.vectors)
        except AtriumError as error:
            told = "the known questions are not embedded yet"
            log(_logger, logging.WARNING, told, error_code=error.code, count=len(rows))
            return
        await self._judge(model, rows)
        self._rows = ("", [])

    async def _judge(self, model: str, rows: list[Vector]) -> None:
        self._made = (model, await asyncio.to_thread(Judgement.of, KNOWN_QUESTIONS, np.stack(rows), _EXAMPLES))
