"""What a worker process may not do any more, once it is ready: take all memory or time, write much, start programs,
or reach a network.

Limits are the kernel's (`setrlimit`). On Linux a seccomp filter refuses sockets and new programs as well; elsewhere
Python's audit hook is the only guard there, and the parent watches the memory, which macOS does not limit.
"""

from __future__ import annotations

import ctypes
import platform
import resource
import struct
import sys
from dataclasses import dataclass

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one worker, for one file each. A real book takes seconds and less than 300 MB."""

    cpu_s: int = 60
    wall_s: float = 120.0
    memory_bytes: int = 1024 * MEBIBYTE
    written_bytes: int = 32 * MEBIBYTE
    open_files: int = 64
    answer_bytes: int = 128 * MEBIBYTE


class RefusedError(PermissionError):
    """A parser wanted what no parser needs."""


def confine(limits: Limits) -> None:
    """For the rest of the process's life."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, limits.written_bytes)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    if memory_is_limited():
        _limit(resource.RLIMIT_AS, limits.memory_bytes)
    if sys.platform == "linux":
        _die_with_parent()
        _filter_system_calls()
    sys.addaudithook(_refuse)


def memory_is_limited() -> bool:
    """Whether the kernel keeps RLIMIT_AS: macOS takes it and does not."""
    return sys.platform == "linux"


def allow_cpu(seconds: int) -> None:
    """From now on; then the kernel ends the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + seconds, hard))


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


_REFUSED = ("socket.", "subprocess.", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork", "pty.")


def _refuse(event: str, _args: object) -> None:
    if event.startswith(_REFUSED):
        raise RefusedError(event)


# Linux: numbers of linux/prctl.h, linux/seccomp.h, linux/filter.h and of the two machines' system call tables.
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 1, 38, 22, 2
_SIGKILL = 9
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE_WITH_EPERM = 0x7FFF0000, 0x00050001
_X32 = 0x40000000
_MACHINES = {
    # socket, connect, bind, fork, vfork, execve, ptrace, execveat, io_uring_setup
    "x86_64": (0xC000003E, (41, 42, 49, 57, 58, 59, 101, 322, 425)),
    "aarch64": (0xC00000B7, (198, 203, 200, 221, 117, 281, 425)),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)


def _filter_system_calls() -> None:
    """Sockets and new programs end in EPERM, whoever asks: Python, or C code that a file has taken over.

    Where the kernel does not take a filter (some sandboxes) the audit hook has to do.
    """
    if platform.machine() not in _MACHINES:
        return
    machine, refused = _MACHINES[platform.machine()]
    steps = [
        (_LOAD, 0, 0, 4),  # the machine
        (_EQUAL, 1, 0, machine),
        (_RETURN, 0, 0, _REFUSE_WITH_EPERM),
        (_LOAD, 0, 0, 0),  # the system call's number
        (_AT_LEAST, len(refused) + 1, 0, _X32),  # a jump counts from the next step on
        *((_EQUAL, len(refused) - at, 0, number) for at, number in enumerate(refused)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE_WITH_EPERM),
    ]
    packed = b"".join(struct.pack("HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(packed)
    program = _Program(len(steps), ctypes.cast(buffer, ctypes.c_void_p).value)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0)
