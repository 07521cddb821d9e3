"""The data directory: everything the local stack keeps, and the identity of the stack that keeps it."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from cli.errors import CliError

NEEDED_BYTES = 500 * 1024 * 1024
_DEFAULT = Path(".atrium")


@dataclass(frozen=True)
class DataDir:
    path: Path

    @classmethod
    def at(cls, chosen: Path | None) -> DataDir:
        return cls((chosen or _DEFAULT).expanduser().resolve())

    @property
    def instance(self) -> str:
        """Names the stack of this directory in the environment of its processes; the same at every start."""
        return hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def valkey(self) -> Path:
        return self.path / "valkey"

    @property
    def objects(self) -> Path:
        """The object store's folder, made by the services; what is in it belongs to tenants."""
        return self.path / "objects"

    @property
    def rag_cache(self) -> Path:
        """The RAG service's copies of snapshots, made by it; may be removed while it does not run."""
        return self.path / "rag-cache"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def secrets(self) -> Path:
        return self.path / "secrets.json"

    @property
    def run_file(self) -> Path:
        return self.path / "run.json"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def examples_loaded(self) -> Path:
        return self.path / "examples-loaded"

    def create(self) -> None:
        """Raises CliError where it cannot be made, or where the disk has no room for what comes into it."""
        try:
            self.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
        except OSError as error:
            raise disk_error(error) or CliError(f"the data directory cannot be used: {error}") from error
        self.require_space()

    def require_space(self, needed_bytes: int = NEEDED_BYTES) -> None:
        free = shutil.disk_usage(self.path).free
        if free < needed_bytes:
            raise CliError(
                f"no disk space: {free >> 20} MB free at {self.path}, {needed_bytes >> 20} MB are needed",
                hint="make room, or choose another place with --data-dir",
            )


def disk_error(error: OSError) -> CliError | None:
    """The sentence for a full disk or an exhausted quota; None for any other fault."""
    if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
        return None
    place = f" at {error.filename}" if error.filename else ""
    return CliError(f"no disk space left{place}", hint="make room, or choose another place with --data-dir")
