"""Started by `tests/faults`: a replica that writes, deletes and compacts, and kills itself at a step that it is told.

For each number on stdin one process is forked, which does `SCENARIO` and sends itself SIGKILL at the step of that
number: before a statement of SQL or a commit, before or after a call of the object store, before a change of the disk.
It prints what was acknowledged to it, and the parent how it ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event

from contracts.tenant import TenantId
from rag import compactor
from rag.adapters import postgres_chunks
from rag.adapters.postgres_chunks import PostgresChunkStore
from rag.adapters.postgres_marks import PostgresMarks
from rag.adapters.snapshot_disk import SnapshotDisk
from stores.objects_folder import FolderObjects
from stores.postgres import Database
from support.retrieval import put_texts, replica

Live = Callable[[str, TenantId, Path, int], Coroutine[Any, Any, None]]
"""A database's address, a tenant, a folder, and the step that is the last."""

SCENARIO = ("put a", "put b", "compact", "put a", "delete b", "put c", "compact")


class Steps:
    def __init__(self, fatal: int) -> None:
        self._left = fatal

    def __call__(self, *_: object, **__: object) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class MortalObjects(FolderObjects):
    def __init__(self, root: Path, step: Steps) -> None:
        super().__init__(root)
        self._step = step

    async def put(self, tenant_id: TenantId, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        self._step()
        done = await super().put(tenant_id, key, data, if_absent=if_absent)
        self._step()
        return done

    async def delete(self, tenant_id: TenantId, key: str) -> bool:
        self._step()
        return await super().delete(tenant_id, key)

    async def delete_all(self, tenant_id: TenantId) -> int:
        self._step()
        done = await super().delete_all(tenant_id)
        self._step()
        return done


def mortal(method: Callable[..., Any], step: Steps) -> Callable[..., Any]:
    def around(*args: Any, **kwargs: Any) -> Any:
        step()
        return method(*args, **kwargs)

    return around


async def live(database_url: str, tenant: TenantId, folder: Path, fatal: int) -> None:
    step = Steps(fatal)
    database = Database(database_url)
    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", step)
    event.listen(engine, "commit", step)
    for name in ("_write_files", "_size"):
        module = sys.modules[SnapshotDisk.__module__]
        setattr(module, name, mortal(getattr(module, name), step))
    store = PostgresChunkStore(database)
    objects = MortalObjects(folder / "objects", step)
    own = replica(store, PostgresMarks(database), objects=objects, disk=folder / "disk")
    for number, line in enumerate(SCENARIO):
        deed, _, document = line.partition(" ")
        if deed == "put":
            await put_texts(store, tenant, document, [f"{document} {number} milk", f"{document} {number} bread"])
        elif deed == "delete":
            await store.delete(tenant, document)
        else:
            await own.compactor.compact(tenant)
        os.write(1, f"done {number}\n".encode())
    await objects.close()
    await database.close()


def forked(live: Live, database_url: str, tenant: str, folder: str) -> None:
    """For each line of stdin a life of its own, which ends at the step that the line names."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            asyncio.run(live(database_url, TenantId(tenant), Path(folder), int(line)))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        os.write(1, f"ended {status}\n".encode())


if __name__ == "__main__":
    postgres_chunks.INSERTED_AT_ONCE = 1  # two chunks are a large document: theirs are more steps
    compactor.LEASE = timedelta(0)  # who comes after a killed process does not wait for it
    forked(live, *sys.argv[1:])
