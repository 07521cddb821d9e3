"""kill -9 at every step of writing, deleting, snapshot and compaction: nothing acknowledged is lost, little is left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from contracts.tenant import TenantId
from rag import compactor
from rag.adapters import object_snapshots
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.adapters.postgres_marks import PostgresMarks
from stores.objects_folder import FolderObjects
from stores.postgres import Database
from support.chunks import whole
from support.killed_process import new_tenant, writer
from support.killed_writer import SCENARIO
from support.retrieval import EMBEDDER, Replica, put_texts, replica

pytestmark = pytest.mark.slow

AT_ONCE = 10
"""Steps that one test tries: each on what the one before has left."""


class World:
    def __init__(self, database: Database, folder: Path) -> None:
        self.store, self.marks = PostgresChunkStore(database), PostgresMarks(database)
        self.objects, self.folder = FolderObjects(folder / "objects"), folder

    def replica(self, disk: str) -> Replica:
        return replica(self.store, self.marks, objects=self.objects, disk=self.folder / disk)


@asynccontextmanager
async def opened(database_url: str, folder: Path) -> AsyncIterator[World]:
    database = Database(database_url)
    world = World(database, folder)
    yield world
    await world.objects.close()
    await database.close()


def kept_of(deeds: tuple[str, ...], before: dict[str, str]) -> dict[str, str]:
    """The documents after these deeds, each with the first of its texts."""
    documents = dict(before)
    for number, line in enumerate(deeds):
        deed, _, document = line.partition(" ")
        if deed == "put":
            documents[document] = f"{document} {number} milk"
        elif deed == "delete":
            documents.pop(document, None)
    return documents


async def kept(world: World, tenant: TenantId) -> dict[str, str]:
    corpus = await whole(world.store, tenant, EMBEDDER.model, EMBEDDER.dimension)
    return {record.document_id: record.text for record in corpus.records if record.text.endswith("milk")}


@pytest.mark.parametrize("first", range(1, 200, AT_ONCE))
async def test_whoever_comes_after_finds_all_that_was_acknowledged(
    database_url: str, tmp_path: Path, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compactor, "LEASE", timedelta(0))
    monkeypatch.setattr(object_snapshots, "ORPHAN_AGE", timedelta(0))
    tenant = new_tenant(database_url)
    documents: dict[str, str] = {}
    async with opened(database_url, tmp_path) as world:
        with writer(database_url, tenant, tmp_path, program="killed_writer.py") as process:
            for fatal in range(first, first + AT_ONCE):
                done, killed = process.run(fatal)
                assert killed or done == len(SCENARIO), fatal
                now = await kept(world, tenant)
                possible = [kept_of(SCENARIO[:deeds], documents) for deeds in (done, min(done + 1, len(SCENARIO)))]
                assert now in possible, f"killed at step {fatal} after {done}"
                documents = now
                for disk in ("disk", f"empty {fatal}"):
                    found = await world.replica(disk).texts(tenant)
                    assert sorted(text for text in found if text.endswith("milk")) == sorted(now.values()), fatal
                    assert len(found) == 2 * len(now)
        assert len(await world.objects.list(tenant)) <= 2 * (AT_ONCE + 1)
        await put_texts(world.store, tenant, "z", ["z"])
        healer = world.replica("healer")
        assert any([await healer.compactor.compact(tenant) for _ in range(2)])
        assert len(await world.objects.list(tenant)) == 2
        assert len(await world.replica("last").texts(tenant)) == 2 * len(documents) + 1
