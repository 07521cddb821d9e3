"""A child process of the supervisor: on the leash, in a session of its own, its output in its log."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from cli.errors import CliError
from cli.local.logs import open_log, tail
from cli.local.run_state import ProcessId
from cli.local.service import Service

KILL_TIMEOUT_S = 5.0


class Child:
    def __init__(self, service: Service, process: asyncio.subprocess.Process, log: Path, log_start: int) -> None:
        self.service = service
        self._log, self._log_start = log, log_start
        self._process = process
        self.identity = ProcessId.of(process.pid)

    @classmethod
    async def start(cls, service: Service, log: Path) -> Child:
        """From the main thread: the leash ends a child with the thread that started it.

        A session of its own keeps a terminal's Ctrl-C from it: the supervisor stops the children, in order.
        """
        with open_log(log) as output:
            start = output.seek(0, os.SEEK_END)
            try:
                process = await asyncio.create_subprocess_exec(
                    *service.command(),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=dict(service.environment),
                    start_new_session=True,
                )
            except OSError as error:
                raise CliError(f"{service.name} cannot be started: {error}") from error
            return cls(service, process, log, start)

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    async def wait(self) -> str:
        """Until it ends. Says how: `exit code 3`, `killed by SIGKILL`."""
        code = await self._process.wait()
        if code >= 0:
            return f"exit code {code}"
        return f"killed by {signal.Signals(-code).name}"

    def last_words(self) -> list[str]:
        return tail(self._log, since=self._log_start)

    async def stop(self, *, within_s: float, hurry: asyncio.Event) -> None:
        """Ask; force when it takes too long or the user is in a hurry. Returns when it has ended."""
        if not self.ended and not hurry.is_set():
            self._signal(self.service.stop_signal)
            await _first(self._process.wait(), hurry.wait(), within_s=within_s)
        if not self.ended:
            self._signal_group(signal.SIGKILL)
            await _first(self._process.wait(), within_s=KILL_TIMEOUT_S)

    def end_group(self) -> None:
        """End what a child that has ended left in its process group (vLLM's engine outlives its server)."""
        self._signal_group(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        try:
            self._process.send_signal(number)
        except ProcessLookupError:
            return

    def _signal_group(self, number: signal.Signals) -> None:
        """As long as the group has a member its number, the child's pid, is not given to another process."""
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            self._signal(number)


async def _first(*work: Coroutine[Any, Any, object], within_s: float) -> None:
    tasks = [asyncio.ensure_future(each) for each in work]
    await asyncio.wait(tasks, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
