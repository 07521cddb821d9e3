"""One run of the stack, from the lock to the last child's end."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cli.errors import CliError
from cli.local.data_dir import DataDir
from cli.local.leftovers import end_processes, find_leftovers, marked
from cli.local.lock import InstanceLock
from cli.local.reporter import Reporter
from cli.local.run_record import RunRecord
from cli.local.run_state import RunState
from cli.local.sockets import remove_socket_folder
from cli.local.stack import Stack
from cli.local.supervisor import RESTART_PAUSE_S, Supervisor

STOPPING_WAIT_S = 45.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def sole_supervisor(data_dir: DataDir) -> Iterator[int]:
    """Holds the data directory's lock; ends what a killed supervisor left, and yields how many processes that were.

    Raises CliError while another supervisor is at work on it; one that is just stopping is waited for.
    """
    lock = InstanceLock(data_dir.lock)
    running = RunState.read(data_dir.run_file)
    wait_s = STOPPING_WAIT_S if running is not None and running.state == "stopping" else 0.0
    if not lock.acquire(wait_s=wait_s):
        where = f" at {running.router_url} (pid {running.supervisor.pid})" if running else ""
        raise CliError(
            f"the stack of {data_dir.path} is running already{where}",
            hint="stop it with `atrium down`, or choose another --data-dir and --port",
        )
    try:
        leftovers = find_leftovers(data_dir)
        if survivors := end_processes(leftovers):
            pids = ", ".join(str(process.pid) for process in survivors)
            raise CliError(f"processes of an earlier run cannot be ended: {pids}")
        data_dir.run_file.unlink(missing_ok=True)
        yield len(leftovers)
    finally:
        lock.release()


@dataclass(frozen=True)
class Hooks:
    """`load` runs when all is ready (in a thread), `ready` after it, `stopping` when the end begins; `trouble` tells of
    what ended unasked in between."""

    load: Callable[[], None]
    ready: Callable[[], None]
    stopping: Callable[[], None]
    trouble: Callable[[str], None]


async def run_stack(
    data_dir: DataDir, stack: Stack, reporter: Reporter, hooks: Hooks, *, restart_pause_s: float = RESTART_PAUSE_S
) -> None:
    """Until SIGINT, SIGTERM or SIGHUP; a second one ends the children at once. Raises CliError when the stack fails."""
    asked, hurry = asyncio.Event(), asyncio.Event()
    _on_signals(lambda: hurry.set() if asked.is_set() else asked.set())
    record = RunRecord(data_dir, stack)
    supervisor = Supervisor(
        stack.services, data_dir.logs, reporter, record.service, hooks.trouble, restart_pause_s=restart_pause_s
    )
    warden = _start_warden(data_dir)

    async def work() -> None:
        with reporter:
            await supervisor.start()
            await asyncio.to_thread(hooks.load)
        record.stack("ready")
        hooks.ready()
        await supervisor.watch()

    try:
        await _until(work(), asked)
    finally:
        record.stack("stopping")
        hooks.stopping()
        await supervisor.stop(hurry=hurry)
        # Also what the children left behind, and the warden.
        await asyncio.to_thread(lambda: end_processes(find_leftovers(data_dir), term_s=2))
        _close_warden(warden)
        for store in (data_dir.postgres, data_dir.valkey):
            remove_socket_folder(store)
        record.remove()


async def _until(work: Coroutine[Any, Any, None], asked: asyncio.Event) -> None:
    """Runs `work` until it fails or `asked` is set."""
    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(asked.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _on_signals(act: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, act)


def _start_warden(data_dir: DataDir) -> subprocess.Popen[bytes]:
    """It holds the other end of a pipe that no other process has."""
    environment = marked({"TMPDIR": tempfile.gettempdir()}, data_dir.instance)  # where the socket folders are
    command = [sys.executable, "-P", "-m", "cli.local.warden", str(data_dir.path)]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )


def _close_warden(warden: subprocess.Popen[bytes]) -> None:
    if warden.stdin:
        warden.stdin.close()
    warden.kill()
    warden.wait()
