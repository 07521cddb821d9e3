"""Waiting inside one event loop, for what no event tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_MANY = 100_000


async def until(holds: Callable[[], bool]) -> None:
    """Gives the other tasks their turns until it holds. Raises AssertionError when it never does."""
    for _ in range(_MANY):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never held")
