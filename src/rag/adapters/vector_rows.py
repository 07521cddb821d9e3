"""An index's embeddings in half precision, to score candidates exactly: in memory, or in a file read row by row."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.domain.postings import Rows
from rag.domain.vectors import HalfMatrix, Vector

_HALF = np.dtype("<f2")

ROWS_AT_ONCE = 20_000
"""Of what is read from front to back: 15 MB at 384 dimensions."""


class VectorRows(Protocol):
    """Shape (n, dimension). Safe from several threads."""

    @property
    def nbytes(self) -> int:
        """Of memory."""
        ...

    @property
    def dimension(self) -> int: ...

    def __len__(self) -> int: ...

    def gather(self, rows: Rows) -> HalfMatrix:
        """These rows, given in ascending order."""
        ...

    def all(self) -> HalfMatrix: ...

    def portions(self) -> Iterator[HalfMatrix]:
        """All of them, in order, some at a time."""
        ...


class MemoryRows:
    def __init__(self, vectors: HalfMatrix) -> None:
        self._vectors = np.ascontiguousarray(vectors, dtype=_HALF)

    @property
    def nbytes(self) -> int:
        return self._vectors.nbytes

    @property
    def dimension(self) -> int:
        return int(self._vectors.shape[1])

    def __len__(self) -> int:
        return len(self._vectors)

    def gather(self, rows: Rows) -> HalfMatrix:
        return self._vectors[rows]

    def all(self) -> HalfMatrix:
        return self._vectors

    def portions(self) -> Iterator[HalfMatrix]:
        for start in range(0, len(self), ROWS_AT_ONCE):
            yield self._vectors[start : start + ROWS_AT_ONCE]


class FileRows:
    """Reads by `pread`, not through a memory map: of a cold map each row costs a page fault of its own, in turn.

    The file may be removed while it is open. Raises OSError where it cannot be read.
    """

    def __init__(self, path: Path | int, dimension: int) -> None:
        """`path` may be an open descriptor, of which a copy is made."""
        self._dimension = dimension
        self._width = dimension * _HALF.itemsize
        self._file = os.dup(path) if isinstance(path, int) else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)
        self._size, rest = divmod(os.fstat(self._file).st_size, self._width)
        if rest:
            raise ValueError(f"{path} holds no whole number of rows")

    @property
    def nbytes(self) -> int:
        return 0

    @property
    def dimension(self) -> int:
        return self._dimension

    def __len__(self) -> int:
        return self._size

    def gather(self, rows: Rows) -> HalfMatrix:
        found = np.empty((len(rows), self._dimension), _HALF)
        if not len(rows):
            return found
        # Rows that lie one behind the other are read in one go.
        firsts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
        room, width = memoryview(found.view(np.uint8).reshape(-1).data), self._width
        for at, end, row in zip(
            (firsts * width).tolist(), [*(firsts[1:] * width).tolist(), len(room)], rows[firsts].tolist(), strict=True
        ):
            self._read(room[at:end], row * width)
        return found

    def all(self) -> HalfMatrix:
        found = np.empty((self._size, self._dimension), _HALF)
        if self._size:
            self._read(memoryview(found.view(np.uint8).reshape(-1).data), 0)
        return found

    def portions(self) -> Iterator[HalfMatrix]:
        for start in range(0, self._size, ROWS_AT_ONCE):
            yield self.gather(np.arange(start, min(start + ROWS_AT_ONCE, self._size)))

    def _read(self, room: memoryview, offset: int) -> None:
        """Fills `room`. One call gives at most 2 GiB."""
        read = os.preadv(self._file, [room], offset)
        while read < len(room):
            more = os.preadv(self._file, [room[read:]], offset + read)
            if not more:
                raise OSError("the file of an index's vectors has become shorter")
            read += more


def written_rows(portions: Iterable[HalfMatrix], dimension: int, folder: Path) -> FileRows:
    """Rows in a file without a name, below `folder`. Raises OSError."""
    with tempfile.TemporaryFile(dir=folder) as file:
        for portion in portions:
            file.write(np.ascontiguousarray(portion, dtype=_HALF).data)
        file.flush()
        return FileRows(file.fileno(), dimension)


def cosines(rows: HalfMatrix, query: Vector) -> NDArray[np.float32]:
    """Exact but for rounding, computed in 32 bits."""
    scores: NDArray[np.float32] = rows.astype(np.float32) @ query
    return scores
