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
import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha1
from pathlib import Path
from typing import Any, Self

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics, NullMetrics
from stores.cpu_wait import CpuWait
from stores.valkey import tenant_key

PATIENCE_S = 0.04
"""Of an event loop that turns: time in which this process was too busy to read an answer is not Valkey's."""
PING_EVERY_S = 0.1
ATTEMPT_S = 1.0
"""One attempt to connect, to be answered and to load the scripts."""
IN_FLIGHT = 32
"""Commands that Valkey has and has not answered: it answers when it has run all that it has, so few at a time."""
CROWDED = 4
_CROWDED_S = 0.001
"""So much waiting for a processor in a silence, and the machine has too few."""
_TICK_S = 0.005
_LATE_S = 0.008

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
        self._lane: _Lane | None = None
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
        """Raises DependencyDownError at once while the link is down, or as soon as it goes down."""
        lane = self._lane
        if lane is None:
            raise _down()
        try:
            return await lane.ask(command)
        except NoScriptError:  # somebody flushed the scripts
            await lane.ask(("SCRIPT", "LOAD", self._sources[str(command[1])]))
            return await lane.ask(command)

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

    async def _attempt(self) -> _Lane | None:
        lane = _Lane(self._pool.make_connection(), self._tell_down)  # type: ignore[no-untyped-call]
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

    async def _ping(self, lane: _Lane) -> None:
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


class _Lane:
    """One connection from its beginning to its end."""

    def __init__(self, connection: AbstractConnection, on_break: Callable[[str], None]) -> None:
        self.broken = asyncio.Event()
        self.reason = ""
        self._connection = connection
        self._on_break = on_break
        self._watched = False
        self._patience_s = math.inf
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._unsent: deque[bytes] = deque()
        self._sent = 0
        self._to_send = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._ticked = 0.0
        self._quiet_s = 0.0
        self._answered = 0.0
        self._cpu_wait = CpuWait()
        self._cpu_waited = 0.0

    async def open(self) -> None:
        await self._connection.connect()  # type: ignore[no-untyped-call]
        self._tasks = [asyncio.create_task(work()) for work in (self._read, self._write)]

    def watch(self, patience_s: float) -> None:
        """From now on so much silence breaks it."""
        self._watched, self._patience_s = True, patience_s

    def answered_lately(self) -> bool:
        return self._loop.time() - self._answered < PING_EVERY_S

    async def ask(self, command: Sequence[str | int]) -> Any:
        if self.broken.is_set():
            raise _down()
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self._waiting:
            self._quiet_s = 0.0
        self._waiting.append(future)
        self._unsent.append(b"".join(self._connection.pack_command(*command)))
        if self._sent < IN_FLIGHT:
            self._to_send.set()
        if self._timer is None and self._watched:
            self._ticked = self._loop.time()
            self._timer = self._loop.call_later(_TICK_S, self._tick)
        return await future

    async def close(self) -> None:
        self._break("closed", told=False)
        for task in self._tasks:
            task.cancel()
        self._cpu_wait.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(RedisError, OSError):
            await self._connection.disconnect(nowait=True)

    async def _write(self) -> None:
        try:
            while True:
                await self._to_send.wait()
                self._to_send.clear()
                some = [self._unsent.popleft() for _ in range(min(len(self._unsent), IN_FLIGHT - self._sent))]
                self._sent += len(some)
                await self._connection.send_packed_command(b"".join(some), check_health=False)
        except (RedisError, OSError):
            self._break("broken")

    async def _read(self) -> None:
        try:
            while True:
                await self._read_one()
        except (RedisError, OSError):
            self._break("broken")

    async def _read_one(self) -> None:
        answer: Any = None
        error: ResponseError | None = None
        try:
            answer = await self._connection.read_response(disable_decoding=True, timeout=math.inf)
        except ResponseError as refused:
            error = refused
        self._answered, self._quiet_s = self._loop.time(), 0.0
        self._sent -= 1
        if self._unsent and self._sent <= IN_FLIGHT // 2:
            self._to_send.set()
        future = self._waiting.popleft()
        if future.done():  # its caller was cancelled
            return
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)

    def _tick(self) -> None:
        """Measures silence while the loop turns and the machine has time: of a late tick little is Valkey's."""
        self._timer = None
        if not self._waiting:
            return
        now = self._loop.time()
        if self._quiet_s == 0.0:
            self._cpu_waited = self._cpu_wait.seconds()
        passed = now - self._ticked
        self._quiet_s += passed if passed < _LATE_S else _TICK_S / 4
        self._ticked = now
        if self._quiet_s >= self._patience_s:
            crowded = self._cpu_wait.seconds() - self._cpu_waited > _CROWDED_S
            if not crowded or self._quiet_s >= CROWDED * self._patience_s:
                self._break("silent")
                return
        self._timer = self._loop.call_later(_TICK_S, self._tick)

    def _break(self, reason: str, *, told: bool = True) -> None:
        if self.broken.is_set():
            return
        self.reason = reason
        self.broken.set()
        if self._timer is not None:
            self._timer.cancel()
        if told and self._watched:
            self._on_break(reason)
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(_down())


def _down() -> DependencyDownError:
    return DependencyDownError("Valkey is out of reach", details={"dependency": "valkey"}, retry_after_s=1)
