"""The archive as a file: members written with their sums, and read back only where everything is as the manifest says.

A ZIP, so that any tool can look into it. Nothing of a member's name is ever a path here.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, LargeZipFile, ZipFile, ZipInfo

from pydantic import ValidationError

from cli.backup.manifest import MANIFEST, MAX_MANIFEST_BYTES, BackupError, Manifest, Member

_PIECE_BYTES = 1 << 20
_QUICKLY = 1
_ENCRYPTED = 0x1
_MOMENT = (1980, 1, 1, 0, 0, 0)
_UNREADABLE = (BadZipFile, LargeZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError)


class Writer:
    def __init__(self, file: IO[bytes]) -> None:
        self._zip = ZipFile(file, "w", ZIP_DEFLATED, compresslevel=_QUICKLY)

    def add(self, name: str, pieces: Iterable[bytes]) -> Member:
        digest, size = hashlib.sha256(), 0
        with self._zip.open(_entry(name), "w", force_zip64=True) as member:
            for piece in pieces:
                member.write(piece)
                digest.update(piece)
                size += len(piece)
        return Member(bytes=size, sha256=digest.hexdigest())

    def close(self, manifest: Manifest) -> None:
        """The manifest is the last member: a file that was cut off has none. Raises BackupError."""
        said = manifest.model_dump_json(indent=1).encode()
        if len(said) > MAX_MANIFEST_BYTES:
            raise BackupError(f"too many objects for one backup: {len(manifest.objects):,}")
        self.add(MANIFEST, [said])
        self._zip.close()


class Reader:
    """An archive whose manifest could be read and names just what is in it. `check` reads all the rest."""

    def __init__(self, archive: ZipFile, manifest: Manifest, called: str) -> None:
        self._zip, self.manifest, self._called = archive, manifest, called
        self._members = manifest.members()

    def check(self) -> None:
        """Raises BackupError at the first member that is not what the manifest says."""
        for name in self._members:
            for _ in self.pieces(name):
                pass

    def pieces(self, name: str) -> Iterator[bytes]:
        """All of a member; raises BackupError before it says that was all, where it is not what was written."""
        said, digest, size = self._members[name], hashlib.sha256(), 0
        with unreadable(self._called), self._zip.open(name) as member:
            while piece := member.read(_PIECE_BYTES):
                size += len(piece)
                if size > said.bytes:
                    break
                digest.update(piece)
                yield piece
        if size != said.bytes or digest.hexdigest() != said.sha256:
            raise BackupError(f"{name} in {self._called} is not what was backed up: its SHA-256 differs")


@contextmanager
def opened(path: Path) -> Iterator[Reader]:
    """Raises BackupError for what is no backup, and before anything is unpacked that would be more than it says."""
    called = path.name
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise BackupError(f"there is no file {path}") from None
    except (IsADirectoryError, PermissionError) as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}") from error
    with file:
        with unreadable(called):
            archive = ZipFile(file)
        with archive:
            entries = _entries(archive, path.stat().st_size, called)
            manifest = _manifest(archive, entries, called)
            _compare(entries, manifest, called)
            yield Reader(archive, manifest, called)


@contextmanager
def unreadable(called: str) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise BackupError(f"{called} is no whole backup: {error}") from error


def _entries(archive: ZipFile, file_bytes: int, called: str) -> dict[str, ZipInfo]:
    listed = archive.infolist()
    found = {entry.filename: entry for entry in listed}
    if len(found) != len(listed):
        raise BackupError(f"{called} is no backup: a member is in it twice")
    if sum(entry.compress_size for entry in listed) > file_bytes:
        raise BackupError(f"{called} is no backup: its members overlap")
    if any(entry.flag_bits & _ENCRYPTED or entry.compress_type not in {ZIP_STORED, ZIP_DEFLATED} for entry in listed):
        raise BackupError(f"{called} is no backup: it is packed in another way")
    return found


def _manifest(archive: ZipFile, entries: dict[str, ZipInfo], called: str) -> Manifest:
    entry = entries.get(MANIFEST)
    if entry is None or entry.file_size > MAX_MANIFEST_BYTES:
        raise BackupError(f"{called} is no backup: it has no manifest")
    with unreadable(called), archive.open(entry) as member:
        said = member.read(MAX_MANIFEST_BYTES + 1)
    try:
        return Manifest.model_validate_json(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:100]
        raise BackupError(f"the manifest of {called} cannot be read: {where} {first['msg']}") from error


def _compare(entries: dict[str, ZipInfo], manifest: Manifest, called: str) -> None:
    members = manifest.members()
    if entries.keys() != {MANIFEST, *members}:
        raise BackupError(f"{called} has other members than its manifest says")
    for name, said in members.items():
        if entries[name].file_size != said.bytes:
            raise BackupError(f"{name} in {called} is not what was backed up: its size differs")


def _entry(name: str) -> ZipInfo:
    entry = ZipInfo(name, _MOMENT)
    entry.compress_type, entry.external_attr = ZIP_DEFLATED, 0o600 << 16
    return entry
