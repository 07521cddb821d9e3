"""The book and the Lua script, asked the same at the same moments, give the same answers to the microsecond."""

from __future__ import annotations

import random
import secrets

import pytest

from contracts.tenant import TenantId
from router.adapters.memory_admissions import MemoryAdmissions
from router.adapters.valkey_admissions import ValkeyAdmissions
from router.domain.admission import Ask, Limits, Timing, Used, month_end_us
from router.ports import Admissions
from support.admissions import MOMENT_US, MONTH, NEXT_MONTH, TurnedValkey

STEPS = 400
TIMINGS = [Timing(), Timing(lease_s=0.9, minute_s=3.7, hour_s=11.1, remember_s=1e6)]
"""The second with windows that sixty does not divide. What ended is forgotten by Valkey's own clock: not compared."""


class Both:
    """One tenant of two stores, and the moment that both believe it is."""

    def __init__(self, dice: random.Random, now: int) -> None:
        self.dice = dice
        self.now = now
        self.leases: list[tuple[str, str]] = [("never-seen", MONTH)]
        self.tenant = TenantId(f"t-{secrets.token_hex(6)}")

    def limits(self) -> Limits:
        def maybe(low: int, high: int) -> int | None:
            return self.dice.choice([None, self.dice.randint(low, high), high])

        dice = self.dice
        return Limits(dice.randint(0, 30), dice.randint(10, 90), maybe(0, 3_000), maybe(0, 9), maybe(0, 90_000))

    async def step(self, admissions: Admissions, what: str, seed: int) -> object:
        """The same for the same seed."""
        dice = random.Random(seed)
        month = MONTH if self.now < month_end_us(MONTH) else NEXT_MONTH
        lease, admitted_in = dice.choice(self.leases)
        used = Used(dice.randint(0, 300), dice.randint(0, 9_000))
        self.dice = dice
        if what == "admit":
            ask = Ask(f"l{seed}", dice.randint(0, 400), dice.randint(0, 9_000), dice.choice([0.5, 3.0, 20.0, 90.0]))
            return await admissions.admit(self.tenant, self.limits(), ask, month, dice.choice([None, 0, 5_000]))
        if what == "renew":
            return await admissions.renew(self.tenant, lease, used)
        if what == "settle":
            how = {"ago_s": dice.choice([0.0, 0.0, 8.5]), "in_ledger": dice.random() < 0.8}
            return await admissions.settle(self.tenant, lease, used, admitted_in, **how)
        if what == "state":
            return await admissions.state(self.tenant, self.limits(), month, dice.choice([None, 7]))
        return await admissions.last_refusal(self.tenant)


@pytest.mark.parametrize("timing", TIMINGS, ids=["as it is", "odd"])
@pytest.mark.parametrize("seed", range(6))
async def test_the_same_answers_to_the_same_questions(valkey_url: str, seed: int, timing: Timing) -> None:
    dice = random.Random(seed)
    both = Both(dice, MOMENT_US if seed % 2 else month_end_us(MONTH) - 60_000_000)
    valkey = TurnedValkey(valkey_url, lambda: both.now)
    script, book = ValkeyAdmissions(valkey, timing), MemoryAdmissions(timing, lambda: both.now)
    answers: set[object] = set()
    for number in range(STEPS):
        what = dice.choice(["admit"] * 6 + ["renew"] * 3 + ["settle"] * 4 + ["state", "refusal"])
        by_script = await both.step(script, what, seed * STEPS + number)
        assert by_script == await both.step(book, what, seed * STEPS + number), (number, what)
        answers.add(by_script)
        if what == "admit" and getattr(by_script, "allowed", False):
            month = MONTH if both.now < month_end_us(MONTH) else NEXT_MONTH
            both.leases = [*both.leases[-8:], (f"l{seed * STEPS + number}", month)]
        both.now += dice.choice([0, 0, 1, 1_000, 70_000, 500_000, 2_000_000, 9_000_000])
    assert len(answers) > STEPS / 3
    await valkey.close()
