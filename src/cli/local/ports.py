"""Ports on loopback: is one free, who has it, and which to take instead."""

from __future__ import annotations

import socket
from collections.abc import Collection

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


def preferred_or_free(preferred: int, taken: Collection[int]) -> int:
    """`preferred`, or a port that the system offers, where that is taken."""
    if preferred not in taken and is_free(preferred):
        return preferred
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((LOOPBACK, 0))
            offered: int = probe.getsockname()[1]
        if offered not in taken:
            return offered


def require_free(port: int) -> None:
    """Raises CliError naming the port and, where the system tells, who has it."""
    if is_free(port):
        return
    owner = listener(port)
    by = f" by {owner}" if owner else ""
    raise CliError(f"port {port} is taken{by}", hint=f"end that process, or choose another port: --port {port + 1}")


def listener(port: int) -> str | None:
    """`name (pid)` of the process that listens on `port`; None where the system does not tell us."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        return None
    return None
