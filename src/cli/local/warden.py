"""Ends what is left when the supervisor was killed:  python -m cli.local.warden DATA_DIR  with a pipe from it as stdin.

The leash already ends each child with the supervisor. This catches what slips it: a child's own children (vLLM's
engine outlives a killed API server), and systems without a leash.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import psutil

from cli.local.data_dir import DataDir
from cli.local.leftovers import end_processes, find_leftovers
from cli.local.sockets import remove_socket_folder

GRACE_S = 2.0
"""For children that were told by the leash and are ending in order."""


def watch(data_dir: DataDir) -> None:
    sys.stdin.buffer.read()  # until the other end of the pipe is closed: by the supervisor's end, whatever its cause
    _, left = psutil.wait_procs(find_leftovers(data_dir), timeout=GRACE_S)
    end_processes([*left, *find_leftovers(data_dir)])
    for store in (data_dir.postgres, data_dir.valkey):
        remove_socket_folder(store)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch(DataDir(Path(sys.argv[1])))
