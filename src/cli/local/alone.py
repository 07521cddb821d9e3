"""A data directory's PostgreSQL by itself, for a command that needs it while no stack runs."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.errors import CliError
from cli.local.leftovers import marked
from cli.local.logs import open_log, tail
from cli.local.postgres import Postgres, without_settings
from cli.local.sockets import remove_socket_folder

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 120.0
"""It writes everything to the disk first."""


@contextmanager
def running_alone(server: Postgres, log: Path, instance: str) -> Iterator[None]:
    """From the main thread, with which it ends. `instance`: whose processes it counts among. Raises CliError."""
    server.prepare()
    with open_log(log) as output:
        process = subprocess.Popen(
            server.command(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=marked(without_settings(), instance),
            cwd="/",
            start_new_session=True,
        )
    try:
        _until_it_answers(server, process, log)
        yield
    finally:
        process.send_signal(signal.SIGINT)  # fast shutdown; SIGTERM would wait for every client
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        remove_socket_folder(server.data_dir)


def _until_it_answers(server: Postgres, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while not server.answers():
        if process.poll() is not None or time.monotonic() > until:
            raise CliError("PostgreSQL did not start", hint="\n  ".join(tail(log)[-5:]))
        time.sleep(0.05)
