"""A backup: rows and objects of one moment, into a file that takes its name when it is whole."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import psycopg
from psycopg import Connection, IsolationLevel

from cli.backup.files import Files, Known
from cli.backup.manifest import SECRETS, BackupError, Manifest, Member, Table, object_member, table_member
from cli.backup.members import Writer
from cli.backup.tables import RowsOut, revision, say_everything_alike, sequences, shapes
from cli.local.data_dir import DataDir
from cli.progress import Step, step
from cli.sizes import tell_bytes, tell_count
from cli.whole_file import whole_file

_ATTEMPTS = 10


class _FileGoneError(Exception):
    """A job was done, and its file removed, between the snapshot and our reading it."""


@dataclass(frozen=True)
class Source:
    """`owner_url`: of a database that answers; `files`: of the object store beside it."""

    data_dir: DataDir
    owner_url: str
    files: Files


def make_backup(source: Source, target: Path, *, with_secrets: bool) -> Manifest:
    """Raises BackupError, and leaves nothing then. Changes nothing, and holds up nothing but migrations."""
    with whole_file(target) as file:
        try:
            return _written(source, file, with_secrets=with_secrets)
        except psycopg.Error as error:
            raise BackupError(f"the database cannot be read: {str(error).splitlines()[0]}") from error


def _written(source: Source, file: IO[bytes], *, with_secrets: bool) -> Manifest:
    for attempt in range(1, _ATTEMPTS + 1):
        file.seek(0)
        file.truncate()
        with psycopg.connect(source.owner_url) as connection:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            try:
                return _Backup(source, connection, file).write(with_secrets=with_secrets)
            except _FileGoneError as error:
                if attempt == _ATTEMPTS:
                    raise BackupError("uploads come and go too quickly: try again when fewer are under way") from error
    raise AssertionError("the last attempt raises")


class _Backup:
    """One attempt, under one snapshot: the connection's first statement takes it."""

    def __init__(self, source: Source, connection: Connection, file: IO[bytes]) -> None:
        self._source, self._connection = source, connection
        self._writer = Writer(file)
        say_everything_alike(connection)
        found = revision(connection)
        if found is None:
            raise BackupError("the database has no schema yet")
        self._revision = found
        self._made_at = datetime.now(UTC)
        self._objects: dict[str, Member] = {}

    def write(self, *, with_secrets: bool) -> Manifest:
        known = Known.of(self._connection)
        # First what may go any moment: the files of jobs, each of which is removed when its job is done.
        with step("files of jobs under way", quiet=not known.files) as said:
            for tenant_id, key in known.files:
                data = self._source.files.get(tenant_id, key)
                if data is None:
                    raise _FileGoneError
                self._add_object(f"{tenant_id}/{key}", data)
            said.tell(self._told_objects())
        with step("database") as said:
            tables = self._tables(said)
            last = sequences(self._connection)
        with step("objects") as said:
            for tenant_id, key, data in self._source.files.others(known):
                self._add_object(f"{tenant_id}/{key}", data)
                said.tell(self._told_objects())
            said.tell(self._told_objects())
        manifest = Manifest(
            made_at=self._made_at,
            atrium=importlib.metadata.version("atrium"),
            schema_revision=self._revision,
            examples_loaded=self._source.data_dir.examples_loaded.exists(),
            tables=tables,
            sequences=last,
            objects=self._objects,
            secrets=self._secrets() if with_secrets else None,
        )
        self._writer.close(manifest)
        return manifest

    def _tables(self, said: Step) -> dict[str, Table]:
        tables: dict[str, Table] = {}
        for shape in shapes(self._connection):
            out = RowsOut(self._connection, shape)
            member = self._writer.add(table_member(shape.name), out.pieces())
            tables[shape.name] = Table(bytes=member.bytes, sha256=member.sha256, columns=shape.columns, rows=out.rows)
            rows, size = sum(table.rows for table in tables.values()), sum(table.bytes for table in tables.values())
            said.tell(f"{tell_count(len(tables), 'table')}, {tell_count(rows, 'row')}, {tell_bytes(size)}")
        return tables

    def _add_object(self, name: str, data: bytes) -> None:
        self._objects[name] = self._writer.add(object_member(name), [data])

    def _told_objects(self) -> str:
        size = sum(member.bytes for member in self._objects.values())
        return f"{len(self._objects):,}, {tell_bytes(size)}"

    def _secrets(self) -> Member:
        try:
            return self._writer.add(SECRETS, [self._source.data_dir.secrets.read_bytes()])
        except FileNotFoundError:
            raise BackupError(f"there are no secrets in {self._source.data_dir.path}") from None
