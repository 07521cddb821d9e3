"""A time bound on work whose cancellation may itself hang, as psycopg's does while the server is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from contracts.errors import DependencyDownError

P = ParamSpec("P")
R = TypeVar("R")

_abandoned: set[asyncio.Future[Any]] = set()
"""Work that was told to stop and has not yet: kept, so that it is not collected halfway."""


def bounded(
    seconds: float, dependency: str
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Callable[P, Coroutine[Any, Any, R]]]:
    """For a method of a store: after `seconds` the caller gets DependencyDownError, whatever the method still does."""

    def around(method: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        @wraps(method)
        async def patient(*args: P.args, **kwargs: P.kwargs) -> R:
            work = asyncio.ensure_future(method(*args, **kwargs))
            work.add_done_callback(_forget)
            try:
                await asyncio.wait({work}, timeout=seconds)
                if work.done():
                    return work.result()
                raise DependencyDownError(
                    f"the {dependency} does not answer", details={"dependency": dependency}, retry_after_s=2
                )
            finally:
                if not work.done():
                    work.cancel()
                    _abandoned.add(work)

        return patient

    return around


def _forget(work: asyncio.Future[Any]) -> None:
    _abandoned.discard(work)
    if not work.cancelled():
        work.exception()  # looked at: whoever would have been told has gone
