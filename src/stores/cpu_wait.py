"""How long this thread has waited for a processor: whether this machine has too few for what runs on it."""

from __future__ import annotations

import os
import threading


class CpuWait:
    """Of the thread that makes it. Linux tells (Documentation/scheduler/sched-stats.rst); elsewhere it is always 0."""

    def __init__(self) -> None:
        try:
            self._file = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
        except OSError:
            self._file = -1

    def seconds(self) -> float:
        """So far: ready to run, and not running."""
        if self._file < 0:
            return 0.0
        fields = os.pread(self._file, 128, 0).split()
        return int(fields[1]) / 1e9 if len(fields) > 1 else 0.0

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
