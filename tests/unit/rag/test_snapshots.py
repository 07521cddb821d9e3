"""Snapshots: a replica without memory comes back from them, none that is damaged is used, and none is needed."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import pickle
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contracts.errors import DependencyDownError, NotFoundError
from contracts.tenant import TenantId
from rag.adapters import object_snapshots
from rag.adapters.hybrid_index import SNAPSHOT_FORMAT
from rag.adapters.memory_chunks import MemoryChunkStore
from rag.adapters.memory_marks import MemoryMarks
from rag.adapters.object_snapshots import cut
from rag.adapters.snapshot_disk import SnapshotDisk
from rag.adapters.stemming import VERSION
from rag.domain.snapshot import Mark, snapshot_folder
from stores.objects_memory import MemoryObjects
from support.retrieval import EMBEDDER, MIB, Replica, put_texts, replica

T1 = TenantId("t1")
TEXTS = ["milk costs one euro", "bread costs two", "the shop opens at eight"]


class FlakyObjects(MemoryObjects):
    """An object store that can be away, hang, or let another's put be first."""

    def __init__(self) -> None:
        super().__init__()
        self.away = self.hanging = False
        self.asked = 0
        self.before_if_absent: Callable[[str], None] | None = None

    async def _wait(self) -> None:
        self.asked += 1
        if self.hanging:
            await asyncio.sleep(3_600)
        if self.away:
            raise DependencyDownError("the object store is out of reach", details={"dependency": "object_store"})

    async def put(self, tenant_id: TenantId, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        await self._wait()
        if if_absent and self.before_if_absent:
            self.before_if_absent(key)
        return await super().put(tenant_id, key, data, if_absent=if_absent)

    async def get(self, tenant_id: TenantId, key: str) -> bytes | None:
        await self._wait()
        return await super().get(tenant_id, key)

    async def list(self, tenant_id: TenantId, prefix: str = "") -> list[str]:
        await self._wait()
        return await super().list(tenant_id, prefix)

    async def delete(self, tenant_id: TenantId, key: str) -> bool:
        await self._wait()
        return await super().delete(tenant_id, key)


class World:
    def __init__(self, tmp_path: Path) -> None:
        self.store, self.objects = MemoryChunkStore(), FlakyObjects()
        self.now = datetime.now(UTC)
        self.marks = MemoryMarks(self.store, now=lambda: self.now)
        self._disks = tmp_path
        self._number = 0
        self.store.add_tenant(T1)
        self.writer = self.replica()

    def replica(self, *, disk: Path | None = None, cache_bytes: int = 100 * MIB, stored_from: int = 0) -> Replica:
        """With an empty disk, unless one is named."""
        self._number += 1
        disk = disk or self._disks / str(self._number)
        return replica(
            self.store,
            self.marks,
            objects=self.objects,
            disk=disk,
            cache_bytes=cache_bytes,
            stored_from=stored_from,
        )

    async def filled(self) -> None:
        for number, text in enumerate(TEXTS):
            await put_texts(self.store, T1, f"d{number}", [text])
        assert await self.writer.compactor.compact(T1)

    def stored_text(self) -> bytes:
        """All that is in the object store, in plain bytes."""
        parts = (data for key, data in self.objects._objects.items() if not key.endswith("manifest.json"))
        return b"".join(zlib.decompress(part) for part in parts)

    def stored(self) -> list[str]:
        return sorted(self.objects._objects)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_another_replica_loads_the_snapshot_and_then_its_own_disk(world: World, tmp_path: Path) -> None:
    await world.filled()
    for source in ("object_store", "disk"):
        other = world.replica(disk=tmp_path / "other")
        assert sorted(await other.texts(T1)) == sorted(TEXTS)
        assert other.metrics.sources() == [source]
        assert other.metrics.counted == {}


async def test_what_happened_after_the_snapshot_is_read_from_the_log(world: World) -> None:
    await world.filled()
    await put_texts(world.store, T1, "d0", ["milk costs three"])
    await world.store.delete(T1, "d1")
    seq = await put_texts(world.store, T1, "d9", ["new"])
    other = world.replica()
    assert sorted(await other.texts(T1, min_seq=seq)) == sorted(["milk costs three", TEXTS[2], "new"])
    assert other.metrics.sources() == ["object_store"]


async def test_an_evicted_tenant_comes_back_from_the_writers_own_disk(world: World) -> None:
    await world.filled()
    world.writer.cache.drop(T1)
    asked = world.objects.asked
    assert len(await world.writer.texts(T1)) == 3
    assert world.writer.metrics.sources()[-1] == "disk"
    assert world.objects.asked == asked


@pytest.mark.parametrize("how", ["flip", "cut", "grow", "empty"])
@pytest.mark.parametrize("place", ["object_store", "disk"])
async def test_any_damage_to_any_file_is_noticed_counted_and_healed(
    world: World, tmp_path: Path, place: str, how: str
) -> None:
    await world.filled()
    disk = tmp_path / "other"
    assert len(await world.replica(disk=disk).texts(T1)) == 3
    places = world.stored() if place == "object_store" else [str(path) for path in files_below(disk)]
    assert len(places) >= 2
    for number, damaged in enumerate(places):
        if place == "object_store":
            world.objects._objects[damaged] = harmed(world.objects._objects[damaged], how)
            other = world.replica()
        else:
            harm(Path(damaged), how)
            other = world.replica(disk=disk)
        assert sorted(await other.texts(T1)) == sorted(TEXTS), damaged
        assert other.metrics.faults() == {(place, "damaged"): 1}, damaged
        if place == "disk":
            assert other.metrics.sources() == ["object_store"]  # and the disk has it again
            continue
        assert other.metrics.sources() == ["log"]
        assert world.stored() == []
        assert await world.writer.compactor.turn() == 1  # another is due at once
        healed = world.replica()
        assert len(await healed.texts(T1)) == 3
        assert healed.metrics.sources() == ["object_store"]
        places[number + 1 :] = world.stored()[number + 1 :]  # the parts have new names


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def texts_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in files_below(folder))


