"""The previous release: what is recorded of it, its code out of the history, and the migrations since."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event

from cli.local.postgres import migrate

ROOT = Path(__file__).parents[2]
VERSIONS = ROOT / "migrations" / "versions"
_RECORD = ROOT / "migrations" / "PREVIOUS_RELEASE"


@dataclass(frozen=True)
class Release:
    commit: str
    revision: str

    @classmethod
    def previous(cls) -> Release:
        lines = [line.split() for line in _RECORD.read_text(encoding="utf-8").splitlines() if line[:1] not in {"#", ""}]
        found = dict(lines)
        return cls(found["commit"], found["revision"])


@dataclass(frozen=True)
class Migration:
    """`sql`: what its upgrade runs. `contract`: the revision whose expansion it ends, where it is marked so."""

    revision: str
    sql: str
    contract: str | None


def why_no_history(commit: str, root: Path = ROOT) -> str | None:
    """Why the commit's code cannot be had here; None where it can."""
    if _git(root, "rev-parse", "--git-dir").returncode != 0:
        return "this is no git repository: the previous release's code is not here"
    if _git(root, "cat-file", "-e", f"{commit}^{{commit}}").returncode == 0:
        return None
    return f"this clone has not {commit[:12]}: git fetch --unshallow, or a history that was not rewritten"


def unpack(commit: str, target: Path, paths: Sequence[str], root: Path = ROOT) -> None:
    """Raises LookupError where the whole history has no such commit."""
    packed = _git(root, "archive", "--format=tar", commit, *paths)
    if packed.returncode != 0:
        raise LookupError(f"migrations/PREVIOUS_RELEASE names {commit}: {packed.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(target, filter="data")


def migrations_after(revision: str, owner_url: str) -> Iterator[Migration]:
    """Oldest first, as they run: over an empty database, which is at the newest revision afterwards."""
    config = Config(ROOT / "alembic.ini")
    scripts = {script.revision: script for script in ScriptDirectory.from_config(config).walk_revisions()}
    assert revision in scripts, f"migrations/PREVIOUS_RELEASE names the revision {revision}, which is none"
    order = list(reversed(scripts))
    migrate(owner_url, revision)
    for later in order[order.index(revision) + 1 :]:
        with _statements() as told:
            migrate(owner_url, later)
        yield Migration(later, ";\n".join(told), getattr(scripts[later].module, "contract", None))


@contextmanager
def _statements() -> Iterator[list[str]]:
    """What any engine of this process is asked meanwhile, but for Alembic's own bookkeeping."""
    told: list[str] = []

    def note(*arguments: Any) -> None:
        if "alembic_version" not in arguments[2]:
            told.append(arguments[2])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield told
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(root), *arguments], check=False, capture_output=True, timeout=60)
