"""Admission in Valkey: one Lua script, one round trip to admit and one to settle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from contracts.tenant import TenantId
from router.domain.admission import (
    LIMIT_NAMES,
    Admission,
    Ask,
    Limits,
    LimitState,
    Refusal,
    Timing,
    Used,
    month_end_us,
    seconds,
)

_SCRIPT = Path(__file__).with_name("admission.lua")
_KEYS = [
    ("admission", "tally"),
    ("admission", "leases"),
    ("admission", "due"),
    ("admission", "deadlines"),
    ("admission", "ended", "0"),
    ("admission", "ended", "1"),
]
_NO_ASK = Ask("", 0, 0, 0.0)
_NEEDS_SPEND = 2


class Scripts(Protocol):
    """`stores.valkey.Valkey` or `stores.valkey_link.ValkeyLink`."""

    def script(
        self, path: Path
    ) -> Callable[[TenantId, Sequence[tuple[str, ...]], Sequence[int | str]], Awaitable[Any]]: ...


class ValkeyAdmissions:
    """Every method raises DependencyDownError while Valkey is out of reach."""

    def __init__(self, valkey: Scripts, timing: Timing | None = None) -> None:
        timing = timing or Timing()
        self._script = valkey.script(_SCRIPT)
        self._lengths = (timing.lease_us, timing.minute_us, timing.hour_us, timing.remember_us)

    async def admit(
        self, tenant_id: TenantId, limits: Limits, ask: Ask, month: str, spent_nano_usd: int | None = None
    ) -> Admission:
        status, full, wait, *rest = await self._ask("admit", tenant_id, limits, ask, month, spent_nano_usd)
        states = _states(limits, rest)
        if full:
            return Admission(states, LIMIT_NAMES[full - 1], seconds(wait))
        return Admission(states, needs_spend=status == _NEEDS_SPEND)

    async def renew(self, tenant_id: TenantId, lease_id: str, used: Used) -> bool:
        return bool(await self._run("renew", tenant_id, lease_id, used.tokens, used.cost_nano_usd))

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
        told = (lease_id, used.tokens, used.cost_nano_usd, month, round(ago_s * 1_000_000), int(in_ledger))
        return bool(await self._run("settle", tenant_id, *told))

    async def state(
        self, tenant_id: TenantId, limits: Limits, month: str, spent_nano_usd: int | None = None
    ) -> tuple[LimitState, ...]:
        _, _, _, *rest = await self._ask("state", tenant_id, limits, _NO_ASK, month, spent_nano_usd)
        return _states(limits, rest)

    async def last_refusal(self, tenant_id: TenantId) -> Refusal | None:
        found: bytes | None = await self._run("refused", tenant_id)
        if not found:
            return None
        full, at, tokens, cost, wait = (int(part) for part in found.split())
        return Refusal(LIMIT_NAMES[full - 1], seconds(at), tokens, cost, seconds(wait))

    async def _ask(
        self, operation: str, tenant_id: TenantId, limits: Limits, ask: Ask, month: str, spent: int | None
    ) -> list[int]:
        reply: list[int] = await self._run(
            operation,
            tenant_id,
            ask.lease_id,
            *(-1 if limit is None else limit for limit in _in_order(limits)),
            ask.tokens,
            ask.cost_nano_usd,
            ask.deadline_us,
            month,
            month_end_us(month),
            -1 if spent is None else spent,
        )
        return reply

    async def _run(self, operation: str, tenant_id: TenantId, *args: int | str) -> Any:
        return await self._script(tenant_id, _KEYS, (operation, *self._lengths, *args))


def _in_order(limits: Limits) -> tuple[int | None, ...]:
    return (
        limits.requests_per_minute,
        limits.requests_per_hour,
        limits.tokens_per_minute,
        limits.concurrent_requests,
        limits.monthly_budget_nano_usd,
    )


def _states(limits: Limits, pairs: list[int]) -> tuple[LimitState, ...]:
    """A limit that is not set is left out, and so is a budget of which the spend is not known."""
    return tuple(
        LimitState(name, limit, remaining, seconds(reset))
        for name, limit, remaining, reset in zip(LIMIT_NAMES, _in_order(limits), pairs[::2], pairs[1::2], strict=True)
        if limit is not None and remaining >= 0
    )
