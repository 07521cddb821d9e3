"""A PostgreSQL of the test's own, to be killed at any moment and started again over what it had committed."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import psutil

from cli.local.postgres import Postgres
from cli.local.sockets import remove_socket_folder

START_TIMEOUT_S = 30.0


class OwnPostgres:
    """Durable: what it has said is committed survives its end. Start it from the main thread: it ends with that."""

    def __init__(self, folder: Path) -> None:
        self._server = Postgres(folder / "postgres")
        self._log = folder / "postgres.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.url, self.owner_url = self._server.url, self._server.owner_url

    def start(self) -> None:
        self._server.prepare()
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._server.command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/"
            )
        until = time.monotonic() + START_TIMEOUT_S
        while not self._server.answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.02)

    def migrate(self) -> None:
        self._server.migrate()

    def kill(self) -> None:
        """All of its processes, as when the machine goes."""
        assert self._process is not None
        postmaster = psutil.Process(self._process.pid)
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            process.kill()
        self._process.wait()
        psutil.wait_procs(processes, 10)
        self._process = None

    def close(self) -> None:
        if self._process is not None:
            self.kill()
        remove_socket_folder(self._server.data_dir)
