"""A service that fails is left alone for a while, and tried by one at a time."""

from __future__ import annotations

from servicekit.circuit_breaker import CircuitBreaker


def opened() -> CircuitBreaker:
    breaker = CircuitBreaker(failures=3, open_s=5.0)
    assert [breaker.failed(10.0) for _ in range(3)] == [False, False, True]
    return breaker


def test_it_opens_after_so_many_failures_in_a_row_and_not_after_others() -> None:
    breaker = CircuitBreaker(failures=3, open_s=5.0)
    for _ in range(10):
        assert not breaker.failed(0.0)
        assert not breaker.failed(0.0)
        assert not breaker.succeeded()
        assert breaker.allows(0.0)


def test_open_it_allows_nothing_then_one_trial() -> None:
    breaker = opened()
    assert (breaker.is_open, breaker.allows(14.9), breaker.wait_s(14.0)) == (True, False, 1.0)
    assert breaker.allows(15.0)
    assert not breaker.allows(15.0)


def test_a_trial_that_fails_keeps_it_open_and_one_that_succeeds_closes_it() -> None:
    breaker = opened()
    assert breaker.allows(15.0)
    assert not breaker.failed(16.0)
    assert not breaker.allows(20.9)
    assert breaker.allows(21.0)
    assert breaker.succeeded()
    assert (breaker.is_open, breaker.allows(21.0), breaker.wait_s(21.0)) == (False, True, 0.0)


def test_a_trial_that_was_given_up_is_somebody_elses() -> None:
    breaker = opened()
    assert breaker.allows(15.0)
    breaker.gave_up()
    assert breaker.allows(15.0)
