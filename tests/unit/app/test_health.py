"""When a replica is taken out, and how it comes back."""

from __future__ import annotations

from app.domain.health import FAILURES, LONGEST_EJECTION_S, WELL, Health, HealthState, has_hung, patience_s


def ejected(now: float = 0.0) -> Health:
    health = WELL
    for _ in range(FAILURES):
        health = health.failed(now)
    return health


def test_failures_in_a_row_eject_and_an_answer_in_between_does_not_let_them_add_up() -> None:
    health = WELL
    for _ in range(FAILURES - 1):
        health = health.failed(0).failed(0).answered()
    assert health.state(0) is HealthState.WELL
    assert ejected().state(0.5) is HealthState.EJECTED


def test_after_a_second_one_request_is_its_trial_and_only_one() -> None:
    health = ejected()
    assert health.state(1.0) is HealthState.TRIAL_DUE
    assert health.tried(1.0).state(1.0) is HealthState.EJECTED


def test_a_trial_that_is_answered_brings_it_back() -> None:
    assert ejected().tried(1.0).answered() == WELL


def test_each_trial_that_fails_doubles_the_time_up_to_half_a_minute() -> None:
    health, now, waits = ejected(), 0.0, []
    for _ in range(8):
        assert health.until is not None
        waits.append(health.until - now)
        now = health.until
        health = health.tried(now).failed(now)
    assert waits == [1, 2, 4, 8, 16, LONGEST_EJECTION_S, LONGEST_EJECTION_S, LONGEST_EJECTION_S]


def test_what_was_asked_of_it_before_does_not_count_as_its_trial() -> None:
    health = ejected()
    assert health.failed(0.9) == health


def test_a_trial_that_is_left_is_followed_by_another() -> None:
    assert ejected().tried(1.0).untold().state(1.0) is HealthState.TRIAL_DUE


def test_a_replica_gets_a_third_of_what_is_left_while_there_are_others_and_all_of_it_as_the_last() -> None:
    assert patience_s(60, 30, others=True) == 20
    assert patience_s(600, 30, others=True) == 30
    assert patience_s(60, 30, others=False) == 60


def test_who_was_given_little_time_has_not_hung() -> None:
    assert not has_hung(2.0, 30.0)
    assert has_hung(5.0, 30.0)
    assert has_hung(0.3, 0.3)