def harm(path: Path, how: str) -> None:
    path.write_bytes(harmed(path.read_bytes(), how))


def harmed(data: bytes, how: str) -> bytes:
    middle = len(data) // 2
    return {
        "flip": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "cut": data[:-1],
        "grow": data + b"\0",
        "empty": b"",
    }[how]


class Planted:
    """What runs when it is unpickled."""

    ran = False

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (setattr, (Planted, "ran", True))


async def test_a_planted_pickle_is_refused_also_with_a_manifest_that_fits_it(world: World) -> None:
    await world.filled()
    poison = zlib.compress(pickle.dumps(Planted()))
    [manifest_key] = [key for key in world.stored() if key.endswith("manifest.json")]
    [part_key] = [key for key in world.stored() if not key.endswith("manifest.json")]
    world.objects._objects[part_key] = poison
    forged = json.loads(world.objects._objects[manifest_key])
    entry = {"size": len(poison), "sha256": hashlib.sha256(poison).hexdigest()}
    forged["files"] = [{"name": "records.json", **entry}]
    forged["parts"] = [{"name": part_key.rpartition("/")[2], **entry}]
    world.objects._objects[manifest_key] = json.dumps(forged, sort_keys=True).encode()
    other = world.replica()
    assert sorted(await other.texts(T1)) == sorted(TEXTS)
    assert other.metrics.faults() == {("object_store", "damaged"): 1}
    assert not Planted.ran


async def test_a_snapshot_that_is_gone_is_counted_and_written_anew(world: World) -> None:
    await world.filled()
    world.objects._objects.clear()
    other = world.replica()
    assert len(await other.texts(T1)) == 3
    assert other.metrics.faults() == {("object_store", "missing"): 1}
    assert await world.writer.compactor.turn() == 1
    assert len(world.stored()) == 2


async def test_readers_and_writers_go_on_while_the_object_store_is_away(world: World) -> None:
    await world.filled()
    world.objects.away = True
    other = world.replica()
    seq = await put_texts(world.store, T1, "new", ["new"])
    assert len(await other.texts(T1, min_seq=seq)) == 4
    assert other.metrics.faults() == {("object_store", "unreachable"): 1}
    asked = world.objects.asked
    other.cache.drop(T1)
    assert len(await other.texts(T1)) == 4  # without asking again so soon
    assert world.objects.asked == asked
    assert await other.compactor.turn() == 1
    assert other.metrics.counted["SnapshotWrite", "failed"] == 1
    assert other.metrics.counted["HousekeepingFailure", "compaction", "object_store"] == 1
    world.objects.away = False
    assert await other.compactor.turn() == 0  # nobody tries again at once
    world.now += timedelta(minutes=3)
    assert await other.compactor.turn() == 1
    assert other.metrics.counted["SnapshotWrite", "written"] == 1


