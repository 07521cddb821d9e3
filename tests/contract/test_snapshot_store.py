"""Snapshots over each object store: memory, a folder, and S3 over a real socket."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3.session
import pytest

from contracts.errors import DependencyDownError
from contracts.tenant import TenantId
from observability.metrics import NullMetrics
from rag.adapters import object_snapshots
from rag.adapters.object_snapshots import ObjectSnapshots
from rag.adapters.snapshot_disk import SnapshotDisk
from rag.domain.corpus import CorpusVersion
from rag.domain.snapshot import Content, Mark
from stores.objects import Objects, open_objects
from stores.objects_memory import MemoryObjects

T, OTHER = TenantId("t1"), TenantId("t10")
MODEL = "model"
BORN = datetime(2026, 1, 1, tzinfo=UTC)
FILES = {"vectors.f16": secrets.token_bytes(3_000), "empty.bin": b"", "records.bin": b"text " * 1_000}
CONTENTS = {name: Content.of(data[:7], data[7:]) for name, data in FILES.items()}


def at(seq: int, born: datetime = BORN) -> CorpusVersion:
    return CorpusVersion(born, seq)


@pytest.fixture(params=["memory", "folder", "s3"])
async def objects(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Objects]:
    if request.param == "memory":
        yield MemoryObjects()
        return
    if request.param == "folder":
        store = open_objects((tmp_path / "objects").as_uri())
    else:
        request.getfixturevalue("aws")
        url, bucket = request.getfixturevalue("s3_server"), f"b{secrets.token_hex(6)}"
        boto3.session.Session(region_name="us-east-1").client("s3", endpoint_url=url).create_bucket(Bucket=bucket)
        store = open_objects(f"s3://{bucket}/x", endpoint_url=url)
    yield store
    await store.close()


class Machines:
    """Replicas that share the object store, each with a disk of its own."""

    def __init__(self, objects: Objects, folder: Path) -> None:
        self._objects = objects
        self._folder = folder
        self.now = datetime.now(UTC)

    def another(self) -> ObjectSnapshots:
        disk = SnapshotDisk(self._folder / secrets.token_hex(4), 1 << 20)
        return ObjectSnapshots(self._objects, disk, NullMetrics(), now=lambda: self.now)


@pytest.fixture
def machines(objects: Objects, tmp_path: Path) -> Machines:
    return Machines(objects, tmp_path)


async def write(store: ObjectSnapshots, version: CorpusVersion, tenant: TenantId = T) -> Mark:
    mark = await store.write(tenant, MODEL, version, (3, 4), CONTENTS)
    assert mark is not None
    return mark


@pytest.mark.parametrize("part_bytes", [1_000, 1 << 20])
async def test_another_machine_gets_the_files_as_they_were(
    machines: Machines, monkeypatch: pytest.MonkeyPatch, part_bytes: int
) -> None:
    monkeypatch.setattr(object_snapshots, "PART_BYTES", part_bytes)
    mark = await write(machines.another(), at(7))
    reader = machines.another()
    for source in ("object_store", "disk"):
        found = await reader.fetch(T, MODEL, mark)
        assert found is not None
        assert found.source == source
        assert {name: path.read_bytes() for name, path in found.paths.items()} == FILES
    assert await reader.fetch(OTHER, MODEL, mark) is None


async def test_of_many_writers_of_one_version_one_wins_and_the_others_leave_nothing(
    machines: Machines, objects: Objects
) -> None:
    writers = [machines.another() for _ in range(4)]
    won = await asyncio.gather(*(one.write(T, MODEL, at(7), (3, 4), CONTENTS) for one in writers))
    [mark] = [one for one in won if one is not None]
    assert len(await objects.list(T)) == 2
    assert await machines.another().fetch(T, MODEL, mark) is not None


async def test_a_sweep_leaves_the_marked_snapshot_newer_ones_and_other_tenants_alone(
    machines: Machines, objects: Objects
) -> None:
    store = machines.another()
    await write(store, at(5))
    await write(store, at(6, BORN - timedelta(days=1)))
    mark, newer = await write(store, at(7)), await write(store, at(12))
    await write(store, at(1), OTHER)
    await objects.put(T, "uploads/a", b"x")
    await store.sweep(T, MODEL, mark)
    assert len(await objects.list(T, "rag/")) == 4
    for kept in (mark, newer):
        assert await machines.another().fetch(T, MODEL, kept) is not None
    assert await objects.list(T, "uploads/") == ["uploads/a"]
    assert len(await objects.list(OTHER)) == 2


async def test_what_is_discarded_is_not_found_and_an_orphan_is_discarded_when_it_is_old(
    machines: Machines, objects: Objects
) -> None:
    store = machines.another()
    mark = await write(store, at(7))
    await store.discard_orphan(T, MODEL, at(7))
    assert len(await objects.list(T)) == 2
    machines.now += timedelta(minutes=2)
    await store.discard_orphan(T, MODEL, at(7))
    assert await objects.list(T) == []
    assert await machines.another().fetch(T, MODEL, mark) is None
    await write(store, at(7))
    await store.discard(T, MODEL, at(7))
    assert await objects.list(T) == []


async def test_an_object_store_that_is_away_is_an_outage(tmp_path: Path, aws: None) -> None:
    objects = open_objects("s3://none/x", endpoint_url="http://127.0.0.1:9")
    store = Machines(objects, tmp_path).another()
    with pytest.raises(DependencyDownError):
        await store.fetch(T, MODEL, Mark(at(7), b"d" * 32, 3))
    with pytest.raises(DependencyDownError):
        await store.write(T, MODEL, at(7), (3, 4), CONTENTS)
    await objects.close()
