"""A ZIP archive is looked at before anything of it is unpacked."""

from __future__ import annotations

import io
import zipfile
from pathlib import PurePosixPath

from contracts.errors import InvalidRequestError
from rag.ingestion.formats.limits import MAX_ARCHIVE_BYTES, MAX_ARCHIVE_FILES, MAX_ARCHIVE_RATIO

MEBIBYTE = 1024 * 1024
_DOCTYPES = tuple("<!DOCTYPE".encode(encoding) for encoding in ("ascii", "utf-16-le", "utf-16-be"))


def open_archive(content: bytes) -> zipfile.ZipFile:
    """Raises InvalidRequestError for one that is damaged, encrypted, a bomb, or names places outside of itself."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise InvalidRequestError("the file is damaged: its archive cannot be opened") from error
    entries = archive.infolist()
    if len(entries) > MAX_ARCHIVE_FILES:
        raise InvalidRequestError(f"the file's archive has more than {MAX_ARCHIVE_FILES} entries")
    names: set[str] = set()
    for entry in entries:
        _check_name(entry.filename)
        if entry.flag_bits & 0x1:
            raise InvalidRequestError("the file is protected by a password")
        if entry.filename in names:
            raise InvalidRequestError("the file's archive has an entry twice")
        names.add(entry.filename)
    _check_size(sum(entry.file_size for entry in entries), len(content))
    return archive


def check_no_doctype(archive: zipfile.ZipFile) -> None:
    """Office files have no DOCTYPE; one is there to define entities. Raises InvalidRequestError."""
    for entry in archive.infolist():
        if entry.filename.endswith((".xml", ".rels")):
            try:
                data = archive.read(entry)
            except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError) as error:
                raise InvalidRequestError("the file is damaged: a part of its archive cannot be read") from error
            if any(mark in data for mark in _DOCTYPES):
                raise InvalidRequestError("the file's XML has a DOCTYPE, which such a file never needs")


def _check_name(name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
        raise InvalidRequestError("the file's archive names a place outside of itself")


def _check_size(unpacked: int, packed: int) -> None:
    if unpacked > MAX_ARCHIVE_BYTES or (unpacked > MEBIBYTE and unpacked > packed * MAX_ARCHIVE_RATIO):
        raise InvalidRequestError(f"the file unpacks to {unpacked} bytes, more than it may")