async def test_nobody_waits_long_for_an_object_store_that_hangs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.filled()
    monkeypatch.setattr(object_snapshots, "ANSWER_S", 0.05)
    world.objects.hanging = True
    other = world.replica()
    async with asyncio.timeout(2):
        assert len(await other.texts(T1)) == 3
    assert other.metrics.faults() == {("object_store", "unreachable"): 1}


async def test_of_two_writers_of_one_version_one_wins_and_the_other_leaves_nothing(world: World) -> None:
    for number, text in enumerate(TEXTS):
        await put_texts(world.store, T1, f"d{number}", [text])
    rivals = [world.replica() for _ in range(3)]
    views = [await rival.loader.load(T1, await world.store.version(T1)) for rival in rivals]
    snapshots = [rival.loader.snapshots for rival in rivals]
    writing = [one.write(T1, view, view.index) for one, view in zip(snapshots, views, strict=True)]
    written = await asyncio.gather(*writing)
    [won] = [mark for mark in written if mark is not None]
    assert await world.marks.mark(T1, EMBEDDER.model) == won
    assert len(world.stored()) == 2
    assert sorted(await world.replica().texts(T1)) == sorted(TEXTS)
    outcomes = [rival.metrics.counted.get(("SnapshotWrite", "lost"), 0) for rival in rivals]
    assert sorted(outcomes) == [0, 1, 1]


async def test_a_manifest_that_a_dead_writer_has_left_blocks_the_version_for_a_minute_only(world: World) -> None:
    await put_texts(world.store, T1, "d", TEXTS)
    version = await world.store.version(T1)
    view = await world.writer.loader.load(T1, version)
    store = world.writer.loader.snapshots.store
    assert store is not None
    dead = await store.write(T1, EMBEDDER.model, version, (3, 64), view.index.files())  # and no mark
    assert dead is not None
    assert not await world.writer.compactor.compact(T1)
    assert len(world.stored()) == 2
    for key in world.stored():
        if key.endswith("manifest.json"):
            aged = json.loads(world.objects._objects[key]) | {"written_at": "2025-01-01T00:00:00+00:00"}
            world.objects._objects[key] = json.dumps(aged).encode()
    assert not await world.writer.compactor.compact(T1)
    assert world.stored() == []
    assert await world.writer.compactor.compact(T1)


async def test_a_new_snapshot_leaves_nothing_of_the_old_one_anywhere(world: World, tmp_path: Path) -> None:
    await world.filled()
    reader = world.replica(disk=tmp_path / "reader")
    await reader.texts(T1)
    await put_texts(world.store, T1, "d0", ["replaced"])
    await world.objects.put(
        T1, f"{snapshot_folder(EMBEDDER.model, await world.store.version(T1))}/dead.00000", zlib.compress(b"x")
    )
    assert await world.writer.compactor.compact(T1)
    assert len(world.stored()) == 2
    assert b"replaced" in world.stored_text()
    assert b"one euro" not in world.stored_text()
    assert b"one euro" in texts_below(tmp_path / "reader")
    assert await reader.retriever.drop_stale() == set()
    assert b"one euro" not in texts_below(tmp_path / "reader")


async def test_a_snapshot_of_an_older_version_that_is_finished_late_does_not_win(world: World) -> None:
    await put_texts(world.store, T1, "d", ["old"])
    late = world.replica()
    old = await late.loader.load(T1, await world.store.version(T1))
    await put_texts(world.store, T1, "d", ["new"])
    assert await world.writer.compactor.compact(T1)
    assert await late.loader.snapshots.write(T1, old, old.index) is None
    assert await world.replica().texts(T1) == ["new"]


async def test_a_tenant_deleted_while_its_snapshot_is_written_leaves_none_to_a_later_one(
    world: World,
) -> None:
    await put_texts(world.store, T1, "d", ["secret"])
    view = await world.writer.loader.load(T1, await world.store.version(T1))
    world.store.add_tenant(T1)  # made again
    with pytest.raises(NotFoundError):
        await world.writer.loader.snapshots.write(T1, view, view.index)
    assert world.stored() == []
    assert await world.writer.texts(T1) == []


