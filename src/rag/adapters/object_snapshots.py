"""Snapshots in the object store, by way of this machine's disk.

A snapshot is a folder of objects: parts, which hold its files end to end, and a manifest with the SHA-256 of each file
and each part. The manifest is put last and only where there is none, so that of two writers of one version one has it;
and only the one whose SHA-256 PostgreSQL keeps is ever read.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from rag.adapters.snapshot_disk import SnapshotDisk
from rag.domain.corpus import CorpusVersion
from rag.domain.snapshot import (
    FORMAT,
    PART_BYTES,
    Content,
    DamagedSnapshotError,
    Entry,
    Manifest,
    Mark,
    OtherFormatError,
    SnapshotFiles,
    digest_of,
    model_folder,
    snapshot_folder,
)
from stores.objects import Objects

ANSWER_S = 1.0
SLOWEST_BYTES_PER_S = 4 * 1024 * 1024
"""A reader waits no longer for an object's answer, and then for its bytes: the log is quicker."""
ORPHAN_AGE = timedelta(minutes=1)
"""From a manifest's making to its mark a writer needs milliseconds: after this it is dead, or will be told it lost."""
QUICKLY = 1
"""Of zlib: texts and postings halve at any level, vectors hardly shrink at the highest. So the rows in PostgreSQL and
the snapshot together stay within twice the living rows."""
_MANIFEST = "manifest.json"

_logger = logging.getLogger("atrium.snapshots")


class _MissingPartError(Exception):
    """An object that the manifest names is not there."""


