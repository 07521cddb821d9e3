"""What parent and worker say to each other: a length, a JSON head, and raw bytes. Nothing in it can run: no pickle."""

from __future__ import annotations

import struct
from typing import IO, Any

import orjson

_SIZES = struct.Struct("!QQ")


class ClosedError(Exception):
    """The other side is gone."""


def write_frame(stream: IO[bytes], head: Any, content: bytes = b"") -> None:
    """Raises ClosedError."""
    said = orjson.dumps(head)
    try:
        stream.write(_SIZES.pack(len(said), len(content)))
        stream.write(said)
        stream.write(content)
        stream.flush()
    except (OSError, ValueError) as error:
        raise ClosedError from error


def read_frame(stream: IO[bytes], *, at_most: int) -> tuple[Any, bytes]:
    """Raises ClosedError; ValueError for more than `at_most` bytes, or for what is no frame."""
    said, carried = _SIZES.unpack(_read(stream, _SIZES.size))
    if said + carried > at_most:
        raise ValueError("a frame is larger than it may be")
    return orjson.loads(_read(stream, said)), _read(stream, carried)


def _read(stream: IO[bytes], size: int) -> bytes:
    try:
        data = stream.read(size)
    except (OSError, ValueError) as error:
        raise ClosedError from error
    if len(data) < size:
        raise ClosedError
    return data
