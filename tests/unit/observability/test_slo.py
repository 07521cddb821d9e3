"""Objectives and how fast they may be used up."""

from __future__ import annotations

import pytest

from observability.monitoring.promql import edge
from observability.monitoring.signals import Percentile, Share, Slower
from observability.monitoring.slo import BURN_ALARMS, SLOS, BurnAlarm, Slo
from observability.names import TIME_TO_FIRST_TOKEN

AVAILABILITY, FIRST_TOKEN = SLOS


def burning(slo: Slo, name: str) -> BurnAlarm:
    (found,) = [alarm for alarm in BURN_ALARMS if alarm.slo is slo and alarm.burn.name == name]
    return found


@pytest.mark.parametrize(
    ("name", "share", "long_s", "short_s"), [("fast", 0.0144, 3_600, 300), ("slow", 0.006, 21_600, 1_800)]
)
def test_an_availability_alarm_has_two_windows_of_the_same_threshold(
    name: str, share: float, long_s: int, short_s: int
) -> None:
    parts = burning(AVAILABILITY, name).parts()
    assert [(part.threshold, part.window_s, part.windows) for part in parts] == [
        (share, long_s, 1),
        (share, short_s, 1),
    ]
    assert all(isinstance(part.signal, Share) for part in parts)


def test_three_days_are_three_days_in_a_row_for_cloudwatch_and_six_hours_are_one_window() -> None:
    long, short = burning(AVAILABILITY, "steady").parts()
    assert (long.window_s, long.windows) == (86_400, 3)
    assert (short.window_s, short.windows) == (21_600, 1)


@pytest.mark.parametrize(("name", "percent"), [("fast", 28), ("slow", 70), ("steady", 95)])
def test_so_many_are_slower_is_a_percentile_above(name: str, percent: float) -> None:
    """72 % slower than 2.5 s is the 28th percentile above 2.5 s."""
    for part in burning(FIRST_TOKEN, name).parts():
        assert isinstance(part.signal, Percentile)
        assert (part.signal.percent, part.threshold) == (percent, 2.5)


def test_what_is_too_slow_is_an_edge_of_a_bucket() -> None:
    assert isinstance(FIRST_TOKEN.bad, Slower)
    assert edge(TIME_TO_FIRST_TOKEN, FIRST_TOKEN.bad.than) == "2.5"
    with pytest.raises(ValueError, match="no bucket"):
        edge(TIME_TO_FIRST_TOKEN, 3)


def test_an_alarm_says_how_much_is_gone() -> None:
    assert "2% of it within 1h" in burning(AVAILABILITY, "fast").says
    assert "5% of it within 6h" in burning(AVAILABILITY, "slow").says
    assert "10% of it within 3d" in burning(FIRST_TOKEN, "steady").says
