"""Rate limits: what is asked of the limiter and what it decides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

BUCKETS_PER_WINDOW = 60
"""A window slides in steps of a sixtieth: counts are exact, a slot is given back at most one step late."""


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit` requests in any span of `seconds`."""

    name: str
    limit: int
    seconds: int


@dataclass(frozen=True, slots=True)
class WindowState:
    """`reset_s`: until the oldest counted request leaves the window; 0 when none is counted."""

    window: Window
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class Decision:
    """`refused_by` is the window that is full, `retry_after_s` when a request will fit it; both unset if allowed."""

    states: tuple[WindowState, ...]
    refused_by: Window | None = None
    retry_after_s: float = 0.0

    @property
    def allowed(self) -> bool:
        return self.refused_by is None

    def headers(self) -> Mapping[str, str]:
        """`RateLimit-*` for the window with the least left (draft-ietf-httpapi-ratelimit-headers)."""
        tightest = min(self.states, key=lambda state: (state.remaining, -state.window.seconds))
        return {
            "ratelimit-limit": str(tightest.window.limit),
            "ratelimit-remaining": str(tightest.remaining),
            "ratelimit-reset": str(math.ceil(tightest.reset_s)),
        }
