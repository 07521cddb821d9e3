"""A Valkey of the test's own, to be killed, stopped, continued and started again empty at the same place."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

from support.postgres import running_valkey


class OwnValkey:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()
        self._pid = 0
        self.url = ""

    def start(self) -> None:
        server = self._running.enter_context(running_valkey(self._folder))
        self.url = server.url
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(str(server.socket))
            asked.sendall(b"INFO server\r\n")
            self._pid = int(asked.recv(65_536).decode().split("process_id:")[1].split()[0])

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self._pid = 0
        self._running.close()

    def stop(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def close(self) -> None:
        if self._pid:
            self.go_on()
        self._running.close()
