"""A chain in files: an export, its `audit.jsonl`, or the object store's archive of one tenant."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO
from zipfile import ZipFile, is_zipfile

from cli.archive import check_archive
from cli.chain.check import ChainCheck, Verified
from cli.errors import CliError
from tenancy.audit import AuditEvent, Head, event_from_json

MEMBER = "audit.jsonl"
_LINE_BYTES = 4 << 20
_UNREADABLE = (ValueError, TypeError, OverflowError, RecursionError)
"""What a line that somebody made up can lead to, in its JSON, its types or its times."""


class ChainFiles:
    """Files that follow one another; a folder stands for the .jsonl files in it, in the order of their names."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files = [file for path in paths for file in _files(path)]
        if not self._files:
            raise CliError(f"no .jsonl files in {paths[0]}")
        self.name = str(paths[0]) if len(paths) == 1 else f"{paths[0]} … {paths[-1]}"

    def verify(self) -> Verified:
        """Reads all of it. May begin in the middle of a chain. Raises BrokenChainError, CliError."""
        for file in filter(is_zipfile, self._files):
            check_archive(file)
        events = self.events()
        try:
            first = next(events, None)
            check = _from(self.name, first) if first else None
        except _UNREADABLE as error:
            raise CliError(f"{self.name} does not begin with an audit event") from error
        if first is None or check is None:
            raise CliError(f"{self.name} holds no audit event")
        event: AuditEvent | None = first
        try:
            while event is not None:
                check.add(event)
                event = next(events, None)
        except _UNREADABLE as error:
            raise check.unreadable() from error
        return check.verified()

    def events(self) -> Iterator[AuditEvent]:
        """Raises one of `_UNREADABLE` for a line that is none."""
        for file in self._files:
            for line in _lines(file):
                yield event_from_json(json.loads(line))


def _from(name: str, first: AuditEvent) -> ChainCheck:
    # Before the first event of all stands nothing, and that is known; elsewhere its own word is all there is.
    before = Head() if first.seq == 1 else Head(first.seq - 1, first.prev_hash)
    return ChainCheck(name, first.tenant_id, before)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob("*.jsonl"))
    if not path.is_file():
        raise CliError(f"there is no file {path}")
    return [path]


def _lines(path: Path) -> Iterator[bytes]:
    if not is_zipfile(path):
        with path.open("rb") as file:
            yield from _bounded(file)
        return
    with ZipFile(path) as archive, archive.open(MEMBER) as member:
        yield from _bounded(member)


def _bounded(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(_LINE_BYTES):
        if line.strip():
            yield line
