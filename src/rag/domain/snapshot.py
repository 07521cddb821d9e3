"""What a snapshot of a tenant's index is: where it ends in the log, and the manifest that its files are held to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contracts.tenant import TenantId
from rag.domain.corpus import CorpusVersion

FORMAT = "1"
"""Of the manifest. What is said of the files goes behind it, so that no release reads another's files wrongly."""
PART_BYTES = 32 * 1024 * 1024
"""Of the files, end to end, so much goes into one object: one for a small tenant, and none too large for one call."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class OtherFormatError(Exception):
    """The snapshot is whole, and of another release of this service."""

    def __init__(self, written_at: datetime) -> None:
        super().__init__("the snapshot is of another format")
        self.written_at = written_at


class DamagedSnapshotError(ValueError):
    """The bytes are not those that were written. The message names the file, never its content."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Up to where a tenant's log is compacted. `digest` is the SHA-256 of the manifest; None: nothing is stored."""

    version: CorpusVersion
    digest: bytes | None
    chunks: int


@dataclass(frozen=True, slots=True)
class Copy:
    """What a replica holds of a tenant: the files of the snapshot with this manifest, or an index in memory of the
    tenant that was made at `born`."""

    tenant_id: TenantId
    digest: bytes | None = None
    born: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stale:
    """A copy that is not of the newest snapshot. `gone`: nor of a tenant that there is."""

    tenant_id: TenantId
    gone: bool


@dataclass(frozen=True, slots=True)
class SnapshotFiles:
    """Where a snapshot's verified files lie, and where they came from: `disk` or `object_store`."""

    paths: Mapping[str, Path]
    source: str


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes, piece after piece: a large one is never in memory as a whole. `blocks` begins anew each time."""

    size: int
    blocks: Callable[[], Iterable[bytes | memoryview]]

    @classmethod
    def of(cls, *blocks: bytes | memoryview) -> Content:
        return cls(sum(map(len, blocks)), lambda: blocks)

    def to_bytes(self) -> bytes:
        return b"".join(self.blocks())


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or an object: what its bytes must be."""

    name: str
    size: int
    sha256: str

    @classmethod
    def of(cls, name: str, data: bytes | memoryview) -> Entry:
        return cls(name, len(data), hashlib.sha256(data).hexdigest())

    @classmethod
    def of_content(cls, name: str, content: Content) -> Entry:
        digest = hashlib.sha256()
        for block in content.blocks():
            digest.update(block)
        return cls(name, content.size, digest.hexdigest())

    def check(self, data: bytes | memoryview) -> None:
        """Raises DamagedSnapshotError."""
        if len(data) != self.size or hashlib.sha256(data).hexdigest() != self.sha256:
            raise DamagedSnapshotError(f"{self.name} is not what the manifest says")


@dataclass(frozen=True, slots=True)
class Manifest:
    """`parts` are objects that hold the bytes of `files` end to end, compressed; `files` is said of the plain bytes."""

    tenant_id: TenantId
    version: CorpusVersion
    model: str
    dimension: int
    chunks: int
    files: Sequence[Entry]
    parts: Sequence[Entry]
    written_at: datetime
    layout: str = FORMAT

    def to_bytes(self) -> bytes:
        values = {
            "format": self.layout,
            "tenant_id": str(self.tenant_id),
            "born": self.version.born.isoformat(),
            "seq": self.version.seq,
            "model": self.model,
            "dimension": self.dimension,
            "chunks": self.chunks,
            "files": [asdict(entry) for entry in self.files],
            "parts": [asdict(entry) for entry in self.parts],
            "written_at": self.written_at.isoformat(),
        }
        return json.dumps(values, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes, layout: str = FORMAT) -> Manifest:
        """Raises OtherFormatError for a manifest of another, and DamagedSnapshotError for what `to_bytes` did not
        write."""
        try:
            values = json.loads(data)
            if str(values["format"]) != layout:
                raise OtherFormatError(datetime.fromisoformat(values["written_at"]))
            return cls._from_values(values, layout)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedSnapshotError("the manifest cannot be read") from error

    @classmethod
    def _from_values(cls, values: Mapping[str, Any], layout: str) -> Manifest:
        return cls(
            tenant_id=TenantId(values["tenant_id"]),
            version=CorpusVersion(datetime.fromisoformat(values["born"]), int(values["seq"])),
            model=str(values["model"]),
            dimension=int(values["dimension"]),
            chunks=int(values["chunks"]),
            files=tuple(_entry(one) for one in values["files"]),
            parts=tuple(_entry(one) for one in values["parts"]),
            written_at=datetime.fromisoformat(values["written_at"]),
            layout=layout,
        )


def digest_of(manifest: bytes) -> bytes:
    return hashlib.sha256(manifest).digest()


def snapshot_folder(model: str, version: CorpusVersion) -> str:
    """The key under which a snapshot's objects lie. A later tenant of the same name has another."""
    return f"{model_folder(model)}/{_token(version.born.astimezone(UTC).isoformat())}/{version.seq:012d}"


def model_folder(model: str) -> str:
    return f"rag/snapshots/{_token(model)}"


def _token(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _entry(values: Mapping[str, Any]) -> Entry:
    entry = Entry(str(values["name"]), int(values["size"]), str(values["sha256"]))
    if not _NAME.fullmatch(entry.name) or entry.size < 0:
        raise DamagedSnapshotError("the manifest names what is no file")
    return entry
