"""Embeddings as arrays: 32 bits to compute with, 16 to keep (half the space, at most 0.001 of a cosine lost)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
"""One embedding, shape (dimension,)."""

Matrix = NDArray[np.float32]
"""Embeddings, shape (n, dimension), one a row."""

HalfMatrix = NDArray[np.float16]
"""The same as kept in the chunk log: IEEE 754 half precision, little endian."""

_HALF = np.dtype("<f2")


class UnusableVectorError(ValueError):
    """The numbers are no embedding: wrong dimension, not finite, or all zero."""


def unit_vector(values: Sequence[float], dimension: int) -> Vector:
    """`values` scaled to length 1, so that a dot product is a cosine. Raises UnusableVectorError."""
    if len(values) != dimension:
        raise UnusableVectorError(f"the vector has {len(values)} dimensions, the model {dimension}")
    wide = np.asarray(values, dtype=np.float64)
    peak = float(np.max(np.abs(wide)))
    if not np.isfinite(peak) or peak == 0.0:
        raise UnusableVectorError("the vector is not finite or has no length")
    wide /= peak  # so that the square of a large value does not overflow, nor that of a small one vanish
    return (wide / np.linalg.norm(wide)).astype(np.float32)


def to_half(matrix: Matrix) -> HalfMatrix:
    return matrix.astype(_HALF)


def pack_rows(rows: HalfMatrix) -> list[bytes]:
    """Each row as the bytes that the chunk log keeps."""
    return [row.tobytes() for row in np.ascontiguousarray(rows, dtype=_HALF)]


def unpack_rows(packed: Sequence[bytes], dimension: int) -> HalfMatrix:
    """The rows again, shape (n, dimension). Raises ValueError for a row of another dimension."""
    if any(len(row) != dimension * _HALF.itemsize for row in packed):
        raise ValueError(f"an embedding in the chunk log does not have {dimension} dimensions")
    return np.frombuffer(b"".join(packed), dtype=_HALF).reshape(len(packed), dimension)
