"""kill -9 at every step of taking an upload, working on it, committing and withdrawing it: what was acknowledged comes
to its end, a document is whole or not there, and neither files nor parts are left."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from stores.objects_folder import FolderObjects
from stores.postgres import Database
from support.chunks import whole
from support.killed_process import new_tenant, writer
from support.killed_runner import SCENARIO, Worker, end_leases, text_of
from support.postgres import Addresses
from support.retrieval import EMBEDDER

pytestmark = pytest.mark.slow

AT_ONCE = 15
PARTS_LEFT = b"SELECT count(*) FROM ingest_parts"
JOBS_LEFT = b"SELECT count(*) FROM ingest_jobs WHERE state <> 'failed'"


def possible(deeds: tuple[str, ...], before: dict[str, set[int | None]]) -> dict[str, set[int | None]]:
    """By document the numbers of the deeds whose text it may have in the end; None: it is not there."""
    found = dict(before)
    for number, line in enumerate(deeds):
        deed, _, name = line.partition(" ")
        if deed == "upload":
            found[name] = {number}
        elif deed == "withdraw":
            found[name] = {None}
    return found


@pytest.fixture(autouse=True)
def _leases_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    end_leases(monkeypatch.setattr)


@pytest.mark.parametrize("first", range(1, 150, AT_ONCE))
async def test_whoever_comes_after_ends_what_was_acknowledged(
    own_database: Addresses, tmp_path: Path, first: int
) -> None:
    tenant = new_tenant(own_database.url)
    allowed: dict[str, set[int | None]] = {name: {None} for name in "abc"}
    database, objects = Database(own_database.url), FolderObjects(tmp_path / "objects")
    survivor = Worker(database, objects)
    with writer(own_database.url, tenant, tmp_path, program="killed_runner.py") as process:
        for fatal in range(first, first + AT_ONCE):
            done, killed = process.run(fatal)
            assert killed or done == len(SCENARIO), fatal
            while await survivor.runner.run_one():
                pass
            acknowledged = possible(SCENARIO[:done], allowed)
            under_way = possible(SCENARIO[: done + 1], allowed)
            corpus = await whole(survivor.store, tenant, EMBEDDER.model, EMBEDDER.dimension)
            for name in "abc":
                chunks = [record.text for record in corpus.records if record.document_id == name]
                number = int(chunks[0].split()[0].removeprefix(name)) if chunks else None
                assert number in acknowledged[name] | under_way[name], (fatal, done, name)
                if number is not None:
                    assert " ".join(chunks).count(f"{name}{number}") >= text_of(name, number).count(b" "), fatal
                    assert len({chunk.split()[0] for chunk in chunks}) == 1
                allowed[name] = {number}
            await survivor.uploads.sweep(tenant)
            assert await objects.list(tenant, "uploads/") == [], fatal
    with psycopg.connect(own_database.owner_url) as owner:
        left = [owner.execute(statement).fetchone() for statement in (PARTS_LEFT, JOBS_LEFT)]
    assert left == [(0,), (0,)]
    await objects.close()
    await database.close()
