"""kill -9 at every step of writing, deleting, snapshot and compaction: nothing acknowledged is lost, little is left."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from contracts.tenant import TenantId
from rag import compactor
from rag.adapters import object_snapshots
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.adapters.postgres_marks import PostgresMarks
from stores.objects_folder import FolderObjects
from stores.postgres import Database
from support.killed_writer import SCENARIO
from support.retrieval import EMBEDDER, Replica, put_texts, replica

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parents[1] / "support" / "killed_writer.py"
AT_ONCE = 10
"""Steps that one test tries: each on what the one before has left."""


class Writer:
    """The process that dies again and again."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout

    def run(self, fatal: int) -> tuple[int, bool]:
        """How many of the scenario's deeds were acknowledged, and whether it was killed."""
        self._input.write(f"{fatal}\n")
        self._input.flush()
        done = 0
        while not (line := self._output.readline()).startswith("ended"):
            assert line, "the writer's parent has ended"
            done += 1
        return done, line.split()[1] == "9"


@contextmanager
def writer(database_url: str, tenant: TenantId, folder: Path) -> Iterator[Writer]:
    command = [sys.executable, str(PROGRAM), database_url, str(tenant), str(folder)]
    path = os.pathsep.join(str(PROGRAM.parents[level] / name) for level, name in ((1, ""), (2, "src")))
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    try:
        yield Writer(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


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


def new_tenant(database_url: str) -> TenantId:
    tenant = TenantId(f"k-{secrets.token_hex(6)}")
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT set_config('app.tenant_id', %s, true)", (str(tenant),))
        statement = "INSERT INTO tenants (tenant_id, tier, config_version) VALUES (%s, 'basic', 1)"
        connection.execute(statement, (str(tenant),))
    return tenant


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
    corpus = await world.store.load(tenant, EMBEDDER.model, EMBEDDER.dimension)
    return {record.document_id: record.text for record in corpus.records if record.text.endswith("milk")}


@pytest.mark.parametrize("first", range(1, 130, AT_ONCE))
async def test_whoever_comes_after_finds_all_that_was_acknowledged(
    database_url: str, tmp_path: Path, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compactor, "LEASE", timedelta(0))
    monkeypatch.setattr(object_snapshots, "ORPHAN_AGE", timedelta(0))
    tenant = new_tenant(database_url)
    documents: dict[str, str] = {}
    async with opened(database_url, tmp_path) as world:
        with writer(database_url, tenant, tmp_path) as process:
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
