"""Room for the arrays of a large index while it is made: files without a name, which the kernel may write out.

What lies there is no memory of the process's own, so that compacting a tenant of any size takes a bounded amount; and
it is gone with the array, or with the process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rag.adapters.array_file import Array, pack, unpack
from rag.adapters.mapped_file import mapped

SMALL_BYTES = 8 * 1024 * 1024
"""Up to this size memory is simpler, and as good."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """`folder` should not lie in memory itself. None: everything lies in memory."""

    folder: Path | None = None

    def empty(self, size: int, dtype: Any) -> Array:
        """One dimension, to be filled. Raises OSError where the disk is full."""
        nbytes = size * np.dtype(dtype).itemsize
        if self.folder is None or nbytes <= SMALL_BYTES:
            return np.empty(size, dtype)
        with tempfile.TemporaryFile(dir=self.folder) as file:
            file.truncate(nbytes)
            # The map holds a descriptor of its own: the file lasts as long as the array.
            return np.memmap(file, dtype, "r+", shape=(size,))

    def put_down(self, kind: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The same arrays, to be read only; in memory where they are small together. Raises OSError where the disk is
        full."""
        if self.folder is None or sum(array.nbytes for array in arrays.values()) <= SMALL_BYTES:
            return dict(arrays)
        with tempfile.NamedTemporaryFile(dir=self.folder) as file:
            for block in pack(kind, arrays).blocks():
                file.write(block)
            file.flush()
            content, _ = mapped(Path(file.name))
        return unpack(content, kind)

    def holds(self, array: Array) -> bool:
        """Whether the array takes no memory of this process's own."""
        return isinstance(array, np.memmap)


def runs(rows: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ascending rows as runs of neighbours: the first, and the one behind the last."""
    if not len(rows):
        return
    firsts = np.append(0, np.flatnonzero(np.diff(rows) != 1) + 1)
    lasts = np.append(firsts[1:], len(rows)) - 1
    yield from zip(rows[firsts].tolist(), (rows[lasts] + 1).tolist(), strict=True)
