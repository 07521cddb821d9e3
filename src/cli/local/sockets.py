"""A short private folder for Unix sockets: their paths may have 107 bytes, data directories may be far longer."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from cli.errors import CliError

_MAX_PATH = 107 - len("/.s.PGSQL.5432")


class SocketFolderError(CliError):
    """The folder belongs to somebody else, or is not a folder."""


def remove_socket_folder(data_dir: Path) -> None:
    """When the server has ended: the folder lies outside the data directory."""
    shutil.rmtree(socket_folder(data_dir), ignore_errors=True)


def socket_folder(data_dir: Path) -> Path:
    """The folder of this data directory, made (0700) if it is missing. Raises SocketFolderError."""
    name = f"atrium-{os.getuid()}-{hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:12]}"
    folder = Path(tempfile.gettempdir()) / name
    if len(os.fsencode(folder)) > _MAX_PATH:
        folder = Path("/tmp") / name  # noqa: S108  the name is fixed, so its owner is checked below  # nosec B108
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise SocketFolderError(f"{folder} is not a private folder of this user: remove it, or set TMPDIR")
    return folder
