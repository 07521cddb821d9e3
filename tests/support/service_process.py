"""A service as a process of its own, always at the same address, to be killed at any moment and started again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from support.server import free_port

START_TIMEOUT_S = 60.0


class ServiceProcess:
    """`command` is what follows `python`; `port_setting` names the variable that takes the port, or, where it begins
    with a dash, the option."""

    def __init__(
        self, command: Sequence[str], port_setting: str, log: Path, *, alive: str = "/healthz", **settings: str
    ) -> None:
        self._port = str(free_port())
        self._command = [sys.executable, *command]
        self._environment = {**os.environ, **settings}
        self._setting = "" if port_setting.startswith("-") else port_setting
        if self._setting:
            self._environment[self._setting] = self._port
        else:
            self._command += [port_setting, self._port]
        self._log = log
        self._alive = alive
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def only_with(self, environment: Mapping[str, str]) -> None:
        """That is all its environment, but for its port: nothing of the test's own, no setting from before."""
        self._environment = {**environment, **({self._setting: self._port} if self._setting else {})}

    def start(self) -> None:
        """Does not wait for it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)

    def wait(self) -> None:
        """Until it answers. One that has ended by itself is started again, as whatever supervises a service does: a
        router that is to make the first platform key does not start without PostgreSQL."""
        until = time.monotonic() + START_TIMEOUT_S
        while True:
            if self._process is None or self._process.poll() is not None:
                self.start()
            try:
                httpx.get(self.url + self._alive, timeout=1).raise_for_status()
            except httpx.HTTPError:
                if time.monotonic() > until:
                    said = self._log.read_text(errors="replace")[-4_000:]
                    raise RuntimeError(f"{self._command} did not start:\n{said}") from None
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def terminate(self) -> None:
        """SIGTERM, as an orchestrator of containers sends it. Does not wait for the end."""
        assert self._process is not None
        self._process.terminate()

    def ended_within(self, seconds: float) -> None:
        """Raises subprocess.TimeoutExpired where it has not ended by then."""
        assert self._process is not None
        self._process.wait(seconds)

    def close(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
