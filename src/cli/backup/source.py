"""Where a backup reads: the stack that runs on a data directory, or the directory's own database, started for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from cli.backup.files import Files
from cli.backup.make import Source
from cli.backup.manifest import BackupError
from cli.local.alone import running_alone
from cli.local.data_dir import DataDir
from cli.local.draft import Draft
from cli.local.lock import InstanceLock
from cli.local.postgres import Postgres
from cli.local.run_state import RunState
from cli.progress import step

_YOURS = "the database is your own: back it up with its own means"


@contextmanager
def open_source(data_dir: DataDir) -> Iterator[Source]:
    """Raises CliError where there is nothing to back up, or nothing that could be read now."""
    nothing = BackupError(f"there is nothing in {data_dir.path}", hint="--data-dir names another place")
    if not data_dir.path.is_dir():
        raise nothing
    lock, server = InstanceLock(data_dir.lock), Postgres(data_dir.postgres)
    with ExitStack() as opened:
        if lock.acquire():
            opened.callback(lock.release)
            Draft(data_dir).settle()
            if os.environ.get("DATABASE_URL"):
                raise BackupError(_YOURS, hint="or unset DATABASE_URL")
            if not (data_dir.postgres / "PG_VERSION").exists():
                raise nothing
            with step("its database, started for this") as said:
                opened.enter_context(running_alone(server, data_dir.logs / "postgres.log", data_dir.instance))
                said.tell("")
            url = os.environ.get("OBJECT_STORE_URL") or data_dir.objects.as_uri()
        else:
            url = _objects_of_running(data_dir, server)
        region, endpoint = os.environ.get("AWS_REGION"), os.environ.get("AWS_ENDPOINT_URL")
        files = Files.at(url, region=region, endpoint_url=endpoint)
        opened.callback(files.close)
        yield Source(data_dir, server.owner_url, files)


def _objects_of_running(data_dir: DataDir, server: Postgres) -> str:
    running = RunState.read(data_dir.run_file)
    if running is None or running.state != "ready":
        raise BackupError("the stack is just starting or stopping: try again in a moment")
    if running.services["postgres"].state == "external":
        raise BackupError(_YOURS)
    if not server.answers():
        raise BackupError("the stack's database does not answer", hint="atrium status")
    return running.objects or data_dir.objects.as_uri()
