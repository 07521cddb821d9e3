"""A file that takes its name only when it is whole, private from its first byte, written by one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cli.errors import CliError


@contextmanager
def whole_file(target: Path) -> Iterator[IO[bytes]]:
    """On an error nothing is left, and the target as it was. What a killed process left is written over."""
    draft = target.with_name(f".{target.name}.unfinished")
    with os.fdopen(_locked(draft, target), "w+b") as file:
        try:
            file.truncate(0)
            yield file
            file.flush()
            os.fsync(file.fileno())
            draft.replace(target)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _locked(draft: Path, target: Path) -> int:
    while True:
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if draft.exists() and draft.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise CliError(f"another command is just writing {target}") from None
        os.close(descriptor)  # the one before us finished in between: this is its file, not ours