class ObjectSnapshots:
    """The SnapshotStore on an object store and a disk."""

    def __init__(
        self,
        objects: Objects,
        disk: SnapshotDisk,
        metrics: Metrics,
        *,
        now: Callable[[], datetime],
        layout: str = FORMAT,
    ) -> None:
        self._objects = objects
        self._disk = disk
        self._metrics = metrics
        self._now = now
        self._layout = layout

    async def fetch(self, tenant_id: TenantId, model: str, mark: Mark) -> SnapshotFiles | None:
        if mark.digest is None:
            return None
        found = await asyncio.to_thread(self._read_disk, tenant_id, mark.digest)
        if found is not None:
            return SnapshotFiles(found, "disk")
        folder = snapshot_folder(model, mark.version)
        manifest = await self._get(tenant_id, f"{folder}/{_MANIFEST}", ANSWER_S)
        if manifest is None:
            return None
        if digest_of(manifest) != mark.digest:
            raise DamagedSnapshotError("the manifest is not the one that was written")
        parts = self._manifest(manifest).parts
        if not await self._download(tenant_id, manifest, [(f"{folder}/{part.name}", part) for part in parts]):
            return None
        paths = await asyncio.to_thread(self._read_disk, tenant_id, mark.digest)
        if paths is None:
            raise OSError("the disk did not keep what was written to it")
        return SnapshotFiles(paths, "object_store")

    async def write(
        self,
        tenant_id: TenantId,
        model: str,
        version: CorpusVersion,
        shape: tuple[int, int],
        files: Mapping[str, Content],
    ) -> Mark | None:
        folder = snapshot_folder(model, version)
        chunks, dimension = shape
        parts: list[Entry] = []
        writer = secrets.token_hex(8)
        entries = await asyncio.to_thread(lambda: [Entry.of_content(name, content) for name, content in files.items()])
        pieces = cut(_blocks(files), PART_BYTES)
        for number in itertools.count():
            part = await asyncio.to_thread(_compressed, pieces)
            if part is None:
                break
            parts.append(await asyncio.to_thread(Entry.of, f"{writer}.{number:05d}", part))
            await self._objects.put(tenant_id, f"{folder}/{parts[-1].name}", part)
        manifest = Manifest(
            tenant_id, version, model, dimension, chunks, entries, parts, self._now(), self._layout
        ).to_bytes()
        if not await self._objects.put(tenant_id, f"{folder}/{_MANIFEST}", manifest, if_absent=True):
            for own in parts:
                await self._objects.delete(tenant_id, f"{folder}/{own.name}")
            return None
        await asyncio.to_thread(self._keep_quietly, tenant_id, manifest, files)
        return Mark(version, digest_of(manifest), chunks)

    async def sweep(self, tenant_id: TenantId, model: str, mark: Mark) -> None:
        current = snapshot_folder(model, mark.version)
        ours, life = model_folder(model), current.rpartition("/")[0]
        manifest = await self._objects.get(tenant_id, f"{current}/{_MANIFEST}")
        wanted = {f"{current}/{_MANIFEST}"}
        if manifest is not None and digest_of(manifest) == mark.digest:
            wanted |= {f"{current}/{part.name}" for part in self._manifest(manifest).parts}
        for key in await self._objects.list(tenant_id, f"{ours}/"):
            newer = key.startswith(f"{life}/") and key > f"{current}/~"  # somebody may be writing it just now
            if key not in wanted and not newer:
                await self._objects.delete(tenant_id, key)

    async def discard_orphan(self, tenant_id: TenantId, model: str, version: CorpusVersion) -> None:
        folder = snapshot_folder(model, version)
        manifest = await self._objects.get(tenant_id, f"{folder}/{_MANIFEST}")
        if manifest is not None and self._is_orphaned(manifest):
            await self._remove(tenant_id, folder)

    async def discard(self, tenant_id: TenantId, model: str, version: CorpusVersion) -> None:
        await self._remove(tenant_id, snapshot_folder(model, version))

    async def discard_model(self, tenant_id: TenantId, model: str) -> None:
        await self._remove(tenant_id, model_folder(model))

    async def held(self) -> Sequence[tuple[TenantId, bytes]]:
        return self._disk.held()

    async def forget(self, tenant_id: TenantId) -> None:
        await asyncio.to_thread(self._disk.forget, tenant_id)

    def _is_orphaned(self, manifest: bytes) -> bool:
        try:
            return _written_at(manifest, self._layout) < self._now() - ORPHAN_AGE
        except (DamagedSnapshotError, TypeError):  # a moment without a zone cannot be compared
            return True

    def _manifest(self, text: bytes) -> Manifest:
        return Manifest.from_bytes(text, self._layout)

    async def _remove(self, tenant_id: TenantId, folder: str) -> None:
        """Manifests first: without one the parts are nothing."""
        keys = await self._objects.list(tenant_id, f"{folder}/")
        for key in sorted(keys, key=lambda key: not key.endswith(_MANIFEST)):
            await self._objects.delete(tenant_id, key)

    async def _get(self, tenant_id: TenantId, key: str, within_s: float) -> bytes | None:
        try:
            async with asyncio.timeout(within_s):
                return await self._objects.get(tenant_id, key)
        except TimeoutError as error:
            raise DependencyDownError(
                "the object store does not answer", details={"dependency": "object_store"}, retry_after_s=2
            ) from error

    async def _download(self, tenant_id: TenantId, manifest: bytes, parts: list[tuple[str, Entry]]) -> bool:
        """From the store to the disk, one part in memory at a time. False where a part is missing."""
        loop = asyncio.get_running_loop()

        def arriving() -> Iterator[bytes]:
            for key, entry in parts:
                within_s = ANSWER_S + entry.size / SLOWEST_BYTES_PER_S
                got = asyncio.run_coroutine_threadsafe(self._get(tenant_id, key, within_s), loop).result()
                if got is None:
                    raise _MissingPartError(key)
                entry.check(got)
                yield zlib.decompressobj().decompress(got, PART_BYTES)

        try:
            await asyncio.to_thread(self._disk.keep, tenant_id, manifest, arriving())
        except _MissingPartError:
            return False
        return True

    def _read_disk(self, tenant_id: TenantId, digest: bytes) -> Mapping[str, Path] | None:
        """None also for what cannot be used: the object store has it whole."""
        try:
            return self._disk.read(tenant_id, digest)
        except OtherFormatError:
            self._disk.forget(tenant_id)
            return None
        except (DamagedSnapshotError, OSError) as error:
            reason = "damaged" if isinstance(error, DamagedSnapshotError) else "unreadable"
            self._metrics.count(names.SNAPSHOT_FAULT, place="disk", reason=reason)
            log(
                _logger, logging.WARNING, "a snapshot on the disk is of no use", tenant_id=str(tenant_id), reason=reason
            )
            self._disk.forget(tenant_id)
            return None

    def _keep_quietly(self, tenant_id: TenantId, manifest: bytes, files: Mapping[str, Content]) -> None:
        """So that this replica need not fetch what it has written. A full disk is no reason to fail."""
        try:
            self._disk.keep(tenant_id, manifest, _blocks(files))
        except OSError:
            self._metrics.count(names.SNAPSHOT_FAULT, place="disk", reason="full")
            self._disk.forget(tenant_id)


def _written_at(manifest: bytes, layout: str) -> datetime:
    try:
        return Manifest.from_bytes(manifest, layout).written_at
    except OtherFormatError as error:
        return error.written_at


def _blocks(files: Mapping[str, Content]) -> Iterator[bytes | memoryview]:
    for content in files.values():
        yield from content.blocks()


def _compressed(pieces: Iterator[bytes]) -> bytes | None:
    """The next piece. None behind the last."""
    piece = next(pieces, None)
    return None if piece is None else zlib.compress(piece, QUICKLY)


def cut(blocks: Iterable[bytes | memoryview], size: int) -> Iterator[bytes]:
    """The blocks end to end, in parts of `size` bytes, the last one smaller."""
    held = bytearray()
    for block in blocks:
        view = memoryview(block)
        while view:
            room = size - len(held)
            held += view[:room]
            view = view[room:]
            if len(held) == size:
                yield bytes(held)
                held.clear()
    if held:
        yield bytes(held)
