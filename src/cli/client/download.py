"""A download that becomes a file only when it is whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, TypeVar

from cli.errors import CliError

T = TypeVar("T")
Progress = Callable[[int], None]
"""Is told how many bytes have come."""


def save(pieces: Iterable[bytes], target: Path, check: Callable[[Path], T], progress: Progress) -> T:
    """Writes beside the target, private; `check` raises for what is not whole; then it takes the target's name, in
    one step. However this fails, the target is as before and nothing is left beside it. Returns what `check` does."""
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            copy(pieces, file, progress)
            file.flush()
            os.fsync(file.fileno())
        checked = check(draft)
        draft.replace(target)
        _sync_folder(target.parent)
    finally:
        draft.unlink(missing_ok=True)
    return checked


def copy(pieces: Iterable[bytes], file: IO[bytes], progress: Progress) -> int:
    """Returns the bytes."""
    size = 0
    for piece in pieces:
        file.write(piece)
        size += len(piece)
        progress(size)
    return size


def require_writable(target: Path) -> None:
    """Before anything is asked for. Raises CliError."""
    if target.is_dir():
        raise CliError(f"{target} is a folder", hint="name a file in it")
    if not target.parent.is_dir():
        raise CliError(f"there is no folder {target.parent}")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise CliError(f"the folder {target.parent} is not writable")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
