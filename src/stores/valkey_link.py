"""One connection to Valkey for the calls that every request makes, and the breaker that keeps them from waiting for it.

Calls are pipelined: many wait for their answers at once, and what is asked in one turn of the event loop is sent in one
write. The link is up or down. It goes down as soon as the connection breaks, and when calls wait while nothing has been
answered for `PATIENCE_S`; from then on a call fails at once, as do those that wait. Only the keeper, which tries every
`PING_EVERY_S`, brings it up again.

Silence is measured while the event loop turns. Where this process waits for a processor itself, a Valkey on the same
machine is likely to wait for one too, and is given `CROWDED` times as long.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha1
from pathlib import Path
from typing import Any, Self

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics, NullMetrics
from stores.valkey import tenant_key
from stores.valkey_lane import PATIENCE_S, PING_EVERY_S, Lane, out_of_reach

ATTEMPT_S = 1.0
"""One attempt to connect, to be answered and to load the scripts."""

_logger = logging.getLogger(__name__)


class ValkeyLink:
    """Use as a context: entering makes the first attempt and does not fail when that does."""

    def __init__(self, url: str, metrics: Metrics | None = None, *, patience_s: float = PATIENCE_S) -> None:
        self._pool: ConnectionPool = ConnectionPool.from_url(
            url, socket_timeout=None, socket_connect_timeout=ATTEMPT_S, retry=Retry(NoBackoff(), 0)
        )
        self._metrics = metrics or NullMetrics()
        self._patience_s = patience_s
        self._sources: dict[str, str] = {}
        self._listeners: list[Callable[[bool], None]] = []
        self._lane: Lane | None = None
        self._told_down = False
        self._tried = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._keeper = asyncio.create_task(self._keep(), name="valkey link")
        await self._tried.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper

    @property
    def up(self) -> bool:
        return self._lane is not None and not self._lane.broken.is_set()

    def listen(self, listener: Callable[[bool], None]) -> None:
        """Called with False when the link goes down and with True when it comes up, in the event loop."""
        self._listeners.append(listener)

    def script(self, path: Path) -> LinkScript:
        """A Lua script that Valkey runs as one atomic step; sent with each new connection, then called by its hash."""
        source = path.read_text(encoding="utf-8")
        sha = sha1(source.encode(), usedforsecurity=False).hexdigest()
        self._sources[sha] = source
        return LinkScript(self, sha)

    async def call(self, *command: str | int) -> Any:
        """Raises DependencyDownError: at once while the link is down, when it goes down, for an error answered."""
        lane = self._lane
        if lane is None:
            raise out_of_reach()
        try:
            try:
                return await lane.ask(command)
            except NoScriptError:  # somebody flushed the scripts
                await lane.ask(("SCRIPT", "LOAD", self._sources[str(command[1])]))
                return await lane.ask(command)
        except RedisError as error:  # out of memory, not the primary any more, loading
            self._metrics.count(names.DEPENDENCY_FAILURE, dependency="valkey", reason="error")
            raise out_of_reach() from error

    async def _keep(self) -> None:
        """Holds the link up; cancelled when the context is left."""
        while True:
            lane = await self._attempt()
            if lane is None:
                self._tell_down("refused")
                self._tried.set()
                await asyncio.sleep(PING_EVERY_S)
                continue
            self._lane = lane
            self._tell_up()
            self._tried.set()
            try:
                while not lane.broken.is_set():
                    await self._ping(lane)
            finally:
                self._lane = None
                await lane.close()
            self._tell_down(lane.reason)

    async def _attempt(self) -> Lane | None:
        lane = Lane(self._pool.make_connection(), self._tell_down)  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(ATTEMPT_S):
                await lane.open()
                await lane.ask(("PING",))
                for source in self._sources.values():
                    await lane.ask(("SCRIPT", "LOAD", source))
        except (RedisError, OSError, DependencyDownError):  # TimeoutError is an OSError
            await lane.close()
            return None
        except BaseException:
            await lane.close()
            raise
        lane.watch(self._patience_s)
        return lane

    async def _ping(self, lane: Lane) -> None:
        """Ask now, unless it has just answered, and then wait for the next time or until it breaks."""
        with suppress(DependencyDownError):
            if not lane.answered_lately():
                await lane.ask(("PING",))
        with suppress(TimeoutError):
            async with asyncio.timeout(PING_EVERY_S):
                await lane.broken.wait()

    def _tell_down(self, reason: str) -> None:
        if self._told_down:
            return
        self._told_down = True
        log(_logger, logging.WARNING, "Valkey is out of reach: its callers go on without it", reason=reason)
        self._metrics.count(names.DEPENDENCY_FAILURE, dependency="valkey", reason=reason)
        for listener in self._listeners:
            listener(False)

    def _tell_up(self) -> None:
        if self._told_down:
            self._told_down = False
            log(_logger, logging.INFO, "Valkey answers again")
            for listener in self._listeners:
                listener(True)


class LinkScript:
    def __init__(self, link: ValkeyLink, sha: str) -> None:
        self._link = link
        self._sha = sha

    async def __call__(self, tenant_id: TenantId, keys: Sequence[tuple[str, ...]], args: Sequence[int | str]) -> Any:
        """Run for one tenant; `keys` are the parts behind the tenant's prefix. Raises DependencyDownError."""
        return await self._link.call(
            "EVALSHA", self._sha, len(keys), *(tenant_key(tenant_id, *parts) for parts in keys), *args
        )
