"""Calls of a blocking object store: in threads of their own, within a time bound, with one error for all failures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from contracts.errors import DependencyDownError
from stores.patience import bounded

R = TypeVar("R")

CALL_S = 30.0
"""One exchange, the wait for a thread included: a little more than the S3 client's own two attempts can take."""
CHECK_S = 0.9
THREADS = 16
"""As many exchanges at once. The threads are not asyncio's own: a store that hangs must not stop other work."""
DEPENDENCY = "object_store"


class BlockingCalls:
    """`failures` are the exceptions that mean "out of reach"; a function handles "not found" itself."""

    def __init__(self, *failures: type[Exception]) -> None:
        self._failures = failures
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="objects")

    @bounded(CALL_S, DEPENDENCY)
    async def run(self, work: Callable[[], R]) -> R:
        """What `work` returns. Raises DependencyDownError after a failure, or when CALL_S have passed."""
        return await self._in_thread(work)

    @bounded(CHECK_S, DEPENDENCY)
    async def check(self, work: Callable[[], object]) -> None:
        """The same for `/readyz`, which does not wait long."""
        await self._in_thread(work)

    def close(self) -> None:
        """Does not wait: what still runs ends with the client's own timeouts, and nobody reads its result."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], R]) -> R:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except self._failures as error:
            raise out_of_reach() from error


def out_of_reach() -> DependencyDownError:
    return DependencyDownError("the object store is out of reach", details={"dependency": DEPENDENCY}, retry_after_s=2)
