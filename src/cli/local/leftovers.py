"""Processes of a stack whose supervisor was killed: found by what they carry, never by a remembered pid."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from cli.local.data_dir import DataDir

MARKER = "ATRIUM_INSTANCE"
TERM_TIMEOUT_S = 10.0
KILL_TIMEOUT_S = 5.0


def marked(environment: Mapping[str, str], instance: str) -> dict[str, str]:
    """`environment` for a child of the stack. SPT_NOENV keeps vLLM's process titles from overwriting the marker."""
    return {**environment, MARKER: instance, "SPT_NOENV": "1"}


def find_leftovers(data_dir: DataDir) -> list[psutil.Process]:
    """Every process of this data directory's stack, but not this one and those above it."""
    above = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    return [process for process in psutil.process_iter() if process.pid not in above and _belongs(process, data_dir)]


def end_processes(
    processes: Iterable[psutil.Process], *, term_s: float = TERM_TIMEOUT_S, kill_s: float = KILL_TIMEOUT_S
) -> list[psutil.Process]:
    """Ask, then force. Only those without a parent among them are asked: a parent ends its own children in order."""
    waiting = list(processes)
    pids = {process.pid for process in waiting}
    for process in waiting:
        if _parent(process) not in pids:
            _send(process, signal.SIGINT if _name(process) == "postgres" else signal.SIGTERM)
    _, waiting = psutil.wait_procs(waiting, timeout=term_s)
    for process in waiting:
        _send(process, signal.SIGKILL)
    _, waiting = psutil.wait_procs(waiting, timeout=kill_s)
    return waiting


def _belongs(process: psutil.Process, data_dir: DataDir) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if process.environ().get(MARKER) == data_dir.instance:
            return True
        # PostgreSQL writes its process titles over its environment.
        return process.name() == "postgres" and Path(process.cwd()) == data_dir.postgres
    except (psutil.Error, OSError):
        return False


def _parent(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.Error:
        return None


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.Error:
        return