async def test_a_tenant_made_again_never_reads_the_earlier_ones_snapshot(world: World, tmp_path: Path) -> None:
    await world.filled()
    world.store.add_tenant(T1)  # and the sweep of its objects did not happen yet
    for _ in TEXTS:
        await put_texts(world.store, T1, "d", ["mine"])
    assert await world.replica().texts(T1) == ["mine"]
    assert await world.writer.texts(T1) == ["mine"]
    assert await world.writer.compactor.compact(T1)
    assert b"euro" not in world.stored_text()


async def test_a_deleted_tenants_index_and_copy_go_from_every_replica_that_looks_and_a_later_ones_stay(
    world: World, tmp_path: Path
) -> None:
    await world.filled()
    other = world.replica(disk=tmp_path / "other")
    await other.texts(T1)
    assert await other.retriever.drop_stale() == set()
    assert other.retriever.loaded == (T1,)
    del world.store.tenants[T1]
    assert await other.retriever.drop_stale() == {T1}
    assert other.retriever.loaded == ()
    assert files_below(tmp_path / "other") == []
    world.store.add_tenant(T1)
    await put_texts(world.store, T1, "d", ["mine"])
    assert await other.texts(T1) == ["mine"]
    assert await other.retriever.drop_stale() == set()
    assert other.retriever.loaded == (T1,)


async def test_a_tenant_of_a_few_chunks_has_no_snapshot_and_loses_the_one_it_had_when_it_was_larger(
    world: World,
) -> None:
    await world.filled()
    frugal = world.replica(stored_from=3)
    await frugal.texts(T1)
    assert len(world.stored()) == 2
    await world.store.delete(T1, "d0")
    assert await frugal.compactor.compact(T1)
    assert world.stored() == []
    assert not await frugal.compactor.compact(T1)
    assert await frugal.compactor.turn() == 0
    assert sorted(await world.replica(stored_from=3).texts(T1)) == sorted(TEXTS[1:])
    await put_texts(world.store, T1, "e", ["one", "two"])
    assert await frugal.compactor.turn() == 1
    assert len(world.stored()) == 2


async def test_unloading_forgets_the_copy_on_the_disk(world: World, tmp_path: Path) -> None:
    await world.filled()
    other = world.replica(disk=tmp_path / "other")
    await other.texts(T1)
    assert await other.retriever.unload(T1) == 3
    assert files_below(tmp_path / "other") == []


async def test_an_old_models_snapshot_goes_with_its_last_chunk(world: World) -> None:
    await put_texts(world.store, T1, "d", ["old"], model="old")
    before = replica(world.store, world.marks, objects=world.objects, disk=world._disks / "before", model="old")
    assert await before.compactor.compact(T1)
    await put_texts(world.store, T1, "d", ["new"])
    assert await world.writer.compactor.compact(T1)
    assert await world.marks.mark(T1, "old") is None
    assert len(world.stored()) == 2
    assert b"old" not in world.stored_text()


async def test_without_an_object_store_the_log_is_still_kept_short(world: World) -> None:
    alone = replica(world.store, world.marks)
    for number in range(100):
        await put_texts(world.store, T1, "d", [f"text {number}"])
    assert await alone.compactor.turn() == 1
    assert await alone.compactor.turn() == 0
    assert world.store.tenants[T1].tombstones == []
    assert await alone.texts(T1) == ["text 99"]
    assert await world.marks.mark(T1, EMBEDDER.model) == Mark(await world.store.version(T1), None, 1)
    assert await world.writer.compactor.turn() == 1  # with one, a snapshot is due although nothing has changed
    assert len(world.stored()) == 2


async def test_the_disk_is_bounded_and_the_copy_asked_for_longest_ago_goes_first(world: World, tmp_path: Path) -> None:
    tenants = [TenantId(f"t{number}") for number in range(2, 8)]
    for tenant in tenants:
        world.store.add_tenant(tenant)
        await put_texts(world.store, tenant, "d", ["x" * 10_000])
        assert await world.writer.compactor.compact(tenant)
    small = replica(world.store, world.marks, objects=world.objects, disk=tmp_path / "small", disk_bytes=50_000)
    for tenant in tenants:
        await small.texts(tenant)
    kept = {path.relative_to(tmp_path / "small").parts[0] for path in files_below(tmp_path / "small")}
    assert sorted(kept) == [str(tenant) for tenant in tenants[-3:]]


