"""`atrium down`: stop the stack of a data directory, and whatever an earlier one left."""

from __future__ import annotations

import signal
import time
from contextlib import suppress

import psutil
import typer

from cli.commands.options import DataDirOption
from cli.console import ERR
from cli.errors import CliError
from cli.local.data_dir import DataDir
from cli.local.leftovers import end_processes, find_leftovers
from cli.local.lock import InstanceLock, is_locked
from cli.local.run_state import RunState
from cli.local.sockets import remove_socket_folder

app = typer.Typer(add_completion=False)
STOP_TIMEOUT_S = 60.0
KILL_TIMEOUT_S = 5.0


@app.command()
def down(data_dir: DataDirOption = None) -> None:
    """Stop everything that runs on the data directory. Does nothing when nothing runs."""
    chosen = DataDir.at(data_dir)
    started = time.monotonic()
    stopped = _stop_supervisor(chosen)
    leftovers = find_leftovers(chosen)
    if survivors := end_processes(leftovers):
        raise CliError(f"these processes cannot be ended: {', '.join(str(process.pid) for process in survivors)}")
    for store in (chosen.postgres, chosen.valkey):
        remove_socket_folder(store)
    chosen.run_file.unlink(missing_ok=True)
    if stopped or leftovers:
        ERR.print(f"[green]✓[/green] Everything is stopped ({time.monotonic() - started:.1f} s).")
    else:
        ERR.print(f"Nothing runs on {chosen.path}.", markup=False)


def _stop_supervisor(data_dir: DataDir) -> bool:
    """Ask it to stop everything in order; force it when it takes longer than its own bounds allow."""
    running = RunState.read(data_dir.run_file)
    supervisor = running.supervisor.process() if running else None
    if supervisor is None or not is_locked(data_dir.lock):
        return False
    # The lock, not the process: one that has ended stays a zombie as long as its parent does not ask for it.
    for number, wait_s in ((signal.SIGTERM, STOP_TIMEOUT_S), (signal.SIGKILL, KILL_TIMEOUT_S)):
        with suppress(psutil.NoSuchProcess):
            supervisor.send_signal(number)
        lock = InstanceLock(data_dir.lock)
        if lock.acquire(wait_s=wait_s):
            lock.release()
            return True
    raise CliError(f"the supervisor (pid {supervisor.pid}) cannot be ended")
