"""A restore: everything checked first, then made beside what is there, then put in its place in one go."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from cli.backup.files import Files
from cli.backup.manifest import SECRETS, BackupError, Manifest, object_member, object_of, table_member
from cli.backup.members import Reader, opened
from cli.backup.platform_key import own_secrets
from cli.backup.tables import Shape, empty, rows_in, say_everything_alike, sequences, set_sequences, shapes
from cli.local.alone import running_alone
from cli.local.data_dir import NEEDED_BYTES, DataDir
from cli.local.draft import Draft, holds_state
from cli.local.leftovers import find_leftovers
from cli.local.lock import InstanceLock, is_locked
from cli.local.postgres import Postgres, known_revisions
from cli.local.private_file import write_private
from cli.local.secrets import Secrets
from cli.progress import step
from cli.sizes import tell_bytes, tell_count

_SPACE_FACTOR = 3
"""Rows lie in the tables, in indexes and, for a while, in the write-ahead log."""


@dataclass(frozen=True)
class Restored:
    """`aside`: the folder with what was there before. `new_key`: the platform has one more key, in the new secrets."""

    manifest: Manifest
    migrated_to: str
    aside: Path | None
    new_key: bool


def restore(source: Path, data_dir: DataDir, *, force: bool) -> Restored:
    """Raises CliError, and has changed nothing then."""
    _require_own_stores()
    with opened(source) as archive, ExitStack() as held:
        newest = _require_known(archive.manifest)
        if is_locked(data_dir.lock):
            raise _running(data_dir)
        _require_empty(data_dir, force=force)
        members = archive.manifest.members()
        size = sum(member.bytes for member in members.values())
        _require_space(size, data_dir)
        with step("checked") as said:
            archive.check()
            said.tell(f"{tell_count(len(members), 'member')}, {tell_bytes(size)}: all as they were written")
        data_dir.create()
        lock, draft = InstanceLock(data_dir.lock), Draft(data_dir)
        if not lock.acquire() or find_leftovers(data_dir):
            raise _running(data_dir)
        held.callback(lock.release)
        draft.finish_if_decided()
        _require_empty(data_dir, force=force)
        replaced = holds_state(data_dir)
        aside = f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        with draft.being_made():
            new_key = _make(archive, draft.place, data_dir)
        draft.take_place(aside)
        return Restored(archive.manifest, newest, data_dir.path / aside if replaced else None, new_key)


def _make(archive: Reader, place: DataDir, data_dir: DataDir) -> bool:
    """All of the state, in the draft. Says whether there is a new platform key."""
    manifest, server = archive.manifest, Postgres(place.postgres)
    place.logs.mkdir(mode=0o700)
    with ExitStack() as running:
        with step("schema") as said:
            running.enter_context(running_alone(server, place.logs / "postgres.log", place.instance))
            server.migrate(manifest.schema_revision)
            said.tell(manifest.schema_revision)
        with step("database") as said:
            _load(archive, server)
            said.tell(f"{tell_count(len(manifest.tables), 'table')}, {tell_count(manifest.rows, 'row')}")
        newest = known_revisions()[0]
        if newest != manifest.schema_revision:
            with step("migrated") as said:
                server.migrate()
                said.tell(f"{manifest.schema_revision} → {newest}")
        new_key = _bring_secrets(archive, server, place, data_dir)
    with step("objects") as said:
        _bring_objects(archive, place)
        said.tell(f"{len(manifest.objects):,}, {tell_bytes(manifest.object_bytes)}")
    if manifest.examples_loaded:
        place.examples_loaded.touch(mode=0o600)
    return new_key


def _load(archive: Reader, server: Postgres) -> None:
    """In one transaction. Raises BackupError where the archive's tables are not those of its schema."""
    manifest = archive.manifest
    try:
        with psycopg.connect(server.owner_url) as connection:
            say_everything_alike(connection)
            expected = shapes(connection)
            if {shape.name: sorted(shape.columns) for shape in expected} != {
                name: sorted(table.columns) for name, table in manifest.tables.items()
            } or manifest.sequences.keys() != sequences(connection).keys():
                raise BackupError(f"its tables are not those of the schema {manifest.schema_revision}")
            empty(connection, expected)
            for shape in expected:
                said = manifest.tables[shape.name]
                pieces = archive.pieces(table_member(shape.name))
                if rows_in(connection, Shape(shape.name, said.columns), pieces) != said.rows:
                    raise BackupError(f"the table {shape.name} has not as many rows as its manifest says")
            set_sequences(connection, manifest.sequences)
    except psycopg.Error as error:
        raise BackupError(f"its rows do not fit the schema: {str(error).splitlines()[0]}") from error


def _bring_objects(archive: Reader, place: DataDir) -> None:
    files = Files.at(place.objects.as_uri())
    try:
        for name in archive.manifest.objects:
            files.put(*object_of(name), b"".join(archive.pieces(object_member(name))))
    finally:
        files.close()


def _bring_secrets(archive: Reader, server: Postgres, place: DataDir, data_dir: DataDir) -> bool:
    if archive.manifest.secrets is None:
        return own_secrets(data_dir, server.url, place.secrets)
    write_private(place.secrets, b"".join(archive.pieces(SECRETS)).decode())
    Secrets.load(place.secrets)
    return False


def _require_own_stores() -> None:
    if os.environ.get("DATABASE_URL"):
        raise BackupError("a restore is into the data directory's own database", hint="unset DATABASE_URL")
    if os.environ.get("OBJECT_STORE_URL"):
        raise BackupError(
            "a restore is into the data directory's own object store",
            hint="unset OBJECT_STORE_URL; afterwards the folder objects/ can be copied into another store",
        )


def _require_known(manifest: Manifest) -> str:
    """The newest revision of the schema. Raises BackupError for a backup of a newer one."""
    known = known_revisions()
    if manifest.schema_revision not in known:
        raise BackupError(
            f"it was made by Atrium {manifest.atrium} with the schema {manifest.schema_revision},"
            f" which is newer than this one's ({known[0]})",
            hint="restore it with that version, or a later one",
        )
    return known[0]


def _require_empty(data_dir: DataDir, *, force: bool) -> None:
    if holds_state(data_dir) and not force:
        raise BackupError(
            f"{data_dir.path} is not empty",
            hint="--force puts what is there aside, into a folder of it; or choose another --data-dir",
        )


def _require_space(size: int, data_dir: DataDir) -> None:
    nearest = next(folder for folder in (data_dir.path, *data_dir.path.parents) if folder.is_dir())
    DataDir(nearest).require_space(size * _SPACE_FACTOR + NEEDED_BYTES)


def _running(data_dir: DataDir) -> BackupError:
    return BackupError(f"a stack runs on {data_dir.path}", hint="stop it first: atrium down")
