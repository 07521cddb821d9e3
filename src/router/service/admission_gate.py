"""Admission for all that a router does: shared through Valkey, and by this process alone while that is out of reach.

What is over while Valkey is down is told when it is back: its spend, and the leases that it still holds.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from observability import names
from observability.metrics import Metrics
from router.domain.admission import Admission, Ask, Limits, LimitState, Refusal, Used
from router.ports import Admissions
from router.service.local_admissions import LocalAdmissions

MAX_UNTOLD = 50_000
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class _Settled:
    tenant_id: TenantId
    lease_id: str
    used: Used
    month: str
    at: float
    in_ledger: bool


class AdmissionGate:
    """An `Admissions` that never waits for Valkey longer than its link does.

    `heard` is for the link to call, from before it is opened; `close` when the link is closed.
    """

    def __init__(self, shared: Admissions, local: LocalAdmissions, metrics: Metrics) -> None:
        self._shared = shared
        self._local = local
        self._metrics = metrics
        self._untold: deque[_Settled] = deque()
        self._telling: asyncio.Task[None] | None = None
        self._up = True

    @property
    def untold(self) -> int:
        """Settlements that Valkey does not know of yet."""
        return len(self._untold)

    def heard(self, up: bool) -> None:
        """Valkey is in reach, or is not, from now on."""
        if up != self._up:
            self._up = up
            self._metrics.gauge(names.LIMITER_LOCAL, -1 if up else 1)
        if up:
            self._tell_soon()
        else:
            self._local.begin_outage()

    async def told(self) -> None:
        """When what is being told now has been told."""
        if self._telling is not None:
            await asyncio.wait([self._telling])

    async def close(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            with suppress(asyncio.CancelledError):
                await self._telling

    async def admit(
        self, tenant_id: TenantId, limits: Limits, ask: Ask, month: str, spent_nano_usd: int | None = None
    ) -> Admission:
        """Raises DependencyDownError for what only the shared count can decide, in an outage."""
        try:
            admission = await self._shared.admit(tenant_id, limits, ask, month, spent_nano_usd)
        except DependencyDownError:
            return self._local.admit(tenant_id, limits, ask, month)
        self._local.note(tenant_id, month, admission)
        return admission

    async def renew(self, tenant_id: TenantId, lease_id: str, used: Used) -> bool:
        """True too where nobody can tell."""
        if self._local.holds(tenant_id, lease_id):
            return self._local.renew(tenant_id, lease_id, used)
        try:
            return await self._shared.renew(tenant_id, lease_id, used)
        except DependencyDownError:
            return True

    async def settle(
        self,
        tenant_id: TenantId,
        lease_id: str,
        used: Used,
        month: str,
        *,
        ago_s: float = 0.0,
        in_ledger: bool = True,
    ) -> bool:
        """A lease that was taken here is settled here, and told to Valkey as one that it does not know.

        It may know it after all, where its answer came too late: then its reservation is given back.
        """
        at = time.monotonic() - ago_s
        was_live = True
        if self._local.holds(tenant_id, lease_id):
            was_live = self._local.settle(tenant_id, lease_id, used)
        try:
            known = await self._shared.settle(tenant_id, lease_id, used, month, ago_s=ago_s, in_ledger=in_ledger)
        except DependencyDownError:
            self._tell_later(_Settled(tenant_id, lease_id, used, month, at, in_ledger))
            return was_live
        return known

    async def state(
        self, tenant_id: TenantId, limits: Limits, month: str, spent_nano_usd: int | None = None
    ) -> tuple[LimitState, ...]:
        """In an outage of this router's shares."""
        try:
            return await self._shared.state(tenant_id, limits, month, spent_nano_usd)
        except DependencyDownError:
            return self._local.state(tenant_id, limits, month)

    async def last_refusal(self, tenant_id: TenantId) -> Refusal | None:
        try:
            return await self._shared.last_refusal(tenant_id)
        except DependencyDownError:
            return self._local.last_refusal(tenant_id)

    def _tell_later(self, settled: _Settled) -> None:
        if len(self._untold) >= MAX_UNTOLD:
            self._untold.popleft()  # the ledger has it
            self._metrics.count(names.DEPENDENCY_FAILURE, dependency="valkey", reason="settlement_dropped")
        self._untold.append(settled)
        if self._up:
            self._tell_soon()

    def _tell_soon(self) -> None:
        if self._untold and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self._tell(), name="settlements of an outage")

    async def _tell(self) -> None:
        while self._untold and self._up:
            some = [self._untold.popleft() for _ in range(min(_AT_ONCE, len(self._untold)))]
            told = await asyncio.gather(*(self._tell_one(settled) for settled in some))
            failed = [settled for settled, done in zip(some, told, strict=True) if not done]
            self._untold.extendleft(reversed(failed))
            if failed:
                return  # until it comes up again, or the next one is to be told

    async def _tell_one(self, settled: _Settled) -> bool:
        ago_s = max(1e-6, time.monotonic() - settled.at)
        whose = (settled.tenant_id, settled.lease_id, settled.used, settled.month)
        try:
            await self._shared.settle(*whose, ago_s=ago_s, in_ledger=settled.in_ledger)
        except DependencyDownError:
            return False
        return True
