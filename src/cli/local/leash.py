"""A process that ends when its parent ends. Run as a script, before the program that it then becomes:

    python -I -S leash.py PARENT_PID SIGNAL PROGRAM ARGUMENT…

Linux only (`prctl(PR_SET_PDEATHSIG)`); elsewhere the program simply runs. A script rather than a `preexec_fn`, which
would run between fork and exec of a process with threads; and it sees a parent that died before the request was made.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def leashed(command: Sequence[str], *, with_signal: signal.Signals = signal.SIGTERM) -> list[str]:
    """`command`, sent `with_signal` when the thread that starts it ends: so start it from the main thread."""
    return [sys.executable, "-I", "-S", str(Path(__file__)), str(os.getpid()), str(int(with_signal)), *command]


def end_with_parent(parent: int, with_signal: int) -> bool:
    """Ask the kernel for `with_signal` at the parent's end. False if it has ended already."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  Linux alone needs it

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, with_signal, 0, 0, 0)
    return os.getppid() == parent


def follow_parent() -> None:
    """End this process, in order, with the one that started it: `make run` killed leaves no stack behind."""
    if not end_with_parent(os.getppid(), signal.SIGTERM) or os.getppid() == 1:
        sys.exit("the parent process has ended")


def _main() -> None:
    parent, with_signal, *command = sys.argv[1:]
    if not end_with_parent(int(parent), int(with_signal)):
        sys.exit(f"{command[0]}: not started, whoever asked for it has ended")
    os.execv(command[0], command)  # noqa: S606  the program, and no shell  # nosec B606


if __name__ == "__main__":
    _main()
