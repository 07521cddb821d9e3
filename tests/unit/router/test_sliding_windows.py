"""The counting rule alone, on a clock of the test's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.domain.limits import Window
from router.domain.sliding_windows import SlidingWindows

MINUTE = Window("minute", 3, 60)


def test_a_slot_comes_back_when_its_request_leaves_the_window() -> None:
    counted = SlidingWindows()
    assert [counted.take([MINUTE], 1000 + at).allowed for at in range(5)] == [True, True, True, False, False]
    refused = counted.take([MINUTE], 1005)
    assert (refused.refused_by, refused.retry_after_s) == (MINUTE, 56)
    assert not counted.take([MINUTE], 1060).allowed
    assert counted.take([MINUTE], 1061).allowed


@given(
    st.lists(st.floats(0, 300), max_size=60).map(sorted),
    st.lists(st.tuples(st.integers(1, 8), st.sampled_from([1, 7, 60])), min_size=1, max_size=3),
)
def test_no_span_of_a_windows_length_holds_more_than_its_limit(
    times: list[float], limits: list[tuple[int, int]]
) -> None:
    windows = [Window(f"w{number}", limit, seconds) for number, (limit, seconds) in enumerate(limits)]
    counted = SlidingWindows()
    admitted = [at for at in times if counted.take(windows, at).allowed]
    for window in windows:
        for last in admitted:
            assert sum(last - window.seconds < at <= last for at in admitted) <= window.limit
