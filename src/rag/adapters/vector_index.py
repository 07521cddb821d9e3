"""The nearest rows of one tenant's vectors: what the exact and the quantised kinds have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.domain.postings import Mask, Rows
from rag.domain.vectors import HalfMatrix, Vector


class Nearest(NamedTuple):
    """Rows with their cosines, best first, equal ones in the order of rows."""

    rows: Rows
    scores: NDArray[np.float32]


NOTHING = Nearest(np.empty(0, np.int64), np.empty(0, np.float32))


class Vectors(Protocol):
    """Immutable. Safe from several threads. Shape (n, dimension)."""

    @property
    def nbytes(self) -> int: ...

    @property
    def dimension(self) -> int: ...

    def __len__(self) -> int: ...

    def nearest(self, query: Vector, k: int, allowed: Mask | None) -> Nearest:
        """The min(k, n) nearest of the n rows allowed; `allowed` has one value a row, None allows all."""
        ...

    def exactly(self, query: Vector, k: int, allowed: Mask | None) -> Nearest:
        """The same, with every row allowed looked at."""
        ...

    @property
    def approximation(self) -> str | None:
        """`flat` or `lists`, where `nearest` may miss some; None where it does not."""
        ...

    def gather(self, rows: Rows) -> HalfMatrix:
        """These rows, given in ascending order."""
        ...

    def all(self) -> HalfMatrix: ...

    def portions(self) -> Iterator[HalfMatrix]:
        """All of them, in order, some at a time."""
        ...

    def codes(self) -> bytes | None:
        """FAISS's own serialisation, for kinds whose making costs more than reading it."""
        ...


def best_of(rows: Rows, scores: NDArray[np.float32], k: int) -> Nearest:
    order = np.lexsort((rows, -scores))[:k]
    return Nearest(rows[order], scores[order])