def test_parts_are_of_one_size_and_hold_the_files_end_to_end() -> None:
    assert list(cut([b"abc", b"", b"defgh"], 4)) == [b"abcd", b"efgh"]
    assert list(cut([b"abc", b"de"], 4)) == [b"abcd", b"e"]
    assert list(cut([], 4)) == []


async def test_a_tenant_that_has_deleted_everything_has_an_empty_snapshot_and_no_text_anywhere(world: World) -> None:
    await world.filled()
    for number in range(len(TEXTS)):
        await world.store.delete(T1, f"d{number}")
    assert await world.writer.compactor.compact(T1)
    assert b"euro" not in world.stored_text()
    other = world.replica()
    assert await other.texts(T1) == []
    assert other.metrics.sources() == ["object_store"]


async def test_a_full_disk_makes_nobody_doubt_the_snapshot(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.filled()
    mark, stored = await world.marks.mark(T1, EMBEDDER.model), world.stored()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(SnapshotDisk, "keep", full)
    other = world.replica()
    assert sorted(await other.texts(T1)) == sorted(TEXTS)
    assert (other.metrics.sources(), other.metrics.faults()) == (["log"], {("disk", "unreadable"): 1})
    assert (await world.marks.mark(T1, EMBEDDER.model), world.stored()) == (mark, stored)
    await put_texts(world.store, T1, "d9", ["new"])
    assert await other.compactor.compact(T1)  # what is written needs no disk
    assert other.metrics.faults()["disk", "full"] == 1


async def test_what_a_killed_process_left_on_the_disk_is_found_again_and_halves_are_removed(
    world: World, tmp_path: Path
) -> None:
    await world.filled()
    folder = tmp_path / "disk"
    await world.replica(disk=folder).texts(T1)
    (folder / ".new-abc" / "files").mkdir(parents=True)
    (folder / ".new-abc" / "files" / "vectors.f16").write_bytes(b"half")
    disk = SnapshotDisk(folder, 100 * MIB)
    assert (disk.nbytes, disk.held()) == (0, [])
    disk.survey()
    [(tenant, _)] = disk.held()
    assert tenant == T1
    assert disk.nbytes > 4_096
    assert not (folder / ".new-abc").exists()
    SnapshotDisk(folder, 0).survey()  # too large for a smaller bound, but it is the last
    assert files_below(folder) != []


async def test_a_snapshot_of_another_release_is_left_alone_for_an_hour_and_then_written_anew(world: World) -> None:
    await world.filled()
    later = replica(
        world.store, world.marks, objects=world.objects, disk=world._disks / "later", layout="another/format"
    )
    before = world.stored()
    assert sorted(await later.texts(T1)) == sorted(TEXTS)
    assert later.metrics.sources() == ["log"]
    assert later.metrics.faults() == {("object_store", "format"): 1}
    assert world.stored() == before
    own = world.replica()
    assert sorted(await own.texts(T1)) == sorted(TEXTS)
    assert own.metrics.sources() == ["object_store"]
    later.loader.snapshots._now = lambda: datetime.now(UTC) + timedelta(hours=1, seconds=1)
    later.cache.drop(T1)
    assert sorted(await later.texts(T1)) == sorted(TEXTS)
    assert world.stored() == []
    assert await later.compactor.turn() == 1
    later.cache.drop(T1)
    assert sorted(await later.texts(T1)) == sorted(TEXTS)
    assert later.metrics.sources()[-1] == "disk"


async def test_a_copy_on_the_disk_of_another_release_is_no_damage(world: World, tmp_path: Path) -> None:
    await world.filled()
    await world.replica(disk=tmp_path / "shared").texts(T1)
    later = replica(world.store, world.marks, objects=world.objects, disk=tmp_path / "shared", layout="another/format")
    assert sorted(await later.texts(T1)) == sorted(TEXTS)
    assert later.metrics.faults() == {("object_store", "format"): 1}


def test_who_changes_a_file_of_a_snapshot_gives_it_another_format() -> None:
    """Change this together with the layout: what is written by one release is read by another."""
    assert f"1/vectors-1/lexical-1 of {VERSION}/records-1" == SNAPSHOT_FORMAT
