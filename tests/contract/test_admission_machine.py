"""The Lua script in a real Valkey, under the same model as the book: every limit kept, nothing leaked."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from redis import Redis

from contracts.tenant import TenantId
from router.adapters.valkey_admissions import ValkeyAdmissions
from router.domain.admission import Admission, Ask, Limits, LimitState, Used
from stores.valkey import tenant_key
from support.admission_machine import TIMING, Tenant
from support.admissions import TurnedValkey

T = TypeVar("T")


class ScriptClock:
    def __init__(self, url: str) -> None:
        self.now = 0
        self.valkey = TurnedValkey(url, lambda: self.now)
        self.admissions = ValkeyAdmissions(self.valkey, TIMING)


class ScriptBook:
    """A tenant of its own, asked through the script; what the book would tell is read from its keys."""

    def __init__(self, runner: asyncio.Runner, valkey: Redis, clock: ScriptClock) -> None:
        self._runner = runner
        self._valkey = valkey
        self._clock = clock
        self._tenant = TenantId(f"m-{secrets.token_hex(6)}")

    def admit(self, limits: Limits, ask: Ask, month: str, spent: int | None, now: int) -> Admission:
        return self._at(now, self._clock.admissions.admit(self._tenant, limits, ask, month, spent))

    def renew(self, lease_id: str, used: Used, now: int) -> bool:
        return self._at(now, self._clock.admissions.renew(self._tenant, lease_id, used))

    def settle(self, lease_id: str, used: Used, month: str, ago_us: int, now: int, *, in_ledger: bool = True) -> bool:
        settling = self._clock.admissions.settle(
            self._tenant, lease_id, used, month, ago_s=ago_us / 1_000_000, in_ledger=in_ledger
        )
        return self._at(now, settling)

    def state(self, limits: Limits, month: str, spent: int | None, now: int) -> tuple[LimitState, ...]:
        return self._at(now, self._clock.admissions.state(self._tenant, limits, month, spent))

    @property
    def live(self) -> int:
        counts = [self._valkey.hlen(self._key("leases"))]
        counts += [self._valkey.zcard(self._key(name)) for name in ("due", "deadlines")]
        assert len(set(counts)) == 1, "a lease is in all three, or in none"
        return int(counts[0])

    @property
    def reserved_tokens(self) -> int:
        return self._number("reserved:tokens") or 0

    def reserved_cost(self, month: str) -> int:
        return self._number(f"reserved:{month}") or 0

    def spent(self, month: str) -> int | None:
        return self._number(f"spent:{month}")

    def _at(self, now: int, asked: Awaitable[T]) -> T:
        async def ask() -> T:
            return await asked

        self._clock.now = now
        return self._runner.run(ask())

    def _number(self, field: str) -> int | None:
        value = self._valkey.hget(self._key("tally"), field)
        return None if value is None else int(value)

    def _key(self, name: str) -> str:
        return tenant_key(self._tenant, "admission", name)


@contextmanager
def script_books(url: str) -> Iterator[tuple[asyncio.Runner, Redis, ScriptClock]]:
    with asyncio.Runner() as runner, Redis.from_url(url) as valkey:
        clock = ScriptClock(url)
        try:
            yield runner, valkey, clock
        finally:
            runner.run(clock.valkey.close())


def test_whatever_happens_to_a_tenants_requests(valkey_url: str) -> None:
    with script_books(valkey_url) as parts:
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            lambda: Tenant(ScriptBook(*parts)),
            settings=settings(
                max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
            ),
        )
