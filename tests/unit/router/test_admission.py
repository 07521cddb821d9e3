"""Values of admission, and the shares of a router that decides alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from router.domain.admission import TOKENS_PER_MINUTE, Ask, Limits, Timing, Used, month_end_us, month_of
from router.service.local_admissions import LocalAdmissions
from support.admissions import MOMENT_US, MONTH

TENANT = TenantId("alone")
WIDE = Limits(1_000, 1_000)


@pytest.mark.parametrize(("month", "end"), [("2026-01", (2026, 2)), ("2026-12", (2027, 1)), ("2028-02", (2028, 3))])
def test_a_month_ends_when_the_next_begins(month: str, end: tuple[int, int]) -> None:
    assert month_end_us(month) == datetime(*end, 1, tzinfo=UTC).timestamp() * 1_000_000


def test_a_month_is_of_utc() -> None:
    assert month_of(datetime(2026, 12, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))) == "2026-11"


@pytest.mark.parametrize("wrong", [{"minute_s": 0.01}, {"hour_s": 0.0}, {"lease_s": 0.0}, {"remember_s": -1.0}])
def test_lengths_that_have_no_buckets_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="sixty buckets"):
        Timing(**wrong)


def alone(routers: int = 4) -> LocalAdmissions:
    return LocalAdmissions(lambda: routers, clock_us=lambda: MOMENT_US)


def test_a_share_is_rounded_down_and_at_least_one() -> None:
    limits = Limits(11, 3, 403, 2)
    assert [state.limit for state in alone().state(TENANT, limits, MONTH)] == [2, 1, 100, 1]
    assert [state.limit for state in alone(0).state(TENANT, limits, MONTH)] == [11, 3, 403, 2]


def test_what_fits_the_limit_and_not_the_share_is_not_told_that_it_never_fits() -> None:
    limits = replace(WIDE, tokens_per_minute=400)
    with pytest.raises(DependencyDownError) as closed:
        alone().admit(TENANT, limits, Ask("l", 101, 0, 9), MONTH)
    assert closed.value.details["reason"] == "share_used"
    assert closed.value.retry_after_s == 1
    assert alone().admit(TENANT, limits, Ask("l", 401, 0, 9), MONTH).refused_by == TOKENS_PER_MINUTE
    assert alone().admit(TENANT, limits, Ask("l", 401, 0, 9), MONTH).never


def test_a_lease_taken_alone_is_renewed_and_settled_alone() -> None:
    admissions, limits = alone(1), replace(WIDE, concurrent_requests=1)
    assert admissions.admit(TENANT, limits, Ask("l", 1, 1, 9), MONTH).local
    assert admissions.holds(TENANT, "l")
    assert admissions.renew(TENANT, "l", Used(1, 1))
    assert not admissions.admit(TENANT, limits, Ask("m", 1, 1, 9), MONTH).allowed
    assert not admissions.holds(TENANT, "m")
    assert admissions.last_refusal(TENANT) is not None
    assert admissions.settle(TENANT, "l", Used(1, 1))
    assert not admissions.holds(TENANT, "l")
    assert admissions.admit(TENANT, limits, Ask("m", 1, 1, 9), MONTH).allowed
