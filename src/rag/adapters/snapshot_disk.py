"""Snapshots on this machine's disk: what an evicted tenant comes back from in milliseconds.

Nothing here is believed: every byte is compared with the manifest before it is used, and the manifest with the digest
that PostgreSQL keeps. So nothing has to be flushed either. The methods block: they are for a thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from contracts.tenant import InvalidTenantIdError, TenantId
from rag.domain.snapshot import FORMAT, DamagedSnapshotError, Entry, Manifest, digest_of

_MANIFEST = "manifest.json"
_UNFINISHED = ".new-"
_SPARE = 4_096
"""Of each snapshot, for its folder and its manifest."""


class SnapshotDisk:
    """At most `limit_bytes` of snapshots below `root`; the one not asked for longest goes first.

    An index that still reads a removed file has it open: the space is free when the index goes.
    """

    def __init__(self, root: Path, limit_bytes: int, *, layout: str = FORMAT) -> None:
        self._root = root
        self._limit = limit_bytes
        self._layout = layout
        self._kept: OrderedDict[Path, int] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def survey(self) -> None:
        """Find what an earlier process has left: snapshots are kept, halves of one are removed."""
        for unfinished in self._root.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        found = sorted((_moment(path), path.parent) for path in self._root.glob(f"*/*/{_MANIFEST}"))
        for _, folder in found:
            self._note(folder)
        self._make_room()

    def read(self, tenant_id: TenantId, digest: bytes) -> Mapping[str, Path] | None:
        """The files, each with the bytes of the manifest that has this digest. Raises DamagedSnapshotError, and
        OtherFormatError."""
        folder = self._folder(tenant_id, digest)
        try:
            text = (folder / _MANIFEST).read_bytes()
            if digest_of(text) != digest:
                raise DamagedSnapshotError("the manifest on the disk is not the one that was written")
            paths = {entry.name: _checked(folder / "files" / entry.name, entry) for entry in self._manifest(text).files}
        except FileNotFoundError:
            return None
        with contextlib.suppress(OSError):
            os.utime(folder / _MANIFEST)
        self._note(folder)
        return paths

    def keep(self, tenant_id: TenantId, manifest: bytes, parts: Iterable[bytes | memoryview]) -> None:
        """In the place of whatever there is of the tenant. `parts` hold the files end to end. Raises OSError."""
        folder = self._folder(tenant_id, digest_of(manifest))
        unfinished = self._root / (_UNFINISHED + secrets.token_hex(8))
        try:
            (unfinished / "files").mkdir(mode=0o700, parents=True)
            _write_files(unfinished / "files", self._manifest(manifest).files, parts)
            (unfinished / _MANIFEST).write_bytes(manifest)
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(OSError):  # the same snapshot is there already, from a load at the same time
                unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        self.forget(tenant_id, but=digest_of(manifest))
        self._note(folder)
        self._make_room()

    def forget(self, tenant_id: TenantId, *, but: bytes | None = None) -> None:
        kept = self._folder(tenant_id, but) if but else None
        for folder in (self._root / str(tenant_id)).glob("*"):
            if folder != kept:
                self._remove(folder)
        if kept is None:
            with contextlib.suppress(OSError):
                (self._root / str(tenant_id)).rmdir()

    def held(self) -> list[tuple[TenantId, bytes]]:
        """Whose snapshots there are, with the digests of their manifests; those not asked for longest first."""
        with self._lock:
            folders = list(self._kept)
        found = []
        for folder in folders:
            with contextlib.suppress(InvalidTenantIdError, ValueError):
                found.append((TenantId(folder.parent.name), bytes.fromhex(folder.name)))
        return found

    @property
    def nbytes(self) -> int:
        """Of all snapshots that are known of."""
        with self._lock:
            return self._bytes

    def _note(self, folder: Path) -> None:
        """Asked for just now."""
        size = _size(folder)
        with self._lock:
            self._bytes += size - self._kept.pop(folder, 0)
            self._kept[folder] = size

    def _make_room(self) -> None:
        while True:
            with self._lock:
                if self._bytes <= self._limit or len(self._kept) <= 1:
                    return
                folder = next(iter(self._kept))
            self._remove(folder)

    def _remove(self, folder: Path) -> None:
        with self._lock:
            self._bytes -= self._kept.pop(folder, 0)
        # Renamed first, so that nobody finds half of it.
        grave = self._root / (_UNFINISHED + secrets.token_hex(8))
        with contextlib.suppress(OSError):
            folder.rename(grave)
            shutil.rmtree(grave, ignore_errors=True)

    def _manifest(self, text: bytes) -> Manifest:
        return Manifest.from_bytes(text, self._layout)

    def _folder(self, tenant_id: TenantId, digest: bytes) -> Path:
        return self._root / str(tenant_id) / digest.hex()


def _checked(path: Path, entry: Entry) -> Path:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size != entry.size:
            raise DamagedSnapshotError(f"{entry.name} on the disk does not have its size")
        if hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256:
            raise DamagedSnapshotError(f"{entry.name} on the disk is not what was written")
    return path


def _write_files(folder: Path, files: Iterable[Entry], parts: Iterable[bytes | memoryview]) -> None:
    """Raises DamagedSnapshotError for a file that does not come to what the manifest says."""
    pieces: Iterator[memoryview] = (memoryview(part) for part in parts if part)
    rest = memoryview(b"")
    for entry in files:
        hashed, missing = hashlib.sha256(), entry.size
        with (folder / entry.name).open("xb") as file:
            while missing:
                rest = rest or next(pieces, memoryview(b""))
                if not rest:
                    raise DamagedSnapshotError(f"{entry.name} is cut short")
                piece, rest = rest[:missing], rest[missing:]
                hashed.update(piece)
                file.write(piece)
                missing -= len(piece)
        if hashed.hexdigest() != entry.sha256:
            raise DamagedSnapshotError(f"{entry.name} is not what the manifest says")


def _size(folder: Path) -> int:
    with contextlib.suppress(OSError):
        return _SPARE + sum(path.stat().st_size for path in (folder / "files").iterdir())
    return _SPARE


def _moment(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0
