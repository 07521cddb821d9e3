"""The book keeps every limit and agrees with a naive model, whatever happens."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from router.domain.admission_book import AdmissionBook
from support.admission_machine import TIMING, Tenant


def test_whatever_happens_to_a_tenants_requests() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: Tenant(AdmissionBook(TIMING)),
        settings=settings(
            max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
