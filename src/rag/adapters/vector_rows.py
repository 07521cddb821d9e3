"""An index's embeddings in half precision, to score candidates exactly: in memory, or in a file read row by row."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.domain.postings import Rows
from rag.domain.vectors import HalfMatrix, Vector

_HALF = np.dtype("<f2")

GAP_ROWS = 4
"""Rows nearer to each other than this are read in one go: a call costs as much as reading some rows more."""


class VectorRows(Protocol):
    """Shape (n, dimension). Safe from several threads."""

    @property
    def nbytes(self) -> int:
        """Of memory."""
        ...

    def __len__(self) -> int: ...

    def gather(self, rows: Rows) -> HalfMatrix:
        """These rows, given in ascending order."""
        ...

    def all(self) -> HalfMatrix: ...


class MemoryRows:
    def __init__(self, vectors: HalfMatrix) -> None:
        self._vectors = np.ascontiguousarray(vectors, dtype=_HALF)

    @property
    def nbytes(self) -> int:
        return self._vectors.nbytes

    def __len__(self) -> int:
        return len(self._vectors)

    def gather(self, rows: Rows) -> HalfMatrix:
        return self._vectors[rows]

    def all(self) -> HalfMatrix:
        return self._vectors


class FileRows:
    """Reads by `pread`, not through a memory map: of a cold map each row costs a page fault of its own, in turn.

    The file may be removed while it is open. Raises OSError where it cannot be read.
    """

    def __init__(self, path: Path, dimension: int) -> None:
        self._dimension = dimension
        self._width = dimension * _HALF.itemsize
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)
        self._size, rest = divmod(os.fstat(self._file).st_size, self._width)
        if rest:
            raise ValueError(f"{path.name} holds no whole number of rows")

    @property
    def nbytes(self) -> int:
        return 0

    def __len__(self) -> int:
        return self._size

    def gather(self, rows: Rows) -> HalfMatrix:
        found = np.empty((len(rows), self._dimension), _HALF)
        cuts = np.flatnonzero(np.diff(rows) > GAP_ROWS) + 1
        for run, start in zip(np.split(rows, cuts), [0, *cuts.tolist()], strict=True):
            if len(run):
                found[start : start + len(run)] = self._read(int(run[0]), int(run[-1]) + 1)[run - run[0]]
        return found

    def all(self) -> HalfMatrix:
        return self._read(0, self._size)

    def _read(self, first: int, end: int) -> HalfMatrix:
        """Rows `first` up to `end`. One `pread` gives at most 2 GiB."""
        wanted, offset = (end - first) * self._width, first * self._width
        content = os.pread(self._file, wanted, offset)
        while len(content) < wanted:
            more = os.pread(self._file, wanted - len(content), offset + len(content))
            if not more:
                raise OSError("the file of an index's vectors has become shorter")
            content += more
        return np.frombuffer(content, _HALF).reshape(end - first, self._dimension)


def cosines(rows: HalfMatrix, query: Vector) -> NDArray[np.float32]:
    """Exact but for rounding, computed in 32 bits."""
    scores: NDArray[np.float32] = rows.astype(np.float32) @ query
    return scores
