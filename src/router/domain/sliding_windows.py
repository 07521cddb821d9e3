"""Requests counted in sliding windows, in values alone: for a dry run, by the rule of `adapters/admission.lua`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from router.domain.limits import BUCKETS_PER_WINDOW, Decision, Window, WindowState


class SlidingWindows:
    """The requests counted for one tenant: of each window the buckets that still lie in it."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[int]] = {}

    def take(self, windows: Sequence[Window], now: float) -> Decision:
        """Count one request in every window, or in none if one is full. `now` in seconds, never less than before."""
        refused: Window | None = None
        wait = 0.0
        for window in windows:
            until_free = self._until_free(window, now)
            if until_free > wait:
                refused, wait = window, until_free
        if refused is None:
            for window in windows:
                self._buckets(window, now)[int(now // _step(window))] += 1
        states = tuple(self._state(window, now) for window in windows)
        return Decision(states, refused, wait)

    def _buckets(self, window: Window, now: float) -> Counter[int]:
        buckets = self._counts.setdefault(window.name, Counter())
        oldest = (now - window.seconds) // _step(window)
        for bucket in [bucket for bucket in buckets if bucket < oldest]:
            del buckets[bucket]
        return buckets

    def _until_free(self, window: Window, now: float) -> float:
        buckets = self._buckets(window, now)
        needed = buckets.total() - window.limit + 1
        for bucket in sorted(buckets):
            if needed <= 0:
                break
            needed -= buckets[bucket]
            if needed <= 0:
                return (bucket + 1) * _step(window) + window.seconds - now
        return 0.0

    def _state(self, window: Window, now: float) -> WindowState:
        buckets = self._buckets(window, now)
        reset = (min(buckets) + 1) * _step(window) + window.seconds - now if buckets else 0.0
        return WindowState(window, max(0, window.limit - buckets.total()), reset)


def _step(window: Window) -> float:
    return window.seconds / BUCKETS_PER_WINDOW
