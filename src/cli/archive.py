"""An export on disk: whole, and what its manifest says."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

from cli.errors import CliError

MANIFEST = "manifest.json"
FORMAT = "atrium-export"
_PIECE_BYTES = 1 << 20
_MANIFEST_BYTES = 1 << 20


class ArchiveError(CliError):
    """The file is no export, or not the whole of it."""


@dataclass(frozen=True)
class Archive:
    """`lines`: how many each file has."""

    tenant_id: str
    lines: Mapping[str, int]


def check_archive(path: Path, *, name: str | None = None) -> Archive:
    """Reads all of it. Raises ArchiveError, which calls it `name`, where a file is missing, additional, or has another
    SHA-256 than said."""
    called = name or str(path)
    try:
        with ZipFile(path) as archive:
            about = _manifest(archive)
            sums = {str(file): said for file, said in dict(about["files"]).items()}
            if sorted([*sums, MANIFEST]) != sorted(archive.namelist()):
                raise ArchiveError(f"{called} has other files than its manifest says")
            for file, said in sums.items():
                with archive.open(file) as member:
                    if _sha256(member) != said["sha256"]:
                        raise ArchiveError(f"{file} in {called} is not what was exported: its SHA-256 differs")
            return Archive(str(about["tenant_id"]), {file: int(said["lines"]) for file, said in sums.items()})
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"{called} is no whole archive: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ArchiveError(f"{called} is no export: its manifest cannot be read") from error


def _manifest(archive: ZipFile) -> dict[str, Any]:
    with archive.open(MANIFEST) as file:
        about = json.loads(file.read(_MANIFEST_BYTES))
    if about["format"] != FORMAT:
        raise ValueError("another format")
    found: dict[str, Any] = about
    return found


def _sha256(member: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := member.read(_PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()
