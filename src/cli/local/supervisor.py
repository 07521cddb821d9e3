"""Starts the services side by side, watches them, and stops what it started, however it ends.

A child that ends unasked while the stack is starting ends the stack, for that is a mistake to be told. Later it is
started again after a pause, in which `/readyz` names it: a crash of one part is not the end of the others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from cli.errors import CliError
from cli.local.child import Child
from cli.local.reporter import Reporter
from cli.local.run_state import ProcessId, ServiceState
from cli.local.service import Service

POLL_S = 0.1
STARTING_STOP_S = 3.0
"""For a child that is still starting: it has nothing to finish."""

RESTART_PAUSE_S = 5.0
CRASHES, CRASHES_WITHIN_S = 3, 120.0
"""So many ends of one service in so short a time end the stack: starting it again does not help."""

Observer = Callable[[str, ServiceState, ProcessId | None], None]


class ServiceFailedError(CliError):
    """A service ended unasked, or was not ready in its time. `log` holds more than the message."""


class Supervisor:
    """`observe` is told of every change with the process it is about; `reporter` shows it to the user, and `trouble`
    what happens to a stack that was ready."""

    def __init__(
        self,
        services: Sequence[Service],
        logs: Path,
        reporter: Reporter,
        observe: Observer,
        trouble: Callable[[str], None],
        *,
        restart_pause_s: float = RESTART_PAUSE_S,
    ) -> None:
        self._services = {service.name: service for service in services}
        self._logs = logs
        self._reporter = reporter
        self._observe = observe
        self._trouble = trouble
        self._restart_pause_s = restart_pause_s
        self._crashes: dict[str, list[float]] = {name: [] for name in self._services}
        self._started = False
        self._children: dict[str, Child] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._ready: dict[str, asyncio.Event] = {name: asyncio.Event() for name in self._services}
        self._ready_at: dict[str, float] = {}
        self._failure: asyncio.Future[CliError] = asyncio.get_running_loop().create_future()
        self._stopping = False

    async def start(self) -> None:
        """Returns when every service is ready. Raises ServiceFailedError as soon as one is not going to be."""
        for name in self._services:
            self._tell(name, "waiting")
        await self._unless_failed(asyncio.gather(*(self._start(service) for service in self._services.values())))
        self._started = True

    async def watch(self) -> None:
        """Runs until it is cancelled. Raises ServiceFailedError when a service ends again and again."""
        raise await asyncio.shield(self._failure)

    async def stop(self, *, hurry: asyncio.Event) -> None:
        """End every child, those who call before those who are called. Never raises."""
        self._stopping = True
        stages = sorted(self._children.values(), key=lambda child: child.service.stage)
        for _, stage in groupby(stages, key=lambda child: child.service.stage):
            await asyncio.gather(*(self._stop(child, hurry) for child in stage))
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)

    async def _start(self, service: Service) -> None:
        for name in service.after:
            if name in self._ready:
                await self._ready[name].wait()
        self._tell(service.name, "starting")
        await asyncio.to_thread(service.prepare)
        child = await Child.start(service, self._logs / f"{service.name}.log")
        self._children[service.name] = child
        self._watchers.append(asyncio.ensure_future(self._watch(child)))
        self._tell(service.name, "starting")
        await self._until_ready(service, child)
        if child.ended:
            return  # its watcher tells, and starts it again
        await asyncio.to_thread(service.once_ready)
        self._ready_at[service.name] = time.monotonic()
        self._ready[service.name].set()
        self._tell(service.name, "ready")

    async def _until_ready(self, service: Service, child: Child) -> None:
        """Also returns when the child has ended."""
        started = time.monotonic()
        while not child.ended and not (health := await asyncio.to_thread(service.health)).ready:
            self._tell(service.name, "starting", health.note)
            behind = [self._ready_at.get(name) for name in service.behind if name in self._services]
            since = max([started, *(at for at in behind if at is not None)])
            if None not in behind and time.monotonic() - since > service.start_within_s:
                note = f" ({health.note})" if health.note else ""
                raise self._failed(service.name, f"was not ready within {service.start_within_s:.0f} s{note}")
            await asyncio.sleep(POLL_S)

    async def _watch(self, child: Child) -> None:
        how = await child.wait()
        if self._stopping or self._failure.done():
            return
        try:
            await self._revive(child, how)
        except CliError as error:
            failure = error
        except Exception as error:  # noqa: BLE001  a watcher that ended silently would leave half a stack
            failure = self._failed(child.service.name, f"could not be started again: {error}")
        else:
            return
        if not self._failure.done():
            self._failure.set_result(failure)

    async def _revive(self, child: Child, how: str) -> None:
        """Raises CliError where starting again is not to be tried, or has failed."""
        name, now = child.service.name, time.monotonic()
        self._crashes[name] = [at for at in self._crashes[name] if now - at < CRASHES_WITHIN_S] + [now]
        failed = self._failed(name, f"ended unasked: {how}")
        if not self._started or len(self._crashes[name]) >= CRASHES:
            raise failed
        self._trouble(f"{failed.message}\n  It is started again in {self._restart_pause_s:g} s; {failed.hint}")
        self._ready[name].clear()
        child.end_group()
        await asyncio.sleep(self._restart_pause_s)
        if not self._stopping:
            await self._start(child.service)
        if self._ready[name].is_set():
            self._trouble(f"{name} is ready again.")

    async def _stop(self, child: Child, hurry: asyncio.Event) -> None:
        name = child.service.name
        if child.ended:
            return
        self._tell(name, "stopping")
        within_s = child.service.stop_within_s
        if not self._ready[name].is_set():
            within_s = min(within_s, STARTING_STOP_S)
        await child.stop(within_s=within_s, hurry=hurry)
        self._tell(name, "stopped")

    async def _unless_failed(self, work: asyncio.Future[list[None]]) -> None:
        try:
            both: list[asyncio.Future[Any]] = [work, self._failure]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if self._failure.done():
                raise self._failure.result()
            work.result()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    def _failed(self, name: str, what: str) -> ServiceFailedError:
        self._tell(name, "failed", what)
        log = self._logs / f"{name}.log"
        child = self._children.get(name)
        words = "".join(f"\n    {line}" for line in child.last_words()) if child else ""
        return ServiceFailedError(f"{name} {what}{words}", hint=f"its log: {log}")

    def _tell(self, name: str, state: ServiceState, note: str = "") -> None:
        child = self._children.get(name)
        self._observe(name, state, child.identity if child else None)
        self._reporter.service(name, state, note)
