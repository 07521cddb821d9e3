"""Ports on loopback: is one free, who has it, and which to take instead."""

from __future__ import annotations

import socket
import sys

import psutil

from cli.errors import CliError

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: TIME_WAIT is no obstacle
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


class PortClaims:
    """Ports chosen for services that will take seconds to listen on them: two stacks that start side by side must not
    choose the same. A claim is a name in Linux's abstract socket namespace, which goes with this process; elsewhere
    nothing is claimed."""

    def __init__(self) -> None:
        self._claims: dict[int, socket.socket | None] = {}

    def require(self, port: int) -> int:
        """Raises CliError naming the port and, where the system tells, who has it."""
        if self._claim(port):
            return port
        owner = listener(port) or "a stack that is just starting" * is_free(port)
        by = f" by {owner}" if owner else ""
        raise CliError(f"port {port} is taken{by}", hint=f"end that process, or choose another port: --port {port + 1}")

    def prefer(self, port: int) -> int:
        """`port`, or one that the system offers where that is taken."""
        while not self._claim(port):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.bind((LOOPBACK, 0))
                port = probe.getsockname()[1]
        return port

    def release(self) -> None:
        for claim in self._claims.values():
            if claim is not None:
                claim.close()
        self._claims.clear()

    def _claim(self, port: int) -> bool:
        if port in self._claims:
            return False
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) if sys.platform == "linux" else None
        try:
            if claim is not None:
                claim.bind(f"\0atrium-port-{port}")
        except OSError:
            free = False
        else:
            free = is_free(port)
        if claim is not None and not free:
            claim.close()
        if free:
            self._claims[port] = claim
        return free


def listener(port: int) -> str | None:
    """`name (pid)` of the process that listens on `port`; None where the system does not tell us."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        return None
    return None
