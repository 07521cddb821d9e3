"""What is left of a tenant's limits, and why its last request was limited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from router.domain.admission import MONTHLY_BUDGET, LimitState, Refusal, month_of
from router.domain.caller import Caller
from router.ports import Admissions
from tenancy.usage_ports import Ledger


@dataclass(frozen=True, slots=True)
class Standing:
    """Every limit of the tenant as it is now, and the last refusal, if one is remembered."""

    limits: tuple[LimitState, ...]
    last_refusal: Refusal | None


class LimitService:
    def __init__(self, admissions: Admissions, ledger: Ledger, *, now: Callable[[], datetime]) -> None:
        self._admissions = admissions
        self._ledger = ledger
        self._now = now

    async def standing(self, caller: Caller) -> Standing:
        """Counts nothing. Raises DependencyDownError."""
        tenant_id, limits, month = caller.tenant_id, caller.policy.limits, month_of(self._now())
        states = await self._admissions.state(tenant_id, limits, month)
        if limits.monthly_budget_nano_usd is not None and all(state.name != MONTHLY_BUDGET for state in states):
            spent = await self._ledger.month_spend(tenant_id, month)
            states = await self._admissions.state(tenant_id, limits, month, spent)
        return Standing(states, await self._admissions.last_refusal(tenant_id))
