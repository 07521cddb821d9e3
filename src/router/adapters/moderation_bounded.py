"""A moderation service made into the port: bounded in time and in number, and left alone while it does not answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Protocol

from contracts.errors import ModerationUnavailableError, OverloadedError
from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from router.domain.moderation import Moderated
from servicekit.circuit_breaker import CircuitBreaker
from servicekit.tenant_slots import TenantSlots
from tenancy.config import ModerationStage

FAILURES, OPEN_S = 5, 5.0
"""After so many failures in a row, whoever's texts they were, nothing is sent for so many seconds."""
WAITING = 1_000
"""Of one tenant's texts, for a place; each waits for a quarter of its time at most."""
PLACE_SHARE = 0.25
_ALIVE = frozenset({"rejected"})
"""It answers, and does not want this text. A tenant that sends such texts must not shut the service off for others."""

_logger = logging.getLogger("atrium.moderation")


class ModerationFailedError(Exception):
    """`reason` is a metric's dimension: timeout, out_of_reach, redirect, throttled, rejected, status, too_large,
    malformed, busy (no place here in time), or open (not asked at all)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ModerationService(Protocol):
    """`at_once`: as many texts as may be under way."""

    at_once: int

    async def verdict(self, text: str, *, stage: ModerationStage) -> Moderated:
        """Raises ModerationFailedError. When it is cancelled it ends at once."""
        ...


def failed_with_status(status: int) -> ModerationFailedError:
    """For an answer that is not 200."""
    if 300 <= status < 400:
        return ModerationFailedError("redirect")
    if status in {400, 413, 422}:
        return ModerationFailedError("rejected")
    return ModerationFailedError("throttled" if status == 429 else "status")


class BoundedModeration:
    """`timeout_s` bounds a judgement, the wait for a place included. A tenant has half of the places at most."""

    def __init__(
        self,
        service: ModerationService,
        metrics: Metrics,
        *,
        timeout_s: float,
        failures: int = FAILURES,
        open_s: float = OPEN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._clock = clock
        self._breaker = CircuitBreaker(failures, open_s)
        self._places = asyncio.Semaphore(service.at_once)
        self._places_of_tenants = TenantSlots(max(1, service.at_once // 2), waiting=WAITING)

    async def judge(self, tenant_id: TenantId, text: str, *, stage: ModerationStage) -> Moderated:
        now = self._clock()
        if not self._breaker.allows(now):
            self._count("open")
            raise _unavailable(self._breaker.wait_s(now))
        learned = False
        try:
            verdict = await self._verdict(tenant_id, text, stage)
            learned = True
            self._answered()
        except ModerationFailedError as error:
            learned = error.reason != "busy"
            self._failed(error.reason)
            raise _unavailable(self._breaker.wait_s(self._clock())) from error
        finally:
            if not learned:
                self._breaker.gave_up()
        return verdict

    async def _verdict(self, tenant_id: TenantId, text: str, stage: ModerationStage) -> Moderated:
        ends = asyncio.get_running_loop().time() + self._timeout_s
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._timeout_s * PLACE_SHARE):
                    await held.enter_async_context(self._places_of_tenants.held(tenant_id))
                    await held.enter_async_context(self._places)
            except (TimeoutError, OverloadedError) as error:
                raise ModerationFailedError("busy") from error
            began = self._clock()
            try:
                async with asyncio.timeout_at(ends):
                    verdict = await self._service.verdict(text, stage=stage)
            except TimeoutError as error:
                raise ModerationFailedError("timeout") from error
            self._metrics.observe(names.MODERATION_TIME, self._clock() - began)
            return verdict

    def _answered(self) -> None:
        if self._breaker.succeeded():
            log(_logger, logging.INFO, "the moderation service is back")

    def _failed(self, reason: str) -> None:
        """Counted each time; told when the service is given up, and when it is back."""
        self._count(reason)
        if reason in _ALIVE:
            self._answered()
        elif reason != "busy" and self._breaker.failed(self._clock()):
            log(_logger, logging.WARNING, "the moderation service fails, and is left alone", reason=reason)

    def _count(self, reason: str) -> None:
        self._metrics.count(names.DEPENDENCY_FAILURE, dependency="moderation", reason=reason)


def _unavailable(wait_s: float) -> ModerationUnavailableError:
    return ModerationUnavailableError(
        "the moderation service gave no verdict", details={"dependency": "moderation"}, retry_after_s=wait_s or None
    )
