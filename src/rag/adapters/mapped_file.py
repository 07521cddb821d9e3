"""A file's bytes where the kernel keeps them: shared by all who map it, and given back when memory is short.

Not by the standard library's `mmap`: until Python 3.13 it holds a file descriptor for each map, and ten thousand
tenants have more maps than a process has descriptors (1,024 by default).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_FAILED = ctypes.c_void_p(-1).value


def mapped(path: Path) -> tuple[memoryview, int]:
    """The bytes, read-only, and how many of them take memory of this process's own: none, unless the kernel refuses
    the map (a process has 65,530 by default). The file may be removed, but not made shorter. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        address = _libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_PRIVATE, descriptor, 0) if size else _FAILED
    finally:
        os.close(descriptor)
    if address in {None, _FAILED}:
        content = path.read_bytes()
        return memoryview(content), len(content)
    area = (ctypes.c_char * size).from_address(address)
    weakref.finalize(area, _libc.munmap, address, size).atexit = False
    return memoryview(area).toreadonly().cast("B"), 0
