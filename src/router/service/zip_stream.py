"""A ZIP archive that is sent while it is written: APPNOTE 6.3.9 with data descriptors and ZIP64 entries."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import orjson

CHUNK_BYTES = 65_536
"""How much uncompressed text is gathered before it is compressed: with one line more, all that is held of a file."""
IN_THREAD_BYTES = 8_192
"""From here on compressing takes longer than the way to a thread and back."""
MANIFEST = "manifest.json"

Lines = AsyncGenerator[bytes, None]


@dataclass(frozen=True, slots=True)
class FileSum:
    """Of a file's uncompressed bytes."""

    sha256: str
    bytes: int
    lines: int


async def zip_stream(
    files: AsyncGenerator[tuple[str, Lines], None], header: Mapping[str, object], modified: datetime
) -> AsyncGenerator[bytes, None]:
    """The bytes of an archive of `files`, each a name and its lines (with their line ends), in pieces of any size.

    `manifest.json` comes last: `header` and `files`, a FileSum by name. An error of a source is raised as it is, before
    the archive's directory was sent, so what arrived opens nowhere. However this ends, the sources are closed.
    """
    sink = _Sink()
    sums: dict[str, FileSum] = {}
    # Left by an error, both `with` still write their ends: into the sink, which nobody empties any more.
    with ZipFile(sink, "w") as archive:  # type: ignore[call-overload]  # typeshed asks for what only seekable files need
        async with aclosing(files):
            async for name, lines in files:
                member = _Member(archive, name, modified)
                with member.handle:
                    async with aclosing(lines), aclosing(_chunks(lines)) as chunks:
                        async for chunk in chunks:
                            await _add(member, chunk)
                            if piece := sink.take():
                                yield piece
                sums[name] = member.sum()
        about = {**header, "files": {name: asdict(of_file) for name, of_file in sums.items()}}
        manifest = _Member(archive, MANIFEST, modified)
        with manifest.handle:
            manifest.handle.write(orjson.dumps(about, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    yield sink.take()


class _Sink:
    """What zipfile writes to. It has neither `seek` nor `tell`: that makes zipfile write data descriptors."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


class _Member:
    """One file of the archive while it is written."""

    def __init__(self, archive: ZipFile, name: str, modified: datetime) -> None:
        entry = ZipInfo(name, modified.astimezone(UTC).timetuple()[:6])
        entry.compress_type = ZIP_DEFLATED
        entry.external_attr = 0o600 << 16
        # The size is not known beforehand, and without ZIP64 4 GiB would be the end.
        self.handle = archive.open(entry, "w", force_zip64=True)
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._lines = 0

    def add(self, chunk: _Chunk) -> None:
        self._digest.update(chunk.data)
        self._bytes += len(chunk.data)
        self._lines += chunk.lines
        self.handle.write(chunk.data)

    def sum(self) -> FileSum:
        return FileSum(self._digest.hexdigest(), self._bytes, self._lines)


class _Chunk:
    def __init__(self) -> None:
        self.data = bytearray()  # and not the lines themselves: orjson leaves 4 KiB allocated for each
        self.lines = 0

    def append(self, line: bytes) -> None:
        self.data += line
        self.lines += 1


async def _chunks(lines: Lines) -> AsyncGenerator[_Chunk, None]:
    chunk = _Chunk()
    async for line in lines:
        chunk.append(line)
        if len(chunk.data) >= CHUNK_BYTES:
            yield chunk
            chunk = _Chunk()
    if chunk.lines:
        yield chunk


async def _add(member: _Member, chunk: _Chunk) -> None:
    if len(chunk.data) < IN_THREAD_BYTES:
        member.add(chunk)
    else:
        await _to_its_end(partial(member.add, chunk))


async def _to_its_end(work: Callable[[], None]) -> None:
    """In a thread. Cancelled, it still waits (some milliseconds): the archive is not closed under the thread."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(running)
    finally:
        if not running.done():
            await asyncio.wait({running})
