"""Every order of everything that can happen to two or three requests, and what holds in each state that is reached.

The invariants have the names and the order that they have in `docs/architecture.md`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from model.account_protocol import LIMITS, Request, Scope, World, actions, beginning
from router.domain.admission import Ask
from router.domain.admission_book import AdmissionBook
from support.admissions import MOMENT_US, MONTH
from tenancy.usage import Outcome

ROOT = Path(__file__).parents[2]
BUDGET, PLACES = LIMITS.monthly_budget_nano_usd or 0, LIMITS.concurrent_requests or 0


@dataclass(frozen=True)
class Step:
    before: World
    after: World


def never_over_a_limit(step: Step) -> bool:
    world, book = step.after, step.after.book
    if sum(one.admitted for one in world.requests) > sum(one.admitted for one in step.before.requests):
        return (book.spent(MONTH) or 0) + book.reserved_cost(MONTH) <= BUDGET and book.live <= PLACES
    billed = sum(row.event.cost_nano_usd for row in world.rows().values())
    return world.slept or world.forgotten > 0 or billed <= BUDGET


def a_reservation_has_one_owner(step: Step) -> bool:
    leases = {int(name): lease for name, lease in step.after.book._leases.items()}
    owned = all(step.after.requests[number].admitted == 1 for number in leases)
    told = any(one.state == "ended" and not one.to_valkey and number in leases for number, one in _numbered(step.after))
    reserved = sum(lease.ask.tokens for lease in leases.values())
    return owned and not told and step.after.book.reserved_tokens == step.after.book.reserved_cost(MONTH) == reserved


def a_reservation_is_given_back_once(step: Step) -> bool:
    return all(one.given_back <= one.admitted <= 1 for one in step.after.requests)


def an_event_is_settled_once(step: Step) -> bool:
    """What is final stays, whoever says what of it."""
    before, after = step.before.rows(), step.after.rows()
    return all(after[number] == row for number, row in before.items() if row.event.final)


def a_bill_is_between_the_last_renewal_and_the_truth(step: Step) -> bool:
    for number, row in step.after.rows().items():
        request, billed = step.after.requests[number], row.event.completion_tokens
        if row.event.outcome is Outcome.ANSWERED and billed != request.generated:
            return False
        if not (request.renewed or 0) <= billed <= request.generated:
            return False
    return True


def no_charge_is_lost(step: Step) -> bool:
    """What Valkey says was spent has everything that both it and the ledger have heard of: unless Valkey lost it, or
    asked a ledger that had to wait, and until it asks again."""
    world = step.after
    if world.forgotten or world.late:
        return True
    spent = world.book.spent(MONTH)
    heard = sum(
        row.event.cost_nano_usd
        for number, row in world.rows().items()
        if row.event.final and world.requests[number].state == "ended" and not world.requests[number].to_valkey
    )
    return spent is None or spent >= heard


def everything_ends(rest: World) -> bool:
    """Each event settled, each reservation given back, also those of the dead."""
    rows = rest.rows()
    lived = {number for number, one in _numbered(rest) if one.state == "ended"}
    opened = {number for number, one in _numbered(rest) if one.renewed is not None}
    settled = {number for number, row in rows.items() if row.settled_at is not None}
    return lived | opened <= settled == rows.keys() and rest.book.live == rest.book.reserved_tokens == 0


def the_spends_agree_at_rest(rest: World) -> bool:
    return (
        rest.book.spent(MONTH) == rest.spent_in_ledger() == sum(row.event.cost_nano_usd for row in rest.rows().values())
    )


def _numbered(world: World) -> list[tuple[int, Request]]:
    return list(enumerate(world.requests))


ALWAYS = (
    never_over_a_limit,
    a_reservation_has_one_owner,
    a_reservation_is_given_back_once,
    an_event_is_settled_once,
    a_bill_is_between_the_last_renewal_and_the_truth,
    no_charge_is_lost,
)
AT_REST = (everything_ends, the_spends_agree_at_rest)


def explore(scope: Scope) -> int:
    """How many states there are. Breadth first: AssertionError has the shortest way to a state that is wrong."""
    first = beginning(scope)
    came_from: dict[object, tuple[object, str] | None] = {first.key(): None}
    waiting = deque([first])
    while waiting:
        world = waiting.popleft()
        key = world.key()
        for name, happens in actions(world, scope):
            changed = world.copy()
            happens(changed)
            for check in ALWAYS:
                assert check(Step(world, changed)), f"{check.__name__}: {_way(came_from, key)}, {name}"
            if (new := changed.key()) not in came_from:
                came_from[new] = (key, name)
                waiting.append(changed)
                _check_at_rest(changed, lambda new=new: _way(came_from, new))
    return len(came_from)


def _check_at_rest(world: World, way: Callable[[], str]) -> None:
    if world.is_under_way:
        return
    rest = world.come_to_rest()
    for holds in AT_REST:
        assert holds(rest), f"{holds.__name__}: {way()}, rest"


def _way(came_from: Mapping[object, tuple[object, str] | None], key: object) -> str:
    names = []
    while (before := came_from[key]) is not None:
        key, name = before
        names.append(name)
    return ", ".join(reversed(names))


@pytest.mark.parametrize(
    ("scope", "at_least"),
    [
        (Scope(requests=1, steps=2, forgets=1, repeats=1), 5_000),
        (Scope(requests=2, steps=1, forgets=0, repeats=0), 25_000),
        pytest.param(
            Scope(requests=2, steps=1, forgets=1, repeats=0),
            100_000,
            marks=[pytest.mark.slow, pytest.mark.timeout(600)],
        ),
    ],
    ids=str,
)
def test_every_invariant_holds_in_every_state(scope: Scope, at_least: int) -> None:
    assert explore(scope) >= at_least


@pytest.mark.parametrize("check", [*ALWAYS, *AT_REST], ids=lambda check: check.__name__)
def test_a_world_that_breaks_an_invariant_is_found(check: Callable[..., bool]) -> None:
    """Each can fail: nothing is proved by a check that cannot."""
    before = beginning(Scope(requests=1))
    for step in ("admit", "read_spend", "admit", "renew", "end", "tell_ledger", "tell_valkey"):
        getattr(before, step)(0)
    after = before.copy()
    BROKEN[check.__name__](after)
    assert not (check(after) if check in AT_REST else check(Step(before, after)))


def _more_is_billed(world: World) -> None:
    row = world.rows()[0]
    event = replace(row.event, completion_tokens=9, cost_nano_usd=9)
    world._own_ledger()._rows[event.key] = replace(row, event=event)


def _a_lease_lives_on(world: World) -> None:
    other = AdmissionBook()
    other.admit(LIMITS, Ask("0", 1, 1, 60.0), MONTH, 0, MOMENT_US)
    world._own_book()._leases.update(other._leases)


BROKEN: Mapping[str, Callable[[World], object]] = {
    "never_over_a_limit": _more_is_billed,
    "a_reservation_has_one_owner": _a_lease_lives_on,
    "a_reservation_is_given_back_once": lambda world: world.change(0, given_back=2),
    "an_event_is_settled_once": _more_is_billed,
    "a_bill_is_between_the_last_renewal_and_the_truth": _more_is_billed,
    "no_charge_is_lost": _more_is_billed,
    "everything_ends": _a_lease_lives_on,
    "the_spends_agree_at_rest": _more_is_billed,
}

_ROW = re.compile(r"^\| \*\*(?P<name>[^|*]+)\*\* \| (?P<says>[^|]+) \| (?P<where>[^|]+) \|$", re.MULTILINE)

_CHECK = re.compile(r"^ *(?:async )?def (?:test_)?(\w+)\(", re.MULTILINE)


def _listed() -> list[re.Match[str]]:
    return list(_ROW.finditer((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")))


def test_the_docs_list_the_invariants_that_are_checked_here() -> None:
    here = Path(__file__).relative_to(ROOT).as_posix()
    listed = [found["name"].replace(" ", "_") for found in _listed() if here in found["where"]]
    assert listed == [check.__name__ for check in (*ALWAYS, *AT_REST)]


def test_what_the_docs_list_is_checked_where_they_say() -> None:
    found = _listed()
    assert len(found) >= 12
    for row in found:
        places = re.findall(r"`(tests/[^`]+)`", row["where"])
        assert places, row["name"]
        for place in places:
            checks = re.findall(
                r"^ *(?:async )?def (?:test_)?(\w+)\(", (ROOT / place).read_text(encoding="utf-8"), re.MULTILINE
            )
            assert row["name"].replace(" ", "_") in checks, f"{row['name']}: {place}"
