"""`Idempotency-Key`: a request that is repeated is answered as it was the first time, and billed once.

The record of a key belongs to whoever works on its request, and ends soon after its owner has crashed. An answer, and a
refusal, are kept for a day. What failed, and what a client left, is dropped: its repetition is a new request.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from pydantic import ValidationError

from contracts.errors import AtriumError
from observability.logging import log
from router.domain.asked import Asked
from router.domain.caller import Caller
from router.domain.first_answer import FirstAnswer, record_name
from router.ports import FirstAnswerStore

LEASE = timedelta(seconds=15)
RENEW_S = 4.0
KEPT = timedelta(days=1)
KEPT_WITHOUT_RETENTION = timedelta(minutes=10)
"""Long enough for a repetition, where a tenant lets nothing be kept for days."""
IN_TIME_S = 1.0
"""How long the end of an answer waits until it is kept."""
CLOSE_S = 2.0

_logger = logging.getLogger("atrium.first_answers")


class Once:
    """A request that may be answered: what it was answered before, under the same key, or nothing yet."""

    def __init__(self, first: FirstAnswer | None = None) -> None:
        self.first = first

    async def keep(self, answer: FirstAnswer) -> None:
        """For repetitions, where a key was given. Takes at most a second and never raises what is expected."""


class _Claim(Once):
    """The first request of its key, or one whose predecessors failed."""

    def __init__(self, store: FirstAnswerStore, caller: Caller, name: str) -> None:
        super().__init__()
        self._store = store
        self._tenant_id = caller.tenant_id
        self._name = name
        self._owner = uuid.uuid4().hex
        self._keep_for = min(KEPT, timedelta(days=caller.policy.config.retention_days)) or KEPT_WITHOUT_RETENTION
        self._kept = False

    async def begin(self, print_: str) -> bytes | None:
        return await self._store.begin(self._tenant_id, self._name, self._owner, print_, LEASE)

    async def keep(self, answer: FirstAnswer) -> None:
        text = answer.model_dump_json().encode()
        try:
            async with asyncio.timeout(IN_TIME_S):
                await self._store.keep(self._tenant_id, self._name, self._owner, text, self._keep_for)
            self._kept = True
        except (AtriumError, TimeoutError):
            told = "an answer could not be kept for its repetition"
            log(_logger, logging.WARNING, told, request_id=answer.request_id)

    async def renew(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(RENEW_S)
            with suppress(AtriumError):
                await self._store.renew(self._tenant_id, self._name, self._owner, LEASE)

    async def drop(self) -> None:
        """Unless its answer was kept."""
        if not self._kept:
            with suppress(AtriumError):  # then it ends by itself
                await self._store.drop(self._tenant_id, self._name, self._owner)


class FirstAnswers:
    """`close` at the end: it waits for the records that are being dropped."""

    def __init__(self, store: FirstAnswerStore) -> None:
        self._store = store
        self._dropping: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def once(self, caller: Caller, asked: Asked, key: str | None) -> AsyncIterator[Once]:
        """Raises RequestInProgressError, IdempotencyMismatchError, and DependencyDownError: without the store nobody
        knows whether the request was answered before, so one that has a key is not answered."""
        if key is None:
            yield Once()
            return
        claim = _Claim(self._store, caller, record_name(caller, key))
        try:
            told = await claim.begin(asked.fingerprint())
        except asyncio.CancelledError:
            self._drop(claim)
            raise
        first = _read(told)
        if first is not None:
            yield Once(first)
            return
        renewing = asyncio.create_task(claim.renew(), name="idempotency record")
        try:
            yield claim
        finally:
            # Nothing is awaited here: a client that has left must not leave its record behind.
            renewing.cancel()
            self._drop(claim)

    async def close(self) -> None:
        if self._dropping:
            await asyncio.wait(self._dropping, timeout=CLOSE_S)

    def _drop(self, claim: _Claim) -> None:
        task = asyncio.create_task(claim.drop(), name="drop idempotency record")
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)


def _read(told: bytes | None) -> FirstAnswer | None:
    """None also for what another version of this code wrote in another shape: it is then answered anew."""
    if told is None:
        return None
    try:
        return FirstAnswer.model_validate_json(told)
    except ValidationError:
        return None
