"""Flat arrays in one file, to be used where they lie: a length-prefixed JSON header, then the bytes of each array.

    b"ATRIUMIX" | header's length, 8 bytes little endian | header | arrays, each at a multiple of 64 bytes

Reading makes views into the file's bytes, which may be a memory map: nothing is copied, nothing is executed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.domain.snapshot import Content

Array = NDArray[Any]

_MAGIC = b"ATRIUMIX"
_ALIGNMENT = 64
_TYPES = {"u1": np.uint8, "u2": np.uint16, "u4": np.uint32, "u8": np.uint64, "i8": np.int64}


class MalformedFileError(ValueError):
    """The bytes are not what `pack` makes, or of another kind or version."""


def pack(kind: str, arrays: Mapping[str, Array]) -> Content:
    """One-dimensional arrays of whole numbers, little endian. `kind` says what they are and in which version."""
    places: list[tuple[str, str, int, int]] = []
    offset = 0
    for name, array in arrays.items():
        code = array.dtype.str[1:]
        if code not in _TYPES or array.ndim != 1:
            raise ValueError(f"array {name}: {array.dtype} in {array.ndim} dimensions")
        places.append((name, code, offset, len(array)))
        offset = _aligned(offset + array.nbytes)
    header = json.dumps({"kind": kind, "arrays": places}).encode()
    blocks: list[bytes | memoryview] = [_MAGIC, len(header).to_bytes(8, "little"), header]
    blocks.append(bytes(_aligned(16 + len(header)) - 16 - len(header)))
    for array in arrays.values():
        blocks.append(raw(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)))
        blocks.append(bytes(_aligned(array.nbytes) - array.nbytes))
    return Content.of(*blocks)


def raw(array: Array) -> memoryview:
    """The bytes of an array where they lie."""
    return memoryview(array.reshape(-1).view(np.uint8).data)


def unpack(content: memoryview, kind: str) -> dict[str, Array]:
    """Views into `content`, read-only where it is. Raises MalformedFileError."""
    if content[:8] != _MAGIC:
        raise MalformedFileError("not an index file")
    length = int.from_bytes(content[8:16], "little")
    try:
        header = json.loads(bytes(content[16 : 16 + length]))
        if header["kind"] != kind:
            raise MalformedFileError(f"the file holds {header['kind']!r}, not {kind!r}")
        places = [(str(name), _TYPES[code], int(at), int(size)) for name, code, at, size in header["arrays"]]
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedFileError(f"the header cannot be read: {error}") from error
    body = content[_aligned(16 + length) :]
    return {name: _view(body, type_, at, size) for name, type_, at, size in places}


def _view(body: memoryview, type_: Any, at: int, size: int) -> Array:
    nbytes = size * np.dtype(type_).itemsize
    if at < 0 or size < 0 or at % _ALIGNMENT or at + nbytes > len(body):
        raise MalformedFileError("an array lies outside of the file")
    return np.frombuffer(body, np.dtype(type_).newbyteorder("<"), size, at)


def _aligned(offset: int) -> int:
    return math.ceil(offset / _ALIGNMENT) * _ALIGNMENT
