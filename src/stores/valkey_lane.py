"""A pipelined connection to Valkey, from its beginning until it breaks or falls silent."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from contracts.errors import DependencyDownError
from stores.cpu_wait import CpuWait

PATIENCE_S = 0.04
"""Of an event loop that turns: time in which this process was too busy to read an answer is not Valkey's."""
PING_EVERY_S = 0.1
IN_FLIGHT = 32
"""Commands that Valkey has and has not answered: it answers when it has run all that it has, so few at a time."""
CROWDED = 10
_CROWDED_S = 0.001
"""So much waiting for a processor in a silence, and the machine has too few."""
_TICK_S = 0.005
_LATE_S = 0.008


class Lane:
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
            raise out_of_reach()
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
                future.set_exception(out_of_reach())


def out_of_reach() -> DependencyDownError:
    return DependencyDownError("Valkey is out of reach", details={"dependency": "valkey"}, retry_after_s=1)
